//! Handshake messages (RFC 8446 §4, RFC 5246 §7.4), over any bytes: TLS, DTLS, QUIC and what carries TLS inside.

use super::{
    CIPHER, JA3, JA3_STRING, JA3S, JA3S_STRING, JA4, JA4_RAW, SESSION_ID_DESTINATION, SESSION_ID_SOURCE, VERSION,
    ciphers, fingerprint,
};
use crate::{Session, cert, http};

/// Type of a ClientHello.
pub const CLIENT_HELLO: u8 = 1;
/// Type of a ServerHello or HelloRetryRequest.
pub const SERVER_HELLO: u8 = 2;
/// Type of a Certificate.
pub const CERTIFICATE: u8 = 11;
/// Type of a ServerHelloDone.
pub const SERVER_HELLO_DONE: u8 = 14;
/// Type of a ClientKeyExchange.
pub const CLIENT_KEY_EXCHANGE: u8 = 16;
/// Type of a Finished.
pub const FINISHED: u8 = 20;

/// Bytes of a message's header: type and length.
pub const HEADER_BYTES: usize = 4;

/// Bytes of a message at most; chains of certificates are the longest.
pub const MAX_MESSAGE_BYTES: usize = 128 << 10;

/// Certificates of a message that are read.
const MAX_CERTIFICATES: usize = 64;

/// Extensions of a hello that are read.
const MAX_EXTENSIONS: usize = 256;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const PROTOCOL_NEGOTIATION: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What carries a handshake; JA4 begins with its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TLS over a stream.
    Tcp,
    /// DTLS: a cookie stands in its ClientHello, and of fingerprints it has JA4 only.
    Dtls,
    /// QUIC, and other protocols over UDP that carry TLS.
    Quic,
}

/// What stands at the front of handshake bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A message, and what follows it.
    Whole {
        /// Its type.
        kind: u8,
        /// What is behind its header.
        body: &'a [u8],
        /// What follows.
        rest: &'a [u8],
    },
    /// Part of a message, or nothing.
    Incomplete,
    /// A message longer than [`MAX_MESSAGE_BYTES`].
    TooLong,
}

/// Splits the first message off handshake bytes.
#[must_use]
pub fn message(bytes: &[u8]) -> Message<'_> {
    let Some((&[kind, high, middle, low], after)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Message::Incomplete;
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Message::TooLong;
    }
    match after.split_at_checked(length) {
        Some((body, rest)) => Message::Whole { kind, body, rest },
        None => Message::Incomplete,
    }
}

/// A ClientHello, as its fingerprints see it; slices of the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientHello<'a> {
    /// Version of the hello itself, which TLS 1.3 keeps at 0x0303.
    pub version: u16,
    /// Session id.
    pub session_id: &'a [u8],
    /// Cipher suites, two bytes each.
    pub ciphers: &'a [u8],
    /// Extensions behind each other.
    pub extensions: Extensions<'a>,
    /// Named groups, two bytes each.
    pub groups: &'a [u8],
    /// Point formats.
    pub point_formats: &'a [u8],
    /// Signature algorithms, two bytes each.
    pub signature_algorithms: &'a [u8],
    /// Versions that TLS 1.3 clients offer, two bytes each.
    pub versions: &'a [u8],
    /// The name of the server, where one is asked for.
    pub server_name: Option<&'a [u8]>,
    /// True where the extension is there, even if it can't be read.
    pub has_server_name: bool,
    /// The first protocol offered to run inside.
    pub protocol: Option<&'a [u8]>,
}

impl<'a> ClientHello<'a> {
    /// Reads the message's body; `None` where it is none.
    #[must_use]
    pub fn read(body: &'a [u8], carrier: Carrier) -> Option<Self> {
        let mut reader = Reader(body);
        let version = reader.u16()?;
        let _random = reader.take(32)?;
        let session_id = reader.list_u8()?;
        if carrier == Carrier::Dtls {
            let _cookie = reader.list_u8()?;
        }
        let ciphers = reader.list_u16()?;
        let _compression = reader.list_u8()?;
        let extensions = Extensions(reader.list_u16().unwrap_or_default());
        let mut hello = Self { version, session_id, ciphers, extensions, ..Self::default() };
        for (kind, content) in extensions {
            let mut content = Reader(content);
            match kind {
                SERVER_NAME => {
                    hello.has_server_name = true;
                    hello.server_name = server_name(content);
                }
                SUPPORTED_GROUPS => hello.groups = content.list_u16().unwrap_or_default(),
                POINT_FORMATS => hello.point_formats = content.list_u8().unwrap_or_default(),
                SIGNATURE_ALGORITHMS => hello.signature_algorithms = content.list_u16().unwrap_or_default(),
                PROTOCOL_NEGOTIATION => {
                    hello.protocol = content.list_u16().and_then(|list| Reader(list).list_u8());
                }
                SUPPORTED_VERSIONS => hello.versions = content.list_u8().unwrap_or_default(),
                _ => {}
            }
        }
        Some(hello)
    }
}

/// The first host name of a server_name extension (RFC 6066 §3).
fn server_name(mut content: Reader<'_>) -> Option<&[u8]> {
    const HOST_NAME: u8 = 0;
    let mut names = Reader(content.list_u16()?);
    loop {
        let kind = names.u8()?;
        let name = names.list_u16()?;
        if kind == HOST_NAME && !name.is_empty() {
            return Some(name);
        }
    }
}

/// Writes what a ClientHello says: session id, server name, fingerprints. False where the body is none.
pub fn client_hello(session: &mut Session<'_>, body: &[u8], carrier: Carrier) -> bool {
    let Some(hello) = ClientHello::read(body, carrier) else { return false };
    if let Some(name) = hello.server_name {
        session.fields.text(http::HOST, name);
    }
    let ja4 = fingerprint::ja4(&hello, carrier);
    session.fields.text(JA4, ja4.hashed.as_bytes());
    if session.options.all_fields {
        session.fields.text(JA4_RAW, ja4.raw.as_bytes());
    }
    if carrier == Carrier::Dtls {
        return true;
    }
    if !hello.session_id.is_empty() {
        session.fields.text(SESSION_ID_SOURCE, &fingerprint::hexadecimal(hello.session_id));
    }
    let ja3 = fingerprint::ja3(&hello);
    session.fields.text(JA3, &fingerprint::md5(&ja3));
    if session.options.all_fields {
        session.fields.text(JA3_STRING, ja3.as_bytes());
    }
    true
}

/// What a parser needs to know of a ServerHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// Version in force: 0x0303 is TLS 1.2, 0x0304 or a draft of it TLS 1.3.
    pub version: u16,
    /// TLS 1.3 or one of its drafts: what follows is encrypted.
    pub modern: bool,
    /// It is a HelloRetryRequest: another ClientHello follows.
    pub retry: bool,
}

/// Writes what a ServerHello says: version, cipher, session id, fingerprint, and `http2` where that was agreed upon.
/// `None` where the body is none.
pub fn server_hello(session: &mut Session<'_>, body: &[u8]) -> Option<ServerHello> {
    let mut reader = Reader(body);
    let legacy_version = reader.u16()?;
    let random = reader.take(32)?;
    // drafts of TLS 1.3 before the 22nd had neither session id nor compression
    let early_draft = (0x7F00..0x7F16).contains(&legacy_version);
    let session_id = if early_draft { &[][..] } else { reader.list_u8()? };
    let cipher = reader.u16()?;
    if !early_draft {
        let _compression = reader.u8()?;
    }
    let extensions = Extensions(reader.list_u16().unwrap_or_default());
    let mut version = legacy_version;
    for (kind, content) in extensions {
        match (kind, content) {
            (SUPPORTED_VERSIONS, &[high, low]) => version = u16::from_be_bytes([high, low]),
            (PROTOCOL_NEGOTIATION, b"\x00\x03\x02h2") => session.protocol("http2"),
            _ => {}
        }
    }
    session.fields.text(VERSION, version_name(version).as_bytes());
    session.fields.text(CIPHER, ciphers::name(cipher).as_bytes());
    if !session_id.is_empty() {
        session.fields.text(SESSION_ID_DESTINATION, &fingerprint::hexadecimal(session_id));
    }
    let ja3s = fingerprint::ja3s(legacy_version, cipher, extensions);
    session.fields.text(JA3S, &fingerprint::md5(&ja3s));
    if session.options.all_fields {
        session.fields.text(JA3S_STRING, ja3s.as_bytes());
    }
    let modern = version == 0x0304 || version >> 8 == 0x7F || version >> 8 == 0x7E || version == 0xFEFC;
    Some(ServerHello { version, modern, retry: modern && random == RETRY_RANDOM })
}

/// Random that marks a HelloRetryRequest: SHA-256 of that word (RFC 8446 §4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// Writes the certificates of a Certificate message up to TLS 1.2 (RFC 5246 §7.4.2), in the order sent.
pub fn certificates(session: &mut Session<'_>, seen: &mut cert::Seen, body: &[u8]) {
    let mut list = Reader(Reader(body).list_u24().unwrap_or_default());
    for _ in 0..MAX_CERTIFICATES {
        let Some(certificate) = list.list_u24() else { return };
        cert::write(session, seen, certificate);
    }
}

/// Name of a version.
fn version_name(version: u16) -> std::borrow::Cow<'static, str> {
    match version {
        0x0002 => "SSLv2".into(),
        0x0300 => "SSLv3".into(),
        0x0301 => "TLSv1".into(),
        0x0302 => "TLSv1.1".into(),
        0x0303 => "TLSv1.2".into(),
        0x0304 => "TLSv1.3".into(),
        0xFEFF => "DTLSv1".into(),
        0xFEFD => "DTLSv1.2".into(),
        0xFEFC => "DTLSv1.3".into(),
        0x7F00..=0x7FFF => format!("TLSv1.3-draft-{:02}", version & 0xFF).into(),
        _ => format!("0x{version:04x}").into(),
    }
}

/// Extensions that stand behind each other: walks (type, content), and ends at a broken one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> IntoIterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);
    type IntoIter = std::iter::Take<ExtensionWalk<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        ExtensionWalk(Reader(self.0)).take(MAX_EXTENSIONS)
    }
}

/// Walks [`Extensions`].
#[derive(Clone, Debug)]
pub struct ExtensionWalk<'a>(Reader<'a>);

impl<'a> Iterator for ExtensionWalk<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.0.u16()?;
        Some((kind, self.0.list_u16()?))
    }
}

/// Reads numbers and vectors (RFC 8446 §3.4); a read beyond the end takes nothing.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        let (&bytes, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(bytes))
    }

    fn list_u8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    fn list_u16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn list_u24(&mut self) -> Option<&'a [u8]> {
        let high = self.u8()?;
        let low = self.u16()?;
        self.take(usize::from(high) << 16 | usize::from(low))
    }
}
