//! Small things: echoes, address resolution, time, logs, plain datagrams, SCTP, LLDP.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::content::{Direction, WORDS};
use crate::flow::Datagram;
use crate::random::Random;
use crate::wire::{Path, crc32c};

fn queue(parts: impl IntoIterator<Item = (Direction, u64, Vec<u8>)>) -> VecDeque<Datagram> {
    parts.into_iter().map(|(direction, delay, data)| Datagram { direction, delay, data }).collect()
}

/// ICMP (RFC 792) or ICMPv6 (RFC 4443) echo requests and replies; a third of the series are answered in part.
pub(crate) fn echo(ipv6: bool, identifier: u16, random: &mut Random) -> VecDeque<Datagram> {
    let (request, reply) = if ipv6 { (128, 129) } else { (8, 0) };
    let payload: Vec<u8> = (0x08..0x38).collect();
    let mut parts = Vec::new();
    let lossy = random.percent(33);
    for number in 0..random.between(1, 5) as u16 {
        let message = |kind: u8| {
            let mut bytes = vec![kind, 0, 0, 0];
            bytes.extend_from_slice(&identifier.to_be_bytes());
            bytes.extend_from_slice(&(number + 1).to_be_bytes());
            bytes.extend_from_slice(&payload);
            bytes
        };
        parts.push((Direction::Client, if number == 0 { 0 } else { 990_000_000 }, message(request)));
        if !(lossy && random.percent(50)) {
            parts.push((Direction::Server, random.heavy(500_000, 30_000_000), message(reply)));
        }
    }
    queue(parts)
}

/// ARP (RFC 826): a question to all and its answer.
pub(crate) fn arp(path: &Path, random: &mut Random) -> VecDeque<Datagram> {
    let part = |operation: u8, from: usize, target_mac: [u8; 6]| {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        for (end, mac) in [(from, path.ends[from].mac), (1 - from, target_mac)] {
            bytes.extend_from_slice(&mac);
            if let IpAddr::V4(address) = path.ends[end].address {
                bytes.extend_from_slice(&address.octets());
            }
        }
        bytes.resize(46, 0); // the least payload of a frame
        bytes
    };
    let delay = random.between(100_000, 900_000);
    queue([(Direction::Client, 0, part(1, 0, [0; 6])), (Direction::Server, delay, part(2, 1, path.ends[0].mac))])
}

/// NTP (RFC 5905): client and server packet.
pub(crate) fn ntp(now: u64, random: &mut Random) -> VecDeque<Datagram> {
    let packet = |mode: u8, stratum: u8, random: &mut Random| {
        let mut bytes = vec![0x20 | mode, stratum, 6, 0xec];
        bytes.extend_from_slice(&[0, 0, 1, 0x20, 0, 0, 0, 0x40]);
        bytes.extend_from_slice(&[198, 18, 0, 1]);
        for _ in 0..4 {
            // seconds since 1900
            bytes.extend_from_slice(&((now / 1_000_000_000 + 2_208_988_800) as u32).to_be_bytes());
            bytes.extend_from_slice(&(random.next() as u32).to_be_bytes());
        }
        bytes
    };
    let (client, server) = (packet(3, 0, random), packet(4, 2, random));
    queue([(Direction::Client, 0, client), (Direction::Server, random.heavy(500_000, 20_000_000), server)])
}

/// Syslog (RFC 5424) messages, one way.
pub(crate) fn syslog(random: &mut Random) -> VecDeque<Datagram> {
    let count = random.between(1, 6);
    queue((0..count).map(|_| {
        let text = format!(
            "<{}>1 2026-01-05T08:00:00Z {} {} {} - - {} {} after {} ms",
            random.between(8, 190),
            random.pick(&WORDS),
            random.pick(&WORDS),
            random.below(9_999),
            random.pick(&WORDS),
            random.pick(&WORDS),
            random.below(5_000)
        );
        (Direction::Client, random.exponential(200_000_000), text.into_bytes())
    }))
}

/// Datagrams of no known protocol, both ways.
pub(crate) fn datagrams(random: &mut Random, largest: u64) -> VecDeque<Datagram> {
    let count = random.between(2, 12);
    queue((0..count).map(|index| {
        let direction = if index % 3 == 1 { Direction::Server } else { Direction::Client };
        let length = random.between(20.min(largest), largest) as usize;
        let mut data = random.bytes(length);
        // the first byte of nothing that is known
        data[0] = 0xf7;
        (direction, random.exponential(5_000_000) + 1_000_000, data)
    }))
}

/// An SCTP association (RFC 9260): set up, two messages, shut down.
pub(crate) fn sctp(path: &Path, random: &mut Random) -> VecDeque<Datagram> {
    let ports = [path.ends[0].port, path.ends[1].port];
    let tags = [random.next() as u32 | 1, random.next() as u32 | 1];
    let sequence = [random.next() as u32, random.next() as u32];
    let chunk = |kind: u8, flags: u8, value: &[u8]| {
        let mut bytes = vec![kind, flags];
        bytes.extend_from_slice(&(value.len() as u16 + 4).to_be_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let packet = |from: usize, tag: u32, chunk: Vec<u8>| {
        let mut bytes = Vec::with_capacity(12 + chunk.len());
        bytes.extend_from_slice(&ports[from].to_be_bytes());
        bytes.extend_from_slice(&ports[1 - from].to_be_bytes());
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend(chunk);
        let checksum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    };
    // tag, window, streams out and in, first sequence number
    let init = |end: usize| {
        let mut value = tags[end].to_be_bytes().to_vec();
        value.extend_from_slice(&[0, 1, 0, 0, 0, 10, 0, 10]);
        value.extend_from_slice(&sequence[end].to_be_bytes());
        value
    };
    let cookie = random.bytes(64);
    let mut init_ack = init(1);
    init_ack.extend_from_slice(&[0, 7, 0, 68]);
    init_ack.extend_from_slice(&cookie);
    let data = |end: usize, text: &str| {
        let mut value = sequence[end].to_be_bytes().to_vec();
        value.extend_from_slice(&[0; 8]); // stream 0, number 0, no payload protocol
        value.extend_from_slice(text.as_bytes());
        chunk(0, 3, &value)
    };
    let sack = |end: usize| {
        let mut value = sequence[1 - end].to_be_bytes().to_vec();
        value.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        chunk(3, 0, &value)
    };
    let (client, server) = (Direction::Client, Direction::Server);
    let away = random.between(2_000_000, 20_000_000);
    let near = random.between(200_000, 900_000);
    queue([
        (client, 0, packet(0, 0, chunk(1, 0, &init(0)))),
        (server, away, packet(1, tags[0], chunk(2, 0, &init_ack))),
        (client, near, packet(0, tags[1], chunk(10, 0, &cookie))),
        (server, away, packet(1, tags[0], chunk(11, 0, &[]))),
        (client, near, packet(0, tags[1], data(0, "granite harbor 17"))),
        (server, away, packet(1, tags[0], sack(1))),
        (server, near, packet(1, tags[0], data(1, "meadow lantern 4"))),
        (client, near, packet(0, tags[1], sack(0))),
        (client, near, packet(0, tags[1], chunk(7, 0, &sequence[1].to_be_bytes()))),
        (server, away, packet(1, tags[0], chunk(8, 0, &[]))),
        (client, near, packet(0, tags[1], chunk(14, 0, &[]))),
    ])
}

/// One LLDP frame (IEEE 802.1AB): chassis, port, time to live, system name.
pub(crate) fn lldp(path: &Path, random: &mut Random) -> VecDeque<Datagram> {
    let mut bytes = Vec::new();
    let mut item = |kind: u16, value: &[u8]| {
        bytes.extend_from_slice(&(kind << 9 | value.len() as u16).to_be_bytes());
        bytes.extend_from_slice(value);
    };
    item(1, &[&[4], path.ends[0].mac.as_slice()].concat());
    item(2, format!("\x05Ethernet{}", random.between(1, 48)).as_bytes());
    item(3, &[0, 120]);
    item(5, format!("switch-{}", random.pick(&WORDS)).as_bytes());
    item(0, &[]);
    bytes.resize(bytes.len().max(46), 0);
    queue([(Direction::Client, 0, bytes)])
}
