//! Streaming readers of foreign capture files: libpcap and pcapng, told apart by their first bytes.
//!
//! The caller owns the buffer, fills it with large reads, and asks for one [`Step`] after the other:
//!
//! ```
//! use skycap_packet::capture::{CaptureReader, Step};
//!
//! # fn run(file: &[u8]) -> Result<u64, skycap_packet::capture::CaptureError> {
//! let (mut reader, mut rest, mut packets) = (CaptureReader::new(), file, 0);
//! loop {
//!     match reader.next(rest) {
//!         Step::Packet { consumed, .. } => { packets += 1; rest = &rest[consumed..]; }
//!         Step::Skip { consumed } => rest = &rest[consumed..],
//!         Step::NeedMore { .. } => break, // here a program would read more, until the file ends
//!         Step::Error(error) => return Err(error),
//!     }
//! }
//! reader.finish(rest.len())?;
//! # Ok(packets)
//! # }
//! # assert_eq!(run(&skycap_packet::record::FileHeader::new(1).to_bytes()).unwrap(), 0);
//! ```

use std::fmt;

pub use crate::{pcap::PcapReader, pcapng::PcapngReader};
use crate::{pcapng, record::Packet};

/// No [`Step::NeedMore`] ever asks for more than this, so a buffer of this size always suffices.
pub const MAX_NEEDED_BYTES: usize = 1 << 20;

/// Most interfaces that one capture may describe; further ones end the reading.
pub const MAX_INTERFACES: usize = 65_536;

/// What a reader found at the beginning of the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A packet. The caller drops `consumed` bytes before it asks again.
    Packet {
        /// Bytes of the buffer that are done with.
        consumed: usize,
        /// The packet; its data lies in the buffer.
        packet: Packet<'a>,
        /// Index into `interfaces()`.
        interface: u32,
    },
    /// Something that is no packet.
    Skip {
        /// Bytes of the buffer that are done with; at least one.
        consumed: usize,
    },
    /// The buffer ends before the next thing does.
    NeedMore {
        /// How many bytes the buffer must have, from its present beginning; more than it has now, and at most
        /// [`MAX_NEEDED_BYTES`]. Where the file has no more, call `finish`.
        at_least: usize,
    },
    /// Nothing behind this place can be read; asking again gives the same answer. The rest is refused bytes.
    Error(CaptureError),
}

/// Where and why a capture file can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureError {
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: CaptureProblem,
}

/// What is wrong with a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureProblem {
    /// Its first bytes are of no format known.
    UnknownFormat {
        /// The first four bytes, as a little endian number.
        magic: u32,
    },
    /// The libpcap variant with longer record headers (magic 0xa1b2cd34), which nothing writes any more.
    ModifiedFormat,
    /// A version other than libpcap 2.4 or pcapng 1.x.
    UnknownVersion {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// A record longer than any packet, or a block shorter than its own fields or not a multiple of 4.
    ImpossibleLength {
        /// The length that it claims.
        length: u32,
    },
    /// The two lengths of a pcapng block differ.
    LengthsDisagree {
        /// The length at its beginning.
        first: u32,
        /// The length at its end.
        last: u32,
    },
    /// More than [`MAX_INTERFACES`].
    TooManyInterfaces,
    /// The file ends inside a record.
    Cut {
        /// Bytes that the record needs, as far as they are known.
        needed: u64,
        /// Bytes that are there.
        there: u64,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match self.reason {
            CaptureProblem::UnknownFormat { magic } => {
                write!(
                    formatter,
                    "neither libpcap nor pcapng at offset {offset}: it begins with {:02x?}",
                    magic.to_le_bytes()
                )
            }
            CaptureProblem::ModifiedFormat => {
                write!(
                    formatter,
                    "modified libpcap format (magic 0xa1b2cd34) at offset {offset} is not read; convert it first"
                )
            }
            CaptureProblem::UnknownVersion { major, minor } => {
                write!(formatter, "unknown version {major}.{minor} of the capture format at offset {offset}")
            }
            CaptureProblem::ImpossibleLength { length } => {
                write!(formatter, "record of impossible length at offset {offset}: it claims {length} bytes")
            }
            CaptureProblem::LengthsDisagree { first, last } => {
                write!(formatter, "block at offset {offset} says {first} bytes at its beginning and {last} at its end")
            }
            CaptureProblem::TooManyInterfaces => {
                write!(formatter, "more than {MAX_INTERFACES} interfaces at offset {offset}")
            }
            CaptureProblem::Cut { needed, there } => {
                write!(formatter, "cut short at offset {offset}: the record needs {needed} bytes, {there} are there")
            }
        }
    }
}

impl std::error::Error for CaptureError {}

/// One interface that a capture file describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// LINKTYPE value of its packets.
    pub link_type: u32,
    /// Longest capture length in bytes; 0 says no limit.
    pub snap_length: u32,
}

/// What was passed over in a capture file beside packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounters {
    /// Packets given out.
    pub packets: u64,
    /// Packets refused: of an interface that isn't described, or with more bytes than their block or any packet has.
    pub refused_packets: u64,
    /// Comments, of packets, interfaces or sections.
    pub comments: u64,
    /// Interface names and descriptions, and name resolution blocks.
    pub names: u64,
    /// Blocks of decryption secrets.
    pub secrets: u64,
    /// Interface statistics blocks.
    pub statistics: u64,
    /// Blocks of other kinds.
    pub other_blocks: u64,
    /// File headers or section headers.
    pub sections: u64,
}

/// A reader of either format.
#[derive(Debug, Default)]
pub struct CaptureReader {
    format: Format,
}

#[derive(Debug, Default)]
enum Format {
    #[default]
    Unknown,
    Pcap(PcapReader),
    Pcapng(Box<PcapngReader>),
}

impl CaptureReader {
    /// Makes a reader that decides by the first four bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the buffer begins with, see [`Step`].
    #[inline]
    pub fn next<'a>(&mut self, buffer: &'a [u8]) -> Step<'a> {
        match &mut self.format {
            Format::Pcap(reader) => reader.next(buffer),
            Format::Pcapng(reader) => reader.next(buffer),
            Format::Unknown => self.detect(buffer),
        }
    }

    #[cold]
    fn detect<'a>(&mut self, buffer: &'a [u8]) -> Step<'a> {
        let Some(magic) = crate::bytes::u32_le(buffer, 0) else { return Step::NeedMore { at_least: 4 } };
        self.format = if magic == pcapng::SECTION_HEADER {
            Format::Pcapng(Box::default())
        } else {
            Format::Pcap(PcapReader::new())
        };
        self.next(buffer)
    }

    /// Checks that the file may end here, with `left` bytes not consumed.
    ///
    /// # Errors
    /// [`CaptureProblem::Cut`] with the offset of the record that is not whole; an empty file too.
    pub fn finish(&self, left: usize) -> Result<(), CaptureError> {
        match &self.format {
            Format::Pcap(reader) => reader.finish(left),
            Format::Pcapng(reader) => reader.finish(left),
            Format::Unknown => {
                Err(CaptureError { offset: 0, reason: CaptureProblem::Cut { needed: 24, there: left as u64 } })
            }
        }
    }

    /// Interfaces seen so far, in order; [`Step::Packet`] points here.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        match &self.format {
            Format::Pcap(reader) => reader.interfaces(),
            Format::Pcapng(reader) => reader.interfaces(),
            Format::Unknown => &[],
        }
    }

    /// What was read and passed over so far.
    #[must_use]
    pub fn counters(&self) -> CaptureCounters {
        match &self.format {
            Format::Pcap(reader) => reader.counters(),
            Format::Pcapng(reader) => reader.counters(),
            Format::Unknown => CaptureCounters::default(),
        }
    }

    /// Offset in the file of what [`CaptureReader::next`] looks at next.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.format {
            Format::Pcap(reader) => reader.offset(),
            Format::Pcapng(reader) => reader.offset(),
            Format::Unknown => 0,
        }
    }
}
