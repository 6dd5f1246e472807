//! The seek table of the zstd seekable format, and the plan of an object that a reader makes of it.

use skycap_model::MAX_BLOCK_BYTES;
use thiserror::Error;

use super::{
    MAX_COMPRESSED_BLOCK_BYTES,
    frame::{SKIPPABLE_HEADER_BYTES, write_skippable_header},
    part::{MAX_RECORD_BYTES, PartRecord},
};
use crate::{bytes::u32_le, record::FILE_HEADER_BYTES};

/// Magic number of the skippable frame that holds the seek table.
pub(crate) const SEEK_TABLE_MAGIC: u32 = 0x184d_2a5e;
/// Last four bytes of a seek table.
pub(crate) const FOOTER_MAGIC: u32 = 0x8f92_eab1;
/// Number of frames, descriptor, magic.
const FOOTER_BYTES: usize = 9;
/// Descriptor bit: each entry has four more bytes of checksum.
const CHECKSUMS: u8 = 0x80;
/// Descriptor bits that must be 0.
const RESERVED: u8 = 0x7c;

/// Most frames of one object: prologue, records and blocks.
pub const MAX_FRAMES: usize = 1 << 20;

/// Largest seek table that is read, in bytes.
pub const MAX_SEEK_TABLE_BYTES: usize = SKIPPABLE_HEADER_BYTES + MAX_FRAMES * 12 + FOOTER_BYTES;

/// How much of an object's end to fetch at first: enough for some 8,000 frames.
pub const TAIL_BYTES: u64 = 64 * 1024;

/// One frame of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the object.
    pub offset: u64,
    /// Its size in bytes.
    pub compressed_size: u32,
    /// Size of its content; 0 for records, 24 for the prologue.
    pub decompressed_size: u32,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockReference {
    /// Where its frame begins in the object.
    pub offset: u64,
    /// Size of the frame in bytes.
    pub compressed_size: u32,
    /// Size of its packet records in bytes.
    pub decompressed_size: u32,
    /// How many packets it has, where a part record says so.
    pub packets: Option<u32>,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The tail given is too short: fetch that many bytes of the object's end.
    #[error("the seek table needs the last {0} bytes")]
    NeedTail(u64),
    /// The object doesn't end in a seek table: cut, or of a sensor that died. Walk it.
    #[error("the object has no seek table")]
    Missing,
    /// There is one, and it is not to be trusted. Walk the object.
    #[error("the seek table is not trusted: {0}")]
    Untrusted(&'static str),
}

/// Frames of an object, by its seek table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    frames: Vec<Frame>,
    seek_table_offset: u64,
}

impl Plan {
    /// Reads the seek table from the last bytes of an object ([`TAIL_BYTES`] at first).
    ///
    /// It is trusted only if the sizes add up to its own place and each is one that a writer makes.
    ///
    /// # Errors
    /// [`PlanError`]; `NeedTail` never asks for more than [`MAX_SEEK_TABLE_BYTES`].
    pub fn from_tail(object_size: u64, tail: &[u8]) -> Result<Self, PlanError> {
        let wanted = (FOOTER_BYTES as u64).min(object_size);
        if (tail.len() as u64) < wanted {
            return Err(PlanError::NeedTail(wanted));
        }
        let Some((_, footer)) = tail.split_last_chunk::<FOOTER_BYTES>() else { return Err(PlanError::Missing) };
        let (Some(count), Some(FOOTER_MAGIC)) = (u32_le(footer, 0), u32_le(footer, 5)) else {
            return Err(PlanError::Missing);
        };
        let (descriptor, count) = (footer[4], count as usize);
        if descriptor & RESERVED != 0 || count > MAX_FRAMES {
            return Err(PlanError::Untrusted("its footer is of no writer known"));
        }
        let size = SKIPPABLE_HEADER_BYTES + count * entry_bytes(descriptor) + FOOTER_BYTES;
        let place = object_size.checked_sub(size as u64).ok_or(PlanError::Untrusted("it is larger than the object"))?;
        let start = tail.len().checked_sub(size).ok_or(PlanError::NeedTail(size as u64))?;
        Self::from_table(place, tail.get(start..).unwrap_or_default())
    }

    /// Reads a whole seek table that lies at `place` in the object.
    pub(crate) fn from_table(place: u64, table: &[u8]) -> Result<Self, PlanError> {
        let untrusted = PlanError::Untrusted;
        let (Some(SEEK_TABLE_MAGIC), Some(length)) = (u32_le(table, 0), u32_le(table, 4)) else {
            return Err(untrusted("it has no header"));
        };
        let content = table.get(SKIPPABLE_HEADER_BYTES..).unwrap_or_default();
        let Some((entries, footer)) = content.split_last_chunk::<FOOTER_BYTES>() else {
            return Err(untrusted("it is too short"));
        };
        let (Some(count), Some(FOOTER_MAGIC)) = (u32_le(footer, 0), u32_le(footer, 5)) else {
            return Err(untrusted("it has no footer"));
        };
        let each = entry_bytes(footer[4]);
        let fits = footer[4] & RESERVED == 0
            && count as usize <= MAX_FRAMES
            && content.len() == length as usize
            && entries.len() == count as usize * each;
        if !fits {
            return Err(untrusted("its lengths disagree"));
        }
        let (mut frames, mut offset) = (Vec::with_capacity(count as usize), 0u64);
        for entry in entries.chunks_exact(each) {
            let (Some(compressed_size), Some(decompressed_size)) = (u32_le(entry, 0), u32_le(entry, 4)) else {
                return Err(untrusted("its lengths disagree"));
            };
            let most = if decompressed_size == 0 {
                MAX_RECORD_BYTES + SKIPPABLE_HEADER_BYTES
            } else {
                MAX_COMPRESSED_BLOCK_BYTES - 1
            };
            if compressed_size < 8 || compressed_size as usize > most || decompressed_size as usize >= MAX_BLOCK_BYTES {
                return Err(untrusted("a frame has an impossible size"));
            }
            frames.push(Frame { offset, compressed_size, decompressed_size });
            offset += u64::from(compressed_size);
        }
        if offset != place {
            return Err(untrusted("its sizes do not add up to its place"));
        }
        if frames.first().is_none_or(|first| first.decompressed_size as usize != FILE_HEADER_BYTES) {
            return Err(untrusted("it has no prologue"));
        }
        Ok(Self { frames, seek_table_offset: place })
    }

    /// All frames in order: prologue, records, blocks.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The blocks in order; a reader that needs packet counts reads the records too.
    pub fn blocks(&self) -> impl Iterator<Item = BlockReference> {
        self.frames.iter().skip(1).filter(|frame| frame.decompressed_size > 0).map(|frame| BlockReference {
            offset: frame.offset,
            compressed_size: frame.compressed_size,
            decompressed_size: frame.decompressed_size,
            packets: None,
        })
    }

    /// The records in order, of parts and of other kinds.
    pub fn records(&self) -> impl Iterator<Item = Frame> {
        self.frames.iter().copied().filter(|frame| frame.decompressed_size == 0)
    }

    /// Where the seek table begins, which is where the frames end.
    #[must_use]
    pub fn seek_table_offset(&self) -> u64 {
        self.seek_table_offset
    }
}

impl PartRecord {
    /// The part's blocks, the first of which lies at `offset` in the object.
    pub fn references(&self, offset: u64) -> impl Iterator<Item = BlockReference> {
        self.blocks.iter().scan(offset, |next, block| {
            let offset = *next;
            *next = next.saturating_add(u64::from(block.compressed_size));
            let (compressed_size, decompressed_size) = (block.compressed_size, block.decompressed_size);
            Some(BlockReference { offset, compressed_size, decompressed_size, packets: Some(block.packets) })
        })
    }
}

const fn entry_bytes(descriptor: u8) -> usize {
    if descriptor & CHECKSUMS == 0 { 8 } else { 12 }
}

/// Writes the seek table of frames given as (compressed, decompressed) size.
pub(crate) fn write_seek_table(frames: &[(u32, u32)]) -> Vec<u8> {
    let content = frames.len() * 8 + FOOTER_BYTES;
    let mut out = Vec::with_capacity(SKIPPABLE_HEADER_BYTES + content);
    write_skippable_header(SEEK_TABLE_MAGIC, content, &mut out);
    for (compressed, decompressed) in frames {
        out.extend_from_slice(&compressed.to_le_bytes());
        out.extend_from_slice(&decompressed.to_le_bytes());
    }
    out.extend_from_slice(&(frames.len() as u32).to_le_bytes());
    out.push(0);
    out.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_trust() {
        let frames = [(37, 24), (100, 0), (5000, 9000), (80, 0), (70, 500)];
        let table = write_seek_table(&frames);
        let place: u32 = frames.iter().map(|frame| frame.0).sum();
        let size = u64::from(place) + table.len() as u64;
        let plan = Plan::from_tail(size, &table).unwrap();
        assert_eq!(plan.blocks().map(|block| block.offset).collect::<Vec<_>>(), [137, 5217]);
        assert_eq!(plan.records().map(|record| record.offset).collect::<Vec<_>>(), [37, 5137]);
        assert_eq!(plan.seek_table_offset(), u64::from(place));
        assert_eq!(Plan::from_tail(size, &table[table.len() - 9..]), Err(PlanError::NeedTail(table.len() as u64)));
        assert!(matches!(Plan::from_tail(size + 1, &table), Err(PlanError::Untrusted(_))));
        assert_eq!(Plan::from_tail(size, &[0; 64]), Err(PlanError::Missing));
        assert_eq!(Plan::from_tail(0, &[]), Err(PlanError::Missing));
        assert_eq!(Plan::from_tail(5, &[1]), Err(PlanError::NeedTail(5)));
        for at in 0..table.len() {
            let mut changed = table.clone();
            changed[at] ^= 0x10;
            let _ = Plan::from_tail(size, &changed);
        }
    }
}
