//! The session key: fixed size, independent of direction, with its hash.

use skycap_packet::decode::{Decoded, Layer};

/// What the low bits of [`Key::kind`] say.
const KIND_IP: u64 = 1;
const KIND_ETHER: u64 = 2;
const KIND_ARP: u64 = 3;
const KIND_LINK: u64 = 4;
const KIND_CORRUPT: u64 = 5;

/// Ethertype of ARP.
const ETHERTYPE_ARP: u16 = 0x0806;
/// IP protocols with ports.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;
/// IP protocols keyed by addresses alone.
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMP6: u8 = 58;

/// Which packets make one session. For IP the lower of the two (address, port) ends comes first.
///
/// Words: both addresses (or MAC addresses), then `low port | high port << 16 | protocol << 32 | kind << 40 |
/// IP version << 44`, then `VLAN | ethertype << 16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    words: [u64; 6],
}

/// A key and where the packet's sender stands in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keyed {
    pub(crate) key: Key,
    pub(crate) hash: u64,
    /// The sender is the second end of the key.
    pub(crate) sender_is_second: bool,
}

impl Keyed {
    /// Makes the key of a decoded packet.
    #[inline]
    pub(crate) fn new(decoded: &Decoded, packet: &[u8], vlan_in_key: bool) -> Self {
        let vlan = if vlan_in_key && decoded.vlan_count > 0 { u64::from(decoded.vlans[0]) | 0x1000 } else { 0 };
        let (mut words, sender_is_second) = match decoded.layer {
            Layer::UnknownLink => ([0, 0, 0, 0, KIND_LINK << 40, 0], false),
            _ if decoded.ip_version != 0 => ip(decoded),
            _ => (ether(decoded, packet), false),
        };
        words[5] |= vlan;
        Self { key: Key { words }, hash: hash(&words), sender_is_second }
    }
}

fn ip(decoded: &Decoded) -> ([u64; 6], bool) {
    let source = halves(&decoded.source);
    let destination = halves(&decoded.destination);
    let has_ports = decoded.layer == Layer::Ports;
    let (source_port, destination_port) =
        if has_ports { (decoded.source_port, decoded.destination_port) } else { (0, 0) };
    let corrupt = decoded.layer == Layer::CorruptIp;
    let swap = !corrupt && (source, source_port) > (destination, destination_port);
    let (low, high, low_port, high_port) = if swap {
        (destination, source, destination_port, source_port)
    } else {
        (source, destination, source_port, destination_port)
    };
    let rest = u64::from(low_port)
        | u64::from(high_port) << 16
        | u64::from(decoded.ip_protocol) << 32
        | (if corrupt { KIND_CORRUPT } else { KIND_IP }) << 40
        | u64::from(decoded.ip_version & 15) << 44;
    ([low.0, low.1, high.0, high.1, rest, 0], swap)
}

/// Frames that are not IP: MAC addresses and type, directional. ARP: who asks for whom, so that the answer belongs
/// to its question.
fn ether(decoded: &Decoded, packet: &[u8]) -> [u64; 6] {
    let word = |at: u16| mac(packet, at).map_or(0, |mac| halves_of_mac(&mac));
    let kind = u64::from(decoded.ethertype) << 16;
    if decoded.ethertype == ETHERTYPE_ARP
        && let Some(pair) = arp_pair(decoded, packet)
    {
        return [0, pair.0, 0, pair.1, KIND_ARP << 40, kind];
    }
    [0, word(decoded.source_mac), 0, word(decoded.destination_mac), KIND_ETHER << 40, kind]
}

/// Asking and asked IPv4 address of an ARP message (RFC 826), whichever of the two sent it.
fn arp_pair(decoded: &Decoded, packet: &[u8]) -> Option<(u64, u64)> {
    let from = decoded.payload_offset as usize;
    let message: &[u8; 28] = packet.get(from..from.checked_add(28)?)?.first_chunk()?;
    if message[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let address =
        |at: usize| u64::from(u32::from_be_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]));
    let (sender, target) = (address(14), address(24));
    // a reply (even operation) is spoken by the one who was asked
    Some(if message[7] & 1 == 0 { (target, sender) } else { (sender, target) })
}

/// The 6 bytes of a MAC address at an offset of the packet.
#[inline]
pub(crate) fn mac(packet: &[u8], at: u16) -> Option<[u8; 6]> {
    if at == u16::MAX {
        return None;
    }
    packet.get(usize::from(at)..)?.first_chunk().copied()
}

fn halves_of_mac(mac: &[u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]])
}

#[inline]
fn halves(bytes: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(*bytes);
    ((whole >> 64) as u64, whole as u64)
}

impl Key {
    /// Address of an end (0 or 1), and the IP version (0 where the session is not IP).
    pub(crate) fn address(&self, end: usize) -> [u8; 16] {
        let [a, b] = if end == 0 { [self.words[0], self.words[1]] } else { [self.words[2], self.words[3]] };
        (u128::from(a) << 64 | u128::from(b)).to_be_bytes()
    }

    pub(crate) fn port(&self, end: usize) -> u16 {
        (self.words[4] >> if end == 0 { 0 } else { 16 }) as u16
    }

    #[inline]
    pub(crate) fn protocol(&self) -> u8 {
        (self.words[4] >> 32) as u8
    }

    pub(crate) fn ip_version(&self) -> u8 {
        (self.words[4] >> 44) as u8 & 15
    }
}

const SEEDS: [u64; 4] = [0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344, 0xA409_3822_299F_31D0, 0x082E_FA98_EC4E_6C89];

/// Mixes the words of a key: multiplications to 128 bits, folded, chained so that no word alone can cancel another.
#[inline]
fn hash(words: &[u64; 6]) -> u64 {
    let mut state = SEEDS[3];
    for (pair, seed) in words.chunks_exact(2).zip(SEEDS) {
        let (left, right) = (pair[0] ^ seed ^ state, pair[1].wrapping_add(seed) ^ state.rotate_left(32));
        state = fold(left, right) ^ left.rotate_left(23) ^ right;
    }
    fold(state ^ SEEDS[0], SEEDS[1] | 1) ^ (state >> 29)
}

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn tcp(source: u8, source_port: u16, destination: u8, destination_port: u16) -> Keyed {
        let mut decoded = Decoded { layer: Layer::Ports, ip_version: 4, ip_protocol: TCP, ..Decoded::default() };
        decoded.source[15] = source;
        decoded.destination[15] = destination;
        decoded.source_port = source_port;
        decoded.destination_port = destination_port;
        Keyed::new(&decoded, &[], false)
    }

    #[test]
    fn both_directions_share_a_key() {
        let (there, back) = (tcp(1, 9, 2, 80), tcp(2, 80, 1, 9));
        assert_eq!((there.key, there.hash), (back.key, back.hash));
        assert_ne!(there.sender_is_second, back.sender_is_second);
        assert_eq!((there.key.port(0), there.key.port(1)), (9, 80));
        assert_ne!(tcp(1, 80, 2, 9).key, there.key);
    }

    #[test]
    fn hashes_spread() {
        let mut tags = HashSet::new();
        let mut shards = [0_u32; 64];
        for host in 0..=255 {
            for port in 0..400 {
                let hash = tcp(host, 1024 + port, 7, 443).hash;
                tags.insert(hash as u32);
                shards[(hash >> 58) as usize] += 1;
            }
        }
        assert!(tags.len() > 102_390, "{} of 102400 tags differ", tags.len());
        assert!(shards.iter().all(|&count| (1_400..1_800).contains(&count)), "{shards:?}");
    }
}
