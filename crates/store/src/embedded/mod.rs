//! The parts of `skycap local`: everything in one folder, everything in one process.

mod aggregate;
mod disk;
mod endpoint;
mod event;
mod files;
mod index;
mod local;
mod queue;
mod schema;
mod select;
mod service;
mod sessions;
mod translate;
mod uploads;

pub use endpoint::LocalCredentials;
pub use local::{Embedded, EmbeddedOptions};
pub use queue::{MAX_MESSAGES, MemoryQueue};
pub use sessions::{EmbeddedSessions, MAX_SORT_KEYS, MAX_WINDOW};
