//! A TCP connection as a sensor between its ends sees it, one packet after the other.

use std::collections::VecDeque;

use crate::content::{Content, Direction};
use crate::flow::{Held, Sent, World};
use crate::options::Disturbance;
use crate::random::Random;
use crate::report::{Closing, FlowReport, Names};
use crate::wire::{ACK, FIN, PSH, Path, RST, SYN, Segment};

/// Segments in flight at the beginning (RFC 6928) and at most: 40 full ones stay below the advertised window.
const FIRST_WINDOW: u32 = 10;
const LARGEST_WINDOW: u32 = 40;
const WINDOW_SCALE: u8 = 7;
/// 502 << 7 bytes.
const WINDOW: u16 = 502;
const DELAYED_ACK_NS: u64 = 40_000_000;
/// A full segment at a gigabit per second.
const SEGMENT_GAP_NS: u64 = 12_000;
const SECOND: u64 = 1_000_000_000;

/// What the application says next.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) direction: Direction,
    /// Nanoseconds of thought before it.
    pub(crate) delay: u64,
    pub(crate) content: Content,
}

impl Message {
    pub(crate) fn client(delay: u64, content: Content) -> Self {
        Self { direction: Direction::Client, delay, content }
    }

    pub(crate) fn server(delay: u64, content: Content) -> Self {
        Self { direction: Direction::Server, delay, content }
    }
}

/// An application protocol on a connection, made step by step so that long flows take no memory.
pub(crate) trait Conversation: Send {
    /// The next message, or None at the end.
    fn next(&mut self, world: &World, random: &mut Random, names: &mut Names) -> Option<Message>;

    /// About how many bytes both ends will send.
    fn estimate(&self) -> u64;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Syn(u8),
    SynAck,
    Ack,
    Data,
    Close(u8),
    Done,
}

#[derive(Debug)]
struct Active {
    direction: Direction,
    content: Content,
    length: u64,
    offset: u64,
    /// Segments since the receiver's last acknowledgment.
    unacknowledged: u32,
}

/// Appends a segment's payload.
type Fill<'a> = &'a dyn Fn(&mut Vec<u8>);

/// One connection.
pub(crate) struct Tcp {
    conversation: Box<dyn Conversation>,
    closing: Closing,
    stage: Stage,
    send_at: u64,
    active: Option<Active>,
    /// Pure acknowledgments under way to the sensor: time, sender, number. In order of time.
    acknowledgments: VecDeque<(u64, Direction, u32)>,
    /// Sequence number of the next byte of each end.
    next: [u32; 2],
    /// What each end has acknowledged in a packet.
    acknowledged: [u32; 2],
    /// Time from the sensor to each end and back.
    round_trip: [u64; 2],
    window: u32,
    segment_bytes: u32,
    timestamps: Option<[u32; 2]>,
    begin: u64,
    /// Who closes.
    closer: Direction,
    four_way: bool,
    last_value: [u32; 2],
}

impl Tcp {
    pub(crate) fn new(
        conversation: Box<dyn Conversation>,
        closing: Closing,
        ipv6: bool,
        begin: u64,
        random: &mut Random,
    ) -> Self {
        let timestamps = random.percent(85).then(|| [random.next() as u32, random.next() as u32]);
        let maximum = if ipv6 { 1_440 } else { 1_460 };
        Self {
            conversation,
            closing,
            stage: Stage::Syn(0),
            send_at: begin,
            active: None,
            acknowledgments: VecDeque::new(),
            next: [random.next() as u32, random.next() as u32],
            acknowledged: [0; 2],
            // the sensor sits beside the clients; servers are 1 to 60 ms away
            round_trip: [random.between(150_000, 600_000), random.heavy(1_000_000, 60_000_000)],
            window: FIRST_WINDOW,
            segment_bytes: maximum - if timestamps.is_some() { 12 } else { 0 },
            timestamps,
            begin,
            closer: if random.percent(70) { Direction::Client } else { Direction::Server },
            four_way: random.percent(30),
            last_value: [0; 2],
        }
    }

    pub(crate) fn estimate(&self) -> u64 {
        match self.closing {
            Closing::Refused | Closing::Silent => 160,
            _ => {
                let stream = self.conversation.estimate();
                stream + stream * 125 / 1_448 + if self.closing == Closing::Open { 260 } else { 740 }
            }
        }
    }

    pub(crate) fn next_time(&self) -> Option<u64> {
        let acknowledgment = self.acknowledgments.front().map(|(time, ..)| *time);
        if self.stage == Stage::Done {
            return acknowledgment;
        }
        if self.is_blocked() {
            return acknowledgment.or(Some(self.send_at));
        }
        Some(acknowledgment.map_or(self.send_at, |time| time.min(self.send_at)))
    }

    fn is_blocked(&self) -> bool {
        let Some(active) = &self.active else { return false };
        let sender = active.direction.index();
        let in_flight = self.next[sender].wrapping_sub(self.acknowledged[1 - sender]);
        in_flight + self.segment_bytes > self.window * self.segment_bytes && !self.acknowledgments.is_empty()
    }

    /// Makes the packet that is due.
    pub(crate) fn emit(
        &mut self,
        now: u64,
        frame: &mut Vec<u8>,
        path: &mut Path,
        world: &World,
        random: &mut Random,
        disturbance: &Disturbance,
        tools: (&mut FlowReport, &mut Vec<Held>),
    ) -> Sent {
        let (report, held) = tools;
        if let Some((time, direction, number)) = self.acknowledgments.front().copied()
            && time <= now
        {
            self.acknowledgments.pop_front();
            let blocked = self.is_blocked();
            self.acknowledged[direction.index()] = number;
            if blocked || self.window < LARGEST_WINDOW {
                self.window = (self.window + 2).min(LARGEST_WINDOW);
            }
            if blocked {
                self.send_at = self.send_at.max(now + self.round_trip[direction.other().index()]);
            }
            let sequence = self.next[direction.index()];
            self.packet(now, frame, path, (direction, ACK), (sequence, number), (0, &|_| {}));
            return Sent { direction, payload: 0 };
        }
        match self.stage {
            Stage::Syn(attempt) => {
                let sent = self.bare(now, frame, path, Direction::Client, SYN);
                match self.closing {
                    Closing::Silent if attempt < 1 => {
                        self.send_at = now + SECOND;
                        self.stage = Stage::Syn(attempt + 1);
                    }
                    Closing::Silent => self.stage = Stage::Done,
                    Closing::Refused => {
                        self.next[0] = self.next[0].wrapping_add(1);
                        self.send_at = now + self.round_trip[1];
                        self.stage = Stage::Close(0);
                    }
                    _ => {
                        self.next[0] = self.next[0].wrapping_add(1);
                        self.send_at = now + self.round_trip[1];
                        self.stage = Stage::SynAck;
                    }
                }
                sent
            }
            Stage::SynAck => {
                let sent = self.bare(now, frame, path, Direction::Server, SYN | ACK);
                self.next[1] = self.next[1].wrapping_add(1);
                self.send_at = now + self.round_trip[0];
                self.stage = Stage::Ack;
                sent
            }
            Stage::Ack => {
                let sent = self.bare(now, frame, path, Direction::Client, ACK);
                // both handshake acknowledgments are known from here on
                self.acknowledged = [self.next[1], self.next[0]];
                self.stage = Stage::Data;
                self.advance(now, Direction::Client, world, random, report, held);
                sent
            }
            Stage::Data => self.data(now, frame, path, world, random, disturbance, (report, held)),
            Stage::Close(step) => self.close(now, frame, path, step),
            Stage::Done => Sent { direction: Direction::Client, payload: 0 },
        }
    }

    /// Asks the application for its next message, or begins to close.
    fn advance(
        &mut self,
        now: u64,
        last: Direction,
        world: &World,
        random: &mut Random,
        report: &mut FlowReport,
        held: &[Held],
    ) {
        if let Some(message) = self.conversation.next(world, random, &mut report.names) {
            let travel = if message.direction == last { 0 } else { self.round_trip[message.direction.index()] };
            self.send_at = now + travel + message.delay.max(SEGMENT_GAP_NS);
            let length = message.content.length();
            let side = if message.direction == Direction::Client { &mut report.client } else { &mut report.server };
            side.stream_bytes += length;
            self.active = Some(Active {
                direction: message.direction,
                content: message.content,
                length,
                offset: 0,
                unacknowledged: 0,
            });
            return;
        }
        self.active = None;
        self.stage = if self.closing == Closing::Open { Stage::Done } else { Stage::Close(0) };
        // what is still on its way passes before the connection closes
        let late = held.iter().map(|held| held.time).chain(self.acknowledgments.back().map(|(time, ..)| *time)).max();
        let travel = self.round_trip[0] + self.round_trip[1];
        self.send_at = (now + travel).max(late.unwrap_or(0) + 1_000);
    }

    fn data(
        &mut self,
        now: u64,
        frame: &mut Vec<u8>,
        path: &mut Path,
        world: &World,
        random: &mut Random,
        disturbance: &Disturbance,
        tools: (&mut FlowReport, &mut Vec<Held>),
    ) -> Sent {
        let (report, held) = tools;
        let Some(mut active) = self.active.take() else {
            self.stage = Stage::Done;
            return Sent { direction: Direction::Client, payload: 0 };
        };
        let direction = active.direction;
        let sender = direction.index();
        let length = (active.length - active.offset).min(u64::from(self.segment_bytes)) as usize;
        let last = active.offset + length as u64 >= active.length;
        let first_sequence = self.next[sender].wrapping_sub(active.offset as u32);
        // data carries the acknowledgment of all that was seen from the other end
        self.acknowledgments.retain(|(_, from, _)| *from != direction);
        self.acknowledged[sender] = self.next[1 - sender];
        let flags = ACK | if last { PSH } else { 0 };
        let numbers = (self.next[sender], self.acknowledged[sender]);
        self.packet(
            now,
            frame,
            path,
            (direction, flags),
            numbers,
            (length, &|frame| {
                active.content.fill(&world.pools, active.offset, length, frame);
            }),
        );
        let offset = active.offset;
        active.offset += length as u64;
        self.next[sender] = self.next[sender].wrapping_add(length as u32);

        if length > 0 && random.chance(disturbance.retransmission) {
            let time = now + random.between(2_000_000, 20_000_000);
            self.again(time, path, &active, world, first_sequence, (offset, length), held);
            report.disturbed.retransmitted += 1;
        }
        if length > 1 && random.chance(disturbance.overlap) {
            // from before the segment's beginning to before its end, or a part of it where it is the first
            let back = offset.min(random.between(1, length as u64 - 1));
            let length = random.between(1, length as u64 - 1);
            let time = now + random.between(2_000_000, 20_000_000);
            self.again(time, path, &active, world, first_sequence, (offset - back, length as usize), held);
            report.disturbed.overlapped += 1;
        }

        active.unacknowledged += 1;
        let receiver = direction.other();
        if active.unacknowledged >= 2 || last {
            let wait = if active.unacknowledged >= 2 { 2_000 } else { DELAYED_ACK_NS };
            let time = now + self.round_trip[receiver.index()] + wait;
            // acknowledgments are cumulative: one that would come later than this is not sent
            while self.acknowledgments.back().is_some_and(|(other, ..)| *other >= time) {
                self.acknowledgments.pop_back();
            }
            self.acknowledgments.push_back((time, receiver, self.next[sender]));
            active.unacknowledged = 0;
        }
        self.send_at = now + SEGMENT_GAP_NS + random.below(3_000);
        if last {
            self.advance(now, direction, world, random, report, held);
        } else {
            self.active = Some(active);
            if !self.is_blocked() && random.chance(disturbance.reorder) {
                report.disturbed.reordered += 1;
                // behind the next segment of the same message
                held.push(Held { time: self.send_at + 1_000, direction, payload: length as u64, frame: frame.clone() });
                frame.clear();
            }
        }
        Sent { direction, payload: length as u64 }
    }

    /// Holds a packet that repeats a range of the active message.
    fn again(
        &mut self,
        time: u64,
        path: &mut Path,
        active: &Active,
        world: &World,
        first_sequence: u32,
        range: (u64, usize),
        held: &mut Vec<Held>,
    ) {
        let (offset, length) = range;
        let sender = active.direction.index();
        let last_value = self.last_value;
        let numbers = (first_sequence.wrapping_add(offset as u32), self.acknowledged[sender]);
        let mut frame = Vec::with_capacity(length + 80);
        self.packet(
            time,
            &mut frame,
            path,
            (active.direction, ACK | PSH),
            numbers,
            (length, &|frame| {
                active.content.fill(&world.pools, offset, length, frame);
            }),
        );
        // it is in the future: nobody has seen its time yet
        self.last_value = last_value;
        held.push(Held { time, direction: active.direction, payload: length as u64, frame });
    }

    fn close(&mut self, now: u64, frame: &mut Vec<u8>, path: &mut Path, step: u8) -> Sent {
        self.acknowledgments.clear();
        let (a, b) = (self.closer, self.closer.other());
        let refuse = [(Direction::Server, RST | ACK)];
        let abort = [(a, RST | ACK)];
        let three_way = [(a, FIN | ACK), (b, FIN | ACK), (a, ACK)];
        let four_way = [(a, FIN | ACK), (b, ACK), (b, FIN | ACK), (a, ACK)];
        let steps: &[(Direction, u8)] = match self.closing {
            Closing::Refused => &refuse,
            Closing::Reset => &abort,
            _ if self.four_way => &four_way,
            _ => &three_way,
        };
        let Some((direction, flags)) = steps.get(usize::from(step)).copied() else {
            self.stage = Stage::Done;
            return Sent { direction: a, payload: 0 };
        };
        if self.closing == Closing::Refused {
            // the refusal has sequence number 0 (RFC 9293 section 3.10.7.1)
            self.next[1] = 0;
        }
        let sent = self.bare(now, frame, path, direction, flags);
        if flags & FIN != 0 {
            self.next[direction.index()] = self.next[direction.index()].wrapping_add(1);
        }
        self.stage = match steps.get(usize::from(step) + 1) {
            None => Stage::Done,
            Some((follower, _)) => {
                self.send_at = now + if *follower == direction { 50_000 } else { self.round_trip[follower.index()] };
                Stage::Close(step + 1)
            }
        };
        sent
    }

    /// Makes a packet; `numbers` are the sequence and acknowledgment numbers.
    fn packet(
        &mut self,
        now: u64,
        frame: &mut Vec<u8>,
        path: &mut Path,
        (direction, flags): (Direction, u8),
        numbers: (u32, u32),
        (length, payload): (usize, Fill<'_>),
    ) {
        let sender = direction.index();
        let mut options = [0u8; 20];
        let mut used = 0;
        let mut put = |bytes: &[u8]| {
            options[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        if flags & SYN != 0 {
            let maximum: u16 = if path.is_ipv6() { 1_440 } else { 1_460 };
            put(&[2, 4, (maximum >> 8) as u8, maximum as u8]);
            // selective acknowledgment permitted
            put(if self.timestamps.is_some() { &[4, 2] } else { &[1, 1, 4, 2] });
        }
        if let Some(base) = self.timestamps
            && flags & RST == 0
        {
            if flags & SYN == 0 {
                put(&[1, 1]);
            }
            let value = base[sender].wrapping_add(((now - self.begin) / 1_000_000) as u32);
            self.last_value[sender] = value;
            put(&[8, 10]);
            put(&value.to_be_bytes());
            put(&if flags & ACK == 0 { 0 } else { self.last_value[1 - sender] }.to_be_bytes());
        }
        if flags & SYN != 0 {
            put(&[1, 3, 3, WINDOW_SCALE]);
        }
        let window = match flags {
            _ if flags & RST != 0 => 0,
            _ if flags & SYN != 0 => 64_240,
            _ => WINDOW,
        };
        let options = &options[..used];
        let (sequence, acknowledgment) = numbers;
        path.tcp(frame, direction, &Segment { sequence, acknowledgment, flags, window, options }, length, payload);
    }

    /// Makes a packet without payload that acknowledges all that was seen from the other end.
    fn bare(&mut self, now: u64, frame: &mut Vec<u8>, path: &mut Path, direction: Direction, flags: u8) -> Sent {
        let sequence = self.next[direction.index()];
        let acknowledgment = if flags & ACK == 0 { 0 } else { self.next[direction.other().index()] };
        self.packet(now, frame, path, (direction, flags), (sequence, acknowledgment), (0, &|_| {}));
        Sent { direction, payload: 0 }
    }
}
