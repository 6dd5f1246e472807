//! From packets to capture objects: blocks, a pool of threads that compress, parts in order, rotation.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use skycap_model::{Class, GroupName, MAX_PACKET_BYTES, NodeName, ObjectKey, PartSequence, RingId, RunId, Timestamp};
use skycap_packet::{
    Packet,
    object::{
        Block, BlockBuilder, CompressedBlock, Compressor, Counters, DEFAULT_LEVEL, DEFAULT_PART_BYTES,
        MAX_OBJECT_BYTES, ObjectBuilder, Part, PartBuilder, PartHash, PartHeader,
    },
};

use crate::Sink;

/// Most link types with an open object at once.
pub const MAX_OPEN_LINK_TYPES: usize = 16;
/// Blocks between two stages, for each thread: a mebibyte each.
const QUEUED_BLOCKS_PER_THREAD: usize = 2;
/// Room that an object keeps for its last part and seek table below the largest object.
const OBJECT_RESERVE_BYTES: u64 = 320 << 20;

/// What the recorder is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Retention class of the packets.
    pub class: Class,
    /// Group of the sensor.
    pub group: GroupName,
    /// Node name.
    pub node: NodeName,
    /// The process' life.
    pub run: RunId,
    /// The capture queue.
    pub ring: RingId,
    /// Threads that compress.
    pub threads: usize,
    /// Bytes after which a part is uploaded.
    pub part_bytes: usize,
    /// Bytes after which an object ends; at most 2 GiB less a reserve.
    pub rotate_bytes: u64,
    /// Packet time after which an object ends.
    pub rotate_after: Duration,
}

impl Settings {
    /// Settings with the defaults of size and time: 1 GiB, an hour, one thread.
    #[must_use]
    pub fn new(class: Class, group: GroupName, node: NodeName, run: RunId) -> Self {
        Self {
            class,
            group,
            node,
            run,
            ring: RingId(0),
            threads: 1,
            part_bytes: DEFAULT_PART_BYTES,
            rotate_bytes: 1 << 30,
            rotate_after: Duration::from_secs(3_600),
        }
    }
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Packets stored.
    pub packets: u64,
    /// Captured bytes stored.
    pub captured_bytes: u64,
    /// Packets that no record can hold (a time beyond 2106, more bytes than a record has); not stored.
    pub refused: u64,
    /// Objects written.
    pub objects: u64,
    /// Bytes of those objects.
    pub object_bytes: u64,
}

/// Takes packets; one for each ring.
pub struct Recorder {
    rings: HashMap<u32, LinkState>,
    rotate_after: u64,
    jobs: Option<SyncSender<Job>>,
    ordered: Option<SyncSender<Ordered>>,
    recycled: Receiver<Vec<u8>>,
    threads: Vec<JoinHandle<()>>,
    assembler: Option<JoinHandle<Result<Recorded>>>,
    refused: u64,
}

struct LinkState {
    builder: BlockBuilder,
    object_start: Option<Timestamp>,
}

struct Job {
    block: Block,
    answer: SyncSender<Result<CompressedBlock, String>>,
}

enum Ordered {
    Block { link_type: u32, compressed: Receiver<Result<CompressedBlock, String>> },
    Rotate { link_type: u32 },
}

impl Recorder {
    /// Starts the threads.
    pub fn start(settings: Settings, sink: Box<dyn Sink>) -> Result<Self> {
        let limit = MAX_OBJECT_BYTES - OBJECT_RESERVE_BYTES;
        if settings.rotate_bytes > limit {
            bail!("objects rotate after at most {limit} bytes, not {}", settings.rotate_bytes);
        }
        let threads = settings.threads.clamp(1, 64);
        let (jobs, waiting) = sync_channel::<Job>(threads * QUEUED_BLOCKS_PER_THREAD);
        let (ordered, in_order) = sync_channel(threads * QUEUED_BLOCKS_PER_THREAD);
        let (recycle, recycled) = sync_channel(threads * QUEUED_BLOCKS_PER_THREAD);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut handles = Vec::new();
        for number in 0..threads {
            let (waiting, recycle) = (waiting.clone(), recycle.clone());
            let mut compressor = Compressor::new(DEFAULT_LEVEL)?;
            let thread = std::thread::Builder::new().name(format!("compress-{number}"));
            handles.push(
                thread.spawn(move || compress(&waiting, &recycle, &mut compressor)).context("starting a thread")?,
            );
        }
        let rotate_after = u64::try_from(settings.rotate_after.as_nanos()).unwrap_or(u64::MAX);
        let assembler = Assembler::new(settings, sink)?;
        let thread = std::thread::Builder::new().name("assemble".to_owned());
        let assembler = thread.spawn(move || assembler.run(&in_order)).context("starting a thread")?;
        Ok(Self {
            rings: HashMap::new(),
            rotate_after,
            jobs: Some(jobs),
            ordered: Some(ordered),
            recycled,
            threads: handles,
            assembler: Some(assembler),
            refused: 0,
        })
    }

    /// Appends a packet; blocks while the stages behind are busy.
    pub fn packet(&mut self, link_type: u32, packet: &Packet<'_>) -> Result<()> {
        if !self.rings.contains_key(&link_type) {
            if self.rings.len() >= MAX_OPEN_LINK_TYPES {
                self.refused += 1;
                return Ok(());
            }
            self.rings.insert(link_type, LinkState { builder: BlockBuilder::new(), object_start: None });
        }
        let Some(state) = self.rings.get_mut(&link_type) else { return Ok(()) };
        let start = *state.object_start.get_or_insert(packet.time);
        if packet.time.0.saturating_sub(start.0) >= self.rotate_after {
            state.object_start = Some(packet.time);
            self.flush(link_type)?;
            self.send(Ordered::Rotate { link_type })?;
        }
        let Some(state) = self.rings.get_mut(&link_type) else { return Ok(()) };
        match state.builder.push(packet) {
            Ok(None) => Ok(()),
            Ok(Some(block)) => self.submit(link_type, block),
            Err(_) => {
                self.refused += 1;
                Ok(())
            }
        }
    }

    /// Ends all objects and waits until they are stored.
    pub fn finish(mut self) -> Result<Recorded> {
        let mut link_types: Vec<u32> = self.rings.keys().copied().collect();
        link_types.sort_unstable();
        let flushed = link_types.into_iter().try_for_each(|link_type| self.flush(link_type));
        self.jobs = None;
        self.ordered = None;
        let assembled = match self.assembler.take().map(JoinHandle::join) {
            Some(Ok(recorded)) => recorded,
            _ => Err(anyhow!("the assembler thread died")),
        };
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow!("a compressing thread died"))?;
        }
        // the assembler's error is the cause, that of a queue it closed only the consequence
        let mut recorded = assembled?;
        flushed?;
        recorded.refused += self.refused;
        Ok(recorded)
    }

    fn flush(&mut self, link_type: u32) -> Result<()> {
        match self.rings.get_mut(&link_type).and_then(|state| state.builder.take()) {
            Some(block) => self.submit(link_type, block),
            None => Ok(()),
        }
    }

    fn submit(&mut self, link_type: u32, block: Block) -> Result<()> {
        let (answer, compressed) = sync_channel(1);
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job { block, answer }).is_ok());
        if !sent {
            bail!("the compressing threads have stopped");
        }
        if let (Some(state), Ok(buffer)) = (self.rings.get_mut(&link_type), self.recycled.try_recv()) {
            state.builder.recycle(buffer);
        }
        self.send(Ordered::Block { link_type, compressed })
    }

    /// The assembler ends early only by an error: then this is where its cause is told.
    fn send(&mut self, item: Ordered) -> Result<()> {
        if self.ordered.as_ref().is_some_and(|ordered| ordered.send(item).is_ok()) {
            return Ok(());
        }
        match self.assembler.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(error),
            _ => bail!("the assembler thread has stopped"),
        }
    }
}

fn compress(waiting: &Mutex<Receiver<Job>>, recycle: &SyncSender<Vec<u8>>, compressor: &mut Compressor) {
    loop {
        let job = match waiting.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { block, answer }) = job else { return };
        let compressed = compressor.compress(&block).map_err(|error| error.to_string());
        // nobody listens where the assembler stopped early
        let _ = answer.send(compressed);
        let _ = recycle.try_send(block.into_buffer());
    }
}

/// Puts compressed blocks together, in order.
struct Assembler {
    settings: Settings,
    sink: Box<dyn Sink>,
    compressor: Compressor,
    open: HashMap<u32, Open>,
    sequence: u64,
    previous: PartHash,
    counters: Counters,
    recorded: Recorded,
}

struct Open {
    parts: PartBuilder,
    object: Option<OpenObject>,
}

struct OpenObject {
    number: u64,
    builder: ObjectBuilder,
}

impl Assembler {
    fn new(settings: Settings, sink: Box<dyn Sink>) -> Result<Self> {
        Ok(Self {
            settings,
            sink,
            compressor: Compressor::new(DEFAULT_LEVEL)?,
            open: HashMap::new(),
            sequence: 0,
            previous: PartHash::ZERO,
            counters: Counters::default(),
            recorded: Recorded::default(),
        })
    }

    fn run(mut self, in_order: &Receiver<Ordered>) -> Result<Recorded> {
        for item in in_order {
            match item {
                Ordered::Block { link_type, compressed } => {
                    let block =
                        compressed.recv().context("a compressing thread died")?.map_err(|error| anyhow!(error))?;
                    self.block(link_type, block)?;
                }
                Ordered::Rotate { link_type } => self.end_object(link_type)?,
            }
        }
        let mut link_types: Vec<u32> = self.open.keys().copied().collect();
        link_types.sort_unstable();
        for link_type in link_types {
            self.end_object(link_type)?;
        }
        self.sink.finish()?;
        Ok(self.recorded)
    }

    fn block(&mut self, link_type: u32, block: CompressedBlock) -> Result<()> {
        let part_bytes = self.settings.part_bytes;
        let open =
            self.open.entry(link_type).or_insert_with(|| Open { parts: PartBuilder::new(part_bytes), object: None });
        open.parts.push(block);
        if open.parts.is_full() {
            self.end_part(link_type)?;
            let size = self
                .open
                .get(&link_type)
                .and_then(|open| open.object.as_ref())
                .map_or(0, |object| object.builder.size());
            if size >= self.settings.rotate_bytes {
                self.end_object(link_type)?;
            }
        }
        Ok(())
    }

    /// Makes a part of the blocks so far, and hands it on with what must stand before it.
    fn part(&mut self, link_type: u32) -> Result<Option<(Part, Vec<u8>)>> {
        let Some(open) = self.open.get_mut(&link_type) else { return Ok(None) };
        if open.parts.is_empty() {
            return Ok(None);
        }
        let packets = open.parts.packets();
        self.counters.received += packets;
        self.counters.stored += packets;
        let part = open.parts.finish(PartHeader {
            link_type,
            snap_length: MAX_PACKET_BYTES as u32,
            run: self.settings.run,
            ring: self.settings.ring,
            sequence: PartSequence(self.sequence),
            counters: self.counters.clone(),
            tombstones: Vec::new(),
            previous_sha256: self.previous,
            previous_run: None,
        })?;
        self.sequence += 1;
        self.previous = part.sha256;
        self.recorded.packets += part.record.packets;
        self.recorded.captured_bytes += part.record.captured_bytes;
        let object = match &mut open.object {
            Some(object) => object,
            none => none.insert(OpenObject {
                number: part.record.sequence.0,
                builder: ObjectBuilder::new(link_type, &mut self.compressor)?,
            }),
        };
        let before = object.builder.add(&part, false)?;
        Ok(Some((part, before)))
    }

    fn end_part(&mut self, link_type: u32) -> Result<()> {
        let first = self.open.get(&link_type).is_some_and(|open| open.object.is_none());
        let Some((part, before)) = self.part(link_type)? else { return Ok(()) };
        let number = self.number(link_type);
        let key = first.then(|| self.key(&part));
        let piece = joined(before, part, &[]);
        if let Some(key) = key { self.sink.begin(number, &key, piece) } else { self.sink.append(number, piece) }
    }

    fn end_object(&mut self, link_type: u32) -> Result<()> {
        let first = self.open.get(&link_type).is_some_and(|open| open.object.is_none());
        let last = self.part(link_type)?;
        let number = self.number(link_type);
        let Some(object) = self.open.get_mut(&link_type).and_then(|open| open.object.take()) else { return Ok(()) };
        let size = object.builder.size();
        let table = object.builder.finish();
        self.recorded.objects += 1;
        self.recorded.object_bytes += size + table.len() as u64;
        match last {
            Some((part, before)) if first => {
                let key = self.key(&part);
                self.sink.whole(&key, joined(before, part, &table))
            }
            Some((part, before)) => self.sink.complete(number, joined(before, part, &table)),
            None => self.sink.complete(number, table),
        }
    }

    fn number(&self, link_type: u32) -> u64 {
        self.open.get(&link_type).and_then(|open| open.object.as_ref()).map_or(0, |object| object.number)
    }

    fn key(&self, first: &Part) -> ObjectKey {
        ObjectKey {
            class: self.settings.class.clone(),
            group: self.settings.group.clone(),
            node: self.settings.node.clone(),
            first_packet: first.record.first_time,
            run: self.settings.run,
            ring: self.settings.ring,
            sequence: first.record.sequence,
        }
    }
}

/// What stands before the part, the part, and what stands behind it; without a copy where there is nothing to join.
fn joined(mut before: Vec<u8>, part: Part, behind: &[u8]) -> Vec<u8> {
    if before.is_empty() {
        let mut bytes = part.bytes;
        bytes.extend_from_slice(behind);
        return bytes;
    }
    before.reserve_exact(part.bytes.len() + behind.len());
    before.extend_from_slice(&part.bytes);
    before.extend_from_slice(behind);
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let name = |text: &str| text.to_owned();
        Settings::new(
            Class::standard(),
            GroupName::new(name("g")).unwrap(),
            NodeName::new(name("n")).unwrap(),
            RunId(1),
        )
    }

    fn record(settings: Settings, count: u64, step_ns: u64, link_types: u32) -> (Recorded, Vec<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let sink = crate::FileSink::new(folder.path().join("o.pcap.zst"));
        let mut recorder = Recorder::start(settings, Box::new(sink)).unwrap();
        let mut noise = 1_u32;
        for number in 0..count {
            let data: Vec<u8> = (0..1_000)
                .map(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (noise >> 24) as u8
                })
                .collect();
            let packet = Packet { time: Timestamp(number * step_ns), original_length: 1_000, data: &data };
            recorder.packet(1 + (number % u64::from(link_types)) as u32, &packet).unwrap();
        }
        let recorded = recorder.finish().unwrap();
        let mut paths: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        (recorded, paths.iter().map(|path| std::fs::read(path).unwrap()).collect())
    }

    #[test]
    fn same_objects_for_any_number_of_threads() {
        let one = record(Settings { part_bytes: 5 << 20, ..settings() }, 12_000, 1_000_000, 1);
        let four = record(Settings { part_bytes: 5 << 20, threads: 4, ..settings() }, 12_000, 1_000_000, 1);
        assert_eq!((one.0.packets, one.0.objects, one.1.len()), (12_000, 1, 1));
        assert_eq!(one.0.object_bytes, one.1[0].len() as u64);
        assert_eq!(one, four);
    }

    #[test]
    fn rotation_by_time_size_and_link_type() {
        let by_time = record(Settings { rotate_after: Duration::from_secs(1), ..settings() }, 100, 100_000_000, 1);
        assert_eq!((by_time.0.objects, by_time.0.packets), (10, 100));
        let by_size = record(Settings { part_bytes: 5 << 20, rotate_bytes: 8 << 20, ..settings() }, 25_000, 1, 1);
        assert_eq!((by_size.0.objects, by_size.0.packets), (3, 25_000));
        let by_link = record(settings(), 100, 1, 3);
        assert_eq!((by_link.0.objects, by_link.0.packets), (3, 100));
    }
}
