//! Records: skippable frames that say what a part holds. Unknown fields and kinds are passed over.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use skycap_model::{PartId, PartSequence, RingId, RunId, Timestamp};
use thiserror::Error;

use super::frame::{SKIPPABLE_HEADER_BYTES, write_skippable_header};
use crate::bytes::u32_le;

/// Magic number of the skippable frames that hold records.
pub const RECORD_MAGIC: u32 = 0x184d_2a53;

/// Most bytes of a record, without the frame's 8 of header.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Most blocks of one part, so that its record stays below [`MAX_RECORD_BYTES`].
pub const MAX_BLOCKS_PER_PART: usize = 16_384;

/// Most tombstones of one part record; the writer joins the oldest where there are more.
pub const MAX_TOMBSTONES: usize = 1_024;

/// Longest reason of a tombstone that is written, in bytes.
const MAX_REASON_BYTES: usize = 128;

/// SHA-256 of a part's bytes, 64 hexadecimal digits in text.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PartHash(pub [u8; 32]);

impl PartHash {
    /// What the first part of a run names as its predecessor's hash.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes a part's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for PartHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for PartHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for PartHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("a hash has 64 hexadecimal digits");
        let mut hash = [0; 32];
        if text.len() != 64 {
            return Err(wrong());
        }
        for (to, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *to = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

/// What a part record says of one block; in JSON an array of three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
pub struct BlockEntry {
    /// Size of its zstd frame in bytes.
    pub compressed_size: u32,
    /// Size of its packet records in bytes.
    pub decompressed_size: u32,
    /// How many packets it has.
    pub packets: u32,
}

impl From<(u32, u32, u32)> for BlockEntry {
    fn from((compressed_size, decompressed_size, packets): (u32, u32, u32)) -> Self {
        Self { compressed_size, decompressed_size, packets }
    }
}

impl From<BlockEntry> for (u32, u32, u32) {
    fn from(entry: BlockEntry) -> Self {
        (entry.compressed_size, entry.decompressed_size, entry.packets)
    }
}

/// Cumulative counters of a run and ring, in packets, at the moment the part was closed.
///
/// `received = stored + refused by rule + filtered in the program + what `dropped` names`; what kernel and interface
/// dropped was never received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Taken from the kernel.
    pub received: u64,
    /// Written to parts, this one included.
    pub stored: u64,
    /// Lost in the kernel since the ring was full.
    pub dropped_by_kernel: u64,
    /// Lost in the interface.
    pub dropped_by_interface: u64,
    /// Refused by a rule.
    pub refused_by_rule: u64,
    /// Kept out by the filter.
    pub filtered: u64,
    /// Lost in the sensor, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
}

/// What is left of parts that had to be dropped: consecutive ones with the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// Sequence of the first part.
    pub sequence: PartSequence,
    /// How many parts, from that sequence on.
    #[serde(default = "one")]
    pub parts: u64,
    /// Packets in them.
    pub packets: u64,
    /// Captured bytes of those packets.
    pub captured_bytes: u64,
    /// Earliest packet time, nanoseconds since the epoch.
    #[serde(with = "nanoseconds")]
    pub first_time: Timestamp,
    /// Latest packet time, nanoseconds since the epoch.
    #[serde(with = "nanoseconds")]
    pub last_time: Timestamp,
    /// Why they were dropped, at most 128 bytes.
    pub reason: String,
}

const fn one() -> u64 {
    1
}

impl Tombstone {
    /// Takes in a later tombstone.
    fn absorb(&mut self, later: &Self) {
        let end = later.sequence.0.saturating_add(later.parts);
        self.parts = end.saturating_sub(self.sequence.0).max(self.parts);
        self.packets = self.packets.saturating_add(later.packets);
        self.captured_bytes = self.captured_bytes.saturating_add(later.captured_bytes);
        self.first_time = self.first_time.min(later.first_time);
        self.last_time = self.last_time.max(later.last_time);
        if self.reason != later.reason {
            self.reason = "several".to_owned();
        }
    }
}

/// Makes tombstones fit a record: reasons cut, the oldest joined.
pub(crate) fn bound_tombstones(tombstones: &mut Vec<Tombstone>) {
    for tombstone in tombstones.iter_mut() {
        let end = tombstone.reason.floor_char_boundary(MAX_REASON_BYTES);
        tombstone.reason.truncate(end);
    }
    let surplus = tombstones.len().saturating_sub(MAX_TOMBSTONES);
    if surplus > 0 {
        let joined: Vec<Tombstone> = tombstones.drain(1..=surplus).collect();
        if let Some(first) = tombstones.first_mut() {
            joined.iter().for_each(|later| first.absorb(later));
        }
    }
}

/// The last part known of an earlier run, which the first part of a new run names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousRun {
    /// The earlier run.
    pub run: RunId,
    /// Its ring.
    pub ring: RingId,
    /// Its last part known.
    pub sequence: PartSequence,
    /// SHA-256 of that part's bytes.
    pub sha256: PartHash,
}

/// What a part holds. Field names in JSON are in camel case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartRecord {
    /// Version of the format, see [`super::FORMAT_VERSION`].
    pub version: u32,
    /// LINKTYPE value of the packets.
    pub link_type: u32,
    /// Snap length the capture was set to, in bytes.
    pub snap_length: u32,
    /// The sensor process' life.
    pub run: RunId,
    /// The capture queue.
    pub ring: RingId,
    /// The part's place among all of that run and ring.
    pub sequence: PartSequence,
    /// Packets in the part.
    pub packets: u64,
    /// Captured bytes of those packets.
    pub captured_bytes: u64,
    /// Bytes that those packets had on the wire.
    pub wire_bytes: u64,
    /// Earliest packet time, nanoseconds since the epoch; 0 without packets.
    #[serde(with = "nanoseconds")]
    pub first_time: Timestamp,
    /// Latest packet time, nanoseconds since the epoch; 0 without packets.
    #[serde(with = "nanoseconds")]
    pub last_time: Timestamp,
    /// The blocks that follow, in order.
    pub blocks: Vec<BlockEntry>,
    /// Cumulative counters of run and ring.
    #[serde(default)]
    pub counters: Counters,
    /// Parts dropped since the previous part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tombstones: Vec<Tombstone>,
    /// SHA-256 of the previous part's bytes; zero in the first part of a run and ring.
    pub previous_sha256: PartHash,
    /// In the first part of a run: the last part known of the run before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_run: Option<PreviousRun>,
    /// The part may be stored in another object too. Readers set it by the mark before the part: the part's own bytes,
    /// and so the hash chain, don't change when it is stored again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maybe_stored: bool,
}

impl PartRecord {
    /// What identifies the part.
    #[must_use]
    pub fn id(&self) -> PartId {
        PartId { run: self.run, ring: self.ring, sequence: self.sequence }
    }

    /// Compressed size of all its blocks in bytes.
    #[must_use]
    pub fn blocks_size(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.compressed_size)).sum()
    }
}

/// Times in records are whole nanoseconds.
mod nanoseconds {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp)
    }
}

/// A record of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What the part that begins here holds.
    Part(Box<PartRecord>),
    /// The part whose record follows may be stored in another object too.
    MaybeStored,
    /// A kind that this version doesn't know, or a part record of a later version.
    Other {
        /// Its kind.
        kind: String,
        /// Its JSON.
        json: String,
    },
}

/// Why a frame is no record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordProblem {
    /// The bytes end before the frame does.
    #[error("the record needs {0} bytes")]
    NeedMore(usize),
    /// It begins with another magic number.
    #[error("no record begins here")]
    Magic,
    /// Larger than [`MAX_RECORD_BYTES`], or too small for its checksum.
    #[error("a record of impossible length {0}")]
    Length(u32),
    /// The CRC32C doesn't hold.
    #[error("the record's checksum does not hold")]
    Checksum,
    /// The checksum holds, yet it is no JSON object with a kind, or lacks fields of its kind.
    #[error("the record is not what its kind says")]
    Malformed,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
    #[serde(default)]
    version: u32,
}

/// Frames the JSON of a record: magic, size, CRC32C of the JSON, JSON.
#[must_use]
pub fn encode_record(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SKIPPABLE_HEADER_BYTES + 4 + json.len());
    write_skippable_header(RECORD_MAGIC, json.len() + 4, &mut out);
    out.extend_from_slice(&crc32c::crc32c(json).to_le_bytes());
    out.extend_from_slice(json);
    out
}

/// A part record with its kind, as it is written.
#[derive(Serialize)]
pub(crate) struct Tagged<'a> {
    pub(crate) kind: &'static str,
    #[serde(flatten)]
    pub(crate) record: &'a PartRecord,
}

/// Reads the record that `bytes` begin with, and tells its size with the frame's header.
///
/// # Errors
/// [`RecordProblem`].
pub fn parse_record(bytes: &[u8]) -> Result<(Record, usize), RecordProblem> {
    let (json, size) = record_json(bytes)?;
    let head: Kind = serde_json::from_slice(json).map_err(|_| RecordProblem::Malformed)?;
    let record = match head.kind.as_str() {
        "part" if head.version <= super::FORMAT_VERSION => {
            Record::Part(serde_json::from_slice(json).map_err(|_| RecordProblem::Malformed)?)
        }
        "maybe-stored" => Record::MaybeStored,
        _ => Record::Other { kind: head.kind, json: String::from_utf8_lossy(json).into_owned() },
    };
    Ok((record, size))
}

/// The JSON of a record whose checksum holds, and the size of the whole frame.
pub(crate) fn record_json(bytes: &[u8]) -> Result<(&[u8], usize), RecordProblem> {
    let need = RecordProblem::NeedMore(SKIPPABLE_HEADER_BYTES);
    if u32_le(bytes, 0).ok_or(need)? != RECORD_MAGIC {
        return Err(RecordProblem::Magic);
    }
    let length = u32_le(bytes, 4).ok_or(need)?;
    if !(4..=MAX_RECORD_BYTES).contains(&(length as usize)) {
        return Err(RecordProblem::Length(length));
    }
    let size = SKIPPABLE_HEADER_BYTES + length as usize;
    let content = bytes.get(SKIPPABLE_HEADER_BYTES..size).ok_or(RecordProblem::NeedMore(size))?;
    let (checksum, json) = content.split_first_chunk::<4>().ok_or(RecordProblem::Length(length))?;
    if crc32c::crc32c(json) != u32::from_le_bytes(*checksum) {
        return Err(RecordProblem::Checksum);
    }
    Ok((json, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(sequence: u64) -> Tombstone {
        Tombstone {
            sequence: PartSequence(sequence),
            parts: 1,
            packets: 10,
            captured_bytes: 100,
            first_time: Timestamp(sequence),
            last_time: Timestamp(sequence + 1),
            reason: "spool full".to_owned(),
        }
    }

    #[test]
    fn many_tombstones_are_joined() {
        let mut tombstones: Vec<_> = (0..2000).map(tombstone).collect();
        bound_tombstones(&mut tombstones);
        assert_eq!(tombstones.len(), MAX_TOMBSTONES);
        assert_eq!((tombstones[0].parts, tombstones[0].packets), (977, 9770));
        assert_eq!(tombstones[1].sequence, PartSequence(977));
    }

    #[test]
    fn unknown_kinds_and_fields_pass() {
        let record = encode_record(br#"{"kind":"carry-over","flows":[]}"#);
        assert!(
            matches!(parse_record(&record), Ok((Record::Other { kind, .. }, size)) if kind == "carry-over" && size == record.len())
        );
        let json = br#"{"kind":"part","new":{"deep":[1]},"version":1,"linkType":1,"snapLength":9,"run":"00000000000000ff","ring":0,
            "sequence":3,"packets":1,"capturedBytes":2,"wireBytes":3,"firstTime":4,"lastTime":5,"blocks":[[1,2,3]],
            "previousSha256":"0000000000000000000000000000000000000000000000000000000000000001"}"#;
        let Ok((Record::Part(part), _)) = parse_record(&encode_record(json)) else { panic!() };
        assert_eq!((part.run, part.blocks_size(), part.previous_sha256.0[31]), (RunId(255), 1, 1));
        let later = String::from_utf8(json.to_vec()).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(matches!(parse_record(&encode_record(later.as_bytes())), Ok((Record::Other { .. }, _))));
    }

    #[test]
    fn refuses_damage() {
        let mut record = encode_record(b"{\"kind\":\"maybe-stored\"}");
        assert_eq!(parse_record(&record[..7]), Err(RecordProblem::NeedMore(8)));
        assert_eq!(parse_record(&record[..20]), Err(RecordProblem::NeedMore(record.len())));
        *record.last_mut().unwrap() ^= 1;
        assert_eq!(parse_record(&record), Err(RecordProblem::Checksum));
        assert_eq!(parse_record(&encode_record(b"[]")), Err(RecordProblem::Malformed));
        assert_eq!(parse_record(&[0x53, 0x2a, 0x4d, 0x18, 0, 0, 0, 0xff]), Err(RecordProblem::Length(0xff00_0000)));
    }
}
