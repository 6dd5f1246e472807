//! Community ID v1 (github.com/corelight/community-id-spec): one text for both directions of a conversation.

use sha1::{Digest, Sha1};

use crate::{
    json,
    key::{ICMP, ICMP6},
};

/// Ends of a conversation, as the first sender saw them. For ICMP the ports are type and code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'a> {
    pub(crate) source: &'a [u8],
    pub(crate) destination: &'a [u8],
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
}

/// Writes the id with seed 0.
pub(crate) fn write(out: &mut Vec<u8>, ends: &Ends<'_>) {
    let (mut source_port, mut destination_port, mut one_way) = (ends.source_port, ends.destination_port, false);
    if matches!(ends.protocol, ICMP | ICMP6) {
        let counterpart = if ends.protocol == ICMP { icmp(source_port) } else { icmp6(source_port) };
        match counterpart {
            Some(other) => destination_port = other,
            None => one_way = true,
        }
    }
    let (mut source, mut destination) = (ends.source, ends.destination);
    if !one_way && (source, source_port) > (destination, destination_port) {
        std::mem::swap(&mut source, &mut destination);
        std::mem::swap(&mut source_port, &mut destination_port);
    }
    let mut hasher = Sha1::new();
    let mut message = [0_u8; 2 + 16 + 16 + 2 + 4];
    let mut length = 2; // two bytes of seed
    for piece in [source, destination, &[ends.protocol, 0], &source_port.to_be_bytes(), &destination_port.to_be_bytes()]
    {
        if let Some(place) = message.get_mut(length..length + piece.len()) {
            place.copy_from_slice(piece);
            length += piece.len();
        }
    }
    hasher.update(&message[..length]);
    out.extend_from_slice(b"1:");
    json::base64(out, &hasher.finalize());
}

/// The type that answers an ICMP type.
fn icmp(kind: u16) -> Option<u16> {
    Some(match kind {
        0 => 8,
        8 => 0,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        9 => 10,
        10 => 9,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// The type that answers an ICMPv6 type.
fn icmp6(kind: u16) -> Option<u16> {
    Some(match kind {
        128 => 129,
        129 => 128,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        130 => 131,
        131 => 130,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples() {
        // the specification's baseline for TCP 128.232.110.120:34855 -> 66.35.250.204:80
        let mut out = Vec::new();
        let ends = Ends {
            source: &[128, 232, 110, 120],
            destination: &[66, 35, 250, 204],
            source_port: 34855,
            destination_port: 80,
            protocol: 6,
        };
        write(&mut out, &ends);
        assert_eq!(out, b"1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let mut back = Vec::new();
        let reverse = Ends {
            source: ends.destination,
            destination: ends.source,
            source_port: 80,
            destination_port: 34855,
            protocol: 6,
        };
        write(&mut back, &reverse);
        assert_eq!(out, back);
    }
}
