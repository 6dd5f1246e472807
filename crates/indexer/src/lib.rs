//! From an S3 event to session documents: the same code in the indexer Lambda, in a worker, and in `skycap local`.
//!
//! ```text
//! event → claim the object → ranged reads, a few ahead → blocks → dissection → documents in bulks → files document
//! ```
//!
//! Documents are created with ids that are a function of the object alone, so a delivery that comes twice, late, out of
//! order or at the same time as another changes nothing. An object that is indexed costs one read of its files document.

mod dissect;
mod event;
mod identity;
mod index;
mod worker;

pub use event::{EventError, ObjectCreated, parse as parse_event};
pub use identity::{OTHER_INDEX, file_id, id_prefix, index_of};
pub use index::{DISSECTOR_VERSION, IndexError, IndexSettings, Indexed, Indexer, Outcome};
pub use worker::{Worker, WorkerCounters};
