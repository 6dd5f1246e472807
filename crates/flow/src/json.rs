//! JSON text straight into a byte buffer (RFC 8259): numbers, strings, addresses.

use std::{
    io::Write,
    net::{IpAddr, Ipv6Addr},
};

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Writes an unsigned number.
#[inline]
pub(crate) fn unsigned(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        out.push(b'0' + number as u8);
        return;
    }
    if number < 10_000 {
        let (high, low) = (number as usize / 100 * 2, number as usize % 100 * 2);
        let four = [PAIRS[high], PAIRS[high + 1], PAIRS[low], PAIRS[low + 1]];
        match number {
            0..100 => out.extend_from_slice(&[four[2], four[3]]),
            100..1_000 => out.extend_from_slice(&[four[1], four[2], four[3]]),
            _ => out.extend_from_slice(&four),
        }
        return;
    }
    // copying all places and cutting is quicker than a copy of unknown length
    let mut digits = [0_u8; MOST_DIGITS];
    let length = number.ilog10() as usize + 1;
    let mut at = length;
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    let pair = number as usize * 2;
    if at == 2 {
        digits[0] = PAIRS[pair];
    }
    digits[at - 1] = PAIRS[pair + 1];
    let end = out.len() + length;
    out.extend_from_slice(&digits);
    out.truncate(end);
}

/// Digits of the largest number.
const MOST_DIGITS: usize = 20;

/// Writes a signed number.
pub(crate) fn signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    unsigned(out, number.unsigned_abs());
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes a byte as two hexadecimal digits.
#[inline]
pub(crate) fn hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// Writes bytes as a quoted string of hexadecimal digits.
pub(crate) fn hex_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        hex(out, byte);
    }
    out.push(b'"');
}

/// Writes a MAC address as a quoted string, `aa:bb:cc:dd:ee:ff`.
pub(crate) fn mac(out: &mut Vec<u8>, mac: [u8; 6]) {
    let mut quoted = [b'"'; 19];
    quoted[1..18].copy_from_slice(&mac_text(mac));
    out.extend_from_slice(&quoted);
}

/// A MAC address as text.
pub(crate) fn mac_text(mac: [u8; 6]) -> [u8; 17] {
    let mut text = [b':'; 17];
    for (place, byte) in mac.into_iter().enumerate() {
        text[place * 3] = HEX[usize::from(byte >> 4)];
        text[place * 3 + 1] = HEX[usize::from(byte & 15)];
    }
    text
}

/// Writes an address as a quoted string (IPv6: RFC 5952).
pub(crate) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut text = [b'"'; 17];
            let mut at = 1;
            for octet in address.octets() {
                let pair = usize::from(octet) % 100 * 2;
                if octet >= 100 {
                    text[at] = b'0' + octet / 100;
                    at += 1;
                }
                if octet >= 10 {
                    text[at] = PAIRS[pair];
                    at += 1;
                }
                text[at] = PAIRS[pair + 1];
                text[at + 1] = b'.';
                at += 2;
            }
            text[at - 1] = b'"';
            let end = out.len() + at;
            out.extend_from_slice(&text);
            out.truncate(end);
        }
        IpAddr::V6(address) => {
            out.push(b'"');
            ipv6(out, address);
            out.push(b'"');
        }
    }
}

fn ipv6(out: &mut Vec<u8>, address: Ipv6Addr) {
    // writing to a vector can't fail
    let _ = write!(out, "{address}");
}

/// What a byte needs in a string: 0 as it is, `u` a numbered escape, 1 beyond ASCII, else the letter of its escape.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte {
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            0x22 => b'"',
            0x5C => b'\\',
            0..0x20 | 0x7F => b'u',
            0x80.. => 1,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// True where no byte needs an escape or is beyond ASCII. May say false of a clean text.
#[inline]
fn is_clean(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // eight bytes at once, for control characters, quotes and backslashes: the top bit of each that is suspect; borrows only make more suspects
    let suspects = |word: u64| {
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5C);
        let low = word.wrapping_sub(ONES * 0x20) | quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES);
        (low | word | word.wrapping_add(ONES)) & TOPS
    };
    let (words, rest) = text.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | suspects(u64::from_le_bytes(*word)));
    found == 0 && rest.iter().all(|&byte| ESCAPES[usize::from(byte)] == 0)
}

/// Writes a quoted string: UTF-8 as it is; where the bytes are not UTF-8, each stands for its Latin-1 character.
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    string_part(out, text);
    out.push(b'"');
}

/// The inside of a quoted string.
pub(crate) fn string_part(out: &mut Vec<u8>, text: &[u8]) {
    if is_clean(text) {
        out.extend_from_slice(text);
        return;
    }
    let latin = !text.is_ascii() && std::str::from_utf8(text).is_err();
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let escape = ESCAPES[usize::from(byte)];
        if escape == 0 || (escape == 1 && !latin) {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match escape {
            1 => out.extend_from_slice(&[0xC0 | byte >> 6, 0x80 | byte & 0x3F]),
            b'u' => {
                out.extend_from_slice(b"\\u00");
                hex(out, byte);
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// Writes Base64 with padding (RFC 4648, 4).
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|place| u32::from(chunk.get(place).copied().unwrap_or(0)));
        let group = a << 16 | b << 8 | c;
        let mut letters = [18, 12, 6, 0].map(|shift| LETTERS[(group >> shift) as usize & 63]);
        letters.iter_mut().skip(chunk.len() + 1).for_each(|letter| *letter = b'=');
        out.extend_from_slice(&letters);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers(number in any::<i64>(), shift in 0_u32..64) {
            let mut out = Vec::new();
            signed(&mut out, number >> shift);
            prop_assert_eq!(String::from_utf8(out).unwrap(), (number >> shift).to_string());
        }

        #[test]
        fn addresses(octets in any::<[u8; 4]>()) {
            let mut out = Vec::new();
            ip(&mut out, octets.into());
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", IpAddr::from(octets)));
        }

        #[test]
        fn strings_parse(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            string(&mut out, &text);
            let parsed: String = serde_json::from_slice(&out).unwrap();
            let expected = String::from_utf8(text.clone())
                .unwrap_or_else(|_| text.iter().map(|&byte| char::from(byte)).collect());
            prop_assert_eq!(parsed, expected);
        }

        #[test]
        fn unicode_stays(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, text.as_bytes());
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn base64_vectors() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            let mut out = Vec::new();
            base64(&mut out, bytes.as_bytes());
            assert_eq!(out, text.as_bytes());
        }
    }
}
