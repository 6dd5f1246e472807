//! When an unfinished upload may be touched.

use skycap_model::Timestamp;

/// How long an upload belongs to its sensor alone, by S3's own Initiated.
pub const LEASE_MS: u64 = 15 * 60_000;
/// What the janitor waits beyond, for clocks that differ.
pub const GRACE_MS: u64 = 5 * 60_000;

/// True where the upload that began at `initiated_ms` may be completed by the janitor at `now_ms` (milliseconds since
/// the epoch): never within lease and grace, so that there are never two writers.
#[must_use]
pub fn is_over(initiated_ms: u64, now_ms: u64) -> bool {
    let age = Timestamp::from_milliseconds(now_ms).milliseconds().saturating_sub(initiated_ms);
    age > LEASE_MS + GRACE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_within_the_lease() {
        assert!(!is_over(1_000, 1_000));
        assert!(!is_over(1_000, 1_000 + LEASE_MS + GRACE_MS));
        assert!(is_over(1_000, 1_001 + LEASE_MS + GRACE_MS));
        assert!(!is_over(1_000, 0));
    }
}
