//! The variables that an app is started with.
//!
//! From what gives way to what prevails: rkt's defaults, what is inherited from the caller, the image,
//! files (`--set-env-file`), the pod (`--set-env`), the app (`--environment`). `AC_APP_NAME` is rkt's.

use rkt_appc::{Environment, Variable};

/// What every app has that does not say otherwise (specification, "Execution Environment").
const DEFAULTS: [(&str, &str); 5] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("SHELL", "/bin/sh"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("HOME", "/root"),
];

/// What the user says about the environment of all apps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodEnvironment {
    /// The caller's own, where it is to be inherited.
    pub inherited: Vec<Variable>,
    /// From files.
    pub files: Vec<Variable>,
    /// From the command line.
    pub set: Vec<Variable>,
}

impl PodEnvironment {
    /// What a pod's manifest says about one app: all but the defaults.
    pub(crate) fn merged(&self, image: &Environment, app: &[Variable]) -> Environment {
        let mut merged = Environment::default();
        let sources = self.inherited.iter().chain(image.iter()).chain(&self.files).chain(&self.set).chain(app);
        for variable in sources {
            merged.set(variable.clone());
        }
        merged
    }
}

/// What an app's process gets: names and values.
pub(crate) fn of_process(app: &str, environment: &Environment) -> Vec<(String, String)> {
    let defaults = DEFAULTS
        .into_iter()
        .filter(|(name, _)| environment.get(name).is_none())
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let own = environment
        .iter()
        .filter(|variable| variable.name() != APP_NAME)
        .map(|variable| (variable.name().to_owned(), variable.value().to_owned()));
    defaults.chain(own).chain([(APP_NAME.to_owned(), app.to_owned())]).collect()
}

/// Where an app reads its own name (specification, "Execution Environment").
const APP_NAME: &str = "AC_APP_NAME";

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(list: &[(&str, &str)]) -> Vec<Variable> {
        list.iter().map(|(name, value)| Variable::new((*name).to_owned(), (*value).to_owned()).unwrap()).collect()
    }

    #[test]
    fn the_nearer_to_the_app_the_stronger() {
        let pod = PodEnvironment {
            inherited: variables(&[("A", "inherited"), ("B", "inherited"), ("PATH", "/inherited")]),
            files: variables(&[("B", "file"), ("C", "file"), ("D", "file"), ("E", "file")]),
            set: variables(&[("D", "set"), ("E", "set")]),
        };
        let image = Environment::try_from(variables(&[("B", "image"), ("C", "image")])).unwrap();
        let merged = pod.merged(&image, &variables(&[("E", "app")]));
        let expected = [("A", "inherited"), ("B", "file"), ("C", "file"), ("D", "set"), ("E", "app")];
        for (name, value) in expected {
            assert_eq!(merged.get(name), Some(value), "{name}");
        }
        let process = of_process("db", &merged);
        let value = |wanted: &str| process.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        assert_eq!(value("PATH"), Some("/inherited"));
        assert_eq!(value("HOME"), Some("/root"));
        assert_eq!(value("AC_APP_NAME"), Some("db"));
    }

    #[test]
    fn an_app_cannot_be_told_another_name() {
        let environment = Environment::try_from(variables(&[("AC_APP_NAME", "other")])).unwrap();
        let process = of_process("db", &environment);
        let names: Vec<_> = process.iter().filter(|(name, _)| name == "AC_APP_NAME").collect();
        assert_eq!(names, [&("AC_APP_NAME".to_owned(), "db".to_owned())]);
    }
}
