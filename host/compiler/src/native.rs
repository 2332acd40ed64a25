//! What a native plugin says about itself, read out of its file. Nothing of it is run: that is done in
//! a planner's cage only, and only where policy trusts it.

use object::{Architecture, File, Object as _, ObjectKind, ObjectSegment as _, ObjectSymbol as _};
use rkt_plan::Trust;
use rkt_planner::artifact::{Artifact, Header, digest};
use rkt_planner::{ENTRY, ENTRY_SIZE, PERMISSIONS, Refusal, engine};
use semver::Version;

use crate::inspect::{MAX_PERMISSIONS, is_of_this_contract, permissions};

/// How every ELF file begins (elf(5)).
const MAGIC: &[u8] = b"\x7fELF";

/// Whether these bytes are native code, whatever their file was called.
pub(crate) fn is_native(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The artifact of a library: the library itself, with what it declares.
///
/// # Errors
/// It is none for this processor, or not one that a stage1 plugin can be.
pub(crate) fn artifact(library: &[u8]) -> Result<Vec<u8>, Refusal> {
    let file = File::parse(library).map_err(|cause| refused(cause.to_string()))?;
    check_kind(&file)?;
    let entry = exported(&file, ENTRY)?.ok_or_else(|| refused(format!("it does not export `{ENTRY}`")))?;
    let header = Header {
        component: digest(library),
        trust: Trust::Native,
        contract: contract(entry)?,
        permissions: declared(&file)?,
        engine: engine::id(),
        code: digest(library),
    };
    Ok(Artifact { header, code: library }.to_bytes())
}

fn refused(why: impl Into<String>) -> Refusal {
    Refusal::Library { why: why.into() }
}

fn check_kind(file: &File<'_>) -> Result<(), Refusal> {
    let (here, name) = (std::env::consts::ARCH, file.architecture());
    let fits = match name {
        Architecture::X86_64 => here == "x86_64",
        Architecture::Aarch64 => here == "aarch64",
        _ => false,
    };
    if !fits {
        return Err(refused(format!("it is for {name:?}, and this is {here}")));
    }
    match file.kind() {
        ObjectKind::Dynamic => Ok(()),
        other => Err(refused(format!("it is {other:?}, and not a library to be loaded"))),
    }
}

/// The bytes of an exported variable; none where there is no such export.
fn exported<'f>(file: &File<'f>, name: &str) -> Result<Option<&'f [u8]>, Refusal> {
    let symbol = file.dynamic_symbols().find(|symbol| symbol.is_definition() && symbol.name() == Ok(name));
    let Some(symbol) = symbol else { return Ok(None) };
    for segment in file.segments() {
        let found = segment.data_range(symbol.address(), symbol.size()).map_err(|cause| refused(cause.to_string()))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Err(refused(format!("`{name}` is not in the file")))
}

/// The version in a table: after the size, which has that of an address.
fn contract(entry: &[u8]) -> Result<String, Refusal> {
    let (size, rest) = entry.split_first_chunk().ok_or_else(|| too_small(entry.len()))?;
    let size = usize::from_ne_bytes(*size);
    if size < ENTRY_SIZE || entry.len() < ENTRY_SIZE {
        return Err(too_small(size.min(entry.len())));
    }
    let number = |index: usize| rest.chunks_exact(4).nth(index).and_then(|bytes| bytes.try_into().ok());
    let number = |index| number(index).map_or(0, u32::from_ne_bytes).into();
    let made_for = Version::new(number(0), number(1), number(2));
    if is_of_this_contract(&made_for) {
        Ok(made_for.to_string())
    } else {
        Err(Refusal::OtherTable { made_for: made_for.to_string() })
    }
}

fn too_small(size: usize) -> Refusal {
    refused(format!("its `{ENTRY}` has {size} bytes, and {ENTRY_SIZE} are needed"))
}

/// The permissions; none where it exports none. In C a text ends with NUL.
fn declared(file: &File<'_>) -> Result<Vec<String>, Refusal> {
    let lines = exported(file, PERMISSIONS)?.unwrap_or_default();
    let lines = lines.strip_suffix(b"\0").unwrap_or(lines);
    if lines.len() > MAX_PERMISSIONS {
        return Err(Refusal::Permissions { why: format!("it has more than {MAX_PERMISSIONS} bytes") });
    }
    permissions(lines)
}
