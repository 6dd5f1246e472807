//! Objects: read, by ranges, and listed. Writing is the sensor's business.

use async_trait::async_trait;
use bytes::Bytes;

use crate::StoreError;

/// What a store says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// Key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// ETag without quotes.
    pub etag: String,
    /// LastModified, milliseconds since the epoch.
    pub last_modified: u64,
}

/// Read access to the objects of a bucket.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Size, ETag and LastModified (HeadObject).
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMetadata, StoreError>;

    /// Bytes `offset..offset + length` of an object (GetObject with Range), cut at its end. Where `etag` is given, the
    /// object must still be that one (If-Match), else [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
    async fn range(
        &self,
        bucket: &str,
        key: &str,
        offset: u64,
        length: u64,
        etag: Option<&str>,
    ) -> Result<Bytes, StoreError>;

    /// Objects whose key begins with `prefix` and comes after `after`, in key order, at most `most` (ListObjectsV2).
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<ObjectMetadata>, StoreError>;
}
