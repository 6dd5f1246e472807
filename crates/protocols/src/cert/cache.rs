//! Certificates seen by a worker, by content: the same few chains come again and again.

use std::collections::HashMap;

use super::x509::{self, Certificate};

/// Certificates in one of the two generations.
const MAX_COUNT: usize = 2_048;

/// Bytes of memory that one of the two generations may hold, about.
const MAX_BYTES: usize = 4 << 20;

/// A certificate larger than this is read each time.
const MAX_CACHED_BYTES: usize = 32 << 10;

/// Certificates seen by a worker, by content.
///
/// A hit compares all bytes, so the cache changes no document. Two generations: when the young one is full it becomes
/// the old one, whose rest is forgotten; what is found in the old one moves to the young one.
#[derive(Default)]
pub struct Cache {
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
    young_bytes: usize,
    /// The last one that was too large to keep.
    large: Option<Certificate>,
}

struct Entry {
    der: Box<[u8]>,
    /// `None` where the bytes are no certificate.
    certificate: Option<Certificate>,
}

impl Cache {
    /// The fields of a certificate; `None` where the bytes are none.
    pub(super) fn lookup(&mut self, der: &[u8]) -> Option<&Certificate> {
        if der.len() > MAX_CACHED_BYTES {
            self.large = x509::read(der);
            return self.large.as_ref();
        }
        let key = quick_hash(der);
        if self.young.get(&key).is_none_or(|entry| *entry.der != *der) {
            let known = self.old.remove(&key).filter(|entry| *entry.der == *der);
            let entry = known.unwrap_or_else(|| Entry { der: der.into(), certificate: x509::read(der) });
            self.insert(key, entry);
        }
        self.young.get(&key)?.certificate.as_ref()
    }

    fn insert(&mut self, key: u64, entry: Entry) {
        let bytes = entry.der.len() + entry.certificate.as_ref().map_or(0, |found| found.fields.memory()) + 128;
        if self.young.len() >= MAX_COUNT || self.young_bytes + bytes > MAX_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, entry);
    }
}

/// A hash that needs to be quick, not strong: two certificates of one hash only push each other out.
fn quick_hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(0xFF51_AFD7_ED55_8CCD).rotate_left(29);
    }
    for &byte in rest {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3).rotate_left(11);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_bounds() {
        let mut cache = Cache::default();
        for number in 0_u32..10_000 {
            assert!(cache.lookup(&number.to_be_bytes()).is_none());
        }
        assert!(cache.young.len() <= MAX_COUNT && cache.old.len() <= MAX_COUNT);
        for number in 0_u32..200 {
            let mut bytes = vec![0; MAX_CACHED_BYTES];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            assert!(cache.lookup(&bytes).is_none());
        }
        assert!(cache.young_bytes <= MAX_BYTES);
        // found again in the old generation
        assert!(cache.lookup(&[0; MAX_CACHED_BYTES + 1]).is_none());
    }
}
