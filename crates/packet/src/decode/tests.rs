use etherparse::{LaxNetSlice, LaxSlicedPacket, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::{
    link::{
        LINK_ETHERNET, LINK_IPV4, LINK_IPV6, LINK_LINUX_SLL, LINK_LINUX_SLL2, LINK_LOOP, LINK_NULL, LINK_RAW,
        LINK_RAW_BSD, LINK_RAW_OPENBSD,
    },
    *,
};

/// Link types worth trying on any bytes; the last is unknown.
const LINK_TYPES: [u32; 11] = [
    LINK_NULL,
    LINK_ETHERNET,
    LINK_RAW,
    LINK_RAW_BSD,
    LINK_RAW_OPENBSD,
    LINK_LOOP,
    LINK_LINUX_SLL,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LINUX_SLL2,
    9,
];

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

fn join(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

fn all(link_type: u32, packet: &[u8]) -> Decoded {
    let decoded = decode(link_type, packet, packet.len() as u32);
    check(packet, &decoded);
    decoded
}

/// What holds for every packet.
fn check(packet: &[u8], decoded: &Decoded) {
    let length = packet.len() as u32;
    assert!(decoded.network_offset <= length, "{decoded:?}");
    assert!(decoded.transport_offset <= length, "{decoded:?}");
    assert!(decoded.payload_offset + decoded.payload_length <= length, "{decoded:?}");
    assert_eq!(decoded.payload(packet).len(), decoded.payload_length as usize);
    assert!(decoded.source_mac == u16::MAX || u32::from(decoded.source_mac) + 6 <= length);
    assert!(decoded.destination_mac == u16::MAX || u32::from(decoded.destination_mac) + 6 <= length);
    assert!(decoded.payload_wire_length >= decoded.payload_length, "{decoded:?}");
    if decoded.layer == Layer::Ports {
        assert!(decoded.ip_version == 4 || decoded.ip_version == 6);
    }
}

/// An IPv4 header of 20 bytes.
fn ipv4(protocol: u8, total_length: u16, identification: u16, fragment: u16) -> Vec<u8> {
    join(&[
        &[0x45, 0xb8],                 // version and length, DSCP 46
        &total_length.to_be_bytes(),   // total length
        &identification.to_be_bytes(), // identification
        &fragment.to_be_bytes(),       // flags, offset
        &[64, protocol, 0, 0],         // TTL, protocol, checksum
        &[10, 0, 0, 1],                // source
        &[10, 0, 0, 2],                // destination
    ])
}

/// An IPv6 header of 40 bytes: 2001:db8::1 to 2001:db8::2.
fn ipv6(next: u8, payload_length: u16) -> Vec<u8> {
    let mut header = vec![0x6b, 0x80, 0, 0]; // version, traffic class (DSCP 46), flow label
    header.extend(payload_length.to_be_bytes());
    header.extend([next, 63]); // next header, hop limit
    for last in [1, 2] {
        header.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    header
}

/// A UDP header from 1111 to 53.
fn udp(length: u16) -> Vec<u8> {
    join(&[&1111_u16.to_be_bytes(), &53_u16.to_be_bytes(), &length.to_be_bytes(), &[0, 0]])
}

/// A TCP header of 20 bytes from 40000 to 443, sequence 7, acknowledgement 9, SYN and ACK, AE, window 512.
fn tcp() -> Vec<u8> {
    join(&[
        &40_000_u16.to_be_bytes(),
        &443_u16.to_be_bytes(),
        &7_u32.to_be_bytes(),
        &9_u32.to_be_bytes(),
        &[0x51, 0x12],          // data offset, AE; SYN, ACK
        &512_u16.to_be_bytes(), // window
        &[0, 0, 0, 0],          // checksum, urgent pointer
    ])
}

/// A small UDP packet over IPv4: 10.0.0.1:1111 to 10.0.0.2:53, payload "abc".
fn udp_packet() -> Vec<u8> {
    join(&[&ipv4(17, 31, 1, 0), &udp(11), b"abc"])
}

#[track_caller]
fn is_udp_packet(packet: &[u8], decoded: &Decoded) {
    assert_eq!(decoded.layer, Layer::Ports);
    assert_eq!((decoded.ip_version, decoded.ip_protocol, decoded.ttl, decoded.dscp), (4, 17, 64, 46));
    assert_eq!(decoded.source_ip(), Some([10, 0, 0, 1].into()));
    assert_eq!(decoded.destination_ip(), Some([10, 0, 0, 2].into()));
    assert_eq!((decoded.source_port, decoded.destination_port), (1111, 53));
    assert_eq!(decoded.ethertype, 0x0800);
    assert_eq!(decoded.payload(packet), b"abc");
    assert_eq!(decoded.payload_wire_length, 3);
}

#[test]
fn ethernet_with_padding() {
    let packet = join(&[&MACS, &[0x08, 0x00], &udp_packet(), &[0; 15]]);
    let decoded = all(LINK_ETHERNET, &packet);
    is_udp_packet(&packet, &decoded);
    assert_eq!((decoded.destination_mac, decoded.source_mac), (0, 6));
    assert_eq!((decoded.network_offset, decoded.transport_offset, decoded.payload_offset), (14, 34, 42));
}

#[test]
fn vlan_tags() {
    let packet = join(&[
        &MACS,
        &[0x88, 0xa8, 0x20, 0x64], // 802.1ad, priority 1, id 100
        &[0x81, 0x00, 0x00, 0xc8], // 802.1Q, id 200
        &[0x91, 0x00, 0x01, 0x2c], // old double tag, id 300: counted, not kept
        &[0x08, 0x00],
        &udp_packet(),
    ]);
    let decoded = all(LINK_ETHERNET, &packet);
    is_udp_packet(&packet, &decoded);
    assert_eq!((decoded.vlan_count, decoded.vlans, decoded.vlan_is_ad), (3, [100, 200], [true, false]));

    let many = join(&[&MACS, &[0x81, 0, 0, 1].repeat(20)]);
    assert_eq!(all(LINK_ETHERNET, &many).layer, Layer::CorruptEther);
}

#[test]
fn raw_and_loopback() {
    let packet = udp_packet();
    for link_type in [LINK_RAW, LINK_RAW_BSD, LINK_RAW_OPENBSD, LINK_IPV4] {
        is_udp_packet(&packet, &all(link_type, &packet));
    }
    assert_eq!(all(LINK_IPV6, &packet).layer, Layer::CorruptIp);
    assert_eq!(all(LINK_RAW, &[0x50; 40]).layer, Layer::CorruptIp);
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        let packet = join(&[&family, &udp_packet()]);
        is_udp_packet(&packet, &all(LINK_NULL, &packet));
        is_udp_packet(&packet, &all(LINK_LOOP, &packet));
    }
    for family in [10, 24, 28, 30] {
        let packet = join(&[&[0, 0, 0, family], &ipv6(17, 11), &udp(11), b"abc"]);
        assert_eq!(all(LINK_NULL, &packet).layer, Layer::Ports);
    }
    assert_eq!(all(LINK_NULL, &[7, 0, 0, 0, 1]).layer, Layer::UnknownEther);
    assert_eq!(all(12_345, &packet).layer, Layer::UnknownLink);
    assert_eq!(all(12_345, &packet).payload(&packet), packet);
}

#[test]
fn cooked() {
    let sll = join(&[
        &[0, 4, 0, 1],             // sent by us, ARPHRD_ETHER
        &[0, 6],                   // address length
        &[2, 0, 0, 0, 0, 9, 0, 0], // address
        &[0x08, 0x00],             // protocol
        &udp_packet(),
    ]);
    let decoded = all(LINK_LINUX_SLL, &sll);
    is_udp_packet(&sll, &decoded);
    assert_eq!((decoded.destination_mac, decoded.source_mac), (u16::MAX, 6));

    let sll2 = join(&[
        &[0x08, 0x00, 0, 0],       // protocol, reserved
        &[0, 0, 0, 3],             // interface
        &[0, 1, 4, 6],             // ARPHRD_ETHER, sent by us, address length
        &[2, 0, 0, 0, 0, 9, 0, 0], // address
        &udp_packet(),
    ]);
    let decoded = all(LINK_LINUX_SLL2, &sll2);
    is_udp_packet(&sll2, &decoded);
    assert_eq!((decoded.destination_mac, decoded.source_mac), (u16::MAX, 12));

    let netlink = join(&[&[0, 4, 0x03, 0x38, 0, 0], &[0; 8], &[0, 0], &[1; 20]]);
    assert_eq!(all(LINK_LINUX_SLL, &netlink).layer, Layer::UnknownEther);
    let spanning_tree = join(&[&[0, 1, 0, 1, 0, 6], &[0; 8], &[0, 4], &[0x42, 0x42, 3, 0, 0]]);
    assert_eq!(all(LINK_LINUX_SLL, &spanning_tree).ethertype, 0x4242);
}

#[test]
fn ethertypes_without_ip() {
    for (ethertype, layer) in
        [(0x0806_u16, Layer::Ether), (0x88cc, Layer::Ether), (0x8847, Layer::Ether), (0xbeef, Layer::UnknownEther)]
    {
        let packet = join(&[&MACS, &ethertype.to_be_bytes(), &[1, 2, 3]]);
        let decoded = all(LINK_ETHERNET, &packet);
        assert_eq!((decoded.layer, decoded.ethertype), (layer, ethertype));
        assert_eq!(decoded.payload(&packet), [1, 2, 3]);
    }
}

#[test]
fn logical_link_control() {
    // Length 39, SNAP with OUI 0, IPv4; then padding.
    let snap = join(&[&MACS, &[0, 39], &[0xaa, 0xaa, 3], &[0, 0, 0], &[0x08, 0x00], &udp_packet(), &[0; 5]]);
    is_udp_packet(&snap, &all(LINK_ETHERNET, &snap));

    // Length 4, IS-IS, one byte of payload; padding.
    let isis = join(&[&MACS, &[0, 4], &[0xfe, 0xfe, 3], &[0x83], &[0; 42]]);
    let decoded = all(LINK_ETHERNET, &isis);
    assert_eq!((decoded.layer, decoded.ethertype), (Layer::Ether, 0xfefe));
    assert_eq!(decoded.payload(&isis), [0x83]);

    // Cisco discovery: OUI 00-00-0c, type 0x2000.
    let cisco = join(&[&MACS, &[0, 10], &[0xaa, 0xaa, 3], &[0, 0, 0x0c], &[0x20, 0x00], &[2, 180]]);
    let decoded = all(LINK_ETHERNET, &cisco);
    assert_eq!((decoded.layer, decoded.ethertype), (Layer::Ether, 0x2000));
    assert_eq!(decoded.payload(&cisco), [2, 180]);

    let unknown = join(&[&MACS, &[0, 3], &[0x12, 0x34, 3]]);
    assert_eq!(all(LINK_ETHERNET, &unknown).layer, Layer::UnknownEther);
    let empty = join(&[&MACS, &[0, 0], &[0xaa, 0xaa, 3]]);
    assert_eq!(all(LINK_ETHERNET, &empty).layer, Layer::CorruptEther);
}

#[test]
fn tcp_fields() {
    let packet = join(&[&ipv4(6, 42, 1, 0), &tcp(), b"hi"]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!(decoded.layer, Layer::Ports);
    assert_eq!((decoded.source_port, decoded.destination_port), (40_000, 443));
    assert_eq!((decoded.tcp_sequence, decoded.tcp_acknowledgement, decoded.tcp_window), (7, 9, 512));
    assert_eq!((decoded.tcp_flags, decoded.tcp_ae), (0x12, true));
    assert_eq!(decoded.payload(&packet), b"hi");

    let mut short_offset = packet.clone();
    short_offset[32] = 0x40; // data offset 4
    assert_eq!(all(LINK_RAW, &short_offset).layer, Layer::CorruptIp);
    let mut long_offset = packet.clone();
    long_offset[32] = 0xf0; // data offset beyond IP's end
    assert_eq!(all(LINK_RAW, &long_offset).layer, Layer::CorruptIp);
}

#[test]
fn tcp_options_cut_by_a_snap_length() {
    // Total length 60: 20 of IP, 32 of TCP, 8 of payload; captured: up to the middle of the options.
    let mut header = tcp();
    header[12] = 0x80;
    let packet = join(&[&ipv4(6, 60, 1, 0), &header, &[1, 1, 1, 1]]);
    let decoded = decode(LINK_RAW, &packet, 60);
    check(&packet, &decoded);
    assert_eq!((decoded.layer, decoded.destination_port), (Layer::Ports, 443));
    assert_eq!((decoded.payload_length, decoded.payload_wire_length), (0, 8));
}

#[test]
fn ipv4_lengths() {
    // Length 0: offloaded, all that was captured.
    let packet = join(&[&ipv4(17, 0, 1, 0), &udp(0), b"abcd"]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!((decoded.layer, decoded.payload(&packet)), (Layer::Ports, &b"abcd"[..]));
    // Shorter than its header.
    let packet = join(&[&ipv4(17, 19, 1, 0), &udp(8)]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!((decoded.layer, decoded.ip_version), (Layer::CorruptIp, 4));
    // Header length 4 words, and 15 words of which 5 are there.
    for first in [0x44, 0x4f] {
        let mut packet = ipv4(17, 60, 1, 0);
        packet[0] = first;
        let decoded = all(LINK_RAW, &packet);
        assert_eq!((decoded.layer, decoded.source_ip()), (Layer::CorruptIp, Some([10, 0, 0, 1].into())));
    }
    // Options.
    let mut packet = join(&[&ipv4(17, 35, 1, 0), &[1, 1, 1, 0], &udp(11), b"abc"]);
    packet[0] = 0x46;
    is_udp_packet(&packet, &all(LINK_RAW, &packet));
}

#[test]
fn udp_lengths() {
    // Longer than the rest: as far as IP goes. Shorter: the rest isn't UDP's. Below its header: corrupt.
    for (length, payload) in [(500, Some(&b"abc"[..])), (10, Some(b"ab")), (8, Some(b"")), (7, None)] {
        let packet = join(&[&ipv4(17, 31, 1, 0), &udp(length), b"abc"]);
        let decoded = all(LINK_RAW, &packet);
        match payload {
            Some(payload) => assert_eq!((decoded.layer, decoded.payload(&packet)), (Layer::Ports, payload)),
            None => assert_eq!((decoded.layer, decoded.source_port), (Layer::CorruptIp, 0)),
        }
    }
}

#[test]
fn ipv4_fragments() {
    // First: offset 0, more.
    let first = join(&[&ipv4(17, 36, 77, 0x2000), &udp(100), &[1; 8]]);
    let decoded = all(LINK_RAW, &first);
    assert_eq!((decoded.layer, decoded.source_port), (Layer::Ports, 1111));
    assert_eq!(decoded.fragment, Some(Fragment { identification: 77, offset: 0, more: true }));
    assert_eq!(decoded.payload_wire_length, 8);
    // Last: offset 16.
    let last = join(&[&ipv4(17, 28, 77, 2), &[2; 8]]);
    let decoded = all(LINK_RAW, &last);
    assert_eq!((decoded.layer, decoded.source_port), (Layer::Ip, 0));
    assert_eq!(decoded.fragment, Some(Fragment { identification: 77, offset: 16, more: false }));
    assert_eq!(decoded.payload(&last), [2; 8]);
    // First, but the TCP header goes on in the second.
    let tiny = join(&[&ipv4(6, 28, 77, 0x2000), &tcp()[..8]]);
    let decoded = all(LINK_RAW, &tiny);
    assert_eq!((decoded.layer, decoded.source_port, decoded.destination_port), (Layer::Ip, 40_000, 443));
    // Don't fragment alone is no fragment.
    assert_eq!(all(LINK_RAW, &join(&[&ipv4(17, 31, 77, 0x4000), &udp(11), b"abc"])).fragment, None);
}

#[test]
fn ipv6_extension_headers() {
    let rest = join(&[
        &[60, 0, 1, 4, 0, 0, 0, 0],                          // hop-by-hop, then destination options
        &[43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // destination options of 16 bytes, then routing
        &[44, 0, 0, 0, 0, 0, 0, 0],                          // routing, then fragment
        &[51, 0, 0, 0, 0, 0, 0, 5],                          // atomic fragment, then authentication
        &[17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // authentication, then UDP
        &udp(11),
        b"abc",
    ]);
    let packet = join(&[&MACS, &[0x86, 0xdd], &ipv6(0, rest.len() as u16), &rest, &[0; 3]]);
    let decoded = all(LINK_ETHERNET, &packet);
    assert_eq!((decoded.layer, decoded.ip_protocol, decoded.fragment), (Layer::Ports, 17, None));
    assert_eq!((decoded.ip_version, decoded.ttl, decoded.dscp, decoded.ethertype), (6, 63, 46, 0x86dd));
    assert_eq!(decoded.destination_ip(), Some("2001:db8::2".parse().unwrap()));
    assert_eq!((decoded.transport_offset, decoded.payload(&packet)), (14 + 40 + 64, &b"abc"[..]));

    let endless = join(&[&ipv6(60, 8 * 20), &[60, 0, 1, 4, 0, 0, 0, 0].repeat(20)]);
    assert_eq!(all(LINK_RAW, &endless).layer, Layer::CorruptIp);
}

#[test]
fn ipv6_fragments() {
    // First: offset 0, more, identification 9.
    let first = join(&[&ipv6(44, 24), &[17, 0, 0, 1, 0, 0, 0, 9], &udp(100), &[1; 8]]);
    let decoded = all(LINK_RAW, &first);
    assert_eq!((decoded.layer, decoded.source_port), (Layer::Ports, 1111));
    assert_eq!(decoded.fragment, Some(Fragment { identification: 9, offset: 0, more: true }));
    // Last: offset 16.
    let last = join(&[&ipv6(44, 11), &[17, 0, 0, 16, 0, 0, 0, 9], &[2; 3]]);
    let decoded = all(LINK_RAW, &last);
    assert_eq!((decoded.layer, decoded.ip_protocol), (Layer::Ip, 17));
    assert_eq!(decoded.fragment, Some(Fragment { identification: 9, offset: 16, more: false }));
    assert_eq!(decoded.payload(&last), [2; 3]);
    // Offload, or a jumbogram: no length.
    let packet = join(&[&ipv6(6, 0), &tcp(), b"xyz"]);
    assert_eq!(all(LINK_RAW, &packet).payload(&packet), b"xyz");
}

#[test]
fn icmp_and_other_protocols() {
    // Echo request, identifier 0x1234, sequence 1.
    let packet = join(&[&ipv4(1, 28, 1, 0), &[8, 0, 0, 0, 0x12, 0x34, 0, 1]]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!((decoded.layer, decoded.icmp_type, decoded.icmp_code), (Layer::Ip, 8, 0));
    assert_eq!((decoded.tcp_sequence, decoded.payload_length), (0x1234, 8));
    // Port unreachable.
    let packet = join(&[&ipv4(1, 28, 1, 0), &[3, 3, 0, 0, 0x12, 0x34, 0, 1]]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!((decoded.icmp_type, decoded.icmp_code, decoded.tcp_sequence), (3, 3, 0));
    // Neighbour solicitation.
    let packet = join(&[&ipv6(58, 8), &[135, 0, 0, 0, 0, 0, 0, 0]]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!((decoded.layer, decoded.icmp_type), (Layer::Ip, 135));
    for (protocol, layer) in [
        (2, Layer::Ip),
        (47, Layer::Ip),
        (50, Layer::Ip),
        (136, Layer::Ip),
        (99, Layer::UnknownIp),
        (255, Layer::UnknownIp),
    ] {
        let packet = join(&[&ipv4(protocol, 24, 1, 0), &[1, 2, 3, 4]]);
        let decoded = all(LINK_RAW, &packet);
        assert_eq!((decoded.layer, decoded.ip_protocol), (layer, protocol));
        assert_eq!(decoded.payload(&packet), [1, 2, 3, 4]);
    }
}

#[test]
fn sctp_chunks() {
    let chunks = join(&[
        &[3, 0, 0, 16], // SACK, passed over
        &[0; 12],
        &[0, 3, 0, 19, 0, 0, 0, 1],            // DATA, begins and ends, length 19; sequence
        &[0, 5, 0, 0, 0, 0, 0, 46],            // stream 5, 0; payload protocol 46 (diameter)
        b"abc\0",                              // data, padding
        &[64, 2, 0, 22, 0, 0, 0, 2],           // I-DATA, begins, length 22; sequence
        &[0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3], // stream 6, reserved, message 1, payload protocol 3
        b"de\0\0",                             // data, padding
        &[0, 0, 0, 200, 0, 0, 0, 3],           // DATA, a middle piece, cut
        &[0, 5, 0, 1, 0, 0, 0, 46],
        b"f",
    ]);
    let length = (20 + 12 + chunks.len()) as u16;
    let packet = join(&[&ipv4(132, length, 1, 0), &[0x0b, 0x59, 0x0f, 0x1c, 0, 0, 0, 1, 0, 0, 0, 0], &chunks]);
    let decoded = all(LINK_RAW, &packet);
    assert_eq!((decoded.layer, decoded.source_port, decoded.destination_port), (Layer::Ports, 2905, 3868));
    let data: Vec<SctpData<'_>> = sctp_data_chunks(decoded.payload(&packet)).collect();
    assert_eq!(
        data,
        [
            SctpData { protocol_id: 46, stream: 5, begins: true, ends: true, bytes: b"abc" },
            SctpData { protocol_id: 3, stream: 6, begins: true, ends: false, bytes: b"de" },
            SctpData { protocol_id: 46, stream: 5, begins: false, ends: false, bytes: b"f" },
        ]
    );
    // A length below the chunk's header ends the walk; so does the bound.
    assert_eq!(sctp_data_chunks(&[0, 3, 0, 3, 0, 0, 0, 0]).count(), 0);
    let empty = [&[0, 3, 0, 16][..], &[0; 12]].concat().repeat(100);
    assert_eq!(sctp_data_chunks(&empty).count(), MAXIMUM_SCTP_CHUNKS);
}

#[test]
fn every_prefix_of_valid_packets() {
    let tcp_packet = join(&[&MACS, &[0x81, 0, 0, 7, 0x08, 0], &ipv4(6, 45, 1, 0), &tcp(), b"hello"]);
    let ipv6_packet = join(&[&MACS, &[0x86, 0xdd], &ipv6(60, 19), &[17, 0, 1, 4, 0, 0, 0, 0], &udp(11), b"abc"]);
    let fragment = join(&[&MACS, &[0x86, 0xdd], &ipv6(44, 24), &[17, 0, 0, 1, 0, 0, 0, 9], &udp(100), &[1; 8]]);
    for (packet, ports_from) in [(&tcp_packet, 58), (&ipv6_packet, 70), (&fragment, 70)] {
        for cut in 0..packet.len() {
            let decoded = decode(LINK_ETHERNET, &packet[..cut], packet.len() as u32);
            check(&packet[..cut], &decoded);
            assert_eq!(decoded.layer == Layer::Ports, cut >= ports_from, "{cut}");
            if decoded.layer == Layer::Ports {
                let whole = all(LINK_ETHERNET, packet);
                assert_eq!(decoded.payload_wire_length, whole.payload_wire_length);
                assert!(whole.payload(packet).starts_with(decoded.payload(&packet[..cut])));
            }
        }
    }
}

/// What etherparse and this module both say of a packet.
struct Oracle {
    source: IpAddr,
    destination: IpAddr,
    is_fragment: bool,
    ports: Option<(u16, u16)>,
    payload: usize,
}

fn oracle(sliced: &LaxSlicedPacket<'_>) -> Option<Oracle> {
    let (source, destination, is_fragment): (IpAddr, IpAddr, bool) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.header().is_fragmenting_payload(),
        ),
        LaxNetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.extensions().is_fragmenting_payload(),
        ),
        LaxNetSlice::Arp(_) => return None,
    };
    let (ports, payload) = match sliced.transport.as_ref() {
        Some(TransportSlice::Tcp(tcp)) => (Some((tcp.source_port(), tcp.destination_port())), tcp.payload().len()),
        Some(TransportSlice::Udp(udp)) => (Some((udp.source_port(), udp.destination_port())), udp.payload().len()),
        _ => (None, 0),
    };
    Some(Oracle { source, destination, is_fragment, ports, payload })
}

fn agrees(packet: &[u8], sliced: &LaxSlicedPacket<'_>, decoded: &Decoded) {
    let Some(Oracle { source, destination, is_fragment, ports, payload }) = oracle(sliced) else { return };
    if sliced.stop_err.is_some() || decoded.layer == Layer::CorruptIp {
        return;
    }
    assert_eq!((decoded.source_ip(), decoded.destination_ip()), (Some(source), Some(destination)));
    assert_eq!(decoded.fragment.is_some(), is_fragment);
    if let (Some(ports), Layer::Ports) = (ports, decoded.layer) {
        assert_eq!((decoded.source_port, decoded.destination_port), ports);
        assert_eq!(decoded.payload(packet).len(), payload, "{decoded:?}");
    }
}

/// Bytes that often look like packets: random ones behind headers with a few random fields.
fn likely_packet() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..120);
    let protocol = || prop_oneof![Just(6_u8), Just(17), Just(0), Just(44), Just(51), Just(60), Just(132), any::<u8>()];
    let fragment = prop_oneof![3 => Just(0_u16), 1 => any::<u16>()];
    let over_ipv4 = (protocol(), 0..160_u16, fragment, bytes())
        .prop_map(|(protocol, length, fragment, rest)| join(&[&ipv4(protocol, length, 1, fragment), &rest]));
    let over_ipv6 =
        (protocol(), 0..160_u16, bytes()).prop_map(|(next, length, rest)| join(&[&ipv6(next, length), &rest]));
    prop_oneof![over_ipv4, over_ipv6, bytes()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_decode(packet in likely_packet(), prefix in prop::collection::vec(any::<u8>(), 0..24), wire in 0..2_000_u32) {
        let prefixed = join(&[&prefix, &packet]);
        for link_type in LINK_TYPES {
            check(&packet, &decode(link_type, &packet, wire));
            let decoded = decode(link_type, &prefixed, wire);
            check(&prefixed, &decoded);
            for data in sctp_data_chunks(decoded.payload(&prefixed)) {
                prop_assert!(data.bytes.len() <= prefixed.len());
            }
        }
    }

    #[test]
    fn agrees_with_etherparse_on_any_bytes(packet in likely_packet()) {
        let decoded = all(LINK_RAW, &packet);
        if let Ok(sliced) = LaxSlicedPacket::from_ip(&packet) {
            agrees(&packet, &sliced, &decoded);
        }
        let ethertype = if packet.first().is_some_and(|first| first >> 4 == 6) { [0x86, 0xdd] } else { [0x08, 0] };
        let frame = join(&[&MACS, &ethertype, &packet]);
        if let Ok(sliced) = LaxSlicedPacket::from_ethernet(&frame) {
            agrees(&frame, &sliced, &all(LINK_ETHERNET, &frame));
        }
    }

    #[test]
    fn built_packets_decode(
        is_ipv6 in any::<bool>(),
        is_tcp in any::<bool>(),
        vlan in prop::option::of(0..4_096_u16),
        addresses in any::<[[u8; 16]; 2]>(),
        ports in any::<(u16, u16)>(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let [source, destination] = addresses;
        let short = |bytes: [u8; 16]| [bytes[0], bytes[1], bytes[2], bytes[3]];
        let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let network = match (vlan, is_ipv6) {
            (Some(id), true) => link.single_vlan(id.try_into().unwrap()).ipv6(source, destination, 9),
            (Some(id), false) => link.single_vlan(id.try_into().unwrap()).ipv4(short(source), short(destination), 9),
            (None, true) => link.ipv6(source, destination, 9),
            (None, false) => link.ipv4(short(source), short(destination), 9),
        };
        let mut packet = Vec::new();
        if is_tcp {
            network.tcp(ports.0, ports.1, 77, 88).syn().write(&mut packet, &payload).unwrap();
        } else {
            network.udp(ports.0, ports.1).write(&mut packet, &payload).unwrap();
        }
        let decoded = all(LINK_ETHERNET, &packet);
        prop_assert_eq!(decoded.layer, Layer::Ports);
        prop_assert_eq!((decoded.source_port, decoded.destination_port), ports);
        prop_assert_eq!(decoded.payload(&packet), &payload[..]);
        prop_assert_eq!(decoded.payload_wire_length as usize, payload.len());
        let version = if is_ipv6 { (decoded.source, decoded.destination) } else { (source, destination) };
        prop_assert_eq!(version, (source, destination));
        prop_assert_eq!((decoded.vlan_count, decoded.vlans[0]), (u8::from(vlan.is_some()), vlan.unwrap_or(0)));
        prop_assert!(SlicedPacket::from_ethernet(&packet).is_ok());
        agrees(&packet, &LaxSlicedPacket::from_ethernet(&packet).unwrap(), &decoded);
    }
}
