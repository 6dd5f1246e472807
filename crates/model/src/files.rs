//! The files document: what is known of one capture object, and how far its indexing got.

use serde::{Deserialize, Serialize};

use crate::{PartSequence, RingId, RunId};

/// State of a files document; it moves forwards only, by compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// An indexer began with the object.
    Claimed,
    /// All sessions of the object are stored; a further delivery is acknowledged unread.
    Indexed,
    /// The object can't be indexed; `reason` says why.
    Refused,
}

/// What identifies a part: it, not the object that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartId {
    /// The sensor process' life.
    pub run: RunId,
    /// The capture queue.
    pub ring: RingId,
    /// The part's place in it.
    pub sequence: PartSequence,
}

/// One document of the files index, `_id` = `{node}-{num}`. Names follow Arkime's `files` where it has them;
/// what is ours lives under `skycap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilesDocument {
    /// `fileId` of the object: 53 bits of its hash, unique per node.
    pub num: u64,
    /// `s3://bucket/key`.
    pub name: String,
    /// Node that captured it.
    pub node: String,
    /// First packet, whole seconds since the epoch.
    pub first: u64,
    /// First packet, milliseconds since the epoch; absent where the object has no packet.
    pub first_timestamp: Option<u64>,
    /// Last packet, milliseconds since the epoch.
    pub last_timestamp: Option<u64>,
    /// Size of the object in bytes.
    pub filesize: u64,
    /// 1 keeps expiry away.
    pub locked: u8,
    /// Packets in the object.
    pub packets: u64,
    /// Captured bytes of those packets.
    pub packets_size: u64,
    /// Session documents made of the object.
    pub sessions_present: u64,
    /// `gap0`: how `packetPos` is written.
    pub packet_pos_encoding: String,
    /// Low bits of a position that address a byte of the decompressed block: 20.
    pub uncompressed_bits: u8,
    /// `zstd`.
    pub compression: String,
    /// What only Skycap knows of the object.
    pub skycap: SkycapFile,
}

/// Skycap's own part of the files document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkycapFile {
    /// Bucket of the object.
    pub bucket: String,
    /// Key of the object.
    pub key: String,
    /// ETag of the object, without quotes.
    pub etag: String,
    /// LastModified of the object, milliseconds since the epoch.
    pub last_modified: u64,
    /// How far indexing got.
    pub state: FileState,
    /// Why it was refused, or what was found damaged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Version of the dissector that made the sessions.
    pub dissector: String,
    /// Hash of the settings that shape sessions.
    pub settings: String,
    /// Salt that was added until `num` was free on the node; 0 nearly always.
    pub salt: u32,
    /// Indices that hold sessions of this object.
    pub indices: Vec<String>,
    /// Link type of its packets (a LINKTYPE value).
    pub link_type: u32,
    /// Parts that the object holds, as the records say.
    pub parts: Vec<PartId>,
    /// Packets that were refused, by reason.
    pub refused: std::collections::BTreeMap<String, u64>,
}

impl FilesDocument {
    /// `_id` of the document.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.node, self.num)
    }
}
