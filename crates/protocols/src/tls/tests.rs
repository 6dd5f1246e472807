use proptest::prelude::*;

use super::*;
use crate::cert::test_certificate;
use crate::testing::{Bench, dump};

fn list_u16(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

fn list_u24(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes()[1..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &list_u16(content)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &list_u24(body)].concat()
}

/// Records of at most this many bytes of content.
fn records(kind: u8, content: &[u8], most: usize) -> Vec<u8> {
    content.chunks(most).flat_map(|chunk| [&[kind, 3, 1][..], &list_u16(chunk)].concat()).collect()
}

fn client_hello() -> Vec<u8> {
    let extensions = [
        extension(0x5A5A, &[]), // GREASE
        extension(0, &list_u16(&[&[0][..], &list_u16(b"Example.com")].concat())),
        extension(10, &list_u16(&[0x3A, 0x3A, 0, 29, 0, 23])), // GREASE, x25519, secp256r1
        extension(11, &[1, 0]),                                // uncompressed
        extension(13, &list_u16(&[4, 3, 8, 4])),               // ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
        extension(16, &list_u16(b"\x02h2\x08http/1.1")),
        extension(43, &[6, 0x0A, 0x0A, 3, 4, 3, 3]), // GREASE, TLS 1.3, TLS 1.2
    ];
    let body = [
        &[3, 3][..],                                   // version
        &[7; 32],                                      // random
        &[2, 0xAB, 0xCD],                              // session id
        &list_u16(&[0x1A, 0x1A, 0x13, 1, 0xC0, 0x2F]), // GREASE and two suites
        &[1, 0],                                       // compression
        &list_u16(&extensions.concat()),
    ];
    message(1, &body.concat())
}

fn server_hello(version: u16, random: [u8; 32], extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &version.to_be_bytes()[..],
        &random,
        &[1, 0xEE],    // session id
        &[0xC0, 0x2F], // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        &[0],          // compression
        &list_u16(&extensions.concat()),
    ];
    message(2, &body.concat())
}

fn certificates(list: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<u8> = list.iter().flat_map(|der| list_u24(der)).collect();
    message(11, &list_u24(&entries))
}

const CLIENT_FIELDS: &str = "http.host=example.com \
    tls.ja4=t13d0206h2_c1929292aa6b_fb71836bce29 \
    tls.ja4_r=t13d0206h2_1301,c02f_000a,000b,000d,002b_0403,0804 \
    tls.srcSessionId=abcd tls.ja3=97737df38853b88c4324af06e211c4a1 \
    tls.ja3string=771,4865-49199,0-10-11-13-16-43,29-23,0";

#[test]
fn client() {
    let mut bench = Bench::tcp(40_000, 443);
    let mut parser = Tls::default();
    let stream = records(22, &client_hello(), 50);
    let verdict = bench.feed(&mut parser, Direction::FromSource, &stream, &[3, 1, 70]);
    assert_eq!(verdict, Some(Verdict::More { consumed: stream.len() - 55, need: 5 }), "{}", stream.len());
    assert_eq!(dump(&bench.fields), CLIENT_FIELDS);
}

/// Server's flight up to TLS 1.2.
fn server_flight(most: usize) -> Vec<u8> {
    let hello = server_hello(0x0303, [1; 32], &[extension(16, b"\x00\x03\x02h2"), extension(0xFF01, &[0])]);
    let (leaf, root) = (test_certificate("CA", "Leaf"), test_certificate("CA", "CA"));
    let flight = [hello, certificates(&[leaf.clone(), root, leaf]), message(14, &[])].concat();
    records(22, &flight, most)
}

#[test]
fn server_and_certificates() {
    let mut bench = Bench::tcp(40_000, 443);
    let mut parser = Tls::default();
    let verdict = bench.feed(&mut parser, Direction::FromDestination, &server_flight(16_384), &[]);
    assert_eq!(verdict, Some(Verdict::Done));
    let text = dump(&bench.fields);
    assert!(
        text.starts_with(
            "protocol=http2 tls.version=TLSv1.2 tls.cipher=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 tls.dstSessionId=ee "
        ),
        "{text}"
    );
    assert!(text.contains("tls.ja3sstring=771,49199,16-65281 "), "{text}");
    assert_eq!(text.matches("cert{").count(), 2, "a certificate sent twice stands there once: {text}");
}

#[test]
fn versions() {
    let run = |flights: &[Vec<u8>]| {
        let mut bench = Bench::tcp(40_000, 443);
        let mut parser = Tls::default();
        let stream: Vec<u8> = flights.iter().flat_map(|flight| records(22, flight, 9_000)).collect();
        let verdict = bench.feed(&mut parser, Direction::FromDestination, &stream, &[]);
        let text = dump(&bench.fields);
        let version = text.split("tls.version=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("none");
        (version.to_owned(), verdict)
    };
    let of = |version: u16| server_hello(version, [1; 32], &[]);
    assert_eq!(run(&[of(0x0300)]).0, "SSLv3");
    assert_eq!(run(&[of(0x0301)]).0, "TLSv1");
    assert_eq!(run(&[of(0x0302)]).0, "TLSv1.1");
    assert_eq!(run(&[of(0x0505)]).0, "0x0505");
    let modern = |random| server_hello(0x0303, random, &[extension(43, &[3, 4])]);
    assert_eq!(run(&[modern([1; 32])]), ("TLSv1.3".to_owned(), Some(Verdict::Done)));
    // an early draft has neither session id nor compression
    let draft = [&[0x7F, 0x12][..], &[1; 32], &[0x13, 1], &list_u16(&extension(40, &[]))].concat();
    assert_eq!(run(&[message(2, &draft)]), ("TLSv1.3-draft-18".to_owned(), Some(Verdict::Done)));
    // a retry goes on, whatever the change of cipher says
    let mut bench = Bench::tcp(40_000, 443);
    let mut parser = Tls::default();
    let retry =
        [records(22, &modern(handshake_retry()), 9_000), records(20, &[1], 1), records(22, &modern([1; 32]), 9_000)];
    let verdict = bench.feed(&mut parser, Direction::FromDestination, &retry.concat(), &[]);
    assert_eq!(verdict, Some(Verdict::Done));
    let hellos = [records(22, &client_hello(), 9_000), records(20, &[1], 1), records(23, &[9; 50], 50)].concat();
    assert_eq!(bench.feed(&mut parser, Direction::FromSource, &hellos, &[]), Some(Verdict::Done));
}

fn handshake_retry() -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(b"HelloRetryRequest").into()
}

#[test]
fn bulk_costs_nothing() {
    let mut bench = Bench::tcp(40_000, 443);
    let mut parser = Tls::default();
    let hello = records(22, &client_hello(), 9_000);
    for after in [records(20, &[1], 1), records(23, &[0; 500], 500)] {
        let verdict = bench.feed(&mut parser, Direction::FromSource, &[hello.clone(), after].concat(), &[]);
        assert_eq!(verdict, Some(Verdict::Done));
    }
    let noise = [&hello[..], b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(bench.feed(&mut parser, Direction::FromSource, &noise, &[]), Some(Verdict::Lost));
    let fresh = &mut Tls::default();
    assert_eq!(bench.feed(fresh, Direction::FromSource, b"GET / HTTP/1.1\r\n", &[]), Some(Verdict::NotMine));
    let gap = fresh.parse(&mut bench.session(), Direction::FromSource, Input::Gap(9));
    assert_eq!(gap, Verdict::Lost);
}

fn version_2_hello() -> Vec<u8> {
    let body = [
        &[1, 3, 1][..],         // ClientHello for TLS 1.0
        &[0, 6, 0, 0, 0, 16],   // bytes of ciphers, session id, challenge
        &[0, 0, 5, 7, 0, 0xC0], // two suites
        &[9; 16],               // challenge
    ]
    .concat();
    [&[0x80, body.len() as u8][..], &body].concat()
}

#[test]
fn version_2() {
    let mut bench = Bench::tcp(40_000, 443);
    let mut parser = Tls::default();
    let stream = [version_2_hello(), records(20, &[1], 1)].concat();
    assert_eq!(bench.feed(&mut parser, Direction::FromSource, &stream, &[4, 9]), Some(Verdict::Done));
    let server = records(22, &server_hello(0x0301, [1; 32], &[]), 900);
    bench.feed(&mut parser, Direction::FromDestination, &server, &[]);
    assert!(dump(&bench.fields).contains("tls.version=TLSv1 "));
}

#[test]
fn claims() {
    let hint = |payload| Hint {
        payload,
        transport: Transport::Tcp,
        source_port: 40_000,
        destination_port: 443,
        direction: Direction::FromSource,
    };
    let hello = records(22, &client_hello(), 9_000);
    assert_eq!(claim(&hint(&hello)), Claim::Certain);
    assert_eq!(claim(&hint(&hello[..3])), Claim::Unsure);
    assert_eq!(claim(&hint(&[22, 3, 9, 0, 9, 1])), Claim::No);
    assert_eq!(claim(&hint(&[22, 3, 1, 0, 9, 77])), Claim::No);
    let old = version_2_hello();
    assert_eq!(claim_version_2(&hint(&old)), Claim::Certain);
    assert_eq!(claim_version_2(&hint(&old[..5])), Claim::Unsure);
    assert_eq!(claim_version_2(&hint(&[0x80; 40])), Claim::No);
}

#[test]
fn dtls_and_quic() {
    let mut bench = Bench::udp(40_000, 443);
    let body = client_hello()[4..].to_vec();
    assert!(handshake::client_hello(&mut bench.session(), &body, Carrier::Quic));
    assert!(dump(&bench.fields).contains("tls.ja4=q13d0206h2_"));
    // a cookie of one byte behind the session id
    let place = 2 + 32 + 3;
    let with_cookie = [&[0xFE, 0xFD][..], &body[2..place], &[1, 0x55], &body[place..]].concat();
    let mut bench = Bench::udp(40_000, 443);
    assert!(handshake::client_hello(&mut bench.session(), &with_cookie, Carrier::Dtls));
    let text = dump(&bench.fields);
    assert!(text.contains("tls.ja4=d13d0206h2_") && !text.contains("ja3"), "{text}");
    assert!(!handshake::client_hello(&mut bench.session(), &body[..30], Carrier::Tcp));
}

proptest! {
    #[test]
    fn chunks_do_not_matter(most in 1_usize..4_000, cuts in proptest::collection::vec(1_usize..600, 0..40)) {
        let run = |most: usize, cuts: &[usize]| {
            let mut bench = Bench::tcp(40_000, 443);
            let mut parser = Tls::default();
            bench.feed(&mut parser, Direction::FromSource, &records(22, &client_hello(), most), cuts);
            bench.feed(&mut parser, Direction::FromDestination, &server_flight(most), cuts);
            dump(&bench.fields)
        };
        // more records than a handshake may take are given up
        let most = most.max(8);
        prop_assert_eq!(run(most, &cuts), run(16_384, &[]));
    }

    #[test]
    fn damage_does_no_harm(place in 0_usize..3_000, byte: u8, cuts in proptest::collection::vec(1_usize..600, 0..9)) {
        let mut stream = [records(22, &client_hello(), 9_000), server_flight(700)].concat();
        if let Some(hit) = stream.get_mut(place) {
            *hit = byte;
        }
        let mut bench = Bench::tcp(40_000, 443);
        bench.feed(&mut Tls::default(), Direction::FromSource, &stream, &cuts);
    }

    #[test]
    fn hostile_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bench = Bench::tcp(40_000, 443);
        bench.feed(&mut Tls::default(), Direction::FromSource, &bytes, &[7, 50]);
        bench.feed(&mut Tls::default(), Direction::FromSource, &records(22, &bytes, 90), &[7, 50]);
        for kind in [1, 2, 11] {
            let framed = records(22, &message(kind, &bytes), 90);
            bench.feed(&mut Tls::default(), Direction::FromSource, &framed, &[7, 50]);
        }
        handshake::client_hello(&mut bench.session(), &bytes, Carrier::Dtls);
    }
}
