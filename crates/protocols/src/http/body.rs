//! Bodies: where they end (RFC 9112 section 6), and what is told of them. Their bytes are never kept.

use memchr::memchr;

use crate::{
    Session,
    digest::Digests,
    http,
    magic::{MAGIC_BYTES, content_type},
};

/// Most bytes of a request's body that are kept as text.
pub(super) const REQUEST_BODY_BYTES: usize = 1_024;
/// Most bytes of the line that says a chunk's size.
pub(super) const CHUNK_LINE_BYTES: usize = 256;

/// A body that is being transferred.
pub(super) struct Body {
    digests: Option<Digests>,
    /// First bytes, while there are too few to tell what they are.
    start: Vec<u8>,
    /// First bytes wanted; 0 once they were looked at.
    wanted: usize,
    request: bool,
    empty: bool,
}

impl Body {
    /// Begins a body.
    pub(super) fn new(session: &Session<'_>, request: bool) -> Self {
        let wanted = if request && session.options.all_fields { REQUEST_BODY_BYTES } else { MAGIC_BYTES };
        Self { digests: Digests::new(session.options), start: Vec::new(), wanted, request, empty: true }
    }

    /// Takes more of its bytes.
    pub(super) fn bytes(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.empty = false;
        if let Some(digests) = &mut self.digests {
            digests.update(bytes);
        }
        if self.wanted == 0 {
            return;
        }
        if let (true, Some(first)) = (self.start.is_empty(), bytes.get(..self.wanted)) {
            self.look(session, first);
            return;
        }
        let missing = self.wanted.saturating_sub(self.start.len()).min(bytes.len());
        self.start.extend_from_slice(bytes.get(..missing).unwrap_or_default());
        if self.start.len() >= self.wanted {
            self.look_at_start(session);
        }
    }

    /// Some of its bytes are missing: no digest, and its first bytes end here.
    pub(super) fn gap(&mut self, session: &mut Session<'_>) {
        self.digests = None;
        self.look_at_start(session);
    }

    /// Looks at the first bytes, however few there are.
    pub(super) fn look_at_start(&mut self, session: &mut Session<'_>) {
        if self.wanted > 0 {
            let start = std::mem::take(&mut self.start);
            self.look(session, &start);
        }
    }

    /// Ends: writes its digests. An empty body has none.
    pub(super) fn end(mut self, session: &mut Session<'_>) {
        self.look_at_start(session);
        let Some(digests) = self.digests.filter(|_| !self.empty) else { return };
        let (md5, sha256) = digests.finish();
        if let Some(md5) = md5 {
            session.fields.text(http::MD5, &md5);
        }
        if let Some(sha256) = sha256 {
            session.fields.text(http::SHA256, &sha256);
        }
    }

    fn look(&mut self, session: &mut Session<'_>, start: &[u8]) {
        self.wanted = 0;
        if let Some(name) = content_type(start) {
            session.fields.text(http::BODY_MAGIC, name.as_bytes());
        }
        let wanted = self.request && session.options.all_fields;
        if wanted && let Some(text) = as_text(start) {
            session.fields.text(http::REQUEST_BODY, text);
        }
    }
}

/// The bytes where they are UTF-8 without NUL, and without a last character that was cut.
fn as_text(bytes: &[u8]) -> Option<&[u8]> {
    if memchr(0, bytes).is_some() {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (!text.is_empty()).then_some(bytes),
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => bytes.get(..error.valid_up_to()),
        Err(_) => None,
    }
}

/// The line at the beginning of `bytes`: its bytes without the end, and its length with it.
///
/// `Err(true)` where its end isn't there yet, `Err(false)` where it is longer than `most`.
pub(super) fn line(bytes: &[u8], most: usize) -> Result<(&[u8], usize), bool> {
    let within = bytes.get(..most).unwrap_or(bytes);
    match memchr(b'\n', within) {
        Some(end) => Ok((within.get(..end).unwrap_or_default().trim_ascii(), end + 1)),
        None => Err(bytes.len() < most),
    }
}

/// Size of a chunk, from its line (RFC 9112 section 7.1).
pub(super) fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |size, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        size.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes() {
        assert_eq!(chunk_size(b"1aF"), Some(0x1af));
        assert_eq!(chunk_size(b"0"), Some(0));
        assert_eq!(chunk_size(b"5 ;name=value"), Some(5));
        assert_eq!(chunk_size(b"FFFFFFFFFFFFFFFF"), Some(u64::MAX));
        for wrong in [&b""[..], b";", b"0x5", b"-1", b"10000000000000000", b"5 5"] {
            assert_eq!(chunk_size(wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn lines() {
        assert_eq!(line(b"ab\r\ncd", 16), Ok((&b"ab"[..], 4)));
        assert_eq!(line(b"\n", 16), Ok((&b""[..], 1)));
        assert_eq!(line(b"ab", 16), Err(true));
        assert_eq!(line(b"abcd\n", 4), Err(false));
    }

    #[test]
    fn text() {
        assert_eq!(as_text("grün".as_bytes()), Some("grün".as_bytes()));
        assert_eq!(as_text(b"gr\xc3"), Some(&b"gr"[..]));
        assert_eq!(as_text(b"gr\xffn"), None);
        assert_eq!(as_text(b"a\0b"), None);
        assert_eq!(as_text(b""), None);
    }
}
