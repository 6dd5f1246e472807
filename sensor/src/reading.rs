//! From an open input to packets: large reads into one buffer, of which packets are slices.

use std::io::Read;

use anyhow::Result;
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

/// The packets that the buffer holds at the moment, of one interface's link type: offset of the record in the input, and
/// the packet. Ends where more must be read, or where a packet of another link type comes.
pub struct Batch<'buffer, 'reader> {
    reader: &'reader mut CaptureReader,
    rest: &'buffer [u8],
    offset: u64,
    link_type: u32,
    /// The packet that did not belong to the batch any more.
    next: Option<(u64, Interface, Packet<'buffer>)>,
    end: Option<BatchEnd>,
    packets: u64,
}

enum BatchEnd {
    NeedMore(usize),
    Damage(String),
}

impl<'buffer> Batch<'buffer, '_> {
    /// Link type of all packets of the batch.
    #[must_use]
    pub fn link_type(&self) -> u32 {
        self.link_type
    }

    #[inline]
    fn step(&mut self) -> Option<(u64, Interface, Packet<'buffer>)> {
        loop {
            match self.reader.next(self.rest) {
                Step::Packet { consumed, packet, interface } => {
                    let Some(&interface) = self.reader.interfaces().get(interface as usize) else {
                        self.end =
                            Some(BatchEnd::Damage("a packet names an interface that was never described".to_owned()));
                        return None;
                    };
                    let offset = self.offset;
                    self.advance(consumed);
                    return Some((offset, interface, packet));
                }
                Step::Skip { consumed } => self.advance(consumed),
                Step::NeedMore { at_least } => {
                    self.end = Some(BatchEnd::NeedMore(at_least));
                    return None;
                }
                Step::Error(error) => {
                    self.end = Some(BatchEnd::Damage(error.to_string()));
                    return None;
                }
            }
        }
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.offset += bytes as u64;
    }
}

impl<'buffer> Iterator for Batch<'buffer, '_> {
    type Item = (u64, Packet<'buffer>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        let next = match self.next.take() {
            Some(next) => Some(next),
            None => self.step(),
        };
        let (offset, interface, packet) = next?;
        if interface.link_type != self.link_type {
            self.next = Some((offset, interface, packet));
            return None;
        }
        self.packets += 1;
        Some((offset, packet))
    }
}

/// Gives the packets of an input to `each`, batch by batch; `each` takes all of a batch. An error of `each` ends it.
///
/// Damage (no capture, a cut, an impossible length, broken compression) is no error of this function: it is told in
/// [`Finished`], names the offset, and what came before it was given.
pub fn read_batches(input: &mut impl Read, mut each: impl FnMut(&mut Batch<'_, '_>) -> Result<()>) -> Result<Finished> {
    let mut reader = CaptureReader::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut start, mut end, mut offset) = (0, 0, 0);
    let mut finished = Finished::default();
    let damage = 'input: loop {
        let mut batch = Batch {
            reader: &mut reader,
            rest: &buffer[start..end],
            offset,
            link_type: 0,
            next: None,
            end: None,
            packets: 0,
        };
        batch.next = batch.step();
        while let Some((_, interface, _)) = batch.next {
            batch.link_type = interface.link_type;
            each(&mut batch)?;
            if batch.next.is_none() && batch.end.is_none() {
                batch.next = batch.step();
            }
        }
        (start, offset) = (end - batch.rest.len(), batch.offset);
        finished.packets += batch.packets;
        let wanted = match batch.end {
            Some(BatchEnd::Damage(damage)) => break 'input Some(damage),
            Some(BatchEnd::NeedMore(wanted)) => wanted,
            None => 1,
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
                Err(error) => break 'input Some(format!("reading on from offset {}: {error}", offset + end as u64)),
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

/// Gives every packet of an input, with its link type, to `each`; otherwise as [`read_batches`].
pub fn read_packets(input: &mut impl Read, mut each: impl FnMut(u32, Packet<'_>) -> Result<()>) -> Result<Finished> {
    read_batches(input, |batch| {
        let link_type = batch.link_type();
        batch.try_for_each(|(_, packet)| each(link_type, packet))
    })
}

/// Counts what is left of an input that can't be read as packets; how much of it is bounded by the input's limit.
fn drain(input: &mut impl Read) -> u64 {
    std::io::copy(input, &mut std::io::sink()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use skycap_model::Timestamp;
    use skycap_packet::record::{FileHeader, write_record};

    use super::*;

    fn capture(packets: usize) -> Vec<u8> {
        let mut bytes = FileHeader::new(1).to_bytes().to_vec();
        for number in 0..packets {
            let data = vec![number as u8; number % 3_000];
            let packet = Packet { time: Timestamp(number as u64), original_length: data.len() as u32, data: &data };
            write_record(&packet, &mut bytes).unwrap();
        }
        bytes
    }

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(self.1).min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn any_chunking_gives_the_same_packets_and_offsets() {
        let bytes = capture(8_000);
        for chunk in [1_000, 65_537, usize::MAX] {
            let mut seen = 0_u64;
            let finished = read_batches(&mut Trickle(&bytes, chunk), |batch| {
                for (offset, packet) in batch {
                    assert_eq!(packet.time.0, seen);
                    assert_eq!(&bytes[offset as usize + 16..][..packet.data.len()], packet.data);
                    seen += 1;
                }
                Ok(())
            });
            let finished = finished.unwrap();
            assert_eq!((seen, finished.packets, finished.damage), (8_000, 8_000, None));
        }
    }

    #[test]
    fn damage_is_told_and_what_was_before_is_given() {
        let mut bytes = capture(100);
        bytes.truncate(bytes.len() - 1);
        let finished = read_packets(&mut bytes.as_slice(), |_, _| Ok(())).unwrap();
        assert_eq!(finished.packets, 99);
        assert!(finished.damage.unwrap().contains("cut short at offset"));
        let finished = read_packets(&mut &b"this is no capture at all"[..], |_, _| Ok(())).unwrap();
        assert!(finished.damage.unwrap().contains("neither libpcap nor pcapng"));
        assert!(finished.refused_bytes > 0);
    }
}
