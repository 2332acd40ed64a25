//! Layers as one tree, to be read by rkt itself: nobody writes to them meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rkt_sys::mount::{Attributes, Overlay};
use rkt_sys::root::Root;

use crate::failure::Failure;

/// The trees of an image, topmost first, as one. Of several it is attached nowhere and cannot be written to; nothing in
/// it can be run or is a device.
///
/// # Errors
/// A tree is not there, or the kernel refuses to put them together.
pub fn of_image(trees: &[PathBuf]) -> Result<Root, Failure> {
    let mut trees = open(trees)?;
    if trees.len() == 1 {
        return Ok(trees.remove(0));
    }
    let lower: Vec<_> = trees.iter().map(Root::as_fd).collect();
    Root::from_fd(stack(&lower)?).map_err(Failure::of(|| "look at the layers"))
}

/// What an app has changed over the trees of its image, likewise.
///
/// # Errors
/// As for [`of_image`].
pub fn of_app(changes: impl AsFd, trees: &[PathBuf]) -> Result<OwnedFd, Failure> {
    let trees = open(trees)?;
    let lower: Vec<_> = std::iter::once(changes.as_fd()).chain(trees.iter().map(Root::as_fd)).collect();
    stack(&lower)
}

fn open(trees: &[PathBuf]) -> Result<Vec<Root>, Failure> {
    trees
        .iter()
        .map(|tree| Root::open(tree))
        .collect::<Result<_, _>>()
        .map_err(Failure::of(|| "open the trees of an image"))
}

fn stack(lower: &[BorrowedFd<'_>]) -> Result<OwnedFd, Failure> {
    let overlay = Overlay { name: "rkt-read", lower, upper: None, flags: &[] };
    let attributes = Attributes::MOUNT_ATTR_RDONLY
        | Attributes::MOUNT_ATTR_NODEV
        | Attributes::MOUNT_ATTR_NOSUID
        | Attributes::MOUNT_ATTR_NOEXEC;
    overlay.mount(attributes).map_err(Failure::of(|| "mount the layers"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read as _;

    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn what_is_in_a_lower_tree_stays_unless_something_of_an_upper_is_in_its_place() {
        let home = tempfile::tempdir().unwrap();
        let [upper, lower] = ["upper", "lower"].map(|name| home.path().join(name));
        for (tree, own) in [(&upper, "upper"), (&lower, "lower")] {
            fs::create_dir_all(tree.join("sub")).unwrap();
            for file in ["both", own] {
                fs::write(tree.join("sub").join(file), own).unwrap();
            }
        }
        let seen = of_image(&[upper, lower.clone()]).unwrap();
        let read = |root: &Root, path: &str| {
            let file = rustix::fs::openat(root, path, OFlags::RDONLY, Mode::empty()).map(File::from);
            let mut text = String::new();
            file.unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(["sub/both", "sub/upper", "sub/lower"].map(|path| read(&seen, path)), ["upper", "upper", "lower"]);
        assert_eq!(read(&of_image(&[lower]).unwrap(), "sub/both"), "lower");
    }
}
