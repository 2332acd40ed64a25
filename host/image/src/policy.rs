//! What an archive may hold and how much of it: the bounds that keep a hostile image from filling
//! the disk, the memory or the time of the host.

/// What is done with the entries of an archive.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// How much an archive may hold.
    pub limits: Limits,
    /// What is done about device nodes.
    pub devices: Devices,
}

/// How much an archive may hold. The defaults are far above what images are and far below what hurts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the uncompressed archive. Default: 64 GiB.
    pub unpacked_bytes: u64,
    /// How many bytes may come out of each compressed byte, counted once more than
    /// [`Limits::RATIO_GRACE`] came out. Images come to 2 to 10. Default: 200.
    pub ratio: u64,
    /// Entries, those that only describe others included. Default: 1000000.
    pub entries: u64,
    /// Bytes of one path or link target, at most 4095 where the kernel is to take them (`PATH_MAX`).
    /// Default: 4095.
    pub path_bytes: usize,
    /// Directories above an entry. Default: 256.
    pub depth: usize,
    /// Bytes of the header that describes one entry, its extended attributes included. Default:
    /// 1 MiB.
    pub header_bytes: u64,
    /// Bytes of one extended attribute; the kernel takes no more than 65536. Default: 65536.
    pub attribute_bytes: usize,
    /// Bytes of the image manifest. Default: 16 MiB.
    pub manifest_bytes: u64,
}

impl Limits {
    /// Bytes that may come out of an archive before its ratio is looked at: small files of zeros
    /// are common.
    pub const RATIO_GRACE: u64 = 64 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: 64 << 30,
            ratio: 200,
            entries: 1_000_000,
            path_bytes: 4095,
            depth: 256,
            header_bytes: 1 << 20,
            attribute_bytes: 65536,
            manifest_bytes: 16 << 20,
        }
    }
}

/// What is done about device nodes in an image. The specification allows them, but a node made from
/// an image is a way to the host's devices, and a pod gets its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Devices {
    /// An image with one is refused.
    #[default]
    Refuse,
    /// They are left out.
    Skip,
}
