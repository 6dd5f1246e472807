use proptest::prelude::*;

use super::*;
use crate::testing::{Bench, dump};

/// Labels of a name, ended by the root.
fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags, counts[0], counts[1], counts[2], counts[3]].iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn question(text: &str, kind: u16) -> Vec<u8> {
    let mut bytes = name(text);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]); // class IN
    bytes
}

fn query(id: u16, text: &str, kind: u16) -> Vec<u8> {
    [header(id, 0x0100, [1, 0, 0, 0]), question(text, kind)].concat()
}

/// A record whose owner is the question's name.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    owned(&[0xC0, 12], kind, data)
}

fn owned(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]); // class IN
    bytes.extend_from_slice(&[0, 0, 1, 44]); // TTL 300
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn response(id: u16, text: &str, kind: u16, records: &[Vec<u8>]) -> Vec<u8> {
    [header(id, 0x8180, [1, records.len() as u16, 0, 0]), question(text, kind), records.concat()].concat()
}

/// The fields after these datagrams, odd ones from the destination.
fn exchange(datagrams: &[Vec<u8>]) -> String {
    let mut bench = Bench::udp(40_000, 53);
    let mut parser = Dns::default();
    for (place, datagram) in datagrams.iter().enumerate() {
        let direction = if place % 2 == 0 { Direction::FromSource } else { Direction::FromDestination };
        parser.parse(&mut bench.session(), direction, Input::Datagram(datagram));
    }
    parser.finish(&mut bench.session());
    dump(&bench.fields)
}

#[test]
fn question_and_answer_are_one_object() {
    let answer = response(
        7,
        "www.Example.com",
        1,
        &[record(5, &name("host.example.com")), owned(&name("host.example.com"), 1, &[192, 0, 2, 1])],
    );
    let expected = "dns{ dns.opcode=QUERY dns.qc=IN dns.qt=A dns.queryHost=www.example.com dns.host=www.example.com \
        dns.status=NOERROR dns.headerFlags=RD dns.headerFlags=RA \
        dns.answers{ dns.answers.type=CNAME dns.answers.class=IN dns.answers.ttl=300 dns.answers.name=www.Example.com \
        dns.answers.cname=host.example.com } dns.host=host.example.com \
        dns.answers{ dns.answers.type=A dns.answers.class=IN dns.answers.ttl=300 dns.answers.name=host.example.com \
        dns.answers.ip=192.0.2.1 } dns.ip=192.0.2.1 }";
    assert_eq!(exchange(&[query(7, "www.example.com", 1), answer.clone()]), expected);
    // repeated messages change nothing
    let repeated = [query(7, "www.example.com", 1), answer.clone(), query(7, "www.example.com", 1), answer];
    assert_eq!(exchange(&repeated), expected);
}

#[test]
fn unanswered_and_separate_ids() {
    let query_of = |id| query(id, "a.example", 28);
    let alone = "dns{ dns.opcode=QUERY dns.qc=IN dns.qt=AAAA dns.queryHost=a.example dns.host=a.example }";
    assert_eq!(exchange(&[query_of(1), vec![], query_of(1)]), alone);
    assert_eq!(exchange(&[query_of(1), vec![], query_of(2)]), format!("{alone} {alone}"));
}

#[test]
fn servers_and_their_addresses() {
    let records = [
        record(2, &name("ns.example")),
        record(15, &[vec![0, 10], name("mx.example")].concat()),
        owned(&name("NS.example"), 1, &[192, 0, 2, 2]),
        owned(&name("mx.example"), 28, &[0x20; 16]),
        owned(&[0], 41, &[]), // OPT is passed over
    ];
    let found = exchange(&[query(1, "b.example", 255), response(1, "b.example", 255, &records)]);
    for part in [
        "dns.nameserverHost=ns.example",
        "dns.nameserverIp=192.0.2.2",
        "dns.mailserverHost=mx.example",
        "dns.mailserverIp=2020:2020:2020:2020:2020:2020:2020:2020",
        "dns.answers.priority=10 dns.answers.mx=mx.example",
        "dns.qt=ANY",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(!found.contains("dns.ip=") && !found.contains("OPT"), "{found}");
}

#[test]
fn record_texts() {
    let text = |kind: u16, data: &[u8]| {
        let found = exchange(&[vec![], response(1, "x.example", 1, &[record(kind, data)])]);
        found.split("dns.answers.name=x.example ").nth(1).unwrap_or("none").trim_end_matches(" } }").to_owned()
    };
    let rrsig = [
        &[0, 1, 13, 2, 0, 0, 14, 16][..], // covers A, algorithm 13, two labels, TTL 3600
        &[0, 0, 0, 9, 0, 0, 0, 8],        // expiration, inception
        &[0x30, 0x39],                    // key tag 12345
        &name("x.example"),
        &[0xAA; 8], // signature
    ];
    assert_eq!(text(46, &rrsig.concat()), "dns.answers.rrsig=RRSIG A 13 2 3600 9 8 12345 x.example");
    assert_eq!(text(46, &rrsig[..2].concat()), "none");
    let nsec = [&name("y.example")[..], &[0, 6, 0x62, 0x01, 0x80, 0x08, 0x00, 0x03], &[1, 1, 0x40]];
    assert_eq!(text(47, &nsec.concat()), "dns.answers.nsec=NSEC y.example A NS SOA MX TXT AAAA RRSIG NSEC CAA");
    assert_eq!(text(43, &[0xD4, 0x31, 13, 2, 0xAB, 0xCD]), "dns.answers.ds=DS 54321 13 2 ABCD");
    assert_eq!(text(257, b"\x80\x05issueca.example"), "dns.answers.caa=CAA 128 issue ca.example");
    assert_eq!(text(16, b"\x02ab\x01c"), "dns.answers.txt=ab dns.answers.txt=c");
    let https = [
        &[0, 1, 0][..],                              // priority, the root
        &[0, 0, 0, 2, 0, 1],                         // mandatory: alpn
        &[0, 1, 0, 6, 2, b'h', b'3', 2, b'h', b'2'], // alpn
        &[0, 2, 0, 0],                               // no-default-alpn
        &[0, 3, 0, 2, 0x20, 0xFB],                   // port 8443
        &[0, 4, 0, 4, 192, 0, 2, 1],                 // ipv4hint
        &[0, 5, 0, 4, 1, 2, 3, 4],                   // ech
    ];
    assert_eq!(
        text(65, &https.concat()),
        "dns.answers.https=HTTPS 1 . mandatory=alpn alpn=h3,h2 no-default-alpn port=8443 ipv4hint=192.0.2.1 ech=AQIDBA=="
    );
}

#[test]
fn names_are_bounded() {
    // a pointer to itself, forwards, and a chain that grows beyond 255 bytes
    for pointer in [[0xC0, 12], [0xC0, 200]] {
        let looped = [header(1, 0x0100, [1, 0, 0, 0]), pointer.to_vec(), vec![0, 1, 0, 1]].concat();
        assert_eq!(exchange(&[looped]), "");
    }
    let long = vec!["x".repeat(50); 6].join(".");
    assert_eq!(exchange(&[query(1, &long, 1)]), "");
    let odd = [header(1, 0x0100, [1, 0, 0, 0]), b"\x03a.\x01\x02\xC3\xB6\x00".to_vec(), vec![0, 1, 0, 1]].concat();
    assert!(exchange(&[odd]).contains("dns.queryHost=a\\.\\001.ö"));
    assert!(exchange(&[query(1, "", 2)]).contains("dns.queryHost=<root>"));
}

#[test]
fn international_names() {
    let found = exchange(&[query(1, "xn--bcher-kva.example", 1)]);
    assert!(found.contains("dns.queryHost=bücher.example dns.host=bücher.example dns.puny=xn--bcher-kva.example"));
}

#[test]
fn errors_without_a_question() {
    let found = exchange(&[query(5, "c.example", 1), header(5, 0x8001, [0; 4])]);
    assert!(found.contains("dns.queryHost=c.example") && found.contains("dns.status=FORMERR"), "{found}");
}

#[test]
fn claims() {
    let hint = |payload| Hint {
        payload,
        transport: Transport::Tcp,
        source_port: 9,
        destination_port: 53,
        direction: Direction::FromSource,
    };
    let message = query(1, "a.example", 1);
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    assert_eq!(claim_stream(&hint(&framed)), Claim::Certain);
    assert_eq!(claim_stream(&hint(&framed[..9])), Claim::Unsure);
    assert_eq!(claim_stream(&hint(b"\0\x04abcd")), Claim::No);
    assert_eq!(claim_datagram(&hint(&message)), Claim::Certain);
    assert_eq!(claim_datagram(&hint(b"short")), Claim::No);
}

proptest! {
    #[test]
    fn hostile_bytes(flags: u16, counts in any::<[u8; 4]>(), body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [header(1, flags, counts.map(u16::from)), body].concat();
        let _ = exchange(&[bytes.clone(), bytes.clone()]);
        for cut in 0..bytes.len().min(40) {
            let _ = exchange(&[bytes[..cut].to_vec()]);
        }
    }

    #[test]
    fn chunks_of_a_stream_do_not_matter(cuts in proptest::collection::vec(1_usize..40, 1..30)) {
        let messages = [
            query(1, "a.example", 1),
            query(2, "b.example", 28),
            response(1, "a.example", 1, &[record(1, &[192, 0, 2, 1])]),
        ];
        let stream: Vec<u8> =
            messages.iter().flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat()).collect();
        let run = |cuts: &[usize]| {
            let mut bench = Bench::tcp(40_000, 53);
            let mut parser = Dns::default();
            bench.feed(&mut parser, Direction::FromSource, &stream, cuts);
            parser.finish(&mut bench.session());
            dump(&bench.fields)
        };
        prop_assert_eq!(run(&cuts), run(&[stream.len()]));
    }
}
