//! One datagram: its pieces in order of coming, and their assembly.

use etherparse::Ipv4Header;
use skycap_model::Timestamp;

use crate::decode::Fragment;

use super::{FRAGMENT_OVERHEAD, Key, Reason, layout::Layout};

/// The longest packet that a length field can say (IPv4: with header; IPv6: without its fixed header).
const MAXIMUM_LENGTH: usize = 65_535;
const IPV6_HEADER: usize = 40;

/// What adding a fragment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Held,
    Duplicate,
    Complete,
}

#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) key: Key,
    pub(super) opened: Timestamp,
    pub(super) ports: Option<(u16, u16)>,
    /// Set where nothing can come of it any more.
    pub(super) refused: Option<Reason>,
    /// In order of coming, so that what came first can win.
    pieces: Vec<Piece>,
    header: Option<Header>,
    /// Bytes of all pieces, overlaps counted twice.
    received: usize,
    /// The highest end of a piece.
    highest: usize,
    /// Length of the payload, once the last fragment was seen.
    length: Option<usize>,
}

#[derive(Debug)]
struct Piece {
    offset: usize,
    bytes: Box<[u8]>,
}

impl Piece {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// The first fragment's header.
#[derive(Debug)]
struct Header {
    bytes: Box<[u8]>,
    next_header_at: usize,
    protocol: u8,
}

impl Datagram {
    pub(super) fn new(key: Key, opened: Timestamp) -> Self {
        Self {
            key,
            opened,
            ports: None,
            refused: None,
            pieces: Vec::new(),
            header: None,
            received: 0,
            highest: 0,
            length: None,
        }
    }

    /// Bytes held, overhead included.
    pub(super) fn bytes(&self) -> usize {
        let header = self.header.as_ref().map_or(0, |header| header.bytes.len());
        header + self.received + self.pieces.len() * FRAGMENT_OVERHEAD
    }

    /// Adds a fragment; an error says that it, or the whole datagram, is refused.
    pub(super) fn add(&mut self, fragment: Fragment, layout: &Layout<'_>, limit: usize) -> Result<Added, Reason> {
        if let Some(reason) = self.refused {
            return Err(reason);
        }
        if layout.truncated {
            return self.refuse(Reason::Truncated);
        }
        let payload = layout.payload;
        if payload.is_empty() || (fragment.more && !payload.len().is_multiple_of(8)) {
            return Err(Reason::Malformed);
        }
        let (from, end) = (usize::from(fragment.offset), usize::from(fragment.offset) + payload.len());
        if end + layout.header.len() > self.longest() {
            return Err(Reason::TooLong);
        }
        // A piece that now says that it is the last is more than a duplicate.
        let says_nothing_new = self.agrees(fragment, end) && (fragment.more || self.length.is_some());
        if says_nothing_new && self.pieces.iter().any(|piece| piece.offset == from && *piece.bytes == *payload) {
            return Ok(Added::Duplicate);
        }
        let is_ipv6 = self.key.ip_version == 6;
        if is_ipv6 && self.pieces.iter().any(|piece| piece.offset < end && from < piece.end()) {
            return self.refuse(Reason::Overlap);
        }
        if !self.agrees(fragment, end) {
            return if is_ipv6 { self.refuse(Reason::Inconsistent) } else { Err(Reason::Inconsistent) };
        }
        if self.pieces.len() >= limit {
            return self.refuse(Reason::TooManyFragments);
        }

        if from == 0 && self.header.is_none() {
            let &Layout { header, next_header_at, protocol, .. } = layout;
            self.header = Some(Header { bytes: header.into(), next_header_at, protocol });
        }
        if !fragment.more {
            self.length = Some(end);
        }
        self.highest = self.highest.max(end);
        self.received += payload.len();
        self.pieces.push(Piece { offset: from, bytes: payload.into() });
        Ok(if self.is_complete() { Added::Complete } else { Added::Held })
    }

    /// Writes the whole packet; false where the header can't hold its length.
    pub(super) fn assemble(&self, output: &mut Vec<u8>) -> bool {
        let (Some(header), Some(length)) = (&self.header, self.length) else { return false };
        output.clear();
        if !header.write(self.key.ip_version, length, output) {
            return false;
        }
        let start = output.len();
        output.resize(start + length, 0);
        let Some(payload) = output.get_mut(start..) else { return false };
        // The last first: what came earlier overwrites what came later.
        for piece in self.pieces.iter().rev() {
            let Some(place) = payload.get_mut(piece.offset..piece.end()) else { return false };
            place.copy_from_slice(&piece.bytes);
        }
        true
    }

    fn refuse(&mut self, reason: Reason) -> Result<Added, Reason> {
        self.refused = Some(reason);
        self.pieces = Vec::new();
        self.header = None;
        self.received = 0;
        Err(reason)
    }

    /// Most bytes of header and payload together.
    fn longest(&self) -> usize {
        if self.key.ip_version == 6 { MAXIMUM_LENGTH + IPV6_HEADER } else { MAXIMUM_LENGTH }
    }

    /// Tells whether a piece fits the datagram's end, as far as known.
    fn agrees(&self, fragment: Fragment, end: usize) -> bool {
        match self.length {
            Some(length) if fragment.more => end <= length,
            Some(length) => end == length,
            None => fragment.more || end >= self.highest,
        }
    }

    fn is_complete(&self) -> bool {
        let Some(length) = self.length.filter(|length| self.header.is_some() && self.received >= *length) else {
            return false;
        };
        let mut ranges: Vec<(usize, usize)> = self.pieces.iter().map(|piece| (piece.offset, piece.end())).collect();
        ranges.sort_unstable();
        let mut covered = 0;
        for (from, end) in ranges {
            if from > covered {
                return false;
            }
            covered = covered.max(end);
        }
        covered >= length
    }
}

impl Header {
    fn write(&self, ip_version: u8, length: usize, output: &mut Vec<u8>) -> bool {
        if ip_version == 4 {
            let Ok((mut header, _)) = Ipv4Header::from_slice(&self.bytes) else { return false };
            if header.set_payload_len(length).is_err() {
                return false;
            }
            header.more_fragments = false;
            header.header_checksum = header.calc_header_checksum();
            output.extend_from_slice(&header.to_bytes());
            return true;
        }
        let Ok(payload_length) = u16::try_from(self.bytes.len() - IPV6_HEADER.min(self.bytes.len()) + length) else {
            return false;
        };
        output.extend_from_slice(&self.bytes);
        if let Some(place) = output.get_mut(4..6) {
            place.copy_from_slice(&payload_length.to_be_bytes());
        }
        if let Some(next) = output.get_mut(self.next_header_at) {
            *next = self.protocol;
        }
        true
    }
}
