//! The hot path: packets to sessions to session documents.
//!
//! A [`Dissector`] takes the packets of one capture object in order and gives each finished session to a sink, as JSON.
//! [`parallel::dissect`] does the same with several threads. Documents and ids are a function of the object and the [`Settings`] alone: threads, chunking and time of day don't
//! matter; only the order in which documents come may differ.

mod community_id;
mod conversation;
mod document;
mod fragments;
mod json;
mod key;
pub mod parallel;
mod paths;
mod payload;
mod positions;
mod reassembly;
mod session;
mod settings;
mod shard;
mod slab;
mod table;
mod tcp;
mod timers;

use std::sync::LazyLock;

use skycap_packet::{Packet, decode::decode, link};
use skycap_protocols::{Registry, Shared};

pub use document::SessionDocument;
pub use settings::{ObjectIdentity, Settings};

use document::Writer;
use fragments::{Fragments, Ready};
use key::Keyed;
use settings::Timeouts;
use shard::{Part, Prepared, Shard, Worker};

/// Shards of an object, whatever the number of threads.
pub const SHARDS: usize = 64;

/// Packets decoded ahead of the session tables.
const BATCH: usize = 32;

/// A forward jump of the packet clock that counts only once a later packet confirms it: an hour.
const JUMP_NANOSECONDS: u64 = 3_600 * 1_000_000_000;

/// What was seen, in whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets taken; each is in exactly one document.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Documents written.
    pub sessions: u64,
    /// Sessions saved early because their shard was full.
    pub saved_early: u64,
    /// Datagrams put together of fragments.
    pub reassembled: u64,
    /// Fragments whose first was never seen: they are in the session of their addresses and protocol.
    pub orphan_fragments: u64,
    /// Bytes of blocks that are no packet records, and the number of such blocks.
    pub malformed_bytes: u64,
    /// Blocks of which a rest is malformed.
    pub malformed_blocks: u64,
    /// Time of the first packet in order, nanoseconds; 0 where there was none.
    pub first_packet: u64,
    /// Latest time of a packet.
    pub last_packet: u64,
}

impl Totals {
    fn add(&mut self, counters: Counters) {
        self.sessions += counters.sessions;
        self.saved_early += counters.saved_early;
    }
}

/// Counters of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sessions: u64,
    pub(crate) saved_early: u64,
}

/// The probe tables of all protocols.
fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
    &REGISTRY
}

/// Asks the processor to fetch a cache line.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is one instruction")]
pub(crate) fn prefetch<T: ?Sized>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it reads nothing and faults nowhere, and SSE is part of x86_64.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(std::ptr::from_ref(place).cast::<i8>(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// The clock of an object: the running maximum of packet times, but wary of a jump that a single broken time makes.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    now: u64,
    started: bool,
    /// Time of the packet before, if it was a jump that nothing confirmed yet.
    jumped_to: Option<u64>,
}

impl Clock {
    /// Takes a packet's time; gives the clock, and the mark from which its session's next gap is measured: while a jump
    /// is not confirmed the clock stays, but the packet's own session must not end when it is.
    #[inline]
    fn packet(&mut self, time: u64) -> (u64, u64) {
        if self.started && time <= self.now {
            self.jumped_to = None;
            return (self.now, self.now);
        }
        if self.started && time - self.now > JUMP_NANOSECONDS {
            let confirmed = self.jumped_to.is_some_and(|before| time.saturating_add(JUMP_NANOSECONDS) >= before);
            if !confirmed {
                self.jumped_to = Some(time);
                return (self.now, time);
            }
        }
        self.started = true;
        self.jumped_to = None;
        self.now = time;
        (time, time)
    }
}

/// The in-order stage: decodes, keys and clocks packets.
struct Front {
    link_type: u32,
    vlan_in_key: bool,
    clock: Clock,
    fragments: Fragments,
    totals: Totals,
}

impl Front {
    fn new(settings: &Settings, link_type: u32) -> Self {
        Self {
            link_type,
            vlan_in_key: settings.vlan_in_key,
            clock: Clock::default(),
            fragments: Fragments::default(),
            totals: Totals::default(),
        }
    }

    /// Prepares a packet for its shard. `None` for a fragment: take what is [`Front::ready`] in its stead.
    #[inline]
    fn prepare(&mut self, position: u64, packet: &Packet<'_>) -> Option<Prepared> {
        let decoded = decode(self.link_type, packet.data, packet.original_length);
        let wire_length = packet.original_length.max(packet.data.len() as u32);
        if self.totals.packets == 0 {
            self.totals.first_packet = packet.time.0;
        }
        self.totals.packets += 1;
        self.totals.bytes += u64::from(wire_length);
        self.totals.last_packet = self.totals.last_packet.max(packet.time.0);
        let (clock, mark) = self.clock.packet(packet.time.0);
        let prepared = Prepared {
            keyed: Keyed::new(&decoded, packet.data, self.vlan_in_key),
            decoded,
            time: packet.time.0,
            clock,
            mark,
            position,
            wire_length,
            part: Part::Whole,
        };
        if decoded.fragment.is_some() {
            self.fragments.push(prepared, packet.data, self.vlan_in_key);
            return None;
        }
        Some(prepared)
    }

    /// Packets that fragments made ready.
    fn ready(&mut self) -> Vec<Ready> {
        std::mem::take(&mut self.fragments.ready)
    }

    /// Counts a block's rest that is no packet record.
    fn malformed(&mut self, bytes: u32) {
        self.totals.malformed_bytes += u64::from(bytes);
        self.totals.malformed_blocks += u64::from(bytes > 0);
    }

    /// The object ends; more may be ready.
    fn finish(&mut self) {
        self.fragments.finish(self.clock.now);
        self.totals.reassembled = self.fragments.reassembled();
        self.totals.orphan_fragments = self.fragments.orphans;
    }
}

fn worker(settings: &Settings, identity: &ObjectIdentity, link_type: u32) -> Worker {
    let has_ethertypes = matches!(link_type, link::ETHERNET | link::LINUX_SLL | link::LINUX_SLL2);
    Worker {
        settings: settings.clone(),
        timeouts: Timeouts::new(settings),
        registry: registry(),
        shared: Shared::default(),
        writer: Writer::new(identity.clone(), settings.options.all_fields, has_ethertypes),
        counters: Counters::default(),
    }
}

/// Dissects one capture object on the calling thread.
pub struct Dissector {
    front: Front,
    shards: Vec<Shard>,
    worker: Worker,
}

impl Dissector {
    /// Begins an object; `link_type` is the LINKTYPE of its packets.
    #[must_use]
    pub fn new(settings: Settings, identity: ObjectIdentity, link_type: u32) -> Self {
        Self {
            front: Front::new(&settings, link_type),
            shards: (0..SHARDS).map(|_| Shard::new(&settings)).collect(),
            worker: worker(&settings, &identity, link_type),
        }
    }

    /// Takes the next packet. `position` is where it is in the object, ascending, at least 1.
    pub fn packet(&mut self, position: u64, packet: Packet<'_>, sink: &mut impl FnMut(SessionDocument<'_>)) {
        match self.front.prepare(position, &packet) {
            Some(prepared) => self.update(&prepared, packet.data, sink),
            None => self.update_ready(sink),
        }
    }

    /// Takes a run of packets with their positions; decoding runs ahead of the session tables, so this is faster than
    /// packet by packet, with the same result.
    pub fn packets<'a>(
        &mut self,
        packets: impl IntoIterator<Item = (u64, Packet<'a>)>,
        sink: &mut impl FnMut(SessionDocument<'_>),
    ) {
        let mut batch: [(Prepared, &[u8]); BATCH] = [(Prepared::default(), &[]); BATCH];
        let mut packets = packets.into_iter();
        loop {
            let (mut filled, mut is_over) = (0, true);
            for place in &mut batch {
                let Some((position, packet)) = packets.next() else { break };
                let Some(prepared) = self.front.prepare(position, &packet) else {
                    is_over = false;
                    break;
                };
                if let Some(shard) = self.shards.get(prepared.shard()) {
                    shard.prefetch_slot(&prepared);
                }
                *place = (prepared, packet.data);
                filled += 1;
            }
            let batch = &batch[..filled];
            for (prepared, _) in batch {
                if let Some(shard) = self.shards.get(prepared.shard()) {
                    shard.prefetch_session(prepared);
                }
            }
            for (prepared, data) in batch {
                self.update(prepared, data, sink);
            }
            self.update_ready(sink);
            if filled < BATCH && is_over {
                return;
            }
        }
    }

    /// Takes a decompressed block, `offset` being where it is in the object. A rest that is no packet record is counted
    /// in the totals.
    pub fn block(&mut self, offset: u64, block: &[u8], sink: &mut impl FnMut(SessionDocument<'_>)) {
        let mut malformed = 0;
        self.packets(parallel::records(offset, block, &mut malformed), sink);
        self.front.malformed(malformed);
    }

    /// Ends all sessions.
    pub fn finish(mut self, sink: &mut impl FnMut(SessionDocument<'_>)) -> Totals {
        self.front.finish();
        self.update_ready(sink);
        for shard in &mut self.shards {
            shard.finish(&mut self.worker, sink);
        }
        let mut totals = self.front.totals;
        totals.add(self.worker.counters);
        totals
    }

    #[inline]
    fn update(&mut self, prepared: &Prepared, data: &[u8], sink: &mut impl FnMut(SessionDocument<'_>)) {
        if let Some(shard) = self.shards.get_mut(prepared.shard()) {
            shard.packet(prepared, data, &mut self.worker, sink);
        }
    }

    fn update_ready(&mut self, sink: &mut impl FnMut(SessionDocument<'_>)) {
        if self.front.fragments.ready.is_empty() {
            return;
        }
        for (prepared, data) in self.front.ready() {
            self.update(&prepared, &data, sink);
        }
    }
}
