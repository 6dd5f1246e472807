//! The libpcap file format, written.

use std::io::{self, Write};

use skycap_model::Timestamp;

use crate::options::Resolution;

/// Bytes of the file header.
pub const FILE_HEADER_BYTES: u64 = 24;

/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: u64 = 16;

/// Lends one generated packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured; never before the packet given out last.
    pub time: Timestamp,
    /// Its bytes on the wire.
    pub original_length: u32,
    /// Its captured bytes, an Ethernet frame without check sequence.
    pub data: &'a [u8],
}

/// Writes packets as a little-endian libpcap file of link type Ethernet.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    output: W,
    resolution: Resolution,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(mut output: W, resolution: Resolution, snap_length: u32) -> io::Result<Self> {
        let magic: u32 = match resolution {
            Resolution::Microseconds => 0xa1b2_c3d4,
            Resolution::Nanoseconds => 0xa1b2_3c4d,
        };
        let mut header = Vec::with_capacity(FILE_HEADER_BYTES as usize);
        header.extend_from_slice(&magic.to_le_bytes());
        header.extend_from_slice(&2u16.to_le_bytes()); // version 2.4
        header.extend_from_slice(&4u16.to_le_bytes());
        header.extend_from_slice(&[0; 8]); // time zone, accuracy
        header.extend_from_slice(&snap_length.to_le_bytes());
        header.extend_from_slice(&1u32.to_le_bytes()); // LINKTYPE_ETHERNET
        output.write_all(&header)?;
        Ok(Self { output, resolution })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// Those of the output.
    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let fraction = match self.resolution {
            Resolution::Microseconds => packet.time.subsecond_nanoseconds() / 1_000,
            Resolution::Nanoseconds => packet.time.subsecond_nanoseconds(),
        };
        let mut header = [0; RECORD_HEADER_BYTES as usize];
        header[0..4].copy_from_slice(&(packet.time.seconds() as u32).to_le_bytes());
        header[4..8].copy_from_slice(&fraction.to_le_bytes());
        header[8..12].copy_from_slice(&(packet.data.len() as u32).to_le_bytes());
        header[12..16].copy_from_slice(&packet.original_length.to_le_bytes());
        self.output.write_all(&header)?;
        self.output.write_all(packet.data)
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}
