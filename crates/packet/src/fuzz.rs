//! Entry points over arbitrary bytes: none of them may panic, hang, or take memory out of proportion.

use crate::{
    capture::{CaptureReader, Step},
    object::{self, Decompressor, Event, ObjectReader, Plan, decode_gaps},
    record::packets,
};

/// Reads the bytes as a capture file; gives the number of packets.
pub fn capture(bytes: &[u8]) -> u64 {
    let (mut reader, mut rest) = (CaptureReader::new(), bytes);
    let mut count = 0;
    loop {
        let consumed = match reader.next(rest) {
            Step::Packet { consumed, .. } => {
                count += 1;
                consumed
            }
            Step::Skip { consumed } => consumed,
            Step::NeedMore { at_least } => {
                debug_assert!(at_least > rest.len());
                let _ = reader.finish(rest.len());
                return count;
            }
            Step::Error(_) => return count,
        };
        debug_assert!(consumed > 0);
        rest = rest.get(consumed..).unwrap_or_default();
    }
}

/// Reads the bytes as a capture object, in pieces of `piece` bytes, with its seek table where it has one; gives the number
/// of packets.
pub fn object(bytes: &[u8], piece: usize) -> u64 {
    let plan = Plan::from_tail(bytes.len() as u64, bytes).ok();
    let Ok(mut reader) = ObjectReader::new(plan.as_ref()) else { return 0 };
    let mut count = 0;
    let mut drain = |reader: &mut ObjectReader| {
        while let Some(event) = reader.next_event() {
            if let Event::Block { bytes, .. } = event {
                count += packets(bytes).filter(Result::is_ok).count() as u64;
            }
        }
    };
    for piece in bytes.chunks(piece.max(1)) {
        reader.push(piece);
        drain(&mut reader);
    }
    reader.finish();
    drain(&mut reader);
    count
}

/// Reads the bytes as one compressed block.
pub fn block(bytes: &[u8]) -> usize {
    let Ok(mut decompressor) = Decompressor::new() else { return 0 };
    let mut out = Vec::new();
    match object::read_block(bytes, &mut decompressor, &mut out) {
        Ok(_) => packets(&out).count(),
        Err(_) => 0,
    }
}

/// Reads the bytes as a decompressed block.
pub fn records(bytes: &[u8]) -> usize {
    packets(bytes).count()
}

/// Reads the bytes as the record of a part or of another kind.
pub fn record(bytes: &[u8]) -> bool {
    object::parse_record(bytes).is_ok()
}

/// Reads the bytes as the end of an object of any size.
pub fn seek_table(bytes: &[u8], object_size: u64) -> bool {
    Plan::from_tail(object_size, bytes).is_ok()
}

/// Reads the bytes as numbers of `packetPos`.
pub fn gaps(bytes: &[u8]) -> usize {
    let numbers: Vec<i64> =
        bytes.chunks(8).map(|chunk| chunk.iter().fold(0, |number, &byte| number << 8 | i64::from(byte))).collect();
    decode_gaps(&numbers).map_or(0, |positions| positions.len())
}
