//! The whole dissector.

use std::collections::HashMap;

use skycap_flow::{Dissector, ObjectIdentity, SessionDocument, Settings};
use skycap_model::Timestamp;
use skycap_packet::Packet;

use crate::{input::Input, packet::LINKS};

/// Packets to session documents, one by one and in batches: both give the same. Input: link type, settings; then packets:
/// time step, original length beyond the captured, length (2), bytes.
pub fn dissector(data: &[u8]) {
    let mut input = Input(data);
    let link_type = input.choose(LINKS);
    let flags = input.byte();
    let mut settings = Settings { vlan_in_key: flags & 1 != 0, ..Settings::default() };
    settings.options.all_fields = flags & 2 == 0;
    settings.options.body_sha256 = flags & 2 == 0;
    if flags & 4 != 0 {
        settings.max_packets = 3;
    }
    if flags & 8 != 0 {
        settings.sessions_per_shard = 2;
    }
    if flags & 16 != 0 {
        settings.stream_bytes = 64;
        settings.stream_segments = 2;
        settings.shard_bytes = 128;
    }
    let mut time = 1_700_000_000_000_000_000_u64;
    let mut position = 24;
    let mut packets = Vec::new();
    while !input.is_empty() {
        let step = input.byte();
        let step_nanoseconds = 1_u64 << (step & 63);
        time = match step >> 6 {
            0 | 1 => time.wrapping_add(step_nanoseconds),
            2 => time.wrapping_sub(step_nanoseconds),
            _ => time,
        };
        let beyond = u32::from(input.byte());
        let length = usize::from(input.short());
        let data = input.take(length);
        packets.push((position, Packet { time: Timestamp(time), original_length: data.len() as u32 + beyond, data }));
        position += 16 + data.len() as u64;
    }
    let one_by_one = dissect(&settings, link_type, &packets, false);
    let in_batches = dissect(&settings, link_type, &packets, true);
    assert_eq!(one_by_one, in_batches, "batches give other documents");
}

/// Documents by id.
fn dissect(
    settings: &Settings,
    link_type: u32,
    packets: &[(u64, Packet<'_>)],
    batches: bool,
) -> HashMap<String, String> {
    let identity =
        ObjectIdentity { node: "fuzz".to_owned(), file_id: 1, id_prefix: "AAAAAAAAAAAAAAAAAAAAAA".to_owned() };
    let mut documents = HashMap::new();
    let mut counted = 0;
    let mut sink = |document: SessionDocument<'_>| {
        counted += u64::from(document.packets);
        assert!(document.packets > 0, "a session without packets");
        let json = std::str::from_utf8(document.json).expect("documents are UTF-8");
        let parsed: serde_json::Value = serde_json::from_str(json).expect("documents are JSON");
        assert_eq!(parsed["network"]["packets"].as_u64(), Some(u64::from(document.packets)), "{json}");
        assert!(packets.iter().any(|&(position, _)| position == document.first_position), "position of no packet");
        let before = documents.insert(document.id.to_owned(), json.to_owned());
        assert!(before.is_none(), "two documents have the id {}", document.id);
    };
    let mut dissector = Dissector::new(settings.clone(), identity, link_type);
    if batches {
        dissector.packets(packets.iter().copied(), &mut sink);
    } else {
        for &(position, packet) in packets {
            dissector.packet(position, packet, &mut sink);
        }
    }
    let totals = dissector.finish(&mut sink);
    assert_eq!(totals.packets, packets.len() as u64);
    assert_eq!(counted, totals.packets, "packets are in no document, or in several");
    assert_eq!(documents.len() as u64, totals.sessions);
    documents
}
