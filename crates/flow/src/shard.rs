//! One of the 64 virtual shards: its sessions, their timers, its bounds. A function of its own packets alone.

use skycap_packet::decode::{Decoded, sctp_data_chunks};
use skycap_protocols::{Registry, Shared, Transport};

use crate::{
    Counters, SessionDocument,
    conversation::Pending,
    document::Writer,
    key::Keyed,
    payload::{Streams, datagram, finish_parsers, is_from_destination, open_fixed, tag_layer},
    positions::{Pool, Positions},
    reassembly::Budget,
    session::{LOOKED_AT, Look, Tracked, class_of, look},
    settings::{Class, Settings, Timeouts},
    slab::Slab,
    table::Table,
    tcp::Tcp,
    timers::Queues,
};

/// What of a datagram a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// A packet that is a datagram.
    #[default]
    Whole,
    /// A fragment: counted, but its payload comes with the datagram.
    Fragment,
    /// A datagram put together of fragments: not counted, they were.
    Datagram,
}

/// A decoded packet on its way to its shard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) keyed: Keyed,
    pub(crate) decoded: Decoded,
    pub(crate) time: u64,
    /// The clock of the object at this packet.
    pub(crate) clock: u64,
    /// What the gap to the session's next packet is measured from; ahead of the clock while a jump is not confirmed.
    pub(crate) mark: u64,
    pub(crate) position: u64,
    pub(crate) wire_length: u32,
    pub(crate) part: Part,
}

impl Prepared {
    /// Sends a fragment to the session of its datagram, whose first fragment has these headers.
    pub(crate) fn route(&mut self, keyed: Keyed, first: &Decoded, clock: u64) {
        self.keyed = keyed;
        self.clock = clock;
        self.mark = clock;
        self.decoded.layer = first.layer;
        self.decoded.ip_protocol = first.ip_protocol;
        self.decoded.source_port = first.source_port;
        self.decoded.destination_port = first.destination_port;
        self.decoded.tcp_flags = first.tcp_flags;
        self.decoded.tcp_sequence = first.tcp_sequence;
        self.decoded.icmp_type = first.icmp_type;
        self.decoded.icmp_code = first.icmp_code;
    }

    /// Number of the shard.
    #[inline]
    pub(crate) fn shard(&self) -> usize {
        (self.keyed.hash >> 58) as usize
    }

    #[inline]
    fn tag(&self) -> u32 {
        self.keyed.hash as u32
    }
}

/// What a worker has for all its shards.
pub(crate) struct Worker {
    pub(crate) settings: Settings,
    pub(crate) timeouts: Timeouts,
    pub(crate) registry: &'static Registry,
    pub(crate) shared: Shared,
    pub(crate) writer: Writer,
    pub(crate) counters: Counters,
}

/// Sessions of one shard.
pub(crate) struct Shard {
    table: Table,
    sessions: Slab,
    queues: Queues,
    pool: Pool,
    budget: Budget,
    pending: Pending,
}

impl Shard {
    pub(crate) fn new(settings: &Settings) -> Self {
        let most_per_stream = settings.stream_bytes as usize;
        let half = settings.shard_bytes as usize / 2;
        Self {
            table: Table::new(),
            sessions: Slab::new(),
            queues: Queues::new(),
            pool: Pool::new(),
            budget: Budget { used: 0, most: half, most_per_stream, most_segments: settings.stream_segments as usize },
            pending: Pending { used: 0, most: half, most_per_stream },
        }
    }

    #[inline]
    pub(crate) fn prefetch_slot(&self, prepared: &Prepared) {
        self.table.prefetch(prepared.tag());
    }

    #[inline]
    pub(crate) fn prefetch_session(&self, prepared: &Prepared) {
        if let Some(session) = self.table.guess(prepared.tag()).and_then(|index| self.sessions.get(index)) {
            crate::prefetch(session);
            crate::prefetch(&session.last_time);
            crate::prefetch(&session.tcp);
        }
    }

    /// Takes the next packet of the shard.
    pub(crate) fn packet(
        &mut self,
        prepared: &Prepared,
        data: &[u8],
        worker: &mut Worker,
        sink: &mut impl FnMut(SessionDocument<'_>),
    ) {
        if self.queues.is_due(prepared.clock) {
            self.sweep(prepared.clock, worker, sink);
        }
        let key = &prepared.keyed.key;
        let sessions = &self.sessions;
        let mut found =
            self.table.find(prepared.tag(), |index| sessions.get(index).is_some_and(|session| session.key == *key));
        if let Some(index) = found
            && let Some(session) = self.sessions.get(index)
        {
            let is_over = prepared.clock.saturating_sub(session.last_clock) > worker.timeouts.of(session.class)
                || (session.class == Class::Tcp || session.class == Class::TcpClosing)
                    && session.tcp.is_reopened_by(&prepared.decoded);
            if is_over {
                self.end(index, worker, sink);
                found = None;
            }
        }
        let index = match found {
            Some(index) => index,
            None => self.begin(prepared, worker, sink),
        };
        self.update(index, prepared, data, worker);
        let full = self.sessions.get(index).is_some_and(|session| session.all_packets() >= worker.settings.max_packets);
        if full {
            self.split(index, worker, sink);
        }
    }

    /// Ends all sessions, in no particular order.
    pub(crate) fn finish(&mut self, worker: &mut Worker, sink: &mut impl FnMut(SessionDocument<'_>)) {
        for index in 0..self.sessions.len() {
            self.prefetch_ends([index + 1, index + 2, index + 3, index + 4]);
            if self.sessions.get(index).is_some_and(|session| session.live) {
                self.end(index, worker, sink);
            }
        }
    }

    /// Fetches what the ends of these sessions will read, the nearest first. What sessions hold lies scattered and
    /// was last touched long ago, each part known only from the one before: so each call goes one part further.
    #[inline]
    fn prefetch_ends(&self, [next, second, third, fourth]: [u32; 4]) {
        if let Some(conversation) = self.sessions.get(next).and_then(|session| session.conversation.as_deref()) {
            conversation.parsers.prefetch_parser();
        }
        if let Some(session) = self.sessions.get(second) {
            session.positions.prefetch(&self.pool);
            if let Some(head) = session.fields.as_deref().and_then(skycap_protocols::Fields::head) {
                crate::prefetch(head);
            }
            if let Some(conversation) = session.conversation.as_deref() {
                conversation.parsers.prefetch_slots();
            }
        }
        if let Some(session) = self.sessions.get(third) {
            if let Some(fields) = session.fields.as_deref() {
                crate::prefetch(fields);
            }
            if let Some(conversation) = session.conversation.as_deref() {
                crate::prefetch(&conversation.streams[0]);
                crate::prefetch(&conversation.streams[1]);
                crate::prefetch(&conversation.parsers);
            }
        }
        if let Some(session) = self.sessions.get(fourth) {
            crate::prefetch(session);
            crate::prefetch(&session.last_time);
            crate::prefetch(&session.tcp);
            crate::prefetch(&session.look);
            crate::prefetch(&session.root_position);
        }
    }

    /// Ends what was silent for too long, as far as the queues' heads show it.
    #[cold]
    fn sweep(&mut self, clock: u64, worker: &mut Worker, sink: &mut impl FnMut(SessionDocument<'_>)) {
        for class in Class::ALL {
            while let Some(index) = self.queues.due_head(class, clock, &self.sessions) {
                let Some(session) = self.sessions.get(index) else { break };
                let due = session.last_clock.saturating_add(worker.timeouts.of(class));
                if due < clock {
                    let behind = |index: u32| self.sessions.get(index).map_or(u32::MAX, |session| session.next);
                    let next = behind(index);
                    let (second, third) = (behind(next), behind(behind(next)));
                    self.prefetch_ends([next, second, third, behind(third)]);
                    self.end(index, worker, sink);
                } else {
                    self.queues.requeue(index, class, due, &mut self.sessions);
                }
            }
        }
        self.queues.renew(&self.sessions);
    }

    /// Opens a session for a packet that has none.
    fn begin(&mut self, prepared: &Prepared, worker: &mut Worker, sink: &mut impl FnMut(SessionDocument<'_>)) -> u32 {
        if self.sessions.used() >= worker.settings.sessions_per_shard.max(1)
            && let Some(oldest) = self.queues.oldest(&mut self.sessions, &worker.timeouts)
        {
            worker.counters.saved_early += 1;
            self.end(oldest, worker, sink);
        }
        let decoded = &prepared.decoded;
        let class = class_of(decoded);
        let due = prepared.clock.saturating_add(worker.timeouts.of(class));
        let sender_is_second = prepared.keyed.sender_is_second;
        let source_is_second = sender_is_second ^ is_from_destination(decoded, worker.registry);
        let index = self.sessions.insert(Tracked {
            key: prepared.keyed.key,
            last_clock: prepared.mark,
            tag: prepared.tag(),
            class,
            source_is_second,
            layer: decoded.layer,
            live: true,
            is_deaf: false,
            last_time: prepared.time,
            packets: [0; 2],
            bytes: [0; 2],
            data_bytes: [0; 2],
            conversation: None,
            fields: None,
            tcp: Tcp::default(),
            positions: Positions::default(),
            payload: [[0; 8]; 2],
            payload_length: [0; 2],
            look: Look::default(),
            first_time: prepared.time,
            segment_time: prepared.time,
            root_position: prepared.position,
            segment: 1,
            ethertype: decoded.ethertype,
            icmp: [decoded.icmp_type, decoded.icmp_code],
            next: 0,
            previous: 0,
            due,
        });
        self.table.insert(prepared.tag(), index);
        self.queues.push(index, class, due, &mut self.sessions);
        if let Some(session) = self.sessions.get_mut(index) {
            tag_layer(session);
            open_fixed(session, prepared, worker, &mut self.pending);
        }
        index
    }

    /// Counts a packet and shows its payload to whom it concerns.
    #[inline]
    fn update(&mut self, index: u32, prepared: &Prepared, data: &[u8], worker: &mut Worker) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        let decoded = &prepared.decoded;
        let direction = usize::from(prepared.keyed.sender_is_second != session.source_is_second);
        if session.all_packets() == 0 && session.segment > 1 {
            session.segment_time = prepared.time;
        }
        session.last_clock = prepared.mark;
        session.last_time = session.last_time.max(prepared.time);
        if prepared.part != Part::Datagram {
            if session.packets[direction] < LOOKED_AT {
                look(session, direction, decoded, data);
            }
            session.packets[direction] += 1;
            session.bytes[direction] += u64::from(prepared.wire_length);
            session.positions.push(prepared.position, &mut self.pool);
            if prepared.part == Part::Fragment {
                return;
            }
        }
        match session.class {
            Class::Tcp | Class::TcpClosing => {
                let was_next = session.tcp.is_next(direction, decoded.tcp_sequence);
                let fresh = session.tcp.packet(direction, decoded, prepared.time);
                session.data_bytes[direction] += u64::from(fresh);
                if session.tcp.is_closed() && session.class == Class::Tcp {
                    session.class = Class::TcpClosing;
                    let due = prepared.clock.saturating_add(worker.timeouts.of(Class::TcpClosing));
                    self.queues.change(index, Class::Tcp, Class::TcpClosing, due, &mut self.sessions);
                }
                let Some(session) = self.sessions.get_mut(index) else { return };
                let mut streams = Streams { budget: &mut self.budget, pending: &mut self.pending };
                streams.tcp(session, direction, was_next, prepared, decoded.payload(data), worker);
            }
            Class::Udp => {
                let payload = decoded.payload(data);
                session.data_bytes[direction] += u64::from(decoded.payload_wire_length);
                session.first_payload(direction, payload);
                datagram(session, direction, payload, Transport::Udp, prepared, worker, &mut self.pending);
            }
            Class::Sctp => {
                let payload = decoded.payload(data);
                session.data_bytes[direction] += u64::from(decoded.payload_wire_length);
                for chunk in sctp_data_chunks(payload) {
                    session.first_payload(direction, chunk.bytes);
                    datagram(session, direction, chunk.bytes, Transport::Sctp, prepared, worker, &mut self.pending);
                }
            }
            Class::Icmp => {
                session.data_bytes[direction] += u64::from(decoded.payload_wire_length);
                session.icmp(decoded);
                let payload = decoded.payload(data);
                datagram(session, direction, payload, Transport::Frame, prepared, worker, &mut self.pending);
            }
            Class::Other => {
                let payload = decoded.payload(data);
                datagram(session, direction, payload, Transport::Frame, prepared, worker, &mut self.pending);
            }
        }
    }

    /// Ends a session: parsers finish, the document goes out, everything is freed.
    fn end(&mut self, index: u32, worker: &mut Worker, sink: &mut impl FnMut(SessionDocument<'_>)) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if let Some(mut conversation) = session.conversation.take() {
            let mut streams = Streams { budget: &mut self.budget, pending: &mut self.pending };
            streams.flush(session, &mut conversation, worker);
            finish_parsers(session, &mut conversation, worker, &mut self.pending);
            conversation.parsers.release(&mut self.pending);
            for stream in &mut conversation.streams {
                stream.release(&mut self.budget);
            }
        }
        // a session whose last packet filled its segment has nothing left to say
        if session.all_packets() > 0 {
            worker.counters.sessions += 1;
            sink(worker.writer.write(session, &self.pool));
        }
        session.positions.release(&mut self.pool);
        session.fields = None;
        session.live = false;
        let (tag, class) = (session.tag, session.class);
        self.table.remove(tag, index);
        self.queues.remove(index, class, &mut self.sessions);
        self.sessions.remove(index);
    }

    /// Saves what there is and goes on in a new segment.
    #[cold]
    fn split(&mut self, index: u32, worker: &mut Worker, sink: &mut impl FnMut(SessionDocument<'_>)) {
        let Some(session) = self.sessions.get_mut(index) else { return };
        if let Some(mut conversation) = session.conversation.take() {
            finish_parsers(session, &mut conversation, worker, &mut self.pending);
            session.conversation = Some(conversation);
        }
        worker.counters.sessions += 1;
        let document = worker.writer.write(session, &self.pool);
        let first_position = document.first_position;
        sink(document);
        if session.segment == 1 {
            session.root_position = first_position;
        }
        session.positions.release(&mut self.pool);
        session.segment += 1;
        session.packets = [0; 2];
        session.bytes = [0; 2];
        session.data_bytes = [0; 2];
        session.payload_length = [0; 2];
        session.look.ttl_count = [0; 2];
        session.tcp.next_segment();
        if let Some(fields) = &mut session.fields {
            fields.retain_linked();
        }
    }
}
