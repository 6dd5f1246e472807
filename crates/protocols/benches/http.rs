//! HTTP: bulk transfers against the digest of the same bytes alone, and heads.
#![allow(missing_docs)]

use divan::{Bencher, counter::BytesCount};
use skycap_protocols::{Direction, Facts, Fields, Input, Options, Parser, Session, Shared, digest::Md5, http};

fn main() {
    divan::main();
}

/// Bytes of a transfer.
const BULK: usize = 16 << 20;
/// Bytes of a segment's payload.
const SEGMENT: usize = 1_448;

/// Feeds a conversation to a parser of its own.
fn run(conversation: &[(Direction, &[u8])], options: &Options) -> Fields {
    let (facts, mut fields, mut shared) = (Facts::default(), Fields::default(), Shared::default());
    let mut parser: Box<dyn Parser> = (http::PROTOCOL.open)();
    for &(direction, bytes) in conversation {
        let mut session = Session { facts: &facts, options, fields: &mut fields, shared: &mut shared };
        divan::black_box(parser.parse(&mut session, direction, Input::Stream(bytes)));
    }
    let mut session = Session { facts: &facts, options, fields: &mut fields, shared: &mut shared };
    parser.finish(&mut session);
    fields
}

fn transfer() -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {BULK}\r\n\r\n").into_bytes();
    bytes.extend((0..BULK).map(|place| (place as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]));
    bytes
}

/// A transfer in segments, with the digest that is on by default.
#[divan::bench]
fn bulk(bencher: Bencher<'_, '_>) {
    let bytes = transfer();
    let segments: Vec<_> = bytes.chunks(SEGMENT).map(|segment| (Direction::FromDestination, segment)).collect();
    bencher.counter(BytesCount::new(bytes.len())).bench(|| run(&segments, &Options::default()));
}

/// The same without a digest.
#[divan::bench]
fn bulk_without_digest(bencher: Bencher<'_, '_>) {
    let bytes = transfer();
    let segments: Vec<_> = bytes.chunks(SEGMENT).map(|segment| (Direction::FromDestination, segment)).collect();
    let options = Options { body_md5: false, ..Options::default() };
    bencher.counter(BytesCount::new(bytes.len())).bench(|| run(&segments, &options));
}

/// The digest of the same bytes alone.
#[divan::bench]
fn md5_alone(bencher: Bencher<'_, '_>) {
    let bytes = transfer();
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let mut md5 = Md5::new();
        md5.update(&bytes);
        md5.finish()
    });
}

/// The same by the `md-5` crate.
#[divan::bench]
fn md5_crate(bencher: Bencher<'_, '_>) {
    use md5::Digest as _;
    let bytes = transfer();
    bencher.counter(BytesCount::new(bytes.len())).bench(|| md5::Md5::digest(&bytes));
}

/// Sessions of that many requests with their small answers, heads above all.
#[divan::bench(args = [1, 10, 100])]
fn requests(bencher: Bencher<'_, '_>, count: usize) {
    let pairs: Vec<_> = (0..count)
        .map(|number| {
            let request = format!(
                "GET /assets/{number}/style.css?version={number}&theme=dark HTTP/1.1\r\nHost: www.example.com\r\n\
                 User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0\r\n\
                 Accept: text/css,*/*;q=0.1\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\n\
                 Cookie: session=0123456789abcdef; theme=dark\r\nReferer: http://www.example.com/\r\nConnection: keep-alive\r\n\r\n"
            );
            let body = format!("body {{ margin: {number}px }}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/css\r\n\
                 Content-Length: {}\r\nCache-Control: max-age=3600\r\nETag: \"0123456789\"\r\nConnection: keep-alive\r\n\r\n{body}",
                body.len()
            );
            (request.into_bytes(), answer.into_bytes())
        })
        .collect();
    let conversation: Vec<_> = pairs
        .iter()
        .flat_map(|(request, answer)| {
            [(Direction::FromSource, request.as_slice()), (Direction::FromDestination, answer.as_slice())]
        })
        .collect();
    let bytes: usize = conversation.iter().map(|(_, bytes)| bytes.len()).sum();
    let counter = BytesCount::new(bytes);
    bencher.counter(counter).bench(|| run(&conversation, &Options::default()));
}
