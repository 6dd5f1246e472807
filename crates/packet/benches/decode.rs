//! Decoding of headers, beside etherparse's slicing of the same packets.

use divan::{Bencher, black_box, counter::ItemsCount};
use etherparse::{PacketBuilder, SlicedPacket};
use skycap_packet::decode::{decode, link::LINK_ETHERNET};

/// Packets of each kind, so that a run doesn't learn one packet's branches.
const PACKETS: usize = 1_024;
const KINDS: [&str; 5] = ["tcp4", "udp4", "tcp6", "vlan", "mix"];

fn main() {
    divan::main();
}

fn packet(kind: &str, number: usize) -> Vec<u8> {
    let kind = if kind == "mix" { KINDS[number * 7 % 4] } else { kind };
    let (low, payload) = (number as u8, vec![0x61; 40 + number % 700]);
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let (port, ttl) = (1_024 + number as u16, 64);
    let mut bytes = Vec::new();
    let written = match kind {
        "udp4" => link.ipv4([10, 0, 0, low], [10, 0, 1, low], ttl).udp(port, 53).write(&mut bytes, &payload),
        "tcp6" => link.ipv6([low; 16], [9; 16], ttl).tcp(port, 443, 1, 2).write(&mut bytes, &payload),
        "vlan" => {
            let tagged = link.single_vlan(7_u16.try_into().unwrap_or_default());
            tagged.ipv4([10, 0, 0, low], [10, 0, 1, low], ttl).tcp(port, 443, 1, 2).write(&mut bytes, &payload)
        }
        _ => link.ipv4([10, 0, 0, low], [10, 0, 1, low], ttl).tcp(port, 443, 1, 2).write(&mut bytes, &payload),
    };
    written.map_or_else(|_| Vec::new(), |()| bytes)
}

fn packets(kind: &str) -> Vec<Vec<u8>> {
    (0..PACKETS).map(|number| packet(kind, number)).collect()
}

#[divan::bench(args = KINDS)]
fn skycap(bencher: Bencher<'_, '_>, kind: &str) {
    let packets = packets(kind);
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        for packet in &packets {
            black_box(&decode(LINK_ETHERNET, black_box(packet), packet.len() as u32));
        }
    });
}

#[divan::bench(args = KINDS)]
fn etherparse_sliced(bencher: Bencher<'_, '_>, kind: &str) {
    let packets = packets(kind);
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        for packet in &packets {
            let _ = black_box(&SlicedPacket::from_ethernet(black_box(packet)));
        }
    });
}
