//! The contract between the flow engine and a protocol.

use std::net::{IpAddr, Ipv4Addr};

use skycap_model::{Field, Timestamp, core_fields};

use crate::{Fields, cert};

/// A protocol: a row of the list.
pub struct Protocol {
    /// Value of the session's `protocol` field.
    pub name: &'static str,
    /// One line for the docs: what it is and the document that defines it.
    pub about: &'static str,
    /// The fields that it writes.
    pub fields: &'static [Field],
    /// Where and by what it is recognized; the first probe that fits and claims decides.
    pub probes: &'static [Probe],
    /// Makes the parser of one session. A unit struct costs no allocation.
    pub open: fn() -> Box<dyn Parser>,
}

/// What carries a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A byte stream, reassembled.
    Tcp,
    /// Datagrams.
    Udp,
    /// SCTP data chunks.
    Sctp,
    /// A whole frame or IP payload that has no ports: ICMP, ARP …
    Frame,
}

/// Where a protocol may be found. The registry turns probes into tables, so a session asks a few candidates only.
///
/// `check` sees the first payload of a direction and should be cheap; it runs on hostile bytes.
#[derive(Clone, Copy)]
pub enum Probe {
    /// Either port is this one.
    Port(Transport, u16, fn(&Hint<'_>) -> Claim),
    /// The first payload begins with one of these bytes.
    FirstByte(Transport, &'static [u8], fn(&Hint<'_>) -> Claim),
    /// Any payload of the transport. Dear: every session pays for it.
    Any(Transport, fn(&Hint<'_>) -> Claim),
    /// A session of this IP protocol (ICMP: 1).
    IpProtocol(u8),
    /// A session of this ethertype (ARP: 0x0806).
    EtherType(u16),
}

/// What a probe sees.
#[derive(Clone, Copy, Debug)]
pub struct Hint<'a> {
    /// First payload bytes of the direction; a datagram or chunk is whole.
    pub payload: &'a [u8],
    /// What carries it.
    pub transport: Transport,
    /// Port of the session's source.
    pub source_port: u16,
    /// Port of the session's destination.
    pub destination_port: u16,
    /// Who sent it.
    pub direction: Direction,
}

impl Hint<'_> {
    /// True where either port is this one.
    #[must_use]
    pub fn has_port(&self, port: u16) -> bool {
        self.source_port == port || self.destination_port == port
    }
}

/// A probe's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is mine.
    Certain,
    /// Too few bytes to say: ask again with more (at most [`Registry::PROBE_BYTES`](crate::Registry::PROBE_BYTES)).
    Unsure,
    /// Not mine.
    No,
}

/// Who sent a message, relative to the session's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From source to destination.
    FromSource,
    /// From destination to source.
    FromDestination,
}

impl Direction {
    /// 0 for the source's, 1 for the destination's.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The opposite.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::FromSource => Self::FromDestination,
            Self::FromDestination => Self::FromSource,
        }
    }
}

/// A message for a parser.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes of a stream, in order; they begin where the parser's last answer left off.
    Stream(&'a [u8]),
    /// This many bytes of the stream are missing, never to come.
    Gap(u64),
    /// A whole datagram, chunk or frame.
    Datagram(&'a [u8]),
    /// The sender closed its direction.
    End,
}

/// A parser's answer, for the direction of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first `consumed` bytes are dealt with; it wants to be called again when at least `need` bytes follow them.
    ///
    /// The engine keeps what was not consumed, up to its bound for a session; beyond, the direction is lost.
    More {
        /// Bytes dealt with.
        consumed: usize,
        /// Bytes wanted after them; 0 and 1 mean: any.
        need: usize,
    },
    /// Wants nothing more of this direction.
    Done,
    /// It is not this protocol after all: the parser and its name are taken off the session.
    NotMine,
    /// The framing is lost: nothing more of this direction, what was found stays.
    Lost,
    /// From byte `consumed` on, both directions belong to another protocol.
    HandOver {
        /// Bytes of this message dealt with.
        consumed: usize,
        /// Who goes on.
        to: Target,
    },
}

impl Verdict {
    /// All of the message is dealt with, and any more is welcome.
    #[must_use]
    pub const fn all(length: usize) -> Self {
        Self::More { consumed: length, need: 1 }
    }
}

/// Who goes on after a hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The protocol of this name.
    Named(&'static str),
    /// Whoever claims the bytes.
    Probe,
}

/// A parser of one session.
pub trait Parser: Send {
    /// Takes a message of a direction. Must be linear in its length; whatever it remembers must be bounded.
    fn parse(&mut self, session: &mut Session<'_>, direction: Direction, input: Input<'_>) -> Verdict;

    /// The session (or its segment) ends: writes what is still held back.
    fn finish(&mut self, session: &mut Session<'_>) {
        let _ = session;
    }
}

/// What a parser sees of its session, and where it writes.
pub struct Session<'a> {
    /// Addresses, ports, times.
    pub facts: &'a Facts,
    /// What is asked for.
    pub options: &'a Options,
    /// The session's fields.
    pub fields: &'a mut Fields,
    /// Caches and scratch space of the worker.
    pub shared: &'a mut Shared,
}

impl Session<'_> {
    /// Adds a name to `protocol`.
    pub fn protocol(&mut self, name: &str) {
        self.fields.text(core_fields::PROTOCOL, name.as_bytes());
    }

    /// Adds a tag.
    pub fn tag(&mut self, tag: &str) {
        self.fields.text(core_fields::TAGS, tag.as_bytes());
    }

    /// Adds a user name.
    pub fn user(&mut self, name: &[u8]) {
        self.fields.text(core_fields::USER, name);
    }
}

/// Facts of a session and of the packet at hand.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Address of the source; unspecified where the session has none.
    pub source: IpAddr,
    /// Address of the destination; unspecified where the session has none.
    pub destination: IpAddr,
    /// Port of the source; 0 where there is none.
    pub source_port: u16,
    /// Port of the destination; 0 where there is none.
    pub destination_port: u16,
    /// IP protocol; 0 where the session is not IP.
    pub ip_protocol: u8,
    /// Innermost ethertype.
    pub ethertype: u16,
    /// Time of the session's first packet.
    pub session_start: Timestamp,
    /// Time of the packet at hand.
    pub packet_time: Timestamp,
}

impl Default for Facts {
    fn default() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            source: nowhere,
            destination: nowhere,
            source_port: 0,
            destination_port: 0,
            ip_protocol: 0,
            ethertype: 0,
            session_start: Timestamp::default(),
            packet_time: Timestamp::default(),
        }
    }
}

/// What is asked of the parsers; part of the hash of settings that shape sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Fields marked optional are written too.
    pub all_fields: bool,
    /// MD5 of transferred bodies.
    pub body_md5: bool,
    /// SHA-256 of transferred bodies.
    pub body_sha256: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { all_fields: false, body_md5: true, body_sha256: false }
    }
}

/// What the parsers of one worker share: caches by content, never state of a session.
#[derive(Default)]
pub struct Shared {
    /// Certificates seen, by content.
    pub certificates: cert::Cache,
    /// Scratch space; whoever uses it clears it first.
    pub scratch: Vec<u8>,
}
