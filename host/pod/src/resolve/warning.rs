//! What the user should know of a pod that is resolved.

use std::fmt;

use rkt_appc::AcName;

/// Something that was decided in the user's stead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// An image expects a volume that nobody gave.
    ImplicitVolume {
        /// Its mount point.
        mount_point: AcName,
    },
    /// A volume that was declared, and that no app mounts.
    UnusedVolume {
        /// Its name.
        volume: AcName,
    },
    /// An image for another architecture, which runs only where the kernel knows how.
    OtherArchitecture {
        /// The app.
        app: AcName,
        /// What its image is for.
        image: &'static str,
        /// What the host is.
        host: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImplicitVolume { mount_point } => write!(
                f,
                "no volume specified for mount point {:?}, implicitly creating an \"empty\" volume. This volume will \
                 be removed when the pod is garbage-collected.",
                mount_point.as_str()
            ),
            Self::UnusedVolume { volume } => write!(
                f,
                "no app uses volume {:?}: none has a mount of it, nor a mount point of its name",
                volume.as_str()
            ),
            Self::OtherArchitecture { app, image, host } => {
                write!(f, "the image of app {:?} is for {image}, this host is {host}", app.as_str())
            }
        }
    }
}
