//! Reassembly of IPv4 and IPv6 fragments, bounded, and a function of the packets alone.
//!
//! Who calls it gives every packet whose [`Decoded::fragment`] is set to [`Reassembler::push`], in object order, with a
//! clock that packets make (the running maximum of their times), and does three things with the answer:
//!
//! 1. **Attribute.** Each fragment belongs to one session. Every answer has the datagram's `id` and, once its first
//!    fragment was seen, its `ports` (`(0, 0)` for protocols without). With `ports`, this fragment and all that wait
//!    for `id` belong to the session of these ports, the addresses and the protocol. Without, the fragment waits for
//!    `id`. Without `id`, it belongs to addresses and protocol at once.
//! 2. **Dissect.** [`Outcome::Complete`] has the datagram as a packet without link layer: `decode(101, packet, length)`
//!    gives its transport header and payload. It has the header of the first fragment; MAC addresses, VLANs, time and
//!    position are those of the fragments, which the caller has. It is given once; should it decode to a fragment again
//!    (nested fragment headers are hostile), it is to be treated as IP without ports, not pushed again. `ports` is
//!    missing where even the first fragment had none, so what waits for `id` is released by this packet's.
//! 3. **Release.** [`Reassembler::expired`], after each push and after [`Reassembler::finish`], names the datagrams that
//!    will never complete: what still waits for them belongs to addresses and protocol. The ports are forgotten too:
//!    a fragment that comes later opens a datagram of its own, with a new id.
//!
//! The protocol is the innermost one of the first fragment ([`Decoded::ip_protocol`]); IPv6 fragments that aren't first
//! show what follows the fragment header, which differs where options do.
//!
//! Datagrams are told apart by addresses, identification, version, VLANs and, for IPv4, protocol (RFC 791, 3.2; RFC
//! 8200, 4.5). Where IPv4 fragments overlap, the first copy of each byte wins; an IPv6 datagram with an overlap is
//! refused as a whole, exact duplicates apart (RFC 5722). A fragment cut by a snap length makes its datagram refused
//! too, but still tells its ports. Refused datagrams stay known until they expire, so that later pieces are refused too.
//! Bounds are in [`Limits`]; when one is reached the oldest datagrams give way, and are named as expired.

mod datagram;
mod layout;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};

use skycap_model::Timestamp;

use crate::decode::{Decoded, Fragment, Layer};

use self::{
    datagram::{Added, Datagram},
    layout::Layout,
};

/// Most datagrams open at once.
pub const MAXIMUM_DATAGRAMS: usize = 10_000;
/// Most fragments of a datagram, duplicates not counted.
pub const MAXIMUM_FRAGMENTS: usize = 64;
/// Most bytes held for all datagrams, [`FRAGMENT_OVERHEAD`] for each fragment included.
pub const MAXIMUM_BYTES: usize = 16 << 20;
/// What holding a fragment counts beside its bytes.
pub const FRAGMENT_OVERHEAD: usize = 64;
/// How long a datagram stays open, from its first-come fragment on (RFC 8200, 4.5).
pub const TIMEOUT_NANOSECONDS: u64 = 60_000_000_000;

/// Names a datagram within one reassembler; counts up in order of opening, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatagramId(pub u64);

/// What became of a fragment; see the module's page for what callers do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The fragment is kept, or a duplicate of one that is; the datagram is incomplete.
    Held {
        /// The datagram.
        id: DatagramId,
        /// Source and destination port, if the first fragment was seen; zeros for protocols without.
        ports: Option<(u16, u16)>,
    },
    /// The fragment was the last one missing; the datagram is closed.
    Complete {
        /// The datagram.
        id: DatagramId,
        /// Source and destination port, if the first fragment had them whole; zeros for protocols without.
        ports: Option<(u16, u16)>,
        /// The whole IP packet, lengths, fragment fields and IPv4 checksum set right; at most 65,575 bytes.
        packet: &'a [u8],
    },
    /// The fragment can't be used.
    Refused {
        /// The datagram, if one is open for it.
        id: Option<DatagramId>,
        /// Source and destination port, if the first fragment was seen; zeros for protocols without.
        ports: Option<(u16, u16)>,
        /// Why.
        reason: Reason,
    },
}

/// Why a fragment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The packet is no fragment.
    NotAFragment,
    /// Headers that make no sense, no bytes, or a length that no fragment but the last may have.
    Malformed,
    /// The datagram would be longer than 65,535 bytes.
    TooLong,
    /// Bytes beyond the datagram's end, or a second end.
    Inconsistent,
    /// Cut by a snap length, here or earlier in the datagram.
    Truncated,
    /// The IPv6 datagram has fragments that overlap.
    Overlap,
    /// The datagram has more fragments than allowed.
    TooManyFragments,
}

/// Bounds of a reassembler; part of the settings that shape sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most datagrams open at once, at least 1.
    pub datagrams: usize,
    /// Most fragments of a datagram.
    pub fragments: usize,
    /// Most bytes held for all datagrams, [`FRAGMENT_OVERHEAD`] for each fragment included.
    pub bytes: usize,
    /// How long a datagram stays open, nanoseconds.
    pub timeout_nanoseconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            datagrams: MAXIMUM_DATAGRAMS,
            fragments: MAXIMUM_FRAGMENTS,
            bytes: MAXIMUM_BYTES,
            timeout_nanoseconds: TIMEOUT_NANOSECONDS,
        }
    }
}

/// What a reassembler did and refused, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fragments pushed; every one is also in `complete`, `held` or a kind of refusal.
    pub fragments: u64,
    /// Fragments kept, duplicates included.
    pub held: u64,
    /// Datagrams completed.
    pub complete: u64,
    /// Fragments that came before, byte for byte.
    pub duplicates: u64,
    /// Datagrams given up for their age, or at the end.
    pub expired: u64,
    /// Datagrams given up because as many as allowed were open.
    pub evicted_for_count: u64,
    /// Datagrams given up because they held as many bytes as allowed.
    pub evicted_for_bytes: u64,
    /// Refused as [`Reason::Malformed`] or [`Reason::NotAFragment`].
    pub malformed: u64,
    /// Refused as [`Reason::TooLong`].
    pub too_long: u64,
    /// Refused as [`Reason::Inconsistent`].
    pub inconsistent: u64,
    /// Refused as [`Reason::Truncated`].
    pub truncated: u64,
    /// Refused as [`Reason::Overlap`].
    pub overlap: u64,
    /// Refused as [`Reason::TooManyFragments`].
    pub too_many_fragments: u64,
    /// Expired datagrams that nobody fetched with [`Reassembler::expired`] in time.
    pub unfetched: u64,
}

impl Counters {
    fn refused(&mut self, reason: Reason) {
        *match reason {
            Reason::NotAFragment | Reason::Malformed => &mut self.malformed,
            Reason::TooLong => &mut self.too_long,
            Reason::Inconsistent => &mut self.inconsistent,
            Reason::Truncated => &mut self.truncated,
            Reason::Overlap => &mut self.overlap,
            Reason::TooManyFragments => &mut self.too_many_fragments,
        } += 1;
    }
}

/// What the fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: [u8; 16],
    destination: [u8; 16],
    identification: u32,
    vlans: [u16; 2],
    ip_version: u8,
    /// 0 for IPv6, where only the first fragment's counts.
    protocol: u8,
}

/// Puts fragments together; see the module's page.
#[derive(Debug, Default)]
pub struct Reassembler {
    limits: Limits,
    clock: Timestamp,
    next_id: u64,
    by_key: HashMap<Key, DatagramId>,
    /// Ids count up, so the first one is the oldest.
    open: BTreeMap<DatagramId, Datagram>,
    bytes: usize,
    expired: VecDeque<DatagramId>,
    counters: Counters,
    /// The datagram completed last.
    output: Vec<u8>,
}

impl Reassembler {
    /// Makes a reassembler with bounds of its own.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a packet that was decoded as a fragment, at a time made of packet times (one that goes back stands still).
    ///
    /// Work is bounded by the fragments of one datagram, and amortized by what is given up for age or bounds.
    pub fn push(&mut self, clock: Timestamp, packet: &[u8], decoded: &Decoded) -> Outcome<'_> {
        self.advance(clock);
        self.counters.fragments += 1;
        let Some(fragment) = decoded.fragment else { return self.refused(None, None, Reason::NotAFragment) };
        let Some(layout) = Layout::of(packet, decoded) else { return self.refused(None, None, Reason::Malformed) };
        self.make_room(layout.cost());
        let id = self.datagram(decoded, fragment, &layout);
        let Some(datagram) = self.open.get_mut(&id) else { return self.refused(None, None, Reason::Malformed) };

        if fragment.offset == 0 && (datagram.ports.is_none() || datagram.refused.is_some()) {
            datagram.ports = first_ports(decoded).or(datagram.ports);
        }
        let ports = datagram.ports;
        let before = datagram.bytes();
        let added = datagram.add(fragment, &layout, self.limits.fragments);
        self.bytes = self.bytes + datagram.bytes() - before;
        match added {
            Ok(Added::Held) => {}
            Ok(Added::Duplicate) => self.counters.duplicates += 1,
            Ok(Added::Complete) => {
                let complete = datagram.assemble(&mut self.output);
                self.close(id);
                if !complete {
                    self.forget(id);
                    return self.refused(None, ports, Reason::Malformed);
                }
                self.counters.complete += 1;
                return Outcome::Complete { id, ports, packet: &self.output };
            }
            Err(reason) => return self.refused(Some(id), ports, reason),
        }
        self.counters.held += 1;
        Outcome::Held { id, ports }
    }

    /// Moves the clock without a packet that is a fragment, so that old datagrams expire.
    pub fn advance(&mut self, clock: Timestamp) {
        self.clock = self.clock.max(clock);
        while let Some((&id, datagram)) = self.open.first_key_value() {
            if self.clock.0.saturating_sub(datagram.opened.0) < self.limits.timeout_nanoseconds {
                break;
            }
            self.give_up(id);
            self.counters.expired += 1;
        }
    }

    /// Gives up all open datagrams: the end of a capture object.
    pub fn finish(&mut self) {
        while let Some((&id, _)) = self.open.first_key_value() {
            self.give_up(id);
            self.counters.expired += 1;
        }
    }

    /// Takes the datagrams that will never complete, oldest first.
    ///
    /// To be called after each push: as many as may be open are remembered, further ones are lost and counted.
    pub fn expired(&mut self) -> impl Iterator<Item = DatagramId> + '_ {
        self.expired.drain(..)
    }

    /// What was done and refused so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Number of open datagrams, refused ones included.
    #[must_use]
    pub fn open_datagrams(&self) -> usize {
        self.open.len()
    }

    /// Bytes held, as [`Limits::bytes`] counts them.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    fn refused(&mut self, id: Option<DatagramId>, ports: Option<(u16, u16)>, reason: Reason) -> Outcome<'_> {
        self.counters.refused(reason);
        Outcome::Refused { id, ports, reason }
    }

    /// The open datagram of a fragment, opened if there is none.
    fn datagram(&mut self, decoded: &Decoded, fragment: Fragment, layout: &Layout<'_>) -> DatagramId {
        let key = Key {
            source: decoded.source,
            destination: decoded.destination,
            identification: fragment.identification,
            vlans: decoded.vlans,
            ip_version: decoded.ip_version,
            protocol: if decoded.ip_version == 4 { layout.protocol } else { 0 },
        };
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        while self.open.len() >= self.limits.datagrams.max(1) {
            let Some((&oldest, _)) = self.open.first_key_value() else { break };
            self.give_up(oldest);
            self.counters.evicted_for_count += 1;
        }
        let id = DatagramId(self.next_id);
        self.next_id += 1;
        self.by_key.insert(key, id);
        self.open.insert(id, Datagram::new(key, self.clock));
        id
    }

    /// Gives up the oldest datagrams until so many more bytes may be held.
    fn make_room(&mut self, bytes: usize) {
        while self.bytes.saturating_add(bytes) > self.limits.bytes {
            let Some((&oldest, _)) = self.open.first_key_value() else { break };
            self.give_up(oldest);
            self.counters.evicted_for_bytes += 1;
        }
    }

    fn give_up(&mut self, id: DatagramId) {
        self.close(id);
        self.forget(id);
    }

    fn close(&mut self, id: DatagramId) {
        if let Some(datagram) = self.open.remove(&id) {
            self.by_key.remove(&datagram.key);
            self.bytes -= datagram.bytes();
        }
    }

    fn forget(&mut self, id: DatagramId) {
        if self.expired.len() >= self.limits.datagrams.max(1) {
            self.expired.pop_front();
            self.counters.unfetched += 1;
        }
        self.expired.push_back(id);
    }
}

/// The ports that a first fragment shows; zeros for protocols without, none where the header isn't in it.
fn first_ports(decoded: &Decoded) -> Option<(u16, u16)> {
    let ports = (decoded.source_port, decoded.destination_port);
    match decoded.ip_protocol {
        6 | 17 | 132 => (decoded.layer == Layer::Ports || ports != (0, 0)).then_some(ports),
        _ => (decoded.layer != Layer::CorruptIp).then_some((0, 0)),
    }
}
