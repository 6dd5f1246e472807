//! Header decoding: from a link type and bytes to offsets, once per packet, without copying or allocating.
//!
//! [`decode`] answers for every input; damage is a [`Layer`], not an error. What callers may rely on:
//! - Offsets are within the packet, `payload_offset + payload_length` too.
//! - Addresses are there whenever `ip_version` is not 0, even where `layer` is [`Layer::CorruptIp`]; ports only with
//!   [`Layer::Ports`], and in a first fragment that ends within the transport header ([`Layer::Ip`]).
//! - The payload is what follows the transport header for [`Layer::Ports`] (SCTP: the first chunk, see
//!   [`sctp_data_chunks`]); the whole IP payload, ICMP's header included, for [`Layer::Ip`] and [`Layer::UnknownIp`]; what
//!   follows the ethertype for [`Layer::Ether`]. For corrupt layers it starts at the header that makes no sense.
//! - `payload_wire_length` follows what IP, UDP or the 802.3 length say, else the record's original length.
//! - Frames with a length in place of an ethertype have `ethertype` from SNAP, or their two service access points
//!   (0xfefe for IS-IS and ES-IS, 0x4242 for spanning tree).
//! - Tunnels are not entered: IP in IP, GRE and the like are [`Layer::Ip`] with their payload.

pub mod link;
pub(crate) mod network;
pub mod transport;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use network::MAXIMUM_EXTENSION_HEADERS;
pub use transport::{MAXIMUM_SCTP_CHUNKS, SctpData, sctp_data_chunks};

/// Decodes a packet's headers.
///
/// `link_type` is the number of a capture file (LINKTYPE_…), `original_length` the packet's length on the wire; one below
/// the captured length counts as the captured length. Never fails, never allocates; the work is bounded by
/// [`link::MAXIMUM_VLAN_TAGS`] and [`MAXIMUM_EXTENSION_HEADERS`], whatever the bytes.
#[inline]
#[must_use]
pub fn decode(link_type: u32, packet: &[u8], original_length: u32) -> Decoded {
    let mut decoded = Decoded { destination_mac: u16::MAX, source_mac: u16::MAX, ..Decoded::default() };
    let captured_end = packet.len();
    let span = Span { captured_end, wire_end: captured_end.max(original_length as usize) };
    link::decode(link_type, packet, span, &mut decoded);
    decoded
}

/// Where the current layer ends, as offsets from the packet's beginning: in the captured bytes, and on the wire.
#[derive(Clone, Copy, Debug)]
struct Span {
    captured_end: usize,
    wire_end: usize,
}

impl Span {
    /// Ends the layer no later than an offset: a length inside it.
    #[inline]
    fn limited(self, end: usize) -> Self {
        Self { captured_end: self.captured_end.min(end), wire_end: self.wire_end.min(end) }
    }

    /// Ends the layer on the wire at an offset, even where the record's original length says less: an IP length.
    #[inline]
    fn claimed(self, end: usize) -> Self {
        Self { captured_end: self.captured_end.min(end), wire_end: end }
    }

    /// The captured bytes of the layer from an offset on.
    #[inline]
    fn captured(self, packet: &[u8], offset: usize) -> &[u8] {
        packet.get(offset..self.captured_end).unwrap_or_default()
    }

    /// An offset, but not beyond the captured bytes.
    #[inline]
    fn clamped(self, offset: usize) -> u32 {
        offset.min(self.captured_end) as u32
    }

    /// Makes all from an offset on the payload.
    #[inline]
    fn all(self, offset: usize, decoded: &mut Decoded) {
        let from = offset.min(self.captured_end);
        decoded.payload_offset = from as u32;
        decoded.payload_length = (self.captured_end - from) as u32;
        decoded.payload_wire_length = self.wire_end.saturating_sub(offset) as u32;
    }
}

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
