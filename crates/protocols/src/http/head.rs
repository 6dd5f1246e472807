//! The head of a message: start line and header fields, RFC 9112 sections 2 to 5, read leniently and in place.

use memchr::{memchr, memchr_iter, memrchr};

/// Most bytes of a head; beyond, the direction is lost.
pub(super) const HEAD_BYTES: usize = 64 << 10;
/// Most header lines of a head that are looked at.
pub(super) const HEADERS: usize = 256;
/// Most bytes of a header's name; a longer one is no header.
const NAME_BYTES: usize = 256;
/// Most bytes of a method.
const METHOD_BYTES: usize = 32;

/// Methods by which a request is recognized, and how the first are counted (see [`super::COUNTED`]).
pub(super) const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"REPORT",
    // Recognized, not counted.
    b"ACL",
    b"BASELINE-CONTROL",
    b"BCOPY",
    b"BDELETE",
    b"BIND",
    b"BMOVE",
    b"BPROPFIND",
    b"BPROPPATCH",
    b"CHECKIN",
    b"CHECKOUT",
    b"LABEL",
    b"LINK",
    b"M-SEARCH",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKWORKSPACE",
    b"NOTIFY",
    b"ORDERPATCH",
    b"POLL",
    b"PRI",
    b"PURGE",
    b"QUERY",
    b"REBIND",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
    b"SOURCE",
    b"SUBSCRIBE",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNSUBSCRIBE",
    b"UPDATE",
    b"VERSION-CONTROL",
    b"X-MS-ENUMATTS",
];

/// Length of the head at the beginning of `bytes`, its empty line included; `None` where its end isn't there yet.
///
/// `scanned` bytes were looked at before in vain.
pub(super) fn length(bytes: &[u8], scanned: usize) -> Option<usize> {
    let from = scanned.saturating_sub(3);
    for place in memchr_iter(b'\n', bytes.get(from..)?) {
        let next = from + place + 1;
        match bytes.get(next) {
            Some(b'\n') => return Some(next + 1),
            Some(b'\r') if bytes.get(next + 1) == Some(&b'\n') => return Some(next + 2),
            _ => {}
        }
    }
    None
}

/// False where `bytes` can't become a head, whatever follows them.
pub(super) fn plausible(bytes: &[u8]) -> bool {
    match memchr(b'\n', bytes) {
        Some(end) => bytes.get(..end).and_then(start_line).is_some(),
        None => bytes.first().is_none_or(u8::is_ascii_uppercase),
    }
}

/// A start line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    /// `GET /path HTTP/1.1`.
    Request {
        /// Method, as sent.
        method: &'a [u8],
        /// Target, in whatever form.
        target: &'a [u8],
        /// Version, without the name of the protocol.
        version: &'a [u8],
    },
    /// `HTTP/1.1 200 OK`.
    Response {
        /// Version, without the name of the protocol.
        version: &'a [u8],
        /// Status code.
        status: u16,
    },
}

/// Reads a start line without its end; `None` where it is none.
pub(super) fn start_line(line: &[u8]) -> Option<Start<'_>> {
    let line = line.trim_ascii_end();
    if line.starts_with(b"HTTP/") {
        let (first, rest) = line.split_at(memchr(b' ', line)?);
        let code = rest.trim_ascii_start().get(..3)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let status = code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        return Some(Start::Response { version: version(first)?, status });
    }
    let method = line.get(..memchr(b' ', line.get(..=METHOD_BYTES).unwrap_or(line))?)?;
    if method.is_empty() || !method.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')) {
        return None;
    }
    // A target may hold spaces that its sender forgot to escape, so the version is what follows the last one.
    let last = memrchr(b' ', line)?;
    let version = version(line.get(last + 1..)?)?;
    let target = line.get(method.len()..last)?.trim_ascii();
    (!target.is_empty()).then_some(Start::Request { method, target, version })
}

/// `1.1` of `HTTP/1.1`.
fn version(word: &[u8]) -> Option<&[u8]> {
    let version = word.strip_prefix(b"HTTP/")?;
    let fits = matches!(version, [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit());
    (fits || matches!(version, [major] if major.is_ascii_digit())).then_some(version)
}

/// What the first bytes of a direction look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The head of a request.
    Request,
    /// The head of a response.
    Response,
    /// Too few bytes to say.
    Unsure,
    /// Something else.
    Other,
}

/// Tells what `bytes` look like; after `enough` bytes a first line without an end must do.
pub(super) fn look(bytes: &[u8], enough: usize) -> Look {
    const RESPONSE: &[u8] = b"HTTP/1.1 ";
    if bytes.starts_with(b"HTTP") || RESPONSE.starts_with(bytes) {
        return match bytes.get(..RESPONSE.len()) {
            None if RESPONSE.get(..bytes.len()).is_some_and(|begin| same_but_digits(begin, bytes)) => Look::Unsure,
            Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' '])
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Look::Response
            }
            _ => Look::Other,
        };
    }
    let Some(space) = memchr(b' ', bytes.get(..=METHOD_BYTES).unwrap_or(bytes)) else {
        let begun = METHODS.iter().any(|method| method.starts_with(bytes));
        return if begun { Look::Unsure } else { Look::Other };
    };
    let Some(method) = bytes.get(..space).filter(|method| METHODS.contains(method)) else { return Look::Other };
    if let Some(end) = memchr(b'\n', bytes) {
        let known = bytes.get(..end).and_then(start_line).is_some();
        return if known { Look::Request } else { Look::Other };
    }
    // A long target: RTSP, SIP and ICAP share methods with HTTP, but not the forms of its targets.
    let target = bytes.get(space + 1..).unwrap_or_default();
    let plausible =
        method == b"CONNECT" || target.first().is_none_or(|byte| matches!(byte, b'/' | b'*' | b'h' | b'H' | b'?'));
    match plausible {
        true if bytes.len() >= enough => Look::Request,
        true => Look::Unsure,
        false => Look::Other,
    }
}

fn same_but_digits(pattern: &[u8], bytes: &[u8]) -> bool {
    pattern.iter().zip(bytes).all(|(wanted, byte)| wanted == byte || (wanted.is_ascii_digit() && byte.is_ascii_digit()))
}

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// Name, as sent.
    pub(super) name: &'a [u8],
    /// Value without the white space around it; where it goes over several lines, as it stands on them.
    pub(super) value: &'a [u8],
}

impl Header<'_> {
    /// True where the value goes over several lines (RFC 9112 section 5.2).
    pub(super) fn folded(&self) -> bool {
        memchr(b'\n', self.value).is_some()
    }

    /// True where this is its name.
    pub(super) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Walks the header fields of a head, at most [`HEADERS`]; lines that are none are passed over.
pub(super) struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Headers<'a> {
    /// Splits a head into its start line, without its end, and its header fields.
    pub(super) fn split(head: &'a [u8]) -> (&'a [u8], Self) {
        let end = memchr(b'\n', head).unwrap_or(head.len());
        let rest = head.get(end + 1..).unwrap_or_default();
        (head.get(..end).unwrap_or_default(), Self { rest, left: HEADERS })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let mut end = memchr(b'\n', self.rest)?;
            while matches!(self.rest.get(end + 1), Some(b' ' | b'\t')) {
                end += 1;
                end += memchr(b'\n', self.rest.get(end..)?)?;
            }
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            let Some(colon) = memchr(b':', line.get(..=NAME_BYTES).unwrap_or(line)) else { continue };
            let (name, value) = line.split_at(colon);
            let name = name.trim_ascii();
            if !name.is_empty() {
                return Some(Header { name, value: value.get(1..).unwrap_or_default().trim_ascii() });
            }
        }
    }
}

/// Joins the lines of a folded value with single spaces.
pub(super) fn unfold(value: &[u8], joined: &mut Vec<u8>) {
    joined.clear();
    for line in value.split(|&byte| byte == b'\n') {
        if !joined.is_empty() {
            joined.push(b' ');
        }
        joined.extend_from_slice(line.trim_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_heads() {
        assert_eq!(length(b"GET / HTTP/1.1\r\n\r\nrest", 0), Some(18));
        assert_eq!(length(b"GET / HTTP/1.1\n\nrest", 0), Some(16));
        assert_eq!(length(b"GET / HTTP/1.1\r\nA: b\r\n\r", 0), None);
        let whole = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for scanned in 0..whole.len() {
            assert_eq!(length(whole, scanned), Some(whole.len()), "{scanned}");
        }
    }

    #[test]
    fn start_lines() {
        let request = |method, target, version| Some(Start::Request { method, target, version });
        assert_eq!(start_line(b"GET / HTTP/1.1\r"), request(&b"GET"[..], &b"/"[..], &b"1.1"[..]));
        assert_eq!(start_line(b"GET /a b HTTP/1.0"), request(b"GET", b"/a b", b"1.0"));
        assert_eq!(start_line(b"HTTP/1.1 200 OK"), Some(Start::Response { version: b"1.1", status: 200 }));
        assert_eq!(start_line(b"HTTP/1.1 404\r"), Some(Start::Response { version: b"1.1", status: 404 }));
        for line in [
            &b""[..],
            b"GET /",
            b"GET HTTP/1.1",
            b"get / HTTP/1.1",
            b"HTTP/1.1",
            b"HTTP/1.1 2x0 OK",
            b"OPTIONS * RTSP/1.0",
        ] {
            assert_eq!(start_line(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn header_fields() {
        let (line, headers) = Headers::split(
            b"X\r\nHost: a\r\nno colon\r\n: empty\r\nEmpty:\r\nLong: one\r\n  two\r\n\tthree\r\nB:c\n\r\n",
        );
        assert_eq!(line, b"X\r");
        let headers: Vec<_> = headers.collect();
        let pairs: Vec<_> = headers.iter().map(|header| (header.name, header.value)).collect();
        assert_eq!(
            pairs,
            [(&b"Host"[..], &b"a"[..]), (b"Empty", b""), (b"Long", b"one\r\n  two\r\n\tthree"), (b"B", b"c")]
        );
        let mut joined = Vec::new();
        assert!(headers[2].folded() && !headers[3].folded());
        unfold(headers[2].value, &mut joined);
        assert_eq!(joined, b"one two three");
    }

    #[test]
    fn looks() {
        assert_eq!(look(b"GET / HTTP/1.1\r\n", 256), Look::Request);
        assert_eq!(look(b"GE", 256), Look::Unsure);
        assert_eq!(look(b"GET /lon", 256), Look::Unsure);
        assert_eq!(look(b"GET /lon", 8), Look::Request);
        assert_eq!(look(b"HTTP/1.0 200 OK", 256), Look::Response);
        assert_eq!(look(b"HTTP/1.", 256), Look::Unsure);
        assert_eq!(look(b"HTTP", 256), Look::Unsure);
        assert_eq!(look(b"H", 256), Look::Unsure);
        for bytes in
            [&b"OPTIONS rtsp://a RTSP/1.0\r\n"[..], b"OPTIONS sip:a", b"HTTPS", b"GET\r\n", b"EHLO a", b"GETX /"]
        {
            assert_eq!(look(bytes, 256), Look::Other, "{}", bytes.escape_ascii());
        }
    }
}
