//! The hot path: packets to sessions to session documents.
//!
//! A [`Dissector`] takes the packets of one capture object in order and gives each finished session to a sink, as JSON.
//! Documents and ids are a function of the object and the [`Settings`] alone: threads, chunking and time of day don't
//! matter; only the order in which documents come may differ.

mod community_id;
mod conversation;
mod document;
mod json;
mod key;
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

use skycap_packet::{Packet, decode::decode};
use skycap_protocols::{Registry, Shared};

pub use document::SessionDocument;
pub use settings::{ObjectIdentity, Settings};

use document::Writer;
use key::Keyed;
use settings::Timeouts;
use shard::{Prepared, Shard, Worker};

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
    /// Time of the first packet in order, nanoseconds; 0 where there was none.
    pub first_packet: u64,
    /// Latest time of a packet.
    pub last_packet: u64,
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
pub(crate) fn prefetch<T>(place: &T) {
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
    totals: Totals,
}

impl Front {
    fn new(settings: &Settings, link_type: u32) -> Self {
        Self { link_type, vlan_in_key: settings.vlan_in_key, clock: Clock::default(), totals: Totals::default() }
    }

    #[inline]
    fn prepare(&mut self, position: u64, packet: &Packet<'_>) -> Prepared {
        let decoded = decode(self.link_type, packet.data, packet.original_length);
        let wire_length = packet.original_length.max(packet.data.len() as u32);
        if self.totals.packets == 0 {
            self.totals.first_packet = packet.time.0;
        }
        self.totals.packets += 1;
        self.totals.bytes += u64::from(wire_length);
        self.totals.last_packet = self.totals.last_packet.max(packet.time.0);
        let (clock, mark) = self.clock.packet(packet.time.0);
        Prepared {
            keyed: Keyed::new(&decoded, packet.data, self.vlan_in_key),
            decoded,
            time: packet.time.0,
            clock,
            mark,
            position,
            wire_length,
        }
    }
}

fn worker(settings: &Settings, identity: &ObjectIdentity) -> Worker {
    Worker {
        settings: settings.clone(),
        timeouts: Timeouts::new(settings),
        registry: registry(),
        shared: Shared::default(),
        writer: Writer::new(identity.clone(), settings.options.all_fields),
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
            worker: worker(&settings, &identity),
        }
    }

    /// Takes the next packet. `position` is where it is in the object, ascending, at least 1.
    pub fn packet(&mut self, position: u64, packet: Packet<'_>, sink: &mut impl FnMut(SessionDocument<'_>)) {
        let prepared = self.front.prepare(position, &packet);
        if let Some(shard) = self.shards.get_mut(prepared.shard()) {
            shard.packet(&prepared, packet.data, &mut self.worker, sink);
        }
    }

    /// Takes a run of packets with their positions; decoding runs ahead of the session tables, so this is faster than
    /// packet by packet, with the same result.
    pub fn packets<'a>(
        &mut self, packets: impl IntoIterator<Item = (u64, Packet<'a>)>, sink: &mut impl FnMut(SessionDocument<'_>),
    ) {
        let mut batch: [(Prepared, &[u8]); BATCH] = [(Prepared::default(), &[]); BATCH];
        let mut packets = packets.into_iter();
        loop {
            let mut filled = 0;
            for place in &mut batch {
                let Some((position, packet)) = packets.next() else { break };
                let prepared = self.front.prepare(position, &packet);
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
                if let Some(shard) = self.shards.get_mut(prepared.shard()) {
                    shard.packet(prepared, data, &mut self.worker, sink);
                }
            }
            if filled < BATCH {
                return;
            }
        }
    }

    /// Ends all sessions.
    pub fn finish(mut self, sink: &mut impl FnMut(SessionDocument<'_>)) -> Totals {
        for shard in &mut self.shards {
            shard.finish(&mut self.worker, sink);
        }
        Totals {
            sessions: self.worker.counters.sessions,
            saved_early: self.worker.counters.saved_early,
            ..self.front.totals
        }
    }
}
