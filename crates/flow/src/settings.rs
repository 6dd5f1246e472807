//! What shapes sessions.

use sha2::{Digest, Sha256};
use skycap_model::Timestamp;
use skycap_protocols::Options;

/// How long a session may be silent, and other bounds. Two runs with the same settings give the same documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Silence after which a TCP session ends, seconds.
    pub tcp_timeout_seconds: u32,
    /// Silence after which a TCP session ends that was closed by both sides or reset, seconds.
    pub tcp_closing_timeout_seconds: u32,
    /// Silence after which a UDP session ends, seconds.
    pub udp_timeout_seconds: u32,
    /// Silence after which an ICMP or ICMPv6 session ends, seconds.
    pub icmp_timeout_seconds: u32,
    /// Silence after which an SCTP session ends, seconds.
    pub sctp_timeout_seconds: u32,
    /// Silence after which any other session ends, seconds.
    pub other_timeout_seconds: u32,
    /// Packets after which a session is saved and goes on in a new segment.
    pub max_packets: u32,
    /// Open sessions of one of the 64 shards; beyond, the oldest is saved early.
    pub sessions_per_shard: u32,
    /// Bytes that wait in one direction of a session: out of order, or asked for again by a parser.
    pub stream_bytes: u32,
    /// Segments that wait out of order in one direction.
    pub stream_segments: u32,
    /// Bytes that wait in all sessions of a shard.
    pub shard_bytes: u32,
    /// VLAN ids are part of the session's key.
    pub vlan_in_key: bool,
    /// What is asked of the parsers.
    pub options: Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tcp_timeout_seconds: 480,
            tcp_closing_timeout_seconds: 5,
            udp_timeout_seconds: 120,
            icmp_timeout_seconds: 60,
            sctp_timeout_seconds: 60,
            other_timeout_seconds: 600,
            max_packets: 10_000,
            sessions_per_shard: 16_384,
            stream_bytes: 256 << 10,
            stream_segments: 256,
            shard_bytes: 4 << 20,
            vlan_in_key: false,
            options: Options::default(),
        }
    }
}

impl Settings {
    /// Hash of everything here, in 16 hexadecimal digits: part of the files document.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = format!("{self:?}");
        Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whose packets these are: what the documents say of the capture object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectIdentity {
    /// Name of the node.
    pub node: String,
    /// Number of the object, unique per node.
    pub file_id: u64,
    /// First 22 characters of each document's id.
    pub id_prefix: String,
}

/// Timeout classes: sessions of one class wait in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    Tcp,
    TcpClosing,
    Udp,
    Icmp,
    Sctp,
    Other,
}

impl Class {
    pub(crate) const COUNT: usize = 6;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Tcp, Self::TcpClosing, Self::Udp, Self::Icmp, Self::Sctp, Self::Other];
}

/// Timeouts by class, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts([u64; Class::COUNT]);

impl Timeouts {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(Class::ALL.map(|class| {
            let seconds = match class {
                Class::Tcp => settings.tcp_timeout_seconds,
                Class::TcpClosing => settings.tcp_closing_timeout_seconds,
                Class::Udp => settings.udp_timeout_seconds,
                Class::Icmp => settings.icmp_timeout_seconds,
                Class::Sctp => settings.sctp_timeout_seconds,
                Class::Other => settings.other_timeout_seconds,
            };
            Timestamp::from_parts(u64::from(seconds), 0).0
        }))
    }

    pub(crate) fn of(&self, class: Class) -> u64 {
        self.0[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_tells_settings_apart() {
        let settings = Settings::default();
        assert_eq!(settings.digest(), Settings::default().digest());
        assert_eq!(settings.digest().len(), 16);
        assert_ne!(settings.digest(), Settings { max_packets: 9_999, ..settings.clone() }.digest());
        let options = Options { body_sha256: true, ..settings.options };
        assert_ne!(settings.digest(), Settings { options, ..settings.clone() }.digest());
    }
}
