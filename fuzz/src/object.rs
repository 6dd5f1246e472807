//! Capture objects: damaged ones, and the pieces they are made of.

use std::cell::RefCell;

use skycap_model::{MAX_BLOCK_BYTES, PartSequence, RingId, RunId, Timestamp};
use skycap_packet::{
    Packet, fuzz,
    object::{
        BlockBuilder, Compressor, Counters, DEFAULT_LEVEL, Event, MIN_PART_BYTES, ObjectBuilder, ObjectReader, Part,
        PartBuilder, PartHash, PartHeader, Plan,
    },
    record::packets,
};

use crate::input::Input;

thread_local! {
    static COMPRESSOR: RefCell<Compressor> =
        RefCell::new(Compressor::new(DEFAULT_LEVEL).expect("zstd has a context for us"));
}

/// Most damages done to an object.
const MAX_DAMAGES: u8 = 4;

/// Reading whole objects, with damage. Input: mode (bit 0: raw bytes follow), size of pieces; else number of damages, each
/// kind, place (2) and argument, then packets: length and that many bytes; a length of 255 ends a block, 254 a part.
pub fn object(data: &[u8]) {
    let mut input = Input(data);
    let raw = input.flag();
    let piece = usize::from(input.short()) + 1;
    if raw {
        read_both(input.0, piece, None);
        return;
    }
    let damages: Vec<[u8; 4]> = (0..input.byte() % (MAX_DAMAGES + 1))
        .map(|_| [input.byte(), input.byte(), input.byte(), input.byte()])
        .collect();
    let (mut object, stored) = build(&mut input);
    let whole = damages.is_empty();
    for [kind, low, high, argument] in damages {
        damage(&mut object, kind, usize::from(u16::from_le_bytes([low, high])), argument);
    }
    read_both(&object, piece, whole.then_some(stored));
}

fn damage(object: &mut Vec<u8>, kind: u8, place: usize, argument: u8) {
    if object.is_empty() {
        return;
    }
    let place = place % object.len();
    let end = (place + usize::from(argument) + 1).min(object.len());
    match kind % 6 {
        0 => object[place] ^= argument.max(1),
        1 => object.truncate(place),
        2 => drop(object.drain(place..end)),
        3 => object[place..end].fill(argument),
        4 => {
            let copy = object[place..end].to_vec();
            object.splice(place..place, copy);
        }
        _ => {
            let copy = object[..place].to_vec();
            object.extend(copy);
        }
    }
}

/// An object of the packets described; gives the number of packets too.
fn build(input: &mut Input<'_>) -> (Vec<u8>, u64) {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let mut blocks = BlockBuilder::new();
        let mut part = PartBuilder::new(MIN_PART_BYTES);
        let mut parts: Vec<Part> = Vec::new();
        let mut time = 1_700_000_000_000_000_000;
        while !input.is_empty() && parts.len() < 64 {
            let length = input.byte();
            if length < 254 {
                time += 1_000_000;
                let data = input.take(usize::from(length));
                let packet = Packet { time: Timestamp(time), original_length: data.len() as u32, data };
                blocks.push(&packet).expect("a small packet fits");
                if !input.is_empty() {
                    continue;
                }
            }
            if let Some(block) = blocks.take() {
                part.push(compressor.compress(&block).expect("a block can be compressed"));
            }
            if (length == 254 || input.is_empty()) && part.packets() > 0 {
                let stored = part.packets();
                let header = PartHeader {
                    link_type: 1,
                    snap_length: 65_535,
                    run: RunId(7),
                    ring: RingId(0),
                    sequence: PartSequence(parts.len() as u64),
                    counters: Counters { received: stored, stored, ..Counters::default() },
                    tombstones: Vec::new(),
                    previous_sha256: parts.last().map_or(PartHash::ZERO, |part| part.sha256),
                    previous_run: None,
                };
                parts.push(part.finish(header).expect("a part can be finished"));
            }
        }
        let stored = parts.iter().map(|part| packets_of(&part.bytes)).sum();
        let object = ObjectBuilder::assemble(1, &parts, compressor).expect("parts make an object");
        (object, stored)
    })
}

fn packets_of(part: &[u8]) -> u64 {
    let part = Part::from_bytes(part.to_vec()).expect("what was written can be read");
    part.record.blocks.iter().map(|block| u64::from(block.packets)).sum()
}

/// Reads the object in pieces and whole; an undamaged one must give all its packets.
fn read_both(object: &[u8], piece: usize, stored: Option<u64>) {
    let pieces = read(object, piece);
    let whole = read(object, object.len().max(1));
    assert_eq!(pieces, whole, "pieces of {piece} bytes give other events");
    // an object without parts is a seek table alone, which nobody stores
    if let Some(stored) = stored.filter(|&stored| stored > 0) {
        assert_eq!(whole.packets, stored, "packets of an undamaged object are missing");
        assert_eq!((whole.damaged, whole.cut), (0, 0), "an undamaged object is reported damaged");
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    packets: u64,
    damaged: u64,
    cut: u64,
    /// Each event in words, without its bytes.
    events: Vec<String>,
}

fn read(object: &[u8], piece: usize) -> Seen {
    let plan = Plan::from_tail(object.len() as u64, object).ok();
    let mut reader = ObjectReader::new(plan.as_ref()).expect("zstd has a context for us");
    let mut seen = Seen::default();
    let mut last = 0;
    for piece in object.chunks(piece) {
        reader.push(piece);
        drain(&mut reader, object.len() as u64, &mut last, &mut seen);
    }
    reader.finish();
    drain(&mut reader, object.len() as u64, &mut last, &mut seen);
    assert!(reader.next_event().is_none(), "events behind the end");
    seen
}

fn drain(reader: &mut ObjectReader, size: u64, last: &mut u64, seen: &mut Seen) {
    while let Some(event) = reader.next_event() {
        let (offset, bytes) = match &event {
            Event::Block { offset, compressed_size, bytes, .. } => {
                assert!(bytes.len() < MAX_BLOCK_BYTES);
                seen.packets += packets(bytes).filter(Result::is_ok).count() as u64;
                (*offset, u64::from(*compressed_size))
            }
            Event::Damage { offset, bytes, .. } => {
                seen.damaged += bytes;
                assert!(*bytes > 0, "damage of no bytes");
                (*offset, *bytes)
            }
            Event::Cut { offset, bytes } => {
                seen.cut += 1;
                (*offset, *bytes)
            }
            Event::Unknown { offset, bytes } => (*offset, *bytes),
            Event::Part { offset, .. } | Event::Record { offset, .. } | Event::SeekTable { offset } => (*offset, 0),
            Event::Prologue(_) | Event::PartEnd(_) => (*last, 0),
        };
        assert!(offset + bytes <= size, "outside of the object: {event:?}");
        assert!(offset >= *last, "goes backwards from {last}: {event:?}");
        *last = offset + bytes;
        seen.events.push(match event {
            Event::Block { offset, compressed_size, packets, bytes } => {
                format!("block {offset} {compressed_size} {packets:?} {}", bytes.len())
            }
            other => format!("{other:?}"),
        });
        // each event stands for at least one byte, but for the ends of parts
        assert!(seen.events.len() as u64 <= 2 * size + 4, "events without end");
    }
}

/// The pieces of an object by themselves. Input: which one, then its bytes.
pub fn object_pieces(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 5 {
        0 => {
            fuzz::block(input.0);
        }
        1 => {
            fuzz::records(input.0);
        }
        2 => {
            fuzz::record(input.0);
        }
        3 => {
            let size = u64::from(input.short()) << (input.byte() % 40);
            fuzz::seek_table(input.0, size);
            fuzz::seek_table(input.0, input.0.len() as u64);
        }
        _ => {
            fuzz::gaps(input.0);
        }
    }
}
