//! The certificate itself (RFC 5280 §4.1). Lenient: what is broken is left out, as long as there is a subject.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use sha1::{Digest as _, Sha1};
use skycap_model::FieldId;

use super::der::{self, Reader};
use super::{
    ALT, CURVE, HASH, ISSUER_CN, ISSUER_ON, ISSUER_OU, NOT_AFTER, NOT_BEFORE, PUBLIC_ALGORITHM, SECONDS_PER_DAY,
    SERIAL, SUBJECT_CN, SUBJECT_ON, SUBJECT_OU, VALID_DAYS, VALID_SECONDS, oid,
};
use crate::Fields;

/// Attributes of a name that are read.
const MAX_ATTRIBUTES: usize = 64;

/// Extensions that are read.
const MAX_EXTENSIONS: usize = 64;

/// Alternative names that are read.
const MAX_ALTERNATIVE_NAMES: usize = 1_000;

/// Bytes of a serial number that are written; RFC 5280 §4.1.2.2 allows 20.
const MAX_SERIAL_BYTES: usize = 64;

/// What is known of a certificate by its content alone.
pub(super) struct Certificate {
    /// Its values, without the object around them.
    pub(super) fields: Fields,
    /// SHA-1 of all its bytes.
    pub(super) hash: [u8; 20],
    /// Last moment of validity in seconds since the epoch.
    pub(super) not_after: Option<i64>,
    /// Issuer and subject have the same name.
    pub(super) self_signed: bool,
    /// It may sign others.
    pub(super) authority: bool,
}

/// Reads a certificate; `None` where the bytes are none.
pub(super) fn read(der: &[u8]) -> Option<Certificate> {
    let mut body = Reader::new(der).enter(der::SEQUENCE)?.enter(der::SEQUENCE)?;
    let mut fields = Fields::default();
    let _version = body.optional(0xA0);
    let serial = body.expect(der::INTEGER)?;
    let _signature = body.expect(der::SEQUENCE)?;
    let issuer = body.expect(der::SEQUENCE)?;
    let validity = body.enter(der::SEQUENCE)?;
    let subject = body.expect(der::SEQUENCE)?;
    fields.text(SERIAL, hexadecimal(serial.get(..MAX_SERIAL_BYTES).unwrap_or(serial), "").as_bytes());
    let hash: [u8; 20] = Sha1::digest(der).into();
    fields.text(HASH, hexadecimal(&hash, ":").as_bytes());
    name(&mut fields, issuer, [ISSUER_CN, ISSUER_ON, ISSUER_OU]);
    name(&mut fields, subject, [SUBJECT_CN, SUBJECT_ON, SUBJECT_OU]);
    let not_after = dates(&mut fields, validity);
    if let Some(key) = body.enter(der::SEQUENCE) {
        public_key(&mut fields, key);
    }
    let mut authority = false;
    // [1] and [2] are unique identifiers, [3] holds the extensions
    if let Some((_, extensions)) = body.find(|&(tag, _)| tag == 0xA3) {
        authority = read_extensions(&mut fields, extensions).unwrap_or(false);
    }
    Some(Certificate { fields, hash, not_after, self_signed: issuer == subject, authority })
}

/// Writes common names, organizations and units of a name.
fn name(fields: &mut Fields, content: &[u8], [common, organization, unit]: [FieldId; 3]) {
    let parts = Reader::new(content).filter(|&(tag, _)| tag == der::SET).flat_map(|(_, set)| Reader::new(set));
    for (_, attribute) in parts.take(MAX_ATTRIBUTES) {
        let mut attribute = Reader::new(attribute);
        let Some(kind) = attribute.expect(der::OBJECT_IDENTIFIER) else { continue };
        let Some((tag, value)) = attribute.next() else { continue };
        let field = match kind {
            oid::COMMON_NAME => common,
            oid::ORGANIZATION => organization,
            oid::ORGANIZATIONAL_UNIT => unit,
            _ => continue,
        };
        if !value.is_empty() {
            fields.text(field, &text(tag, value));
        }
    }
}

/// Text of a string type in UTF-8.
fn text(tag: u8, value: &[u8]) -> Cow<'_, [u8]> {
    const BMP_STRING: u8 = 0x1E;
    const UNIVERSAL_STRING: u8 = 0x1C;
    match tag {
        BMP_STRING => {
            let units = value.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
            let text: String =
                char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.into_bytes().into()
        }
        UNIVERSAL_STRING => {
            let units = value.as_chunks::<4>().0.iter().map(|unit| u32::from_be_bytes(*unit));
            let text: String = units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.into_bytes().into()
        }
        _ if std::str::from_utf8(value).is_ok() => value.into(),
        // a T61String is Latin-1 in practice
        _ => value.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes().into(),
    }
}

/// Writes the validity and returns its end in seconds.
fn dates(fields: &mut Fields, mut validity: Reader<'_>) -> Option<i64> {
    let begin = validity.next().and_then(|(tag, value)| seconds(tag, value));
    let end = validity.next().and_then(|(tag, value)| seconds(tag, value));
    if let Some(begin) = begin {
        fields.integer(NOT_BEFORE, begin * 1_000);
    }
    if let Some(end) = end {
        fields.integer(NOT_AFTER, end * 1_000);
    }
    if let (Some(begin), Some(end)) = (begin, end) {
        fields.integer(VALID_SECONDS, end - begin);
        fields.integer(VALID_DAYS, (end - begin) / SECONDS_PER_DAY);
    }
    end
}

/// Seconds since the epoch of a UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5); seconds and zone may be missing.
fn seconds(tag: u8, value: &[u8]) -> Option<i64> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits(value, 2)?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, rest)
        }
        GENERALIZED_TIME => digits(value, 4)?,
        _ => return None,
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, mut rest) = digits(rest, 2).unwrap_or((0, rest));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if let Some((b'.' | b',', fraction)) = rest.split_first() {
        rest = fraction.trim_ascii_start();
        while let Some((b'0'..=b'9', after)) = rest.split_first() {
            rest = after;
        }
    }
    let offset = match rest.split_first() {
        Some((&sign @ (b'+' | b'-'), zone)) => {
            let (hours, zone) = digits(zone, 2)?;
            let minutes = digits(zone, 2).map_or(0, |(minutes, _)| minutes);
            let offset = (hours * 60 + minutes) * 60;
            if sign == b'+' { offset } else { -offset }
        }
        _ => 0,
    };
    Some(days(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset)
}

fn digits(bytes: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = bytes.split_at_checked(count)?;
    let value = number
        .iter()
        .try_fold(0_i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))?;
    Some((value, rest))
}

/// Days since the epoch of a date of the Gregorian calendar.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    // years begin in March, so that the leap day is their last
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Writes algorithm and curve of the subject's key.
fn public_key(fields: &mut Fields, mut key: Reader<'_>) -> Option<()> {
    let mut algorithm = key.enter(der::SEQUENCE)?;
    let identifier = algorithm.expect(der::OBJECT_IDENTIFIER)?;
    fields.text(PUBLIC_ALGORITHM, oid::name(identifier).as_bytes());
    if identifier == oid::EC_PUBLIC_KEY {
        let curve = algorithm.expect(der::OBJECT_IDENTIFIER)?;
        fields.text(CURVE, oid::name(curve).as_bytes());
    }
    Some(())
}

/// Writes alternative names; says if the certificate is an authority's.
fn read_extensions(fields: &mut Fields, content: &[u8]) -> Option<bool> {
    let mut authority = false;
    let extensions = Reader::new(content).enter(der::SEQUENCE)?;
    for (_, extension) in extensions.take(MAX_EXTENSIONS) {
        let mut extension = Reader::new(extension);
        let Some(kind) = extension.expect(der::OBJECT_IDENTIFIER) else { continue };
        let _critical = extension.optional(der::BOOLEAN);
        let Some(value) = extension.expect(der::OCTET_STRING) else { continue };
        match kind {
            oid::ALTERNATIVE_NAME => alternative_names(fields, value),
            oid::BASIC_CONSTRAINTS => {
                let constraint =
                    Reader::new(value).enter(der::SEQUENCE).and_then(|mut body| body.optional(der::BOOLEAN));
                authority = constraint.is_some_and(|value| value.iter().any(|&byte| byte != 0));
            }
            _ => {}
        }
    }
    Some(authority)
}

/// Writes host names and addresses of the subject (RFC 5280 §4.2.1.6).
fn alternative_names(fields: &mut Fields, value: &[u8]) {
    const DNS_NAME: u8 = 0x82;
    const IP_ADDRESS: u8 = 0x87;
    let Some(names) = Reader::new(value).enter(der::SEQUENCE) else { return };
    for (tag, name) in names.take(MAX_ALTERNATIVE_NAMES) {
        match (tag, name.len()) {
            (DNS_NAME, 1..) => fields.text(ALT, &text(tag, name)),
            (IP_ADDRESS, 4) => {
                let address = Ipv4Addr::from(<[u8; 4]>::try_from(name).unwrap_or_default());
                fields.text(ALT, address.to_string().as_bytes());
            }
            (IP_ADDRESS, 16) => {
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(name).unwrap_or_default());
                fields.text(ALT, address.to_string().as_bytes());
            }
            _ => {}
        }
    }
}

fn hexadecimal(bytes: &[u8], separator: &str) -> String {
    let mut text = String::with_capacity(bytes.len() * (2 + separator.len()));
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 {
            text.push_str(separator);
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(seconds(0x17, b"700101000000Z"), Some(0));
        assert_eq!(seconds(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(seconds(0x18, b"20000229123456Z"), Some(951_827_696));
        assert_eq!(seconds(0x18, b"20000229123456.789Z"), Some(951_827_696));
        assert_eq!(seconds(0x17, b"0002291334+0100"), Some(951_827_640));
        assert_eq!(seconds(0x18, b"99991231235959Z"), Some(253_402_300_799));
        assert_eq!(seconds(0x18, b"20001329123456Z"), None);
        assert_eq!(seconds(0x17, b"7001x1000000Z"), None);
    }
}
