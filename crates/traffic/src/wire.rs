//! Frames: Ethernet, VLAN, IPv4, IPv6, TCP, UDP, ICMP, with right checksums.

use std::net::IpAddr;

use crate::content::Direction;

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_VLAN: u16 = 0x8100;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const ETHERTYPE_LLDP: u16 = 0x88cc;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const IPV6_FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// Largest IP packet on the generated wires.
pub(crate) const MTU: usize = 1_500;

/// One end of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) mac: [u8; 6],
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) hops: u8,
}

/// Both ends and what lies between.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) ends: [Endpoint; 2],
    pub(crate) vlan: Option<u16>,
    /// Next IPv4 identification of each end.
    pub(crate) identification: [u16; 2],
}

/// The header fields of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Padded to a multiple of four.
    pub(crate) options: &'a [u8],
}

impl Path {
    pub(crate) fn is_ipv6(&self) -> bool {
        self.ends[0].address.is_ipv6()
    }

    pub(crate) fn ip_ethertype(&self) -> u16 {
        if self.is_ipv6() { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 }
    }

    fn ends(&self, direction: Direction) -> (&Endpoint, &Endpoint) {
        (&self.ends[direction.index()], &self.ends[direction.other().index()])
    }

    /// Starts a frame.
    pub(crate) fn ethernet(&self, frame: &mut Vec<u8>, direction: Direction, ethertype: u16, to: Option<[u8; 6]>) {
        let (from, target) = self.ends(direction);
        frame.clear();
        frame.extend_from_slice(&to.unwrap_or(target.mac));
        frame.extend_from_slice(&from.mac);
        if let Some(vlan) = self.vlan {
            frame.extend_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
            frame.extend_from_slice(&vlan.to_be_bytes());
        }
        frame.extend_from_slice(&ethertype.to_be_bytes());
    }

    /// Starts a frame with an IP header for `length` bytes of payload; `fragment` is identification, offset in bytes and more-fragments.
    pub(crate) fn ip(
        &mut self,
        frame: &mut Vec<u8>,
        direction: Direction,
        protocol: u8,
        length: usize,
        fragment: Option<(u32, usize, bool)>,
    ) {
        self.ethernet(frame, direction, self.ip_ethertype(), None);
        let identification = &mut self.identification[direction.index()];
        *identification = identification.wrapping_add(1);
        let identification = *identification;
        let (from, to) = self.ends(direction);
        match (from.address, to.address) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = [0; 20];
                header[0] = 0x45;
                header[2..4].copy_from_slice(&((length + 20) as u16).to_be_bytes());
                let (identification, bits) = match fragment {
                    None => (identification, 0x4000), // don't fragment
                    Some((id, offset, more)) => (id as u16, (offset / 8) as u16 | if more { 0x2000 } else { 0 }),
                };
                header[4..6].copy_from_slice(&identification.to_be_bytes());
                header[6..8].copy_from_slice(&bits.to_be_bytes());
                header[8] = from.hops;
                header[9] = protocol;
                header[12..16].copy_from_slice(&source.octets());
                header[16..20].copy_from_slice(&destination.octets());
                let checksum = fold(sum(&header));
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                frame.extend_from_slice(&header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let extension = if fragment.is_some() { 8 } else { 0 };
                frame.extend_from_slice(&[0x60, 0, 0, 0]);
                frame.extend_from_slice(&((length + extension) as u16).to_be_bytes());
                frame.push(if fragment.is_some() { IPV6_FRAGMENT } else { protocol });
                frame.push(from.hops);
                frame.extend_from_slice(&source.octets());
                frame.extend_from_slice(&destination.octets());
                if let Some((id, offset, more)) = fragment {
                    frame.extend_from_slice(&[protocol, 0]);
                    frame.extend_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
                    frame.extend_from_slice(&id.to_be_bytes());
                }
            }
            // both ends of a path are made of one version
            _ => {}
        }
    }

    fn pseudo_header(&self, direction: Direction, protocol: u8, length: usize) -> u64 {
        let (from, to) = self.ends(direction);
        let address = |address: IpAddr| match address {
            IpAddr::V4(address) => sum(&address.octets()),
            IpAddr::V6(address) => sum(&address.octets()),
        };
        address(from.address) + address(to.address) + u64::from(protocol) + length as u64
    }

    /// Makes a TCP frame; `payload` appends exactly `length` bytes.
    pub(crate) fn tcp(
        &mut self,
        frame: &mut Vec<u8>,
        direction: Direction,
        segment: &Segment<'_>,
        length: usize,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let total = 20 + segment.options.len() + length;
        self.ip(frame, direction, TCP, total, None);
        let begin = frame.len();
        let (from, to) = self.ends(direction);
        frame.extend_from_slice(&from.port.to_be_bytes());
        frame.extend_from_slice(&to.port.to_be_bytes());
        frame.extend_from_slice(&segment.sequence.to_be_bytes());
        frame.extend_from_slice(&segment.acknowledgment.to_be_bytes());
        frame.push(((20 + segment.options.len()) as u8 / 4) << 4);
        frame.push(segment.flags);
        frame.extend_from_slice(&segment.window.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(segment.options);
        payload(frame);
        let checksum = fold(self.pseudo_header(direction, TCP, total) + sum(&frame[begin..]));
        frame[begin + 16..begin + 18].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The UDP header and payload, checksum included.
    pub(crate) fn udp_datagram(&self, direction: Direction, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.ends(direction);
        let total = 8 + payload.len();
        let mut datagram = Vec::with_capacity(total);
        datagram.extend_from_slice(&from.port.to_be_bytes());
        datagram.extend_from_slice(&to.port.to_be_bytes());
        datagram.extend_from_slice(&(total as u16).to_be_bytes());
        datagram.extend_from_slice(&[0, 0]);
        datagram.extend_from_slice(payload);
        let checksum = match fold(self.pseudo_header(direction, UDP, total) + sum(&datagram)) {
            0 => 0xffff, // RFC 768: zero means no checksum
            checksum => checksum,
        };
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        datagram
    }

    /// Puts the checksum into an ICMP or ICMPv6 message.
    pub(crate) fn icmp_checksum(&self, direction: Direction, message: &mut [u8]) {
        let pseudo = if self.is_ipv6() { self.pseudo_header(direction, ICMPV6, message.len()) } else { 0 };
        let checksum = fold(pseudo + sum(message));
        if let Some(field) = message.get_mut(2..4) {
            field.copy_from_slice(&checksum.to_be_bytes());
        }
    }
}

/// Sum of big-endian 16-bit words, as 32-bit words added up in 64 bits (RFC 1071 section 2).
fn sum(bytes: &[u8]) -> u64 {
    let chunks = bytes.chunks_exact(4);
    let rest = chunks.remainder();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let word = |chunk: &[u8]| u64::from(u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
    chunks.map(word).sum::<u64>() + word(&last)
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// CRC32C of an SCTP packet (RFC 9260 appendix A), bit by bit: such packets are few.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        // the example of RFC 1071 section 3
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), !0xddf2);
        assert_eq!(fold(sum(&[1, 2, 3])), !0x0402);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
