use tempfile::TempDir;

use super::*;

struct Directories {
    home: TempDir,
}

impl Directories {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn all(&self) -> Vec<PathBuf> {
        ["system", "local", "user"].map(|name| self.home.path().join(name)).to_vec()
    }

    fn read(&self) -> Result<Configuration, ConfigurationError> {
        Configuration::read(&self.all())
    }

    fn wrong(&self, path: &str, text: &str) -> String {
        self.write(path, text);
        let why = self.read().unwrap_err().to_string();
        fs::remove_file(self.home.path().join(path)).unwrap();
        why
    }
}

const PATHS: &str = r#"{"rktKind":"paths","rktVersion":"v1","data":"/low","stage1-images":"/images"}"#;

#[test]
fn what_a_higher_directory_says_goes_before_key_by_key() {
    let directories = Directories::new();
    assert_eq!(Configuration::data_directory(&directories.all()).unwrap(), None);
    directories.write("system/paths.d/a.json", PATHS);
    directories.write("user/paths.d/b.json", &PATHS.replace("/low", "/high").replace("stage1-images", "other"));
    directories.write("local/paths.d/ignored.txt", "{");
    directories.write("local/paths.d/directory.json/file.json", "{");
    std::os::unix::fs::symlink("/dev/zero", directories.home.path().join("local/paths.d/link.json")).unwrap();
    assert_eq!(Configuration::data_directory(&directories.all()).unwrap(), Some("/high".into()));
    assert_eq!(Configuration::images_of_flavors(&directories.all()).unwrap(), Some("/images".into()));
    assert_eq!(directories.read().unwrap().data(), Some("/high".into()));
}

#[test]
fn all_kinds_are_shown_as_programs_know_them() {
    let directories = Directories::new();
    directories.write(
        "local/auth.d/a.json",
        r#"{"rktKind":"auth","rktVersion":"v1","domains":["b.com","a.com"],"type":"basic",
            "credentials":{"user":"u","password":"p"}}"#,
    );
    directories.write(
        "local/auth.d/b.json",
        r#"{"rktKind":"auth","rktVersion":"v1","domains":["c.com"],"type":"oauth","credentials":{"token":"T"}}"#,
    );
    directories.write(
        "local/auth.d/c.json",
        r#"{"rktKind":"dockerAuth","rktVersion":"v1","registries":["quay.io"],
            "credentials":{"user":"u","password":"p"}}"#,
    );
    directories.write(
        "local/stage1.d/a.json",
        r#"{"rktKind":"stage1","rktVersion":"v1","name":"a.com/s","version":"1","location":"/s.aci"}"#,
    );
    let read = directories.read().unwrap();
    assert_eq!(
        read.shown(),
        json!({"stage0": [
            {"rktVersion":"v1","rktKind":"auth","domains":["a.com"],"type":"basic","credentials":{"user":"u","password":"p"}},
            {"rktVersion":"v1","rktKind":"auth","domains":["b.com"],"type":"basic","credentials":{"user":"u","password":"p"}},
            {"rktVersion":"v1","rktKind":"auth","domains":["c.com"],"type":"oauth","credentials":{"token":"T"}},
            {"rktVersion":"v1","rktKind":"dockerAuth","registries":["quay.io"],"credentials":{"user":"u","password":"p"}},
            {"rktVersion":"v1","rktKind":"paths","data":"","stage1-images":""},
            {"rktVersion":"v1","rktKind":"stage1","name":"a.com/s","version":"1","location":"/s.aci"},
        ]})
    );
    // What is written where things fail has no secrets.
    assert!(!format!("{read:?}").contains("\"p\""), "{read:?}");
}

#[test]
fn what_is_wrong_is_said_with_its_file() {
    let directories = Directories::new();
    for (path, text, why) in [
        ("local/paths.d/a.json", "{", "a.json\": EOF"),
        ("local/paths.d/a.json", r#"{"rktVersion":"v1"}"#, "no rktKind specified"),
        ("local/paths.d/a.json", r#"{"rktKind":"paths"}"#, "no rktVersion specified"),
        ("local/paths.d/a.json", r#"{"rktKind":"auth","rktVersion":"v1"}"#, "a file here is of kind paths, and not"),
        ("local/paths.d/a.json", r#"{"rktKind":"paths","rktVersion":"v2"}"#, "of version \"v2\""),
        ("local/paths.d/a.json", r#"{"rktKind":"paths","rktVersion":"v1","data":"x"}"#, "must be an absolute path"),
        (
            "local/auth.d/a.json",
            r#"{"rktKind":"auth","rktVersion":"v1","type":"basic","credentials":{"user":"u","password":"p"}}"#,
            "no domain is named",
        ),
        (
            "local/auth.d/a.json",
            r#"{"rktKind":"auth","rktVersion":"v1","domains":["a"],"type":"oauth","credentials":{"token":""}}"#,
            "no oauth bearer token",
        ),
        (
            "local/auth.d/a.json",
            r#"{"rktKind":"auth","rktVersion":"v1","domains":["a"],"type":"magic","credentials":{}}"#,
            "magic",
        ),
        ("local/stage1.d/a.json", r#"{"rktKind":"stage1","rktVersion":"v1","name":"a.com/s"}"#, "version is missing"),
        ("local/stage1.d/a.json", r#"{"rktKind":"stage1","rktVersion":"v1","location":"s.aci"}"#, "no absolute path"),
    ] {
        let said = directories.wrong(path, text);
        assert!(said.contains(why), "{text}: {said}");
    }
    directories.write("local/paths.d/a.json", PATHS);
    let twice = directories.wrong("local/paths.d/b.json", PATHS);
    assert!(twice.contains("b.json") && twice.ends_with("data directory is already specified"), "{twice}");
}
