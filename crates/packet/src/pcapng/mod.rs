//! Streaming reader of pcapng files (draft-ietf-opsawg-pcapng): several sections, both byte orders, all packet blocks.

mod clock;

use skycap_model::{MAX_PACKET_BYTES, Timestamp};

use self::clock::Clock;
use crate::{
    bytes::u32_le,
    capture::{CaptureCounters, CaptureError, CaptureProblem, Interface, MAX_INTERFACES, MAX_NEEDED_BYTES, Step},
    record::Packet,
};

/// Section header block; reads alike in both byte orders.
pub(crate) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and both lengths of a block.
const BLOCK_FRAME_BYTES: usize = 12;
/// Interface, time, captured and original length, before a packet's data.
const PACKET_FIELDS_BYTES: usize = 20;

/// Reader of a pcapng file; see [`Step`] for how it is used.
///
/// Interfaces are numbered over all sections. A simple packet block has no time: its packet gets that of the one before.
#[derive(Debug, Default)]
pub struct PcapngReader {
    offset: u64,
    big_endian: bool,
    in_section: bool,
    interfaces: Vec<Interface>,
    clocks: Vec<Clock>,
    /// Number of the section's first interface.
    section_base: usize,
    last_time: Timestamp,
    /// A block that is being passed over: what is left of it without its last four bytes, and its length.
    skipping: Option<(u32, u32)>,
    counters: CaptureCounters,
    /// Bytes that the block at `offset` needs, as far as known.
    needed: usize,
    failed: Option<CaptureError>,
}

impl PcapngReader {
    /// Makes a reader for the first byte of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the buffer begins with, see [`Step`].
    #[inline]
    pub fn next<'a>(&mut self, buffer: &'a [u8]) -> Step<'a> {
        if self.skipping.is_some() || self.failed.is_some() {
            return self.resume(buffer);
        }
        let Some((head, rest)) = buffer.split_first_chunk::<8>() else { return self.need(BLOCK_FRAME_BYTES) };
        let head = u64::from_le_bytes(*head);
        let (kind, length) = (self.word(head as u32), self.word((head >> 32) as u32));
        if kind != ENHANCED_PACKET || !self.in_section {
            return self.other_block(buffer, kind, length);
        }
        // a packet block is taken whole, its options too
        if !(BLOCK_FRAME_BYTES + PACKET_FIELDS_BYTES..=MAX_NEEDED_BYTES).contains(&(length as usize))
            || !length.is_multiple_of(4)
        {
            return self.fail(CaptureProblem::ImpossibleLength { length });
        }
        let Some(body) = rest.get(..length as usize - 8) else { return self.need(length as usize) };
        let Some((body, last)) = body.split_last_chunk::<4>() else { return self.need(length as usize) };
        let last = self.word(u32::from_le_bytes(*last));
        if last != length {
            return self.fail(CaptureProblem::LengthsDisagree { first: length, last });
        }
        let Some((fields, body)) = body.split_first_chunk::<PACKET_FIELDS_BYTES>() else {
            return self.need(length as usize);
        };
        let field = |at: usize| self.word(u32_le(fields, at).unwrap_or_default());
        let ticks = u64::from(field(4)) << 32 | u64::from(field(8));
        self.packet(length as usize, field(0) as usize, Some(ticks), (field(12), field(16)), body)
    }

    #[inline]
    fn word(&self, value: u32) -> u32 {
        if self.big_endian { value.swap_bytes() } else { value }
    }

    fn need(&mut self, at_least: usize) -> Step<'static> {
        self.needed = at_least;
        Step::NeedMore { at_least }
    }

    fn fail(&mut self, reason: CaptureProblem) -> Step<'static> {
        let error = CaptureError { offset: self.offset, reason };
        self.failed = Some(error);
        Step::Error(error)
    }

    #[inline]
    fn advance(&mut self, consumed: usize) {
        self.offset += consumed as u64;
        self.needed = 0;
    }

    /// Gives out the packet of a block, or refuses it alone where its fields are wrong.
    #[inline]
    fn packet<'a>(
        &mut self,
        consumed: usize,
        interface: usize,
        ticks: Option<u64>,
        (captured, original_length): (u32, u32),
        body: &'a [u8],
    ) -> Step<'a> {
        self.advance(consumed);
        let interface = self.section_base.saturating_add(interface);
        let parts = self.clocks.get(interface).zip(body.split_at_checked(captured as usize));
        let Some((clock, (data, padded))) = parts.filter(|_| captured as usize <= MAX_PACKET_BYTES) else {
            self.counters.refused_packets += 1;
            return Step::Skip { consumed };
        };
        if let Some(ticks) = ticks {
            self.last_time = clock.time(ticks);
        }
        if padded.len() > 4 {
            let padding = data.len().wrapping_neg() & 3;
            self.count_options(padded.get(padding..).unwrap_or_default(), false);
        }
        self.counters.packets += 1;
        let packet = Packet { time: self.last_time, original_length, data };
        Step::Packet { consumed, packet, interface: interface as u32 }
    }

    #[cold]
    fn resume<'a>(&mut self, buffer: &'a [u8]) -> Step<'a> {
        if let Some(error) = self.failed {
            return Step::Error(error);
        }
        let Some((left, length)) = self.skipping else { return Step::NeedMore { at_least: buffer.len() + 1 } };
        if left > 0 {
            let consumed = buffer.len().min(left as usize);
            if consumed == 0 {
                return self.need(1);
            }
            self.skipping = Some((left - consumed as u32, length));
            self.advance(consumed);
            return Step::Skip { consumed };
        }
        let Some(last) = u32_le(buffer, 0) else { return self.need(4) };
        let last = self.word(last);
        if last != length {
            return self.fail(CaptureProblem::LengthsDisagree { first: length, last });
        }
        self.skipping = None;
        self.advance(4);
        Step::Skip { consumed: 4 }
    }

    #[cold]
    fn other_block<'a>(&mut self, buffer: &'a [u8], kind: u32, length: u32) -> Step<'a> {
        if kind == SECTION_HEADER {
            return self.section(buffer);
        }
        if !self.in_section {
            return self.fail(CaptureProblem::UnknownFormat { magic: kind });
        }
        if (length as usize) < BLOCK_FRAME_BYTES || !length.is_multiple_of(4) {
            return self.fail(CaptureProblem::ImpossibleLength { length });
        }
        let shortest = match kind {
            INTERFACE_DESCRIPTION => 20,
            OBSOLETE_PACKET => 32,
            SIMPLE_PACKET => 16,
            _ => {
                match kind {
                    NAME_RESOLUTION => self.counters.names += 1,
                    INTERFACE_STATISTICS => self.counters.statistics += 1,
                    DECRYPTION_SECRETS => self.counters.secrets += 1,
                    _ => self.counters.other_blocks += 1,
                }
                self.skipping = Some((length - 12, length));
                self.advance(8);
                return Step::Skip { consumed: 8 };
            }
        };
        if !(shortest..=MAX_NEEDED_BYTES).contains(&(length as usize)) {
            return self.fail(CaptureProblem::ImpossibleLength { length });
        }
        let body = match self.whole_block(buffer, length) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let field = |at: usize| self.word(u32_le(body, at).unwrap_or_default());
        match kind {
            INTERFACE_DESCRIPTION => self.interface(body, length),
            SIMPLE_PACKET => {
                let original_length = field(0);
                let snap_length = self.interfaces.get(self.section_base).map_or(0, |interface| interface.snap_length);
                let captured = if snap_length == 0 { original_length } else { original_length.min(snap_length) };
                let body = body.get(4..).unwrap_or_default();
                // no options here: a body cut to what it needs keeps padding from being taken for them
                let body = body.get(..captured as usize).unwrap_or(body);
                self.packet(length as usize, 0, None, (captured, original_length), body)
            }
            _ => {
                // obsolete packet block: interface and drop count share the first word
                let pair = field(0).to_be_bytes();
                let interface = if self.big_endian { [pair[0], pair[1]] } else { [pair[2], pair[3]] };
                let ticks = u64::from(field(4)) << 32 | u64::from(field(8));
                let lengths = (field(12), field(16));
                let body = body.get(PACKET_FIELDS_BYTES..).unwrap_or_default();
                self.packet(length as usize, usize::from(u16::from_be_bytes(interface)), Some(ticks), lengths, body)
            }
        }
    }

    /// The bytes between the lengths of a block that must be in the buffer as a whole.
    fn whole_block<'a>(&mut self, buffer: &'a [u8], length: u32) -> Result<&'a [u8], Step<'static>> {
        let Some((body, last)) = buffer.get(8..length as usize).and_then(<[u8]>::split_last_chunk::<4>) else {
            return Err(self.need(length as usize));
        };
        let last = self.word(u32::from_le_bytes(*last));
        if last == length { Ok(body) } else { Err(self.fail(CaptureProblem::LengthsDisagree { first: length, last })) }
    }

    fn section<'a>(&mut self, buffer: &'a [u8]) -> Step<'a> {
        let (Some(length), Some(magic)) = (u32_le(buffer, 4), u32_le(buffer, 8)) else { return self.need(28) };
        self.big_endian = match (magic, magic.swap_bytes()) {
            (BYTE_ORDER_MAGIC, _) => false,
            (_, BYTE_ORDER_MAGIC) => true,
            _ => return self.fail(CaptureProblem::UnknownFormat { magic }),
        };
        let length = self.word(length);
        if !(28..=MAX_NEEDED_BYTES).contains(&(length as usize)) || !length.is_multiple_of(4) {
            return self.fail(CaptureProblem::ImpossibleLength { length });
        }
        let body = match self.whole_block(buffer, length) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let version = self.word(u32_le(body, 4).unwrap_or_default());
        let (major, minor) = if self.big_endian {
            ((version >> 16) as u16, version as u16)
        } else {
            (version as u16, (version >> 16) as u16)
        };
        if major != 1 {
            return self.fail(CaptureProblem::UnknownVersion { major, minor });
        }
        self.count_options(body.get(16..).unwrap_or_default(), false);
        self.in_section = true;
        self.section_base = self.interfaces.len();
        self.counters.sections += 1;
        self.advance(length as usize);
        Step::Skip { consumed: length as usize }
    }

    fn interface<'a>(&mut self, body: &'a [u8], length: u32) -> Step<'a> {
        if self.interfaces.len() >= MAX_INTERFACES {
            return self.fail(CaptureProblem::TooManyInterfaces);
        }
        let first = self.word(u32_le(body, 0).unwrap_or_default());
        let link_type = if self.big_endian { first >> 16 } else { first & 0xffff };
        let snap_length = self.word(u32_le(body, 4).unwrap_or_default());
        let clock = self.count_options(body.get(8..).unwrap_or_default(), true);
        self.interfaces.push(Interface { link_type, snap_length });
        self.clocks.push(clock);
        self.advance(length as usize);
        Step::Skip { consumed: length as usize }
    }

    /// Counts comments and names; for an interface, its clock too.
    fn count_options(&mut self, mut options: &[u8], of_interface: bool) -> Clock {
        const COMMENT: u16 = 1;
        const INTERFACE_NAME: u16 = 2;
        const INTERFACE_TEXT: u16 = 3;
        const RESOLUTION: u16 = 9;
        const TIME_OFFSET: u16 = 14;
        let (mut resolution, mut offset) = (6, 0);
        while let Some((head, rest)) = options.split_first_chunk::<4>() {
            let [a, b, c, d] = *head;
            let half = |pair| if self.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
            let (code, length) = (half([a, b]), usize::from(half([c, d])));
            let Some(value) = rest.get(..length).filter(|_| code != 0) else { break };
            match code {
                COMMENT => self.counters.comments += 1,
                INTERFACE_NAME | INTERFACE_TEXT if of_interface => self.counters.names += 1,
                RESOLUTION if of_interface => resolution = value.first().copied().unwrap_or(6),
                TIME_OFFSET if of_interface => {
                    if let Some(bytes) = value.first_chunk::<8>() {
                        offset = if self.big_endian { i64::from_be_bytes(*bytes) } else { i64::from_le_bytes(*bytes) };
                    }
                }
                _ => {}
            }
            options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Clock::new(resolution, offset)
    }

    /// Checks that the file may end here, with `left` bytes not consumed.
    ///
    /// # Errors
    /// The error met before, or [`CaptureProblem::Cut`]; an empty file is cut too.
    pub fn finish(&self, left: usize) -> Result<(), CaptureError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (needed, there) = match self.skipping {
            Some((inside, _)) => (u64::from(inside) + 4, left),
            None if left == 0 && self.in_section => return Ok(()),
            None => (self.needed.max(BLOCK_FRAME_BYTES) as u64, left),
        };
        let reason = CaptureProblem::Cut { needed, there: there as u64 };
        Err(CaptureError { offset: self.offset, reason })
    }

    /// Interfaces of all sections so far.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What was read and passed over so far.
    #[must_use]
    pub fn counters(&self) -> CaptureCounters {
        self.counters
    }

    /// Offset in the file of what [`PcapngReader::next`] looks at next.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests;
