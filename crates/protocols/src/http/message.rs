//! What the heads of requests and answers mean: their fields, the body behind them, and which answer is whose.

use super::{
    COUNTED, Http, REQUEST_HEADER, REQUEST_HEADER_FIELD, REQUEST_HEADER_VALUE, RESPONSE_HEADER, RESPONSE_HEADER_FIELD,
    RESPONSE_HEADER_VALUE, Side, State, USER_AGENT,
    body::Body,
    head::{self, Header, Headers},
    request,
};
use crate::{Direction, Session, Target};

/// Most special requests (HEAD, CONNECT, upgrades) that wait for their answer; further ones count as ordinary.
const OUTSTANDING: usize = 64;

/// A request whose answer has an own framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// The answer has no body.
    Head,
    /// A good answer makes the connection a tunnel.
    Connect,
    /// The answer may change the protocol.
    Upgrade,
}

/// What a head says of the body behind it.
#[derive(Default)]
struct Framing<'a> {
    length: Option<u64>,
    encoded: bool,
    chunked: bool,
    upgrade: Option<&'a [u8]>,
    expects: bool,
}

impl<'a> Framing<'a> {
    fn header(&mut self, header: &Header<'a>) {
        match header.name.len() {
            6 if header.is(b"expect") => self.expects = header.value.eq_ignore_ascii_case(b"100-continue"),
            7 if header.is(b"upgrade") => self.upgrade = Some(header.value),
            14 if header.is(b"content-length") && self.length.is_none() => {
                // RFC 9110 section 8.6: the same length may stand there several times.
                let first = header.value.split(|&byte| byte == b',').next().unwrap_or_default();
                self.length = std::str::from_utf8(first.trim_ascii()).ok().and_then(|digits| digits.parse().ok());
            }
            17 if header.is(b"transfer-encoding") => {
                self.encoded = true;
                let last = header.value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }

    /// Where a body ends, RFC 9112 section 6.3.
    fn state(&self, request: bool) -> State {
        match self.length {
            _ if self.chunked => State::ChunkSize,
            Some(0) if !self.encoded => State::Head,
            Some(length) if !self.encoded && self.expects => State::Expecting(length),
            Some(length) if !self.encoded => State::Sized(length),
            _ if request => State::Head,
            _ => State::Open,
        }
    }
}

impl Http {
    /// Deals with the head of a request.
    pub(super) fn request(
        &mut self,
        session: &mut Session<'_>,
        direction: Direction,
        method: &[u8],
        target: &[u8],
        headers: Headers<'_>,
    ) {
        if let Some(place) = head::METHODS.iter().take(COUNTED.len()).position(|&known| known == method) {
            self.counts[place] = self.counts[place].saturating_add(1);
        }
        let mut framing = Framing::default();
        let mut host = None;
        let mut joined = Vec::new();
        for header in headers {
            framing.header(&header);
            let value = single_line(&header, &mut joined);
            session.fields.text(REQUEST_HEADER, header.name);
            let own_field = match header.name.len() {
                4 if header.is(b"host") => {
                    host = host.or(Some(header.value));
                    true
                }
                6 if header.is(b"cookie") => {
                    request::cookies(session, value);
                    false
                }
                7 if header.is(b"referer") => true,
                10 if header.is(b"user-agent") => {
                    session.fields.text(USER_AGENT, value);
                    true
                }
                13 if header.is(b"authorization") => {
                    request::authorization(session, value);
                    false
                }
                15 if header.is(b"x-forwarded-for") => {
                    request::forwarded_for(session, value);
                    true
                }
                19 if header.is(b"proxy-authorization") => {
                    request::authorization(session, value);
                    false
                }
                _ => false,
            };
            if session.options.all_fields && !own_field {
                session.fields.text(REQUEST_HEADER_FIELD, header.name);
                session.fields.text(REQUEST_HEADER_VALUE, value);
            }
        }
        request::target(session, host, target, method == b"CONNECT");

        let special = match method {
            b"HEAD" => Some(Special::Head),
            b"CONNECT" => Some(Special::Connect),
            _ => framing.upgrade.map(|_| Special::Upgrade),
        };
        let state = if special == Some(Special::Connect) { State::Head } else { framing.state(true) };
        let side = &mut self.sides[direction.index()];
        let number = side.asked;
        side.asked = side.asked.wrapping_add(1);
        // An answer may come before its request where packets of the request came late.
        let open = number.wrapping_sub(side.answered) < u32::MAX / 2;
        if let Some(special) = special.filter(|_| open && side.special.len() < OUTSTANDING) {
            side.special.push((number, special));
        }
        let waits = open && state == State::Head && matches!(special, Some(Special::Connect | Special::Upgrade));
        side.state = if waits { State::Waiting } else { state };
        side.body = (state != State::Head).then(|| Box::new(Body::new(session, true)));
    }

    /// Deals with the head of an answer; says who goes on where the connection changes its protocol.
    pub(super) fn response(
        &mut self,
        session: &mut Session<'_>,
        direction: Direction,
        status: u16,
        headers: Headers<'_>,
    ) -> Option<Target> {
        let mut framing = Framing::default();
        let mut joined = Vec::new();
        for header in headers {
            framing.header(&header);
            session.fields.text(RESPONSE_HEADER, header.name);
            if session.options.all_fields && !header.is(b"location") {
                session.fields.text(RESPONSE_HEADER_FIELD, header.name);
                session.fields.text(RESPONSE_HEADER_VALUE, single_line(&header, &mut joined));
            }
        }
        if status == 101 {
            return Some(successor(framing.upgrade.unwrap_or_default()));
        }
        if (100..200).contains(&status) {
            return None;
        }
        let special = self.sides[direction.reverse().index()].answer();
        let state = match (special, status) {
            (Some(Special::Connect), 200..300) => return Some(Target::Probe),
            (Some(Special::Head), _) | (_, 204 | 304) => State::Head,
            _ => framing.state(false),
        };
        let side = &mut self.sides[direction.index()];
        side.state = state;
        side.body = (state != State::Head).then(|| Box::new(Body::new(session, false)));
        None
    }
}

impl Side {
    /// Counts an answer to the requests of this direction; tells whether the request was special.
    fn answer(&mut self) -> Option<Special> {
        if self.lost || !self.started {
            return None;
        }
        let number = self.answered;
        self.answered = self.answered.wrapping_add(1);
        if self.state == State::Waiting && self.answered == self.asked {
            self.state = State::Head;
        }
        let place = self.special.iter().position(|&(special, _)| special == number)?;
        let (_, special) = self.special.remove(place);
        Some(special)
    }
}

/// The value on one line.
fn single_line<'a>(header: &Header<'a>, joined: &'a mut Vec<u8>) -> &'a [u8] {
    if !header.folded() {
        return header.value;
    }
    head::unfold(header.value, joined);
    joined
}

/// Who goes on after an upgrade: the protocol of that name where there is one, else whoever claims the bytes.
pub(super) fn successor(upgrade: &[u8]) -> Target {
    let word = upgrade.split(|&byte| matches!(byte, b',' | b'/' | b' ')).next().unwrap_or_default();
    let name: &[u8] = if word.eq_ignore_ascii_case(b"h2c") { b"http2" } else { word };
    let known = crate::PROTOCOLS.iter().find(|protocol| name.eq_ignore_ascii_case(protocol.name.as_bytes()));
    known.map_or(Target::Probe, |protocol| Target::Named(protocol.name))
}
