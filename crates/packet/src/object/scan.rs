//! Scanning: finding the next record or block behind bytes that can't be read.

use super::{
    block::{BlockError, Decompressor, read_block},
    event::DamageReason,
    frame::{ZSTD_MAGIC, header, walk},
    part::{RECORD_MAGIC, RecordProblem, record_json},
    reader::{Found, ObjectReader},
    seek::{MAX_SEEK_TABLE_BYTES, Plan, SEEK_TABLE_MAGIC},
};
use crate::bytes::u32_le;

/// Bytes of work that candidates which turn out to be nothing may cost, beside `WORK_PER_BYTE` for each byte; once used up,
/// candidates are passed over until scanning has gone further. So hostile bytes can't make scanning quadratic.
pub const MAX_SCAN_WORK: u64 = 64 << 20;

/// Bytes of work that each byte scanned allows in addition.
const WORK_PER_BYTE: u64 = 16;

/// Bytes that could not be read so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    pub(super) since: u64,
    pub(super) reason: DamageReason,
}

/// What a place in the scanned bytes turned out to be.
enum Candidate {
    Whole,
    /// Nothing, and what finding out cost.
    Nothing(u64),
    /// Its end is not there yet; what finding out cost, should it never come.
    NeedMore(u64),
}

impl ObjectReader {
    /// Goes on to the next place where something whole begins.
    pub(super) fn scan_on(&mut self) -> Found {
        let Some(scan) = self.scan else { return Found::Again };
        loop {
            // first bytes of zstd frames, records and seek tables
            let next = memchr::memchr3(0x28, 0x53, 0x5e, self.rest());
            self.scan_over(next.unwrap_or(self.rest().len()));
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            if rest.is_empty() {
                return if self.finished { self.scanned_to_end(scan) } else { Found::Wait };
            }
            let candidate = match u32_le(rest, 0) {
                None => Candidate::NeedMore(0),
                Some(_) if self.scan_work > MAX_SCAN_WORK => Candidate::Nothing(0),
                Some(ZSTD_MAGIC) => try_block(rest, &mut self.decompressor, &mut self.block),
                Some(RECORD_MAGIC) => try_record(rest),
                Some(SEEK_TABLE_MAGIC) => try_seek_table(self.at, rest),
                Some(_) => Candidate::Nothing(0),
            };
            match candidate {
                Candidate::Whole => {
                    self.scan = None;
                    let Scan { since, reason } = scan;
                    return Found::Damage { offset: since, bytes: self.at - since, reason };
                }
                Candidate::NeedMore(_) if !self.finished => return Found::Wait,
                Candidate::NeedMore(cost) | Candidate::Nothing(cost) => {
                    self.scan_work += cost;
                    self.scan_over(1);
                }
            }
        }
    }

    fn scan_over(&mut self, bytes: usize) {
        self.consume(bytes);
        self.scan_work = self.scan_work.saturating_sub(bytes as u64 * WORK_PER_BYTE);
    }

    fn scanned_to_end(&mut self, scan: Scan) -> Found {
        self.scan = None;
        let (offset, bytes) = (scan.since, self.at - scan.since);
        match scan.reason {
            DamageReason::Length => Found::Cut { offset, bytes },
            reason => Found::Damage { offset, bytes, reason },
        }
    }
}

fn try_block(bytes: &[u8], decompressor: &mut Decompressor, out: &mut Vec<u8>) -> Candidate {
    let (_, walked) = walk(bytes);
    match read_block(bytes, decompressor, out) {
        Ok(_) => Candidate::Whole,
        Err(BlockError::Cut(_)) => Candidate::NeedMore(walked as u64),
        Err(BlockError::Zstd(_)) => {
            let content = header(bytes).ok().flatten().map_or(0, |header| header.content);
            Candidate::Nothing((walked + content) as u64)
        }
        Err(_) => Candidate::Nothing(walked as u64),
    }
}

fn try_record(bytes: &[u8]) -> Candidate {
    match record_json(bytes) {
        Ok(_) => Candidate::Whole,
        Err(RecordProblem::NeedMore(_)) => Candidate::NeedMore(0),
        Err(RecordProblem::Checksum) => Candidate::Nothing(u32_le(bytes, 4).unwrap_or_default().into()),
        Err(_) => Candidate::Nothing(0),
    }
}

fn try_seek_table(place: u64, bytes: &[u8]) -> Candidate {
    let Some(length) = u32_le(bytes, 4) else { return Candidate::NeedMore(0) };
    let size = 8 + length as usize;
    if size > MAX_SEEK_TABLE_BYTES {
        return Candidate::Nothing(0);
    }
    match bytes.get(..size) {
        None => Candidate::NeedMore(0),
        Some(table) if Plan::from_table(place, table).is_ok() => Candidate::Whole,
        Some(_) => Candidate::Nothing(size as u64),
    }
}
