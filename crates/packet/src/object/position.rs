//! Where a packet is: block and offset in it, and the gap encoding of a session's positions.

use thiserror::Error;

/// Low bits of a position that address a byte of the decompressed block.
pub const BLOCK_BITS: u32 = 20;

/// Largest offset of a block that a position can hold and every JSON reader still reads exactly (2^53).
pub const MAX_BLOCK_OFFSET: u64 = (1 << (53 - BLOCK_BITS)) - 1;

/// Most bytes that one position takes in a [`PositionList`].
pub const MAX_ENCODED_BYTES: usize = 10;

/// Place of a packet's record: offset of its block in the object, times 2^20, plus offset in the decompressed block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Joins the two offsets; both are cut to their bits, which blocks and objects within their limits never pass.
    #[inline]
    #[must_use]
    pub const fn new(block_offset: u64, offset_in_block: u32) -> Self {
        Self(block_offset << BLOCK_BITS | (offset_in_block & ((1 << BLOCK_BITS) - 1)) as u64)
    }

    /// Offset of the block in the object.
    #[inline]
    #[must_use]
    pub const fn block_offset(self) -> u64 {
        self.0 >> BLOCK_BITS
    }

    /// Offset of the packet's record in the decompressed block.
    #[inline]
    #[must_use]
    pub const fn offset_in_block(self) -> u32 {
        (self.0 & ((1 << BLOCK_BITS) - 1)) as u32
    }
}

/// Turns positions to gaps, one at a time, into bytes that the caller keeps (a session's chunks): LEB128 of 0 for the same
/// gap as before, else of the zigzagged gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapEncoder {
    last: u64,
    gap: i64,
}

impl GapEncoder {
    /// Encodes a position; gives the bytes and how many of them count: none where it repeats the one before. Position 0
    /// never occurs, the prologue is there.
    #[inline]
    pub fn encode(&mut self, position: Position) -> ([u8; MAX_ENCODED_BYTES], usize) {
        let gap = position.0.wrapping_sub(self.last) as i64;
        if gap == 0 {
            return ([0; MAX_ENCODED_BYTES], 0);
        }
        let mut value = if gap == self.gap { 0 } else { (gap << 1 ^ gap >> 63) as u64 };
        self.last = position.0;
        self.gap = gap;
        let mut bytes = [0; MAX_ENCODED_BYTES];
        let mut used = 0;
        for byte in &mut bytes {
            used += 1;
            *byte = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                break;
            }
            *byte |= 0x80;
        }
        (bytes, used)
    }
}

/// Turns the bytes of a [`GapEncoder`] back.
#[derive(Clone, Copy, Debug, Default)]
pub struct GapDecoder {
    last: u64,
    gap: i64,
}

impl GapDecoder {
    /// The positions that a run of bytes holds; the state goes on with the next run, so long as none splits a position.
    pub fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> impl Iterator<Item = Position> + 'a {
        let mut bytes = bytes.iter();
        std::iter::from_fn(move || {
            let (mut value, mut shift) = (0u64, 0);
            loop {
                let byte = *bytes.next()?;
                value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            if value != 0 {
                self.gap = (value >> 1) as i64 ^ -((value & 1) as i64);
            }
            self.last = self.last.wrapping_add(self.gap as u64);
            Some(Position(self.last))
        })
    }
}

/// Positions of one session's packets, in memory: a few bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PositionList {
    encoder: GapEncoder,
    bytes: Vec<u8>,
    count: u32,
    disturbed: bool,
}

impl PositionList {
    /// Makes an empty list; it allocates with the first position.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a position; any order is taken.
    #[inline]
    pub fn push(&mut self, position: Position) {
        self.disturbed |= position.0 < self.encoder.last;
        let (bytes, used) = self.encoder.encode(position);
        self.bytes.extend_from_slice(bytes.get(..used).unwrap_or_default());
        self.count += u32::from(used > 0);
    }

    /// How many positions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory that the encoded positions take.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    /// The positions, strictly increasing: sorted and without doubles where they came otherwise.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        let mut positions: Vec<Position> = GapDecoder::default().decode(&self.bytes).collect();
        if self.disturbed {
            positions.sort_unstable();
            positions.dedup();
        }
        positions
    }

    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        self.bytes.clear();
    }

    /// `packetPos` of a document: negative file number, then the positions as gaps.
    #[must_use]
    pub fn to_gaps(&self, file_id: u64) -> Vec<i64> {
        let mut out = Vec::with_capacity(self.len() + 1);
        encode_gaps(file_id, &self.positions(), &mut out);
        out
    }
}

/// Appends one file's part of `packetPos`: `-file_id`, the first position as it is, then differences, where one equal to
/// the difference before is written as 0. The first position counts as the difference to 0. Positions must be strictly
/// increasing; one that isn't is left out.
pub fn encode_gaps(file_id: u64, positions: &[Position], out: &mut Vec<i64>) {
    out.push(-(i64::try_from(file_id).unwrap_or(i64::MAX)));
    let (mut last, mut last_gap) = (0, 0);
    for &Position(position) in positions {
        let Some(gap) = position.checked_sub(last).and_then(|gap| i64::try_from(gap).ok()).filter(|&gap| gap > 0)
        else {
            continue;
        };
        out.push(if gap == last_gap { 0 } else { gap });
        (last, last_gap) = (position, gap);
    }
}

/// `packetPos` is not what an encoder writes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("packetPos is malformed at element {0}")]
pub struct MalformedGaps(pub usize);

/// Reads `packetPos`: each position with its file's number.
///
/// # Errors
/// [`MalformedGaps`] where it doesn't begin with a file, repeats a gap that there isn't, or overflows.
pub fn decode_gaps(gaps: &[i64]) -> Result<Vec<(u64, Position)>, MalformedGaps> {
    let mut out = Vec::with_capacity(gaps.len());
    let mut file = None;
    let (mut last, mut last_gap) = (0u64, 0u64);
    for (number, &gap) in gaps.iter().enumerate() {
        if gap < 0 {
            file = Some(gap.unsigned_abs());
            (last, last_gap) = (0, 0);
            continue;
        }
        let wrong = MalformedGaps(number);
        let file = file.ok_or(wrong)?;
        if gap > 0 {
            last_gap = gap.unsigned_abs();
        }
        last = last.checked_add(last_gap).filter(|_| last_gap > 0).ok_or(wrong)?;
        out.push((file, Position(last)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let position = Position::new(0x1234_5678, 0xf_ffff);
        assert_eq!((position.block_offset(), position.offset_in_block()), (0x1234_5678, 0xf_ffff));
    }

    #[test]
    fn gap_encoding_by_hand() {
        let positions = [24, 82, 140, 198, 300, 402].map(Position);
        let mut out = Vec::new();
        encode_gaps(7, &positions, &mut out);
        assert_eq!(out, [-7, 24, 58, 0, 0, 102, 0]);
        let read: Vec<_> = decode_gaps(&out).unwrap();
        assert_eq!(read, positions.map(|position| (7, position)));
        // the first position is a gap too: twice as far is the same gap again
        out.clear();
        encode_gaps(1, &[24, 48].map(Position), &mut out);
        assert_eq!(out, [-1, 24, 0]);
    }

    #[test]
    fn several_files_and_malformed() {
        let read = decode_gaps(&[-1, 5, 0, -2, 7]).unwrap();
        assert_eq!(read, [(1, Position(5)), (1, Position(10)), (2, Position(7))]);
        assert_eq!(decode_gaps(&[5]), Err(MalformedGaps(0)));
        assert_eq!(decode_gaps(&[-1, 0]), Err(MalformedGaps(1)));
        assert_eq!(decode_gaps(&[-1, i64::MAX, 0, 0, 0]), Err(MalformedGaps(3)));
        assert_eq!(decode_gaps(&[i64::MIN, 1]), Ok(vec![(1 << 63, Position(1))]));
    }

    #[test]
    fn lists_sort_when_disturbed() {
        let mut list = PositionList::new();
        for position in [1, 10, 5, 5, u64::MAX, 11] {
            list.push(Position(position));
        }
        assert_eq!(list.positions(), [1, 5, 10, 11, u64::MAX].map(Position));
        list.clear();
        assert!(list.is_empty() && list.positions().is_empty());
    }

    #[test]
    fn regular_gaps_take_one_byte() {
        let mut list = PositionList::new();
        (0..1000).for_each(|number| list.push(Position((1 << 40) + number * 100)));
        assert!(list.encoded_len() < 1020);
        assert_eq!(list.positions().len(), 1000);
    }
}
