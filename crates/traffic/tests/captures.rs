//! What is generated, taken apart again by a decoder that isn't ours, against what the reports say.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use etherparse::{InternetSlice, SlicedPacket, TransportSlice};
use skycap_traffic::{Closing, Disturbance, FlowReport, Generator, Mix, Options, Resolution, Totals};

const DISTURBED: Disturbance = Disturbance { loss: 0.0, reorder: 0.05, retransmission: 0.05, overlap: 0.05 };

fn small(mix: Mix) -> Options {
    match mix {
        Mix::Sample => Options { flows: Some(600), ..Options::new(mix) },
        Mix::Handshakes => Options { flows: Some(500), ..Options::new(mix) },
        _ => Options { bytes: Some(3_000_000), ..Options::new(mix) },
    }
}

/// Packets (time, original length, bytes), reports, totals.
type Made = (Vec<(u64, u32, Vec<u8>)>, Vec<FlowReport>, Totals);

fn made(options: Options) -> Made {
    let (mut packets, mut reports) = (Vec::new(), Vec::new());
    let totals = Generator::new(options)
        .unwrap()
        .run(
            |packet| {
                packets.push((packet.time.0, packet.original_length, packet.data.to_vec()));
                Ok::<_, ()>(())
            },
            |report| {
                reports.push(report.clone());
                Ok(())
            },
        )
        .unwrap();
    (packets, reports, totals)
}

fn written(options: Options) -> (Vec<u8>, Vec<u8>, Totals) {
    let (mut capture, mut sidecar) = (Vec::new(), Vec::new());
    let totals = Generator::new(options).unwrap().write(&mut capture, Some(&mut sidecar)).unwrap();
    (capture, sidecar, totals)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The ones' complement sum, the slow way; 0 for bytes that hold their right checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !(sum as u16)
}

struct Decoded {
    ends: (IpAddr, IpAddr),
    protocol: u8,
    ports: Option<(u16, u16)>,
    /// Sequence number, flags and payload of a TCP segment.
    tcp: Option<(u32, u8, Vec<u8>)>,
    payload: usize,
}

/// Decodes a frame and checks its checksums; None without IP.
fn decode(frame: &[u8]) -> Option<Decoded> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (source, destination, content) = match packet.net? {
        InternetSlice::Ipv4(slice) => {
            let header = slice.header();
            assert_eq!(checksum(&[header.slice()]), 0, "IPv4 header");
            (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr()), slice.payload().clone())
        }
        InternetSlice::Ipv6(slice) => {
            let header = slice.header();
            (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr()), slice.payload().clone())
        }
        InternetSlice::Arp(_) => return None,
    };
    let protocol = content.ip_number.0;
    let mut decoded =
        Decoded { ends: (source, destination), protocol, ports: None, tcp: None, payload: content.payload.len() };
    if content.fragmented {
        return Some(decoded);
    }
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = (content.payload.len() as u32).to_be_bytes();
    let pseudo = [bytes(source), bytes(destination), vec![0, protocol], length.to_vec()].concat();
    match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!(checksum(&[&pseudo, content.payload]), 0, "TCP");
            assert!(tcp.options_iterator().all(|option| option.is_ok()));
            let flags = content.payload[13];
            decoded.ports = Some((tcp.source_port(), tcp.destination_port()));
            decoded.tcp = Some((tcp.sequence_number(), flags, tcp.payload().to_vec()));
            decoded.payload = tcp.payload().len();
        }
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!(checksum(&[&pseudo, content.payload]), 0, "UDP");
            decoded.ports = Some((udp.source_port(), udp.destination_port()));
            decoded.payload = udp.payload().len();
        }
        Some(TransportSlice::Icmpv4(_)) => {
            assert_eq!(checksum(&[content.payload]), 0, "ICMP");
            decoded.payload -= 8;
        }
        Some(TransportSlice::Icmpv6(_)) => {
            assert_eq!(checksum(&[&pseudo, content.payload]), 0, "ICMPv6");
            decoded.payload -= 8;
        }
        _ => {
            assert_eq!(protocol, 132, "only SCTP is left");
            let port = |at: usize| u16::from_be_bytes([content.payload[at], content.payload[at + 1]]);
            decoded.ports = Some((port(0), port(2)));
            decoded.payload -= 12;
        }
    }
    Some(decoded)
}

fn sums(reports: &[FlowReport]) -> (u64, u64, u64) {
    reports.iter().fold((0, 0, 0), |(packets, bytes, payload), flow| {
        (
            packets + flow.client.packets + flow.server.packets,
            bytes + flow.client.bytes + flow.server.bytes,
            payload + flow.client.payload_bytes + flow.server.payload_bytes,
        )
    })
}

#[test]
fn packets_are_right_in_order_and_as_reported() {
    for mix in Mix::ALL {
        for disturbance in [Disturbance::default(), Disturbance { loss: 0.02, ..DISTURBED }] {
            let (packets, reports, totals) = made(Options { disturbance, ..small(mix) });
            assert!(packets.is_sorted_by_key(|(time, ..)| *time), "{mix}");
            // by addresses, protocol and ports, as sent: packets, bytes, payload
            let mut counted: HashMap<_, (u64, u64, u64)> = HashMap::new();
            for (_, original, frame) in &packets {
                assert_eq!(*original as usize, frame.len());
                let Some(decoded) = decode(frame) else { continue };
                let Some(ports) = decoded.ports else { continue };
                let count = counted.entry((decoded.ends, decoded.protocol, ports)).or_default();
                count.0 += 1;
                count.1 += frame.len() as u64;
                count.2 += decoded.payload as u64;
            }
            let mut seen = 0;
            for flow in reports.iter().filter(|flow| flow.fragments == 0 && matches!(flow.ip_protocol, 6 | 17 | 132)) {
                let ends = (flow.source.unwrap(), flow.destination.unwrap());
                let ports = (flow.source_port, flow.destination_port);
                let client = counted.get(&(ends, flow.ip_protocol, ports)).copied().unwrap_or_default();
                assert_eq!(client, (flow.client.packets, flow.client.bytes, flow.client.payload_bytes), "{flow:?}");
                let back = ((ends.1, ends.0), flow.ip_protocol, (ports.1, ports.0));
                let server = counted.get(&back).copied().unwrap_or_default();
                assert_eq!(server, (flow.server.packets, flow.server.bytes, flow.server.payload_bytes), "{flow:?}");
                seen += usize::from(client.0 > 0) + usize::from(server.0 > 0);
            }
            if reports.iter().all(|flow| flow.fragments == 0) {
                assert_eq!(seen, counted.len(), "{mix}: packets of no flow");
            }
            assert_eq!(sums(&reports), (totals.packets, totals.bytes, totals.payload_bytes), "{mix}");
            assert_eq!(totals.packets, packets.len() as u64);
            assert_eq!(totals.flows, reports.len() as u64);
            assert_eq!(totals.disturbed.lost > 0, disturbance.loss > 0.0, "{mix}");
        }
    }
}

#[test]
fn streams_are_whole_and_repeats_agree() {
    for mix in [Mix::Sample, Mix::Bulk, Mix::HttpBulk, Mix::Flows] {
        let (packets, reports, totals) = made(Options { disturbance: DISTURBED, ..small(mix) });
        assert!(
            totals.disturbed.reordered > 0 && totals.disturbed.retransmitted > 0 && totals.disturbed.overlapped > 0
        );
        type Stream = (Option<u32>, BTreeMap<u32, u8>, u32);
        let mut streams: HashMap<_, Stream> = HashMap::new();
        for (.., frame) in &packets {
            let Some(Decoded { ends, ports: Some(ports), tcp: Some((sequence, flags, payload)), .. }) = decode(frame)
            else {
                continue;
            };
            let stream = streams.entry((ends, ports)).or_default();
            if flags & 2 != 0 {
                stream.0 = Some(sequence.wrapping_add(1));
            }
            let Some(first) = stream.0 else { continue };
            let offset = sequence.wrapping_sub(first);
            for (index, byte) in payload.iter().enumerate() {
                let known = stream.1.insert(offset.wrapping_add(index as u32), *byte);
                assert!(known.is_none_or(|known| known == *byte), "a repeat says something else");
            }
            if flags & 1 != 0 {
                stream.2 = offset;
            }
        }
        let mut closed = 0;
        for flow in reports.iter().filter(|flow| flow.ip_protocol == 6 && flow.complete) {
            let (ends, ports) =
                ((flow.source.unwrap(), flow.destination.unwrap()), (flow.source_port, flow.destination_port));
            for (key, side) in [((ends, ports), flow.client), (((ends.1, ends.0), (ports.1, ports.0)), flow.server)] {
                let Some((_, bytes, end)) = streams.get(&key) else { continue };
                assert_eq!(bytes.len() as u64, side.stream_bytes, "{flow:?}");
                // no hole: the last byte's place is their number
                assert_eq!(bytes.last_key_value().map_or(0, |(last, _)| *last as usize + 1), bytes.len());
                if flow.closing == Closing::Fin {
                    assert_eq!(*end as usize, bytes.len(), "FIN follows the last byte");
                    closed += 1;
                }
            }
        }
        assert!(closed > 0, "{mix}");
    }
}

#[test]
fn the_seed_decides_all() {
    for mix in Mix::ALL {
        let options = Options { disturbance: DISTURBED, ..small(mix) };
        let (capture, sidecar, _) = written(options.clone());
        let (again, sidecar_again, _) = written(options.clone());
        assert_eq!((hash(&capture), hash(&sidecar)), (hash(&again), hash(&sidecar_again)), "{mix}");
        let (other, ..) = written(Options { seed: 2, ..options });
        assert_ne!(hash(&capture), hash(&other), "{mix}");
    }
}

#[test]
fn sizes_are_kept() {
    for mix in Mix::ALL {
        for bytes in [4_096, 100_000, 5_000_000] {
            let (capture, _, totals) = written(Options { bytes: Some(bytes), ..Options::new(mix) });
            assert_eq!(totals.file_bytes, capture.len() as u64);
            assert!(capture.len() as u64 <= bytes, "{mix} {bytes}: {}", capture.len());
            if bytes == 5_000_000 {
                assert!(capture.len() as u64 > bytes * 9 / 10, "{mix} {bytes}: {}", capture.len());
            }
        }
        let (packets, reports, totals) = made(Options { packets: Some(77), ..small(mix) });
        assert_eq!((packets.len(), totals.packets), (77, 77));
        assert_eq!(sums(&reports).0, 77);
        let (_, reports, _) = made(Options { flows: Some(9), bytes: Some(50_000_000), ..Options::new(mix) });
        assert_eq!(reports.len(), 9);
        assert!(reports.iter().all(|flow| flow.complete));
    }
}

#[test]
fn snap_length_cuts_records_not_counts() {
    let whole = small(Mix::Sample);
    let (packets, _, totals) = made(Options { snap_length: 96, ..whole.clone() });
    assert!(packets.iter().all(|(_, original, data)| data.len() == (*original as usize).min(96)));
    assert_eq!(totals.captured_bytes, packets.iter().map(|packet| packet.2.len() as u64).sum::<u64>());
    assert_eq!(totals.bytes, made(whole).2.bytes);
}

#[test]
fn files_have_the_chosen_magic() {
    let options = Options { flows: Some(5), ..small(Mix::Sample) };
    let (nano, ..) = written(options.clone());
    let (micro, ..) = written(Options { resolution: Resolution::Microseconds, ..options });
    assert_eq!(nano[..4], 0xa1b2_3c4du32.to_le_bytes());
    assert_eq!(micro[..4], 0xa1b2_c3d4u32.to_le_bytes());
    assert_eq!(nano.len(), micro.len());
    let fraction = |file: &[u8]| u32::from_le_bytes(file[28..32].try_into().unwrap());
    assert_eq!(fraction(&micro), fraction(&nano) / 1_000);
}

#[test]
fn the_sample_has_a_bit_of_everything() {
    let (packets, reports, totals) = made(Options::new(Mix::Sample));
    assert_eq!(reports.len(), 2_000);
    for protocol in ["dns", "http", "tls", "ssh", "ntp", "syslog", "udp", "scan", "icmp", "sctp", "arp", "lldp"] {
        assert!(totals.protocols.contains_key(protocol), "{protocol}");
    }
    let any = |test: &dyn Fn(&FlowReport) -> bool| assert!(reports.iter().any(test));
    any(&|flow| flow.vlan.is_some());
    any(&|flow| flow.fragments > 0 && flow.source.is_some_and(|address| address.is_ipv4()));
    any(&|flow| flow.fragments > 0 && flow.source.is_some_and(|address| address.is_ipv6()));
    any(&|flow| flow.protocol == "dns" && flow.ip_protocol == 6);
    any(&|flow| flow.names.dns_status.iter().any(|status| status == "NXDOMAIN"));
    any(&|flow| flow.names.certificate_subject.len() == 2);
    any(&|flow| flow.names.tls_version.iter().any(|version| version == "TLSv1.3"));
    for closing in [Closing::Fin, Closing::Reset, Closing::Open, Closing::Refused, Closing::Silent] {
        any(&|flow| flow.closing == closing);
    }
    for (.., frame) in packets {
        decode(&frame);
    }
}

#[test]
fn handshakes_stay_open_and_half_say_nothing() {
    let (_, reports, totals) = made(small(Mix::Handshakes));
    let silent = reports.iter().filter(|flow| flow.client.payload_bytes + flow.server.payload_bytes == 0).count();
    assert_eq!(silent * 2, reports.len());
    assert!(reports.iter().all(|flow| matches!(flow.closing, Closing::Open | Closing::None)));
    assert!(totals.most_open < 200, "the generator itself holds few: {}", totals.most_open);
}
