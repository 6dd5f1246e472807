//! Clocks of interfaces: ticks to nanoseconds.

use skycap_model::Timestamp;

/// How an interface's ticks become nanoseconds (options if_tsresol and if_tsoffset).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    unit: Unit,
    /// Nanoseconds to add.
    offset: i128,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    /// A tick is that many nanoseconds.
    Nanoseconds(u64),
    /// That many ticks are a nanosecond.
    PerNanosecond(u64),
    /// That power of two of ticks is a second.
    Binary(u32),
}

impl Clock {
    pub(super) fn new(resolution: u8, offset_seconds: i64) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        let unit = match (resolution & 0x80 != 0, exponent) {
            (true, bits) => Unit::Binary(bits),
            (false, 0..=9) => Unit::Nanoseconds(10u64.pow(9 - exponent)),
            (false, _) => 10u64.checked_pow(exponent - 9).map_or(Unit::Nanoseconds(0), Unit::PerNanosecond),
        };
        Self { unit, offset: i128::from(offset_seconds) * 1_000_000_000 }
    }

    /// Times before 1970 or after 2554 are moved to the nearest that can be told.
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        let nanoseconds = match self.unit {
            Unit::Nanoseconds(each) => ticks.saturating_mul(each),
            Unit::PerNanosecond(ticks_each) => ticks / ticks_each,
            Unit::Binary(bits) => {
                let scaled = (u128::from(ticks) * 1_000_000_000).checked_shr(bits).unwrap_or(0);
                u64::try_from(scaled).unwrap_or(u64::MAX)
            }
        };
        if self.offset == 0 {
            return Timestamp(nanoseconds);
        }
        let moved = (i128::from(nanoseconds) + self.offset).max(0);
        Timestamp(u64::try_from(moved).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        assert_eq!(Clock::new(0, 0).time(3).0, 3_000_000_000);
        assert_eq!(Clock::new(12, 0).time(3_999).0, 3);
        assert_eq!(Clock::new(127, 0).time(u64::MAX).0, 0);
        assert_eq!(Clock::new(0xff, 0).time(u64::MAX).0, 0);
        assert_eq!(Clock::new(0x80, 0).time(u64::MAX).0, u64::MAX);
        assert_eq!(Clock::new(6, -10).time(5).0, 0);
        assert_eq!(Clock::new(6, i64::MAX).time(5).0, u64::MAX);
    }
}
