//! Certificates: well-formed DER (RFC 5280) around pseudo-random keys. Signatures are pseudo-random bytes of the right shape: none verifies.

use crate::names::Places;
use crate::random::Random;

/// Number of distinct leaf certificates.
const LEAVES: usize = 50;

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// The base point of P-256 (SEC 2 section 2.4.2), so that every elliptic public key is a point on its curve.
pub(crate) const P256_POINT: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03,
    0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
    0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce,
    0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

/// A leaf and the intermediate above it.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) subjects: Vec<String>,
    pub(crate) elliptic: bool,
}

/// All chains.
#[derive(Debug)]
pub(crate) struct Certificates {
    chains: Vec<Chain>,
}

struct Issuer {
    country: &'static str,
    organization: &'static str,
    name: String,
    elliptic: bool,
    key_id: Vec<u8>,
    certificate: Vec<u8>,
}

impl Certificates {
    pub(crate) fn new(places: &Places, random: &mut Random) -> Self {
        let companies = [
            ("US", "Quartz Trust LLC"),
            ("DE", "Linden Zertifikate GmbH"),
            ("NL", "Delta Sign B.V."),
            ("US", "Open Meadow"),
        ];
        let issuers: Vec<Issuer> = companies
            .into_iter()
            .enumerate()
            .map(|(index, (country, organization))| {
                let name = format!("{organization} TLS CA {}", index + 1);
                let root = (country, organization, format!("{organization} Root"));
                let mut issuer = Issuer {
                    country,
                    organization,
                    name,
                    elliptic: index % 2 == 1,
                    key_id: random.bytes(20),
                    certificate: Vec::new(),
                };
                let subject = distinguished_name(country, organization, &issuer.name);
                let extensions = [
                    extension(&[0x55, 0x1d, 19], true, &sequence(&[&[1, 1, 0xff], &[2, 1, 0]])), // basicConstraints CA, path 0
                    extension(&[0x55, 0x1d, 15], true, &[3, 2, 1, 6]), // keyUsage certificate and CRL sign
                    extension(&[0x55, 0x1d, 14], false, &tagged(4, &issuer.key_id)),
                ];
                issuer.certificate = certificate(
                    &distinguished_name(root.0, root.1, &root.2),
                    &subject,
                    ("210301000000Z", "360228235959Z"),
                    (false, issuer.elliptic),
                    &extensions,
                    random,
                );
                issuer
            })
            .collect();
        let chains = (0..LEAVES)
            .map(|index| {
                let issuer = &issuers[index % issuers.len()];
                let hosts = &places.hosts[index * 8..index * 8 + 8];
                let wildcard = index % 5 == 4;
                let common = if wildcard { format!("*.{}", hosts[0].domain) } else { hosts[0].name.clone() };
                let mut names = vec![common.clone()];
                if wildcard {
                    names.push(hosts[0].domain.clone());
                }
                names.extend(hosts.iter().skip(1).take(index % 8).map(|host| host.name.clone()));
                let elliptic = index % 3 != 0;
                let alternative: Vec<u8> = names.iter().flat_map(|name| tagged(0x82, name.as_bytes())).collect();
                let key_usage: &[u8] = if elliptic { &[3, 2, 7, 0x80] } else { &[3, 2, 5, 0xa0] };
                let extensions = [
                    extension(&[0x55, 0x1d, 15], true, key_usage),
                    // extendedKeyUsage serverAuth, clientAuth
                    extension(
                        &[0x55, 0x1d, 37],
                        false,
                        &sequence(&[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1], &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]]),
                    ),
                    extension(&[0x55, 0x1d, 19], true, &sequence(&[])),
                    extension(&[0x55, 0x1d, 14], false, &tagged(4, &random.bytes(20))),
                    extension(&[0x55, 0x1d, 35], false, &sequence(&[&tagged(0x80, &issuer.key_id)])),
                    extension(&[0x55, 0x1d, 17], false, &tagged(0x30, &alternative)),
                ];
                let month = index % 12 + 1;
                let leaf = certificate(
                    &distinguished_name(issuer.country, issuer.organization, &issuer.name),
                    &distinguished_name("US", &hosts[0].domain, &common),
                    (&format!("25{month:02}01000000Z"), &format!("27{month:02}01000000Z")),
                    (elliptic, issuer.elliptic),
                    &extensions,
                    random,
                );
                Chain {
                    certificates: vec![leaf, issuer.certificate.clone()],
                    subjects: vec![common, issuer.name.clone()],
                    elliptic,
                }
            })
            .collect();
        Self { chains }
    }

    /// The chain of the host with the given number.
    pub(crate) fn chain(&self, host: u32) -> &Chain {
        &self.chains[host as usize / 8 % self.chains.len()]
    }
}

fn certificate(
    issuer: &[u8],
    subject: &[u8],
    (from, until): (&str, &str),
    (elliptic, signed_elliptic): (bool, bool),
    extensions: &[Vec<u8>],
    random: &mut Random,
) -> Vec<u8> {
    let algorithm = if signed_elliptic {
        sequence(&[&tagged(6, ECDSA_WITH_SHA256)])
    } else {
        sequence(&[&tagged(6, SHA256_WITH_RSA), &[5, 0]])
    };
    let key = if elliptic {
        sequence(&[&sequence(&[&tagged(6, EC_PUBLIC_KEY), &tagged(6, P256)]), &bit_string(&P256_POINT)])
    } else {
        let mut modulus = random.bytes(256);
        modulus[0] |= 0x80;
        modulus[255] |= 1;
        let numbers = sequence(&[&integer(&modulus), &integer(&[1, 0, 1])]);
        sequence(&[&sequence(&[&tagged(6, RSA_ENCRYPTION), &[5, 0]]), &bit_string(&numbers)])
    };
    let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let mut serial = random.bytes(16);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    let body = sequence(&[
        &tagged(0xa0, &integer(&[2])), // version 3
        &integer(&serial),
        &algorithm,
        issuer,
        &sequence(&[&tagged(0x17, from.as_bytes()), &tagged(0x17, until.as_bytes())]),
        subject,
        &key,
        &tagged(0xa3, &sequence(&extensions)),
    ]);
    let signature = if signed_elliptic { ecdsa_signature(random) } else { random.bytes(256) };
    sequence(&[&body, &algorithm, &bit_string(&signature)])
}

/// An ECDSA signature's shape with pseudo-random numbers.
pub(crate) fn ecdsa_signature(random: &mut Random) -> Vec<u8> {
    let mut number = || {
        let mut bytes = random.bytes(32);
        bytes[0] = (bytes[0] & 0x7f) | 1;
        integer(&bytes)
    };
    sequence(&[&number(), &number()])
}

fn distinguished_name(country: &str, organization: &str, common: &str) -> Vec<u8> {
    let part = |kind: u8, tag: u8, text: &str| {
        tagged(0x31, &sequence(&[&tagged(6, &[0x55, 4, kind]), &tagged(tag, text.as_bytes())]))
    };
    sequence(&[&part(6, 0x13, country), &part(10, 0x0c, organization), &part(3, 0x0c, common)])
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tagged(6, id), flag, &tagged(4, value)])
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tagged(3, &[&[0], bytes].concat())
}

/// An unsigned integer, with the zero byte that keeps it positive.
fn integer(bytes: &[u8]) -> Vec<u8> {
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        tagged(2, &[&[0], bytes].concat())
    } else {
        tagged(2, bytes)
    }
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..=0x7f => bytes.push(length as u8),
        0x80..=0xff => bytes.extend_from_slice(&[0x81, length as u8]),
        _ => bytes.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks one element, into it if it is constructed, and gives what follows it.
    fn walk(bytes: &[u8]) -> &[u8] {
        let (tag, first) = (bytes[0], bytes[1]);
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81 => (3, usize::from(bytes[2])),
            0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
            _ => panic!("length of length {first:#x}"),
        };
        assert!(header == 2 || length > if header == 3 { 0x7f } else { 0xff }, "lengths are the shortest");
        let mut content = &bytes[header..header + length];
        if tag == 2 {
            assert!(content.len() == 1 || content[0] != 0 || content[1] & 0x80 != 0, "numbers are the shortest");
        }
        while tag & 0x20 != 0 && !content.is_empty() {
            content = walk(content);
        }
        &bytes[header + length..]
    }

    #[test]
    fn chains_are_der_and_distinct() {
        let mut random = Random::new(3);
        let places = Places::new(&mut random);
        let certificates = Certificates::new(&places, &mut random);
        assert_eq!(certificates.chains.len(), LEAVES);
        for chain in &certificates.chains {
            for certificate in &chain.certificates {
                assert!(walk(certificate).is_empty());
            }
        }
        let leaves: std::collections::HashSet<_> =
            certificates.chains.iter().map(|chain| &chain.certificates[0]).collect();
        assert_eq!(leaves.len(), LEAVES);
        assert!(
            certificates.chains.iter().any(|chain| chain.elliptic)
                && certificates.chains.iter().any(|chain| !chain.elliptic)
        );
    }
}
