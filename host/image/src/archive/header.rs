//! One header block of a tar archive, as it stands there: ustar (POSIX.1-2017, pax, "ustar
//! Interchange Format") or GNU's variant of it.

use super::numbers;

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

/// The fields of a header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: u8,
    pub(super) size: u64,
    pub(super) mode: u64,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: i64,
}

impl Header {
    /// # Errors
    /// With the reason, where the block is no header of a known form.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, &'static str> {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let fields = header.as_old();
        if numbers::unsigned(&fields.cksum) != Some(checksum(block)) {
            return Err("the checksum of a header is wrong");
        }
        let number = |field: &[u8], what| numbers::unsigned(field).ok_or(what);
        Ok(Self {
            name: name(&header)?,
            link: text(&fields.linkname).to_vec(),
            kind: fields.linkflag[0],
            size: number(&fields.size, "a header has a bad size")?,
            mode: number(&fields.mode, "a header has a bad mode")?,
            uid: number(&fields.uid, "a header has a bad user ID")?,
            gid: number(&fields.gid, "a header has a bad group ID")?,
            mtime: numbers::signed(&fields.mtime).ok_or("a header has a bad time")?,
        })
    }
}

/// The sum of all bytes, those of the checksum itself taken for spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    sum(&block[..148]) + 8 * u64::from(b' ') + sum(&block[156..])
}

/// The name, of two parts in ustar.
fn name(header: &tar::Header) -> Result<Vec<u8>, &'static str> {
    if let Some(ustar) = header.as_ustar() {
        // star keeps times in the second half of what ustar calls the prefix.
        if header.as_bytes().ends_with(b"tar\0") {
            return Err("a header is of star's own form, which readers do not agree on");
        }
        let (prefix, name) = (text(&ustar.prefix), text(&ustar.name));
        return Ok(if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() });
    }
    match header.as_gnu() {
        Some(gnu) => Ok(text(&gnu.name).to_vec()),
        None => Err("a header is neither of ustar's nor of GNU's form"),
    }
}

/// What a field holds up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}
