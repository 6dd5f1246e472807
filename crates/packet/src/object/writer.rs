//! Writing parts and objects: blocks → part bytes with their record and hash → objects with prologue and seek table.

use serde::Serialize;
use sha2::{Digest, Sha256};
use skycap_model::{PartSequence, RingId, RunId, Timestamp};
use thiserror::Error;

use super::{
    FORMAT_VERSION, MAX_OBJECT_BYTES,
    block::{BlockError, CompressedBlock, Compressor, Totals},
    frame::SKIPPABLE_HEADER_BYTES,
    part::{
        BlockEntry, Counters, MAX_BLOCKS_PER_PART, MAX_RECORD_BYTES, PartHash, PartRecord, PreviousRun, Record,
        RecordProblem, Tagged, Tombstone, bound_tombstones, encode_record, parse_record,
    },
    seek::{MAX_FRAMES, MAX_SEEK_TABLE_BYTES, write_seek_table},
};
use crate::{
    bytes::u32_le,
    record::{FILE_HEADER_BYTES, FileHeader},
};

/// S3 takes no smaller part but as the last one.
pub const MIN_PART_BYTES: usize = 5 << 20;

/// Part size unless a setting says otherwise.
pub const DEFAULT_PART_BYTES: usize = 8 << 20;

/// Largest part size that a setting may ask for.
pub const MAX_PART_BYTES: usize = 256 << 20;

/// Why a part or an object can't be written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// The record is larger than [`MAX_RECORD_BYTES`].
    #[error("a record of {0} bytes is larger than 1048576")]
    RecordTooLarge(usize),
    /// The record can't be spelled as JSON; it never happens with records of this crate.
    #[error("the record is no JSON")]
    Json,
    /// The part is of another link type than the object.
    #[error("a part of link type {part} does not belong into an object of link type {object}")]
    LinkType {
        /// The part's.
        part: u32,
        /// The object's.
        object: u32,
    },
    /// The object would pass 2 GiB or its number of frames: begin another.
    #[error("the object is full")]
    ObjectFull,
    /// Bytes read back are no part.
    #[error("the bytes are no part: {0}")]
    NoPart(&'static str),
    /// Bytes read back have no part record.
    #[error("the bytes are no part")]
    NoRecord(#[source] RecordProblem),
    /// Compressing the prologue failed.
    #[error("the prologue could not be compressed")]
    Prologue(#[source] BlockError),
}

/// What the writer of a part knows beside its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHeader {
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
    /// Cumulative counters of run and ring.
    pub counters: Counters,
    /// Parts dropped since the previous part.
    pub tombstones: Vec<Tombstone>,
    /// [`Part::sha256`] of the previous part of run and ring, [`PartHash::ZERO`] for the first.
    pub previous_sha256: PartHash,
    /// For the first part of a run: the last part known of the run before.
    pub previous_run: Option<PreviousRun>,
}

/// A finished part: its bytes are what is spooled, hashed and uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Part record, other records, blocks.
    pub bytes: Vec<u8>,
    /// What its record says.
    pub record: PartRecord,
    /// SHA-256 of `bytes`; the next part names it.
    pub sha256: PartHash,
    /// (compressed, decompressed) size of each frame, for the seek table.
    frames: Vec<(u32, u32)>,
}

impl Part {
    /// Takes back the bytes of a part, as from a spool: reads the records and checks that the sizes add up. Blocks are not
    /// decompressed.
    ///
    /// # Errors
    /// [`WriteError::NoRecord`] or [`WriteError::NoPart`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, WriteError> {
        let (record, size) = match parse_record(&bytes).map_err(WriteError::NoRecord)? {
            (Record::Part(record), size) => (*record, size),
            _ => return Err(WriteError::NoPart("it begins with another record")),
        };
        let mut frames = vec![(size as u32, 0)];
        let mut at = size;
        // other records stand between the part's record and its blocks
        while u32_le(&bytes, at) == Some(super::RECORD_MAGIC) {
            let rest = bytes.get(at..).unwrap_or_default();
            let (_, size) = parse_record(rest).map_err(WriteError::NoRecord)?;
            frames.push((size as u32, 0));
            at += size;
        }
        let blocks: u64 = record.blocks_size();
        if at as u64 + blocks != bytes.len() as u64 {
            return Err(WriteError::NoPart("its sizes do not add up"));
        }
        frames.extend(record.blocks.iter().map(|block| (block.compressed_size, block.decompressed_size)));
        let sha256 = PartHash::of(&bytes);
        Ok(Self { bytes, record, sha256, frames })
    }
}

/// Collects compressed blocks until they are a part.
#[derive(Debug)]
pub struct PartBuilder {
    target: usize,
    blocks: Vec<CompressedBlock>,
    records: Vec<Vec<u8>>,
    bytes: usize,
}

impl PartBuilder {
    /// Makes a builder of parts of at least `target` bytes, which is kept between 5 and 256 MiB.
    #[must_use]
    pub fn new(target: usize) -> Self {
        let target = target.clamp(MIN_PART_BYTES, MAX_PART_BYTES);
        Self { target, blocks: Vec::new(), records: Vec::new(), bytes: 0 }
    }

    /// Appends a block; blocks stay in the order they come.
    pub fn push(&mut self, block: CompressedBlock) {
        self.bytes += block.bytes.len();
        self.blocks.push(block);
    }

    /// Appends a record of another kind than a part's, which is written between part record and blocks.
    ///
    /// # Errors
    /// [`WriteError`] where it is larger than a record may be or no JSON object.
    pub fn push_record<T: Serialize>(&mut self, kind: &str, content: &T) -> Result<(), WriteError> {
        #[derive(Serialize)]
        struct Other<'a, T> {
            kind: &'a str,
            #[serde(flatten)]
            content: &'a T,
        }
        let json = serde_json::to_vec(&Other { kind, content }).map_err(|_| WriteError::Json)?;
        let record = framed(&json)?;
        self.bytes += record.len();
        self.records.push(record);
        Ok(())
    }

    /// Bytes collected so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Tells whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.records.is_empty()
    }

    /// Packets collected so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.totals.packets)).sum()
    }

    /// Tells whether the part has its size, or as many blocks as a part may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes >= self.target || self.blocks.len() >= MAX_BLOCKS_PER_PART
    }

    /// Makes the part of what was collected, and begins the next. A part below [`MIN_PART_BYTES`], full or not, can only be
    /// the last of its object.
    ///
    /// # Errors
    /// [`WriteError`]; what was collected is lost then.
    pub fn finish(&mut self, header: PartHeader) -> Result<Part, WriteError> {
        let blocks = std::mem::take(&mut self.blocks);
        let records = std::mem::take(&mut self.records);
        let size = std::mem::take(&mut self.bytes);
        let record = describe(header, &blocks);
        let json = serde_json::to_vec(&Tagged { kind: "part", record: &record }).map_err(|_| WriteError::Json)?;
        let own = framed(&json)?;
        let mut frames = Vec::with_capacity(1 + records.len() + blocks.len());
        let mut bytes = Vec::with_capacity(own.len() + size);
        // each piece is hashed while the copy has it in the cache, and freed before the next one's memory is touched
        let mut hasher = Sha256::new();
        let mut append = |piece: &[u8], decompressed_size| {
            frames.push((piece.len() as u32, decompressed_size));
            bytes.extend_from_slice(piece);
            hasher.update(piece);
        };
        for record in std::iter::once(own).chain(records) {
            append(&record, 0);
        }
        for block in blocks {
            append(&block.bytes, block.decompressed_size);
        }
        let sha256 = PartHash(hasher.finalize().into());
        Ok(Part { bytes, record, sha256, frames })
    }
}

fn framed(json: &[u8]) -> Result<Vec<u8>, WriteError> {
    if json.len() + 4 > MAX_RECORD_BYTES {
        return Err(WriteError::RecordTooLarge(json.len() + 4));
    }
    Ok(encode_record(json))
}

fn describe(header: PartHeader, blocks: &[CompressedBlock]) -> PartRecord {
    let mut tombstones = header.tombstones;
    bound_tombstones(&mut tombstones);
    let sum = |of: fn(&Totals) -> u64| blocks.iter().map(|block| of(&block.totals)).sum();
    let first_time = blocks.iter().map(|block| block.totals.first_time).min();
    let last_time = blocks.iter().map(|block| block.totals.last_time).max();
    PartRecord {
        version: FORMAT_VERSION,
        link_type: header.link_type,
        snap_length: header.snap_length,
        run: header.run,
        ring: header.ring,
        sequence: header.sequence,
        packets: sum(|totals| u64::from(totals.packets)),
        captured_bytes: sum(|totals| totals.captured_bytes),
        wire_bytes: sum(|totals| totals.wire_bytes),
        first_time: first_time.unwrap_or(Timestamp(0)),
        last_time: last_time.unwrap_or(Timestamp(0)),
        blocks: blocks.iter().map(CompressedBlock::entry).collect::<Vec<BlockEntry>>(),
        counters: header.counters,
        tombstones,
        previous_sha256: header.previous_sha256,
        previous_run: header.previous_run,
        maybe_stored: false,
    }
}

/// The record that says that the part behind it may be stored in another object too.
#[must_use]
pub fn mark_maybe_stored_record() -> Vec<u8> {
    encode_record(br#"{"kind":"maybe-stored"}"#)
}

/// Lays parts out as one object: what goes before each part's bytes, and the seek table behind the last.
#[derive(Debug)]
pub struct ObjectBuilder {
    link_type: u32,
    prologue: Vec<u8>,
    frames: Vec<(u32, u32)>,
    size: u64,
}

impl ObjectBuilder {
    /// Begins an object of one link type.
    ///
    /// # Errors
    /// [`WriteError::Prologue`].
    pub fn new(link_type: u32, compressor: &mut Compressor) -> Result<Self, WriteError> {
        let header = FileHeader::new(link_type).to_bytes();
        let prologue = compressor.compress_bytes(&header).map_err(WriteError::Prologue)?.to_vec();
        let frames = vec![(prologue.len() as u32, FILE_HEADER_BYTES as u32)];
        Ok(Self { link_type, size: prologue.len() as u64, prologue, frames })
    }

    /// Adds a part, and gives the bytes to store before the part's own: the prologue before the first, the mark before one
    /// that may be stored elsewhere; mostly none. Stored part = these bytes + [`Part::bytes`].
    ///
    /// # Errors
    /// [`WriteError::LinkType`] or [`WriteError::ObjectFull`]; the object is unchanged then.
    pub fn add(&mut self, part: &Part, maybe_stored: bool) -> Result<Vec<u8>, WriteError> {
        if part.record.link_type != self.link_type {
            return Err(WriteError::LinkType { part: part.record.link_type, object: self.link_type });
        }
        let mark = if maybe_stored { mark_maybe_stored_record() } else { Vec::new() };
        let frames = self.frames.len() + part.frames.len() + usize::from(maybe_stored);
        let size = self.size + (mark.len() + part.bytes.len()) as u64;
        let table = (frames * 8 + MAX_SEEK_TABLE_BYTES % 12 + SKIPPABLE_HEADER_BYTES) as u64;
        if frames > MAX_FRAMES || size + table > MAX_OBJECT_BYTES {
            return Err(WriteError::ObjectFull);
        }
        if maybe_stored {
            self.frames.push((mark.len() as u32, 0));
        }
        self.frames.extend_from_slice(&part.frames);
        self.size = size;
        let mut before = std::mem::take(&mut self.prologue);
        before.extend_from_slice(&mark);
        Ok(before)
    }

    /// Size of the object so far in bytes, without seek table.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the object, and gives the seek table to store behind the last part. An object without any part is only its
    /// seek table here: don't store it.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        write_seek_table(&self.frames)
    }

    /// Puts whole parts together to an object in memory.
    ///
    /// # Errors
    /// As [`ObjectBuilder::add`].
    pub fn assemble(link_type: u32, parts: &[Part], compressor: &mut Compressor) -> Result<Vec<u8>, WriteError> {
        let mut object = Self::new(link_type, compressor)?;
        let mut out = Vec::new();
        for part in parts {
            out.extend(object.add(part, false)?);
            out.extend_from_slice(&part.bytes);
        }
        out.extend(object.finish());
        Ok(out)
    }
}
