//! Object identifiers: names of key algorithms and curves, as their standards spell them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Arcs of an identifier that are written.
const MAX_ARCS: usize = 32;

/// `id-at-commonName`
pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// `id-at-organizationName`
pub(super) const ORGANIZATION: &[u8] = &[0x55, 4, 10];
/// `id-at-organizationalUnitName`
pub(super) const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
/// `id-ce-subjectAltName`
pub(super) const ALTERNATIVE_NAME: &[u8] = &[0x55, 29, 17];
/// `id-ce-basicConstraints`
pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
/// `id-ecPublicKey`, whose parameter is the curve.
pub(super) const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];

/// Name of an algorithm or curve; its arcs with dots between them where it isn't known.
pub(super) fn name(identifier: &[u8]) -> Cow<'static, str> {
    Cow::Borrowed(match identifier {
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1] => "rsaEncryption",
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 7] => "id-RSAES-OAEP",
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 10] => "id-RSASSA-PSS",
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 3, 1] => "dhKeyAgreement",
        EC_PUBLIC_KEY => "id-ecPublicKey",
        [0x2A, 0x86, 0x48, 0xCE, 0x38, 4, 1] => "id-dsa",
        [0x2A, 0x86, 0x48, 0xCE, 0x3E, 2, 1] => "dhpublicnumber",
        [0x2B, 0x81, 4, 1, 12] => "id-ecDH",
        [0x2B, 0x65, 110] => "id-X25519",
        [0x2B, 0x65, 111] => "id-X448",
        [0x2B, 0x65, 112] => "id-Ed25519",
        [0x2B, 0x65, 113] => "id-Ed448",
        [0x2A, 0x85, 3, 2, 2, 19] => "id-GostR3410-2001",
        [0x2A, 0x85, 3, 2, 2, 20] => "id-GostR3410-94",
        [0x2A, 0x85, 3, 7, 1, 1, 1, 1] => "id-tc26-gost3410-12-256",
        [0x2A, 0x85, 3, 7, 1, 1, 1, 2] => "id-tc26-gost3410-12-512",
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17] => "id-ml-dsa-44",
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18] => "id-ml-dsa-65",
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19] => "id-ml-dsa-87",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 1] => "prime192v1",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 2] => "prime192v2",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 3] => "prime192v3",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 4] => "prime239v1",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 5] => "prime239v2",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 6] => "prime239v3",
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7] => "prime256v1",
        [0x2B, 0x81, 4, 0, 1] => "sect163k1",
        [0x2B, 0x81, 4, 0, 10] => "secp256k1",
        [0x2B, 0x81, 4, 0, 15] => "sect163r2",
        [0x2B, 0x81, 4, 0, 16] => "sect283k1",
        [0x2B, 0x81, 4, 0, 17] => "sect283r1",
        [0x2B, 0x81, 4, 0, 26] => "sect233k1",
        [0x2B, 0x81, 4, 0, 27] => "sect233r1",
        [0x2B, 0x81, 4, 0, 32] => "secp224k1",
        [0x2B, 0x81, 4, 0, 33] => "secp224r1",
        [0x2B, 0x81, 4, 0, 34] => "secp384r1",
        [0x2B, 0x81, 4, 0, 35] => "secp521r1",
        [0x2B, 0x81, 4, 0, 36] => "sect409k1",
        [0x2B, 0x81, 4, 0, 37] => "sect409r1",
        [0x2B, 0x81, 4, 0, 38] => "sect571k1",
        [0x2B, 0x81, 4, 0, 39] => "sect571r1",
        [0x2B, 0x24, 3, 3, 2, 8, 1, 1, 7] => "brainpoolP256r1",
        [0x2B, 0x24, 3, 3, 2, 8, 1, 1, 11] => "brainpoolP384r1",
        [0x2B, 0x24, 3, 3, 2, 8, 1, 1, 13] => "brainpoolP512r1",
        [0x2A, 0x81, 0x1C, 0xCF, 0x55, 1, 0x82, 0x2D] => "sm2",
        _ => return Cow::Owned(dotted(identifier)),
    })
}

/// Arcs with dots between them (X.690 §8.19).
fn dotted(identifier: &[u8]) -> String {
    let mut text = String::new();
    let mut arc = 0_u64;
    let mut arcs = 0;
    for &byte in identifier {
        arc = arc.wrapping_shl(7) | u64::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            continue;
        }
        if arcs == 0 {
            let first = (arc / 40).min(2);
            let _ = write!(text, "{first}.{}", arc - first * 40);
        } else {
            let _ = write!(text, ".{arc}");
        }
        arc = 0;
        arcs += 1;
        if arcs >= MAX_ARCS {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name(EC_PUBLIC_KEY), "id-ecPublicKey");
        assert_eq!(name(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 5]), "1.2.840.113549.1.1.5");
        assert_eq!(name(&[0x88, 0x37, 3]), "2.999.3");
        assert_eq!(name(&[0xFF; 40]), "");
    }
}
