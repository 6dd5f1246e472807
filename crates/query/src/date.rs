//! Dates: absolute, in seconds since the epoch, or relative to now.

use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use crate::{Context, Range};

/// Longest date, in bytes.
const MAX_DATE_BYTES: usize = 64;

/// Seconds above this (the year 9999) are taken for milliseconds.
const MAX_SECONDS: i64 = 253_402_207_200;

/// The milliseconds since the epoch that a start or stop time of a search means; 0 and 1 are the beginning of time.
///
/// Takes what expressions take: `2014/02/26 10:27:57` with or without an offset, seconds since the epoch, or a
/// relative time. `None` if it is none of these.
#[must_use]
pub fn parse_time(text: &str, context: &Context) -> Option<i64> {
    match text.trim() {
        "0" | "1" => Some(0),
        text => second(text, context).map(|second| second.low),
    }
}

/// The milliseconds of the second that a date means; one millisecond if it has a fraction.
pub(crate) fn second(text: &str, context: &Context) -> Option<Range> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_DATE_BYTES {
        return None;
    }
    epoch(text).or_else(|| relative(text, context)).or_else(|| absolute(text, context))
}

fn whole_second(milliseconds: i64) -> Range {
    let low = milliseconds - milliseconds.rem_euclid(1_000);
    Range { low, high: low + 999 }
}

/// `1393410477`, `1393410477.123`, `1393410477123`.
fn epoch(text: &str) -> Option<Range> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let negative = whole.starts_with('-');
    let milliseconds = match (number.unsigned_abs() > MAX_SECONDS.unsigned_abs(), fraction) {
        (false, None) => return Some(whole_second(number * 1_000)),
        (false, Some(fraction)) => number * 1_000 + thousandths(fraction)? * if negative { -1 } else { 1 },
        (true, None) => number,
        (true, Some(_)) => return None,
    };
    Timestamp::from_millisecond(milliseconds).ok()?;
    Some(Range { low: milliseconds, high: milliseconds })
}

/// The first three digits after the point; further ones are cut.
fn thousandths(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.bytes().chain(*b"00").take(3).try_fold(0, |number, digit| Some(number * 10 + i64::from(digit - b'0')))
}

/// `now`, `-1h`, `-1d@d`, `+2w`, `now-1M@M+3h`.
fn relative(text: &str, context: &Context) -> Option<Range> {
    let now = i64::try_from(context.now.seconds()).ok()?;
    let mut time = Timestamp::from_second(now).ok()?.to_zoned(context.timezone.clone());
    let mut rest = text.strip_prefix("now").unwrap_or(text);
    if rest.len() == text.len() && !rest.starts_with(['+', '-', '@']) {
        return None;
    }
    while let Some(sign) = rest.chars().next() {
        rest = rest.get(1..)?;
        if sign == '@' {
            let (unit, after) = word(rest)?;
            let (weekday, after) = weekday(unit, after);
            time = snap(&time, unit, weekday)?;
            rest = after;
            continue;
        }
        if !matches!(sign, '+' | '-') {
            return None;
        }
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let (digits, after) = rest.split_at_checked(end)?;
        let count: i64 = if digits.is_empty() { 1 } else { digits.parse().ok()? };
        let (unit, after) = word(after)?;
        time = time.checked_add(span(unit, if sign == '-' { -count } else { count })?).ok()?;
        rest = after;
    }
    Some(whole_second(time.timestamp().as_millisecond()))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// A unit's name and what follows it.
fn word(text: &str) -> Option<(Unit, &str)> {
    let end = text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let unit = match name {
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "M" | "mon" | "mons" | "month" | "months" => Unit::Month,
        "q" | "qtr" | "qtrs" | "quarter" | "quarters" => Unit::Quarter,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        _ => return None,
    };
    Some((unit, rest))
}

/// `@w0` to `@w7`: the weekday that a week begins with, Sunday being 0 and 7.
fn weekday(unit: Unit, rest: &str) -> (i64, &str) {
    let digit = rest.chars().next().and_then(|digit| digit.to_digit(8)).filter(|_| unit == Unit::Week);
    match (digit, rest.get(1..)) {
        (Some(digit), Some(after)) => (i64::from(digit % 7), after),
        _ => (0, rest),
    }
}

fn span(unit: Unit, count: i64) -> Option<Span> {
    let span = Span::new();
    match unit {
        Unit::Second => span.try_seconds(count),
        Unit::Minute => span.try_minutes(count),
        Unit::Hour => span.try_hours(count),
        Unit::Day => span.try_days(count),
        Unit::Week => span.try_weeks(count),
        Unit::Month => span.try_months(count),
        Unit::Quarter => span.try_months(count.checked_mul(3)?),
        Unit::Year => span.try_years(count),
    }
    .ok()
}

/// The beginning of the unit that the time lies in.
fn snap(time: &Zoned, unit: Unit, weekday: i64) -> Option<Zoned> {
    let date = time.date();
    let into_minute = i64::from(time.second());
    let into_hour = i64::from(time.minute()) * 60 + into_minute;
    let first = match unit {
        Unit::Second => return Some(time.clone()),
        // by subtraction: the hour that summer time repeats stays the one it was
        Unit::Minute => return time.checked_sub(Span::new().try_seconds(into_minute).ok()?).ok(),
        Unit::Hour => return time.checked_sub(Span::new().try_seconds(into_hour).ok()?).ok(),
        Unit::Day => date,
        Unit::Week => {
            let since = (i64::from(date.weekday().to_sunday_zero_offset()) - weekday).rem_euclid(7);
            date.checked_sub(Span::new().try_days(since).ok()?).ok()?
        }
        Unit::Month => date.first_of_month(),
        Unit::Quarter => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).ok()?,
        Unit::Year => date.first_of_year(),
    };
    first.to_zoned(time.time_zone().clone()).ok()
}

/// `2014/02/26 10:27:57`, `2014-02-26T10:27:57.123Z`, `2014-02-26 10:27 +01:00`, `2014/02/26 10:27:57 UTC`.
fn absolute(text: &str, context: &Context) -> Option<Range> {
    let date_end = text.find([' ', 'T']).unwrap_or(text.len());
    let (date, rest) = text.split_at_checked(date_end)?;
    let separator = if date.contains('/') { '/' } else { '-' };
    let mut parts = date.split(separator);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let date = Date::new(number(year, 4)? as i16, number(month, 2)? as i8, number(day, 2)? as i8).ok()?;
    let rest = rest.strip_prefix([' ', 'T']).unwrap_or(rest).trim_start();
    let clock_end = rest.find(|character: char| !character.is_ascii_digit() && !":.".contains(character));
    let (clock, zone) = rest.split_at_checked(clock_end.unwrap_or(rest.len()))?;
    let (time, has_fraction) = time_of_day(clock)?;
    let at = DateTime::from_parts(date, time);
    let timestamp = match offset(zone.trim())? {
        Some(offset) => offset.to_timestamp(at).ok()?,
        None => context.timezone.to_timestamp(at).ok()?,
    };
    let milliseconds = timestamp.as_millisecond();
    Some(if has_fraction { Range { low: milliseconds, high: milliseconds } } else { whole_second(milliseconds) })
}

/// Hours, minutes, seconds and thousandths, as many as there are; and whether there are thousandths.
fn time_of_day(text: &str) -> Option<(Time, bool)> {
    if text.is_empty() {
        return Some((Time::midnight(), false));
    }
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() || (second.is_none() && fraction.is_some()) {
        return None;
    }
    let second = second.map_or(Some(0), |second| number(second, 2))?;
    let nanoseconds = fraction.map_or(Some(0), thousandths)? * 1_000_000;
    let time = Time::new(number(hour, 2)? as i8, number(minute, 2)? as i8, second as i8, nanoseconds as i32);
    Some((time.ok()?, fraction.is_some()))
}

/// `Z`, `UTC`, `GMT`, `+01:00`, `-0500`, `+01`; `Some(None)` if empty.
fn offset(text: &str) -> Option<Option<Offset>> {
    if text.is_empty() {
        return Some(None);
    }
    if ["Z", "UTC", "GMT"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(Some(Offset::UTC));
    }
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits.split_at_checked(2)?,
    };
    let minutes = if minutes.is_empty() { 0 } else { number(minutes, 2).filter(|minutes| *minutes < 60)? };
    let seconds = number(hours, 2)? * 3_600 + minutes * 60;
    Offset::from_seconds(if negative { -seconds } else { seconds }).ok().map(Some)
}

/// One to `most` decimal digits.
fn number(text: &str, most: usize) -> Option<i32> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    /// 2014-02-26 (a Wednesday) 10:27:57 UTC, in a zone an hour ahead.
    fn context() -> Context {
        let timezone = TimeZone::fixed(Offset::from_seconds(3_600).unwrap());
        Context { now: skycap_model::Timestamp::from_parts(1_393_410_477, 500_000_000), timezone }
    }

    fn shown(text: &str) -> Option<String> {
        let range = second(text, &context())?;
        let length = range.high - range.low;
        let start = Timestamp::from_millisecond(range.low).unwrap();
        Some(if length == 999 { start.to_string() } else { format!("{start} {length}") })
    }

    #[test]
    fn forms() {
        for (text, meaning) in [
            ("2014/02/26 10:27:57", "2014-02-26T09:27:57Z"),
            ("2014-02-26 10:27:57", "2014-02-26T09:27:57Z"),
            ("2014-02-26T10:27:57Z", "2014-02-26T10:27:57Z"),
            ("2014/02/26 10:27:57 UTC", "2014-02-26T10:27:57Z"),
            ("2014/02/26 10:27:57-0500", "2014-02-26T15:27:57Z"),
            ("2014/02/26 10:27:57 +01:30", "2014-02-26T08:57:57Z"),
            ("2014/2/6 1:02", "2014-02-06T00:02:00Z"),
            ("2014/02/26", "2014-02-25T23:00:00Z"),
            ("2014-02-26T10:27:57.1234Z", "2014-02-26T10:27:57.123Z 0"),
            ("1393410477", "2014-02-26T10:27:57Z"),
            ("1393410477.25", "2014-02-26T10:27:57.25Z 0"),
            ("1393410477123", "2014-02-26T10:27:57.123Z 0"),
            ("-1", "1969-12-31T23:59:59Z"),
            ("now", "2014-02-26T10:27:57Z"),
            ("-1h", "2014-02-26T09:27:57Z"),
            ("-h", "2014-02-26T09:27:57Z"),
            ("+2w", "2014-03-12T10:27:57Z"),
            ("-1d@d", "2014-02-24T23:00:00Z"),
            ("@w", "2014-02-22T23:00:00Z"),
            ("@w1", "2014-02-23T23:00:00Z"),
            ("@q", "2013-12-31T23:00:00Z"),
            ("now-1M@M+3hours", "2014-01-01T02:00:00Z"),
            ("-5m@m", "2014-02-26T10:22:00Z"),
            ("@h", "2014-02-26T10:00:00Z"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(meaning), "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "2014",
            "2014/13/01x",
            "2014/13/01",
            "14/01/01",
            "2014/01/01 25:00",
            "2014/01/01 10",
            "-1x",
            "-1",
            "-99999999999999999999s",
            "-999999999y",
            "nowish",
            "2014/01/01 10:00 +99:00",
            "-1d@",
            "1.",
            "9223372036854775807",
            "2014/01/01 10:00 CET",
            "-1dü",
        ] {
            let found = shown(wrong);
            assert!(found.is_none() || ["2014", "-1"].contains(&wrong), "{wrong}: {found:?}");
        }
        assert_eq!(parse_time("1", &context()), Some(0));
        assert_eq!(parse_time("1393410477", &context()), Some(1_393_410_477_000));
    }
}
