//! TLS (RFC 5246, 8446) and SSL 3 (RFC 6101) over TCP: the handshake up to where it is encrypted, then nothing more.

mod ciphers;
mod fingerprint;
pub mod handshake;

use skycap_model::{Field, Kind};

use crate::{Claim, Direction, Hint, Input, Parser, Probe, Protocol, Session, Transport, Verdict, cert};
use handshake::{Carrier, MAX_MESSAGE_BYTES, Message};

skycap_model::fields! {
    base = crate::base("tls");
    VERSION = Field::term("tls.version", "tls.version").set().counted().group("tls").named("Version", "Version that the server chose");
    CIPHER = Field::upper("tls.cipher", "tls.cipher").set().counted().group("tls").named("Cipher", "Cipher suite that the server chose");
    JA3 = Field::lower("tls.ja3", "tls.ja3").set().counted().group("tls").named("JA3", "JA3 fingerprint of the client");
    JA3S = Field::lower("tls.ja3s", "tls.ja3s").set().counted().group("tls").named("JA3S", "JA3S fingerprint of the server");
    JA4 = Field::lower("tls.ja4", "tls.ja4").set().counted().group("tls").named("JA4", "JA4 fingerprint of the client");
    JA4_RAW = Field::lower("tls.ja4_r", "tls.ja4_r").set().counted().optional().group("tls").named("JA4_r", "What the JA4 fingerprint was made of");
    SESSION_ID_DESTINATION = Field::lower("tls.sessionid.dst", "tls.dstSessionId").set().group("tls").named("Dst Session Id", "Session id that the server sent");
    SESSION_ID_SOURCE = Field::lower("tls.sessionid.src", "tls.srcSessionId").set().group("tls").named("Src Session Id", "Session id that the client sent");
    SESSION_ID = Field::any("tls.sessionid", Kind::LowerTerm, &["tls.sessionid.dst", "tls.sessionid.src"]).group("general").named("Src or Dst Session Id", "Session id of either side");
    JA3S_STRING = Field::lower("tls.ja3sstring", "tls.ja3sstring").set().counted().optional().group("tls").named("JA3SSTR", "What the JA3S fingerprint was made of");
    JA3_STRING = Field::lower("tls.ja3string", "tls.ja3string").set().counted().optional().group("tls").named("JA3STR", "What the JA3 fingerprint was made of");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    about: "Transport Layer Security and SSL, RFC 8446, 5246, 6101",
    fields: FIELDS,
    probes: &[
        Probe::FirstByte(Transport::Tcp, &[HANDSHAKE], claim),
        Probe::FirstByte(Transport::Tcp, &[0x80, 0x81, 0x82], claim_version_2),
    ],
    open: || Box::new(Tls::default()),
};

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// Bytes of a record's header.
const HEADER_BYTES: usize = 5;

/// Bytes of a record's content at most (RFC 5246 §6.2.3).
const MAX_RECORD_BYTES: usize = (1 << 14) + 2_048;

/// Records of a direction after which an unfinished handshake is given up.
const MAX_RECORDS: u16 = 512;

fn claim(hint: &Hint<'_>) -> Claim {
    let &[_, major, minor, high, low, kind, ..] = hint.payload else {
        return match hint.payload {
            [_, 3, 0..=4, ..] | [_, 3] | [_] => Claim::Unsure,
            _ => Claim::No,
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = major == 3 && minor <= 4 && (1..=MAX_RECORD_BYTES).contains(&length) && kind <= handshake::SERVER_HELLO;
    if fits { Claim::Certain } else { Claim::No }
}

/// Claims an SSL 2 ClientHello (RFC 5246 appendix E.2), with which old clients begin SSL 3 and TLS too.
fn claim_version_2(hint: &Hint<'_>) -> Claim {
    let &[high, low, kind, major, minor, ciphers_high, ciphers_low, id_high, id_low, challenge_high, challenge_low, ..] =
        hint.payload
    else {
        return if matches!(hint.payload, [_, _, 1, ..] | [_, _] | [_]) { Claim::Unsure } else { Claim::No };
    };
    let number = |high, low| u16::from_be_bytes([high, low]);
    let (ciphers, id, challenge) =
        (number(ciphers_high, ciphers_low), number(id_high, id_low), number(challenge_high, challenge_low));
    let adds_up = u32::from(number(high & 0x7F, low)) == 9 + u32::from(ciphers) + u32::from(id) + u32::from(challenge);
    let version = (major == 3 && minor <= 3) || (major == 0 && minor == 2);
    if kind == 1 && version && ciphers.is_multiple_of(3) && adds_up { Claim::Certain } else { Claim::No }
}

/// Parser of one session.
#[derive(Default)]
struct Tls {
    sides: [Side; 2],
    seen: cert::Seen,
    /// A record was read: what comes must be TLS, if broken.
    begun: bool,
    /// The server chose TLS 1.3: nothing behind its hello can be read.
    modern: bool,
    /// The server asked for another ClientHello (RFC 8446 §4.1.4).
    retry: bool,
}

#[derive(Default)]
struct Side {
    /// Handshake bytes of a message that is not complete.
    held: Vec<u8>,
    records: u16,
}

/// What becomes of a direction after a record.
enum After {
    Next,
    Done,
    Lost,
}

impl Tls {
    /// Reads whole records off the front.
    fn records(&mut self, session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Verdict {
        let mut rest = bytes;
        loop {
            let consumed = bytes.len() - rest.len();
            let Some((&[kind, major, minor, high, low], after)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                return Verdict::More { consumed, need: HEADER_BYTES };
            };
            let side = &mut self.sides[direction.index()];
            if !self.begun && kind & 0x80 != 0 && minor == handshake::CLIENT_HELLO {
                // SSL 2: two bytes of length, then the type
                let length = 2 + usize::from(u16::from_be_bytes([kind & 0x7F, major]));
                let Some(next) = rest.get(length..) else { return Verdict::More { consumed, need: length } };
                self.begun = true;
                rest = next;
                continue;
            }
            let length = usize::from(u16::from_be_bytes([high, low]));
            if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) || major != 3 || length > MAX_RECORD_BYTES {
                return if self.begun { Verdict::Lost } else { Verdict::NotMine };
            }
            let ends = match kind {
                CHANGE_CIPHER_SPEC => !self.retry,
                APPLICATION_DATA => true,
                _ => false,
            };
            side.records += 1;
            if ends || side.records > MAX_RECORDS {
                side.held = Vec::new();
                return Verdict::Done;
            }
            let Some((content, next)) = after.split_at_checked(length) else {
                return Verdict::More { consumed, need: HEADER_BYTES + length };
            };
            self.begun = true;
            if kind == HANDSHAKE {
                match self.handshake(session, direction, content) {
                    After::Next => {}
                    After::Done => return Verdict::Done,
                    After::Lost => return Verdict::Lost,
                }
            }
            rest = next;
        }
    }

    /// Takes a record's content; messages may share a record or span several.
    fn handshake(&mut self, session: &mut Session<'_>, direction: Direction, content: &[u8]) -> After {
        let mut held = std::mem::take(&mut self.sides[direction.index()].held);
        let joined = !held.is_empty();
        if joined {
            held.extend_from_slice(content);
        }
        let mut rest = if joined { held.as_slice() } else { content };
        loop {
            match handshake::message(rest) {
                Message::Whole { kind, body, rest: next } => {
                    match self.message(session, kind, body) {
                        After::Next => {}
                        end => return end,
                    }
                    rest = next;
                }
                Message::TooLong => return After::Lost,
                Message::Incomplete => break,
            }
        }
        let rest = if joined {
            let done = held.len() - rest.len();
            held.drain(..done);
            held
        } else {
            rest.to_vec()
        };
        if rest.len() > MAX_MESSAGE_BYTES + handshake::HEADER_BYTES {
            return After::Lost;
        }
        self.sides[direction.index()].held = rest;
        After::Next
    }

    fn message(&mut self, session: &mut Session<'_>, kind: u8, body: &[u8]) -> After {
        match kind {
            handshake::CLIENT_HELLO => {
                handshake::client_hello(session, body, Carrier::Tcp);
                After::Next
            }
            handshake::SERVER_HELLO => {
                let Some(hello) = handshake::server_hello(session, body) else { return After::Lost };
                self.retry = hello.retry;
                self.modern = hello.modern;
                if self.modern && !self.retry { After::Done } else { After::Next }
            }
            handshake::CERTIFICATE if !self.modern => {
                handshake::certificates(session, &mut self.seen, body);
                After::Next
            }
            // what comes after them is of no interest, or encrypted
            handshake::SERVER_HELLO_DONE | handshake::CLIENT_KEY_EXCHANGE | handshake::FINISHED => After::Done,
            0..=25 | 67 => After::Next,
            _ => After::Lost,
        }
    }
}

impl Parser for Tls {
    fn parse(&mut self, session: &mut Session<'_>, direction: Direction, input: Input<'_>) -> Verdict {
        match input {
            Input::Stream(bytes) => self.records(session, direction, bytes),
            Input::Gap(_) => Verdict::Lost,
            Input::Datagram(_) => Verdict::NotMine,
            Input::End => Verdict::Done,
        }
    }
}

#[cfg(test)]
mod tests;
