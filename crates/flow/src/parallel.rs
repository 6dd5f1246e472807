//! One object on several threads: blocks are decoded in order by the caller's thread, workers own whole shards.

use std::{
    num::NonZeroUsize,
    sync::{Arc, mpsc},
    thread,
};

use skycap_model::MAX_BLOCK_BYTES;
use skycap_packet::{Packet, record};

use crate::{
    Counters, Dissector, Front, ObjectIdentity, SHARDS, SessionDocument, Settings, Totals,
    shard::{Prepared, Shard, Worker},
    worker,
};

/// Blocks that may wait for a worker.
const QUEUED_BLOCKS: usize = 8;

/// The offset in the block that a position has in its low bits.
const BLOCK_MASK: u32 = MAX_BLOCK_BYTES as u32 - 1;

/// Position of a byte of a block: the block's offset in the object, then the offset in the decompressed block.
#[must_use]
pub const fn position(block_offset: u64, offset: u32) -> u64 {
    block_offset << 20 | offset as u64
}

/// The packets of a block with their positions; what is no record at its end goes to `malformed`, in bytes.
pub(crate) fn records<'a>(
    block_offset: u64,
    block: &'a [u8],
    malformed: &mut u32,
) -> impl Iterator<Item = (u64, Packet<'a>)> {
    record::packets(block).filter_map(move |record| match record {
        Ok((offset, packet)) => Some((position(block_offset, offset), packet)),
        Err(rest) => {
            *malformed += rest.left;
            None
        }
    })
}

/// A packet for a worker: a place in the block, or bytes of its own.
struct Job {
    prepared: Prepared,
    from: u32,
    length: u32,
    own: Option<Box<[u8]>>,
}

/// A worker's share of a block.
struct Share<B> {
    block: Option<Arc<B>>,
    jobs: Vec<Job>,
}

/// Dissects the decompressed blocks of one object, in order, each with its offset in the object.
///
/// The calling thread decodes; `threads` workers keep sessions, parse and write documents, each into its own sink, made
/// by `sink` from the worker's number. With one thread all is done by the caller. Documents and ids are the same for any
/// number of threads and any division into calls; only their order differs. Memory is bounded by the settings' bounds
/// and a few blocks for each worker.
pub fn dissect<B, S>(
    settings: &Settings,
    identity: &ObjectIdentity,
    link_type: u32,
    threads: NonZeroUsize,
    blocks: impl IntoIterator<Item = (u64, B)>,
    mut sink: impl FnMut(usize) -> S,
) -> Totals
where
    B: AsRef<[u8]> + Send + Sync,
    S: FnMut(SessionDocument<'_>) + Send,
{
    let threads = threads.get().min(SHARDS);
    if threads == 1 {
        let mut sink = sink(0);
        let mut dissector = Dissector::new(settings.clone(), identity.clone(), link_type);
        for (offset, block) in blocks {
            dissector.block(offset, block.as_ref(), &mut sink);
        }
        return dissector.finish(&mut sink);
    }
    let mut front = Front::new(settings, link_type);
    let counters: Vec<Counters> = thread::scope(|scope| {
        let mut queues = Vec::new();
        let mut workers = Vec::new();
        for number in 0..threads {
            let (queue, shares) = mpsc::sync_channel::<Share<B>>(QUEUED_BLOCKS);
            let sink = sink(number);
            queues.push(queue);
            workers
                .push(scope.spawn(move || work(worker(settings, identity, link_type), number, threads, &shares, sink)));
        }
        for (offset, block) in blocks {
            let jobs = divide(&mut front, threads, offset, block.as_ref());
            let block = Arc::new(block);
            send(&queues, Some(&block), jobs);
        }
        front.finish();
        let mut jobs = no_jobs(threads);
        divide_ready(&mut front, &mut jobs);
        send(&queues, None, jobs);
        // closed queues end the workers
        drop(queues);
        let join = |worker: thread::ScopedJoinHandle<'_, Counters>| match worker.join() {
            Ok(counters) => counters,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().map(join).collect()
    });
    let mut totals = front.totals;
    for counters in counters {
        totals.add(counters);
    }
    totals
}

fn no_jobs(threads: usize) -> Vec<Vec<Job>> {
    std::iter::repeat_with(Vec::new).take(threads).collect()
}

/// Decodes a block and gives each worker its packets, in order.
fn divide(front: &mut Front, threads: usize, offset: u64, block: &[u8]) -> Vec<Vec<Job>> {
    let mut jobs = no_jobs(threads);
    let mut malformed = 0;
    for (position, packet) in records(offset, block, &mut malformed) {
        let Some(prepared) = front.prepare(position, &packet) else {
            divide_ready(front, &mut jobs);
            continue;
        };
        if let Some(jobs) = jobs.get_mut(prepared.shard() % threads) {
            let from = (position as u32 & BLOCK_MASK) + record::RECORD_HEADER_BYTES as u32;
            jobs.push(Job { prepared, from, length: packet.data.len() as u32, own: None });
        }
    }
    front.malformed(malformed);
    jobs
}

/// Gives each worker what fragments made ready.
fn divide_ready(front: &mut Front, jobs: &mut [Vec<Job>]) {
    let threads = jobs.len();
    for (prepared, bytes) in front.ready() {
        if let Some(jobs) = jobs.get_mut(prepared.shard() % threads) {
            jobs.push(Job { prepared, from: 0, length: 0, own: Some(bytes) });
        }
    }
}

fn send<B>(queues: &[mpsc::SyncSender<Share<B>>], block: Option<&Arc<B>>, jobs: Vec<Vec<Job>>) {
    for (queue, jobs) in queues.iter().zip(jobs) {
        if !jobs.is_empty() {
            // fails only where the worker panicked, which joining it will tell
            let _ = queue.send(Share { block: block.cloned(), jobs });
        }
    }
}

/// A worker: owns every `threads`-th shard.
fn work<B: AsRef<[u8]>>(
    mut worker: Worker,
    number: usize,
    threads: usize,
    shares: &mpsc::Receiver<Share<B>>,
    mut sink: impl FnMut(SessionDocument<'_>),
) -> Counters {
    let mut shards: Vec<Shard> = (number..SHARDS).step_by(threads).map(|_| Shard::new(&worker.settings)).collect();
    for share in shares {
        let block = share.block.as_deref().map(AsRef::as_ref).unwrap_or_default();
        for batch in share.jobs.chunks(crate::BATCH) {
            for job in batch {
                if let Some(shard) = shards.get(job.prepared.shard() / threads) {
                    shard.prefetch_slot(&job.prepared);
                }
            }
            for job in batch {
                if let Some(shard) = shards.get(job.prepared.shard() / threads) {
                    shard.prefetch_session(&job.prepared);
                }
            }
            for job in batch {
                let (from, to) = (job.from as usize, job.from as usize + job.length as usize);
                let data = job.own.as_deref().or_else(|| block.get(from..to)).unwrap_or_default();
                if let Some(shard) = shards.get_mut(job.prepared.shard() / threads) {
                    shard.packet(&job.prepared, data, &mut worker, &mut sink);
                }
            }
        }
    }
    for shard in &mut shards {
        shard.finish(&mut worker, &mut sink);
    }
    worker.counters
}
