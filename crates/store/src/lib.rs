//! Where things are kept, behind traits: sessions and files documents ([`SessionStore`]), objects ([`ObjectStore`]) and
//! event messages ([`Queue`]).
//!
//! Production speaks to OpenSearch, S3 and SQS; `skycap local` to embedded ones of the same shape (feature `embedded`):
//! a tantivy index, an S3 endpoint on loopback behind the same aws-sdk-s3 client, a queue in process.
//! Each trait has one conformance suite that every implementation passes.

#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
mod object;
mod queue;
mod s3;
mod session;
#[cfg(any(test, feature = "suite"))]
pub mod suite;

pub use error::{ErrorKind, StoreError};
pub use object::{ObjectMetadata, ObjectStore};
pub use queue::{Message, Queue};
pub use s3::S3Objects;
pub use session::{
    Aggregation, Bucket, BucketKey, Capabilities, Created, FilesPage, FilesQuery, NewSession, Page, PutFile, Scope,
    Search, SessionStore, Sort, SortOrder, StoredSession, Versioned,
};
