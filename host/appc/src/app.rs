//! The app section of a manifest: what to run, as whom, with what.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::json::{arguments, is_false, null_as_default, texts_by_name};
use crate::labels::first_repeated;
use crate::text::checked_text;
use crate::{AcName, InvalidValue, Isolators, Owner, Port, UnixId};

/// How an image is run (specification, "Image Manifest Schema", `app`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// The program and its arguments. Empty where only a command line can say.
    #[serde(deserialize_with = "arguments")]
    pub exec: Vec<String>,
    /// What runs before and after.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "EventHandlers::is_empty")]
    pub event_handlers: EventHandlers,
    /// The user it runs as.
    pub user: Owner,
    /// The group it runs as.
    pub group: Owner,
    /// Groups besides those that the image gives the user.
    #[serde(
        rename = "supplementaryGIDs",
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub supplementary_gids: Vec<UnixId>,
    /// Where it starts; `/` where nothing is said.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "WorkingDirectory::is_unset")]
    pub working_directory: WorkingDirectory,
    /// Its environment.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Environment::is_empty")]
    pub environment: Environment,
    /// Where it expects volumes.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    /// The ports that it listens on.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What confines and limits it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Isolators::is_empty")]
    pub isolators: Isolators,
    /// The author's remarks to users, which rkt does not interpret.
    #[serde(default, deserialize_with = "texts_by_name", skip_serializing_if = "BTreeMap::is_empty")]
    pub user_annotations: BTreeMap<String, String>,
    /// The author's labels for users, which rkt does not interpret.
    #[serde(default, deserialize_with = "texts_by_name", skip_serializing_if = "BTreeMap::is_empty")]
    pub user_labels: BTreeMap<String, String>,
}

impl App {
    /// An app that runs `exec` and asks for nothing else.
    pub fn new(exec: Vec<String>, user: Owner, group: Owner) -> Self {
        Self {
            exec,
            event_handlers: EventHandlers::default(),
            user,
            group,
            supplementary_gids: Vec::new(),
            working_directory: WorkingDirectory::default(),
            environment: Environment::default(),
            mount_points: Vec::new(),
            ports: Vec::new(),
            isolators: Isolators::default(),
            user_annotations: BTreeMap::new(),
            user_labels: BTreeMap::new(),
        }
    }
}

/// What runs before the app starts and after it has ended; at most one each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<EventHandler>", into = "Vec<EventHandler>")]
pub struct EventHandlers {
    /// Before the app; where it fails the app does not start.
    pub pre_start: Option<Vec<String>>,
    /// After the app.
    pub post_stop: Option<Vec<String>>,
}

impl EventHandlers {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pre_start.is_none() && self.post_stop.is_none()
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct EventHandler {
    name: Event,
    #[serde(deserialize_with = "arguments")]
    exec: Vec<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Event {
    PreStart,
    PostStop,
}

impl TryFrom<Vec<EventHandler>> for EventHandlers {
    type Error = String;

    fn try_from(list: Vec<EventHandler>) -> Result<Self, Self::Error> {
        let mut handlers = Self::default();
        for handler in list {
            let (name, slot) = match handler.name {
                Event::PreStart => ("pre-start", &mut handlers.pre_start),
                Event::PostStop => ("post-stop", &mut handlers.post_stop),
            };
            if slot.replace(handler.exec).is_some() {
                return Err(format!("Only one eventHandler of name {name:?} allowed"));
            }
        }
        Ok(handlers)
    }
}

impl From<EventHandlers> for Vec<EventHandler> {
    fn from(handlers: EventHandlers) -> Self {
        let with = |name| move |exec| EventHandler { name, exec };
        let pre_start = handlers.pre_start.map(with(Event::PreStart));
        let post_stop = handlers.post_stop.map(with(Event::PostStop));
        pre_start.into_iter().chain(post_stop).collect()
    }
}

/// Where an app starts: an absolute path inside its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkingDirectory(String);

impl WorkingDirectory {
    /// The path.
    pub fn path(&self) -> &str {
        &self.0
    }

    fn is_unset(&self) -> bool {
        self.0 == "/"
    }
}

impl FromStr for WorkingDirectory {
    type Err = InvalidValue;

    /// An empty text is what Go writes where nothing is said.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self::default()),
            path if path.starts_with('/') && !path.contains('\0') => Ok(Self(path.to_owned())),
            _ => Err(InvalidValue::new("working directory", text, "it is an absolute path")),
        }
    }
}

impl TryFrom<String> for WorkingDirectory {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WorkingDirectory> for String {
    fn from(directory: WorkingDirectory) -> Self {
        directory.0
    }
}

impl Default for WorkingDirectory {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

/// One variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawVariable", into = "RawVariable")]
pub struct Variable {
    name: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
struct RawVariable {
    name: String,
    value: String,
}

impl Variable {
    /// A variable.
    ///
    /// # Errors
    /// Where the name is not one of a variable, or the value holds a NUL (environ(7)).
    pub fn new(name: String, value: String) -> Result<Self, InvalidValue> {
        let begins_one = |c: char| c.is_ascii_alphabetic() || c == '_';
        let continues_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !name.starts_with(begins_one) || !name.chars().all(continues_one) {
            let rule = "it is made of letters, digits and any of _.-, a letter or _ first";
            return Err(InvalidValue::new("environment variable name", name, rule));
        }
        if value.contains('\0') {
            return Err(InvalidValue::new("environment value", value, "it holds a NUL"));
        }
        Ok(Self { name, value })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl TryFrom<RawVariable> for Variable {
    type Error = InvalidValue;

    fn try_from(raw: RawVariable) -> Result<Self, Self::Error> {
        Self::new(raw.name, raw.value)
    }
}

impl From<Variable> for RawVariable {
    fn from(variable: Variable) -> Self {
        Self { name: variable.name, value: variable.value }
    }
}

/// Variables, none of them twice, in the order of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Variable>", into = "Vec<Variable>")]
pub struct Environment(Vec<Variable>);

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|variable| variable.name == name).map(Variable::value)
    }

    /// Gives a variable its value, whether it had one or not.
    pub fn set(&mut self, variable: Variable) {
        match self.0.iter_mut().find(|other| other.name == variable.name) {
            Some(other) => *other = variable,
            None => self.0.push(variable),
        }
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Variable>> for Environment {
    type Error = InvalidValue;

    fn try_from(variables: Vec<Variable>) -> Result<Self, Self::Error> {
        if let Some(twice) = first_repeated(variables.iter().map(Variable::name)) {
            return Err(InvalidValue::new("new variable", twice, "it is given twice"));
        }
        Ok(Self(variables))
    }
}

impl From<Environment> for Vec<Variable> {
    fn from(environment: Environment) -> Self {
        environment.0
    }
}

/// Where an app expects a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// The volume of this name belongs here, unless a pod says otherwise.
    pub name: AcName,
    /// Where, inside the app's root.
    pub path: MountPath,
    /// Whether the app only reads.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}

/// A path inside an app's root that something is mounted on. It may be relative to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountPath(String);

checked_text!(MountPath);

impl MountPath {
    fn check(text: &str) -> Result<(), InvalidValue> {
        if text.is_empty() || text.contains('\0') {
            return Err(InvalidValue::new("mount path", text, "it is a path in the app's root"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_names_that_shells_and_the_specification_know() {
        let variable = |name: &str, value: &str| Variable::new(name.into(), value.into());
        for name in ["PATH", "_", "a1", "A.B-C", "_1"] {
            assert!(variable(name, "").is_ok(), "{name}");
        }
        for name in ["", "1A", "-A", ".A", "A=B", "A B", "Ä", "A\0"] {
            assert!(variable(name, "").is_err(), "{name}");
        }
        assert!(variable("A", "a=b\nc").is_ok());
        assert!(variable("A", "a\0b").is_err());
    }

    #[test]
    fn a_variable_stands_once_and_can_be_replaced() {
        let json = r#"[{"name":"A","value":"1"},{"name":"A","value":"2"}]"#;
        assert!(serde_json::from_str::<Environment>(json).is_err());
        let mut environment = Environment::default();
        for value in ["1", "2"] {
            environment.set(Variable::new("A".into(), value.into()).unwrap());
        }
        assert_eq!(environment.get("A"), Some("2"));
        assert_eq!(environment.iter().count(), 1);
    }

    #[test]
    fn there_is_one_handler_for_each_event() {
        let handler = |name: &&str| format!(r#"{{"name":"{name}","exec":["/bin/x"]}}"#);
        let list = |names: &[&str]| {
            let handlers: Vec<_> = names.iter().map(handler).collect();
            serde_json::from_str::<EventHandlers>(&format!("[{}]", handlers.join(",")))
        };
        let both = list(&["post-stop", "pre-start"]).unwrap();
        assert!(both.pre_start.is_some() && both.post_stop.is_some());
        let error = list(&["pre-start", "pre-start"]).unwrap_err().to_string();
        assert!(error.contains("Only one eventHandler of name \"pre-start\" allowed"), "{error}");
        assert!(list(&["on-start"]).is_err());
    }
}
