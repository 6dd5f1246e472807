//! The session store: session documents and files documents.

use async_trait::async_trait;
use serde_json::Value;
use skycap_model::{FieldId, FilesDocument};
use skycap_query::Expression;

use crate::StoreError;

/// What the reader may see. There is no read without one.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// A filter that is joined to every query by AND.
    pub filter: Option<Expression>,
    /// Sessions that ended before this (milliseconds since the epoch) are not shown.
    pub not_before: Option<u64>,
    /// The right to packets.
    pub packets: bool,
}

impl Scope {
    /// Everything: for the program's own reads, and for callers that access control let through unrestricted.
    #[must_use]
    pub fn everything() -> Self {
        Self { filter: None, not_before: None, packets: true }
    }
}

/// A session document to store.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Index that it belongs to: `sessions3-yymmdd` or the catch-all `sessions3-other`.
    pub index: String,
    /// `_id`.
    pub id: String,
    /// The document as JSON bytes; stored and given back as it is.
    pub json: Vec<u8>,
}

/// What became of one document of a bulk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    Created,
    /// One with this id was there already; it stays as it is.
    Exists,
    /// The store will never take it; the reason.
    Rejected(String),
    /// The store was too busy for it: try this one again.
    Busy,
}

/// Ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortOrder {
    /// Smallest first; of several values the smallest counts.
    Ascending,
    /// Largest first; of several values the largest counts.
    Descending,
}

/// A sort key. Sessions without a value come last in either order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The field; a field that an index doesn't know sorts as missing.
    pub field: FieldId,
    /// Its order.
    pub order: SortOrder,
}

/// A search for sessions.
///
/// Every sort ends in `fileId` and the first position (that is: the `_id`), so that it is unique and paging is stable.
#[derive(Clone, Debug)]
pub struct Search {
    /// What is looked for; [`Expression::Everything`] for all. `file` terms are resolved before.
    pub expression: Expression,
    /// Sort keys, most significant first.
    pub sort: Vec<Sort>,
    /// Sessions passed over from the start; for pages by number.
    pub from: usize,
    /// Goes on after the session that gave this token; instead of `from`, for walks of any length.
    pub after: Option<Vec<Value>>,
    /// Most sessions given.
    pub size: usize,
}

/// A session as stored.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// Index it is in.
    pub index: String,
    /// `_id`.
    pub id: String,
    /// The document.
    pub document: Value,
    /// Token to go on after it ([`Search::after`]).
    pub after: Vec<Value>,
}

/// A page of sessions.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Sessions in order.
    pub sessions: Vec<StoredSession>,
    /// How many match in all.
    pub total: u64,
}

/// What is counted over the sessions that match.
#[derive(Clone, Debug)]
pub enum Aggregation {
    /// Sessions per distinct value, most first, ties by value; at most `size`.
    Terms {
        /// The field.
        field: FieldId,
        /// Most values given.
        size: usize,
    },
    /// Sessions, packets and bytes per span of time of `lastPacket`; empty spans are left out.
    Histogram {
        /// Length of a span in milliseconds.
        interval_ms: u64,
    },
}

/// The key of a bucket.
#[derive(Clone, Debug, PartialEq)]
pub enum BucketKey {
    /// A text, or an address in text.
    Text(String),
    /// A number, or the start of a span in milliseconds.
    Integer(i64),
}

/// One row of an aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// The value, or the span's start.
    pub key: BucketKey,
    /// Sessions.
    pub sessions: u64,
    /// `network.packets` of the source and of the destination, histograms only.
    pub packets: [u64; 2],
    /// `network.bytes` of the source and of the destination, histograms only.
    pub bytes: [u64; 2],
    /// `client.bytes` and `server.bytes`, histograms only.
    pub data_bytes: [u64; 2],
}

/// A value and the version that compare-and-set asks for.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Opaque version.
    pub version: u64,
}

/// Answer of a compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutFile {
    /// Written; the new version.
    Written(u64),
    /// Somebody else was faster, or it exists already: read again.
    Conflict,
}

/// A listing of files documents.
#[derive(Clone, Debug, Default)]
pub struct FilesQuery {
    /// Part of the name that must occur; empty for all.
    pub filter: String,
    /// Member of the document to sort by: `num`, `name`, `node`, `first`, `filesize`, `packets`; `first` unless said.
    pub sort: String,
    /// Largest first.
    pub descending: bool,
    /// Documents passed over.
    pub from: usize,
    /// Most documents given.
    pub size: usize,
}

/// A page of files documents.
#[derive(Clone, Debug, Default)]
pub struct FilesPage {
    /// Documents in order.
    pub files: Vec<FilesDocument>,
    /// How many match.
    pub matching: u64,
    /// How many there are.
    pub total: u64,
}

/// What a store can do beyond the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Name for people: `embedded`, `opensearch`.
    pub name: &'static str,
    /// What [`SessionStore::create`] stored is found by the next search (after [`SessionStore::flush`]).
    pub immediate: bool,
}

/// Session documents and files documents.
///
/// Documents are created, never overwritten. What `create` answered is durable after `flush` returned.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// What the store can do beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// Stores documents that are not there yet; one answer for each, in order.
    async fn create(&self, sessions: Vec<NewSession>) -> Result<Vec<Created>, StoreError>;

    /// Returns when everything created so far survives a crash.
    async fn flush(&self) -> Result<(), StoreError>;

    /// Deletes the sessions of one object (`node`, `fileId`) in the named indices; how many there were.
    async fn delete_object(&self, node: &str, file_id: u64, indices: &[String]) -> Result<u64, StoreError>;

    /// One session by `_id`, if the scope shows it.
    async fn session(&self, scope: &Scope, id: &str) -> Result<Option<StoredSession>, StoreError>;

    /// Sessions that match, sorted, a page of them.
    async fn search(&self, scope: &Scope, search: &Search) -> Result<Page, StoreError>;

    /// Counts over the sessions that match.
    async fn aggregate(
        &self,
        scope: &Scope,
        expression: &Expression,
        aggregation: &Aggregation,
    ) -> Result<Vec<Bucket>, StoreError>;

    /// One files document by `_id`.
    async fn file(&self, id: &str) -> Result<Option<Versioned<FilesDocument>>, StoreError>;

    /// Writes a files document if its version is still `expected` (`None`: if there is none yet).
    async fn put_file(&self, document: &FilesDocument, expected: Option<u64>) -> Result<PutFile, StoreError>;

    /// Files documents, a page of them.
    async fn files(&self, scope: &Scope, query: &FilesQuery) -> Result<FilesPage, StoreError>;
}
