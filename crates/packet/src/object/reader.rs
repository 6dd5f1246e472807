//! Reading an object front to back: what is whole is read, what is not is reported and passed over.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};
use skycap_model::PartId;

use super::{
    MAX_COMPRESSED_BLOCK_BYTES,
    block::{BlockError, Decompressor, read_block},
    event::{DamageReason, Event, PartEnd},
    frame::{SKIPPABLE_HEADER_BYTES, Walk, ZSTD_MAGIC, is_skippable, walk},
    part::{BlockEntry, MAX_RECORD_BYTES, PartHash, PartRecord, RECORD_MAGIC, Record, RecordProblem, parse_record},
    scan::Scan,
    seek::{Frame, MAX_SEEK_TABLE_BYTES, Plan, SEEK_TABLE_MAGIC},
};
use crate::{bytes::u32_le, record::FileHeader};

/// Reads an object piece by piece: [`ObjectReader::push`] bytes, take events until there are none, push more; at the end
/// [`ObjectReader::finish`], and take the last events.
///
/// Memory: the largest piece pushed, one frame (1 MiB; a seek table up to 12 MiB), one block of 1 MiB. Work is linear in the
/// bytes pushed and in [`ObjectReader::decompressed_bytes`], which the caller may bound.
#[derive(Debug)]
pub struct ObjectReader {
    pub(super) decompressor: Decompressor,
    pub(super) block: Vec<u8>,
    pub(super) buffer: Vec<u8>,
    /// Where the bytes not consumed begin in the buffer, and in the object.
    pub(super) start: usize,
    pub(super) at: u64,
    pub(super) finished: bool,
    done: bool,
    planned: VecDeque<Frame>,
    expected: VecDeque<BlockEntry>,
    expected_at: u64,
    pub(super) scan: Option<Scan>,
    pub(super) scan_work: u64,
    part: Option<PartRecord>,
    open: Option<Open>,
    maybe_stored: bool,
    hashing: bool,
    link_type: Option<u32>,
    other: (String, String),
    decompressed_bytes: u64,
}

/// The part that is being read.
#[derive(Debug)]
struct Open {
    id: PartId,
    offset: u64,
    hasher: Option<Sha256>,
    missing: usize,
    /// Where its last block ends, if it has one.
    end: Option<u64>,
}

/// An [`Event`] without its borrows, or what to do instead.
pub(super) enum Found {
    Again,
    Wait,
    Prologue(FileHeader),
    Part { offset: u64 },
    PartEnd(PartEnd),
    Block { offset: u64, compressed_size: u32, packets: Option<u32> },
    Record { offset: u64 },
    Unknown { offset: u64, bytes: u64 },
    SeekTable { offset: u64 },
    Damage { offset: u64, bytes: u64, reason: DamageReason },
    Cut { offset: u64, bytes: u64 },
}

impl ObjectReader {
    /// Makes a reader, which goes by the seek table where it is given one, else by part records, else by what it finds.
    ///
    /// # Errors
    /// [`BlockError::Memory`].
    pub fn new(plan: Option<&Plan>) -> Result<Self, BlockError> {
        Ok(Self {
            decompressor: Decompressor::new()?,
            block: Vec::new(),
            buffer: Vec::new(),
            start: 0,
            at: 0,
            finished: false,
            done: false,
            planned: plan.map(|plan| plan.frames().iter().copied().collect()).unwrap_or_default(),
            expected: VecDeque::new(),
            expected_at: 0,
            scan: None,
            scan_work: 0,
            part: None,
            open: None,
            maybe_stored: false,
            hashing: false,
            link_type: None,
            other: Default::default(),
            decompressed_bytes: 0,
        })
    }

    /// Also computes the SHA-256 of each part, for the hash chain.
    #[must_use]
    pub fn hashing(mut self) -> Self {
        self.hashing = true;
        self
    }

    /// Appends the next bytes of the object.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that the object has no more bytes.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// LINKTYPE value of the packets, by the latest part record, else by the prologue.
    #[must_use]
    pub fn link_type(&self) -> Option<u32> {
        self.link_type
    }

    /// Bytes that decompressing has given or cost so far: what a bound on an object's total output is checked with.
    ///
    /// A whole block counts its content; a damaged one counts the content that its header claims, as that may have been
    /// spent on it, and again for each further try at it. One [`ObjectReader::next_event`] adds less than 2^20. Tries made
    /// while scanning over damage are not counted: [`super::MAX_SCAN_WORK`] and the bytes scanned bound them. A compressed
    /// byte can become thousands, so the bytes pushed are no bound: check this after each event, and stop beyond the limit.
    #[must_use]
    pub fn decompressed_bytes(&self) -> u64 {
        self.decompressed_bytes
    }

    /// The next event; `None` where more bytes are needed, or after [`ObjectReader::finish`] where there are no more.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        let found = loop {
            match self.step() {
                Found::Again => {}
                Found::Wait => return None,
                found => break found,
            }
        };
        Some(match found {
            Found::Again | Found::Wait => return None,
            Found::Prologue(header) => Event::Prologue(header),
            Found::Part { offset } => Event::Part { offset, record: self.part.as_ref()? },
            Found::PartEnd(end) => Event::PartEnd(end),
            Found::Block { offset, compressed_size, packets } => {
                Event::Block { offset, compressed_size, packets, bytes: &self.block }
            }
            Found::Record { offset } => Event::Record { offset, kind: &self.other.0, json: &self.other.1 },
            Found::Unknown { offset, bytes } => Event::Unknown { offset, bytes },
            Found::SeekTable { offset } => Event::SeekTable { offset },
            Found::Damage { offset, bytes, reason } => Event::Damage { offset, bytes, reason },
            Found::Cut { offset, bytes } => Event::Cut { offset, bytes },
        })
    }

    fn step(&mut self) -> Found {
        if self.done {
            return Found::Wait;
        }
        if self.scan.is_some() {
            return self.scan_on();
        }
        if self.open.as_ref().is_some_and(|open| open.end.is_some_and(|end| end <= self.at))
            && let Some(end) = self.close_part()
        {
            return end;
        }
        let rest = self.rest();
        if rest.is_empty() {
            return if self.finished { self.end() } else { Found::Wait };
        }
        match u32_le(rest, 0) {
            None => self.incomplete(),
            Some(RECORD_MAGIC) => self.record(),
            Some(magic) if is_skippable(magic) => self.skippable(magic),
            Some(_) => self.block(),
        }
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Passes over bytes, which belong to the open part.
    pub(super) fn consume(&mut self, bytes: usize) {
        let end = (self.start + bytes).min(self.buffer.len());
        if let Some(hasher) = self.open.as_mut().and_then(|open| open.hasher.as_mut()) {
            hasher.update(self.buffer.get(self.start..end).unwrap_or_default());
        }
        self.at += (end - self.start) as u64;
        self.start = end;
    }

    /// The object's last byte was consumed.
    fn end(&mut self) -> Found {
        self.align();
        let cut = self.at == 0 || !self.expected.is_empty() && self.expected_at == self.at;
        self.expected.clear();
        if cut {
            self.done = self.at == 0;
            return Found::Cut { offset: self.at, bytes: 0 };
        }
        self.done = self.open.is_none();
        self.close_part().unwrap_or(Found::Wait)
    }

    fn close_part(&mut self) -> Option<Found> {
        let open = self.open.take()?;
        self.expected.clear();
        let sha256 = open.hasher.map(|hasher| PartHash(hasher.finalize().into()));
        let bytes = self.at - open.offset;
        Some(Found::PartEnd(PartEnd { id: open.id, offset: open.offset, bytes, complete: open.missing == 0, sha256 }))
    }

    /// What begins here is not whole: more bytes must come, else it is the cut unless something whole follows.
    fn incomplete(&mut self) -> Found {
        if self.finished { self.begin_scan(DamageReason::Length) } else { Found::Wait }
    }

    fn begin_scan(&mut self, reason: DamageReason) -> Found {
        self.scan = Some(Scan { since: self.at, reason });
        self.consume(1);
        Found::Again
    }

    /// What begins here is damaged. Its size, where known, is believed only if something plausible follows there.
    fn damaged(&mut self, size: Option<usize>, reason: DamageReason) -> Found {
        self.maybe_stored = false;
        let Some(size) = size else { return self.begin_scan(reason) };
        let after = match self.rest().get(size..) {
            None => return self.incomplete(),
            Some(after) if after.len() < 4 && !self.finished => return Found::Wait,
            Some(after) => after,
        };
        let plausible =
            after.is_empty() || u32_le(after, 0).is_some_and(|magic| magic == ZSTD_MAGIC || is_skippable(magic));
        if !plausible {
            return self.begin_scan(reason);
        }
        let offset = self.at;
        self.consume(size);
        Found::Damage { offset, bytes: size as u64, reason }
    }

    fn record(&mut self) -> Found {
        let offset = self.at;
        let (record, size) = match parse_record(self.rest()) {
            Ok(parsed) => parsed,
            Err(RecordProblem::NeedMore(_)) => return self.incomplete(),
            Err(problem @ (RecordProblem::Length(_) | RecordProblem::Magic)) => {
                return self.damaged(None, DamageReason::Record(problem));
            }
            Err(problem) => {
                let size = u32_le(self.rest(), 4).map(|length| SKIPPABLE_HEADER_BYTES + length as usize);
                return self.damaged(size, DamageReason::Record(problem));
            }
        };
        let begins_part = match &record {
            Record::Part(_) | Record::MaybeStored => true,
            Record::Other { kind, .. } => kind == "part", // of a later version
        };
        if begins_part && let Some(end) = self.close_part() {
            return end;
        }
        match record {
            Record::Part(mut record) => {
                record.maybe_stored |= std::mem::take(&mut self.maybe_stored);
                let hasher = self.hashing.then(Sha256::new);
                self.open = Some(Open { id: record.id(), offset, hasher, missing: record.blocks.len(), end: None });
                self.consume(size);
                let end = self.at + record.blocks_size();
                if let Some(open) = self.open.as_mut().filter(|_| !record.blocks.is_empty()) {
                    open.end = Some(end);
                }
                self.expected = record.blocks.iter().copied().collect();
                self.expected_at = self.at;
                self.link_type = Some(record.link_type);
                self.part = Some(*record);
                Found::Part { offset }
            }
            Record::MaybeStored => {
                self.maybe_stored = true;
                self.consume(size);
                Found::Again
            }
            Record::Other { kind, json } => {
                self.other = (kind, json);
                self.consume(size);
                self.move_blocks(offset);
                Found::Record { offset }
            }
        }
    }

    fn skippable(&mut self, magic: u32) -> Found {
        let offset = self.at;
        let Some(length) = u32_le(self.rest(), 4) else { return self.incomplete() };
        let seek_table = magic == SEEK_TABLE_MAGIC;
        let size = SKIPPABLE_HEADER_BYTES + length as usize;
        if size > if seek_table { MAX_SEEK_TABLE_BYTES } else { SKIPPABLE_HEADER_BYTES + MAX_RECORD_BYTES } {
            return self.damaged(None, DamageReason::Skippable);
        }
        let Some(frame) = self.rest().get(..size) else { return self.incomplete() };
        if !seek_table {
            self.consume(size);
            self.move_blocks(offset);
            return Found::Unknown { offset, bytes: size as u64 };
        }
        if Plan::from_table(offset, frame).is_err() {
            return self.damaged(Some(size), DamageReason::Skippable);
        }
        if let Some(end) = self.close_part() {
            return end;
        }
        self.consume(size);
        Found::SeekTable { offset }
    }

    fn block(&mut self) -> Found {
        let offset = self.at;
        let known = self.known_block();
        let window = self.buffer.get(self.start..).unwrap_or_default();
        let read = read_block(window, &mut self.decompressor, &mut self.block);
        self.decompressed_bytes += self.block.len() as u64;
        let compressed_size = match read {
            Ok(size) => size,
            // a size known beforehand tells damaged lengths inside the frame from bytes that are still to come
            Err(BlockError::Cut(_)) if known.is_none_or(|(size, _)| size > window.len()) => return self.incomplete(),
            Err(error) => {
                let reason = match error {
                    BlockError::Frame("no zstd frame begins here") => DamageReason::NoFrame,
                    BlockError::Frame(reason) => DamageReason::Frame(reason),
                    BlockError::Zstd(reason) => DamageReason::Block(reason),
                    _ => DamageReason::Length,
                };
                let walked = match walk(window).0 {
                    Walk::Whole(size) => Some(size),
                    _ => None,
                };
                // what the failed attempt may have cost
                self.decompressed_bytes +=
                    super::frame::header(window).ok().flatten().map_or(0, |header| header.content as u64);
                return self.damaged(known.map(|(size, _)| size).or(walked), reason);
            }
        };
        if let Some(header) = FileHeader::parse(&self.block).filter(|_| self.block.len() == 24) {
            if let Some(end) = self.close_part() {
                return end;
            }
            self.consume(compressed_size);
            self.link_type = Some(header.link_type);
            return Found::Prologue(header);
        }
        self.consume(compressed_size);
        let packets = known.filter(|&(size, _)| size == compressed_size).and_then(|(_, packets)| packets);
        if packets.is_some()
            && let Some(open) = &mut self.open
        {
            open.missing = open.missing.saturating_sub(1);
        }
        Found::Block { offset, compressed_size: compressed_size as u32, packets }
    }

    /// A frame that is no block lay where the part's next block was expected: the blocks come behind it.
    fn move_blocks(&mut self, from: u64) {
        if self.expected_at != from || self.expected.is_empty() {
            return;
        }
        self.expected_at = self.at;
        if let Some(end) = self.open.as_mut().and_then(|open| open.end.as_mut()) {
            *end += self.at - from;
        }
    }

    /// Drops what was expected and planned before this place.
    fn align(&mut self) {
        while self.expected_at < self.at
            && let Some(block) = self.expected.pop_front()
        {
            self.expected_at += u64::from(block.compressed_size);
        }
        while self.planned.front().is_some_and(|frame| frame.offset < self.at) {
            self.planned.pop_front();
        }
    }

    /// Size and number of packets of the block that must begin here, by the part record, else by the seek table.
    fn known_block(&mut self) -> Option<(usize, Option<u32>)> {
        self.align();
        let listed = self.expected.front().filter(|_| self.expected_at == self.at);
        let planned = self.planned.front().filter(|frame| frame.offset == self.at);
        let size = planned.map(|frame| frame.compressed_size).or(listed.map(|block| block.compressed_size))? as usize;
        let packets = listed.filter(|block| block.compressed_size as usize == size).map(|block| block.packets);
        (4..MAX_COMPRESSED_BLOCK_BYTES + SKIPPABLE_HEADER_BYTES).contains(&size).then_some((size, packets))
    }
}
