use std::collections::BTreeMap;

use md5::Digest as _;
use proptest::prelude::*;

use super::*;
use crate::{Facts, Fields, Mark, Options, Shared, Value, catalogue};

const CLIENT: Direction = Direction::FromSource;
const SERVER: Direction = Direction::FromDestination;

/// A message of a conversation.
#[derive(Clone, Debug)]
enum Event {
    Bytes(Direction, Vec<u8>),
    Gap(Direction, u64),
    End(Direction),
}

fn sent(direction: Direction, bytes: impl AsRef<[u8]>) -> Event {
    Event::Bytes(direction, bytes.as_ref().to_vec())
}

/// A parser with what an engine keeps around it.
struct Bench {
    parser: Http,
    fields: Fields,
    options: Options,
    shared: Shared,
    kept: [Vec<u8>; 2],
    last: [Option<Verdict>; 2],
}

impl Bench {
    fn new(options: Options) -> Self {
        Self {
            parser: Http::default(),
            fields: Fields::default(),
            options,
            shared: Shared::default(),
            kept: Default::default(),
            last: [None; 2],
        }
    }

    fn give(&mut self, direction: Direction, input: Input<'_>) -> Verdict {
        let mut session = Session {
            facts: &Facts::default(),
            options: &self.options,
            fields: &mut self.fields,
            shared: &mut self.shared,
        };
        self.parser.parse(&mut session, direction, input)
    }

    fn run(&mut self, event: &Event) {
        let (direction, bytes) = match event {
            Event::Bytes(direction, bytes) => (*direction, bytes.as_slice()),
            Event::Gap(direction, _) | Event::End(direction) => (*direction, &[][..]),
        };
        let side = direction.index();
        if self.last.iter().flatten().any(|verdict| matches!(verdict, Verdict::HandOver { .. } | Verdict::NotMine))
            || matches!(self.last[side], Some(Verdict::Lost | Verdict::Done))
        {
            return;
        }
        let verdict = match event {
            Event::Gap(_, missing) => {
                if !self.kept[side].is_empty() {
                    self.last[side] = Some(Verdict::Lost);
                    return;
                }
                self.give(direction, Input::Gap(*missing))
            }
            Event::End(_) => self.give(direction, Input::End),
            Event::Bytes(..) => {
                let mut buffer = std::mem::take(&mut self.kept[side]);
                buffer.extend_from_slice(bytes);
                let verdict = self.give(direction, Input::Stream(&buffer));
                if let Verdict::More { consumed, .. } = verdict {
                    assert!(consumed <= buffer.len());
                    buffer.drain(..consumed);
                    self.kept[side] = buffer;
                }
                verdict
            }
        };
        self.last[side] = Some(verdict);
    }

    fn finish(mut self) -> Found {
        let mut session = Session {
            facts: &Facts::default(),
            options: &self.options,
            fields: &mut self.fields,
            shared: &mut self.shared,
        };
        self.parser.finish(&mut session);
        let mut found = BTreeMap::<_, Vec<_>>::new();
        for mark in self.fields.entries() {
            let Mark::Value(field, value) = mark else { panic!("no objects here") };
            let text = match value {
                Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Value::Integer(number) => number.to_string(),
                Value::Ip(address) => address.to_string(),
            };
            found.entry(catalogue().field(field).path).or_default().push(text);
        }
        Found(found)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Found(BTreeMap<&'static str, Vec<String>>);

impl Found {
    #[track_caller]
    fn has(&self, path: &str, values: &[&str]) -> &Self {
        assert_eq!(self.0.get(path).map(Vec::as_slice).unwrap_or_default(), values, "{path} of {self:#?}");
        self
    }
}

fn all() -> Options {
    Options { all_fields: true, body_md5: true, body_sha256: true }
}

fn found(events: &[Event]) -> Found {
    let mut bench = Bench::new(all());
    events.iter().for_each(|event| bench.run(event));
    bench.finish()
}

fn verdict(events: &[Event]) -> Verdict {
    let mut bench = Bench::new(all());
    events.iter().for_each(|event| bench.run(event));
    let Some(Event::Bytes(side, _) | Event::Gap(side, _) | Event::End(side)) = events.last() else {
        panic!("no event")
    };
    bench.last[side.index()].unwrap()
}

fn md5(bytes: &[u8]) -> String {
    String::from_utf8(crate::digest::hex::<16, 32>(md5::Md5::digest(bytes).into()).to_vec()).unwrap()
}

#[test]
fn request_and_answer() {
    let page = b"<!DOCTYPE html><title>a</title>";
    let found = found(&[
        sent(
            CLIENT,
            "GET /a/b%20c?x=1&y=two%20words&z&=v HTTP/1.1\r\nHost: WWW.Example.com:8080\r\nUser-Agent: Tester/1.0\r\n\
             Accept: */*\r\nCookie: sid=AbC; theme=dark\r\nX-Forwarded-For: 10.0.0.1, unknown, 2001:db8::1\r\n\
             Referer: http://a/\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
        ),
        sent(SERVER, format!("HTTP/1.1 200 OK\r\nServer: s\r\nLocation: /b\r\nContent-Length: {}\r\n\r\n", page.len())),
        sent(SERVER, page),
    ]);
    found
        .has("http.host", &["www.example.com:8080", "www.example.com"])
        .has("http.uri", &["www.example.com:8080/a/b%20c?x=1&y=two%20words&z&=v"])
        .has("http.path", &["/a/b%20c"])
        .has("http.key", &["x", "y", "z"])
        .has("http.value", &["1", "two words", "v"])
        .has("http.useragent", &["Tester/1.0"])
        .has("http.cookieKey", &["sid", "theme"])
        .has("http.cookieValue", &["AbC", "dark"])
        .has("http.xffIp", &["10.0.0.1", "2001:db8::1"])
        .has("http.authType", &["basic"])
        .has("http.user", &["Aladdin"])
        .has("user", &["aladdin"])
        .has("http.method", &["GET"])
        .has("http.method-GET", &["1"])
        .has("http.clientVersion", &["1.1"])
        .has("http.serverVersion", &["1.1"])
        .has("http.statuscode", &["200"])
        .has(
            "http.requestHeader",
            &["host", "user-agent", "accept", "cookie", "x-forwarded-for", "referer", "authorization"],
        )
        .has("http.requestHeaderField", &["accept", "cookie", "authorization"])
        .has("http.requestHeaderValue", &["*/*", "sid=abc; theme=dark", "basic qwxhzgrpbjpvcgvuihnlc2ftzq=="])
        .has("http.responseHeader", &["server", "location", "content-length"])
        .has("http.responseHeaderField", &["server", "content-length"])
        .has("http.responseHeaderValue", &["s", "31"])
        .has("http.bodyMagic", &["text/html"])
        .has("http.md5", &[&md5(page)]);
    assert_eq!(found.0["http.sha256"][0].len(), 64);
}

#[test]
fn optional_fields_only_when_asked_for() {
    let mut bench = Bench::new(Options { body_md5: false, ..Options::default() });
    bench.run(&sent(CLIENT, "POST /?a=b HTTP/1.1\r\nCookie: c=d\r\nContent-Length: 2\r\n\r\nhi"));
    bench
        .finish()
        .has("http.key", &["a"])
        .has("http.value", &[])
        .has("http.cookieValue", &[])
        .has("http.requestHeaderField", &[])
        .has("http.requestBody", &[])
        .has("http.sha256", &[])
        .has("http.md5", &[]);
}

#[test]
fn pipelining_and_bodies_of_requests() {
    found(&[
        sent(
            CLIENT,
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPUT /2 HTTP/1.1\r\nHost: a\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nwor\r\n2;x=y\r\nld\r\n0\r\nTrailer: x\r\n\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        sent(SERVER, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n"),
        sent(SERVER, "HTTP/1.0 404 No\r\n\r\n%PDF-1.7"),
        Event::End(SERVER),
    ])
    .has("http.uri", &["a/1", "a/2", "a/3"])
    .has("http.method", &["POST", "PUT", "GET"])
    .has("http.method-PUT", &["1"])
    .has("http.requestBody", &["hello", "world"])
    .has("http.md5", &[&md5(b"hello"), &md5(b"world"), &md5(b"%PDF-1.7")])
    .has("http.statuscode", &["201", "204", "404"])
    .has("http.serverVersion", &["1.1", "1.0"])
    .has("http.bodyMagic", &["application/pdf"]);
}

#[test]
fn answers_without_a_body() {
    found(&[
        sent(CLIENT, "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\nHEAD /4 HTTP/1.1\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 304 Same\r\nContent-Length: 100\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n"),
    ])
    .has("http.statuscode", &["304", "200", "500", "418"])
    .has("http.md5", &[&md5(b"ok")])
    .has("http.method-HEAD", &["2"])
    // Without a host the target stands alone.
    .has("http.uri", &["/1", "/2", "/3", "/4"]);
}

#[test]
fn continue_is_no_answer() {
    found(&[
        sent(CLIENT, "HEAD / HTTP/1.1\r\n\r\nPOST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        sent(CLIENT, "data"),
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"),
    ])
    .has("http.statuscode", &["200", "100"])
    .has("http.md5", &[&md5(b"data"), &md5(b"done")]);
}

#[test]
fn refused_expectation_leaves_out_the_body() {
    found(&[
        sent(CLIENT, "POST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
        sent(CLIENT, "GET /2 HTTP/1.1\r\n\r\n"),
    ])
    .has("http.uri", &["/1", "/2"])
    .has("http.md5", &[]);
}

#[test]
fn proxies_name_the_host_in_the_target() {
    found(&[sent(
        CLIENT,
        "GET http://a.example/x?k=v HTTP/1.1\r\nHost: a.example\r\n\r\nGET http://b.example/y HTTP/1.1\r\nHost: c.example\r\n\r\n\
         GET http://d.example:81/z HTTP/1.0\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: e.example\r\n\r\n",
    )])
    .has(
        "http.uri",
        &["http://a.example/x?k=v", "c.example;http://b.example/y", "http://d.example:81/z", "e.example;*"],
    )
    .has("http.host", &["a.example", "c.example", "d.example:81", "d.example", "e.example"])
    .has("http.path", &["/x", "/y", "/z"])
    .has("http.key", &["k"]);
}

#[test]
fn tunnels_are_handed_over() {
    let request = sent(CLIENT, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let events = [request.clone(), sent(SERVER, [&answer[..], b"\x16\x03\x01"].concat())];
    assert_eq!(verdict(&events), Verdict::HandOver { consumed: answer.len(), to: Target::Probe });
    found(&events)
        .has("http.uri", &["a.example:443"])
        .has("http.host", &["a.example:443", "a.example"])
        .has("http.method-CONNECT", &["1"])
        .has("http.path", &[]);
    // What the client sends before the answer waits for it.
    let hello = sent(CLIENT, b"\x16\x03\x01");
    assert_eq!(verdict(&[request.clone(), hello]), Verdict::More { consumed: 0, need: 4 });
    // A refusal leaves the connection as it is.
    found(&[
        request,
        sent(SERVER, "HTTP/1.1 407 Authenticate\r\nContent-Length: 2\r\n\r\nno"),
        sent(CLIENT, "GET / HTTP/1.1\r\n\r\n"),
    ])
    .has("http.method", &["CONNECT", "GET"])
    .has("http.md5", &[&md5(b"no")]);
}

#[test]
fn upgrades_are_handed_over() {
    let request = sent(CLIENT, "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: something/1\r\n\r\n");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: something/1\r\n\r\n";
    let events = [request.clone(), sent(SERVER, [answer.as_bytes(), b"\x81\0"].concat())];
    assert_eq!(verdict(&events), Verdict::HandOver { consumed: answer.len(), to: Target::Probe });
    found(&events).has("http.statuscode", &["101"]).has("http.method-GET", &["1"]);
    // Declined: the connection goes on.
    found(&[
        request,
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        sent(CLIENT, "GET /next HTTP/1.1\r\n\r\n"),
    ])
    .has("http.uri", &["/", "/next"]);
}

#[test]
fn preface_of_http_2_ends_it() {
    let events = [sent(CLIENT, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")];
    assert!(!matches!(verdict(&events), Verdict::NotMine | Verdict::HandOver { to: Target::Probe, .. }));
    found(&events).has("http.method", &["PRI"]).has("http.clientVersion", &["2.0"]).has("http.uri", &["*"]);
}

#[test]
fn lenient_heads() {
    found(&[sent(
        CLIENT,
        "\r\n\nGET /a b HTTP/1.1\nHost:x\nno header\nX-Long: one\n  two\n\n\r\nDELETE / HTTP/1.1\nHost: x\nUser-Agent:\n\n",
    )])
    .has("http.uri", &["x/a b", "x/"])
    .has("http.useragent", &[""])
    .has("http.requestHeaderField", &["x-long"])
    .has("http.requestHeaderValue", &["one two"]);
}

#[test]
fn gap_in_a_known_length_costs_the_digest_only() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nGIF89a";
    found(&[
        sent(SERVER, head),
        Event::Gap(SERVER, 900),
        sent(SERVER, [b'x'; 94]),
        sent(SERVER, "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nok"),
    ])
    .has("http.statuscode", &["200", "404"])
    .has("http.bodyMagic", &["image/gif"])
    .has("http.md5", &[&md5(b"ok")]);
    // The gap may reach to its very end, not beyond.
    assert_eq!(verdict(&[sent(SERVER, head), Event::Gap(SERVER, 994)]), Verdict::More { consumed: 0, need: 1 });
    assert_eq!(verdict(&[sent(SERVER, head), Event::Gap(SERVER, 995)]), Verdict::Lost);
}

#[test]
fn gaps_elsewhere() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n%PDF-";
    found(&[
        sent(SERVER, chunked),
        Event::Gap(SERVER, 95),
        sent(SERVER, "\r\n0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
    ])
    .has("http.statuscode", &["200", "404"])
    .has("http.bodyMagic", &["application/pdf"])
    .has("http.md5", &[]);
    assert_eq!(verdict(&[sent(SERVER, chunked), Event::Gap(SERVER, 96)]), Verdict::Lost);
    let open = [sent(SERVER, "HTTP/1.1 200 OK\r\n\r\nabc"), Event::Gap(SERVER, 9), Event::End(SERVER)];
    found(&open).has("http.md5", &[]);
    assert_eq!(verdict(&open), Verdict::Done);
    let between = [sent(CLIENT, "GET / HTTP/1.1\r\n\r\n"), Event::Gap(CLIENT, 9)];
    assert_eq!(verdict(&between), Verdict::Lost);
    // The other direction goes on.
    let mut bench = Bench::new(all());
    between.iter().for_each(|event| bench.run(event));
    bench.run(&sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    bench.finish().has("http.md5", &[&md5(b"ok")]);
}

#[test]
fn unfinished_bodies_have_a_type_and_no_digest() {
    found(&[sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nGIF89a")])
        .has("http.bodyMagic", &["image/gif"])
        .has("http.md5", &[]);
}

#[test]
fn answer_before_its_request() {
    found(&[
        sent(CLIENT, "GET /1 HT"),
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        sent(CLIENT, "TP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 404 No\r\n\r\n"),
    ])
    .has("http.statuscode", &["200", "404"]);
    // A session that begins with the answer to a request that nobody saw.
    found(&[
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        sent(CLIENT, "HEAD /2 HTTP/1.1\r\n\r\n"),
        sent(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 404 No\r\n\r\n"),
    ])
    .has("http.statuscode", &["200", "404"]);
}

#[test]
fn chunks_of_sctp() {
    let mut bench = Bench::new(all());
    for piece in ["GET / HT", "TP/1.1\r\nHost: a\r\n", "\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let verdict = bench.give(CLIENT, Input::Datagram(piece.as_bytes()));
        assert_eq!(verdict, Verdict::all(piece.len()));
    }
    bench.finish().has("http.uri", &["a/", "a/2"]).has("http.method-GET", &["2"]);
}

#[test]
fn counters_start_anew_with_each_segment() {
    let mut bench = Bench::new(all());
    bench.run(&sent(CLIENT, "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
    let Bench { mut parser, mut fields, options, mut shared, .. } = bench;
    let mut session = Session { facts: &Facts::default(), options: &options, fields: &mut fields, shared: &mut shared };
    parser.finish(&mut session);
    let mut next = Bench { parser, ..Bench::new(all()) };
    next.run(&sent(CLIENT, "GET / HTTP/1.1\r\n\r\n"));
    next.finish().has("http.method-GET", &["1"]);
}

#[test]
fn not_http() {
    for bytes in [&b"EHLO a\r\n\r\n"[..], b"\x16\x03\x01\0", b"OPTIONS rtsp://a RTSP/1.0\r\n\r\n"] {
        assert_eq!(verdict(&[sent(CLIENT, bytes)]), Verdict::NotMine, "{}", bytes.escape_ascii());
    }
    assert_eq!(verdict(&[sent(CLIENT, "GET / HTTP/1.1\r\n\r\n"), sent(CLIENT, b"\0\0")]), Verdict::Lost);
}

#[test]
fn heads_are_bounded() {
    let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(head::HEAD_BYTES));
    assert_eq!(verdict(&[sent(CLIENT, "GET / HTTP/1.1\r\n\r\n"), sent(CLIENT, head)]), Verdict::Lost);
}

#[test]
fn methods_and_counters_agree() {
    for (method, field) in head::METHODS.iter().zip(COUNTED) {
        let path = catalogue().field(field).path;
        assert_eq!(path.strip_prefix("http.method-").unwrap().as_bytes(), *method);
        assert!(FIRST_BYTES.contains(&method[0]));
    }
    assert!(head::METHODS.iter().all(|method| FIRST_BYTES.contains(&method[0])));
}

/// Conversations of all framings.
fn conversation() -> impl Strategy<Value = Vec<(Direction, Vec<u8>)>> {
    let body = proptest::collection::vec(any::<u8>(), 0..600);
    let exchange = (0..7_u8, body, 1..300_usize).prop_map(|(kind, body, size)| {
        let request = match kind {
            0 => format!("POST /p?a={} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len(), body.len()),
            1 => "HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
            2 => "GET /u HTTP/1.1\r\nHost: h\r\nUpgrade: no\r\n\r\n".to_owned(),
            _ => format!("GET /g{kind} HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n"),
        };
        let mut request = request.into_bytes();
        if kind == 0 {
            request.extend_from_slice(&body);
        }
        let mut answer = Vec::new();
        match kind {
            1 => answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"),
            3 => answer.extend_from_slice(b"HTTP/1.1 304 Same\r\n\r\n"),
            4 => {
                answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(size) {
                    answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    answer.extend_from_slice(chunk);
                    answer.extend_from_slice(b"\r\n");
                }
                answer.extend_from_slice(b"0\r\n\r\n");
            }
            _ => {
                answer.extend_from_slice(
                    format!(
                        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20{kind} OK\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    )
                    .as_bytes(),
                );
                answer.extend_from_slice(&body);
            }
        }
        [(CLIENT, request), (SERVER, answer)]
    });
    proptest::collection::vec(exchange, 1..6).prop_map(|exchanges| exchanges.into_iter().flatten().collect())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_fields(messages in conversation(), cuts in proptest::collection::vec(1..200_usize, 1..8)) {
        let whole: Vec<_> = messages.iter().map(|(side, bytes)| sent(*side, bytes)).collect();
        let mut sizes = cuts.iter().copied().cycle();
        let mut pieces = Vec::new();
        for (side, bytes) in &messages {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                pieces.push(sent(*side, piece));
                rest = behind;
            }
        }
        prop_assert_eq!(found(&whole), found(&pieces));
        let single: Vec<_> =
            messages.iter().flat_map(|(side, bytes)| bytes.iter().map(|&byte| sent(*side, [byte]))).collect();
        prop_assert_eq!(found(&whole), found(&single));
    }

    #[test]
    fn pipelined_gives_the_same_fields(messages in conversation()) {
        let apart: Vec<_> = messages.iter().map(|(side, bytes)| sent(*side, bytes)).collect();
        let joined = |wanted: Direction| {
            sent(wanted, messages.iter().filter(|(side, _)| *side == wanted).flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>())
        };
        let (mut apart, mut joined) = (found(&apart), found(&[joined(CLIENT), joined(SERVER)]));
        for values in apart.0.values_mut().chain(joined.0.values_mut()) {
            values.sort();
        }
        prop_assert_eq!(apart, joined);
    }

    #[test]
    fn never_panics_on_garbage(
        messages in conversation(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        gaps in proptest::collection::vec((any::<bool>(), 0..300_u64), 0..3),
    ) {
        let mut events = Vec::new();
        for (side, mut bytes) in messages {
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            events.push(sent(side, bytes));
        }
        for (source, missing) in gaps {
            events.insert(events.len() / 2, Event::Gap(if source { CLIENT } else { SERVER }, missing));
        }
        events.extend([Event::End(CLIENT), Event::End(SERVER)]);
        let _ = found(&events);
    }

    #[test]
    fn never_panics_on_noise(start in "(GET |HTTP/1.1 200|POST / HTTP/1.1\r\n|)", noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [start.as_bytes(), &noise].concat();
        let hint = Hint {
            payload: &bytes,
            transport: Transport::Tcp,
            source_port: 1,
            destination_port: 80,
            direction: CLIENT,
        };
        let _ = claim(&hint);
        let _ = found(&[sent(CLIENT, &bytes), Event::End(CLIENT)]);
    }
}
