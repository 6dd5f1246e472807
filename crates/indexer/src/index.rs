//! Indexing one object: claim, read, dissect, store, settle.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use skycap_flow::{ObjectIdentity, Settings};
use skycap_model::{FileState, FilesDocument, ObjectKey, SkycapFile};
use skycap_store::{Created, ErrorKind, NewSession, ObjectMetadata, ObjectStore, PutFile, SessionStore, StoreError};
use thiserror::Error;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    ObjectCreated,
    dissect::{self, Findings, Task},
    identity::{file_id, id_prefix, possible_indices},
};

/// Version of what makes documents of packets: an object begun by another version is begun anew.
pub const DISSECTOR_VERSION: &str = concat!("skycap-", env!("CARGO_PKG_VERSION"), "-1");

/// Largest object that is indexed: one object, one worker.
const MAX_OBJECT_BYTES: u64 = 2 << 30;
/// Bytes of one ranged read.
const READ_BYTES: u64 = 4 << 20;
/// Ranged reads under way at once.
const READS_AHEAD: usize = 3;
/// Bulks between the dissecting thread and the store.
const QUEUED_BULKS: usize = 2;
/// How many salts are tried for a `fileId` that is free on the node.
const MAX_SALT: u32 = 16;
/// First pause before a busy store is asked again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a busy store is asked again.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How objects are indexed.
#[derive(Clone, Debug)]
pub struct IndexSettings {
    /// What shapes sessions.
    pub dissector: Settings,
    /// Threads that dissect one object; documents are the same for any number.
    pub threads: NonZeroUsize,
    /// How long one object may take; beyond, the delivery is given back.
    pub deadline: Duration,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self { dissector: Settings::default(), threads: NonZeroUsize::MIN, deadline: Duration::from_secs(14 * 60) }
    }
}

/// Indexes capture objects. Cheap to clone; several may work on the same stores.
#[derive(Clone)]
pub struct Indexer {
    objects: Arc<dyn ObjectStore>,
    sessions: Arc<dyn SessionStore>,
    settings: IndexSettings,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was indexed now.
    Indexed(Indexed),
    /// It was indexed before: nothing was read.
    Known,
    /// It is no capture object, or can't be indexed; the reason. Acknowledge it.
    Refused(String),
    /// The object is gone: expired, or deleted. Acknowledge it.
    Gone,
}

/// Counters of an indexed object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// Packets in sessions.
    pub packets: u64,
    /// Sessions found.
    pub sessions: u64,
    /// Of these, documents that were there already.
    pub known: u64,
    /// Damage found in the object, in words.
    pub damage: Vec<String>,
}

/// Why an object could not be indexed this time. Give the delivery back.
#[derive(Debug, Error)]
pub enum IndexError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It took too long.
    #[error("indexing s3://{bucket}/{key} took longer than {seconds} s")]
    Deadline {
        /// Bucket of the object.
        bucket: String,
        /// Key of the object.
        key: String,
        /// The deadline.
        seconds: u64,
    },
    /// The store refused documents for good.
    #[error("the store refused {count} sessions of s3://{bucket}/{key}: {reason}")]
    Rejected {
        /// Bucket of the object.
        bucket: String,
        /// Key of the object.
        key: String,
        /// How many.
        count: u64,
        /// What it said to the first.
        reason: String,
    },
    /// A thread of ours failed.
    #[error("{0}")]
    Internal(String),
}

impl Indexer {
    /// An indexer over stores.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, sessions: Arc<dyn SessionStore>, settings: IndexSettings) -> Self {
        Self { objects, sessions, settings }
    }

    /// Indexes the object that an event speaks of, unless that is done.
    pub async fn index(&self, created: &ObjectCreated) -> Result<Outcome, IndexError> {
        let key: ObjectKey = match created.key.parse() {
            Ok(key) => key,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        // an indexed object costs this one read
        if !created.etag.is_empty() && self.is_indexed(&key, created).await? {
            return Ok(Outcome::Known);
        }
        let metadata = match self.objects.head(&created.bucket, &created.key).await {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Outcome::Gone),
            Err(error) => return Err(error.into()),
        };
        let Some(claim) = self.claim(&key, &created.bucket, &metadata).await? else { return Ok(Outcome::Known) };
        if metadata.size > MAX_OBJECT_BYTES {
            let reason = format!("the object has {} bytes, and at most {MAX_OBJECT_BYTES} are indexed", metadata.size);
            self.settle(claim, |document| {
                document.skycap.state = FileState::Refused;
                document.skycap.reason = Some(reason.clone());
            })
            .await?;
            return Ok(Outcome::Refused(reason));
        }
        let deadline = Instant::now() + self.settings.deadline;
        let late = || IndexError::Deadline {
            bucket: created.bucket.clone(),
            key: created.key.clone(),
            seconds: self.settings.deadline.as_secs(),
        };
        let read = tokio::time::timeout_at(deadline, self.read(created, &metadata, &claim.document));
        let (findings, known) = read.await.map_err(|_| late())??;
        self.sessions.flush().await?;
        let indexed =
            Indexed { packets: findings.packets, sessions: findings.sessions, known, damage: findings.damage.clone() };
        self.settle(claim, |document| describe(document, &findings)).await?;
        Ok(Outcome::Indexed(indexed))
    }

    async fn is_indexed(&self, key: &ObjectKey, created: &ObjectCreated) -> Result<bool, IndexError> {
        for salt in 0..MAX_SALT {
            let number = file_id(&created.bucket, &created.key, &created.etag, salt);
            let Some(file) = self.sessions.file(&format!("{}-{number}", key.node)).await? else { return Ok(false) };
            if same_object(&file.value, &created.bucket, &created.key, &created.etag) {
                return Ok(file.value.skycap.state != FileState::Claimed && self.is_ours(&file.value));
            }
        }
        Ok(false)
    }

    /// True where this version, with these settings, began the object.
    fn is_ours(&self, document: &FilesDocument) -> bool {
        document.skycap.dissector == DISSECTOR_VERSION && document.skycap.settings == self.settings.dissector.digest()
    }

    /// Takes the object's files document to `claimed`; `None` where it is indexed or refused already.
    ///
    /// A document of another version has its sessions deleted first, since they may differ. One that is claimed by this
    /// version belongs to a delivery that died or still runs: going on beside it is harmless, ids are the same.
    async fn claim(
        &self,
        key: &ObjectKey,
        bucket: &str,
        metadata: &ObjectMetadata,
    ) -> Result<Option<Claim>, IndexError> {
        let mut salt = 0;
        while salt < MAX_SALT {
            let number = file_id(bucket, &metadata.key, &metadata.etag, salt);
            let fresh = self.fresh_document(key, bucket, metadata, number, salt);
            let Some(found) = self.sessions.file(&fresh.id()).await? else {
                match self.sessions.put_file(&fresh, None).await? {
                    PutFile::Written(version) => return Ok(Some(Claim { document: fresh, version })),
                    PutFile::Conflict => continue,
                }
            };
            if !same_object(&found.value, bucket, &metadata.key, &metadata.etag) {
                salt += 1;
                continue;
            }
            if self.is_ours(&found.value) {
                if found.value.skycap.state == FileState::Claimed {
                    return Ok(Some(Claim { document: found.value, version: found.version }));
                }
                return Ok(None);
            }
            // its sessions may be in any index that another version chose
            self.sessions.delete_object(&fresh.node, number, &found.value.skycap.indices).await?;
            match self.sessions.put_file(&fresh, Some(found.version)).await? {
                PutFile::Written(version) => return Ok(Some(Claim { document: fresh, version })),
                PutFile::Conflict => {}
            }
        }
        Err(IndexError::Internal(format!("no free fileId for s3://{bucket}/{} on node {}", metadata.key, key.node)))
    }

    fn fresh_document(
        &self,
        key: &ObjectKey,
        bucket: &str,
        metadata: &ObjectMetadata,
        num: u64,
        salt: u32,
    ) -> FilesDocument {
        // until it is indexed, its sessions may be in any of the possible indices: another version deletes them there
        FilesDocument {
            num,
            name: format!("s3://{bucket}/{}", metadata.key),
            node: key.node.to_string(),
            first: key.first_packet.seconds(),
            first_timestamp: None,
            last_timestamp: None,
            filesize: metadata.size,
            locked: 0,
            packets: 0,
            packets_size: 0,
            sessions_present: 0,
            packet_pos_encoding: "gap0".to_owned(),
            uncompressed_bits: 20,
            compression: "zstd".to_owned(),
            skycap: SkycapFile {
                bucket: bucket.to_owned(),
                key: metadata.key.clone(),
                etag: metadata.etag.clone(),
                last_modified: metadata.last_modified,
                state: FileState::Claimed,
                reason: None,
                dissector: DISSECTOR_VERSION.to_owned(),
                settings: self.settings.dissector.digest(),
                salt,
                indices: possible_indices(metadata.last_modified),
                link_type: skycap_packet::link::ETHERNET,
                parts: Vec::new(),
                refused: Default::default(),
            },
        }
    }

    /// Reads, dissects and stores; how many documents were there already.
    async fn read(
        &self,
        created: &ObjectCreated,
        metadata: &ObjectMetadata,
        document: &FilesDocument,
    ) -> Result<(Findings, u64), IndexError> {
        let (pieces, incoming) = mpsc::channel(1);
        let (bulks, mut outgoing) = mpsc::channel(QUEUED_BULKS);
        let task = Task {
            settings: self.settings.dissector.clone(),
            identity: ObjectIdentity {
                node: document.node.clone(),
                file_id: document.num,
                id_prefix: id_prefix(&created.bucket, &created.key, &metadata.etag),
            },
            threads: self.settings.threads,
            last_modified_ms: metadata.last_modified,
        };
        let dissecting = tokio::task::spawn_blocking(move || dissect::run(incoming, &bulks, &task));
        let feeding = self.feed(created, metadata, pieces);
        let storing = async {
            let mut known = 0;
            while let Some(bulk) = outgoing.recv().await {
                known += self.store(created, bulk).await?;
            }
            Ok::<u64, IndexError>(known)
        };
        let ((), known) = tokio::try_join!(feeding, storing)?;
        let findings =
            dissecting.await.map_err(|error| IndexError::Internal(format!("the dissecting thread died: {error}")))?;
        Ok((findings.map_err(IndexError::Internal)?, known))
    }

    /// Reads the object in ranges, a few ahead, in order.
    async fn feed(
        &self,
        created: &ObjectCreated,
        metadata: &ObjectMetadata,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<(), IndexError> {
        let offsets = (0..metadata.size).step_by(usize::try_from(READ_BYTES).unwrap_or(usize::MAX));
        let mut reads = futures::stream::iter(offsets)
            .map(|offset| {
                let length = READ_BYTES.min(metadata.size - offset);
                self.objects.range(&created.bucket, &created.key, offset, length, Some(&metadata.etag))
            })
            .buffered(READS_AHEAD);
        let mut offset = 0;
        while let Some(piece) = reads.next().await {
            let piece = piece?;
            let expected = READ_BYTES.min(metadata.size - offset);
            if piece.len() as u64 != expected {
                // taken for the object's end, it would be settled as damage
                let name = format!("s3://{}/{}", created.bucket, created.key);
                let text = format!("{name}: asked for {expected} bytes at offset {offset}, got {}", piece.len());
                return Err(StoreError::new(ErrorKind::Busy, text).into());
            }
            offset += expected;
            if pieces.send(piece).await.is_err() {
                break; // the dissecting thread tells why
            }
        }
        Ok(())
    }

    /// Stores a bulk; what the store is too busy for is tried again until the deadline cuts it off.
    async fn store(&self, created: &ObjectCreated, bulk: Vec<NewSession>) -> Result<u64, IndexError> {
        let mut known = 0;
        let mut pause = FIRST_PAUSE;
        let mut left = bulk;
        loop {
            let answers = match self.sessions.create(left.clone()).await {
                Ok(answers) => answers,
                Err(error) if error.is_retryable() => vec![Created::Busy; left.len()],
                Err(error) => return Err(error.into()),
            };
            let mut rejected = answers.iter().filter_map(|answer| match answer {
                Created::Rejected(reason) => Some(reason),
                _ => None,
            });
            if let Some(reason) = rejected.next() {
                return Err(IndexError::Rejected {
                    bucket: created.bucket.clone(),
                    key: created.key.clone(),
                    count: 1 + rejected.count() as u64,
                    reason: reason.clone(),
                });
            }
            known += answers.iter().filter(|&answer| *answer == Created::Exists).count() as u64;
            let busy = left.into_iter().zip(answers).filter(|(_, answer)| *answer == Created::Busy);
            left = busy.map(|(session, _)| session).collect();
            if left.is_empty() {
                return Ok(known);
            }
            tracing::warn!(key = created.key, sessions = left.len(), "the store is busy, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Moves the files document forwards, unless another delivery did.
    async fn settle(&self, claim: Claim, change: impl Fn(&mut FilesDocument)) -> Result<(), IndexError> {
        let mut document = claim.document;
        change(&mut document);
        match self.sessions.put_file(&document, Some(claim.version)).await? {
            PutFile::Written(_) => Ok(()),
            PutFile::Conflict => {
                // another delivery of the same object settled it, or another version begins anew: both have the last word
                tracing::debug!(name = document.name, "settled by another delivery");
                Ok(())
            }
        }
    }
}

/// A files document in our hands.
struct Claim {
    document: FilesDocument,
    version: u64,
}

fn same_object(document: &FilesDocument, bucket: &str, key: &str, etag: &str) -> bool {
    let known = &document.skycap;
    known.bucket == bucket && known.key == key && known.etag == etag
}

fn describe(document: &mut FilesDocument, findings: &Findings) {
    document.first_timestamp = findings.first_ms;
    document.last_timestamp = findings.last_ms;
    document.packets = findings.packets;
    document.packets_size = findings.captured_bytes;
    document.sessions_present = findings.sessions;
    document.skycap.state = if findings.link_type.is_some() { FileState::Indexed } else { FileState::Refused };
    document.skycap.reason = match (&findings.link_type, findings.damage.is_empty()) {
        (None, _) => Some("it has neither prologue nor part records: it is no capture object".to_owned()),
        (Some(_), true) => None,
        (Some(_), false) => Some(findings.damage.join("; ")),
    };
    document.skycap.indices = findings.indices.iter().cloned().collect();
    document.skycap.link_type = findings.link_type.unwrap_or(document.skycap.link_type);
    document.skycap.parts.clone_from(&findings.parts);
    document.skycap.refused.clone_from(&findings.refused);
}
