//! What names an object's documents: hashes of bucket, key and ETag, the same whoever delivers the event, and when.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use skycap_model::Timestamp;

/// Index of sessions whose day is far from the day on which the object was stored.
pub const OTHER_INDEX: &str = "sessions3-other";

/// How far a session's last packet may lie from the object's LastModified for its day to name the index.
const DAYS_TRUSTED: u64 = 7;
/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

fn hash(bucket: &str, key: &str, etag: &str, salt: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [bucket, key, etag] {
        // the length keeps parts apart
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    if salt > 0 {
        hash.update(salt.to_le_bytes());
    }
    hash.finalize().into()
}

/// First 22 characters of the `_id` of all sessions of an object: 128 bits in base64url.
#[must_use]
pub fn id_prefix(bucket: &str, key: &str, etag: &str) -> String {
    let hash = hash(bucket, key, etag, 0);
    URL_SAFE_NO_PAD.encode(&hash[..16])
}

/// `fileId` of an object: 53 bits, so that JSON numbers hold it, never 0.
#[must_use]
pub fn file_id(bucket: &str, key: &str, etag: &str, salt: u32) -> u64 {
    let hash = hash(bucket, key, etag, salt);
    let number = hash[16..24].iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    (number >> 11).max(1)
}

/// Index of a session: the UTC day of its last packet, or the catch-all, so that no broken clock or hostile file can
/// make a thousand indices. Never depends on the time of delivery.
#[must_use]
pub fn index_of(last_packet: Timestamp, last_modified_ms: u64) -> String {
    let apart = last_packet.milliseconds().abs_diff(last_modified_ms);
    if apart <= DAYS_TRUSTED * DAY_MS {
        format!("sessions3-{}", last_packet.day_suffix())
    } else {
        OTHER_INDEX.to_owned()
    }
}

/// All indices that [`index_of`] may name for an object: where its sessions may be as long as it is not indexed.
#[must_use]
pub(crate) fn possible_indices(last_modified_ms: u64) -> Vec<String> {
    let first = last_modified_ms.saturating_sub(DAYS_TRUSTED * DAY_MS);
    let days = (0..=2 * DAYS_TRUSTED).map(|day| Timestamp::from_milliseconds(first.saturating_add(day * DAY_MS)));
    let names = days.map(|day| format!("sessions3-{}", day.day_suffix()));
    names.chain(std::iter::once(OTHER_INDEX.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable() {
        assert_eq!(id_prefix("b", "k", "e").len(), 22);
        assert_ne!(id_prefix("bk", "", "e"), id_prefix("b", "k", "e"));
        assert!(file_id("b", "k", "e", 0) < 1 << 53);
        assert_ne!(file_id("b", "k", "e", 0), file_id("b", "k", "e", 1));
    }

    #[test]
    fn days() {
        let packet = Timestamp::from_parts(1_700_000_000, 0);
        assert_eq!(index_of(packet, packet.milliseconds() + 6 * 86_400_000), "sessions3-231114");
        assert_eq!(index_of(packet, packet.milliseconds() + 8 * 86_400_000), OTHER_INDEX);
    }
    #[test]
    fn possible_indices_are_all() {
        for modified in [0, 86_399_999, 1_700_000_000_000, 1_700_006_400_000] {
            let possible = possible_indices(modified);
            let hours = (0_u64..400).map(|hour| {
                Timestamp::from_milliseconds((modified + hour * 3_600_000).saturating_sub(200 * 3_600_000))
            });
            assert!(hours.into_iter().all(|packet| possible.contains(&index_of(packet, modified))), "{modified}");
        }
    }
}
