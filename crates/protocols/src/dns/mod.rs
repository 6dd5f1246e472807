//! DNS (RFC 1035, 2136, 3596, 4034, 8659, 9460), over UDP and TCP; mDNS and LLMNR share its message.
//!
//! A question and its answer make one object of the `dns` list, written when the answer comes; a question that nobody
//! answered is written when the session ends.

mod message;
mod names;
mod object;
mod punycode;
mod rdata;

use std::hash::{DefaultHasher, Hash, Hasher};

use skycap_model::{Field, Kind};

use crate::{Claim, Direction, Hint, Input, Parser, Probe, Protocol, Session, Transport, Verdict};
use message::{Header, Message, Question};

skycap_model::fields! {
    base = crate::base("dns");
    DNS = Field::objects("dns").group("dns").named("DNS", "Questions asked in the session, with their answers");
    IP = Field::ip("ip.dns", "dns.ip").set().counted().inside("dns").group("dns").named("IP", "Address of a name that was asked for, or of its alias");
    NAMESERVER_IP = Field::ip("ip.dns.nameserver", "dns.nameserverIp").set().counted().inside("dns").group("dns").named("NS IP", "Address of a name server named in an answer");
    MAILSERVER_IP = Field::ip("ip.dns.mailserver", "dns.mailserverIp").set().counted().inside("dns").group("dns").named("MX IP", "Address of a mail server named in an answer");
    IP_ALL = Field { category: None, ..Field::any("ip.dns.all", Kind::Ip, &["ip.dns", "ip.dns.nameserver", "ip.dns.mailserver"]) }.group("dns").named("All IP fields", "Any address in an answer");
    HOST = Field::lower("host.dns", "dns.host").set().counted().host().tokens().inside("dns").group("dns").named("Host", "Name asked for, or its alias");
    NAMESERVER_HOST = Field::lower("host.dns.nameserver", "dns.nameserverHost").set().counted().host().inside("dns").group("dns").named("NS Host", "Name server named in an answer");
    MAILSERVER_HOST = Field::lower("host.dns.mailserver", "dns.mailserverHost").set().counted().host().inside("dns").group("dns").named("MX Host", "Mail server named in an answer");
    HOST_ALL = Field::any("host.dns.all", Kind::LowerTerm, &["host.dns", "host.dns.nameserver", "host.dns.mailserver"]).group("dns").named("All Host fields", "Any name in a question or an answer");
    PUNY = Field::lower("dns.puny", "dns.puny").set().counted().inside("dns").group("dns").named("Puny", "Internationalized name as it was on the wire");
    STATUS = Field::upper("dns.status", "dns.status").inside("dns").group("dns").named("Status Code", "Response code of the answer");
    OPCODE = Field::upper("dns.opcode", "dns.opcode").inside("dns").group("dns").named("Op Code", "Kind of the request");
    QUERY_TYPE = Field::upper("dns.query.type", "dns.qt").inside("dns").group("dns").named("Query Type", "Record type asked for");
    QUERY_CLASS = Field::upper("dns.query.class", "dns.qc").inside("dns").group("dns").named("Query Class", "Class asked for");
    QUERY_HOST = Field::lower("dns.query.host", "dns.queryHost").host().inside("dns").group("dns").named("Query Host", "Name asked for");
    HEADER_FLAGS = Field::upper("dns.header_flags", "dns.headerFlags").set().counted().inside("dns").group("dns").named("Header Flags", "Flags in the answer's header");
    ANSWERS = Field { expression: "dns.answer", ..Field::objects("dns.answers") }.inside("dns").group("dns").named("Answers", "Records of an answer, of all its sections");
    ANSWER_TYPE = Field::upper("dns.answer.type", "dns.answers.type").inside("dns.answers").group("dns").named("Answer Type", "Type of a record");
    ANSWER_CLASS = Field::upper("dns.answer.class", "dns.answers.class").inside("dns.answers").group("dns").named("Answer Class", "Class of a record");
    ANSWER_TTL = Field::integer("dns.answer.ttl", "dns.answers.ttl").inside("dns.answers").group("dns").named("Answer TTL", "Seconds that a record may be kept");
    ANSWER_IP = Field::ip("dns.answer.ip", "dns.answers.ip").inside("dns.answers").group("dns").named("Answer IP", "Address in an A or AAAA record");
    ANSWER_CNAME = Field::term("dns.answer.cname", "dns.answers.cname").inside("dns.answers").group("dns").named("Answer CNAME", "Name that an alias stands for");
    ANSWER_NAMESERVER = Field::term("dns.answer.ns", "dns.answers.nameserver").inside("dns.answers").group("dns").named("Answer NS", "Name server in an NS record");
    ANSWER_MX = Field::term("dns.answer.mx", "dns.answers.mx").inside("dns.answers").group("dns").named("Answer MX", "Mail server in an MX record");
    ANSWER_PRIORITY = Field::integer("dns.answer.priority", "dns.answers.priority").inside("dns.answers").group("dns").named("Answer Priority", "Preference of an MX record, lowest first");
    ANSWER_HTTPS = Field::term("dns.answer.https", "dns.answers.https").inside("dns.answers").group("dns").named("Answer HTTPS", "Content of an HTTPS or SVCB record");
    ANSWER_TXT = Field::term("dns.answer.txt", "dns.answers.txt").set().inside("dns.answers").group("dns").named("Answer TXT", "Strings of a TXT record");
    ANSWER_CAA = Field::term("dns.answer.caa", "dns.answers.caa").inside("dns.answers").group("dns").named("Answer CAA", "Content of a CAA record");
    ANSWER_RRSIG = Field::term("dns.answer.rrsig", "dns.answers.rrsig").inside("dns.answers").group("dns").named("Answer RRSIG", "Content of an RRSIG record, without the signature");
    ANSWER_NSEC = Field::term("dns.answer.nsec", "dns.answers.nsec").inside("dns.answers").group("dns").named("Answer NSEC", "Next name and types of an NSEC record");
    ANSWER_DS = Field::term("dns.answer.ds", "dns.answers.ds").inside("dns.answers").group("dns").named("Answer DS", "Content of a DS record");
    ANSWER_NAME = Field::term("dns.answer.name", "dns.answers.name").inside("dns.answers").group("dns").named("Answer Name", "Name that a record belongs to");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    about: "Domain names, RFC 1035",
    fields: FIELDS,
    probes: &[Probe::Port(Transport::Udp, 53, claim_datagram), Probe::Port(Transport::Tcp, 53, claim_stream)],
    open: || Box::new(Dns::default()),
};

/// Questions without an answer that a session holds; beyond, the oldest is written as unanswered.
const MAX_WAITING: usize = 128;

/// Answers remembered, so that a repeated one isn't written again.
const MAX_ANSWERED: usize = 256;

/// Questions of a message that are read.
const MAX_QUESTIONS: usize = 32;

/// Bytes of the shortest message: its header.
const HEADER_BYTES: usize = 12;

/// Claims a datagram that may hold a message.
pub(crate) fn claim_datagram(hint: &Hint<'_>) -> Claim {
    if Header::read(hint.payload).is_some_and(Header::is_plausible) { Claim::Certain } else { Claim::No }
}

/// Claims a stream that may hold messages, each behind its length.
fn claim_stream(hint: &Hint<'_>) -> Claim {
    let Some((prefix, message)) = hint.payload.split_first_chunk::<2>() else { return Claim::Unsure };
    if usize::from(u16::from_be_bytes(*prefix)) < HEADER_BYTES {
        return Claim::No;
    }
    match Header::read(message) {
        None => Claim::Unsure,
        Some(header) if header.is_plausible() => Claim::Certain,
        Some(_) => Claim::No,
    }
}

/// Parser of one session.
#[derive(Default)]
pub(crate) struct Dns {
    /// The highest bit of a class has another meaning (RFC 6762 §10.2, §5.4).
    multicast: bool,
    waiting: Vec<Question>,
    /// Hashes of question and whole answer, oldest first.
    answered: Vec<(u64, u64)>,
}

impl Dns {
    /// A parser for multicast DNS.
    pub(crate) fn multicast() -> Self {
        Self { multicast: true, ..Self::default() }
    }

    /// Takes one message.
    fn message(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        let mut scratch = std::mem::take(&mut session.shared.scratch);
        scratch.clear();
        if let Some(message) = Message::new(bytes, self.multicast) {
            if message.header.is_response() {
                self.response(session, message, &mut scratch);
            } else {
                self.query(session, message, &mut scratch);
            }
        }
        session.shared.scratch = scratch;
    }

    fn query(&mut self, session: &mut Session<'_>, mut message: Message<'_>, scratch: &mut Vec<u8>) {
        for _ in 0..usize::from(message.header.questions).min(MAX_QUESTIONS) {
            scratch.clear();
            let Some((kind, class)) = message.question_parts(scratch) else { return };
            if self.waiting.iter().any(|waiting| waiting.is(message.header, kind, class, scratch)) {
                continue;
            }
            let question = Question::new(message.header, kind, class, scratch);
            if !self.answered.is_empty() {
                let hash = hash_of(&question);
                if self.answered.iter().any(|&(known, _)| known == hash) {
                    continue;
                }
            }
            if self.waiting.len() >= MAX_WAITING {
                let oldest = self.waiting.remove(0);
                object::unanswered(session.fields, &oldest);
            }
            self.waiting.push(question);
        }
    }

    fn response(&mut self, session: &mut Session<'_>, mut message: Message<'_>, scratch: &mut Vec<u8>) {
        let first = if message.header.questions == 0 {
            // errors may come without the question, and so do the later messages of a zone transfer
            let asked = self.waiting.iter().position(|question| question.id == message.header.id);
            asked.map(|place| self.waiting.remove(place))
        } else {
            let Some(question) = self.answered_question(&mut message, scratch) else { return };
            Some(question)
        };
        let mut others = Vec::new();
        for _ in 1..message.header.questions {
            if others.len() >= MAX_QUESTIONS {
                return;
            }
            let Some(question) = self.answered_question(&mut message, scratch) else { return };
            others.push(question);
        }
        let identity = (first.as_ref().map_or(0, hash_of), hash_of(message.bytes));
        if self.answered.contains(&identity) {
            return;
        }
        if self.answered.len() >= MAX_ANSWERED {
            self.answered.remove(0);
        }
        self.answered.push(identity);
        object::answered(session.fields, first.as_ref(), message, scratch);
        for question in &others {
            object::unanswered(session.fields, question);
        }
    }

    /// Reads a question of an answer; it waits no longer.
    fn answered_question(&mut self, message: &mut Message<'_>, scratch: &mut Vec<u8>) -> Option<Question> {
        scratch.clear();
        let (kind, class) = message.question_parts(scratch)?;
        let asked = self.waiting.iter().position(|waiting| waiting.is(message.header, kind, class, scratch));
        if let Some(place) = asked {
            let question = self.waiting.remove(place);
            if *question.name == **scratch {
                return Some(question);
            }
        }
        Some(Question::new(message.header, kind, class, scratch))
    }
}

impl Parser for Dns {
    fn parse(&mut self, session: &mut Session<'_>, _: Direction, input: Input<'_>) -> Verdict {
        match input {
            Input::Datagram(message) => {
                self.message(session, message);
                Verdict::all(message.len())
            }
            Input::Stream(bytes) => {
                // RFC 1035 §4.2.2: two bytes of length before each message
                let mut rest = bytes;
                loop {
                    let consumed = bytes.len() - rest.len();
                    let Some((prefix, after)) = rest.split_first_chunk::<2>() else {
                        return Verdict::More { consumed, need: 2 };
                    };
                    let length = usize::from(u16::from_be_bytes(*prefix));
                    if length < HEADER_BYTES {
                        return Verdict::Lost;
                    }
                    let Some((message, next)) = after.split_at_checked(length) else {
                        return Verdict::More { consumed, need: 2 + length };
                    };
                    self.message(session, message);
                    rest = next;
                }
            }
            Input::Gap(_) => Verdict::Lost,
            Input::End => Verdict::Done,
        }
    }

    fn finish(&mut self, session: &mut Session<'_>) {
        for question in std::mem::take(&mut self.waiting) {
            object::unanswered(session.fields, &question);
        }
    }
}

/// A hash that is the same in every run.
fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
