//! Operating systems and architectures as images name them (specification, "Image Manifest Schema",
//! `labels`).

use crate::Labels;

/// Each operating system and the architectures that images for it may name.
const KNOWN: [(&str, &[&str]); 3] = [
    ("linux", &["amd64", "i386", "aarch64", "aarch64_be", "armv6l", "armv7l", "armv7b", "ppc64", "ppc64le", "s390x"]),
    ("freebsd", &["amd64", "i386", "arm"]),
    ("darwin", &["x86_64", "i386"]),
];

/// An architecture of Linux whose images rkt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// 64-bit x86.
    Amd64,
    /// 32-bit x86.
    I386,
    /// 64-bit ARM.
    Aarch64,
    /// 64-bit ARM, big-endian.
    Aarch64Be,
    /// 32-bit ARM, version 6.
    Armv6l,
    /// 32-bit ARM, version 7.
    Armv7l,
    /// 32-bit ARM, version 7, big-endian.
    Armv7b,
    /// 64-bit PowerPC, little-endian.
    Ppc64le,
}

/// An operating system or architecture that is missing, unknown, or not run by rkt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// The image does not say.
    #[error("missing {0} label in the image manifest")]
    Missing(&'static str),
    /// No such operating system.
    #[error("bad os {os:?} (must be one of: [{}])", known.join(" "))]
    Os {
        /// What the image says.
        os: String,
        /// What it could say.
        known: Vec<&'static str>,
    },
    /// No such architecture for this operating system.
    #[error("bad arch {arch:?} for {os} (must be one of: [{}])", known.join(" "))]
    Arch {
        /// What the image says.
        arch: String,
        /// Of this operating system.
        os: String,
        /// What it could say.
        known: Vec<&'static str>,
    },
}

const RUNNABLE: [(&str, Platform); 8] = [
    ("amd64", Platform::Amd64),
    ("i386", Platform::I386),
    ("aarch64", Platform::Aarch64),
    ("aarch64_be", Platform::Aarch64Be),
    ("armv6l", Platform::Armv6l),
    ("armv7l", Platform::Armv7l),
    ("armv7b", Platform::Armv7b),
    ("ppc64le", Platform::Ppc64le),
];

impl Platform {
    /// The platform that an image is for. Both labels must be there, and be of Linux and an
    /// architecture that rkt runs; whether it is this host's is another question.
    ///
    /// # Errors
    /// Where one is missing or is not of that kind.
    pub fn of(labels: &Labels) -> Result<Self, PlatformError> {
        let os = labels.get("os").ok_or(PlatformError::Missing("os"))?;
        let arch = labels.get("arch").ok_or(PlatformError::Missing("arch"))?;
        if os != "linux" {
            let known = vec!["linux"];
            return Err(PlatformError::Os { os: os.to_owned(), known });
        }
        let runnable = RUNNABLE.iter().find(|(name, _)| *name == arch);
        runnable.map(|(_, platform)| *platform).ok_or_else(|| PlatformError::Arch {
            arch: arch.to_owned(),
            os: os.to_owned(),
            known: RUNNABLE.iter().map(|(name, _)| *name).collect(),
        })
    }

    /// What the architecture is called in labels.
    pub fn arch(self) -> &'static str {
        let (name, _) =
            RUNNABLE.iter().find(|(_, platform)| *platform == self).expect("the table holds every platform");
        name
    }
}

/// Whether the specification allows these labels; they need not be there.
pub(crate) fn check(labels: &Labels) -> Result<(), PlatformError> {
    let Some(os) = labels.get("os") else {
        return Ok(());
    };
    let Some((_, known)) = KNOWN.iter().find(|(name, _)| *name == os) else {
        let known = KNOWN.iter().map(|(name, _)| *name).collect();
        return Err(PlatformError::Os { os: os.to_owned(), known });
    };
    match labels.get("arch") {
        Some(arch) if !known.contains(&arch) => {
            Err(PlatformError::Arch { arch: arch.to_owned(), os: os.to_owned(), known: known.to_vec() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(os: &str, arch: &str) -> Labels {
        let pair =
            |name: &str, value: &str| (!value.is_empty()).then(|| format!(r#"{{"name":"{name}","value":"{value}"}}"#));
        let list: Vec<_> = [pair("os", os), pair("arch", arch)].into_iter().flatten().collect();
        serde_json::from_str(&format!("[{}]", list.join(","))).unwrap()
    }

    #[test]
    fn manifests_may_name_known_pairs_or_nothing() {
        for (os, archs) in KNOWN {
            for arch in archs {
                assert_eq!(check(&labels(os, arch)), Ok(()));
            }
            assert!(check(&labels(os, "z80")).is_err());
        }
        assert_eq!(check(&labels("", "")), Ok(()));
        assert_eq!(check(&labels("", "z80")), Ok(()));
        assert_eq!(check(&labels("linux", "")), Ok(()));
        assert!(check(&labels("darwin", "amd64")).is_err());
        let error = check(&labels("plan9", "amd64")).unwrap_err().to_string();
        assert_eq!(error, "bad os \"plan9\" (must be one of: [linux freebsd darwin])");
    }

    #[test]
    fn only_images_of_linux_that_say_so_can_be_run() {
        for (arch, platform) in RUNNABLE {
            assert_eq!(Platform::of(&labels("linux", arch)), Ok(platform));
            assert_eq!(platform.arch(), arch);
        }
        let error = |os, arch| Platform::of(&labels(os, arch)).unwrap_err().to_string();
        assert_eq!(error("", "amd64"), "missing os label in the image manifest");
        assert_eq!(error("linux", ""), "missing arch label in the image manifest");
        assert_eq!(error("freebsd", "amd64"), "bad os \"freebsd\" (must be one of: [linux])");
        let expected = "bad arch \"s390x\" for linux (must be one of: [amd64 i386 aarch64 \
                        aarch64_be armv6l armv7l armv7b ppc64le])";
        assert_eq!(error("linux", "s390x"), expected);
    }
}
