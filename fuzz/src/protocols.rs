//! Every parser of the protocol list, as the flow engine would call it.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use skycap_model::{MAX_TEXT_BYTES, Timestamp};
use skycap_protocols::{
    Claim, Direction, Facts, Fields, Hint, Input as Message, Mark, Options, PROTOCOLS, Parser, Probe, Registry,
    Session, Shared, Target, Transport, Value, Verdict, catalogue,
};

use crate::input::Input;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// Bytes that wait for a parser in one direction; beyond, the direction is lost. As in the flow engine.
const MAX_WAITING: usize = 256 << 10;

/// Hand-overs of one session.
const MAX_CHANGES: usize = 8;

/// Memory that the fields of one session may take, whatever comes: their bound and as much again for growth and sets.
const MAX_FIELD_MEMORY: usize = 1 << 20;

/// Probes. Input: transport, direction, two ports, the payload.
pub fn probes(data: &[u8]) {
    let mut input = Input(data);
    let hint = Hint {
        transport: input.choose(&[Transport::Tcp, Transport::Udp, Transport::Sctp, Transport::Frame]),
        direction: input.choose(&[Direction::FromSource, Direction::FromDestination]),
        source_port: input.short(),
        destination_port: input.short(),
        payload: input.0,
    };
    for number in REGISTRY.candidates(&hint).iter() {
        assert!(REGISTRY.protocol(number).is_some());
        let claim = REGISTRY.ask(number, &hint);
        assert_eq!(claim, REGISTRY.ask(number, &hint), "a probe has a memory");
    }
    for number in 0..PROTOCOLS.len() as u16 {
        let _ = REGISTRY.ask(number, &hint);
    }
}

/// Parsers. Input: protocol, which of its probes (transport and port), options; then messages: kind (bit 0 direction,
/// bits 1 and 2: 2 is a gap, 3 the end, else data), length (2), bytes.
pub fn protocols(data: &[u8]) {
    run(data, None);
}

/// Streams cut into small pieces give the fields of the uncut ones. Input as of [`protocols`].
pub fn protocols_cut(data: &[u8]) {
    let Some(whole) = run(data, None) else { return };
    let seed = data.iter().fold(1_u64, |seed, &byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let cut = run(data, Some(seed));
    assert_eq!(cut, Some(whole), "cut differently, the fields are others");
}

/// Plays the messages; gives the fields, or `None` where cuts matter: datagrams, or a bound was hit.
fn run(data: &[u8], cuts: Option<u64>) -> Option<String> {
    let mut input = Input(data);
    let number = u16::from(input.byte()) % PROTOCOLS.len() as u16;
    let protocol = PROTOCOLS[usize::from(number)];
    let (transport, port) = match input.choose(protocol.probes) {
        Probe::Port(transport, port, _) => (transport, port),
        Probe::FirstByte(transport, ..) | Probe::Any(transport, _) => (transport, 40_001),
        Probe::IpProtocol(_) | Probe::EtherType(_) => (Transport::Frame, 0),
    };
    if cuts.is_some() && transport != Transport::Tcp {
        return None;
    }
    let options = input.byte();
    let mut engine = Engine {
        facts: Facts {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(192, 0, 2, 2).into(),
            source_port: 40_000,
            destination_port: port,
            ip_protocol: match transport {
                Transport::Tcp => 6,
                Transport::Udp => 17,
                Transport::Sctp => 132,
                Transport::Frame => 1,
            },
            ethertype: 0x0800,
            session_start: Timestamp::from_parts(1_700_000_000, 0),
            packet_time: Timestamp::from_parts(1_700_000_000, 0),
        },
        options: Options { all_fields: options & 1 == 0, body_md5: options & 2 == 0, body_sha256: options & 4 == 0 },
        fields: Fields::default(),
        shared: Shared::default(),
        parser: Some((protocol.open)()),
        transport,
        open: [true; 2],
        waiting: Default::default(),
        need: [0; 2],
        changes: 0,
        overflowed: false,
        handed: false,
    };
    let mut random = cuts.unwrap_or(0);
    while !input.is_empty() && engine.parser.is_some() {
        let kind = input.byte();
        let direction = if kind & 1 == 0 { Direction::FromSource } else { Direction::FromDestination };
        let length = usize::from(input.short());
        engine.facts.packet_time = Timestamp(engine.facts.packet_time.0 + 1_000_000);
        match (kind >> 1) & 3 {
            2 if transport == Transport::Tcp => engine.gap(direction, length as u64 + 1),
            3 if transport == Transport::Tcp => engine.end(direction),
            _ if transport == Transport::Tcp => {
                let mut bytes = input.take(length);
                while cuts.is_some() && bytes.len() > 1 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // small pieces mostly, large ones at times
                    let most = if random >> 62 == 0 { 600 } else { 8 };
                    let piece = ((random >> 33) as usize % most + 1).min(bytes.len());
                    engine.stream(direction, &bytes[..piece]);
                    bytes = &bytes[piece..];
                }
                if !bytes.is_empty() {
                    engine.stream(direction, bytes);
                }
            }
            _ => engine.datagram(direction, input.take(length)),
        }
    }
    engine.finish();
    check_fields(&engine.fields);
    let exact =
        transport == Transport::Tcp && !engine.overflowed && !engine.handed && engine.fields.truncated().is_empty();
    exact.then(|| dump(&engine.fields))
}

struct Engine {
    facts: Facts,
    options: Options,
    fields: Fields,
    shared: Shared,
    parser: Option<Box<dyn Parser>>,
    transport: Transport,
    open: [bool; 2],
    waiting: [Vec<u8>; 2],
    need: [usize; 2],
    changes: usize,
    /// More waited than is kept.
    overflowed: bool,
    /// Another protocol went on after probing, which sees as many bytes as there are.
    handed: bool,
}

impl Engine {
    fn call(&mut self, direction: Direction, message: Message<'_>) -> Option<Verdict> {
        let parser = self.parser.as_mut()?;
        let mut session =
            Session { facts: &self.facts, options: &self.options, fields: &mut self.fields, shared: &mut self.shared };
        Some(parser.parse(&mut session, direction, message))
    }

    fn stream(&mut self, direction: Direction, data: &[u8]) {
        let side = direction.index();
        if !self.open[side] {
            return;
        }
        let mut bytes = std::mem::take(&mut self.waiting[side]);
        bytes.extend_from_slice(data);
        let mut at = 0;
        while bytes.len() - at >= self.need[side].max(1) {
            let left = bytes.len() - at;
            let Some(verdict) = self.call(direction, Message::Stream(&bytes[at..])) else { return };
            match verdict {
                Verdict::More { consumed, need } => {
                    assert!(consumed <= left, "consumed {consumed} bytes of {left}");
                    at += consumed;
                    self.need[side] = if consumed == 0 { need.max(left + 1) } else { need.max(1) };
                }
                Verdict::HandOver { consumed, to } => {
                    assert!(consumed <= left, "handed over behind byte {consumed} of {left}");
                    self.hand_over(direction, &bytes[at + consumed..], to);
                    return;
                }
                other => return self.settle(direction, other),
            }
        }
        bytes.drain(..at);
        if bytes.len() > MAX_WAITING {
            self.overflowed = true;
            self.open[side] = false;
            return;
        }
        self.waiting[side] = bytes;
    }

    fn datagram(&mut self, direction: Direction, data: &[u8]) {
        if !self.open[direction.index()] {
            return;
        }
        match self.call(direction, Message::Datagram(data)) {
            Some(Verdict::More { consumed, .. }) => {
                assert!(consumed <= data.len(), "consumed {consumed} bytes of {}", data.len());
            }
            Some(Verdict::HandOver { consumed, to }) => {
                assert!(consumed <= data.len(), "handed over behind byte {consumed} of {}", data.len());
                self.hand_over(direction, &data[consumed..], to);
            }
            Some(other) => self.settle(direction, other),
            None => {}
        }
    }

    fn gap(&mut self, direction: Direction, missing: u64) {
        let side = direction.index();
        if !self.open[side] {
            return;
        }
        let lost = std::mem::take(&mut self.waiting[side]).len() as u64;
        self.need[side] = 0;
        self.control(direction, Message::Gap(missing + lost));
    }

    fn end(&mut self, direction: Direction) {
        if !self.open[direction.index()] {
            return;
        }
        self.control(direction, Message::End);
        self.open[direction.index()] = false;
    }

    fn control(&mut self, direction: Direction, message: Message<'_>) {
        match self.call(direction, message) {
            Some(Verdict::HandOver { to, .. }) => self.hand_over(direction, &[], to),
            Some(Verdict::More { .. }) | None => {}
            Some(other) => self.settle(direction, other),
        }
    }

    fn settle(&mut self, direction: Direction, verdict: Verdict) {
        match verdict {
            Verdict::Done | Verdict::Lost => self.open[direction.index()] = false,
            Verdict::NotMine => self.parser = None,
            Verdict::More { .. } | Verdict::HandOver { .. } => {}
        }
    }

    fn hand_over(&mut self, direction: Direction, rest: &[u8], to: Target) {
        self.finish();
        self.handed |= to == Target::Probe;
        self.parser = None;
        self.changes += 1;
        if self.changes > MAX_CHANGES {
            return;
        }
        let number = match to {
            Target::Named(name) => {
                let number = REGISTRY.by_name(name);
                assert!(number.is_some(), "handed over to {name}, which is not in the list");
                number
            }
            Target::Probe => {
                let hint = Hint {
                    payload: rest,
                    transport: self.transport,
                    source_port: self.facts.source_port,
                    destination_port: self.facts.destination_port,
                    direction,
                };
                REGISTRY.candidates(&hint).iter().find(|&number| REGISTRY.ask(number, &hint) == Claim::Certain)
            }
        };
        let Some(protocol) = number.and_then(|number| REGISTRY.protocol(number)) else { return };
        self.parser = Some((protocol.open)());
        self.open = [true; 2];
        self.need = [0; 2];
        let other = std::mem::take(&mut self.waiting[direction.reverse().index()]);
        if self.transport == Transport::Tcp {
            if !other.is_empty() {
                self.stream(direction.reverse(), &other);
            }
            if !rest.is_empty() {
                self.stream(direction, rest);
            }
        } else if !rest.is_empty() {
            self.datagram(direction, rest);
        }
    }

    fn finish(&mut self) {
        let Some(parser) = self.parser.as_mut() else { return };
        let mut session =
            Session { facts: &self.facts, options: &self.options, fields: &mut self.fields, shared: &mut self.shared };
        parser.finish(&mut session);
    }
}

/// What must hold for the fields of any session.
pub(crate) fn check_fields(fields: &Fields) {
    let mut depth = 0_u32;
    for mark in fields.entries() {
        match mark {
            Mark::Begin(list) => {
                assert!(usize::from(list.0) < catalogue().fields().len());
                depth += 1;
            }
            Mark::End => depth = depth.checked_sub(1).expect("an object ends that never began"),
            Mark::Value(_, Value::Text(text)) => assert!(text.len() <= MAX_TEXT_BYTES),
            Mark::Value(..) => {}
        }
    }
    assert_eq!(depth, 0, "an object is left open");
    assert!(fields.memory() <= MAX_FIELD_MEMORY, "fields take {} bytes", fields.memory());
}

/// The fields as text.
pub(crate) fn dump(fields: &Fields) -> String {
    let mut lines = String::new();
    for mark in fields.entries() {
        match mark {
            Mark::Begin(list) => lines.push_str(&format!("{} {{\n", catalogue().field(list).path)),
            Mark::End => lines.push_str("}\n"),
            Mark::Value(field, Value::Text(text)) => {
                lines.push_str(&format!("{} = {:?}\n", catalogue().field(field).path, text.escape_ascii().to_string()));
            }
            Mark::Value(field, value) => lines.push_str(&format!("{} = {value:?}\n", catalogue().field(field).path)),
        }
    }
    lines
}
