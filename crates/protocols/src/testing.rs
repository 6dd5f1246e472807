//! What tests of parsers need: a session without an engine, and its fields as a line of text.

use std::net::Ipv4Addr;

use crate::{Direction, Facts, Fields, Input, Mark, Options, Parser, Session, Shared, Value, Verdict, catalogue};

/// A session and all that it borrows.
pub(crate) struct Bench {
    pub(crate) facts: Facts,
    pub(crate) options: Options,
    pub(crate) fields: Fields,
    pub(crate) shared: Shared,
}

impl Bench {
    pub(crate) fn tcp(source_port: u16, destination_port: u16) -> Self {
        Self::new(6, source_port, destination_port)
    }

    pub(crate) fn udp(source_port: u16, destination_port: u16) -> Self {
        Self::new(17, source_port, destination_port)
    }

    fn new(ip_protocol: u8, source_port: u16, destination_port: u16) -> Self {
        let facts = Facts {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(192, 0, 2, 2).into(),
            source_port,
            destination_port,
            ip_protocol,
            ethertype: 0x0800,
            ..Facts::default()
        };
        let options = Options { all_fields: true, ..Options::default() };
        Self { facts, options, fields: Fields::default(), shared: Shared::default() }
    }

    pub(crate) fn session(&mut self) -> Session<'_> {
        Session { facts: &self.facts, options: &self.options, fields: &mut self.fields, shared: &mut self.shared }
    }

    /// Feeds a direction's stream in pieces of these lengths (the last one takes the rest), as the engine would:
    /// what was not consumed comes again with more behind it.
    pub(crate) fn feed(
        &mut self,
        parser: &mut dyn Parser,
        direction: Direction,
        stream: &[u8],
        cuts: &[usize],
    ) -> Option<Verdict> {
        let mut start = 0;
        let mut end = 0;
        let mut wanted = 0;
        let mut last = None;
        let mut cuts = cuts.iter();
        while end < stream.len() {
            end = cuts.next().map_or(stream.len(), |cut| (end + cut).min(stream.len()));
            if end - start < wanted {
                continue;
            }
            let verdict = parser.parse(&mut self.session(), direction, Input::Stream(&stream[start..end]));
            last = Some(verdict);
            match verdict {
                Verdict::More { consumed, need } => {
                    assert!(consumed <= end - start, "consumed more than there was");
                    start += consumed;
                    wanted = need;
                }
                _ => break,
            }
        }
        last
    }
}

/// The log as text: `path=value` and `path{ … }`.
pub(crate) fn dump(fields: &Fields) -> String {
    let mut words = Vec::new();
    for mark in fields.entries() {
        words.push(match mark {
            Mark::Begin(list) => format!("{}{{", catalogue().field(list).path),
            Mark::End => "}".to_owned(),
            Mark::Value(field, value) => {
                let path = catalogue().field(field).path;
                match value {
                    Value::Text(text) => format!("{path}={}", String::from_utf8_lossy(text)),
                    Value::Integer(number) => format!("{path}={number}"),
                    Value::Ip(address) => format!("{path}={address}"),
                }
            }
        });
    }
    words.join(" ")
}
