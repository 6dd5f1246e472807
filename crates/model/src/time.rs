//! Packet time.

use std::fmt;

/// Nanoseconds since the Unix epoch; the resolution that packets keep.
///
/// Session documents hold milliseconds ([`Timestamp::milliseconds`]), as Arkime's do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Builds a time from seconds and nanoseconds; out of range nanoseconds carry over, overflow saturates.
    #[must_use]
    pub const fn from_parts(seconds: u64, nanoseconds: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds as u64))
    }

    /// Builds a time from milliseconds since the epoch; overflow saturates.
    #[must_use]
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub const fn subsecond_nanoseconds(self) -> u32 {
        (self.0 % 1_000_000_000) as u32
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn milliseconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// UTC calendar fields: year, month, day, hour, minute, second.
    #[must_use]
    pub const fn utc(self) -> (i64, u8, u8, u8, u8, u8) {
        let seconds = self.seconds();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // days to civil date, after Howard Hinnant's algorithm
        let shifted = days as i64 + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted - era * 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u8;
        let month = (if month_index < 10 { month_index + 3 } else { month_index - 9 }) as u8;
        let year = year_of_era + era * 400 + (if month <= 2 { 1 } else { 0 });
        (year, month, day, (rest / 3_600) as u8, (rest / 60 % 60) as u8, (rest % 60) as u8)
    }

    /// The UTC day as `yymmdd`, the suffix of a daily index.
    #[must_use]
    pub fn day_suffix(self) -> String {
        let (year, month, day, ..) = self.utc();
        format!("{:02}{month:02}{day:02}", year.rem_euclid(100))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with nanoseconds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.utc();
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
            self.subsecond_nanoseconds()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar() {
        assert_eq!(Timestamp::default().utc(), (1970, 1, 1, 0, 0, 0));
        assert_eq!(Timestamp::from_parts(951_827_696, 5).to_string(), "2000-02-29T12:34:56.000000005Z");
        assert_eq!(Timestamp::from_parts(4_102_444_799, 0).utc(), (2099, 12, 31, 23, 59, 59));
        assert_eq!(Timestamp::from_parts(1_700_000_000, 0).day_suffix(), "231114");
    }
}
