//! IP fragments on their way to a session: each is a packet of its datagram's session, the payload comes once, when
//! the datagram is whole. A fragment that comes before the first one of its datagram waits for it; should that never
//! come, it belongs to its addresses and protocol.

use std::collections::HashMap;

use skycap_model::Timestamp;
use skycap_packet::{
    decode::{Decoded, Layer, decode},
    defragment::{DatagramId, Outcome, Reassembler},
    link,
};

use crate::{
    key::{Keyed, SCTP, TCP, UDP},
    shard::{Part, Prepared},
};

/// Bytes of a fragment that are kept until its session is known: enough for link headers.
const KEPT_BYTES: usize = 64;

/// A packet for its shard, with bytes of its own.
pub(crate) type Ready = (Prepared, Box<[u8]>);

/// Fragments of one datagram that is not whole yet.
#[derive(Default)]
struct Datagram {
    /// Headers of the first fragment.
    first: Option<Decoded>,
    waiting: Vec<Ready>,
}

/// All datagrams in the making; what they may grow to is the reassembler's business.
#[derive(Default)]
pub(crate) struct Fragments {
    reassembler: Reassembler,
    datagrams: HashMap<DatagramId, Datagram>,
    /// Packets that are ready for their shards, in order.
    pub(crate) ready: Vec<Ready>,
    /// Fragments that went to their addresses' session because the first of their datagram was never seen.
    pub(crate) orphans: u64,
}

impl Fragments {
    /// Datagrams put together.
    pub(crate) fn reassembled(&self) -> u64 {
        self.reassembler.counters().complete
    }

    /// Takes a fragment. What is ready to go is in `ready` afterwards.
    pub(crate) fn push(&mut self, mut prepared: Prepared, packet: &[u8], vlan_in_key: bool) {
        prepared.part = Part::Fragment;
        let clock = prepared.clock;
        let decoded = prepared.decoded;
        let head: Box<[u8]> = packet.get(..KEPT_BYTES).unwrap_or(packet).into();
        let is_first = decoded.fragment.is_some_and(|fragment| fragment.offset == 0);
        let (id, ports, whole) = match self.reassembler.push(Timestamp(clock), packet, &decoded) {
            Outcome::Held { id, ports } => (Some(id), ports, None),
            Outcome::Refused { id, ports, .. } => (id, ports, None),
            Outcome::Complete { id, ports, packet } => (Some(id), ports, Some(packet)),
        };
        let Some(id) = id else {
            self.orphans += 1;
            self.ready.push((prepared, head));
            return self.release(clock);
        };
        let datagram = self.datagrams.entry(id).or_default();
        if is_first {
            datagram.first.get_or_insert(decoded);
        }
        let first = match (whole, datagram.first, ports) {
            (Some(whole), ..) => Some(inner(whole)),
            (None, Some(first), Some((source_port, destination_port))) => {
                let has_ports = matches!(first.ip_protocol, TCP | UDP | SCTP);
                let layer = if has_ports { Layer::Ports } else { first.layer };
                Some(Decoded { layer, source_port, destination_port, ..first })
            }
            _ => None,
        };
        datagram.waiting.push((prepared, head));
        if let Some(first) = first {
            let keyed = Keyed::new(
                &Decoded { vlan_count: decoded.vlan_count, vlans: decoded.vlans, ..first },
                &[],
                vlan_in_key,
            );
            for (mut fragment, head) in datagram.waiting.drain(..) {
                fragment.route(keyed, &first, clock);
                self.ready.push((fragment, head));
            }
            if let Some(whole) = whole {
                prepared.part = Part::Datagram;
                prepared.keyed = keyed;
                prepared.decoded = first;
                self.ready.push((prepared, whole.into()));
                self.datagrams.remove(&id);
            }
        }
        self.release(clock);
    }

    /// Lets go of all that wait for a first fragment.
    pub(crate) fn finish(&mut self, clock: u64) {
        self.reassembler.finish();
        self.release(clock);
    }

    /// Sends fragments of datagrams that were given up to the session of their addresses.
    fn release(&mut self, clock: u64) {
        for id in self.reassembler.expired() {
            let Some(datagram) = self.datagrams.remove(&id) else { continue };
            for (mut fragment, head) in datagram.waiting {
                self.orphans += 1;
                fragment.clock = clock;
                fragment.mark = clock;
                self.ready.push((fragment, head));
            }
        }
    }
}

/// Decodes a datagram that was put together; one that claims to be a fragment still is IP without ports.
fn inner(packet: &[u8]) -> Decoded {
    let mut decoded = decode(link::RAW, packet, packet.len() as u32);
    if decoded.fragment.is_some() {
        decoded.layer = Layer::Ip;
        decoded.source_port = 0;
        decoded.destination_port = 0;
    }
    decoded
}
