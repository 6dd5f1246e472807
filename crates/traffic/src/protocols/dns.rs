//! DNS (RFC 1035): queries and answers, over UDP or with a length before each over TCP.

use std::collections::VecDeque;

use super::put16;
use crate::content::{Content, Direction, WORDS};
use crate::flow::{Datagram, World};
use crate::random::Random;
use crate::report::Names;
use crate::tcp::{Conversation, Message};

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// A query and its response.
pub(crate) fn exchange(world: &World, random: &mut Random, names: &mut Names, large: bool) -> (Vec<u8>, Vec<u8>) {
    let host = world.places.host(random);
    let roll = if large { 100 } else { random.below(100) };
    let kind = match roll {
        0..45 => A,
        45..70 => AAAA,
        70..77 => CNAME,
        77..83 => MX,
        83..88 => TXT,
        88..94 => PTR,
        94..100 => A, // a name that isn't
        _ => TXT,
    };
    let absent = (94..100).contains(&roll);
    let question = match kind {
        PTR => {
            let [a, b, c, d] = host.v4().octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        MX => host.domain.clone(),
        _ if absent => format!("{}-{}.{}", random.pick(&WORDS), random.below(1_000), host.domain),
        _ => host.name.clone(),
    };
    let mut answers: Vec<Vec<u8>> = Vec::new();
    let mut authority = Vec::new();
    match kind {
        _ if absent => {
            let mut data = name(&format!("ns1.{}", host.domain));
            data.extend(name(&format!("hostmaster.{}", host.domain)));
            for number in [2_026_010_501u32, 7_200, 900, 1_209_600, 300] {
                data.extend_from_slice(&number.to_be_bytes());
            }
            authority = record(&name(&host.domain), SOA, 300, &data);
        }
        A => {
            for index in 0..random.between(1, 3) {
                let address = u32::from(host.v4()) + index as u32 * 0x400;
                answers.push(record(&[0xc0, 12], A, 300, &address.to_be_bytes()));
            }
        }
        AAAA => answers.push(record(&[0xc0, 12], AAAA, 300, &host.v6().octets())),
        CNAME => {
            // asked for an address, answered by way of another name
            let edge = name(&format!("edge-{}.cdn.example.net", host.number));
            answers.push(record(&[0xc0, 12], CNAME, 60, &edge));
            answers.push(record(&edge, A, 60, &host.v4().octets()));
        }
        MX => {
            for preference in [10u16, 20] {
                let mut data = preference.to_be_bytes().to_vec();
                data.extend(name(&format!("mx{preference}.{}", host.domain)));
                answers.push(record(&[0xc0, 12], MX, 3_600, &data));
            }
        }
        PTR => answers.push(record(&[0xc0, 12], PTR, 3_600, &name(&host.name))),
        _ => {
            for index in 0..if large { 14 } else { 2 } {
                let text = format!(
                    "v=spf{index} ip4:198.18.0.0/15 {} -all {}",
                    host.domain,
                    random.hex(if large { 180 } else { 16 })
                );
                let mut data = vec![text.len().min(255) as u8];
                data.extend_from_slice(&text.as_bytes()[..text.len().min(255)]);
                answers.push(record(&[0xc0, 12], TXT, 3_600, &data));
            }
        }
    }
    let asked = if kind == CNAME { A } else { kind };
    names.note(|names| &mut names.dns_host, &question);
    names.note(|names| &mut names.dns_type, type_name(asked));
    names.note(|names| &mut names.dns_status, if absent { "NXDOMAIN" } else { "NOERROR" });
    names.requests += 1;
    let id = random.next() as u16;
    let extended = large || random.percent(60);
    let query = message(id, 0x0100, &question, asked, &[], &[], extended);
    let response = message(id, if absent { 0x8183 } else { 0x8180 }, &question, asked, &answers, &authority, extended);
    (query, response)
}

/// The datagrams of one client port: a query or two and their responses.
pub(crate) fn datagrams(world: &World, random: &mut Random, names: &mut Names, large: bool) -> VecDeque<Datagram> {
    let mut queue = VecDeque::new();
    for _ in 0..if !large && random.percent(15) { 2 } else { 1 } {
        let (query, response) = exchange(world, random, names, large);
        queue.push_back(Datagram { direction: Direction::Client, delay: random.between(10_000, 80_000), data: query });
        queue.push_back(Datagram {
            direction: Direction::Server,
            delay: random.heavy(300_000, 30_000_000),
            data: response,
        });
    }
    queue
}

/// DNS on a TCP connection.
pub(crate) struct Stream {
    pub(crate) exchanges: u64,
    pub(crate) response: Option<Vec<u8>>,
}

impl Conversation for Stream {
    fn next(&mut self, world: &World, random: &mut Random, names: &mut Names) -> Option<Message> {
        let framed = |bytes: Vec<u8>| {
            let mut content = Vec::with_capacity(bytes.len() + 2);
            put16(&mut content, &bytes);
            Content::bytes(content)
        };
        if let Some(response) = self.response.take() {
            return Some(Message::server(random.heavy(300_000, 10_000_000), framed(response)));
        }
        self.exchanges = self.exchanges.checked_sub(1)?;
        let large = random.percent(30);
        let (query, response) = exchange(world, random, names, large);
        self.response = Some(response);
        Some(Message::client(50_000, framed(query)))
    }

    fn estimate(&self) -> u64 {
        self.exchanges * 1_200
    }
}

fn type_name(kind: u16) -> &'static str {
    match kind {
        A => "A",
        AAAA => "AAAA",
        MX => "MX",
        TXT => "TXT",
        PTR => "PTR",
        _ => "CNAME",
    }
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    for label in text.split('.') {
        bytes.push(label.len().min(63) as u8);
        bytes.extend_from_slice(&label.as_bytes()[..label.len().min(63)]);
    }
    bytes.push(0);
    bytes
}

fn record(owner: &[u8], kind: u16, time_to_live: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]); // class IN
    bytes.extend_from_slice(&time_to_live.to_be_bytes());
    put16(&mut bytes, data);
    bytes
}

fn message(
    id: u16,
    flags: u16,
    question: &str,
    kind: u16,
    answers: &[Vec<u8>],
    authority: &[u8],
    extended: bool,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let counts = [1, answers.len() as u16, u16::from(!authority.is_empty()), u16::from(extended)];
    for number in [id, flags].iter().chain(&counts) {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend(name(question));
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend(answers.concat());
    bytes.extend_from_slice(authority);
    if extended {
        // OPT (RFC 6891): payload size 4,096
        bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    }
    bytes
}
