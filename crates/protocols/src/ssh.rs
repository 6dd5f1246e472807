//! SSH (RFC 4253): version lines, key exchange fingerprints (HASSH) and the server's host key.
//!
//! All that is readable comes before the encryption: when a direction says NEWKEYS, it is done, so bulk costs nothing.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    Claim, Direction, Hint, Input, Parser, Probe, Protocol, Session, Transport, Verdict,
    digest::{Md5, hex},
};

skycap_model::fields! {
    base = crate::base("ssh");
    VERSION = skycap_model::Field::lower("ssh.ver", "ssh.version").set().counted().group("ssh").named("Version", "SSH version lines");
    KEY = skycap_model::Field::term("ssh.key", "ssh.key").set().counted().group("ssh").named("Key", "Host keys of the server, base64");
    HASSH = skycap_model::Field::lower("ssh.hassh", "ssh.hassh").set().counted().group("ssh").named("HASSH", "Fingerprint of the client's algorithms");
    HASSH_SERVER = skycap_model::Field::lower("ssh.hasshServer", "ssh.hasshServer").set().counted().group("ssh").named("HASSH Server", "Fingerprint of the server's algorithms");
}

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "ssh",
    about: "Secure Shell, RFC 4253; fingerprints after HASSH",
    fields: FIELDS,
    probes: &[Probe::FirstByte(Transport::Tcp, b"S", claim)],
    open: || Box::new(Ssh::default()),
};

/// Longest version line, RFC 4253 section 4.2; some send more, so this is lenient.
const MAX_LINE_BYTES: usize = 1_024;
/// Lines that a server may send before its version.
const MAX_LINES_BEFORE: u8 = 20;
/// Longest packet before encryption, RFC 4253 section 6.1.
const MAX_PACKET_BYTES: usize = 35_000;

/// Message numbers, RFC 4250 section 4.1.2 and RFC 4419 section 5.
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const KEXDH_REPLY: u8 = 31;
const KEX_GEX_REPLY: u8 = 33;

fn claim(hint: &Hint<'_>) -> Claim {
    let known = hint.payload.len().min(4);
    match (hint.payload.starts_with(&b"SSH-"[..known]), known) {
        (false, _) => Claim::No,
        (true, 4) => Claim::Certain,
        (true, _) => Claim::Unsure,
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Version,
    Packets,
}

#[derive(Default)]
struct Ssh {
    stage: [Stage; 2],
    lines: [u8; 2],
}

impl Parser for Ssh {
    fn parse(&mut self, session: &mut Session<'_>, direction: Direction, input: Input<'_>) -> Verdict {
        let bytes = match input {
            Input::Stream(bytes) => bytes,
            Input::Gap(_) | Input::Datagram(_) => return Verdict::Lost,
            Input::End => return Verdict::Done,
        };
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let step = match self.stage[direction.index()] {
                Stage::Version => self.line(session, direction, rest),
                Stage::Packets => packet(session, direction, rest),
            };
            match step {
                Step::Took(length) => consumed += length,
                Step::Wants(need) => return Verdict::More { consumed, need },
                Step::Ends(verdict) => return verdict,
            }
        }
    }
}

enum Step {
    Took(usize),
    /// So many bytes in all, from where it began.
    Wants(usize),
    Ends(Verdict),
}

impl Ssh {
    fn line(&mut self, session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Step {
        let window = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() < MAX_LINE_BYTES { Step::Wants(bytes.len() + 1) } else { Step::Ends(Verdict::Lost) };
        };
        let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
        if line.starts_with(b"SSH-") {
            session.fields.text(VERSION, line);
            self.stage[direction.index()] = Stage::Packets;
            // version 1 has packets of another shape
            let second = line.starts_with(b"SSH-2") || line.starts_with(b"SSH-1.99");
            return if second { Step::Took(end + 1) } else { Step::Ends(Verdict::Done) };
        }
        // RFC 4253 section 4.2: a server may send other lines before it
        self.lines[direction.index()] += 1;
        if self.lines[direction.index()] > MAX_LINES_BEFORE { Step::Ends(Verdict::Lost) } else { Step::Took(end + 1) }
    }
}

/// One packet before encryption, RFC 4253 section 6: length, padding length, payload, padding.
fn packet(session: &mut Session<'_>, direction: Direction, bytes: &[u8]) -> Step {
    let Some((length, rest)) = number(bytes) else { return Step::Wants(4) };
    let length = length as usize;
    if !(2..=MAX_PACKET_BYTES).contains(&length) {
        return Step::Ends(Verdict::Lost);
    }
    let Some(body) = rest.get(..length) else { return Step::Wants(4 + length) };
    let padding = usize::from(body[0]);
    let Some(payload) = length.checked_sub(padding).and_then(|end| body.get(1..end)) else {
        return Step::Ends(Verdict::Lost);
    };
    match payload.split_first() {
        Some((&KEXINIT, rest)) => key_exchange(session, direction, rest),
        Some((&(KEXDH_REPLY | KEX_GEX_REPLY), rest)) if direction == Direction::FromDestination => host_key(session, rest),
        Some((&NEWKEYS, _)) => return Step::Ends(Verdict::Done),
        _ => {}
    }
    Step::Took(4 + length)
}

/// RFC 4253 section 7.1: a cookie of 16 bytes, then ten name lists.
fn key_exchange(session: &mut Session<'_>, direction: Direction, payload: &[u8]) {
    let mut rest = payload.get(16..).unwrap_or_default();
    let mut lists = [&b""[..]; 10];
    for list in &mut lists {
        let Some((text, behind)) = string(rest) else { return };
        (*list, rest) = (text, behind);
    }
    let [exchange, _, to_server_cipher, to_client_cipher, to_server_mac, to_client_mac, to_server_packing, to_client_packing, ..] =
        lists;
    let (field, parts) = match direction {
        Direction::FromSource => (HASSH, [exchange, to_server_cipher, to_server_mac, to_server_packing]),
        Direction::FromDestination => (HASSH_SERVER, [exchange, to_client_cipher, to_client_mac, to_client_packing]),
    };
    let mut digest = Md5::default();
    for (place, part) in parts.into_iter().enumerate() {
        if place > 0 {
            digest.update(b";");
        }
        digest.update(part);
    }
    session.fields.text(field, &hex::<16, 32>(digest.finish()));
}

/// RFC 4253 section 8, RFC 5656 section 4, RFC 4419 section 3: a reply begins with the host key. Message 31 of a group
/// exchange is no reply but a group: its numbers don't begin with the name of a key type.
fn host_key(session: &mut Session<'_>, payload: &[u8]) {
    let Some((key, _)) = string(payload) else { return };
    let Some((kind, _)) = string(key) else { return };
    let named = (3..=64).contains(&kind.len()) && kind.iter().all(|byte| byte.is_ascii_graphic());
    if named {
        session.fields.text(KEY, STANDARD.encode(key).as_bytes());
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(length as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Bench, dump};

    fn framed(payload: &[u8]) -> Vec<u8> {
        let padding = 4;
        let mut packet = ((payload.len() + 1 + padding) as u32).to_be_bytes().to_vec();
        packet.push(padding as u8);
        packet.extend_from_slice(payload);
        packet.extend_from_slice(&[0; 4]);
        packet
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn exchange_init(lists: [&str; 10]) -> Vec<u8> {
        let mut payload = vec![KEXINIT];
        payload.extend_from_slice(&[7; 16]); // cookie
        lists.iter().for_each(|list| payload.extend(text(list.as_bytes())));
        payload.extend_from_slice(&[0; 5]); // first_kex_packet_follows, reserved
        framed(&payload)
    }

    fn client() -> Vec<u8> {
        let lists = ["curve25519-sha256", "ssh-ed25519", "aes128-ctr", "x", "hmac-sha2-256", "y", "none", "z", "", ""];
        [b"SSH-2.0-OpenSSH_9.6 Test\r\n".to_vec(), exchange_init(lists), framed(&[NEWKEYS]), vec![0xAA; 500]].concat()
    }

    fn server() -> Vec<u8> {
        let key = [text(b"ssh-ed25519"), text(&[1; 32])].concat();
        let lists = ["curve25519-sha256", "ssh-ed25519", "x", "aes128-ctr", "y", "hmac-sha2-256", "z", "none", "", ""];
        let reply = [vec![KEXDH_REPLY], text(&key), text(&[2; 32]), text(&[3; 64])].concat();
        let parts = [b"hello\r\nSSH-2.0-dropbear\n".to_vec(), exchange_init(lists), framed(&reply), framed(&[NEWKEYS])];
        parts.concat()
    }

    fn fields(cuts: &[usize]) -> (String, Option<Verdict>, Option<Verdict>) {
        let mut bench = Bench::tcp(40_000, 22);
        let mut parser = Ssh::default();
        let first = bench.feed(&mut parser, Direction::FromSource, &client(), cuts);
        let second = bench.feed(&mut parser, Direction::FromDestination, &server(), cuts);
        (dump(&bench.fields), first, second)
    }

    #[test]
    fn fingerprints_and_key() {
        let (text, first, second) = fields(&[]);
        assert!(text.contains("ssh.version=ssh-2.0-openssh_9.6 test") && text.contains("ssh.version=ssh-2.0-dropbear"), "{text}");
        assert!(text.contains("ssh.key=AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQ"), "{text}");
        assert_eq!((first, second), (Some(Verdict::Done), Some(Verdict::Done)));
    }

    #[test]
    fn fingerprint_is_that_of_its_definition() {
        use md5::Digest;
        let expected = md5::Md5::digest(b"curve25519-sha256;aes128-ctr;hmac-sha2-256;none");
        let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        let (text, ..) = fields(&[]);
        assert!(text.contains(&format!("ssh.hassh={expected}")) && text.contains(&format!("ssh.hasshServer={expected}")), "{text}");
    }

    #[test]
    fn old_version_and_nonsense() {
        let mut bench = Bench::tcp(1, 22);
        let mut parser = Ssh::default();
        assert_eq!(bench.feed(&mut parser, Direction::FromSource, b"SSH-1.5-1.2.26\n\0\0\0", &[]), Some(Verdict::Done));
        let mut parser = Ssh::default();
        let lost = bench.feed(&mut parser, Direction::FromSource, b"SSH-2.0-x\n\xFF\xFF\xFF\xFF", &[]);
        assert_eq!(lost, Some(Verdict::Lost));
        let mut parser = Ssh::default();
        let lost = bench.feed(&mut parser, Direction::FromDestination, &b"line\n".repeat(30), &[]);
        assert_eq!(lost, Some(Verdict::Lost));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(cuts in prop::collection::vec(1_usize..60, 0..80)) {
            prop_assert_eq!(fields(&cuts), fields(&[]));
        }

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(1_usize..40, 0..20)) {
            let mut bench = Bench::tcp(1, 22);
            let mut parser = Ssh::default();
            let stream = [b"SSH-2.0-x\n".to_vec(), bytes].concat();
            bench.feed(&mut parser, Direction::FromDestination, &stream, &cuts);
        }
    }
}
