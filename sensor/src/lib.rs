//! The sensor: packets → blocks → compressed blocks → parts → capture objects, uploaded while they are open.
//!
//! ```text
//! capture thread          pool of threads      assembler thread            sink
//! packet → block builder → compress ─────────→ parts, chain, seek table ─→ S3 upload, or a file
//! ```
//!
//! Every arrow is a bounded queue. Replay of files and live capture share all of it; files come through [`read_packets`].

mod input;
mod reading;
mod recorder;
mod sink;
mod upload;

pub use input::{Input, Source};
pub use reading::{Batch, Finished, read_batches, read_packets};
pub use recorder::{MAX_OPEN_LINK_TYPES, Recorded, Recorder, Settings};
pub use sink::{FileSink, Sink};
pub use upload::{S3Sink, UploadSettings};

/// 64 random bits for a new run, from the operating system's generator by way of the standard library's hash keys.
#[must_use]
pub fn random_run() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
