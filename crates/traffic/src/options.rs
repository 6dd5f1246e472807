//! What to generate.

use std::fmt;
use std::str::FromStr;

use skycap_model::{MAX_PACKET_BYTES, Timestamp};

/// Bytes of a capture when neither bytes nor flows are given, for mixes measured in bytes.
pub const DEFAULT_BYTES: u64 = 500_000_000;

/// Flows of the `sample` mix when neither bytes nor flows are given.
pub const DEFAULT_SAMPLE_FLOWS: u64 = 2_000;

/// Sessions of the `handshakes` mix when neither bytes nor flows are given.
pub const DEFAULT_HANDSHAKES: u64 = 100_000;

/// Smallest number of bytes that may be asked for: a file header and a few packets.
pub const MIN_BYTES: u64 = 4_096;

/// First packet time unless said: 2026-01-05T08:00:00Z.
pub const DEFAULT_START: Timestamp = Timestamp(1_767_600_000_000_000_000);

/// Names a preset of protocols, sizes and rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mix {
    /// A bit of everything: about 2,000 flows in a few megabytes.
    #[default]
    Sample,
    /// Everyday traffic: bytes 60/30/10 TLS/HTTP/SSH, DNS as the many small flows; more than 100,000 flows in 500 MB.
    Mix,
    /// TLS and SSH bulk transfers.
    Bulk,
    /// Large HTTP bodies.
    HttpBulk,
    /// Sessions that are all open at once: half of them a TCP handshake only, the others with one small exchange; none closes.
    Handshakes,
    /// Long flows that trickle for hours, so that they cross capture objects.
    Flows,
}

impl Mix {
    /// Every preset, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Sample, Self::Mix, Self::Bulk, Self::HttpBulk, Self::Handshakes, Self::Flows];

    /// The name that [`FromStr`] takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Mix => "mix",
            Self::Bulk => "bulk",
            Self::HttpBulk => "http-bulk",
            Self::Handshakes => "handshakes",
            Self::Flows => "flows",
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Mix {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, OptionsError> {
        Self::ALL.into_iter().find(|mix| mix.name() == text).ok_or_else(|| {
            OptionsError(format!("unknown mix {text:?}: one of sample, mix, bulk, http-bulk, handshakes, flows"))
        })
    }
}

/// Chooses the libpcap magic, and with it the unit of packet times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// 0xa1b2c3d4: microseconds, rounded down.
    Microseconds,
    /// 0xa1b23c4d: nanoseconds.
    #[default]
    Nanoseconds,
}

impl FromStr for Resolution {
    type Err = OptionsError;

    /// Takes `us`, `micro`, `ns` or `nano`.
    fn from_str(text: &str) -> Result<Self, OptionsError> {
        match text {
            "us" | "micro" => Ok(Self::Microseconds),
            "ns" | "nano" => Ok(Self::Nanoseconds),
            _ => Err(OptionsError(format!("unknown resolution {text:?}: us or ns"))),
        }
    }
}

/// Holds the probabilities, from 0 to 1, with which packets are disturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disturbance {
    /// A packet was on the wire and isn't in the capture; the ends received it. Any packet.
    pub loss: f64,
    /// A TCP segment is held until the next segment of its direction has passed. Only within a message of several segments.
    pub reorder: f64,
    /// A TCP segment with payload appears again later, with the same bytes and sequence number.
    pub retransmission: f64,
    /// Bytes of a TCP segment appear again later, cut differently: from another beginning, with another length.
    pub overlap: f64,
}

impl FromStr for Disturbance {
    type Err = OptionsError;

    /// Takes `loss=0.01,reorder=0.02,retransmission=0.01,overlap=0.005`; what isn't named is 0, and so is all in an empty text.
    fn from_str(text: &str) -> Result<Self, OptionsError> {
        let mut disturbance = Self::default();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let bad = || OptionsError(format!("bad disturbance {item:?}: name=probability"));
            let (name, value) = item.split_once('=').ok_or_else(bad)?;
            let value: f64 = value.parse().map_err(|_| bad())?;
            match name {
                "loss" => disturbance.loss = value,
                "reorder" => disturbance.reorder = value,
                "retransmission" => disturbance.retransmission = value,
                "overlap" => disturbance.overlap = value,
                _ => {
                    return Err(OptionsError(format!(
                        "unknown disturbance {name:?}: loss, reorder, retransmission or overlap"
                    )));
                }
            }
        }
        disturbance.check()?;
        Ok(disturbance)
    }
}

impl Disturbance {
    fn check(&self) -> Result<(), OptionsError> {
        for (name, value) in [
            ("loss", self.loss),
            ("reorder", self.reorder),
            ("retransmission", self.retransmission),
            ("overlap", self.overlap),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(OptionsError(format!("{name} is not a probability from 0 to 1: {value}")));
            }
        }
        Ok(())
    }
}

/// Says what a [`Generator`](crate::Generator) makes; equal options make equal bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Preset of protocols, sizes and rates.
    pub mix: Mix,
    /// Seed of all that is random.
    pub seed: u64,
    /// Size of the libpcap file in bytes, headers included. It is never exceeded; a capture of several megabytes ends within a few
    /// percent of it. None: as many as `flows` need.
    pub bytes: Option<u64>,
    /// Number of flows. None: as many as fit into `bytes`.
    pub flows: Option<u64>,
    /// Number of packets after which the capture is cut. None: no such limit.
    pub packets: Option<u64>,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Offered load in bits per second, which together with the bytes gives the length in time. None: the preset's.
    pub bits_per_second: Option<u64>,
    /// Most captured bytes of a packet; the original length stays in the record.
    pub snap_length: u32,
    /// Unit of times in the file.
    pub resolution: Resolution,
    /// What is disturbed, and how often.
    pub disturbance: Disturbance,
    /// Share of IPv6 among flows that can be either, in percent.
    pub ipv6_percent: u8,
    /// Share of flows with a VLAN tag, in percent.
    pub vlan_percent: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self::new(Mix::Sample)
    }
}

impl Options {
    /// The preset with its own size, seed 1 and no disturbance.
    #[must_use]
    pub fn new(mix: Mix) -> Self {
        Self {
            mix,
            seed: 1,
            bytes: None,
            flows: None,
            packets: None,
            start: DEFAULT_START,
            bits_per_second: None,
            snap_length: MAX_PACKET_BYTES as u32,
            resolution: Resolution::default(),
            disturbance: Disturbance::default(),
            ipv6_percent: 15,
            vlan_percent: 10,
        }
    }

    /// Fills in the preset's size where none is given.
    ///
    /// # Errors
    /// A probability or a share out of range, or a size too small.
    pub(crate) fn resolved(mut self) -> Result<Self, OptionsError> {
        self.disturbance.check()?;
        if self.ipv6_percent > 100 || self.vlan_percent > 100 {
            return Err(OptionsError("a share is above 100 percent".to_owned()));
        }
        if self.bytes.is_some_and(|bytes| bytes < MIN_BYTES) {
            return Err(OptionsError(format!("fewer than {MIN_BYTES} bytes")));
        }
        if self.snap_length == 0 || self.snap_length as usize > MAX_PACKET_BYTES {
            return Err(OptionsError(format!("snap length is not from 1 to {MAX_PACKET_BYTES}")));
        }
        if self.bits_per_second == Some(0) {
            return Err(OptionsError("a load of no bits per second".to_owned()));
        }
        if self.bytes.is_none() && self.flows.is_none() {
            match self.mix {
                Mix::Sample => self.flows = Some(DEFAULT_SAMPLE_FLOWS),
                Mix::Handshakes => self.flows = Some(DEFAULT_HANDSHAKES),
                Mix::Mix | Mix::Bulk | Mix::HttpBulk | Mix::Flows => self.bytes = Some(DEFAULT_BYTES),
            }
        }
        Ok(self)
    }
}

/// Reads a number of bytes: digits, with `k`, `M`, `G` (powers of 1000) or `Ki`, `Mi`, `Gi` (powers of 1024) and an optional `B` behind.
///
/// # Errors
/// Anything else, and numbers beyond 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64, OptionsError> {
    let bad = || OptionsError(format!("not a number of bytes: {text:?}"));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: u64 = match unit.strip_suffix('B').unwrap_or(unit) {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(bad()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

/// Says which option can't be, in words for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsError(String);

impl fmt::Display for OptionsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for OptionsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for mix in Mix::ALL {
            assert_eq!(mix.name().parse::<Mix>().unwrap(), mix);
        }
        assert!("all".parse::<Mix>().is_err());
        assert_eq!("us".parse::<Resolution>().unwrap(), Resolution::Microseconds);
        let disturbance: Disturbance = "loss=0.5,overlap=1".parse().unwrap();
        assert_eq!((disturbance.loss, disturbance.overlap, disturbance.reorder), (0.5, 1.0, 0.0));
        for bad in ["loss", "loss=2", "gain=0.1", "loss=NaN", "loss=-0.1"] {
            assert!(bad.parse::<Disturbance>().is_err(), "{bad}");
        }
        assert_eq!(parse_bytes("500MB").unwrap(), 500_000_000);
        assert_eq!(parse_bytes("2Gi").unwrap(), 2 << 30);
        assert_eq!(parse_bytes("17").unwrap(), 17);
        for bad in ["", "M", "1T", "-1", "99999999999G"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits() {
        assert!(Options { bytes: Some(10), ..Options::default() }.resolved().is_err());
        assert!(Options { snap_length: 0, ..Options::default() }.resolved().is_err());
        assert!(Options { vlan_percent: 101, ..Options::default() }.resolved().is_err());
        assert_eq!(Options::default().resolved().unwrap().flows, Some(DEFAULT_SAMPLE_FLOWS));
    }
}
