//! The operator's files of old, in JSON: `paths.d`, `auth.d` and `stage1.d` in each configuration directory.
//!
//! What a higher directory says goes before what a lower one does, key by key. Within one directory nothing is said
//! twice. Only files `NAME.json` count that lie there themselves: no links, nothing in directories.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Kinds of files, by the directories that they are in.
const KINDS: [(&str, &[&str]); 3] =
    [("auth.d", &["auth", "dockerAuth"]), ("paths.d", &["paths"]), ("stage1.d", &["stage1"])];

/// The version of the form of all of them.
const VERSION: &str = "v1";

/// What these files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    domains: BTreeMap<String, Login>,
    registries: BTreeMap<String, Basic>,
    paths: Paths,
    stage1: Stage1,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Paths {
    #[serde(default)]
    data: String,
    #[serde(default, rename = "stage1-images")]
    images: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stage1 {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    location: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Basic {
    user: String,
    password: String,
}

/// What downloads from a domain are authorised with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "credentials", rename_all = "lowercase")]
enum Login {
    Basic(Basic),
    Oauth(Oauth),
    Aws(Aws),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Oauth {
    token: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Aws {
    #[serde(rename = "accessKeyID")]
    access_key: String,
    #[serde(rename = "secretAccessKey")]
    secret_key: String,
    #[serde(default, rename = "awsRegion")]
    region: String,
}

/// Secrets stay out of what is written down of a failure.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a login")
    }
}

/// As those.
impl std::fmt::Debug for Basic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a user and a password")
    }
}

/// What every file says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    rkt_kind: String,
    #[serde(default)]
    rkt_version: String,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    domains: Vec<String>,
    #[serde(flatten)]
    login: Login,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    registries: Vec<String>,
    credentials: Basic,
}

impl Configuration {
    /// Reads all of it in these directories, lowest first. One that does not exist says nothing.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, or two of one directory say the same.
    pub fn read(directories: &[PathBuf]) -> Result<Self, ConfigurationError> {
        let mut all = Self::default();
        for directory in directories {
            let mut of_directory = Self::default();
            for (inner, kinds) in KINDS {
                of_directory.read_directory(&directory.join(inner), kinds)?;
            }
            all.add(of_directory);
        }
        Ok(all)
    }

    /// Where images and pods are kept, where somebody says so. Reads no more than is needed for that.
    ///
    /// # Errors
    /// As [`Configuration::read`].
    pub fn data_directory(directories: &[PathBuf]) -> Result<Option<PathBuf>, ConfigurationError> {
        Ok(Self::paths(directories)?.data())
    }

    /// Where images of flavors are, where somebody says so.
    ///
    /// # Errors
    /// As [`Configuration::read`].
    pub fn images_of_flavors(directories: &[PathBuf]) -> Result<Option<PathBuf>, ConfigurationError> {
        let images = Self::paths(directories)?.paths.images;
        Ok(Some(images).filter(|images| !images.is_empty()).map(PathBuf::from))
    }

    fn paths(directories: &[PathBuf]) -> Result<Self, ConfigurationError> {
        let mut all = Self::default();
        for directory in directories {
            let mut of_directory = Self::default();
            of_directory.read_directory(&directory.join("paths.d"), &["paths"])?;
            all.add(of_directory);
        }
        Ok(all)
    }

    fn data(&self) -> Option<PathBuf> {
        Some(&self.paths.data).filter(|data| !data.is_empty()).map(PathBuf::from)
    }

    /// The flavor of pods that name none, by the name and the place that one directory has for it.
    ///
    /// # Errors
    /// As [`Configuration::read`].
    pub(crate) fn default_flavor(directory: &Path) -> Result<Option<(String, String)>, ConfigurationError> {
        let mut read = Self::default();
        read.read_directory(&directory.join("stage1.d"), &["stage1"])?;
        let Stage1 { name, location, .. } = read.stage1;
        Ok((!name.is_empty() || !location.is_empty()).then_some((name, location)))
    }

    /// All of it, as programs were always told.
    pub fn shown(&self) -> Value {
        let head = |kind: &str, rest: Value| {
            let mut object = json!({ "rktVersion": VERSION, "rktKind": kind });
            if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
                object.extend(rest);
            }
            object
        };
        let with = |key: &str, value: &str, credentials: Value| {
            let mut object = credentials;
            object[key] = json!([value]);
            object
        };
        let plain = |value: &dyn Fn() -> serde_json::Result<Value>| value().expect("it has only text keys");
        let domains = self
            .domains
            .iter()
            .map(|(domain, login)| head("auth", with("domains", domain, plain(&|| serde_json::to_value(login)))));
        let registries = self.registries.iter().map(|(registry, credentials)| {
            head("dockerAuth", with("registries", registry, json!({ "credentials": credentials })))
        });
        let paths = head("paths", plain(&|| serde_json::to_value(&self.paths)));
        let stage1 = head("stage1", plain(&|| serde_json::to_value(&self.stage1)));
        let all: Vec<Value> = domains.chain(registries).chain([paths, stage1]).collect();
        json!({ "stage0": all })
    }

    fn read_directory(&mut self, directory: &Path, kinds: &[&str]) -> Result<(), ConfigurationError> {
        let unreadable = |path: &Path, cause| ConfigurationError::Read { path: path.to_owned(), cause };
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|cause| unreadable(directory, cause))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|cause| unreadable(directory, cause))?;
            let kind = entry.file_type().map_err(|cause| unreadable(directory, cause))?;
            if kind.is_file() && entry.path().extension().is_some_and(|extension| extension == "json") {
                files.push(entry.path());
            }
        }
        files.sort();
        for path in files {
            let text = fs::read(&path).map_err(|cause| unreadable(&path, cause))?;
            self.read_file(&text, kinds).map_err(|why| ConfigurationError::Wrong { path, why })?;
        }
        Ok(())
    }

    fn read_file(&mut self, text: &[u8], kinds: &[&str]) -> Result<(), String> {
        let head: Head = parse(text)?;
        match head.rkt_kind.as_str() {
            "" => return Err("no rktKind specified".to_owned()),
            kind if !kinds.contains(&kind) => {
                return Err(format!("a file here is of kind {}, and not {kind:?}", kinds.join(" or ")));
            }
            _ => {}
        }
        match head.rkt_version.as_str() {
            "" => return Err("no rktVersion specified".to_owned()),
            VERSION => {}
            other => return Err(format!("no parser available for configuration of version {other:?}")),
        }
        match head.rkt_kind.as_str() {
            "auth" => {
                let Auth { domains, login } = parse(text)?;
                login.check()?;
                add_each(&mut self.domains, domains, &login, "domain")
            }
            "dockerAuth" => {
                let DockerAuth { registries, credentials } = parse(text)?;
                credentials.check()?;
                add_each(&mut self.registries, registries, &credentials, "docker registry")
            }
            "paths" => {
                let Paths { data, images } = parse(text)?;
                set_path(&mut self.paths.data, data, "data directory")?;
                set_path(&mut self.paths.images, images, "stage1 images directory")
            }
            _ => self.stage1.set(parse(text)?),
        }
    }

    /// What is said here too goes before.
    fn add(&mut self, higher: Self) {
        self.domains.extend(higher.domains);
        self.registries.extend(higher.registries);
        let replace = |lower: &mut String, higher: String| {
            if !higher.is_empty() {
                *lower = higher;
            }
        };
        replace(&mut self.paths.data, higher.paths.data);
        replace(&mut self.paths.images, higher.paths.images);
        replace(&mut self.stage1.name, higher.stage1.name);
        replace(&mut self.stage1.version, higher.stage1.version);
        replace(&mut self.stage1.location, higher.stage1.location);
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn add_each<T: Clone>(all: &mut BTreeMap<String, T>, keys: Vec<String>, value: &T, what: &str) -> Result<(), String> {
    if keys.is_empty() {
        return Err(format!("no {what} is named"));
    }
    for key in keys {
        if all.contains_key(&key) {
            return Err(format!("credentials for {what} {key:?} are already specified"));
        }
        all.insert(key, value.clone());
    }
    Ok(())
}

fn set_path(slot: &mut String, path: String, what: &str) -> Result<(), String> {
    match path.as_str() {
        "" => Ok(()),
        _ if !slot.is_empty() => Err(format!("{what} is already specified")),
        text if !Path::new(text).is_absolute() => Err(format!("{what} must be an absolute path")),
        _ => {
            *slot = path;
            Ok(())
        }
    }
}

impl Stage1 {
    fn set(&mut self, said: Self) -> Result<(), String> {
        match (said.name.is_empty(), said.version.is_empty()) {
            (true, false) => return Err("default stage1 image version specified, but name is missing".to_owned()),
            (false, true) => return Err("default stage1 image name specified, but version is missing".to_owned()),
            (false, false) if !self.name.is_empty() => {
                return Err("name and version of a default stage1 image are already specified".to_owned());
            }
            (false, false) => (self.name, self.version) = (said.name, said.version),
            (true, true) => {}
        }
        match said.location.as_str() {
            "" => return Ok(()),
            _ if !self.location.is_empty() => {
                return Err("location of a default stage1 image is already specified".to_owned());
            }
            path if Path::new(path).is_absolute() => {}
            url if SCHEMES.iter().any(|scheme| url.starts_with(&format!("{scheme}:"))) => {}
            _ => {
                let known = SCHEMES.join(", ");
                return Err(format!("default stage1 image location is no absolute path and no URL of {known}"));
            }
        }
        self.location = said.location;
        Ok(())
    }
}

/// Those that the location of a flavor's image may have.
const SCHEMES: [&str; 4] = ["docker", "file", "http", "https"];

impl Login {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Basic(basic) => basic.check(),
            Self::Oauth(Oauth { token }) => present(token, "no oauth bearer token specified"),
            Self::Aws(aws) => {
                present(&aws.access_key, "no AWS Access Key ID specified")?;
                present(&aws.secret_key, "no AWS Secret Access Key specified")
            }
        }
    }
}

impl Basic {
    fn check(&self) -> Result<(), String> {
        present(&self.user, "user not specified")?;
        present(&self.password, "password not specified")
    }
}

fn present(text: &str, else_why: &str) -> Result<(), String> {
    if text.is_empty() { Err(else_why.to_owned()) } else { Ok(()) }
}

/// What is wrong with such a file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// It cannot be read.
    #[error("cannot read configuration {path}", path = path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is not what it should be.
    #[error("failed to parse {path:?}: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any secret.
        why: String,
    },
}

#[cfg(test)]
mod tests;
