//! One packet, and its spelling in capture objects: the libpcap format with nanoseconds, little endian
//! (draft-ietf-opsawg-pcap).

use skycap_model::{MAX_PACKET_BYTES, Timestamp};
use thiserror::Error;

use crate::bytes::four_le;

/// Size of the libpcap file header.
pub const FILE_HEADER_BYTES: usize = 24;

/// Size of the header before each packet's bytes.
pub const RECORD_HEADER_BYTES: usize = 16;

/// First four bytes of a libpcap file with nanoseconds, as a number.
pub const NANOSECOND_MAGIC: u32 = 0xa1b2_3c4d;

/// First four bytes of a libpcap file with microseconds, as a number.
pub const MICROSECOND_MAGIC: u32 = 0xa1b2_c3d4;

/// One captured packet: a slice of the buffer or block that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured.
    pub time: Timestamp,
    /// Its length on the wire; `data` may be shorter.
    pub original_length: u32,
    /// The bytes captured, at most [`MAX_PACKET_BYTES`].
    pub data: &'a [u8],
}

/// What the file header of a capture object says: version 2.4, nanoseconds and little endian are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// A LINKTYPE value.
    pub link_type: u32,
    /// Longest capture length, in bytes; the writer always says 262,144.
    pub snap_length: u32,
}

impl FileHeader {
    /// The header of a capture object of one link type.
    #[must_use]
    pub const fn new(link_type: u32) -> Self {
        Self { link_type, snap_length: MAX_PACKET_BYTES as u32 }
    }

    /// The 24 bytes of the header.
    #[must_use]
    pub fn to_bytes(self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        let fields = [
            NANOSECOND_MAGIC,
            0x0004_0002, // major 2, minor 4, 16 bits each
            0,           // time zone, always UTC
            0,           // accuracy, never used
            self.snap_length,
            self.link_type,
        ];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Reads a header as [`FileHeader::to_bytes`] writes it; `None` for any other.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<16>()?;
        let [NANOSECOND_MAGIC, 0x0004_0002, _, _] = four_le(*first) else { return None };
        let (snap_length, link_type) = rest.split_first_chunk::<4>()?;
        let link_type: [u8; 4] = link_type.try_into().ok()?;
        Some(Self { link_type: u32::from_le_bytes(link_type), snap_length: u32::from_le_bytes(*snap_length) })
    }
}

/// Why a packet can't be written as a record. It is refused as a whole: packets are never cut.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// More captured bytes than [`MAX_PACKET_BYTES`].
    #[error("a packet of {0} captured bytes is longer than 262144")]
    TooLong(usize),
    /// The format has 32 bits for the seconds, which end in 2106.
    #[error("packet time {0} has more than 32 bits of seconds")]
    Time(Timestamp),
}

/// Appends the record of a packet: 16 bytes of header, then its data.
///
/// # Errors
/// [`RecordError`]; nothing is appended then.
#[inline]
pub fn write_record(packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), RecordError> {
    if packet.data.len() > MAX_PACKET_BYTES {
        return Err(RecordError::TooLong(packet.data.len()));
    }
    let seconds = u32::try_from(packet.time.seconds()).map_err(|_| RecordError::Time(packet.time))?;
    let header = u128::from(seconds)
        | u128::from(packet.time.subsecond_nanoseconds()) << 32
        | (packet.data.len() as u128) << 64
        | u128::from(packet.original_length) << 96;
    out.extend_from_slice(&header.to_le_bytes());
    out.extend_from_slice(packet.data);
    Ok(())
}

/// The rest of a block is no packet record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("no packet record at byte {offset} of the block, {left} bytes before its end")]
pub struct MalformedBlock {
    /// Where the malformed rest begins, in the decompressed block.
    pub offset: u32,
    /// How many bytes it has.
    pub left: u32,
}

/// The packets of a decompressed block, each with the offset of its record; a malformed rest is one error at the end.
#[must_use]
pub fn packets(block: &[u8]) -> Packets<'_> {
    Packets { rest: block, offset: 0 }
}

/// Iterator that [`packets`] makes.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    offset: u32,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<(u32, Packet<'a>), MalformedBlock>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some((packet, rest)) = split_record(self.rest) {
            let offset = self.offset;
            self.rest = rest;
            self.offset = offset.saturating_add((RECORD_HEADER_BYTES + packet.data.len()) as u32);
            return Some(Ok((offset, packet)));
        }
        let left = u32::try_from(self.rest.len()).unwrap_or(u32::MAX);
        self.rest = &[];
        Some(Err(MalformedBlock { offset: self.offset, left }))
    }
}

/// The packet whose record begins at an offset of a decompressed block; `None` where there is no whole record.
#[must_use]
pub fn packet_at(block: &[u8], offset: u32) -> Option<Packet<'_>> {
    split_record(block.get(usize::try_from(offset).ok()?..)?).map(|(packet, _)| packet)
}

/// Splits the first record off.
#[inline]
fn split_record(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let [seconds, nanoseconds, captured, original_length] = four_le(*header);
    if captured > MAX_PACKET_BYTES as u32 {
        return None;
    }
    let (data, rest) = rest.split_at_checked(captured as usize)?;
    // cannot overflow: 2^32 seconds and 2^32 nanoseconds are below 2^63 nanoseconds
    let time = Timestamp(u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds));
    Some((Packet { time, original_length, data }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trip() {
        let header = FileHeader::new(crate::link::ETHERNET);
        let bytes = header.to_bytes();
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(FileHeader::parse(&bytes), Some(header));
        assert_eq!(FileHeader::parse(&bytes[..23]), None);
    }

    #[test]
    fn record_round_trip() {
        let mut block = Vec::new();
        let first = Packet { time: Timestamp(1_700_000_000_123_456_789), original_length: 9000, data: b"abc" };
        let second = Packet { time: Timestamp(0), original_length: 0, data: b"" };
        write_record(&first, &mut block).unwrap();
        write_record(&second, &mut block).unwrap();
        let read: Vec<_> = packets(&block).map(Result::unwrap).collect();
        assert_eq!(read, [(0, first), (19, second)]);
        assert_eq!(packet_at(&block, 19), Some(second));
        assert_eq!(packet_at(&block, 36), None);
    }

    #[test]
    fn malformed_rest_is_one_error() {
        let mut block = Vec::new();
        write_record(&Packet { time: Timestamp(0), original_length: 3, data: b"abc" }, &mut block).unwrap();
        block.extend_from_slice(&[0xff; 20]);
        let read: Vec<_> = packets(&block).collect();
        assert!(read[0].is_ok());
        assert_eq!(read[1], Err(MalformedBlock { offset: 19, left: 20 }));
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn refuses_what_the_format_cannot_say() {
        let mut block = Vec::new();
        let data = vec![0; MAX_PACKET_BYTES + 1];
        let long = Packet { time: Timestamp(0), original_length: 1, data: &data };
        assert_eq!(write_record(&long, &mut block), Err(RecordError::TooLong(data.len())));
        let late = Packet { time: Timestamp::from_parts(1 << 32, 0), original_length: 1, data: b"a" };
        assert!(matches!(write_record(&late, &mut block), Err(RecordError::Time(_))));
        assert!(block.is_empty());
    }
}
