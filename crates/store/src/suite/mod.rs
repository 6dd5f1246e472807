//! Conformance suites: what every implementation of a trait must do, as functions over the trait.
//!
//! They panic where an implementation is wrong, as tests do; they are compiled for tests only (feature `suite`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "suites are tests")]

mod objects;
mod queries;
mod queue;
mod sessions;

pub use objects::{ObjectWriter, objects};
pub use queries::queries;
pub use queue::queue;
pub use sessions::{files, files_document, sessions};
