use proptest::prelude::*;
use skycap_model::Timestamp;

use super::*;
use crate::testing::{Bench, dump};

/// A value: tag, length, content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    bytes.extend_from_slice(content);
    bytes
}

fn attribute(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
    value(0x31, &value(0x30, &[value(6, kind), value(tag, text)].concat()))
}

/// A certificate of these names, valid through the year 2020, with a key on P-256.
pub(crate) fn certificate(issuer: &str, subject: &str) -> Vec<u8> {
    let name = |text: &str| {
        let parts = [
            attribute(oid::COMMON_NAME, 0x0C, text.as_bytes()),
            attribute(oid::ORGANIZATION, 0x1E, &[0, b'O', 0x20, 0xAC]), // BMPString "O€"
            attribute(oid::ORGANIZATIONAL_UNIT, 0x14, b"\xDCnit"),      // T61String in Latin-1
        ];
        value(0x30, &parts.concat())
    };
    let algorithm = value(0x30, &value(6, &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2])); // ecdsa-with-SHA256
    let validity = [value(0x17, b"200101000000Z"), value(0x18, b"20210101000000Z")].concat();
    let curve = value(6, &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7]);
    let key = [value(0x30, &[value(6, oid::EC_PUBLIC_KEY), curve].concat()), value(3, &[0, 4, 1, 2])].concat();
    let names = [value(0x82, b"WWW.example"), value(0x87, &[192, 0, 2, 7]), value(0x81, b"a@example")].concat();
    let extensions = [
        value(0x30, &[value(6, oid::ALTERNATIVE_NAME), value(4, &value(0x30, &names))].concat()),
        value(
            0x30,
            &[value(6, oid::BASIC_CONSTRAINTS), value(1, &[0xFF]), value(4, &value(0x30, &value(1, &[0xFF])))].concat(),
        ),
    ];
    let body = [
        value(0xA0, &value(2, &[2])), // version 3
        value(2, &[0, 0xAB, 0xCD]),   // serial
        algorithm.clone(),
        name(issuer),
        value(0x30, &validity),
        name(subject),
        value(0x30, &key),
        value(0xA3, &value(0x30, &extensions.concat())),
    ];
    value(0x30, &[value(0x30, &body.concat()), algorithm, value(3, &[0, 1, 2, 3])].concat())
}

fn written(certificates: &[&[u8]]) -> String {
    let mut bench = Bench::tcp(40_000, 443);
    bench.facts.session_start = Timestamp::from_parts(1_600_000_000, 999_999_999);
    let mut seen = Seen::default();
    for der in certificates {
        write(&mut bench.session(), &mut seen, der);
    }
    dump(&bench.fields)
}

#[test]
fn all_fields() {
    let der = certificate("Some CA", "Leaf");
    let hash = "cert.hash=";
    let text = written(&[&der, &der]);
    let (before, rest) = text.split_once(hash).unwrap();
    assert_eq!(before, "cert{ cert.serial=00abcd ");
    assert_eq!(rest.as_bytes()[..60].iter().filter(|&&byte| byte == b':').count(), 19);
    assert_eq!(
        &rest[60..],
        "cert.issuerCN=some ca cert.issuerON=O€ cert.issuerOU=Ünit cert.subjectCN=leaf cert.subjectON=O€ \
         cert.subjectOU=Ünit cert.notBefore=1577836800000 cert.notAfter=1609459200000 cert.validSeconds=31622400 \
         cert.validDays=366 cert.publicAlgorithm=id-ecPublicKey cert.curve=prime256v1 cert.alt=www.example \
         cert.alt=192.0.2.7 cert.remainingSeconds=9459200 cert.remainingDays=109 } tags=cert:certificate-authority"
    );
}

#[test]
fn self_signed_and_broken() {
    let der = certificate("Me", "Me");
    assert!(written(&[&der]).ends_with("tags=cert:self-signed"));
    assert_eq!(written(&[b"", b"\x30", b"\x30\x84\xFF\xFF\xFF\xFF", b"\x30\x80\x30\x80"]), "");
}

proptest! {
    #[test]
    fn damage_does_no_harm(place in 0_usize..400, byte: u8, cut in 0_usize..500) {
        let mut der = certificate("A", "B");
        if let Some(hit) = der.get_mut(place) {
            *hit = byte;
        }
        let _ = written(&[&der, der.get(..cut).unwrap_or(&der)]);
    }

    #[test]
    fn hostile_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = written(&[&bytes]);
    }
}
