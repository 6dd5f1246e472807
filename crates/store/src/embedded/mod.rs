//! The parts of `skycap local`: everything in one folder, everything in one process.

mod aggregate;
mod files;
mod index;
mod queue;
mod schema;
mod select;
mod sessions;
mod translate;

pub use queue::{MAX_MESSAGES, MemoryQueue};
pub use sessions::{EmbeddedSessions, MAX_SORT_KEYS, MAX_WINDOW};
