//! Frames of the zstd format (RFC 8878): headers, sizes, skippable frames.

use skycap_model::MAX_BLOCK_BYTES;

use super::MAX_COMPRESSED_BLOCK_BYTES;
use crate::bytes::u32_le;

/// First bytes of a zstd frame, as a little endian number (RFC 8878, 3.1.1).
pub(crate) const ZSTD_MAGIC: u32 = 0xfd2f_b528;

/// First bytes of skippable frames but for the low four bits (RFC 8878, 3.1.2).
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

/// Magic number and size of a skippable frame.
pub(crate) const SKIPPABLE_HEADER_BYTES: usize = 8;

/// Tells whether a number begins a skippable frame of any kind.
pub(crate) const fn is_skippable(magic: u32) -> bool {
    magic & 0xffff_fff0 == SKIPPABLE_MAGIC
}

/// What the header of a block's frame says, once checked to be of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Size of the header with the magic number.
    pub(crate) bytes: usize,
    /// Decompressed size; below [`MAX_BLOCK_BYTES`].
    pub(crate) content: usize,
}

/// What is known of a frame by the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// The frame is whole, with that size.
    Whole(usize),
    /// The bytes end before it does.
    NeedMore,
    /// It is no frame of a block.
    Malformed(&'static str),
}

/// Reads a frame header: content size and checksum present, no dictionary, window at most 2^20.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<FrameHeader>, &'static str> {
    let Some(magic) = u32_le(bytes, 0) else { return Ok(None) };
    if magic != ZSTD_MAGIC {
        return Err("no zstd frame begins here");
    }
    let Some(&descriptor) = bytes.get(4) else { return Ok(None) };
    let single_segment = descriptor & 0x20 != 0;
    if descriptor & 0x08 != 0 {
        return Err("the frame sets a reserved bit");
    }
    if descriptor & 0x04 == 0 {
        return Err("the frame has no checksum");
    }
    if descriptor & 0x03 != 0 {
        return Err("the frame needs a dictionary");
    }
    let window_bytes = usize::from(!single_segment);
    let content_bytes = match (descriptor >> 6, single_segment) {
        (0, false) => return Err("the frame has no content size"),
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    let Some(content) = bytes.get(5 + window_bytes..5 + window_bytes + content_bytes) else { return Ok(None) };
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(content) {
        *to = *from;
    }
    let content = u64::from_le_bytes(wide) + if content_bytes == 2 { 256 } else { 0 };
    if content >= MAX_BLOCK_BYTES as u64 {
        return Err("the frame's content is larger than a block");
    }
    if !single_segment {
        let window = bytes.get(5).copied().unwrap_or_default();
        // window = 2^(10 + exponent) * (1 + mantissa / 8), so 2^20 is the largest one with exponent 10 (RFC 8878, 3.1.1.1.2)
        if window > 10 << 3 {
            return Err("the frame's window is larger than a block");
        }
    }
    Ok(Some(FrameHeader { bytes: 5 + window_bytes + content_bytes, content: content as usize }))
}

/// Finds where a frame ends, by its header and the headers of its blocks; decompresses nothing. Also tells how many bytes
/// were walked over, which bounds the work.
pub(crate) fn walk(bytes: &[u8]) -> (Walk, usize) {
    let header = match header(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return (Walk::NeedMore, 0),
        Err(reason) => return (Walk::Malformed(reason), 0),
    };
    let mut at = header.bytes;
    loop {
        if at > MAX_COMPRESSED_BLOCK_BYTES {
            return (Walk::Malformed("the frame is larger than a compressed block"), at);
        }
        let Some(&[a, b, c]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<3>) else { return (Walk::NeedMore, at) };
        let word = u32::from_le_bytes([a, b, c, 0]);
        let (last, kind, size) = (word & 1 != 0, word >> 1 & 3, (word >> 3) as usize);
        at += 3 + match kind {
            0 | 2 => size,
            1 => 1, // one byte repeated
            _ => return (Walk::Malformed("the frame has a block of reserved type"), at),
        };
        if last {
            break;
        }
    }
    at += 4; // checksum
    if at >= MAX_COMPRESSED_BLOCK_BYTES {
        return (Walk::Malformed("the frame is larger than a compressed block"), at);
    }
    (if at <= bytes.len() { Walk::Whole(at) } else { Walk::NeedMore }, at)
}

/// Appends the header of a skippable frame.
pub(crate) fn write_skippable_header(magic: u32, content: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&magic.to_le_bytes());
    out.extend_from_slice(&(content as u32).to_le_bytes());
}
