//! What every part of Skycap shares: names, object keys, times, the field catalogue and the files document.
//!
//! No I/O, no clock, no async: time comes from packets, bytes come from callers.

mod catalogue;
pub mod core_fields;
mod field;
mod files;
mod key;
mod time;

pub use catalogue::{Catalogue, Resolved};
pub use field::{Category, Field, FieldId, Kind, Shape};
pub use files::{FileState, FilesDocument, PartId, SkycapFile};
pub use key::{Class, GroupName, KeyError, NodeName, ObjectKey, PartSequence, RingId, RunId};
pub use time::Timestamp;

/// Largest number of captured bytes that a packet may have (design: one record of the libpcap format, never split).
pub const MAX_PACKET_BYTES: usize = 262_144;

/// A block's decompressed size stays below this; a position's low 20 bits address a byte of it.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

/// Longest text value in a session document, in bytes; longer ones are cut and the session is marked.
pub const MAX_TEXT_BYTES: usize = 8_191;
