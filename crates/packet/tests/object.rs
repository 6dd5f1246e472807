//! Capture objects as a whole: written, read, cut and damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use skycap_model::{PartSequence, RingId, RunId, Timestamp};
use skycap_packet::{
    Packet, Position, fuzz, link,
    object::{
        BlockBuilder, Compressor, Counters, Decompressor, Event, MAX_COMPRESSED_BLOCK_BYTES, ObjectBuilder,
        ObjectReader, Part, PartBuilder, PartHash, PartHeader, Plan, read_block,
    },
    record::{packet_at, packets},
};

type Owned = (u64, u32, Vec<u8>);

fn header(sequence: u64, previous: PartHash) -> PartHeader {
    PartHeader {
        link_type: link::ETHERNET,
        snap_length: 262_144,
        run: RunId(0xabcd),
        ring: RingId(1),
        sequence: PartSequence(sequence),
        counters: Counters { received: 10, stored: 10, ..Counters::default() },
        tombstones: Vec::new(),
        previous_sha256: previous,
        previous_run: None,
    }
}

/// Parts of blocks of packets, as the nesting says.
fn parts(content: &[Vec<Vec<Owned>>]) -> Vec<Part> {
    let mut compressor = Compressor::new(1).unwrap();
    let mut previous = PartHash::ZERO;
    let mut parts = Vec::new();
    for (sequence, blocks) in content.iter().enumerate() {
        let mut part = PartBuilder::new(0);
        for block in blocks {
            let mut builder = BlockBuilder::new();
            for (time, original_length, data) in block {
                let packet = Packet { time: Timestamp(*time), original_length: *original_length, data };
                if let Some(full) = builder.push(&packet).unwrap() {
                    part.push(compressor.compress(&full).unwrap());
                }
            }
            part.push(compressor.compress(&builder.take().unwrap()).unwrap());
        }
        let part = part.finish(header(sequence as u64, previous)).unwrap();
        previous = part.sha256;
        parts.push(part);
    }
    parts
}

fn object(content: &[Vec<Vec<Owned>>]) -> Vec<u8> {
    ObjectBuilder::assemble(link::ETHERNET, &parts(content), &mut Compressor::new(1).unwrap()).unwrap()
}

/// Everything a reader says of an object.
#[derive(Debug, Default, PartialEq)]
struct Read {
    prologues: usize,
    packets: Vec<(Position, Owned)>,
    parts: Vec<(u64, bool, Option<PartHash>)>,
    maybe_stored: usize,
    damage: Vec<(u64, u64)>,
    cut: Vec<u64>,
    unknown: usize,
    seek_tables: usize,
}

fn read(object: &[u8], piece: usize, with_plan: bool) -> Read {
    let plan = with_plan.then(|| Plan::from_tail(object.len() as u64, object).ok()).flatten();
    let mut reader = ObjectReader::new(plan.as_ref()).unwrap().hashing();
    let mut out = Read::default();
    let mut drain = |reader: &mut ObjectReader| {
        while let Some(event) = reader.next_event() {
            match event {
                Event::Prologue(_) => out.prologues += 1,
                Event::Part { record, .. } => out.maybe_stored += usize::from(record.maybe_stored),
                Event::PartEnd(end) => out.parts.push((end.id.sequence.0, end.complete, end.sha256)),
                Event::Block { offset, bytes, packets: count, .. } => {
                    let all: Vec<_> = packets(bytes).map(Result::unwrap).collect();
                    assert!(count.is_none_or(|count| count as usize == all.len()));
                    out.packets.extend(all.iter().map(|(at, packet)| {
                        (Position::new(offset, *at), (packet.time.0, packet.original_length, packet.data.to_vec()))
                    }));
                }
                Event::Record { .. } => {}
                Event::Unknown { .. } => out.unknown += 1,
                Event::SeekTable { .. } => out.seek_tables += 1,
                Event::Damage { offset, bytes, .. } => out.damage.push((offset, bytes)),
                Event::Cut { offset, .. } => out.cut.push(offset),
            }
        }
    };
    for piece in object.chunks(piece) {
        reader.push(piece);
        drain(&mut reader);
    }
    reader.finish();
    drain(&mut reader);
    out
}

fn small() -> Vec<Vec<Vec<Owned>>> {
    let packet = |number: u64| (1_700_000_000_000_000_000 + number, 60, vec![number as u8; 20 + number as usize]);
    (0..3)
        .map(|part| (0..2).map(|block| (0..3).map(|n| packet(part * 6 + block * 3 + n)).collect()).collect())
        .collect()
}

fn flat(content: &[Vec<Vec<Owned>>]) -> Vec<Owned> {
    content.iter().flatten().flatten().cloned().collect()
}

fn is_subsequence(some: &[Owned], all: &[Owned]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

#[test]
fn round_trip_with_hash_chain() {
    let content = small();
    let parts = parts(&content);
    let object = object(&content);
    for with_plan in [false, true] {
        for piece in [1, 7, 1 << 20] {
            let read = read(&object, piece, with_plan);
            assert_eq!(read.packets.iter().map(|(_, packet)| packet.clone()).collect::<Vec<_>>(), flat(&content));
            let expected: Vec<_> = parts.iter().map(|part| (part.record.sequence.0, true, Some(part.sha256))).collect();
            assert_eq!(read.parts, expected);
            assert_eq!((read.prologues, read.seek_tables, read.damage.len(), read.cut.len()), (1, 1, 0, 0));
        }
    }
    assert_eq!(parts[1].record.previous_sha256, parts[0].sha256);
}

#[test]
fn parts_stored_again_keep_their_bytes() {
    let parts = parts(&small());
    let again = Part::from_bytes(parts[1].bytes.clone()).unwrap();
    assert_eq!(again, parts[1]);
    assert!(Part::from_bytes(parts[1].bytes[..100].to_vec()).is_err());
    let mut builder = ObjectBuilder::new(link::ETHERNET, &mut Compressor::new(1).unwrap()).unwrap();
    let mut object = builder.add(&again, true).unwrap();
    object.extend(&again.bytes);
    object.extend(builder.add(&parts[2], false).unwrap());
    object.extend(&parts[2].bytes);
    assert_eq!(builder.size(), object.len() as u64);
    object.extend(builder.finish());
    let read = read(&object, 100, true);
    assert_eq!(read.maybe_stored, 1);
    assert_eq!(read.parts[0], (1, true, Some(parts[1].sha256)));
    assert_eq!((read.packets.len(), read.damage.len()), (12, 0));
}

#[test]
fn other_records_are_passed_over() {
    #[derive(serde::Serialize)]
    struct Names {
        names: Vec<&'static str>,
    }
    let content = small();
    let mut compressor = Compressor::new(1).unwrap();
    let mut builder = BlockBuilder::new();
    builder.push(&Packet { time: Timestamp(1), original_length: 3, data: b"abc" }).unwrap();
    let mut part = PartBuilder::new(0);
    part.push_record("metadata", &Names { names: vec!["eth0"] }).unwrap();
    part.push(compressor.compress(&builder.take().unwrap()).unwrap());
    let part = part.finish(header(0, PartHash::ZERO)).unwrap();
    assert_eq!(Part::from_bytes(part.bytes.clone()).unwrap(), part);
    let all = [vec![part.clone()], parts(&content)].concat();
    let object = ObjectBuilder::assemble(link::ETHERNET, &all, &mut compressor).unwrap();
    for with_plan in [false, true] {
        let read = read(&object, 50, with_plan);
        assert_eq!((read.packets.len(), read.damage.len()), (19, 0));
        assert_eq!(read.parts[0], (0, true, Some(part.sha256)));
    }
}

#[test]
fn every_prefix_gives_what_is_before_the_cut() {
    let content = small();
    let object = object(&content);
    let all = flat(&content);
    let whole = read(&object, 1 << 20, false);
    let plan = Plan::from_tail(object.len() as u64, &object).unwrap();
    for end in 0..=object.len() {
        let read = read(&object[..end], 64, false);
        let blocks =
            plan.blocks().filter(|block| block.offset + u64::from(block.compressed_size) <= end as u64).count();
        assert_eq!(read.packets, whole.packets[..blocks * 3], "{end}");
        assert!(is_subsequence(&read.packets.iter().map(|(_, packet)| packet.clone()).collect::<Vec<_>>(), &all));
        assert!(read.damage.is_empty(), "{end}: {:?}", read.damage);
        let frame = plan.frames().iter().map(|frame| frame.offset).chain([plan.seek_table_offset()]);
        let frame = frame.filter(|&offset| offset <= end as u64).max().unwrap();
        if frame != end as u64 && end != object.len() {
            assert_eq!(read.cut, [frame], "{end}");
        }
    }
}

#[test]
fn any_changed_byte_costs_its_frame_only() {
    let content = small();
    let object = object(&content);
    let whole = read(&object, 1 << 20, false);
    let plan = Plan::from_tail(object.len() as u64, &object).unwrap();
    for at in 0..object.len() {
        for flip in [0x01, 0x04, 0x80, 0xff] {
            let mut changed = object.clone();
            changed[at] ^= flip;
            for with_plan in [false, true] {
                let read = read(&changed, 4096, with_plan);
                let lost = whole.packets.len() - read.packets.len();
                assert!(read.packets.iter().all(|packet| whole.packets.contains(packet)), "{at}");
                assert!(lost <= 3, "{at} ^ {flip}: {lost} packets lost");
                let hit = plan.frames().iter().find(|frame| {
                    (frame.offset..frame.offset + u64::from(frame.compressed_size)).contains(&(at as u64))
                });
                if let Some(frame) = hit {
                    assert!(lost == 0 || frame.decompressed_size > 24);
                    let reported = read.damage.len() + read.cut.len() + read.unknown;
                    assert!(reported > 0, "{at} ^ {flip} went unseen, plan {with_plan}");
                }
            }
        }
    }
}

#[test]
fn removed_and_added_bytes_are_survived() {
    let content = small();
    let object = object(&content);
    let whole = read(&object, 1 << 20, false);
    for at in (0..object.len()).step_by(3) {
        let mut removed = object.clone();
        removed.drain(at..(at + 5).min(object.len()));
        let mut added = object.clone();
        added.splice(at..at, [0x28, 0xb5, 0x2f]);
        for changed in [removed, added] {
            let read = read(&changed, 512, true);
            // five bytes may touch two blocks
            assert!(whole.packets.len() - read.packets.len() <= 6, "{at}: {read:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_objects(
        content in prop::collection::vec(prop::collection::vec(prop::collection::vec(
            (0..4_000_000_000_000_000_000u64, any::<u32>(), prop::collection::vec(any::<u8>(), 0..2000)), 1..20), 1..4), 1..4),
        cut in any::<prop::sample::Index>(),
        piece in 1..5000usize,
    ) {
        let object = object(&content);
        let whole = read(&object, piece, true);
        let read_packets: Vec<Owned> = whole.packets.iter().map(|(_, packet)| packet.clone()).collect();
        prop_assert_eq!(read_packets, flat(&content));
        // positions lead back to their packets by one ranged read each, and increase
        prop_assert!(whole.packets.is_sorted_by(|left, right| left.0 < right.0));
        let (mut decompressor, mut block) = (Decompressor::new().unwrap(), Vec::new());
        for (position, (time, _, data)) in &whole.packets {
            let start = position.block_offset() as usize;
            let range = &object[start..(start + MAX_COMPRESSED_BLOCK_BYTES).min(object.len())];
            read_block(range, &mut decompressor, &mut block).unwrap();
            let packet = packet_at(&block, position.offset_in_block()).unwrap();
            prop_assert_eq!((packet.time.0, packet.data), (*time, data.as_slice()));
        }
        let prefix = read(&object[..cut.index(object.len())], piece, false);
        prop_assert_eq!(&prefix.packets[..], &whole.packets[..prefix.packets.len()]);
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..5000), piece in 1..300usize) {
        fuzz::object(&bytes, piece);
        fuzz::capture(&bytes);
        fuzz::block(&bytes);
        fuzz::records(&bytes);
        fuzz::record(&bytes);
        fuzz::seek_table(&bytes, bytes.len() as u64);
        fuzz::gaps(&bytes);
    }

    #[test]
    fn damaged_objects(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), piece in 1..500usize) {
        let mut object = object(&small());
        for (at, value) in changes {
            let at = at.index(object.len());
            object[at] = value;
        }
        fuzz::object(&object, piece);
    }
}

#[test]
fn hostile_candidates_end_soon() {
    // frames that claim a megabyte of zeros and fail their checksum, one after the other, behind damage
    let fake = [0x28, 0xb5, 0x2f, 0xfd, 0xa4, 0xff, 0xff, 0x0f, 0x00, 0x03, 0x00, 0x10, 0, 0, 0, 0, 0];
    let bytes: Vec<u8> = std::iter::repeat_n(fake, 100_000).flatten().collect();
    fuzz::object(&[&[0u8; 9], bytes.as_slice()].concat(), 1 << 20);
}

fn tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing, and CI must not skip this test");
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

#[test]
fn standard_tools_read_objects() {
    if !tool("zstd") || !tool("tcpdump") {
        return;
    }
    let object = object(&small());
    let folder = tempfile::tempdir().unwrap();
    let (compressed, plain) = (folder.path().join("object.pcap.zst"), folder.path().join("object.pcap"));
    std::fs::write(&compressed, &object).unwrap();
    let status = Command::new("zstd").args(["-q", "-d"]).arg(&compressed).arg("-o").arg(&plain).status().unwrap();
    assert!(status.success());
    let dump = Command::new("tcpdump").args(["-n", "-tt", "-r"]).arg(&plain).output().unwrap();
    assert!(dump.status.success(), "{dump:?}");
    let lines = String::from_utf8(dump.stdout).unwrap().lines().filter(|line| line.starts_with("1700000000.")).count();
    assert_eq!(lines, 18);

    // a cut object gives what is before the cut
    let plan = Plan::from_tail(object.len() as u64, &object).unwrap();
    let last = plan.blocks().last().unwrap();
    let whole = std::fs::read(&plain).unwrap();
    let cut = &object[..last.offset as usize + last.compressed_size as usize - 1];
    let mut child =
        Command::new("zstd").args(["-q", "-dc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(cut).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.len() >= whole.len() - last.decompressed_size as usize);
    assert!(whole.starts_with(&output.stdout));
}

#[test]
fn example_of_the_format_page() {
    let page = include_str!("../../../docs/object-format.md");
    let content = vec![vec![vec![(1_700_000_000_000_000_001, 4, vec![0xde, 0xad, 0xbe, 0xef])]]];
    let object = object(&content);
    let mut lines = String::new();
    for (number, row) in object.chunks(16).enumerate() {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            row.iter().map(|&byte| if (32..127).contains(&byte) { char::from(byte) } else { '.' }).collect();
        lines.push_str(&format!("{:04x}  {:<47}  {text}\n", number * 16, hex.join(" ")));
    }
    assert!(page.contains(&lines), "docs/object-format.md must have this example:\n{lines}");
}
