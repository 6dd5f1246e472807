//! HTTP/1.0 and 1.1 (RFC 9112), over TCP and SCTP.
//!
//! Heads are read where they lie; of bodies only digests and the type are kept. What is not one message after the
//! other (answers to HEAD and CONNECT, upgrades) needs the request that an answer belongs to: answers come in the order
//! of the requests, so both are counted and the few special requests are remembered by number.
//!
//! A gap within a body of known length, within a chunk, or within a body that ends with the connection costs that body's
//! digest; any other loses its direction.

mod body;
mod head;
mod message;
mod request;
#[cfg(test)]
mod tests;

use skycap_model::{Category, Field, FieldId, Kind};

use self::{
    body::Body,
    head::{Headers, Look, Start},
    message::{Special, successor},
};
use crate::{Claim, Direction, Hint, Input, Parser, Probe, Protocol, Registry, Session, Target, Transport, Verdict};

skycap_model::fields! {
    base = crate::base("http");
    HOST = Field::lower("host.http", "http.host").set().counted().host().tokens().group("http").aliases(&["http.host"]).named("Hostname", "Host header, or the name asked for in TLS");
    URI = Field::term("http.uri", "http.uri").set().counted().tokens().group("http").named("URI", "Host and path asked for");
    XFF_IP = Field::ip("ip.xff", "http.xffIp").set().counted().group("http").named("XFF IP", "Addresses in X-Forwarded-For");
    USER_AGENT = Field::term("http.user-agent", "http.useragent").set().counted().tokens().group("http").named("Useragent", "User-Agent header");
    REQUEST_HEADER = Field::lower("http.hasheader.src", "http.requestHeader").set().counted().group("http").named("Has Src Header", "Names of request headers");
    RESPONSE_HEADER = Field::lower("http.hasheader.dst", "http.responseHeader").set().counted().group("http").named("Has Dst Header", "Names of response headers");
    REQUEST_HEADER_FIELD = Field::lower("http.header.request.field", "http.requestHeaderField").list().optional().group("http").named("Request Header Fields", "Name of each request header value");
    REQUEST_HEADER_VALUE = Field::lower("http.hasheader.src.value", "http.requestHeaderValue").list().counted().optional().group("http").named("Request Header Values", "Values of request headers");
    RESPONSE_HEADER_FIELD = Field::lower("http.header.response.field", "http.responseHeaderField").list().optional().group("http").named("Response Header Fields", "Name of each response header value");
    RESPONSE_HEADER_VALUE = Field::lower("http.hasheader.dst.value", "http.responseHeaderValue").list().counted().optional().group("http").named("Response Header Values", "Values of response headers");
    HAS_HEADER = Field::any("http.hasheader", Kind::LowerTerm, &["http.hasheader.src", "http.hasheader.dst"]).group("http").named("Has Src or Dst Header", "Names of headers of either side");
    HAS_HEADER_VALUE = Field::any("http.hasheader.value", Kind::LowerTerm, &["http.hasheader.src.value", "http.hasheader.dst.value"]).group("http").named("Has Value in Src or Dst Header", "Values of headers of either side");
    MD5 = Field::lower("http.md5", "http.md5").set().counted().group("http").named("Body MD5", "MD5 of bodies as transferred");
    SHA256 = Field::lower("http.sha256", "http.sha256").set().counted().optional().group("http").named("Body SHA256", "SHA-256 of bodies as transferred");
    VERSION = Field::any("http.version", Kind::Term, &["http.version.src", "http.version.dst"]).group("http").named("Version", "HTTP version of either side");
    CLIENT_VERSION = Field::term("http.version.src", "http.clientVersion").set().counted().group("http").named("Src Version", "HTTP version of requests");
    SERVER_VERSION = Field::term("http.version.dst", "http.serverVersion").set().counted().group("http").named("Dst Version", "HTTP version of responses");
    PATH = Field::term("http.uri.path", "http.path").set().counted().group("http").named("URI Path", "Path asked for");
    KEY = Field::term("http.uri.key", "http.key").set().counted().group("http").named("QS Keys", "Keys of query strings");
    VALUE = Field::term("http.uri.value", "http.value").set().counted().optional().group("http").named("QS Values", "Values of query strings");
    COOKIE_KEY = Field::term("http.cookie.key", "http.cookieKey").set().counted().group("http").named("Cookie Keys", "Names of cookies sent");
    COOKIE_VALUE = Field::term("http.cookie.value", "http.cookieValue").set().counted().optional().group("http").named("Cookie Values", "Values of cookies sent");
    METHOD = Field::term("http.method", "http.method").set().counted().group("http").named("Request Method", "Request methods");
    BODY_MAGIC = Field::term("http.bodymagic", "http.bodyMagic").set().counted().group("http").named("Body Magic", "Content types of bodies by their first bytes");
    USER = Field::term("http.user", "http.user").set().counted().category(Category::User).group("http").named("User", "User names of the Authorization header");
    AUTH_TYPE = Field::lower("http.authtype", "http.authType").set().counted().group("http").named("Auth Type", "Schemes of the Authorization header");
    STATUS = Field::integer("http.statuscode", "http.statuscode").set().counted().group("http").named("Status Code", "Status codes of responses");
    REQUEST_BODY = Field::term("http.reqbody", "http.requestBody").set().optional().group("http").named("Request Body", "First bytes of request bodies that are text");
    METHOD_GET = Field::integer("http.method-GET", "http.method-GET").group("http").named("GET requests", "Number of GET requests");
    METHOD_POST = Field::integer("http.method-POST", "http.method-POST").group("http").named("POST requests", "Number of POST requests");
    METHOD_HEAD = Field::integer("http.method-HEAD", "http.method-HEAD").group("http").named("HEAD requests", "Number of HEAD requests");
    METHOD_PUT = Field::integer("http.method-PUT", "http.method-PUT").group("http").named("PUT requests", "Number of PUT requests");
    METHOD_DELETE = Field::integer("http.method-DELETE", "http.method-DELETE").group("http").named("DELETE requests", "Number of DELETE requests");
    METHOD_CONNECT = Field::integer("http.method-CONNECT", "http.method-CONNECT").group("http").named("CONNECT requests", "Number of CONNECT requests");
    METHOD_OPTIONS = Field::integer("http.method-OPTIONS", "http.method-OPTIONS").group("http").named("OPTIONS requests", "Number of OPTIONS requests");
    METHOD_TRACE = Field::integer("http.method-TRACE", "http.method-TRACE").group("http").named("TRACE requests", "Number of TRACE requests");
    METHOD_PATCH = Field::integer("http.method-PATCH", "http.method-PATCH").group("http").named("PATCH requests", "Number of PATCH requests");
    METHOD_PROPFIND = Field::integer("http.method-PROPFIND", "http.method-PROPFIND").group("http").named("PROPFIND requests", "Number of PROPFIND requests");
    METHOD_PROPPATCH = Field::integer("http.method-PROPPATCH", "http.method-PROPPATCH").group("http").named("PROPPATCH requests", "Number of PROPPATCH requests");
    METHOD_MKCOL = Field::integer("http.method-MKCOL", "http.method-MKCOL").group("http").named("MKCOL requests", "Number of MKCOL requests");
    METHOD_COPY = Field::integer("http.method-COPY", "http.method-COPY").group("http").named("COPY requests", "Number of COPY requests");
    METHOD_MOVE = Field::integer("http.method-MOVE", "http.method-MOVE").group("http").named("MOVE requests", "Number of MOVE requests");
    METHOD_LOCK = Field::integer("http.method-LOCK", "http.method-LOCK").group("http").named("LOCK requests", "Number of LOCK requests");
    METHOD_UNLOCK = Field::integer("http.method-UNLOCK", "http.method-UNLOCK").group("http").named("UNLOCK requests", "Number of UNLOCK requests");
    METHOD_SEARCH = Field::integer("http.method-SEARCH", "http.method-SEARCH").group("http").named("SEARCH requests", "Number of SEARCH requests");
    METHOD_REPORT = Field::integer("http.method-REPORT", "http.method-REPORT").group("http").named("REPORT requests", "Number of REPORT requests");
}

/// Counters of the first of [`head::METHODS`], in their order.
const COUNTED: [FieldId; 18] = [
    METHOD_GET,
    METHOD_POST,
    METHOD_HEAD,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_CONNECT,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_PATCH,
    METHOD_PROPFIND,
    METHOD_PROPPATCH,
    METHOD_MKCOL,
    METHOD_COPY,
    METHOD_MOVE,
    METHOD_LOCK,
    METHOD_UNLOCK,
    METHOD_SEARCH,
    METHOD_REPORT,
];

/// Most lines after the last chunk; beyond, the direction is lost.
const TRAILERS: u16 = 256;
/// Most bytes of one of these lines; beyond, the direction is lost.
const TRAILER_BYTES: usize = 8 << 10;

/// First bytes of messages: of the methods, and of `HTTP/`.
const FIRST_BYTES: &[u8] = b"ABCDGHLMNOPQRSTUVX";

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    about: "Hypertext transfer protocol 1.0 and 1.1, RFC 9112",
    fields: FIELDS,
    probes: &[
        Probe::FirstByte(Transport::Tcp, FIRST_BYTES, claim),
        Probe::FirstByte(Transport::Sctp, FIRST_BYTES, claim),
    ],
    open: || Box::new(Http::default()),
};

fn claim(hint: &Hint<'_>) -> Claim {
    match head::look(hint.payload, Registry::PROBE_BYTES) {
        Look::Request | Look::Response => Claim::Certain,
        Look::Unsure => Claim::Unsure,
        Look::Other => Claim::No,
    }
}

#[derive(Default)]
struct Http {
    sides: [Side; 2],
    /// Requests per method since the counters were last written.
    counts: [u32; COUNTED.len()],
    /// True once a head was read.
    known: bool,
}

/// What one direction is in.
#[derive(Default)]
struct Side {
    state: State,
    body: Option<Box<Body>>,
    /// Bytes of the head at hand in which no end was found.
    scanned: usize,
    /// Bytes of chunks that the last one left, where the transport keeps none.
    carry: Vec<u8>,
    /// Some of its bytes were seen.
    started: bool,
    lost: bool,
    /// Requests sent in this direction.
    asked: u32,
    /// Answers that the other direction gave to them.
    answered: u32,
    /// Special ones of the requests that wait for their answer, by number.
    special: Vec<(u32, Special)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before or within a head.
    #[default]
    Head,
    /// A body with this many bytes to come.
    Sized(u64),
    /// The same, but it may be left out: the request expects to be told to continue.
    Expecting(u64),
    /// A body that ends with the connection.
    Open,
    /// Before or within the line of a chunk.
    ChunkSize,
    /// A chunk with this many bytes to come.
    Chunk(u64),
    /// The end of line after a chunk.
    ChunkEnd,
    /// The lines after the last chunk, this many so far.
    Trailers(u16),
    /// After CONNECT or an upgrade: what comes depends on the answer.
    Waiting,
}

/// What a step did.
enum Step {
    /// Dealt with this many bytes.
    Took(usize),
    /// Wants this many bytes.
    Need(usize),
    Lost,
    /// Everything behind this many bytes belongs to another protocol.
    HandOver(usize, Target),
}

impl Parser for Http {
    fn parse(&mut self, session: &mut Session<'_>, direction: Direction, input: Input<'_>) -> Verdict {
        let verdict = match input {
            Input::Stream(bytes) => self.stream(session, direction, bytes),
            Input::Datagram(bytes) => self.chunk(session, direction, bytes),
            Input::Gap(missing) => self.gap(session, direction, missing),
            Input::End => {
                self.close(session, direction);
                Verdict::Done
            }
        };
        match verdict {
            Verdict::Lost if !self.known => Verdict::NotMine,
            Verdict::Lost => {
                let side = &mut self.sides[direction.index()];
                *side = Side { lost: true, ..Side::default() };
                Verdict::Lost
            }
            Verdict::HandOver { .. } => {
                self.finish(session);
                verdict
            }
            _ => verdict,
        }
    }

    fn finish(&mut self, session: &mut Session<'_>) {
        for side in &mut self.sides {
            if let Some(body) = &mut side.body {
                body.look_at_start(session);
            }
        }
        for (count, field) in self.counts.iter_mut().zip(COUNTED) {
            if *count > 0 {
                session.fields.integer(field, i64::from(*count));
                *count = 0;
            }
        }
    }
}

impl Http {
    fn stream(&mut self, session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Verdict {
        self.sides[direction.index()].started = true;
        let mut consumed = 0;
        while let Some(rest) = bytes.get(consumed..).filter(|rest| !rest.is_empty()) {
            match self.step(session, direction, rest) {
                Step::Took(length) => consumed += length,
                Step::Need(need) => return Verdict::More { consumed, need },
                Step::Lost => return Verdict::Lost,
                Step::HandOver(length, to) => return Verdict::HandOver { consumed: consumed + length, to },
            }
        }
        Verdict::all(bytes.len())
    }

    /// A chunk of SCTP: messages do not keep to its borders, so what it leaves is put before the next.
    fn chunk(&mut self, session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Verdict {
        let mut carry = std::mem::take(&mut self.sides[direction.index()].carry);
        let before = carry.len();
        let whole = if before == 0 {
            bytes
        } else {
            carry.extend_from_slice(bytes);
            carry.as_slice()
        };
        match self.stream(session, direction, whole) {
            Verdict::More { consumed, .. } => {
                let left = whole.get(consumed..).unwrap_or_default();
                if left.len() > head::HEAD_BYTES {
                    return Verdict::Lost;
                }
                self.sides[direction.index()].carry = left.to_vec();
                Verdict::all(bytes.len())
            }
            Verdict::HandOver { consumed, to } => Verdict::HandOver { consumed: consumed.saturating_sub(before), to },
            other => other,
        }
    }

    fn step(&mut self, session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Step {
        let side = &mut self.sides[direction.index()];
        match side.state {
            State::Head => self.head(session, direction, bytes),
            State::Sized(left) | State::Chunk(left) => {
                let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                if let (Some(body), Some(piece)) = (&mut side.body, bytes.get(..length)) {
                    body.bytes(session, piece);
                }
                self.pass(session, direction, length as u64);
                Step::Took(length)
            }
            State::Open => {
                if let Some(body) = &mut side.body {
                    body.bytes(session, bytes);
                }
                Step::Took(bytes.len())
            }
            State::Expecting(left) => match head::look(bytes, head::HEAD_BYTES) {
                Look::Request if side.answered == side.asked => {
                    side.body = None;
                    side.state = State::Head;
                    Step::Took(0)
                }
                _ => {
                    side.state = State::Sized(left);
                    Step::Took(0)
                }
            },
            State::ChunkSize => {
                let (line, length) = match body::line(bytes, body::CHUNK_LINE_BYTES) {
                    Ok(found) => found,
                    Err(true) => return Step::Need(bytes.len() + 1),
                    Err(false) => return Step::Lost,
                };
                side.state = match body::chunk_size(line) {
                    Some(0) => State::Trailers(0),
                    Some(size) => State::Chunk(size),
                    None => return Step::Lost,
                };
                Step::Took(length)
            }
            State::ChunkEnd => match bytes {
                [b'\n', ..] => {
                    side.state = State::ChunkSize;
                    Step::Took(1)
                }
                [b'\r', b'\n', ..] => {
                    side.state = State::ChunkSize;
                    Step::Took(2)
                }
                [b'\r'] => Step::Need(2),
                _ => Step::Lost,
            },
            State::Trailers(count) => {
                let (line, length) = match body::line(bytes, TRAILER_BYTES) {
                    Ok(found) => found,
                    Err(true) => return Step::Need(bytes.len() + 1),
                    Err(false) => return Step::Lost,
                };
                if line.is_empty() {
                    self.end_body(session, direction);
                } else if count < TRAILERS {
                    side.state = State::Trailers(count + 1);
                } else {
                    return Step::Lost;
                }
                Step::Took(length)
            }
            State::Waiting => match head::look(bytes, head::HEAD_BYTES) {
                // The answer isn't here, or was no, and the next request is.
                Look::Request if !bytes.starts_with(b"PRI ") => {
                    side.state = State::Head;
                    Step::Took(0)
                }
                _ => Step::Need(bytes.len() + 1),
            },
        }
    }

    /// Counts bytes of a sized body or chunk, seen or missing.
    fn pass(&mut self, session: &mut Session<'_>, direction: Direction, length: u64) {
        let side = &mut self.sides[direction.index()];
        match &mut side.state {
            State::Sized(left) | State::Expecting(left) => {
                *left = left.saturating_sub(length);
                if *left == 0 {
                    self.end_body(session, direction);
                }
            }
            State::Chunk(left) => {
                *left = left.saturating_sub(length);
                if *left == 0 {
                    side.state = State::ChunkEnd;
                }
            }
            _ => {}
        }
    }

    fn end_body(&mut self, session: &mut Session<'_>, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        side.state = State::Head;
        if let Some(body) = side.body.take() {
            body.end(session);
        }
    }

    fn gap(&mut self, session: &mut Session<'_>, direction: Direction, missing: u64) -> Verdict {
        let side = &mut self.sides[direction.index()];
        side.started = true;
        match side.state {
            State::Sized(left) | State::Expecting(left) | State::Chunk(left) if missing <= left => {}
            State::Open => {}
            _ => return Verdict::Lost,
        }
        if let Some(body) = &mut side.body {
            body.gap(session);
        }
        self.pass(session, direction, missing);
        Verdict::More { consumed: 0, need: 1 }
    }

    /// The sender closed: that ends an open body. Any other body stays unfinished.
    fn close(&mut self, session: &mut Session<'_>, direction: Direction) {
        let side = &mut self.sides[direction.index()];
        if side.state == State::Open {
            self.end_body(session, direction);
        } else if let Some(mut body) = side.body.take() {
            body.look_at_start(session);
        }
    }

    fn head(&mut self, session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Step {
        let side = &mut self.sides[direction.index()];
        // RFC 9112 section 2.2: empty lines before a head are passed over.
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            side.scanned = 0;
            return Step::Took(blank);
        }
        let within = bytes.get(..head::HEAD_BYTES).unwrap_or(bytes);
        let Some(length) = head::length(within, side.scanned.min(within.len())) else {
            // What can't become a head needs no waiting for its end; asked until the first line is whole.
            let first_line_known = bytes.get(..side.scanned).is_some_and(|seen| seen.contains(&b'\n'));
            let hopeless = !first_line_known && !head::plausible(bytes);
            side.scanned = bytes.len();
            return if hopeless || bytes.len() >= head::HEAD_BYTES { Step::Lost } else { Step::Need(bytes.len() + 1) };
        };
        side.scanned = 0;
        let (line, headers) = Headers::split(bytes.get(..length).unwrap_or_default());
        match head::start_line(line) {
            Some(Start::Request { method, target, version }) => {
                self.known = true;
                session.fields.text(METHOD, method);
                session.fields.text(CLIENT_VERSION, version);
                if method == b"PRI" && version.starts_with(b"2") {
                    session.fields.text(URI, target);
                    // Who takes over sees this preface too: nobody may claim it back.
                    let named = successor(b"h2c");
                    return if named == Target::Probe { Step::Lost } else { Step::HandOver(0, named) };
                }
                self.request(session, direction, method, target, headers);
                Step::Took(length)
            }
            Some(Start::Response { version, status }) => {
                self.known = true;
                session.fields.text(SERVER_VERSION, version);
                session.fields.integer(STATUS, i64::from(status));
                match self.response(session, direction, status, headers) {
                    Some(target) => Step::HandOver(length, target),
                    None => Step::Took(length),
                }
            }
            None => Step::Lost,
        }
    }
}
