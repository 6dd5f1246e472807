//! Text of record data that isn't a bare name or address.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::message::Reader;
use super::names;

/// Types that an NSEC bitmap may name before the rest is left out.
const MAX_NSEC_TYPES: usize = 256;

/// Parameters of a service binding that are read.
const MAX_SERVICE_PARAMETERS: usize = 64;

/// Content of an RRSIG record (RFC 4034 §3): all but the signature. `None` where it is short or signed by no name.
pub(super) fn rrsig(data: &mut Reader<'_>) -> Option<String> {
    let covered = names::record_type(data.u16()?);
    let (algorithm, labels, ttl) = (data.u8()?, data.u8()?, data.u32()?);
    let (expiration, inception, tag) = (data.u32()?, data.u32()?, data.u16()?);
    let signer = name(data)?;
    if signer.is_empty() {
        return None;
    }
    Some(format!("RRSIG {covered} {algorithm} {labels} {ttl} {expiration} {inception} {tag} {signer}"))
}

/// Content of an NSEC record (RFC 4034 §4): next name, then the types it has.
pub(super) fn nsec(data: &mut Reader<'_>) -> Option<String> {
    let mut text = format!("NSEC {} ", non_root(name(data)?));
    let mut types = 0;
    while let (Some(window), Some(bitmap)) = (data.u8(), data.string()) {
        for (place, byte) in bitmap.iter().take(32).enumerate() {
            for bit in (0..8).filter(|bit| byte & (0x80 >> bit) != 0) {
                if types >= MAX_NSEC_TYPES {
                    return Some(text);
                }
                let number = u16::from(window) << 8 | (place as u16 * 8 + bit);
                if types > 0 {
                    text.push(' ');
                }
                text.push_str(&names::record_type(number));
                types += 1;
            }
        }
    }
    Some(text)
}

/// Content of a DS record (RFC 4034 §5), digest in upper case hex.
pub(super) fn ds(data: &mut Reader<'_>) -> Option<String> {
    let (tag, algorithm, digest_type) = (data.u16()?, data.u8()?, data.u8()?);
    let digest = data.rest();
    if digest.is_empty() {
        return None;
    }
    let mut text = format!("DS {tag} {algorithm} {digest_type} ");
    for byte in digest {
        push(&mut text, format_args!("{byte:02X}"));
    }
    Some(text)
}

/// Content of a CAA record (RFC 8659 §4): flags, tag, value.
pub(super) fn caa(data: &mut Reader<'_>) -> Option<String> {
    let flags = data.u8()?;
    let tag = printable(data.string()?);
    if tag.is_empty() {
        return None;
    }
    Some(format!("CAA {flags} {tag} {}", printable(data.rest())))
}

/// Content of a service binding (RFC 9460 §2): priority, target, parameters.
pub(super) fn service(label: &str, data: &mut Reader<'_>) -> Option<String> {
    let priority = data.u16()?;
    let target = name(data)?;
    let mut text = format!("{label} {priority} {}", if target.is_empty() { "." } else { &target });
    for _ in 0..MAX_SERVICE_PARAMETERS {
        if data.is_empty() {
            break;
        }
        let key = data.u16()?;
        let length = data.u16()?;
        service_parameter(&mut text, key, data.bytes(usize::from(length))?);
    }
    Some(text)
}

/// Appends a parameter (RFC 9460 §7, §14.3.2) in presentation form.
fn service_parameter(text: &mut String, key: u16, value: &[u8]) {
    text.push(' ');
    match key {
        0 => {
            text.push_str("mandatory=");
            push_list(text, value.chunks_exact(2), |text, pair| {
                let key = u16::from_be_bytes([pair[0], pair[1]]);
                match service_key(key) {
                    Some(name) => text.push_str(name),
                    None => push(text, format_args!("key{key}")),
                }
            });
        }
        1 => {
            text.push_str("alpn=");
            push_list(text, Strings(value), |text, protocol| text.push_str(&printable(protocol)));
        }
        2 => text.push_str("no-default-alpn"),
        3 if value.len() == 2 => push(text, format_args!("port={}", u16::from_be_bytes([value[0], value[1]]))),
        4 => {
            text.push_str("ipv4hint=");
            push_list(text, value.as_chunks::<4>().0, |text, address| {
                push(text, format_args!("{}", Ipv4Addr::from(*address)));
            });
        }
        5 => {
            text.push_str("ech=");
            push_base64(text, value);
        }
        6 => {
            text.push_str("ipv6hint=");
            push_list(text, value.as_chunks::<16>().0, |text, address| {
                push(text, format_args!("{}", Ipv6Addr::from(*address)));
            });
        }
        7 => push(text, format_args!("dohpath={}", printable(value))),
        _ => push(text, format_args!("key{key}={}", printable(value))),
    }
}

fn service_key(key: u16) -> Option<&'static str> {
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath"]
        .get(usize::from(key))
        .copied()
}

fn push_list<T>(text: &mut String, items: impl IntoIterator<Item = T>, mut push: impl FnMut(&mut String, T)) {
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        push(text, item);
    }
}

/// Walks strings that stand behind a length of one byte each.
struct Strings<'a>(&'a [u8]);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.0.split_first()?;
        let (string, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(string)
    }
}

fn push_base64(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 0x3F;
            text.push(if place <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
}

/// Writes to a string, which cannot fail.
fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(words);
}

/// A name as text, lossily: it stands in a line of other text.
fn name(data: &mut Reader<'_>) -> Option<String> {
    let mut text = Vec::new();
    data.name(&mut text)?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn non_root(name: String) -> String {
    if name.is_empty() { super::object::ROOT.to_owned() } else { name }
}

fn printable(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
