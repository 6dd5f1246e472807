//! What every object store does.

use async_trait::async_trait;

use crate::{ErrorKind, ObjectStore};

/// How the suite puts objects into the store under test.
#[async_trait]
pub trait ObjectWriter: Send + Sync {
    /// Writes an object.
    async fn put(&self, bucket: &str, key: &str, bytes: &[u8]);
}

/// A store with an empty bucket.
pub async fn objects(store: &dyn ObjectStore, writer: &dyn ObjectWriter, bucket: &str) {
    let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    writer.put(bucket, "captures/a b/ü+1", &bytes).await;
    let head = store.head(bucket, "captures/a b/ü+1").await.unwrap();
    assert_eq!((head.key.as_str(), head.size), ("captures/a b/ü+1", 100_000));
    assert!(!head.etag.is_empty() && !head.etag.contains('"'));
    assert!(head.last_modified > 1_600_000_000_000, "{}", head.last_modified);

    // ranges, cut at the end
    let key = head.key.as_str();
    for (offset, length) in [(0, 1), (0, 100_000), (10, 1_000), (99_990, 100), (99_999, 1), (0, 1 << 40)] {
        let range = store.range(bucket, key, offset, length, Some(&head.etag)).await.unwrap();
        let end = (offset + length).min(100_000) as usize;
        assert_eq!(range, bytes[offset as usize..end], "{offset} {length}");
    }
    assert!(store.range(bucket, key, 5, 0, None).await.unwrap().is_empty());
    assert!(store.range(bucket, key, 100_000, 10, None).await.unwrap().is_empty());
    assert!(store.range(bucket, key, 200_000, 10, None).await.unwrap().is_empty());

    // what isn't there, and what is another one by now
    let missing = store.head(bucket, "captures/none").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("captures/none"), "{missing}");
    assert_eq!(store.range(bucket, "captures/none", 0, 1, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    let changed = store.range(bucket, key, 0, 1, Some("0123456789abcdef0123456789abcdef")).await.unwrap_err();
    assert_eq!(changed.kind(), ErrorKind::Conflict);
    assert_eq!(store.head("no-such-bucket-here", key).await.unwrap_err().kind(), ErrorKind::NotFound);

    // listings in key order
    let mut keys: Vec<String> = (0..25).map(|number| format!("list/{number:02}/x")).collect();
    keys.extend(["list/1+", "list/10/x.y", "list/10/y/z", "lisu"].map(str::to_owned));
    for key in &keys {
        writer.put(bucket, key, b"1").await;
    }
    keys.sort();
    keys.retain(|key| key.starts_with("list/"));
    let list = |prefix: &'static str, after: Option<String>, most: usize| async move {
        let found = store.list(bucket, prefix, after.as_deref(), most).await.unwrap();
        found.into_iter().map(|object| object.key).collect::<Vec<_>>()
    };
    assert_eq!(list("list/", None, 1_000).await, keys);
    assert_eq!(list("list/", None, 3).await, keys[..3]);
    assert_eq!(list("list/", Some(keys[4].clone()), 3).await, keys[5..8]);
    let ones: Vec<String> = keys.iter().filter(|key| key.starts_with("list/1")).take(2).cloned().collect();
    assert_eq!(list("list/1", None, 2).await, ones);
    assert_eq!(list("list/", Some("list/zz".to_owned()), 3).await, Vec::<String>::new());
    assert_eq!(list("none", None, 3).await, Vec::<String>::new());
    assert!(list("list/", None, 0).await.is_empty());
}
