//! Whom an app runs as: names, ids and files of its image become numbers, once, for all flavors.
//!
//! Names are looked up before digits are taken as an id (specification, "Image Manifest Schema"). The
//! files belong to the image: they are opened in its root, are regular, and have a limit to their size.

use std::path::Path;

use rkt_appc::{Owner, UnixId};
use rkt_plan::Credentials;
use rkt_sys::root::Root;
use rustix::io::Errno;

/// The largest user or group file that is read: some thousand times what a distribution has.
const LARGEST: u64 = 4 << 20;

/// Where an image's users and groups are looked up.
#[derive(Debug)]
pub enum ImageFiles {
    /// The image's root directory.
    Tree(Root),
    /// An archive that was looked into: its user and group files, where it has them.
    Archive {
        /// `/etc/passwd`.
        passwd: Option<Vec<u8>>,
        /// `/etc/group`.
        group: Option<Vec<u8>>,
    },
}

/// Whom an app asks to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    pub(crate) user: &'a Owner,
    pub(crate) group: &'a Owner,
    pub(crate) supplementary: &'a [UnixId],
    /// Whether a group that has the user's name and does not exist stands for the user's own number.
    /// Images made from Docker's name such groups.
    pub(crate) group_may_follow_user: bool,
}

/// The numbers for the names.
///
/// # Errors
/// Where a name or file is not in the image, or an id is none.
pub(crate) fn resolve(files: &ImageFiles, wanted: &Wanted<'_>) -> Result<Credentials, UserError> {
    let passwd = Table::of(files, "/etc/passwd")?;
    let group = Table::of(files, "/etc/group")?;
    let uid = id(files, &passwd, wanted.user, Kind::User)?;
    let gid = match id(files, &group, wanted.group, Kind::Group) {
        Err(UserError::Unknown { .. }) if wanted.group_may_follow_user && wanted.group == wanted.user => uid,
        other => other?,
    };
    let mut groups: Vec<u32> = wanted.supplementary.iter().map(|id| id.get()).collect();
    if let Some(name) = user_name(&passwd, wanted.user) {
        groups.extend(group.entries().filter(|entry| entry.has_member(name)).filter_map(|entry| entry.id().ok()));
    }
    groups.retain(|id| *id != gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Credentials { uid, gid, groups })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

fn id(files: &ImageFiles, table: &Table, owner: &Owner, kind: Kind) -> Result<u32, UserError> {
    match owner {
        Owner::OfFile(path) => owner_of(files, path, kind),
        Owner::Id(id) => match table.find(&id.to_string()) {
            Some(entry) => entry.id(),
            None => Ok(id.get()),
        },
        Owner::Name(name) => match table.find(name) {
            Some(entry) => entry.id(),
            // Every system has this one, also in an image without the file.
            None if name == "root" => Ok(0),
            None => Err(UserError::Unknown { kind: kind.word(), name: name.clone(), file: table.path }),
        },
    }
}

/// The name under which the group file may list the user.
fn user_name<'a>(passwd: &'a Table, user: &'a Owner) -> Option<&'a str> {
    match user {
        Owner::Name(name) => Some(name),
        Owner::Id(id) => {
            passwd.entries().find(|entry| entry.id().is_ok_and(|own| own == id.get())).map(|entry| entry.name)
        }
        Owner::OfFile(_) => None,
    }
}

fn owner_of(files: &ImageFiles, path: &str, kind: Kind) -> Result<u32, UserError> {
    let ImageFiles::Tree(root) = files else {
        return Err(UserError::NotUnpacked { path: path.to_owned() });
    };
    let stat = root.stat(Path::new(path)).map_err(|error| UserError::file(path, &error))?;
    let id = match kind {
        Kind::User => stat.st_uid,
        Kind::Group => stat.st_gid,
    };
    checked(&id.to_string())
}

impl UserError {
    fn file(path: &str, error: &rkt_sys::Error) -> Self {
        let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        Self::File { path: path.to_owned(), why }
    }
}

fn checked(text: &str) -> Result<u32, UserError> {
    let invalid = || UserError::Id { text: text.to_owned() };
    let number: i64 = text.parse().map_err(|_| invalid())?;
    UnixId::try_from(number).map(UnixId::get).map_err(|_| invalid())
}

/// The lines of passwd(5) or group(5).
struct Table {
    path: &'static str,
    text: String,
}

impl Table {
    fn of(files: &ImageFiles, path: &'static str) -> Result<Self, UserError> {
        let content = match files {
            ImageFiles::Tree(root) => match root.read_file(Path::new(path), LARGEST) {
                Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NOTDIR)) => Vec::new(),
                other => other.map_err(|error| UserError::file(path, &error))?,
            },
            ImageFiles::Archive { passwd, group } => {
                let content = if path == "/etc/passwd" { passwd } else { group };
                content.clone().unwrap_or_default()
            }
        };
        // A name that is no text can be asked for by nobody.
        Ok(Self { path, text: String::from_utf8_lossy(&content).into_owned() })
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.text.lines().filter_map(Entry::parse)
    }

    fn find(&self, name: &str) -> Option<Entry<'_>> {
        self.entries().find(|entry| entry.name == name)
    }
}

struct Entry<'a> {
    name: &'a str,
    id: &'a str,
    /// Of a line of group(5), the members.
    rest: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(4, ':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        (!name.is_empty()).then(|| Self { name, id, rest: fields.next().unwrap_or_default() })
    }

    fn id(&self) -> Result<u32, UserError> {
        checked(self.id)
    }

    fn has_member(&self, name: &str) -> bool {
        self.rest.split(',').any(|member| member.trim() == name)
    }
}

/// Whom an app cannot run as.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A name that the image does not have.
    #[error("no {kind} {name:?} in the image's {file}")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// An id that is none.
    #[error("{text:?} is no id of a user or group: it is 0 to 2147483646")]
    Id {
        /// As the image has it.
        text: String,
    },
    /// A file of the image.
    #[error("cannot look at the image's {path}: {why}")]
    File {
        /// Its path in the image.
        path: String,
        /// Why, in words and not as a source: whoever shows the innermost reason only needs the path too.
        why: String,
    },
    /// A file whose owner is not known before the image is unpacked.
    #[error("the owner of {path} is known once the image is in the store")]
    NotUnpacked {
        /// Its path in the image.
        path: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/:/bin/sh\n\n# odd\nweb:x:33:33::/:\nbig:x:4294967295:1::/:\n1000:x:7:7::/:\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlog:x:4:web,other\nadm:x:5: web\n";

    fn files(passwd: &str) -> ImageFiles {
        ImageFiles::Archive { passwd: Some(passwd.into()), group: Some(GROUP.into()) }
    }

    fn who(user: &str, group: &str, supplementary: &[UnixId], docker: bool) -> Result<Credentials, UserError> {
        let (user, group) = (user.parse().unwrap(), group.parse().unwrap());
        let wanted = Wanted { user: &user, group: &group, supplementary, group_may_follow_user: docker };
        resolve(&files(PASSWD), &wanted)
    }

    fn ids(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials { uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn names_come_before_numbers_and_bring_their_groups() {
        let many = [UnixId::MAX, UnixId::ROOT, UnixId::ROOT];
        assert_eq!(who("web", "web", &many, false).unwrap(), ids(33, 33, &[0, 4, 5, 0x7fff_fffe]));
        assert_eq!(who("33", "0", &[], false).unwrap(), ids(33, 0, &[4, 5]));
        assert_eq!(who("1000", "1000", &[], false).unwrap(), ids(7, 1000, &[]));
        assert_eq!(who("500", "4", &[], false).unwrap(), ids(500, 4, &[]));
    }

    #[test]
    fn root_needs_no_file() {
        let none = ImageFiles::Archive { passwd: None, group: None };
        let root: Owner = "root".parse().unwrap();
        let wanted = Wanted { user: &root, group: &root, supplementary: &[], group_may_follow_user: false };
        assert_eq!(resolve(&none, &wanted).unwrap(), ids(0, 0, &[]));
    }

    #[test]
    fn what_the_image_does_not_have_is_refused() {
        let text = |error: Result<Credentials, UserError>| error.unwrap_err().to_string();
        assert_eq!(text(who("nobody", "0", &[], false)), "no user \"nobody\" in the image's /etc/passwd");
        assert_eq!(text(who("0", "nobody", &[], true)), "no group \"nobody\" in the image's /etc/group");
        assert!(text(who("big", "0", &[], false)).contains("4294967295"));
        assert!(text(who("/bin/sh", "0", &[], false)).contains("/bin/sh"));
    }

    #[test]
    fn a_group_of_docker_that_does_not_exist_is_the_users_number() {
        let passwd = "app:x:12:99::/:\n";
        let app: Owner = "app".parse().unwrap();
        let wanted = |docker| Wanted { user: &app, group: &app, supplementary: &[], group_may_follow_user: docker };
        assert_eq!(resolve(&files(passwd), &wanted(true)).unwrap(), ids(12, 12, &[]));
        assert!(resolve(&files(passwd), &wanted(false)).is_err());
    }

    #[test]
    fn i17_user_files_that_are_links_out_or_no_files_are_not_followed() {
        use std::os::unix::fs::symlink;

        let image = tempfile::tempdir().unwrap();
        std::fs::create_dir(image.path().join("etc")).unwrap();
        let tree = || ImageFiles::Tree(Root::open(image.path()).unwrap());
        let web: Owner = "web".parse().unwrap();
        let root: Owner = "0".parse().unwrap();
        let wanted = Wanted { user: &web, group: &root, supplementary: &[], group_may_follow_user: false };

        // The link's target is looked up in the image, not on the host.
        symlink("/proc/../etc/own", image.path().join("etc/passwd")).unwrap();
        assert!(resolve(&tree(), &wanted).is_err());
        std::fs::create_dir(image.path().join("proc")).unwrap();
        std::fs::write(image.path().join("etc/own"), "web:x:5:5::/:\n").unwrap();
        assert_eq!(resolve(&tree(), &wanted).unwrap().uid, 5);

        std::fs::remove_file(image.path().join("etc/passwd")).unwrap();
        std::fs::create_dir(image.path().join("etc/passwd")).unwrap();
        assert!(matches!(resolve(&tree(), &wanted), Err(UserError::File { .. })));

        std::fs::remove_dir(image.path().join("etc/passwd")).unwrap();
        let large = std::fs::File::create(image.path().join("etc/passwd")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        assert!(matches!(resolve(&tree(), &wanted), Err(UserError::File { .. })));
    }
}
