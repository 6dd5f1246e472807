//! Names of nodes, groups and classes, and the key of a capture object.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Timestamp;

/// Why a text is no name or no capture key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// A name is empty, too long or has a character outside `[A-Za-z0-9._-]`.
    #[error("{what} {text:?} must be 1 to 64 characters of A-Z a-z 0-9 . _ - and not begin with a dot")]
    Name {
        /// Which name it was.
        what: &'static str,
        /// The text given.
        text: String,
    },
    /// The key does not follow `captures/{class}/{group}/{node}/…`.
    #[error("{key:?} is no capture key: {reason}")]
    Key {
        /// The key given.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
                let text = text.into();
                let fine = (1..=64).contains(&text.len())
                    && !text.starts_with('.')
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                if fine { Ok(Self(text)) } else { Err(KeyError::Name { what: $what, text }) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = KeyError;
            fn try_from(text: String) -> Result<Self, KeyError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl FromStr for $type {
            type Err = KeyError;
            fn from_str(text: &str) -> Result<Self, KeyError> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// One sensor, as its name says. Asserted by the sensor, read from the key only.
    NodeName,
    "node name"
);
name!(
    /// The group of sensors that share a role. Proven by IAM, since the role may write only its group's prefix.
    GroupName,
    "group name"
);
name!(
    /// The retention class that a rule gave to packets; `std` unless said.
    Class,
    "class"
);

impl Class {
    /// The class of packets that no rule speaks of.
    #[must_use]
    pub fn standard() -> Self {
        Self("std".to_owned())
    }
}

/// One life of a sensor process: 64 random bits, 16 hexadecimal digits in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for RunId {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let fine = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = if fine { u64::from_str_radix(text, 16).ok() } else { None };
        number.map(Self).ok_or_else(|| KeyError::Name { what: "run", text: text.to_owned() })
    }
}

impl TryFrom<String> for RunId {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> String {
        run.to_string()
    }
}

/// One capture queue of a run, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RingId(pub u16);

/// Place of a part among all parts of its run and ring, over all objects; it identifies the part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartSequence(pub u64);

/// The key of a capture object:
/// `captures/{class}/{group}/{node}/{yyyy}/{mm}/{dd}/{hh}/{node}-{first packet}-{run}-{ring}-{sequence}.pcap.zst`.
///
/// For an import, group is `imports` and node is the import's id. The text form is canonical: parsing what
/// [`fmt::Display`] wrote gives the same key, and nothing else parses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// Retention class.
    pub class: Class,
    /// Group of the sensor.
    pub group: GroupName,
    /// Node name.
    pub node: NodeName,
    /// Time of the first packet; the key keeps whole seconds.
    pub first_packet: Timestamp,
    /// The sensor process' life.
    pub run: RunId,
    /// The capture queue.
    pub ring: RingId,
    /// The sequence of the object's first part.
    pub sequence: PartSequence,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, group, node, first_packet, run, ring, sequence } = self;
        let (year, month, day, hour, minute, second) = first_packet.utc();
        write!(
            formatter,
            "captures/{class}/{group}/{node}/{year:04}/{month:02}/{day:02}/{hour:02}/\
             {node}-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{run}-{}-{}.pcap.zst",
            ring.0, sequence.0
        )
    }
}

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        let wrong = |reason| KeyError::Key { key: key.to_owned(), reason };
        let segments: Vec<&str> = key.split('/').collect();
        let ["captures", class, group, node, _, _, _, _, name] = segments.as_slice() else {
            return Err(wrong("it must have nine segments and begin with captures/"));
        };
        let name = name.strip_suffix(".pcap.zst").ok_or_else(|| wrong("it must end in .pcap.zst"))?;
        let mut tail = name.rsplitn(5, '-');
        let mut next = || tail.next().ok_or_else(|| wrong("its name must be node-time-run-ring-sequence"));
        let (sequence, ring, run, time) = (next()?, next()?, next()?, next()?);
        let parsed = Self {
            class: Class::new(*class)?,
            group: GroupName::new(*group)?,
            node: NodeName::new(*node)?,
            first_packet: parse_time(time).ok_or_else(|| wrong("its time must be yyyymmddThhmmssZ"))?,
            run: run.parse()?,
            ring: RingId(ring.parse().map_err(|_| wrong("its ring must be a number below 65536"))?),
            sequence: PartSequence(sequence.parse().map_err(|_| wrong("its sequence must be a number"))?),
        };
        // one spelling only, so that a key and its parsed form are the same thing
        if parsed.to_string() == key { Ok(parsed) } else { Err(wrong("its name and its folders disagree")) }
    }
}

/// `yyyymmddThhmmssZ` to a time; the calendar is checked by the caller's comparison with the canonical form.
fn parse_time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    let (date, clock) = digits.split_once('T')?;
    if date.len() != 8 || clock.len() != 6 || !date.bytes().chain(clock.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let date: u64 = date.parse().ok()?;
    let clock: u64 = clock.parse().ok()?;
    let (year, month, day) = ((date / 10_000) as i64, (date / 100 % 100) as i64, (date % 100) as i64);
    // civil date to days, after Howard Hinnant's algorithm
    let year_shifted = if month <= 2 { year - 1 } else { year };
    let era = year_shifted.div_euclid(400);
    let year_of_era = year_shifted - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let seconds = u64::try_from(days).ok()? * 86_400 + clock / 10_000 * 3_600 + clock / 100 % 100 * 60 + clock % 100;
    Some(Timestamp::from_parts(seconds, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "captures/std/web/ip-10-0-0-1/2023/11/14/22/ip-10-0-0-1-20231114T221320Z-00000000deadbeef-0-7.pcap.zst";

    #[test]
    fn round_trip() {
        let key: ObjectKey = KEY.parse().unwrap();
        assert_eq!(key.node.as_str(), "ip-10-0-0-1");
        assert_eq!((key.run, key.ring, key.sequence), (RunId(0xdead_beef), RingId(0), PartSequence(7)));
        assert_eq!(key.first_packet, Timestamp::from_parts(1_700_000_000, 0));
        assert_eq!(key.to_string(), KEY);
    }

    #[test]
    fn refuses_other_spellings() {
        for wrong in [
            "imports/x.pcap",
            &KEY.replace("/22/", "/23/"),
            &KEY.replace("-0-7", "-00-7"),
            &KEY.replace("deadbeef", "DEADBEEF"),
            &KEY.replace("/web/", "/.web/"),
            &KEY.replace("20231114T", "20231314T"),
            &KEY.replace(".pcap.zst", ".pcap"),
        ] {
            assert!(wrong.parse::<ObjectKey>().is_err(), "{wrong}");
        }
    }
}
