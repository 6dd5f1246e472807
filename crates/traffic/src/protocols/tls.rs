//! TLS 1.2 (RFC 5246) and 1.3 (RFC 8446): handshakes of several kinds of clients, then application data that looks encrypted.

use std::collections::VecDeque;

use super::put16;
use crate::content::{Bulk, Content};
use crate::flow::World;
use crate::random::Random;
use crate::report::Names;
use crate::tcp::{Conversation, Message};
use crate::x509::{P256_POINT, ecdsa_signature};

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

const BROWSER_CIPHERS: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
    0x0035,
];
const LIBRARY_CIPHERS: [u16; 12] =
    [0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xc02b, 0xc02f, 0x009e, 0x00ff];
const OLD_CIPHERS: [u16; 8] = [0xc02b, 0xc02f, 0xc00a, 0xc009, 0xc013, 0xc014, 0x009c, 0x0035];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// With GREASE (RFC 8701).
    Browser,
    Library,
    /// Knows 1.2 at most.
    Old,
}

/// One connection.
pub(crate) struct Connection {
    host: u32,
    name: String,
    client: Client,
    modern: bool,
    started: bool,
    left: u64,
    /// Bytes of each response, on average.
    size: u64,
    pause: u64,
    queue: VecDeque<Message>,
}

impl Connection {
    pub(crate) fn new(host: u32, name: &str, exchanges: u64, size: u64, pause: u64, random: &mut Random) -> Self {
        let client = *random.pick(&[Client::Browser, Client::Browser, Client::Library, Client::Old]);
        Self {
            host,
            name: name.to_owned(),
            client,
            modern: client != Client::Old && random.percent(70),
            started: false,
            left: exchanges,
            size: size.max(64),
            pause,
            queue: VecDeque::new(),
        }
    }

    fn unit(&self) -> u64 {
        // 2^14 bytes, then: content type and tag, or nonce and tag
        if self.modern { 5 + 16_384 + 17 } else { 5 + 16_384 + 24 }
    }

    fn begin(&mut self, world: &World, random: &mut Random, names: &mut Names) {
        names.note(|names| &mut names.tls_sni, &self.name);
        names.note(|names| &mut names.tls_version, if self.modern { "TLSv1.3" } else { "TLSv1.2" });
        let session = random.bytes(32);
        let hello = client_hello(self.client, &self.name, &session, random);
        self.queue.push_back(Message::client(100_000, Content::bytes(hello)));
        let chain = world.certificates.chain(self.host);
        let encrypted = |length: u64, random: &mut Random| Bulk::tls(length, 16_401, random);
        if self.modern {
            let mut flight = record(&handshake(2, &server_hello(true, chain.elliptic, &session, random)));
            flight.extend_from_slice(&CHANGE_CIPHER_SPEC);
            // encrypted extensions, certificates, verify, finished
            let size = chain.certificates.iter().map(Vec::len).sum::<usize>() as u64 + 420;
            let bulk = encrypted(size, random);
            self.queue.push_back(Message::server(2_000_000, Content { head: flight, bulk, tail: b"" }));
            let bulk = encrypted(74, random);
            self.queue
                .push_back(Message::client(800_000, Content { head: CHANGE_CIPHER_SPEC.to_vec(), bulk, tail: b"" }));
            return;
        }
        // the hello has no session id: one that repeats the client's would say that a session is resumed
        for subject in &chain.subjects {
            names.note(|names| &mut names.certificate_subject, subject);
        }
        let mut flight = record(&handshake(2, &server_hello(false, chain.elliptic, &[], random)));
        let mut list = Vec::new();
        for certificate in &chain.certificates {
            length24(&mut list, certificate);
        }
        let mut certificates = Vec::new();
        length24(&mut certificates, &list);
        flight.extend(record(&handshake(11, &certificates)));
        // ServerKeyExchange: named curve, point, signature algorithm, signature
        let mut exchange = vec![3, 0, 23, 65];
        exchange.extend_from_slice(&P256_POINT);
        let (algorithm, signature) =
            if chain.elliptic { ([4, 3], ecdsa_signature(random)) } else { ([8, 4], random.bytes(256)) };
        exchange.extend_from_slice(&algorithm);
        put16(&mut exchange, &signature);
        flight.extend(record(&handshake(12, &exchange)));
        flight.extend(record(&handshake(14, &[])));
        self.queue.push_back(Message::server(2_000_000, Content::bytes(flight)));
        let mut reply = record(&handshake(16, &[&[65], P256_POINT.as_slice()].concat()));
        reply.extend_from_slice(&CHANGE_CIPHER_SPEC);
        reply.extend(record(&random.bytes(40))); // Finished, encrypted
        self.queue.push_back(Message::client(1_000_000, Content::bytes(reply)));
        let mut ticket = vec![0, 1, 0x51, 0x80]; // a day
        put16(&mut ticket, &random.bytes(192));
        let mut end = record(&handshake(4, &ticket));
        end.extend_from_slice(&CHANGE_CIPHER_SPEC);
        end.extend(record(&random.bytes(40)));
        self.queue.push_back(Message::server(500_000, Content::bytes(end)));
    }

    fn exchange(&mut self, random: &mut Random, names: &mut Names) {
        names.requests += 1;
        let unit = self.unit();
        let asked = Bulk::tls(random.between(120, 900), unit, random);
        let answered = Bulk::tls(random.between(self.size / 2, self.size * 3 / 2), unit, random);
        self.queue.push_back(Message::client(random.exponential(self.pause), Content::bulk(asked)));
        self.queue.push_back(Message::server(random.heavy(300_000, 40_000_000), Content::bulk(answered)));
        if self.left == 0 {
            // close_notify
            self.queue.push_back(Message::client(1_000_000, Content::bytes(close_notify(random))));
        }
    }
}

impl Conversation for Connection {
    fn next(&mut self, world: &World, random: &mut Random, names: &mut Names) -> Option<Message> {
        if self.queue.is_empty() {
            if self.started {
                self.left = self.left.checked_sub(1)?;
                self.exchange(random, names);
            } else {
                self.started = true;
                self.begin(world, random, names);
            }
        }
        self.queue.pop_front()
    }

    fn estimate(&self) -> u64 {
        3_600 + self.left * (self.size + 520)
    }
}

fn close_notify(random: &mut Random) -> Vec<u8> {
    let mut alert = vec![21, 3, 3];
    put16(&mut alert, &random.bytes(26));
    alert
}

fn record(fragment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![HANDSHAKE, 3, 3];
    put16(&mut bytes, fragment);
    bytes
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    length24(&mut bytes, body);
    bytes
}

fn length24(output: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u32).to_be_bytes();
    output.extend_from_slice(&length[1..]);
    output.extend_from_slice(bytes);
}

fn numbers(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn extension(output: &mut Vec<u8>, kind: u16, data: &[u8]) {
    output.extend_from_slice(&kind.to_be_bytes());
    put16(output, data);
}

/// A value of the form 0x?a?a.
fn grease(random: &mut Random) -> u16 {
    0x0a0a + 0x1010 * random.below(16) as u16
}

fn client_hello(client: Client, name: &str, session: &[u8], random: &mut Random) -> Vec<u8> {
    let greases = [grease(random), grease(random), grease(random), grease(random)];
    let greased = client == Client::Browser;
    let with_grease = |values: &[u16], value: u16| {
        let mut all = Vec::with_capacity(values.len() + 1);
        if greased {
            all.push(value);
        }
        all.extend_from_slice(values);
        numbers(&all)
    };
    let ciphers: &[u16] = match client {
        Client::Browser => &BROWSER_CIPHERS,
        Client::Library => &LIBRARY_CIPHERS,
        Client::Old => &OLD_CIPHERS,
    };
    let mut extensions = Vec::with_capacity(512);
    if greased {
        extension(&mut extensions, greases[0], &[]);
    }
    let mut server_name = vec![0];
    put16(&mut server_name, name.as_bytes());
    let mut server_names = Vec::new();
    put16(&mut server_names, &server_name);
    extension(&mut extensions, 0, &server_names);
    extension(&mut extensions, 23, &[]); // extended master secret
    extension(&mut extensions, 0xff01, &[0]); // renegotiation
    let groups: &[u16] = if client == Client::Old { &[23, 24] } else { &[29, 23, 24] };
    let mut list = Vec::new();
    put16(&mut list, &with_grease(groups, greases[1]));
    extension(&mut extensions, 10, &list);
    extension(&mut extensions, 11, &[1, 0]); // uncompressed points
    extension(&mut extensions, 35, &[]); // session ticket
    let protocols: &[&[u8]] = if client == Client::Old { &[b"http/1.1"] } else { &[b"h2", b"http/1.1"] };
    let mut list = Vec::new();
    for protocol in protocols {
        list.push(protocol.len() as u8);
        list.extend_from_slice(protocol);
    }
    let mut alpn = Vec::new();
    put16(&mut alpn, &list);
    extension(&mut extensions, 16, &alpn);
    if greased {
        extension(&mut extensions, 5, &[1, 0, 0, 0, 0]); // status request
    }
    let mut algorithms = Vec::new();
    put16(&mut algorithms, &numbers(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]));
    extension(&mut extensions, 13, &algorithms);
    if client != Client::Old {
        let mut shares = Vec::new();
        if greased {
            shares.extend_from_slice(&greases[1].to_be_bytes());
            put16(&mut shares, &[0]);
        }
        shares.extend_from_slice(&29u16.to_be_bytes());
        put16(&mut shares, &random.bytes(32));
        let mut list = Vec::new();
        put16(&mut list, &shares);
        extension(&mut extensions, 51, &list);
        extension(&mut extensions, 45, &[1, 1]); // key exchange modes
        let versions = with_grease(&[0x0304, 0x0303], greases[2]);
        extension(&mut extensions, 43, &[&[versions.len() as u8], versions.as_slice()].concat());
    }
    if greased {
        extension(&mut extensions, greases[3] ^ if greases[3] == greases[0] { 0x1010 } else { 0 }, &[0]);
    }
    let mut body = vec![3, 3];
    body.extend(random.bytes(32));
    body.push(session.len() as u8);
    body.extend_from_slice(session);
    put16(&mut body, &with_grease(ciphers, greases[0]));
    body.extend_from_slice(&[1, 0]); // no compression
    put16(&mut body, &extensions);
    let mut bytes = record(&handshake(1, &body));
    bytes[2] = 1; // RFC 8446 section 5.1: the first record may say 1.0
    bytes
}

fn server_hello(modern: bool, elliptic: bool, session: &[u8], random: &mut Random) -> Vec<u8> {
    let mut extensions = Vec::new();
    if modern {
        extension(&mut extensions, 43, &[3, 4]);
        let mut share = 29u16.to_be_bytes().to_vec();
        put16(&mut share, &random.bytes(32));
        extension(&mut extensions, 51, &share);
    } else {
        extension(&mut extensions, 0xff01, &[0]);
        extension(&mut extensions, 11, &[1, 0]);
        extension(&mut extensions, 35, &[]);
        extension(&mut extensions, 23, &[]);
        extension(&mut extensions, 16, &[0, 9, 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1']);
    }
    let cipher: u16 = match (modern, elliptic) {
        (true, _) => *random.pick(&[0x1301, 0x1302]),
        (false, true) => 0xc02b,
        (false, false) => 0xc02f,
    };
    let mut body = vec![3, 3];
    body.extend(random.bytes(32));
    body.push(session.len() as u8);
    body.extend_from_slice(session);
    body.extend_from_slice(&cipher.to_be_bytes());
    body.push(0);
    put16(&mut body, &extensions);
    body
}
