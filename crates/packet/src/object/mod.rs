//! The capture object: what one ring captured in one span of time, of one link type. `docs/object-format.md` has the format.
//!
//! Writing: [`BlockBuilder`] → [`Compressor`] (any number of threads) → [`PartBuilder`] → [`ObjectBuilder`].
//! Reading: [`ObjectReader`] front to back, or [`read_block`] for a block whose place a [`Position`] names; [`Plan`] reads the
//! seek table.

mod block;
mod event;
mod frame;
mod part;
pub mod position;
mod reader;
mod scan;
mod seek;
mod writer;

pub use block::{
    Block, BlockBuilder, BlockError, CompressedBlock, Compressor, DEFAULT_LEVEL, Decompressor, read_block,
};
pub use event::{DamageReason, Event, PartEnd};
pub use part::{
    BlockEntry, Counters, MAX_BLOCKS_PER_PART, MAX_RECORD_BYTES, MAX_TOMBSTONES, PartHash, PartRecord, PreviousRun,
    RECORD_MAGIC, Record, RecordProblem, Tombstone, encode_record, parse_record,
};
pub use position::{GapDecoder, GapEncoder, MalformedGaps, Position, PositionList, decode_gaps, encode_gaps};
pub use reader::ObjectReader;
pub use scan::MAX_SCAN_WORK;
pub use seek::{BlockReference, Frame, MAX_FRAMES, MAX_SEEK_TABLE_BYTES, Plan, PlanError, TAIL_BYTES};
pub use writer::{
    DEFAULT_PART_BYTES, MAX_PART_BYTES, MIN_PART_BYTES, ObjectBuilder, Part, PartBuilder, PartHeader, WriteError,
    mark_maybe_stored_record,
};

/// Version of the format that part records are written with.
pub const FORMAT_VERSION: u32 = 1;

/// A block's compressed size stays below this, so one ranged GET of this length always has the whole block.
pub const MAX_COMPRESSED_BLOCK_BYTES: usize = (1 << 20) + (1 << 13);

/// Largest size of a capture object; one worker reads one object.
pub const MAX_OBJECT_BYTES: u64 = 1 << 31;
