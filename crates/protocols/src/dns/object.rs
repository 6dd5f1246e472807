//! Writes one object of the `dns` list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use skycap_model::FieldId;

use super::message::{Message, Question, Record};
use super::{
    ANSWER_CAA, ANSWER_CLASS, ANSWER_CNAME, ANSWER_DS, ANSWER_HTTPS, ANSWER_IP, ANSWER_MX, ANSWER_NAME,
    ANSWER_NAMESERVER, ANSWER_NSEC, ANSWER_PRIORITY, ANSWER_RRSIG, ANSWER_TTL, ANSWER_TXT, ANSWER_TYPE, ANSWERS, DNS,
    HEADER_FLAGS, HOST, IP, MAILSERVER_HOST, MAILSERVER_IP, NAMESERVER_HOST, NAMESERVER_IP, OPCODE, PUNY, QUERY_CLASS,
    QUERY_HOST, QUERY_TYPE, STATUS, names, punycode, rdata,
};
use crate::Fields;

/// How the root's name, which is empty, is written.
pub(super) const ROOT: &str = "<root>";

/// Type of the pseudo record of RFC 6891, which belongs to no zone.
const OPT: u16 = 41;

/// Records of a message that are written.
const MAX_RECORDS: usize = 1_000;

/// Names of a message that are remembered, to tell whose an address is.
const MAX_HOSTS: usize = 64;

/// Strings of a TXT record that are written.
const MAX_STRINGS: usize = 256;

/// Writes a question that has no answer.
pub(super) fn unanswered(fields: &mut Fields, question: &Question) {
    fields.begin(DNS);
    asked(fields, question);
    fields.end();
}

/// Writes an answer whose questions have been read, with the question it answers.
pub(super) fn answered(fields: &mut Fields, question: Option<&Question>, message: Message<'_>, scratch: &mut Vec<u8>) {
    if question.is_none() && message.header.records == 0 {
        return;
    }
    fields.begin(DNS);
    match question {
        Some(question) => asked(fields, question),
        None => fields.text(OPCODE, names::opcode(message.header.opcode()).as_bytes()),
    }
    fields.text(STATUS, names::status(message.header.status()).as_bytes());
    for (_, name) in names::FLAGS.iter().filter(|(bit, _)| message.header.flags & bit != 0) {
        fields.text(HEADER_FLAGS, name.as_bytes());
    }
    scratch.clear();
    let mut writer = Writer { fields, text: scratch, hosts: Vec::new() };
    if let Some(question) = question {
        writer.text.extend_from_slice(&question.name);
        writer.hosts.push((HOST, 0..writer.text.len()));
    }
    writer.records(message);
    fields.end();
}

fn asked(fields: &mut Fields, question: &Question) {
    fields.text(OPCODE, names::opcode(question.opcode).as_bytes());
    fields.text(QUERY_CLASS, names::class(question.class).as_bytes());
    fields.text(QUERY_TYPE, names::record_type(question.kind).as_bytes());
    name(fields, QUERY_HOST, &question.name);
    host(fields, HOST, &question.name);
}

/// Writes a name in Unicode.
fn name(fields: &mut Fields, field: FieldId, text: &[u8]) {
    match punycode::to_unicode(text) {
        Some(unicode) => fields.text(field, unicode.as_bytes()),
        None => fields.text(field, if text.is_empty() { ROOT.as_bytes() } else { text }),
    }
}

/// Writes a name of a set of hosts, and its form on the wire where that differs.
fn host(fields: &mut Fields, field: FieldId, text: &[u8]) {
    match punycode::to_unicode(text) {
        Some(unicode) => {
            fields.text(field, unicode.as_bytes());
            fields.text(PUNY, text);
        }
        None => fields.text(field, if text.is_empty() { ROOT.as_bytes() } else { text }),
    }
}

struct Writer<'w> {
    fields: &'w mut Fields,
    /// Names that `hosts` points into, then the owner of the record at hand.
    text: &'w mut Vec<u8>,
    hosts: Vec<(FieldId, Range<usize>)>,
}

impl Writer<'_> {
    fn records(&mut self, mut message: Message<'_>) {
        for _ in 0..message.header.records.min(MAX_RECORDS) {
            let start = self.text.len();
            let Some(record) = message.record(self.text) else { return };
            let owner = start..self.text.len();
            let known = self.hosts.len();
            if record.kind != OPT {
                // one whose data is broken is left out whole
                let _ = self.record(record, owner);
            }
            if self.hosts.len() == known {
                self.text.truncate(start);
            }
        }
    }

    /// Writes a record; nothing of it where its data is broken.
    fn record(&mut self, mut record: Record<'_>, owner: Range<usize>) -> Option<()> {
        let data = &mut record.data;
        let content = match record.kind {
            1 => Content::Address(ANSWER_IP, Ipv4Addr::from(data.array::<4>()?).into()),
            28 => Content::Address(ANSWER_IP, Ipv6Addr::from(data.array::<16>()?).into()),
            2 => Content::Name(ANSWER_NAMESERVER, NAMESERVER_HOST, self.target(data)?),
            5 => Content::Name(ANSWER_CNAME, HOST, self.target(data)?),
            15 => {
                let priority = data.u16()?;
                Content::Mail(priority, self.target(data)?)
            }
            16 => Content::Strings(*data),
            43 => Content::Text(ANSWER_DS, rdata::ds(data)?),
            46 => Content::Text(ANSWER_RRSIG, rdata::rrsig(data)?),
            47 => Content::Text(ANSWER_NSEC, rdata::nsec(data)?),
            64 => Content::Text(ANSWER_HTTPS, rdata::service("SVCB", data)?),
            65 => Content::Text(ANSWER_HTTPS, rdata::service("HTTPS", data)?),
            257 => Content::Text(ANSWER_CAA, rdata::caa(data)?),
            _ => Content::None,
        };
        self.fields.begin(ANSWERS);
        self.fields.text(ANSWER_TYPE, names::record_type(record.kind).as_bytes());
        self.fields.text(ANSWER_CLASS, names::class(record.class).as_bytes());
        self.fields.integer(ANSWER_TTL, i64::from(record.ttl));
        name(self.fields, ANSWER_NAME, self.text.get(owner.clone())?);
        self.content(&content);
        self.fields.end();
        self.summary(&content, owner);
        Some(())
    }

    /// Reads a name behind the owner's.
    fn target(&mut self, data: &mut super::message::Reader<'_>) -> Option<Range<usize>> {
        let start = self.text.len();
        data.name(self.text)?;
        Some(start..self.text.len())
    }

    /// Writes what belongs to the record's own object.
    fn content(&mut self, content: &Content<'_>) {
        match content {
            Content::None => {}
            Content::Address(field, address) => self.fields.ip(*field, *address),
            Content::Name(field, _, target) => {
                name(self.fields, *field, self.text.get(target.clone()).unwrap_or_default());
            }
            Content::Mail(priority, target) => {
                self.fields.integer(ANSWER_PRIORITY, i64::from(*priority));
                name(self.fields, ANSWER_MX, self.text.get(target.clone()).unwrap_or_default());
            }
            Content::Strings(data) => {
                let mut data = *data;
                for string in std::iter::from_fn(|| data.string()).take(MAX_STRINGS) {
                    self.fields.text(ANSWER_TXT, string);
                }
            }
            Content::Text(field, text) => self.fields.text(*field, text.as_bytes()),
        }
    }

    /// Writes what belongs to the question's object, and remembers hosts whose addresses may follow.
    fn summary(&mut self, content: &Content<'_>, owner: Range<usize>) {
        let (field, target) = match content {
            Content::Name(_, field, target) => (*field, target.clone()),
            Content::Mail(_, target) => (MAILSERVER_HOST, target.clone()),
            Content::Address(_, address) => return self.address(*address, owner),
            _ => return,
        };
        host(self.fields, field, self.text.get(target.clone()).unwrap_or_default());
        if self.hosts.len() < MAX_HOSTS {
            self.hosts.push((field, target));
        }
    }

    /// Writes an address to the sets of the hosts that it belongs to; nobody's is taken for an answer.
    fn address(&mut self, address: IpAddr, owner: Range<usize>) {
        let owner = self.text.get(owner).unwrap_or_default();
        let belongs = |wanted: FieldId| {
            self.hosts.iter().any(|(field, place)| {
                *field == wanted && self.text.get(place.clone()).is_some_and(|name| name.eq_ignore_ascii_case(owner))
            })
        };
        let (nameserver, mailserver) = (belongs(NAMESERVER_HOST), belongs(MAILSERVER_HOST));
        if belongs(HOST) || !(nameserver || mailserver) {
            self.fields.ip(IP, address);
        }
        if nameserver {
            self.fields.ip(NAMESERVER_IP, address);
        }
        if mailserver {
            self.fields.ip(MAILSERVER_IP, address);
        }
    }
}

enum Content<'a> {
    None,
    Address(FieldId, IpAddr),
    /// A name, where it is written, and the set of hosts that it joins; its place in the writer's text.
    Name(FieldId, FieldId, Range<usize>),
    Mail(u16, Range<usize>),
    Strings(super::message::Reader<'a>),
    Text(FieldId, String),
}
