//! Path whitelists: which paths of an image, and of those below it, a rendered tree has (specification,
//! "Image Manifest Schema", `pathWhitelist`).

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use rkt_appc::image::WhitelistPath;

/// The paths that one image lists.
#[derive(Debug)]
pub(super) struct Whitelist {
    /// What is listed, relative to the root.
    listed: HashSet<PathBuf>,
    /// The directories that lead to something listed.
    above: HashSet<PathBuf>,
}

impl Whitelist {
    /// None where nothing is listed, which means everything.
    pub(super) fn of(paths: &[WhitelistPath]) -> Option<Self> {
        if paths.is_empty() {
            return None;
        }
        let listed: HashSet<PathBuf> = paths.iter().map(|path| cleaned(path.as_str())).collect();
        let above = listed.iter().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).collect();
        Some(Self { listed, above })
    }

    /// Whether a path, relative to the root, may be there. A directory also may where it leads to one
    /// that may.
    pub(super) fn allows(&self, path: &Path, is_directory: bool) -> bool {
        self.listed.contains(path) || is_directory && self.above.contains(path)
    }
}

/// The path relative to the root, without what says nothing. One that leads up allows what is never there.
fn cleaned(path: &str) -> PathBuf {
    let parts = Path::new(path).components();
    parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Option<Whitelist> {
        let paths: Vec<WhitelistPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
        Whitelist::of(&paths)
    }

    #[test]
    fn nothing_listed_is_no_list() {
        assert!(of(&[]).is_none());
    }

    #[test]
    fn what_is_listed_is_allowed_and_the_directories_on_the_way_to_it() {
        let list = of(&["/a/b/c", "/etc//ssl/./", "/usr/../top"]).unwrap();
        let table = [
            ("", true, true),
            ("a", true, true),
            ("a", false, false),
            ("a/b", true, true),
            ("a/b/c", false, true),
            ("a/b/c", true, true),
            ("a/b/c/d", false, false),
            ("a/b/d", false, false),
            ("etc/ssl", true, true),
            ("etc/ssl/cert", false, false),
            ("top", false, false),
        ];
        for (path, is_directory, allowed) in table {
            assert_eq!(list.allows(Path::new(path), is_directory), allowed, "{path} {is_directory}");
        }
    }
}
