//! The message: header, names, questions, records. Lenient: what is broken ends the reading, what was read stays.

use std::hash::{Hash, Hasher};

/// Bytes of a name on the wire at most (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 255;

/// Questions beyond which a datagram on a DNS port is taken for something else.
const PLAUSIBLE_QUESTIONS: u16 = 256;

/// The header (RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) questions: u16,
    /// Records of the answer, authority and additional sections.
    pub(super) records: usize,
}

impl Header {
    /// Reads the first 12 bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { message: bytes, at: 0 };
        let (id, flags, questions) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let records = usize::from(reader.u16()?) + usize::from(reader.u16()?) + usize::from(reader.u16()?);
        Some(Self { id, flags, questions, records })
    }

    pub(super) fn is_plausible(self) -> bool {
        self.questions <= PLAUSIBLE_QUESTIONS && (self.questions > 0 || self.records > 0 || self.is_response())
    }

    pub(super) const fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    pub(super) const fn opcode(self) -> u8 {
        ((self.flags >> 11) & 0x0F) as u8
    }

    pub(super) const fn status(self) -> u8 {
        (self.flags & 0x0F) as u8
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) id: u16,
    pub(super) opcode: u8,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// The name, escaped.
    pub(super) name: Box<[u8]>,
}

impl Question {
    pub(super) fn new(header: Header, kind: u16, class: u16, name: &[u8]) -> Self {
        Self { id: header.id, opcode: header.opcode(), kind, class, name: name.into() }
    }

    /// True where the question is made of these parts; case of the name doesn't matter.
    pub(super) fn is(&self, header: Header, kind: u16, class: u16, name: &[u8]) -> bool {
        (self.id, self.opcode, self.kind, self.class) == (header.id, header.opcode(), kind, class)
            && self.name.eq_ignore_ascii_case(name)
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // letters of both cases have the same other bits
        const CASE: u64 = 0x2020_2020_2020_2020;
        let place = u64::from(self.id) << 48
            | u64::from(self.kind) << 32
            | u64::from(self.class) << 16
            | u64::from(self.opcode);
        state.write_u64(place);
        let (words, rest) = self.name.as_chunks::<8>();
        for word in words {
            state.write_u64(u64::from_le_bytes(*word) | CASE);
        }
        state.write_u64(rest.iter().fold(1, |word, &byte| word << 8 | u64::from(byte | 0x20)));
    }
}

/// A record; its owner's name was appended to the buffer given.
pub(super) struct Record<'a> {
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    /// A reader that stands at the data and ends with it.
    pub(super) data: Reader<'a>,
}

/// A message that is being read from front to back.
pub(super) struct Message<'a> {
    pub(super) header: Header,
    pub(super) bytes: &'a [u8],
    reader: Reader<'a>,
    class_mask: u16,
}

impl<'a> Message<'a> {
    /// Reads the header; `multicast` frees the highest bit of classes from its meaning there.
    pub(super) fn new(bytes: &'a [u8], multicast: bool) -> Option<Self> {
        let header = Header::read(bytes)?;
        let reader = Reader { message: bytes, at: super::HEADER_BYTES };
        Some(Self { header, bytes, reader, class_mask: if multicast { 0x7FFF } else { 0xFFFF } })
    }

    /// Reads the next question: its type and class; its name is appended.
    pub(super) fn question_parts(&mut self, name: &mut Vec<u8>) -> Option<(u16, u16)> {
        self.reader.name(name)?;
        Some((self.reader.u16()?, self.reader.u16()? & self.class_mask))
    }

    /// Reads the next record and appends its owner's name.
    pub(super) fn record(&mut self, name: &mut Vec<u8>) -> Option<Record<'a>> {
        self.reader.name(name)?;
        let kind = self.reader.u16()?;
        let class = self.reader.u16()? & self.class_mask;
        let ttl = self.reader.u32()?;
        let length = usize::from(self.reader.u16()?);
        let start = self.reader.at;
        self.reader.bytes(length)?;
        let data = Reader { message: self.bytes.get(..start + length)?, at: start };
        Some(Record { kind, class, ttl, data })
    }
}

/// Reads a message; names may point back to anywhere in it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.message.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = self.message.get(self.at..).unwrap_or_default();
        self.at = self.message.len();
        rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.message.len()
    }

    /// Bytes behind their length of one byte.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }

    /// Appends a name as text: labels with dots between them, nothing for the root. Dots and backslashes within a
    /// label, and control characters, are escaped (RFC 1035 §5.1).
    ///
    /// A pointer (RFC 1035 §4.1.4) must lead further to the front than all before it, so the walk ends; a name longer
    /// than 255 bytes is refused.
    pub(super) fn name(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let start = text.len();
        let mut at = self.at;
        let mut lowest = at;
        let mut end = None;
        let mut wire_bytes = 1;
        loop {
            let length = *self.message.get(at)?;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.message.get(at + 1..at + 1 + usize::from(length))?;
                    wire_bytes += label.len() + 1;
                    if wire_bytes > MAX_NAME_BYTES {
                        return None;
                    }
                    if text.len() > start {
                        text.push(b'.');
                    }
                    push_label(text, label);
                    at += 1 + label.len();
                }
                0xC0..=0xFF => {
                    let low = *self.message.get(at + 1)?;
                    end = end.or(Some(at + 2));
                    let target = usize::from(u16::from_be_bytes([length & 0x3F, low]));
                    if target >= lowest {
                        return None;
                    }
                    lowest = target;
                    at = target;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at + 1);
        Some(())
    }
}

fn push_label(text: &mut Vec<u8>, label: &[u8]) {
    let plain = |byte: &u8| !matches!(byte, 0..=0x1F | 0x7F | b'.' | b'\\');
    if label.iter().all(plain) {
        text.extend_from_slice(label);
        return;
    }
    for byte in label {
        match byte {
            b'.' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            0..=0x1F | 0x7F => {
                text.extend_from_slice(&[b'\\', b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10]);
            }
            _ => text.push(*byte),
        }
    }
}
