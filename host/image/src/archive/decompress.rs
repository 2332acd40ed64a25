//! The compressions that an ACI can have (specification, "Image Archives"), and zstd.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use super::ArchiveError;

/// Memory that an xz decoder may take. `xz -9` needs 65 MiB; a header can ask for 4 GiB.
const XZ_MEMORY: u64 = 256 << 20;
/// The largest window that a zstd decoder may take, as a power of two: 128 MiB, the format's own
/// recommendation for decoders.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Where a tar header has its magic, and the magic that all archives of this age have.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// The uncompressed bytes of `input`, whose compression its first bytes tell.
///
/// `input` must have a buffer of at least 512 bytes. Where an archive was compressed in several
/// pieces all are read; whatever else follows is an error of the decoder, so that what was read is
/// always the whole input.
pub(super) fn decompress<'a, R: BufRead + 'a>(mut input: R) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let start = input.fill_buf().map_err(ArchiveError::Read)?;
    let (at, magic) = TAR_MAGIC;
    let has = |magic: &[u8]| start.starts_with(magic);
    if has(b"\x1f\x8b") {
        Ok(Box::new(MultiGzDecoder::new(input)))
    } else if has(b"BZh") {
        Ok(Box::new(MultiBzDecoder::new(input)))
    } else if has(b"\xfd7zXZ\0") {
        let stream =
            Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|cause| ArchiveError::Read(cause.into()))?;
        Ok(Box::new(XzDecoder::new_stream(input, stream)))
    } else if has(b"\x28\xb5\x2f\xfd") {
        zstd(input).map_err(ArchiveError::Read)
    } else if start.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
        Ok(Box::new(input))
    } else {
        Err(ArchiveError::Format)
    }
}

fn zstd<'a, R: BufRead + 'a>(input: R) -> io::Result<Box<dyn Read + 'a>> {
    let mut decoder = zstd::Decoder::with_buffer(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(Box::new(decoder))
}
