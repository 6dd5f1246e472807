//! Header decoding: from a link type and bytes to offsets, once per packet, without copying or allocating.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How deep a packet could be decoded; also decides which key its session has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    /// Known transport with ports: TCP, UDP, SCTP.
    Ports,
    /// IP without ports: ICMP, ICMPv6 and every other IP protocol.
    Ip,
    /// Ethernet (or cooked) frame that is not IP: keyed by MAC addresses and type.
    #[default]
    Ether,
    /// Ethertype nobody here knows; tagged `unknown-ether`.
    UnknownEther,
    /// Cut or malformed below IP; tagged `corrupt-ether`.
    CorruptEther,
    /// IP protocol nobody here knows; tagged `unknown-ip`.
    UnknownIp,
    /// IP or transport header cut or malformed; tagged `corrupt-ip`.
    CorruptIp,
    /// A link type nobody here knows: one session a capture.
    UnknownLink,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Identification (16 bits of IPv4, 32 of IPv6).
    pub identification: u32,
    /// Offset in the datagram's payload, bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
}

/// What decoding a packet found: offsets into its bytes, all within bounds, and the values that keys are made of.
///
/// About a hundred bytes on the stack; batches of it are decoded ahead of the session tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoded {
    /// How deep decoding went.
    pub layer: Layer,
    /// Innermost IP version: 4, 6, or 0 where the packet is not IP.
    pub ip_version: u8,
    /// IP protocol of the transport header, after IPv6 extension headers.
    pub ip_protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP, 6 bits.
    pub dscp: u8,
    /// TCP flags: byte 13 of the header.
    pub tcp_flags: u8,
    /// TCP AE flag (bit 8 of the flags).
    pub tcp_ae: bool,
    /// Number of VLAN tags found (values in `vlans`, at most 2 kept, outermost first).
    pub vlan_count: u8,
    /// VLAN ids.
    pub vlans: [u16; 2],
    /// True where the tag of the same place was 802.1ad (0x88a8), false for 802.1Q.
    pub vlan_is_ad: [bool; 2],
    /// Innermost ethertype; derived from the IP version for link types without one.
    pub ethertype: u16,
    /// Offset of the 6-byte destination MAC; `u16::MAX` where there is none.
    pub destination_mac: u16,
    /// Offset of the 6-byte source MAC; `u16::MAX` where there is none.
    pub source_mac: u16,
    /// Source address; IPv4 in the last 4 bytes of `::ffff:a.b.c.d` form.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// Source port, 0 where there is none.
    pub source_port: u16,
    /// Destination port, 0 where there is none.
    pub destination_port: u16,
    /// Offset of the innermost IP header (0 where there is none).
    pub network_offset: u32,
    /// Offset of the transport header (TCP, UDP, ICMP, SCTP …).
    pub transport_offset: u32,
    /// Offset of the transport's payload.
    pub payload_offset: u32,
    /// Captured payload bytes, Ethernet padding taken off by the IP length.
    pub payload_length: u32,
    /// Payload bytes on the wire; more than `payload_length` where the packet was cut by a snap length.
    pub payload_wire_length: u32,
    /// TCP sequence number; for ICMP echo the identifier in the low 16 bits.
    pub tcp_sequence: u32,
    /// TCP acknowledgement number.
    pub tcp_acknowledgement: u32,
    /// TCP window, unscaled.
    pub tcp_window: u16,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// A fragment's place; present for fragments only (not for atomic ones).
    pub fragment: Option<Fragment>,
}

impl Decoded {
    /// Source address.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        address(self.ip_version, &self.source)
    }

    /// Destination address.
    #[must_use]
    pub fn destination_ip(&self) -> Option<IpAddr> {
        address(self.ip_version, &self.destination)
    }

    /// The payload of the packet that was decoded.
    #[must_use]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let from = self.payload_offset as usize;
        packet.get(from..from.saturating_add(self.payload_length as usize)).unwrap_or_default()
    }
}

fn address(version: u8, bytes: &[u8; 16]) -> Option<IpAddr> {
    match version {
        4 => Some(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into()),
        6 => Some(Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}
