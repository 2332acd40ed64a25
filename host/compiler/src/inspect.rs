//! What a component says about itself, read before anything is made of it: its imports, its exports,
//! and the permissions that it asks for.

use rkt_planner::{CONTRACT, PACKAGE, Refusal};
use semver::Version;
use wasmparser::{BinaryReaderError, ComponentTypeRef, Encoding, Parser, Payload, TypeBounds};

/// What a component declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    /// The version of the contract that it was made for.
    pub(crate) contract: String,
    /// The permissions, one a line of the sections `rkt:permissions`.
    pub(crate) permissions: Vec<String>,
}

/// The interfaces that a stage1 plugin may import (`world stage1` in `wit/worlds.wit`).
const INTERFACES: [&str; 6] = ["arguments", "facts", "places", "plans", "pods", "problems"];

/// The sections that hold permissions, in the component or in a module of it.
const PERMISSIONS: &str = "rkt:permissions";

/// Bytes of permissions: dozens of times of what every permission there is takes.
pub(crate) const MAX_PERMISSIONS: usize = 64 << 10;

/// Reads a component's own words about itself.
///
/// # Errors
/// It is no component, or not one that a stage1 plugin can be.
pub(crate) fn inspect(component: &[u8]) -> Result<Declaration, Refusal> {
    let outline = Outline::read(component)?;
    if outline.exports != ["plan"] {
        return Err(Refusal::Exports { exports: outline.exports });
    }
    let mut contract = None;
    for import in outline.imports {
        let version = contract_of(&import)?;
        contract = contract.max(Some(version));
    }
    Ok(Declaration {
        // A plugin that imports nothing was made for any version.
        contract: contract.map_or_else(|| CONTRACT.to_owned(), |version| version.to_string()),
        permissions: permissions(&outline.permissions)?,
    })
}

/// The permissions that these bytes name, one a line.
pub(crate) fn permissions(lines: &[u8]) -> Result<Vec<String>, Refusal> {
    let text = std::str::from_utf8(lines).map_err(|cause| Refusal::Permissions { why: cause.to_string() })?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Whether a plugin that was made for this version runs here.
pub(crate) fn is_of_this_contract(version: &Version) -> bool {
    let ours: Version = CONTRACT.parse().expect("the contract's version is one");
    (version.major, version.minor) == (ours.major, ours.minor) && *version <= ours
}

/// The version of the contract that an import is of.
fn contract_of(import: &str) -> Result<Version, Refusal> {
    let foreign = || Refusal::Import { import: import.to_owned() };
    let (interface, version) =
        import.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/')?.split_once('@')).ok_or_else(foreign)?;
    let version: Version = version.parse().map_err(|_| foreign())?;
    if !is_of_this_contract(&version) {
        return Err(Refusal::OtherContract { import: import.to_owned() });
    }
    if INTERFACES.contains(&interface) { Ok(version) } else { Err(foreign()) }
}

/// The names at a component's border, and the bytes of its permissions.
#[derive(Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    permissions: Vec<u8>,
}

impl Outline {
    fn read(component: &[u8]) -> Result<Self, Refusal> {
        let invalid = |cause: BinaryReaderError| Refusal::Invalid { why: cause.to_string() };
        let mut outline = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Refusal::CoreModule),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(invalid)?;
                        // Another name for a type that came with an interface gives nothing.
                        if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                            outline.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        outline.exports.push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) if section.name() == PERMISSIONS => {
                    outline.add_permissions(section.data())?;
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    fn add_permissions(&mut self, lines: &[u8]) -> Result<(), Refusal> {
        if self.permissions.len() + lines.len() > MAX_PERMISSIONS {
            return Err(Refusal::Permissions { why: format!("it has more than {MAX_PERMISSIONS} bytes") });
        }
        self.permissions.extend_from_slice(lines);
        self.permissions.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(text: &str) -> Result<Declaration, Refusal> {
        inspect(&wat::parse_str(text).unwrap())
    }

    /// A component that imports one instance and exports one function by this name.
    fn component(import: &str, export: &str) -> String {
        format!(
            r#"(component
                 (import "{import}" (instance))
                 (core module $m (func (export "f")) (@custom "rkt:permissions" "root\nuser\n"))
                 (core instance $i (instantiate $m))
                 (func $f (canon lift (core func $i "f")))
                 (export "{export}" (func $f)))"#
        )
    }

    #[test]
    fn a_plugin_of_this_contract_is_read_with_its_permissions() {
        let declaration = inspected(&component("rkt:plugin/pods@0.1.0", "plan")).unwrap();
        assert_eq!(declaration.permissions, ["root", "user"]);
        assert_eq!(declaration.contract, "0.1.0");
    }

    #[test]
    fn every_interface_of_the_contract_may_be_imported() {
        let contract = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
        let files = contract.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("wit".as_ref()));
        let text: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let interface = |line: &str| line.strip_prefix("interface ")?.strip_suffix(" {").map(str::to_owned);
        let mut names: Vec<String> = text.lines().filter_map(interface).collect();
        names.sort();
        assert_eq!(names, INTERFACES);
        for name in names {
            inspected(&component(&format!("rkt:plugin/{name}@0.1.0"), "plan")).unwrap();
        }
    }

    #[test]
    fn every_other_import_is_refused_by_name() {
        for import in ["wasi:cli/environment@0.2.0", "rkt:plugin/secrets@0.1.0", "rkt:pluginx/pods@0.1.0", "pods"] {
            let refusal = inspected(&component(import, "plan")).unwrap_err();
            assert_eq!(refusal, Refusal::Import { import: import.to_owned() });
        }
        for import in
            ["rkt:plugin/pods@0.2.0", "rkt:plugin/pods@1.0.0", "rkt:plugin/pods@0.1.1", "rkt:plugin/pods@0.0.9"]
        {
            let refusal = inspected(&component(import, "plan")).unwrap_err();
            assert_eq!(refusal, Refusal::OtherContract { import: import.to_owned() });
        }
    }

    #[test]
    fn a_plugin_exports_its_plan_and_nothing_else() {
        let refusal = inspected(&component("rkt:plugin/pods@0.1.0", "play")).unwrap_err();
        assert_eq!(refusal, Refusal::Exports { exports: vec!["play".to_owned()] });
        assert_eq!(inspected("(component)"), Err(Refusal::Exports { exports: vec![] }));
    }

    #[test]
    fn what_is_no_component_is_refused() {
        assert_eq!(inspected("(module)"), Err(Refusal::CoreModule));
        assert!(matches!(inspect(b""), Err(Refusal::Invalid { .. })));
        assert!(matches!(inspect(b"\x7fELF and so on"), Err(Refusal::Invalid { .. })));
        let whole = wat::parse_str(component("rkt:plugin/pods@0.1.0", "plan")).unwrap();
        let export = whole.windows(4).rposition(|bytes| bytes == b"plan").unwrap();
        for length in 0..export {
            assert!(inspect(&whole[..length]).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn endless_permissions_are_refused() {
        let many = "x".repeat(MAX_PERMISSIONS + 1);
        let text = format!(r#"(component (core module (@custom "rkt:permissions" "{many}")))"#);
        assert!(matches!(inspected(&text), Err(Refusal::Permissions { .. })));
    }
}
