//! What the operator decided of plugins: which may propose what, which flavor pods get that name none, and
//! by which other names flavors are known.
//!
//! Files of a higher directory replace those of the same name below; the lowest are the defaults that
//! come with rkt. They are TOML: `plugins.d/*.toml` are grants ([`rkt_plan::Grant`]), `stage1.toml` is
//!
//! ```toml
//! default = "acme"
//! kernel = "/boot/vmlinuz-6.1.0-cloud-amd64"
//!
//! [options.acme]
//! colour = "blue"
//!
//! [aliases]
//! "example.com/acme" = "acme"
//! ```
//!
//! The default may also be in a file `stage1.d/*.json` of old ([`Configuration`]); in one directory `stage1.toml` goes
//! before it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rkt_appc::ImageId;
use rkt_plan::{Grant, GrantError, Permissions, Trust};
use serde::Deserialize;

use crate::configuration::{Configuration, ConfigurationError};

/// The name of the directory of grants.
const GRANTS: &str = "plugins.d";
/// The name of the file about flavors.
const FLAVORS: &str = "stage1.toml";

/// What comes with rkt, as the texts of files.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Grants, each for the plugin that its file is named after: names without `.toml`, and texts.
    pub grants: &'static [(&'static str, &'static str)],
    /// The text about flavors.
    pub flavors: &'static str,
}

/// The operator's decisions.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What comes with rkt. Its grants are read when they are asked for: most commands want one.
    defaults: Defaults,
    /// The operator's, by the names of their files.
    grants: BTreeMap<String, GrantFile>,
    flavors: Flavors,
    /// Where the operator writes: the directory that a hint names.
    home: PathBuf,
}

#[derive(Debug, Clone)]
struct GrantFile {
    grant: Grant,
    path: PathBuf,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flavors {
    default: Option<String>,
    kernel: Option<PathBuf>,
    /// Values of options by their names, by the names of flavors.
    #[serde(default)]
    options: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

impl Policy {
    /// Reads the defaults and then the files in these directories, lowest first. A directory that does
    /// not exist says nothing. `home` is where hints tell the operator to write.
    ///
    /// # Errors
    /// Where a file cannot be read, or is not what it should be.
    pub fn read(defaults: Defaults, directories: &[PathBuf], home: &Path) -> Result<Self, PolicyError> {
        let mut policy = Self { defaults, grants: BTreeMap::new(), flavors: Flavors::default(), home: home.to_owned() };
        policy.add_flavors(defaults.flavors, Path::new(FLAVORS))?;
        for directory in directories {
            policy.read_grants(&directory.join(GRANTS))?;
            if let Some((name, location)) = Configuration::default_flavor(directory)? {
                policy.add_old_default(name, location);
            }
            let path = directory.join(FLAVORS);
            if let Some(text) = read(&path)? {
                policy.add_flavors(&text, &path)?;
            }
        }
        Ok(policy)
    }

    /// A default as rkt 1 had it: the name of an image, and where that is if nothing has the name.
    fn add_old_default(&mut self, name: String, location: String) {
        let is_known = self.flavors.aliases.contains_key(&name);
        self.flavors.default = Some(if is_known || location.is_empty() { name } else { location });
    }

    /// The flavor of pods that name none.
    pub fn default_flavor(&self) -> Option<&str> {
        self.flavors.default.as_deref()
    }

    /// The kernel of guests; none: the host's own.
    pub fn kernel(&self) -> Option<&Path> {
        self.flavors.kernel.as_deref()
    }

    /// The options that pods of a flavor get: those that are asked for, and the others as the operator says.
    pub fn options(&self, flavor: &str, mut asked: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for (name, value) in self.flavors.options.get(flavor).into_iter().flatten() {
            asked.entry(name.clone()).or_insert_with(|| value.clone());
        }
        asked
    }

    /// The flavor that is meant by a name: an alias's, or the name itself.
    pub fn flavor<'a>(&'a self, name: &'a str) -> &'a str {
        self.flavors.aliases.get(name).map_or(name, String::as_str)
    }

    /// What a plugin may propose. Grants of several files add up. Native code has none but where one of
    /// them trusts it as such.
    ///
    /// # Errors
    /// Where no grant is meant for it, or none trusts it.
    pub fn granted(&self, plugin: &str, digest: &str, trust: Trust) -> Result<Permissions, NotGranted> {
        self.meant(plugin, trust, |grant| grant.is_for(digest))
    }

    /// What a plugin that came in an image may propose. Its name is what the image calls itself, and its
    /// code may come with any payload, so that only grants that name this very image count.
    ///
    /// # Errors
    /// Where no grant is meant for it, or none trusts it.
    pub fn granted_to_image(&self, plugin: &str, image: &ImageId, trust: Trust) -> Result<Permissions, NotGranted> {
        self.meant(plugin, trust, |grant| grant.digest.as_deref() == Some(image.as_str()))
    }

    fn meant(&self, plugin: &str, trust: Trust, is_for_it: impl Fn(&Grant) -> bool) -> Result<Permissions, NotGranted> {
        let not = |why| NotGranted { plugin: plugin.to_owned(), file: self.file_for(plugin), why };
        let default = self.default_grant(plugin);
        let written = self.grants.values().map(|file| &file.grant).filter(|grant| grant.plugin == plugin);
        let named: Vec<&Grant> = default.iter().chain(written).collect();
        let ours: Vec<&&Grant> = named.iter().filter(|grant| is_for_it(grant)).collect();
        if trust == Trust::Native && !ours.iter().any(|grant| grant.trust == Trust::Native) {
            return Err(not(WhyNotGranted::Native));
        }
        if ours.is_empty() {
            let why = match named.iter().find_map(|grant| grant.digest.clone()) {
                Some(digest) => WhyNotGranted::Other(digest),
                None if named.is_empty() => WhyNotGranted::Unknown,
                None => WhyNotGranted::Unpinned,
            };
            return Err(not(why));
        }
        Ok(ours.iter().flat_map(|grant| grant.allow.iter().cloned()).collect())
    }

    /// The file that the operator would edit, or write, to grant a plugin more.
    pub fn file_for(&self, plugin: &str) -> PathBuf {
        match self.grants.values().find(|file| file.grant.plugin == plugin) {
            Some(file) => file.path.clone(),
            // What images call themselves has slashes in it.
            None => self.home.join(GRANTS).join(format!("{}.toml", plugin.replace('/', "-"))),
        }
    }

    /// Whether what a plugin may propose is the default that comes with rkt.
    pub fn is_default_for(&self, plugin: &str) -> bool {
        self.default_grant(plugin).is_some()
    }

    /// The grant that comes with rkt, unless the operator has written one of the same name.
    fn default_grant(&self, plugin: &str) -> Option<Grant> {
        let (name, text) = self.defaults.grants.iter().find(|(name, _)| *name == plugin)?;
        let is_replaced = self.grants.contains_key(&format!("{name}.toml"));
        (!is_replaced).then(|| Grant::from_toml(text).expect("what comes with rkt is a grant: a test reads it"))
    }

    fn read_grants(&mut self, directory: &Path) -> Result<(), PolicyError> {
        let failed = |cause| PolicyError::Read { path: directory.to_owned(), cause };
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let (path, is_file) = (entry.path(), entry.file_type().map_err(failed)?.is_file());
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if path.extension() != Some("toml".as_ref()) {
                continue;
            }
            // A link may lead to where others can write.
            if is_file && let Some(text) = read(&path)? {
                self.add_grant(name, &text, path)?;
            }
        }
        Ok(())
    }

    fn add_grant(&mut self, name: String, text: &str, path: PathBuf) -> Result<(), PolicyError> {
        let grant = Grant::from_toml(text).map_err(|cause| PolicyError::Grant { path: path.clone(), cause })?;
        self.grants.insert(name, GrantFile { grant, path });
        Ok(())
    }

    fn add_flavors(&mut self, text: &str, path: &Path) -> Result<(), PolicyError> {
        let flavors: Flavors =
            toml::from_str(text).map_err(|cause| PolicyError::Flavors { path: path.to_owned(), cause })?;
        self.flavors.kernel = flavors.kernel.or(self.flavors.kernel.take());
        self.flavors.default = flavors.default.or(self.flavors.default.take());
        for (flavor, options) in flavors.options {
            self.flavors.options.entry(flavor).or_default().extend(options);
        }
        self.flavors.aliases.extend(flavors.aliases);
        Ok(())
    }
}

/// The text of a file; none where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, PolicyError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(PolicyError::Read { path: path.to_owned(), cause }),
        Ok(text) => Ok(Some(text)),
    }
}

/// A plugin that policy gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}` {why}")]
pub struct NotGranted {
    /// Its name.
    pub plugin: String,
    /// Where the operator could grant it something.
    pub file: PathBuf,
    /// What is missing.
    pub why: WhyNotGranted,
}

/// What policy does not say of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyNotGranted {
    /// Nothing is said of one of this name.
    #[error("is granted nothing")]
    Unknown,
    /// What is said is meant for one with this digest.
    #[error("is not the one that was granted ({0})")]
    Other(String),
    /// What is said is meant for any of this name, which an image may take at will.
    #[error("came in an image, and what is granted to its name names no image")]
    Unpinned,
    /// That its native code may run.
    #[error("is native code, and no grant trusts it as that")]
    Native,
}

/// Why the operator's decisions cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file of old.
    #[error(transparent)]
    Old(#[from] ConfigurationError),
    /// A file or directory.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A grant that is none.
    #[error("the grant in {}", .path.display())]
    Grant {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: GrantError,
    },
    /// A file about records that is none.
    #[error("what {} says about records", .path.display())]
    Records {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: toml::de::Error,
    },
    /// A file about flavors that is none.
    #[error("the flavors in {}", .path.display())]
    Flavors {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: toml::de::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults {
        grants: &[("plain", "plugin = 'plain'\nallow = ['root']")],
        flavors: "default = 'plain'\n[aliases]\n'old.aci' = 'plain'",
    };

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn names(permissions: &Permissions) -> Vec<String> {
        permissions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_higher_file_of_the_same_name_replaces_a_lower_one() {
        let home = tempfile::tempdir().unwrap();
        let (low, high) = (home.path().join("low"), home.path().join("high"));
        let nowhere = home.path().join("nowhere");
        let policy = Policy::read(DEFAULTS, &[nowhere], &high).unwrap();
        assert_eq!(names(&policy.granted("plain", "sha256:a", Trust::Wasm).unwrap()), ["root"]);
        assert!(policy.is_default_for("plain"));
        assert_eq!(policy.file_for("plain"), high.join("plugins.d/plain.toml"));

        write(&low.join("plugins.d/plain.toml"), "plugin = 'plain'\nallow = ['user']");
        write(&high.join("plugins.d/more.toml"), "plugin = 'plain'\nallow = ['mask']");
        write(&high.join("stage1.toml"), "default = 'other'\n[aliases]\n'new' = 'other'");
        let policy = Policy::read(DEFAULTS, &[low.clone(), high.clone()], &high).unwrap();
        assert_eq!(names(&policy.granted("plain", "sha256:a", Trust::Wasm).unwrap()), ["mask", "user"]);
        assert!(!policy.is_default_for("plain"));
        assert_eq!(policy.default_flavor(), Some("other"));
        assert_eq!((policy.flavor("old.aci"), policy.flavor("new"), policy.flavor("x")), ("plain", "other", "x"));
    }

    #[test]
    fn an_option_is_what_is_asked_for_or_else_the_highest_files_that_says_one() {
        let home = tempfile::tempdir().unwrap();
        let (low, high) = (home.path().join("low"), home.path().join("high"));
        write(&low.join("stage1.toml"), "[options.plain]\na = '1'\nb = '1'\nc = '1'\n[options.other]\nd = '1'");
        write(&high.join("stage1.toml"), "[options.plain]\nb = '2'\nc = '2'");
        let policy = Policy::read(DEFAULTS, &[low, high], home.path()).unwrap();
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let asked = map(&[("c", "3"), ("e", "3")]);
        let expected = map(&[("a", "1"), ("b", "2"), ("c", "3"), ("e", "3")]);
        assert_eq!(policy.options("plain", asked.clone()), expected);
        assert_eq!(policy.options("none", asked.clone()), asked);
    }

    #[test]
    fn an_unknown_plugin_and_another_component_are_granted_nothing() {
        let home = tempfile::tempdir().unwrap();
        write(&home.path().join("plugins.d/pin.toml"), "plugin = 'pin'\ndigest = 'sha256:a'\nallow = []");
        let policy = Policy::read(DEFAULTS, &[home.path().to_owned()], home.path()).unwrap();
        assert!(policy.granted("pin", "sha256:a", Trust::Wasm).is_ok());
        let error = policy.granted("pin", "sha256:b", Trust::Wasm).unwrap_err();
        assert_eq!(error.to_string(), "plugin `pin` is not the one that was granted (sha256:a)");
        let error = policy.granted("none", "sha256:b", Trust::Wasm).unwrap_err();
        assert_eq!(error.file, home.path().join("plugins.d/none.toml"));
    }

    #[test]
    fn an_image_is_granted_something_only_by_its_id() {
        let home = tempfile::tempdir().unwrap();
        let id = |digit: &str| format!("sha512-{}", digit.repeat(128));
        let granted = |image: &str| {
            let policy = Policy::read(DEFAULTS, &[home.path().to_owned()], home.path()).unwrap();
            let image: ImageId = image.parse().unwrap();
            policy.granted_to_image("example.com/x", &image, Trust::Wasm).map(|allow| names(&allow))
        };
        let error = granted(&id("a")).unwrap_err();
        assert_eq!(
            (&error.why, error.file),
            (&WhyNotGranted::Unknown, home.path().join("plugins.d/example.com-x.toml"))
        );
        let file = home.path().join("plugins.d/x.toml");
        write(&file, "plugin = 'example.com/x'\nallow = ['root']");
        assert_eq!(granted(&id("a")).unwrap_err().why, WhyNotGranted::Unpinned);
        write(&file, &format!("plugin = 'example.com/x'\ndigest = '{}'\nallow = ['root']", id("a")));
        assert_eq!(granted(&id("a")).unwrap(), ["root"]);
        assert_eq!(granted(&id("b")).unwrap_err().why, WhyNotGranted::Other(id("a")));
        let policy = Policy::read(DEFAULTS, &[home.path().to_owned()], home.path()).unwrap();
        let native = policy.granted_to_image("example.com/x", &id("a").parse().unwrap(), Trust::Native);
        assert_eq!(native.unwrap_err().why, WhyNotGranted::Native, "an image's native code is not trusted by the way");
    }

    #[test]
    fn native_code_is_granted_nothing_but_where_a_grant_trusts_that_very_code() {
        let home = tempfile::tempdir().unwrap();
        let write = |text: &str| write(&home.path().join("plugins.d/n.toml"), text);
        let granted = |digest: &str| {
            let policy = Policy::read(DEFAULTS, &[home.path().to_owned()], home.path()).unwrap();
            policy.granted("n", digest, Trust::Native).map(|allow| names(&allow)).map_err(|error| error.why)
        };
        assert_eq!(granted("sha256:a"), Err(WhyNotGranted::Native));
        write("plugin = 'n'\nallow = ['root']");
        assert_eq!(granted("sha256:a"), Err(WhyNotGranted::Native));
        write("plugin = 'n'\ndigest = 'sha256:a'\nallow = ['root']");
        assert_eq!(granted("sha256:a"), Err(WhyNotGranted::Native));
        write("plugin = 'n'\ndigest = 'sha256:a'\ntrust = 'native'\nallow = ['root']");
        assert_eq!(granted("sha256:a"), Ok(vec!["root".to_owned()]));
        assert_eq!(granted("sha256:b"), Err(WhyNotGranted::Native));
    }

    #[test]
    fn links_and_other_files_are_passed_over_and_mistakes_are_not() {
        let home = tempfile::tempdir().unwrap();
        let grants = home.path().join("plugins.d");
        write(&grants.join("readme.txt"), "not a grant");
        write(&home.path().join("elsewhere"), "plugin = 'evil'\nallow = ['root']");
        std::os::unix::fs::symlink("../elsewhere", grants.join("evil.toml")).unwrap();
        let read = || Policy::read(DEFAULTS, &[home.path().to_owned()], home.path());
        assert!(read().unwrap().granted("evil", "sha256:a", Trust::Wasm).is_err());
        write(&grants.join("bad.toml"), "plugin = 'bad'\nallow = ['fly']");
        assert!(read().unwrap_err().to_string().ends_with("plugins.d/bad.toml"));
    }
}
