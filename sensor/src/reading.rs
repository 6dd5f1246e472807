//! From an open input to packets: large reads into one buffer, of which packets are slices.

use std::io::Read;

use anyhow::{Context, Result};
use skycap_packet::{
    Packet,
    capture::{CaptureCounters, CaptureReader, Interface, MAX_NEEDED_BYTES, Step},
};

/// Size of the buffer; a read fills what is free of it.
const BUFFER_BYTES: usize = 4 * MAX_NEEDED_BYTES;

/// How reading a capture ended.
#[derive(Debug, Default)]
pub struct Finished {
    /// Packets given.
    pub packets: u64,
    /// What is wrong with the input, where; packets before it were given.
    pub damage: Option<String>,
    /// Bytes after the damage that were not read as packets.
    pub refused_bytes: u64,
    /// What the format holds beside packets.
    pub counters: CaptureCounters,
}

/// Gives every packet of an input, with its interface, to `each`; an error of `each` ends it.
///
/// Damage (no capture, a cut, an impossible length, broken compression) is no error of this function: it is told in
/// [`Finished`], names the offset, and what came before it was given.
pub fn read_packets(
    input: &mut impl Read,
    mut each: impl FnMut(Interface, Packet<'_>) -> Result<()>,
) -> Result<Finished> {
    let mut reader = CaptureReader::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut start, mut end) = (0, 0);
    let mut finished = Finished::default();
    let damage = 'input: loop {
        let wanted = loop {
            match reader.next(&buffer[start..end]) {
                Step::Packet { consumed, packet, interface } => {
                    let interface = reader.interfaces().get(interface as usize).copied();
                    let interface = interface.context("a packet names an interface that was never described")?;
                    finished.packets += 1;
                    each(interface, packet)?;
                    start += consumed;
                }
                Step::Skip { consumed } => start += consumed,
                Step::NeedMore { at_least } => break at_least,
                Step::Error(error) => break 'input Some(error.to_string()),
            }
        };
        buffer.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        while end < wanted.max(1) {
            match input.read(&mut buffer[end..]) {
                Ok(0) => break 'input reader.finish(end).err().map(|error| error.to_string()),
                Ok(read) => end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break 'input Some(format!("reading on from offset {}: {error}", reader.offset() + end as u64)),
            }
        }
    };
    if damage.is_some() {
        finished.refused_bytes = (end - start) as u64 + drain(input);
    }
    finished.damage = damage;
    finished.counters = reader.counters();
    Ok(finished)
}

/// Counts what is left of an input that can't be read as packets; how much of it is bounded by the input's limit.
fn drain(input: &mut impl Read) -> u64 {
    std::io::copy(input, &mut std::io::sink()).unwrap_or(0)
}
