//! From a session's packets to its parsers: directions, streams, datagrams.

use skycap_model::{Timestamp, core_fields as core};
use skycap_packet::decode::{Decoded, Layer};
use skycap_protocols::{Direction, Facts, Registry, Transport};

use crate::{
    conversation::{Context, Conversation, Pending, fields},
    document::address,
    key::{SCTP, TCP, UDP},
    reassembly::{Budget, Piece},
    session::Tracked,
    shard::{Prepared, Worker},
    tcp,
};

/// Tells whether the first packet of a session comes from its destination: a SYN-ACK; without a SYN, where the
/// sender's port is one that a protocol claims and the receiver's is not.
pub(crate) fn is_from_destination(decoded: &Decoded, registry: &Registry) -> bool {
    if decoded.layer != Layer::Ports {
        return false;
    }
    let transport = match decoded.ip_protocol {
        TCP if tcp::has_syn(decoded.tcp_flags) => return tcp::is_syn_ack(decoded.tcp_flags),
        TCP => Transport::Tcp,
        UDP => Transport::Udp,
        SCTP => Transport::Sctp,
        _ => return false,
    };
    registry.knows_port(transport, decoded.source_port) && !registry.knows_port(transport, decoded.destination_port)
}

/// Tags sessions of packets that could not be decoded.
pub(crate) fn tag_layer(session: &mut Tracked) {
    let tag = match session.layer {
        Layer::UnknownEther => "unknown-ether",
        Layer::CorruptEther => "corrupt-ether",
        Layer::UnknownIp => "unknown-ip",
        Layer::CorruptIp => "corrupt-ip",
        Layer::UnknownLink => "unknown-link",
        Layer::Ports | Layer::Ip | Layer::Ether => return,
    };
    fields(&mut session.fields).text(core::TAGS, tag.as_bytes());
}

/// Puts the protocol of an IP protocol or ethertype on a new session.
pub(crate) fn open_fixed(session: &mut Tracked, prepared: &Prepared, worker: &mut Worker, pending: &mut Pending) {
    let number = match session.layer {
        Layer::Ip => worker.registry.by_ip_protocol(prepared.decoded.ip_protocol),
        Layer::Ether | Layer::UnknownEther => worker.registry.by_ether_type(prepared.decoded.ethertype),
        _ => None,
    };
    let Some(number) = number else { return };
    let mut conversation = Box::<Conversation>::default();
    with(session, prepared.time, Transport::Frame, worker, pending, |context| {
        conversation.parsers.open(number, context);
    });
    session.conversation = Some(conversation);
}

/// Shows a datagram to the parsers.
pub(crate) fn datagram(
    session: &mut Tracked,
    direction: usize,
    data: &[u8],
    transport: Transport,
    prepared: &Prepared,
    worker: &mut Worker,
    pending: &mut Pending,
) {
    let direction_of = side(direction);
    if session.is_deaf || data.is_empty() {
        return;
    }
    let mut conversation = match session.conversation.take() {
        Some(conversation) => conversation,
        None if transport != Transport::Frame => Box::default(),
        None => return,
    };
    if conversation.parsers.wants(direction_of) {
        with(session, prepared.time, transport, worker, pending, |context| {
            conversation.parsers.datagram(direction_of, data, context);
        });
    }
    if conversation.parsers.is_deaf() {
        dismiss(session, &mut conversation, worker, pending);
    } else {
        session.conversation = Some(conversation);
    }
}

/// Nobody wants more payload: parsers finish now, and from here on the session is counters alone.
fn dismiss(session: &mut Tracked, conversation: &mut Conversation, worker: &mut Worker, pending: &mut Pending) {
    session.is_deaf = true;
    if !conversation.parsers.is_empty() {
        finish_parsers(session, conversation, worker, pending);
    }
    conversation.parsers.release(pending);
}

/// What streams of a shard share.
pub(crate) struct Streams<'a> {
    pub(crate) budget: &'a mut Budget,
    pub(crate) pending: &'a mut Pending,
}

impl Streams<'_> {
    /// Takes a TCP packet: payload in order goes to the parsers.
    #[inline]
    pub(crate) fn tcp(
        &mut self,
        session: &mut Tracked,
        direction: usize,
        was_next: bool,
        prepared: &Prepared,
        data: &[u8],
        worker: &mut Worker,
    ) {
        let decoded = &prepared.decoded;
        let flags = decoded.tcp_flags;
        if session.is_deaf {
            if was_next {
                session.first_payload(direction, data);
            }
            return;
        }
        let length = decoded.payload_wire_length;
        let Some(mut conversation) = session.conversation.take() else {
            // nothing is kept for a mere handshake: the first payload may begin a stream as well
            if length == 0 {
                return;
            }
            let mut conversation = Box::<Conversation>::default();
            session.tcp.begin_streams(direction, decoded, &mut conversation.streams);
            self.segment(session, &mut conversation, direction, prepared, data, worker);
            self.keep_or_drop(session, conversation, worker);
            return;
        };
        if tcp::has_syn(flags) {
            conversation.streams[direction].start(decoded.tcp_sequence.wrapping_add(1));
        }
        if tcp::has_ack(flags) && conversation.streams[direction ^ 1].is_waiting() || length > 0 || tcp::has_fin(flags)
        {
            self.segment(session, &mut conversation, direction, prepared, data, worker);
        } else if tcp::has_ack(flags) {
            conversation.streams[direction ^ 1].note_acknowledged(decoded.tcp_acknowledgement);
        }
        self.keep_or_drop(session, conversation, worker);
    }

    fn keep_or_drop(&mut self, session: &mut Tracked, mut conversation: Box<Conversation>, worker: &mut Worker) {
        if !conversation.parsers.is_deaf() {
            session.conversation = Some(conversation);
            return;
        }
        for stream in &mut conversation.streams {
            stream.release(self.budget);
        }
        dismiss(session, &mut conversation, worker, self.pending);
    }

    fn segment(
        &mut self,
        session: &mut Tracked,
        conversation: &mut Conversation,
        direction: usize,
        prepared: &Prepared,
        data: &[u8],
        worker: &mut Worker,
    ) {
        let decoded = &prepared.decoded;
        let budget = &mut *self.budget;
        let Conversation { streams, parsers } = conversation;
        let mut first = FirstPayload::of(session);
        with(session, prepared.time, Transport::Tcp, worker, self.pending, |context| {
            if tcp::has_ack(decoded.tcp_flags) {
                let other = direction ^ 1;
                streams[other].acknowledge(decoded.tcp_acknowledgement, budget, &mut |piece| {
                    first.take(other, piece);
                    parsers.piece(side(other), piece, context);
                });
            }
            let sequence = decoded.tcp_sequence.wrapping_add(u32::from(tcp::has_syn(decoded.tcp_flags)));
            let length = decoded.payload_wire_length;
            let mut take = |piece: Piece<'_>| {
                first.take(direction, piece);
                parsers.piece(side(direction), piece, context);
            };
            streams[direction].segment(sequence, data, length, budget, &mut take);
            if tcp::has_fin(decoded.tcp_flags) {
                streams[direction].fin(sequence.wrapping_add(length), &mut take);
            }
        });
        first.put(session);
    }

    /// Hands on what waits behind gaps: the session ends.
    pub(crate) fn flush(&mut self, session: &mut Tracked, conversation: &mut Conversation, worker: &mut Worker) {
        let Conversation { streams, parsers } = conversation;
        if !streams.iter().any(crate::reassembly::Stream::is_waiting) {
            return;
        }
        let budget = &mut *self.budget;
        let mut first = FirstPayload::of(session);
        let time = session.last_time;
        with(session, time, Transport::Tcp, worker, self.pending, |context| {
            for (direction, stream) in streams.iter_mut().enumerate() {
                stream.flush(budget, &mut |piece| {
                    first.take(direction, piece);
                    parsers.piece(side(direction), piece, context);
                });
            }
        });
        first.put(session);
    }
}

/// First payload bytes, apart from the session while its parsers run.
struct FirstPayload {
    bytes: [[u8; 8]; 2],
    length: [u8; 2],
}

impl FirstPayload {
    fn of(session: &Tracked) -> Self {
        Self { bytes: session.payload, length: session.payload_length }
    }

    fn take(&mut self, direction: usize, piece: Piece<'_>) {
        let Piece::Data(data) = piece else { return };
        let have = usize::from(self.length[direction]);
        for (place, &byte) in self.bytes[direction].iter_mut().skip(have).zip(data) {
            *place = byte;
            self.length[direction] += 1;
        }
    }

    fn put(self, session: &mut Tracked) {
        session.payload = self.bytes;
        session.payload_length = self.length;
    }
}

/// Lets parsers finish with what they hold back.
pub(crate) fn finish_parsers(
    session: &mut Tracked,
    conversation: &mut Conversation,
    worker: &mut Worker,
    pending: &mut Pending,
) {
    let time = session.last_time;
    with(session, time, Transport::Frame, worker, pending, |context| conversation.parsers.finish(context));
}

fn side(direction: usize) -> Direction {
    if direction == 0 { Direction::FromSource } else { Direction::FromDestination }
}

/// Makes what parsers see of a session.
fn with(
    session: &mut Tracked,
    time: u64,
    transport: Transport,
    worker: &mut Worker,
    pending: &mut Pending,
    call: impl FnOnce(&mut Context<'_>),
) {
    let mut facts = Facts {
        source_port: session.key.port(session.end(0)),
        destination_port: session.key.port(session.end(1)),
        ip_protocol: session.key.protocol(),
        ethertype: session.ethertype,
        session_start: Timestamp(session.first_time),
        packet_time: Timestamp(time),
        ..Facts::default()
    };
    if let (Some(source), Some(destination)) = (address(session, 0), address(session, 1)) {
        facts.source = source;
        facts.destination = destination;
    }
    call(&mut Context {
        registry: worker.registry,
        options: &worker.settings.options,
        shared: &mut worker.shared,
        facts,
        transport,
        fields: &mut session.fields,
        pending,
    });
}
