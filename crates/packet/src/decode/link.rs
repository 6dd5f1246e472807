//! Link layers: from the first byte of a record to an ethertype and the offset of what it announces.

use etherparse::ether_type;

use super::{Decoded, Layer, Span, network};

/// BSD loopback: a 4-byte address family in the byte order of the host that captured.
pub const LINK_NULL: u32 = 0;
/// Ethernet.
pub const LINK_ETHERNET: u32 = 1;
/// Raw IP, as OpenBSD numbers it in files.
pub const LINK_RAW_OPENBSD: u32 = 14;
/// Raw IP, as most BSDs number it in files.
pub const LINK_RAW_BSD: u32 = 12;
/// Raw IP: the version nibble tells IPv4 and IPv6 apart.
pub const LINK_RAW: u32 = 101;
/// OpenBSD loopback: a 4-byte address family in network byte order.
pub const LINK_LOOP: u32 = 108;
/// Linux cooked capture.
pub const LINK_LINUX_SLL: u32 = 113;
/// Raw IPv4.
pub const LINK_IPV4: u32 = 228;
/// Raw IPv6.
pub const LINK_IPV6: u32 = 229;
/// Linux cooked capture, version 2.
pub const LINK_LINUX_SLL2: u32 = 276;

/// Most VLAN tags of one frame; a frame with more is corrupt.
pub const MAXIMUM_VLAN_TAGS: u8 = 8;

/// Values below this one in the type field are lengths of an 802.3 frame (IEEE 802.3, 3.2.6).
const FIRST_ETHERTYPE: u16 = 0x0600;
/// ARPHRD_NETLINK of cooked captures: the protocol field is a netlink family.
const ARPHRD_NETLINK: u16 = 824;

/// Decodes a packet of a link type.
#[inline]
pub(super) fn decode(link_type: u32, packet: &[u8], span: Span, decoded: &mut Decoded) {
    match link_type {
        LINK_ETHERNET => ethernet(packet, span, decoded),
        LINK_RAW | LINK_RAW_BSD | LINK_RAW_OPENBSD => network::any_version(packet, 0, span, decoded),
        LINK_IPV4 => network::ipv4(packet, 0, span, decoded),
        LINK_IPV6 => network::ipv6(packet, 0, span, decoded),
        LINK_LINUX_SLL => linux_sll(packet, span, decoded),
        LINK_LINUX_SLL2 => linux_sll2(packet, span, decoded),
        LINK_NULL | LINK_LOOP => loopback(packet, span, decoded),
        _ => {
            decoded.layer = Layer::UnknownLink;
            span.all(0, decoded);
        }
    }
}

#[inline]
fn ethernet(packet: &[u8], span: Span, decoded: &mut Decoded) {
    let Some(header) = packet.first_chunk::<14>() else {
        decoded.layer = Layer::CorruptEther;
        return span.all(0, decoded);
    };
    decoded.destination_mac = 0;
    decoded.source_mac = 6;
    typed(packet, u16::from_be_bytes([header[12], header[13]]), 14, span, decoded);
}

#[cold]
fn loopback(packet: &[u8], span: Span, decoded: &mut Decoded) {
    let Some(family) = packet.first_chunk::<4>() else {
        decoded.layer = Layer::CorruptEther;
        return span.all(0, decoded);
    };
    // The families are small numbers, so only one byte order gives one of them.
    let (little, big) = (u32::from_le_bytes(*family), u32::from_be_bytes(*family));
    match little.min(big) {
        2 => network::ipv4(packet, 4, span, decoded),
        // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 24 | 28 | 30 => network::ipv6(packet, 4, span, decoded),
        _ => {
            decoded.layer = Layer::UnknownEther;
            span.all(4, decoded);
        }
    }
}

fn linux_sll(packet: &[u8], span: Span, decoded: &mut Decoded) {
    // Packet type 2, ARPHRD 2, address length 2, address 8, protocol 2.
    let Some(header) = packet.first_chunk::<16>() else {
        decoded.layer = Layer::CorruptEther;
        return span.all(0, decoded);
    };
    if header[4..6] == [0, 6] {
        decoded.source_mac = 6;
    }
    let hardware = u16::from_be_bytes([header[2], header[3]]);
    cooked(packet, hardware, u16::from_be_bytes([header[14], header[15]]), 16, span, decoded);
}

fn linux_sll2(packet: &[u8], span: Span, decoded: &mut Decoded) {
    // Protocol 2, reserved 2, interface 4, ARPHRD 2, packet type 1, address length 1, address 8.
    let Some(header) = packet.first_chunk::<20>() else {
        decoded.layer = Layer::CorruptEther;
        return span.all(0, decoded);
    };
    if header[11] == 6 {
        decoded.source_mac = 12;
    }
    let hardware = u16::from_be_bytes([header[8], header[9]]);
    cooked(packet, hardware, u16::from_be_bytes([header[0], header[1]]), 20, span, decoded);
}

/// The protocol field of a cooked header: an ethertype, or a small number that Linux gives to frames without one.
fn cooked(packet: &[u8], hardware: u16, protocol: u16, offset: usize, span: Span, decoded: &mut Decoded) {
    match protocol {
        _ if hardware == ARPHRD_NETLINK => {
            decoded.layer = Layer::UnknownEther;
            decoded.ethertype = protocol;
            span.all(offset, decoded);
        }
        // ETH_P_802_2: a logical link control header follows.
        4 => logical_link(packet, offset, span, decoded),
        1.. => typed(packet, protocol, offset, span, decoded),
        0 => {
            decoded.layer = Layer::UnknownEther;
            span.all(offset, decoded);
        }
    }
}

/// What an ethertype announces at an offset; goes through VLAN tags.
#[inline]
fn typed(packet: &[u8], mut ethertype: u16, mut offset: usize, span: Span, decoded: &mut Decoded) {
    loop {
        match ethertype {
            0x0800 => {
                decoded.ethertype = ethertype;
                return network::ipv4(packet, offset, span, decoded);
            }
            0x86dd => {
                decoded.ethertype = ethertype;
                return network::ipv6(packet, offset, span, decoded);
            }
            0x8100 | 0x88a8 | 0x9100 => {
                decoded.ethertype = ethertype;
                let tag = packet.get(offset..).and_then(|rest| rest.first_chunk::<4>());
                let Some(tag) = tag.filter(|_| decoded.vlan_count < MAXIMUM_VLAN_TAGS) else {
                    decoded.layer = Layer::CorruptEther;
                    return span.all(offset, decoded);
                };
                let place = usize::from(decoded.vlan_count);
                if let (Some(id), Some(is_ad)) = (decoded.vlans.get_mut(place), decoded.vlan_is_ad.get_mut(place)) {
                    *id = u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff;
                    *is_ad = ethertype == ether_type::PROVIDER_BRIDGING.0;
                }
                decoded.vlan_count += 1;
                ethertype = u16::from_be_bytes([tag[2], tag[3]]);
                offset += 4;
            }
            ..FIRST_ETHERTYPE => {
                // A length, and behind it padding that is not the frame's.
                let span = span.limited(offset.saturating_add(usize::from(ethertype)));
                return logical_link(packet, offset, span, decoded);
            }
            _ => return other(ethertype, offset, span, decoded),
        }
    }
}

fn other(ethertype: u16, offset: usize, span: Span, decoded: &mut Decoded) {
    decoded.ethertype = ethertype;
    decoded.layer = if is_known_ethertype(ethertype) { Layer::Ether } else { Layer::UnknownEther };
    span.all(offset, decoded);
}

/// IEEE 802.2 logical link control, with SNAP.
///
/// Frames without an ethertype get their two service access points as one (0xfefe IS-IS, 0x4242 spanning tree), with the
/// payload behind the control byte.
#[cold]
fn logical_link(packet: &[u8], offset: usize, span: Span, decoded: &mut Decoded) {
    let Some(header) = span.captured(packet, offset).first_chunk::<3>() else {
        decoded.layer = Layer::CorruptEther;
        return span.all(offset, decoded);
    };
    let access_points = u16::from_be_bytes([header[0], header[1]]);
    if access_points == 0xaaaa && header[2] == 3 {
        let Some(snap) = span.captured(packet, offset + 3).first_chunk::<5>() else {
            decoded.layer = Layer::CorruptEther;
            return span.all(offset, decoded);
        };
        let ethertype = u16::from_be_bytes([snap[3], snap[4]]);
        let offset = offset + 8;
        decoded.ethertype = ethertype;
        return match [snap[0], snap[1], snap[2]] {
            // RFC 1042, and IEEE 802.1H for bridges: an ethertype.
            [0, 0, 0] | [0, 0, 0xf8] => match ethertype {
                0x0800 => network::ipv4(packet, offset, span, decoded),
                0x86dd => network::ipv6(packet, offset, span, decoded),
                _ => other(ethertype, offset, span, decoded),
            },
            // Cisco: discovery protocol, VTP, per-VLAN spanning tree.
            [0, 0, 0x0c] => {
                decoded.layer = Layer::Ether;
                span.all(offset, decoded);
            }
            _ => {
                decoded.layer = Layer::UnknownEther;
                span.all(offset, decoded);
            }
        };
    }
    decoded.ethertype = access_points;
    // Spanning tree, NetWare (also raw, without a link header), BACnet, NetBIOS, OSI network layer.
    let known = matches!(access_points, 0x4242 | 0xe0e0 | 0xffff | 0x8282 | 0xf0f0 | 0xfefe);
    decoded.layer = if known { Layer::Ether } else { Layer::UnknownEther };
    span.all(if access_points == 0xffff { offset } else { offset + 3 }, decoded);
}

/// Tells whether an ethertype other than IP's is one that has a name here.
#[must_use]
pub const fn is_known_ethertype(ethertype: u16) -> bool {
    matches!(
        ethertype,
        0x0806 // ARP
            | 0x0842 // wake on LAN
            | 0x2000 // Cisco discovery, where it comes with an ethertype
            | 0x22f3 // TRILL
            | 0x6558 // transparent Ethernet bridging
            | 0x8035 // RARP
            | 0x809b | 0x80f3 // AppleTalk and its ARP
            | 0x8137 // IPX
            | 0x8808 | 0x8809 // MAC control, slow protocols
            | 0x880b // PPP
            | 0x8847 | 0x8848 // MPLS
            | 0x8863 | 0x8864 // PPPoE
            | 0x887b // HomePlug 1.0
            | 0x888e // EAP over LAN
            | 0x8892 // PROFINET
            | 0x889a // HyperSCSI
            | 0x88a2 // ATA over Ethernet
            | 0x88a4 // EtherCAT
            | 0x88b8 | 0x88b9 | 0x88ba // GOOSE, GSE, sampled values
            | 0x88be // ERSPAN
            | 0x88cc // LLDP
            | 0x88e1 // HomePlug AV
            | 0x88e5 // MACsec
            | 0x88e7 // provider backbone bridging
            | 0x88f5 | 0x88f6 | 0x88f7 // MVRP, MMRP, PTP
            | 0x88fb // parallel redundancy
            | 0x8902 // connectivity fault management
            | 0x8906 | 0x8914 // Fibre Channel, and its initialization
            | 0x892f // seamless redundancy
            | 0x894f // network service header
            | 0x9000 // loopback test
    )
}
