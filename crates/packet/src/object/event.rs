//! What reading an object front to back finds.

use skycap_model::PartId;
use thiserror::Error;

use super::part::{PartHash, PartRecord, RecordProblem};
use crate::record::FileHeader;

/// What a reader found next in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The prologue.
    Prologue(FileHeader),
    /// A part begins.
    Part {
        /// Where its record begins.
        offset: u64,
        /// What the record says.
        record: &'a PartRecord,
    },
    /// A part ended: another began, or the seek table, or the object ended.
    PartEnd(PartEnd),
    /// A block, whose checksum holds.
    Block {
        /// Where its frame begins in the object; the upper bits of its packets' positions.
        offset: u64,
        /// Size of the frame.
        compressed_size: u32,
        /// How many packets its part record says it has.
        packets: Option<u32>,
        /// Its packet records, see [`crate::record::packets`].
        bytes: &'a [u8],
    },
    /// A record of a kind not known here.
    Record {
        /// Where it begins.
        offset: u64,
        /// Its kind.
        kind: &'a str,
        /// Its JSON.
        json: &'a str,
    },
    /// A skippable frame that is no record of ours; passed over.
    Unknown {
        /// Where it begins.
        offset: u64,
        /// Its size.
        bytes: u64,
    },
    /// The seek table; its sizes add up.
    SeekTable {
        /// Where it begins.
        offset: u64,
    },
    /// Bytes that could not be read; reading goes on behind them.
    Damage {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        bytes: u64,
        /// What is wrong with them.
        reason: DamageReason,
    },
    /// The object ends before the frame that begins here, or the part, does. All before it was read.
    Cut {
        /// Where the missing frame begins.
        offset: u64,
        /// How many bytes of it are there.
        bytes: u64,
    },
}

/// A part as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartEnd {
    /// Which part.
    pub id: PartId,
    /// Where its record begins.
    pub offset: u64,
    /// Its size in bytes, as read.
    pub bytes: u64,
    /// All blocks that its record lists were read.
    pub complete: bool,
    /// SHA-256 of its bytes, where asked for by [`super::ObjectReader::hashing`].
    pub sha256: Option<PartHash>,
}

/// What is wrong with bytes of an object.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageReason {
    /// Neither a frame nor a record begins there.
    #[error("neither a frame nor a record begins here")]
    NoFrame,
    /// A zstd frame that is no block.
    #[error("no block: {0}")]
    Frame(&'static str),
    /// A block that can't be decompressed, or whose checksum doesn't hold.
    #[error("damaged block: {0}")]
    Block(&'static str),
    /// A record that can't be read.
    #[error("damaged record: {0}")]
    Record(RecordProblem),
    /// A seek table whose sizes don't add up, or a skippable frame of impossible size.
    #[error("damaged seek table or unknown frame")]
    Skippable,
    /// It claims more bytes than the object has, and something whole follows.
    #[error("a frame claims more bytes than are there")]
    Length,
}
