//! The fields of a session as they are found: a compact log of (field, value), with marks around objects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skycap_model::{FieldId, Kind, MAX_TEXT_BYTES, Shape, core_fields};

use crate::{Traits, traits};

/// Bounds of one session's fields.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most values of one field, or objects of one list.
    pub values: u16,
    /// Most bytes of the whole log.
    pub bytes: usize,
}

impl Limits {
    /// The bounds in force unless a setting says otherwise.
    pub const DEFAULT: Self = Self { values: 1_000, bytes: 128 << 10 };
}

const BEGIN: u16 = 0x8000;
const END: u16 = 0xFFFF;

/// Bytes of the log at first, which most sessions with a parser need: growing step by step costs copies.
const FIRST_BYTES: usize = 192;

/// Room for values of sets at first.
const FIRST_VALUES: usize = 8;

/// A value in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Bytes of a text, folded as the field's kind wants; not necessarily UTF-8.
    Text(&'a [u8]),
    /// A number, a date in milliseconds, or 0 and 1 for a truth value.
    Integer(i64),
    /// An address.
    Ip(IpAddr),
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// An object of the list at this field begins.
    Begin(FieldId),
    /// The innermost object ends.
    End,
    /// A value.
    Value(FieldId, Value<'a>),
}

/// An entry of a log by its place: what a writer sorts in the stead of values.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    number: u16,
    at: u32,
}

impl Spot {
    /// The field of a value.
    #[inline]
    #[must_use]
    pub fn value(self) -> Option<FieldId> {
        (self.number & BEGIN == 0).then_some(FieldId(self.number))
    }

    /// The list whose object begins.
    #[inline]
    #[must_use]
    pub fn begin(self) -> Option<FieldId> {
        (self.number & BEGIN != 0 && self.number != END).then_some(FieldId(self.number & !BEGIN))
    }

    /// True for the end of an object.
    #[inline]
    #[must_use]
    pub fn is_end(self) -> bool {
        self.number == END
    }
}

/// What parsers write: values in the order found. Sets keep distinct values only; what goes beyond [`Limits`] is left
/// out and the session is marked in `skycap.truncated`.
///
/// Shape of an entry: field number (2 bytes LE), then text: length (2) and bytes; number: 8 bytes LE; address: length
/// (1) and 4 or 16 bytes. `BEGIN | field` and `END` stand alone.
#[derive(Default)]
pub struct Fields {
    log: Vec<u8>,
    /// Hash and place of each value that stands in a set outside of objects.
    seen: Vec<(u32, u32)>,
    /// Values so far, per field (outside of objects) and per list of objects.
    counts: Vec<(FieldId, u16)>,
    /// Place in `seen` is not used inside objects: sets there are made when the document is written.
    depth: u8,
    /// Depth at which an object was left out; values until its end go with it.
    skipped: Option<u8>,
    truncated: Vec<FieldId>,
}

impl Fields {
    /// True where nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.log.capacity() + self.seen.capacity() * 8 + self.counts.capacity() * 4
    }

    /// Writes a text, folded to the case that its field has, and cut to [`MAX_TEXT_BYTES`].
    pub fn text(&mut self, field: FieldId, text: &[u8]) {
        let row = traits(field);
        let cut = text.get(..MAX_TEXT_BYTES).unwrap_or(text);
        if cut.len() < text.len() {
            self.mark_truncated(field);
        }
        let place = self.place();
        let [number, length] = [field.0.to_le_bytes(), (cut.len() as u16).to_le_bytes()];
        self.log.extend_from_slice(&[number[0], number[1], length[0], length[1]]);
        let start = self.log.len();
        match row.kind {
            Kind::LowerTerm => fold(&mut self.log, cut, <[u8]>::make_ascii_lowercase, char::to_lowercase),
            Kind::UpperTerm => fold(&mut self.log, cut, <[u8]>::make_ascii_uppercase, char::to_uppercase),
            _ => self.log.extend_from_slice(cut),
        }
        let written = (self.log.len() - start) as u16;
        if usize::from(written) != cut.len() {
            self.log[place + 2..place + 4].copy_from_slice(&written.to_le_bytes());
        }
        self.settle(field, row, place);
    }

    /// Writes a number, or a date in milliseconds.
    pub fn integer(&mut self, field: FieldId, number: i64) {
        let place = self.place();
        self.log.extend_from_slice(&field.0.to_le_bytes());
        self.log.extend_from_slice(&number.to_le_bytes());
        self.settle(field, traits(field), place);
    }

    /// Writes a truth value.
    pub fn boolean(&mut self, field: FieldId, truth: bool) {
        self.integer(field, i64::from(truth));
    }

    /// Writes an address.
    pub fn ip(&mut self, field: FieldId, address: IpAddr) {
        let place = self.place();
        self.log.extend_from_slice(&field.0.to_le_bytes());
        match address {
            IpAddr::V4(address) => {
                self.log.push(4);
                self.log.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                self.log.push(16);
                self.log.extend_from_slice(&address.octets());
            }
        }
        self.settle(field, traits(field), place);
    }

    /// Begins an object of the list at this field; values until [`Fields::end`] belong to it.
    pub fn begin(&mut self, list: FieldId) {
        self.depth = self.depth.saturating_add(1);
        if self.skipped.is_some() {
            return;
        }
        let room = self.log.len() < Limits::DEFAULT.bytes;
        if !room || (self.depth == 1 && !self.count(list)) {
            self.skipped = Some(self.depth);
            self.mark_truncated(list);
            return;
        }
        self.place();
        self.log.extend_from_slice(&(BEGIN | list.0).to_le_bytes());
    }

    /// Ends the innermost object.
    pub fn end(&mut self) {
        if self.depth == 0 {
            return;
        }
        match self.skipped {
            Some(depth) if depth == self.depth => self.skipped = None,
            Some(_) => {}
            None => self.log.extend_from_slice(&END.to_le_bytes()),
        }
        self.depth -= 1;
    }

    /// Appends entries that another log holds (a certificate from the cache, say) as one object.
    pub fn append(&mut self, other: &Fields) {
        if self.skipped.is_some() {
            return;
        }
        if self.log.len() + other.log.len() > Limits::DEFAULT.bytes {
            return;
        }
        if self.depth == 0 {
            for mark in other.entries() {
                match mark {
                    Mark::Begin(list) => self.begin(list),
                    Mark::End => self.end(),
                    Mark::Value(field, Value::Text(text)) => self.text(field, text),
                    Mark::Value(field, Value::Integer(number)) => self.integer(field, number),
                    Mark::Value(field, Value::Ip(address)) => self.ip(field, address),
                }
            }
        } else {
            self.log.extend_from_slice(&other.log);
        }
    }

    /// True where this text stands in the field already.
    #[must_use]
    pub fn contains(&self, field: FieldId, text: &[u8]) -> bool {
        self.entries().any(|mark| mark == Mark::Value(field, Value::Text(text)))
    }

    /// Takes a protocol's name off `protocol`, when its parser says that the session is not its own.
    pub fn remove_protocol(&mut self, name: &str) {
        let kept: Vec<u8> = {
            let mut kept = Vec::with_capacity(self.log.len());
            let mut entries = self.entries();
            loop {
                let from = entries.at;
                let Some(mark) = entries.next() else { break };
                if mark != Mark::Value(core_fields::PROTOCOL, Value::Text(name.as_bytes())) {
                    kept.extend_from_slice(&self.log[from..entries.at]);
                }
            }
            kept
        };
        self.replace(kept);
    }

    /// Keeps the linked fields only: what the next segment of a split session begins with.
    pub fn retain_linked(&mut self) {
        let mut kept = Vec::new();
        let mut entries = self.entries();
        let mut depth = 0_u32;
        loop {
            let from = entries.at;
            match entries.next() {
                None => break,
                Some(Mark::Begin(_)) => depth += 1,
                Some(Mark::End) => depth = depth.saturating_sub(1),
                Some(Mark::Value(field, _)) if depth == 0 && traits(field).linked => {
                    kept.extend_from_slice(&self.log[from..entries.at]);
                }
                Some(Mark::Value(..)) => {}
            }
        }
        self.truncated.clear();
        self.replace(kept);
    }

    /// The entries, in the order written.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries { log: &self.log, at: 0 }
    }

    /// Gives the places of all entries, in the order written.
    pub fn spots(&self, into: &mut Vec<Spot>) {
        into.clear();
        let mut entries = self.entries();
        loop {
            let at = entries.at as u32;
            let Some(number) = entries.skip_one() else { break };
            into.push(Spot { number, at });
        }
    }

    /// The value at a place of this log; `None` for what is no value.
    #[inline]
    #[must_use]
    pub fn value_at(&self, spot: Spot) -> Option<Value<'_>> {
        let id = spot.value()?;
        let bytes = self.log.get(spot.at as usize + 2..)?;
        Some(match traits(id).kind {
            Kind::Integer | Kind::Date | Kind::Boolean => Value::Integer(i64::from_le_bytes(*bytes.first_chunk()?)),
            Kind::Ip => {
                let (length, bytes) = bytes.split_first()?;
                match length {
                    4 => Value::Ip(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
                    _ => Value::Ip(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
                }
            }
            _ => {
                let (length, bytes) = bytes.split_first_chunk()?;
                Value::Text(bytes.get(..usize::from(u16::from_le_bytes(*length)))?)
            }
        })
    }

    /// Where the log begins in memory: to fetch it ahead of time.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Option<&u8> {
        self.log.first()
    }

    /// Fields of which a value was cut or left out.
    #[must_use]
    pub fn truncated(&self) -> &[FieldId] {
        &self.truncated
    }

    /// Rebuilds the log and what is derived from it.
    fn replace(&mut self, log: Vec<u8>) {
        let truncated = std::mem::take(&mut self.truncated);
        let whole = Fields { log, ..Fields::default() };
        *self = Fields::default();
        self.append(&whole);
        self.truncated = truncated;
    }

    /// Where the next entry will stand.
    #[inline]
    fn place(&mut self) -> usize {
        if self.log.capacity() == 0 {
            self.log.reserve_exact(FIRST_BYTES);
        }
        self.log.len()
    }

    /// Keeps the entry that was just appended at `place`, unless it is a repetition or beyond a bound.
    fn settle(&mut self, field: FieldId, row: Traits, place: usize) {
        if self.skipped.is_some() {
            self.log.truncate(place);
            return;
        }
        if self.log.len() > Limits::DEFAULT.bytes {
            self.log.truncate(place);
            self.mark_truncated(field);
            return;
        }
        if self.depth > 0 {
            return;
        }
        if row.shape == Shape::Set {
            let hash = hash(&self.log[place..]);
            let length = self.log.len() - place;
            if self.seen.capacity() == 0 {
                self.seen.reserve_exact(FIRST_VALUES);
                self.counts.reserve_exact(FIRST_VALUES);
            }
            let known = self.seen.iter().any(|&(other, at)| {
                other == hash && self.log.get(at as usize..at as usize + length) == Some(&self.log[place..])
            });
            if known {
                self.log.truncate(place);
                return;
            }
            if !self.count(field) {
                self.log.truncate(place);
                self.mark_truncated(field);
                return;
            }
            self.seen.push((hash, place as u32));
        } else if row.shape == Shape::List && !self.count(field) {
            self.log.truncate(place);
            self.mark_truncated(field);
        }
    }

    /// Counts one more value of a field; false where there are enough.
    fn count(&mut self, field: FieldId) -> bool {
        match self.counts.iter_mut().find(|(known, _)| *known == field) {
            Some((_, count)) if *count >= Limits::DEFAULT.values => false,
            Some((_, count)) => {
                *count += 1;
                true
            }
            None => {
                self.counts.push((field, 1));
                true
            }
        }
    }

    fn mark_truncated(&mut self, field: FieldId) {
        if !self.truncated.contains(&field) {
            self.truncated.push(field);
        }
    }
}

/// Walks a log.
pub struct Entries<'a> {
    log: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.log.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    #[inline]
    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    /// Steps over an entry and gives its number.
    #[inline]
    fn skip_one(&mut self) -> Option<u16> {
        let number = self.number()?;
        if number & BEGIN == 0 {
            let length = match traits(FieldId(number)).kind {
                Kind::Integer | Kind::Date | Kind::Boolean => 8,
                Kind::Ip => match self.take(1)? {
                    [4] => 4,
                    _ => 16,
                },
                _ => usize::from(self.number()?),
            };
            self.take(length)?;
        }
        Some(number)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Mark<'a>;

    fn next(&mut self) -> Option<Mark<'a>> {
        let number = self.number()?;
        if number == END {
            return Some(Mark::End);
        }
        if number & BEGIN != 0 {
            return Some(Mark::Begin(FieldId(number & !BEGIN)));
        }
        let field = FieldId(number);
        let value = match traits(field).kind {
            Kind::Integer | Kind::Date | Kind::Boolean => {
                let bytes = self.take(8)?;
                Value::Integer(i64::from_le_bytes(bytes.try_into().ok()?))
            }
            Kind::Ip => match self.take(1)? {
                [4] => Value::Ip(Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?).into()),
                _ => Value::Ip(Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?).into()),
            },
            _ => {
                let length = self.number()?;
                Value::Text(self.take(usize::from(length))?)
            }
        };
        Some(Mark::Value(field, value))
    }
}

/// Folds ASCII by byte; text that is UTF-8 beyond ASCII by character, within the bound.
#[inline]
fn fold<I: Iterator<Item = char>>(
    log: &mut Vec<u8>,
    text: &[u8],
    ascii: impl Fn(&mut [u8]),
    unicode: impl Fn(char) -> I,
) {
    let start = log.len();
    if text.is_ascii() {
        log.extend_from_slice(text);
        ascii(&mut log[start..]);
        return;
    }
    match std::str::from_utf8(text) {
        Ok(text) => {
            for character in text.chars().flat_map(unicode) {
                if log.len() - start + character.len_utf8() > MAX_TEXT_BYTES {
                    break;
                }
                log.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Err(_) => {
            log.extend_from_slice(text);
            ascii(&mut log[start..]);
        }
    }
}

/// A quick hash to tell values apart; equality is checked byte by byte afterwards.
fn hash(bytes: &[u8]) -> u32 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        state = (state ^ word).wrapping_mul(0xFF51_AFD7_ED55_8CCD).rotate_left(29);
    }
    // the rest as a number, its length above
    let rest = chunks.remainder();
    let word = rest.iter().fold(rest.len() as u64, |word, &byte| word << 8 | u64::from(byte));
    state = (state ^ word).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    (state ^ (state >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns;

    #[test]
    fn sets_and_folding() {
        let mut fields = Fields::default();
        fields.text(core_fields::USER, b"Alice");
        fields.text(core_fields::USER, b"ALICE");
        fields.text(core_fields::USER, "ÄRGER".as_bytes());
        fields.integer(core_fields::VLAN, 7);
        fields.integer(core_fields::VLAN, 7);
        let values: Vec<Mark<'_>> = fields.entries().collect();
        assert_eq!(
            values,
            [
                Mark::Value(core_fields::USER, Value::Text(b"alice")),
                Mark::Value(core_fields::USER, Value::Text("ärger".as_bytes())),
                Mark::Value(core_fields::VLAN, Value::Integer(7)),
            ]
        );
        fields.text(core_fields::SOURCE_PAYLOAD, b"00");
        fields.retain_linked();
        assert_eq!(fields.entries().count(), 3);
    }

    #[test]
    fn bounds() {
        let mut fields = Fields::default();
        for number in 0..5_000 {
            fields.integer(core_fields::VLAN, number);
        }
        assert_eq!(fields.entries().count(), usize::from(Limits::DEFAULT.values));
        assert_eq!(fields.truncated(), [core_fields::VLAN]);
        let mut fields = Fields::default();
        fields.text(core_fields::USER, &vec![b'x'; 70_000]);
        assert_eq!(fields.truncated(), [core_fields::USER]);
        for number in 0..2_000 {
            fields.begin(dns::DNS);
            fields.text(dns::QUERY_HOST, format!("host{number}").as_bytes());
            fields.end();
        }
        let begun = fields.entries().filter(|mark| matches!(mark, Mark::Begin(_))).count();
        assert_eq!(begun, usize::from(Limits::DEFAULT.values));
    }
}
