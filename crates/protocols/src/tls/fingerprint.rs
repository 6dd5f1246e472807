//! Fingerprints of hellos: JA3 and JA3S (Althouse, Atkinson, Atkins), JA4 of the client (FoxIO, BSD 3-Clause).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::handshake::{Carrier, ClientHello, Extensions};
use crate::digest;

const SERVER_NAME: u16 = 0;
const PROTOCOL_NEGOTIATION: u16 = 16;

/// Numbers that clients throw in so that servers stay tolerant (RFC 8701).
const fn is_grease(number: u16) -> bool {
    number & 0x0F0F == 0x0A0A && number >> 8 == number & 0xFF
}

/// Numbers of two bytes each, without GREASE.
fn numbers(list: &[u8]) -> impl Iterator<Item = u16> + Clone {
    list.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).filter(|&number| !is_grease(number))
}

fn extension_types(extensions: Extensions<'_>) -> impl Iterator<Item = u16> + Clone {
    extensions.into_iter().map(|(kind, _)| kind).filter(|&kind| !is_grease(kind))
}

/// The text whose MD5 is JA3: version, ciphers, extensions, groups, point formats.
pub(super) fn ja3(hello: &ClientHello<'_>) -> String {
    let mut text = String::with_capacity(256);
    push_decimal(&mut text, hello.version);
    text.push(',');
    join(&mut text, numbers(hello.ciphers));
    text.push(',');
    join(&mut text, extension_types(hello.extensions));
    text.push(',');
    join(&mut text, numbers(hello.groups));
    text.push(',');
    join(&mut text, hello.point_formats.iter().map(|&format| u16::from(format)));
    text
}

/// The text whose MD5 is JA3S: version, cipher, extensions.
pub(super) fn ja3s(version: u16, cipher: u16, extensions: Extensions<'_>) -> String {
    let mut text = String::with_capacity(64);
    push_decimal(&mut text, version);
    text.push(',');
    push_decimal(&mut text, cipher);
    text.push(',');
    join(&mut text, extensions.into_iter().map(|(kind, _)| kind));
    text
}

/// Numbers with hyphens between them.
fn join(text: &mut String, numbers: impl Iterator<Item = u16>) {
    for (place, number) in numbers.enumerate() {
        if place > 0 {
            text.push('-');
        }
        push_decimal(text, number);
    }
}

fn push_decimal(text: &mut String, number: u16) {
    let mut digits = [0; 5];
    let mut start = digits.len();
    let mut rest = number;
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        start = place;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits.iter().skip(start).map(|&digit| char::from(digit)));
}

/// MD5 in hexadecimal.
pub(super) fn md5(text: &str) -> [u8; 32] {
    let mut md5 = digest::Md5::new();
    md5.update(text.as_bytes());
    digest::hex(md5.finish())
}

/// JA4 and what it is made of.
pub(super) struct Ja4 {
    pub(super) hashed: String,
    pub(super) raw: String,
}

/// JA4 of a client: a readable part, then ciphers and extensions, both sorted so that clients that shuffle them stay
/// the same.
pub(super) fn ja4(hello: &ClientHello<'_>, carrier: Carrier) -> Ja4 {
    let mut ciphers: Vec<u16> = numbers(hello.ciphers).collect();
    ciphers.sort_unstable();
    let mut extensions: Vec<u16> = extension_types(hello.extensions).collect();
    let extension_count = extensions.len();
    extensions.retain(|&kind| kind != SERVER_NAME && kind != PROTOCOL_NEGOTIATION);
    extensions.sort_unstable();

    let letter = match carrier {
        Carrier::Tcp => 't',
        Carrier::Dtls => 'd',
        Carrier::Quic => 'q',
    };
    let newest = numbers(hello.versions).max().unwrap_or(hello.version);
    let name = if hello.has_server_name { 'd' } else { 'i' };
    let mut head = String::with_capacity(512);
    let _ = write!(head, "{letter}{}{name}{:02}{:02}", version(newest), ciphers.len().min(99), extension_count.min(99));
    head.extend(protocol(hello.protocol));

    let mut first = String::with_capacity(ciphers.len() * 5);
    push_hexadecimal(&mut first, ciphers.into_iter());
    let mut second = String::with_capacity(256);
    push_hexadecimal(&mut second, extensions.into_iter());
    let mut algorithms = numbers(hello.signature_algorithms).peekable();
    if algorithms.peek().is_some() {
        second.push('_');
        push_hexadecimal(&mut second, algorithms);
    }
    let hashed = format!("{head}_{}_{}", short_hash(&first), short_hash(&second));
    let _ = write!(head, "_{first}_{second}");
    Ja4 { hashed, raw: head }
}

const fn version(number: u16) -> &'static str {
    match number {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xFEFF => "d1",
        0xFEFD => "d2",
        0xFEFC => "d3",
        _ => "00",
    }
}

/// First and last character of the first protocol; of its hexadecimal digits where one of them is no letter or digit.
fn protocol(name: Option<&[u8]>) -> [char; 2] {
    let (Some(&first), Some(&last)) = (name.and_then(<[u8]>::first), name.and_then(<[u8]>::last)) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)];
    }
    [first >> 4, last & 15].map(|nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0'))
}

fn push_hexadecimal(text: &mut String, numbers: impl Iterator<Item = u16>) {
    for (place, number) in numbers.enumerate() {
        if place > 0 {
            text.push(',');
        }
        let digits: [u8; 4] = digest::hex(number.to_be_bytes());
        text.extend(digits.map(char::from));
    }
}

/// First 12 digits of the SHA-256; zeros for nothing.
fn short_hash(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    let digits: [u8; 64] = digest::hex(Sha256::digest(text.as_bytes()).into());
    digits.iter().take(12).map(|&digit| char::from(digit)).collect()
}

/// Lower-case hexadecimal digits of a session id, which has at most 255 bytes.
pub(super) fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| digest::hex::<1, 2>([byte])).collect()
}
