//! Cost of a small DNS exchange and of a TLS handshake: parser, fields and all.

use divan::Bencher;
use skycap_protocols::{Direction, Facts, Fields, Input, Options, Protocol, Session, Shared, dns, tls};

fn main() {
    divan::main();
}

/// A session's parts, kept from one turn to the next as a worker would keep them.
#[derive(Default)]
struct Worker {
    facts: Facts,
    options: Options,
    shared: Shared,
}

impl Worker {
    fn run(&mut self, protocol: &Protocol, messages: &[(Direction, Input<'_>)]) -> Fields {
        let mut fields = Fields::default();
        let mut parser = (protocol.open)();
        let mut session =
            Session { facts: &self.facts, options: &self.options, fields: &mut fields, shared: &mut self.shared };
        for &(direction, input) in messages {
            parser.parse(&mut session, direction, input);
        }
        parser.finish(&mut session);
        fields
    }
}

const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";

#[divan::bench]
fn dns_exchange(bencher: Bencher<'_, '_>) {
    let mut answer = QUERY.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[7] = 2;
    for last in [1, 2] {
        answer.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, last]);
    }
    let messages =
        [(Direction::FromSource, Input::Datagram(QUERY)), (Direction::FromDestination, Input::Datagram(&answer))];
    let mut worker = Worker::default();
    bencher.bench_local(|| worker.run(&dns::PROTOCOL, &messages));
}

/// A hello as browsers send it: 16 suites and as many extensions.
fn client_hello() -> Vec<u8> {
    let mut extensions = vec![0, 0, 0, 16, 0, 14, 0, 0, 11];
    extensions.extend_from_slice(b"example.com");
    for kind in [23_u8, 35, 5, 18, 51, 45, 27, 21, 17, 22] {
        extensions.extend_from_slice(&[0, kind, 0, 4, 1, 2, 3, 4]);
    }
    extensions.extend_from_slice(&[0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24, 0, 11, 0, 2, 1, 0]);
    extensions.extend_from_slice(&[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1, 0, 43, 0, 5, 4, 3, 4, 3, 3]);
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 32]);
    body.extend((0..16_u8).flat_map(|low| [0xC0, 0x20 + low]));
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(&body);
    record
}

#[divan::bench]
fn tls_client_hello(bencher: Bencher<'_, '_>) {
    let hello = client_hello();
    let messages = [(Direction::FromSource, Input::Stream(&hello))];
    let mut worker = Worker::default();
    bencher.bench_local(|| worker.run(&tls::PROTOCOL, &messages));
}
