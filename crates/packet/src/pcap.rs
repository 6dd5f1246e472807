//! Streaming reader of libpcap files: micro- and nanoseconds, both byte orders, several files one after the other.

use skycap_model::{MAX_PACKET_BYTES, Timestamp};

use crate::{
    bytes::{four_le, u32_le},
    capture::{CaptureCounters, CaptureError, CaptureProblem, Interface, MAX_INTERFACES, Step},
    record::{FILE_HEADER_BYTES, MICROSECOND_MAGIC, NANOSECOND_MAGIC, Packet, RECORD_HEADER_BYTES},
};

/// The variant with longer record headers; refused by name.
const MODIFIED_MAGIC: u32 = 0xa1b2_cd34;

/// Captured lengths up to this are believed whatever snap length and wire length say.
const BELIEVED_LENGTH: u32 = 65_535;

/// Reader of a libpcap file; see [`Step`] for how it is used.
///
/// A further file header where a record should begin starts a new section, which may differ in byte order,
/// resolution and link type: files put together with `cat` are read to their end.
#[derive(Debug, Default)]
pub struct PcapReader {
    offset: u64,
    /// Nanoseconds per unit of the fraction; 0 before the first file header.
    scale: u32,
    big_endian: bool,
    snap_length: u32,
    interface: u32,
    interfaces: Vec<Interface>,
    packets: u64,
    sections: u64,
    /// Bytes that the record at `offset` needs, as far as known.
    needed: usize,
    failed: Option<CaptureError>,
}

/// What a file header says.
struct Header {
    scale: u32,
    big_endian: bool,
    interface: Interface,
}

impl PcapReader {
    /// Makes a reader for the first byte of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the buffer begins with, see [`Step`].
    #[inline]
    pub fn next<'a>(&mut self, buffer: &'a [u8]) -> Step<'a> {
        let Some((header, rest)) = buffer.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            let at_least = if self.scale == 0 { FILE_HEADER_BYTES } else { RECORD_HEADER_BYTES };
            return self.failed.map_or_else(|| self.need(at_least), Step::Error);
        };
        let mut fields = four_le(*header);
        if self.big_endian {
            fields = fields.map(u32::swap_bytes);
        }
        let [seconds, fraction, captured, original_length] = fields;
        // 0 wraps to the largest number: one comparison finds all that isn't a plain packet
        if (captured.wrapping_sub(1) >= BELIEVED_LENGTH || self.scale == 0)
            && let Some(step) = self.unusual(buffer, captured, original_length)
        {
            return step;
        }
        let Some(data) = rest.get(..captured as usize) else {
            return self.need(RECORD_HEADER_BYTES + captured as usize);
        };
        let consumed = RECORD_HEADER_BYTES + data.len();
        self.offset += consumed as u64;
        self.packets += 1;
        self.needed = 0;
        // cannot overflow: 2^32 * 10^9 + 2^32 * 10^3 is below 2^63
        let time = Timestamp(u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * u64::from(self.scale));
        Step::Packet { consumed, packet: Packet { time, original_length, data }, interface: self.interface }
    }

    /// File headers, errors, and records that are empty or long: `None` says that it is a packet after all.
    #[cold]
    fn unusual<'a>(&mut self, buffer: &'a [u8], captured: u32, original_length: u32) -> Option<Step<'a>> {
        if let Some(error) = self.failed {
            return Some(Step::Error(error));
        }
        if self.scale == 0 {
            return Some(match parse_header(buffer) {
                Ok(Some(header)) => self.begin_section(&header),
                Ok(None) => self.need(FILE_HEADER_BYTES),
                Err(reason) => self.fail(reason),
            });
        }
        let longest = self.snap_length.max(original_length).clamp(BELIEVED_LENGTH, MAX_PACKET_BYTES as u32);
        let possible = captured <= longest;
        if possible && captured > 0 {
            return None;
        }
        // a file header reads as an empty record (its time zone is 0) with a time far off
        match parse_header(buffer) {
            Ok(Some(header)) => return Some(self.begin_section(&header)),
            Ok(None) => return Some(self.need(FILE_HEADER_BYTES)),
            Err(CaptureProblem::ModifiedFormat) if !possible => return Some(self.fail(CaptureProblem::ModifiedFormat)),
            Err(_) => {}
        }
        if possible { None } else { Some(self.fail(CaptureProblem::ImpossibleLength { length: captured })) }
    }

    fn need(&mut self, at_least: usize) -> Step<'static> {
        self.needed = at_least;
        Step::NeedMore { at_least }
    }

    fn fail(&mut self, reason: CaptureProblem) -> Step<'static> {
        self.scale = 0; // so that the check of the fast path leads back here
        let error = CaptureError { offset: self.offset, reason };
        self.failed = Some(error);
        Step::Error(error)
    }

    fn begin_section(&mut self, header: &Header) -> Step<'static> {
        let known = self.interfaces.iter().position(|known| known.link_type == header.interface.link_type);
        if known.is_none() && self.interfaces.len() >= MAX_INTERFACES {
            return self.fail(CaptureProblem::TooManyInterfaces);
        }
        self.interface = known.unwrap_or(self.interfaces.len()) as u32;
        if known.is_none() {
            self.interfaces.push(header.interface);
        }
        self.scale = header.scale;
        self.big_endian = header.big_endian;
        self.snap_length = header.interface.snap_length;
        self.sections += 1;
        self.offset += FILE_HEADER_BYTES as u64;
        Step::Skip { consumed: FILE_HEADER_BYTES }
    }

    /// Checks that the file may end here, with `left` bytes not consumed.
    ///
    /// # Errors
    /// The error met before, or [`CaptureProblem::Cut`]; an empty file is cut too.
    pub fn finish(&self, left: usize) -> Result<(), CaptureError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if left == 0 && self.scale != 0 {
            return Ok(());
        }
        let needed = self.needed.max(if self.scale == 0 { FILE_HEADER_BYTES } else { RECORD_HEADER_BYTES });
        let reason = CaptureProblem::Cut { needed: needed as u64, there: left as u64 };
        Err(CaptureError { offset: self.offset, reason })
    }

    /// Interfaces seen so far: one, or one for each link type of concatenated files.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What was read so far.
    #[must_use]
    pub fn counters(&self) -> CaptureCounters {
        CaptureCounters { packets: self.packets, sections: self.sections, ..CaptureCounters::default() }
    }

    /// Offset in the file of what [`PcapReader::next`] looks at next.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// Reads a file header; `None` where it may be one and bytes are missing.
fn parse_header(buffer: &[u8]) -> Result<Option<Header>, CaptureProblem> {
    let Some(magic) = u32_le(buffer, 0) else { return Ok(None) };
    let (scale, big_endian) = match (magic, magic.swap_bytes()) {
        (MICROSECOND_MAGIC, _) => (1_000, false),
        (NANOSECOND_MAGIC, _) => (1, false),
        (_, MICROSECOND_MAGIC) => (1_000, true),
        (_, NANOSECOND_MAGIC) => (1, true),
        (MODIFIED_MAGIC, _) | (_, MODIFIED_MAGIC) => return Err(CaptureProblem::ModifiedFormat),
        _ => return Err(CaptureProblem::UnknownFormat { magic }),
    };
    let field = |at| u32_le(buffer, at).map(|value| if big_endian { value.swap_bytes() } else { value });
    let version =
        |at| crate::bytes::u16_le(buffer, at).map(|value| if big_endian { value.swap_bytes() } else { value });
    let (Some(major), Some(minor)) = (version(4), version(6)) else { return Ok(None) };
    if (major, minor) != (2, 4) {
        return Err(CaptureProblem::UnknownVersion { major, minor });
    }
    let (Some(snap_length), Some(link_type)) = (field(16), field(20)) else { return Ok(None) };
    // the upper half holds flags about a frame check sequence
    let interface = Interface { link_type: link_type & 0xffff, snap_length };
    Ok(Some(Header { scale, big_endian, interface }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FileHeader, write_record};

    fn file(magic: u32, big_endian: bool, link_type: u32, records: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut out = word(magic).to_vec();
        out.extend(half(2));
        out.extend(half(4));
        for value in [0, 0, 65_535, link_type] {
            out.extend(word(value));
        }
        for &(seconds, fraction, data) in records {
            for value in [seconds, fraction, data.len() as u32, data.len() as u32 + 1] {
                out.extend(word(value));
            }
            out.extend(data);
        }
        out
    }

    /// Packets as (time, interface, data), read with a buffer that grows byte by byte, and how it ended.
    type Read = (u64, u32, Vec<u8>);

    fn read(file: &[u8]) -> (Vec<Read>, Result<(), CaptureError>) {
        let (mut reader, mut start, mut end, mut out) = (PcapReader::new(), 0, 0, Vec::new());
        loop {
            match reader.next(&file[start..end]) {
                Step::Packet { consumed, packet, interface } => {
                    assert_eq!(packet.original_length as usize, packet.data.len() + 1);
                    out.push((packet.time.0, interface, packet.data.to_vec()));
                    start += consumed;
                }
                Step::Skip { consumed } => start += consumed,
                Step::NeedMore { at_least } => {
                    assert!(at_least > end - start);
                    if end == file.len() {
                        assert_eq!(reader.offset(), start as u64);
                        return (out, reader.finish(end - start));
                    }
                    end += 1;
                }
                Step::Error(error) => return (out, Err(error)),
            }
        }
    }

    #[test]
    fn resolutions_and_byte_orders() {
        for big_endian in [false, true] {
            for (magic, fraction) in [(MICROSECOND_MAGIC, 123_456), (NANOSECOND_MAGIC, 123_456_000)] {
                let file = file(magic, big_endian, 1, &[(7, fraction, b"abc"), (8, 0, b"")]);
                let (packets, end) = read(&file);
                end.unwrap();
                assert_eq!(packets, [(7_123_456_000, 0, b"abc".to_vec()), (8_000_000_000, 0, Vec::new())]);
            }
        }
    }

    #[test]
    fn concatenated_files() {
        let mut both = file(MICROSECOND_MAGIC, false, 1, &[(1, 0, b"a")]);
        both.extend(file(NANOSECOND_MAGIC, true, 113, &[(2, 5, b"b")]));
        both.extend(file(MICROSECOND_MAGIC, false, 1, &[(3, 0, b"c")]));
        let (packets, end) = read(&both);
        end.unwrap();
        let expected =
            [(1_000_000_000, 0, b"a".to_vec()), (2_000_000_005, 1, b"b".to_vec()), (3_000_000_000, 0, b"c".to_vec())];
        assert_eq!(packets, expected);
    }

    #[test]
    fn cut_anywhere() {
        let file = file(MICROSECOND_MAGIC, false, 1, &[(1, 0, b"abc"), (2, 0, b"defg")]);
        for end in 0..file.len() {
            let (packets, result) = read(&file[..end]);
            let whole = [24, 43, 63].iter().filter(|&&boundary| end >= boundary).count();
            assert_eq!(packets.len(), whole.saturating_sub(1));
            assert_eq!(result.is_ok(), matches!(end, 24 | 43), "{end}");
        }
        let (_, result) = read(&file[..50]);
        assert_eq!(result.unwrap_err().to_string(), "cut short at offset 43: the record needs 16 bytes, 7 are there");
    }

    #[test]
    fn impossible_length_ends() {
        let mut bytes = file(MICROSECOND_MAGIC, false, 1, &[(1, 0, b"abc")]);
        bytes.extend([0xff; 40]);
        let (packets, end) = read(&bytes);
        assert_eq!(packets.len(), 1);
        assert_eq!(
            end.unwrap_err().to_string(),
            "record of impossible length at offset 43: it claims 4294967295 bytes"
        );
    }

    #[test]
    fn refuses_other_formats_by_name() {
        for order in [false, true] {
            let modified = file(MODIFIED_MAGIC, order, 1, &[]);
            assert_eq!(read(&modified).1.unwrap_err().reason, CaptureProblem::ModifiedFormat);
        }
        let text = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
        assert!(matches!(read(text).1.unwrap_err().reason, CaptureProblem::UnknownFormat { .. }));
        let mut old = file(MICROSECOND_MAGIC, false, 1, &[]);
        old[6] = 2;
        assert_eq!(read(&old).1.unwrap_err().reason, CaptureProblem::UnknownVersion { major: 2, minor: 2 });
    }

    #[test]
    fn long_packets_by_snap_length() {
        let data = vec![1; 200_000];
        let mut bytes = FileHeader::new(1).to_bytes().to_vec();
        let packet = Packet { time: Timestamp(5), original_length: 200_001, data: &data };
        write_record(&packet, &mut bytes).unwrap();
        let mut reader = PcapReader::new();
        assert_eq!(reader.next(&bytes), Step::Skip { consumed: 24 });
        assert!(matches!(reader.next(&bytes[24..]), Step::Packet { .. }));
    }
}
