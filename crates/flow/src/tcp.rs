//! TCP's own bookkeeping (RFC 9293): flags, handshake, close. Not the payload.

use skycap_model::Timestamp;
use skycap_packet::decode::Decoded;

use crate::reassembly::Stream;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const URG: u8 = 32;
const ECE: u8 = 64;
const CWR: u8 = 128;

/// Counted flags, in the order of [`Tcp::flags`].
#[derive(Clone, Copy)]
pub(crate) enum Flag {
    Syn,
    SynAck,
    Ack,
    Psh,
    Fin,
    Rst,
    Urg,
    Ece,
    Cwr,
    Ae,
    SourceZero,
    DestinationZero,
}

/// How far a sequence number may lie from the expected one for a reset to be believed.
const RESET_WINDOW: i32 = 1 << 20;

/// Missing bytes that are remembered; what lies further back counts as seen.
const MOST_HOLES: u32 = 1 << 20;

/// State of one TCP session. Arrays are by direction: from the source, from the destination.
#[derive(Default)]
pub(crate) struct Tcp {
    /// Behind the highest byte seen.
    next: [u32; 2],
    has_next: [bool; 2],
    /// Bytes below `next` that were not seen yet.
    holes: [u32; 2],
    /// The FIN's sequence number.
    fin: [u32; 2],
    has_fin: [bool; 2],
    fin_acknowledged: [bool; 2],
    pub(crate) is_reset: bool,
    /// A SYN was seen (in this segment), its number and time.
    pub(crate) has_syn: bool,
    pub(crate) has_syn_ack: bool,
    /// The SYN-ACK was there before the SYN.
    pub(crate) syn_ack_first: bool,
    pub(crate) syn_validated: bool,
    pub(crate) syn_ack_validated: bool,
    pub(crate) syn: u32,
    /// Number of the last SYN, of any segment.
    last_syn: u32,
    knows_syn: bool,
    pub(crate) syn_ack: u32,
    syn_ack_acknowledges: u32,
    pub(crate) isn_count: u16,
    syn_time: u64,
    /// Milliseconds from SYN to the first ACK.
    pub(crate) round_trip: Option<u64>,
    pub(crate) flags: [u16; 12],
}

/// What a TCP packet is, for the rest of the engine.
pub(crate) fn is_syn(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN
}

pub(crate) fn is_syn_ack(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN | ACK
}

pub(crate) fn has_fin(flags: u8) -> bool {
    flags & FIN != 0
}

pub(crate) fn has_ack(flags: u8) -> bool {
    flags & ACK != 0
}

pub(crate) fn has_syn(flags: u8) -> bool {
    flags & SYN != 0
}

/// Milliseconds between two times, as the documents of other tools have it: seconds and microseconds are subtracted apart,
/// and each difference is cut.
fn milliseconds(from: u64, to: u64) -> u64 {
    let (from, to) = (Timestamp(from), Timestamp(to));
    let microseconds = |time: Timestamp| i64::from(time.subsecond_nanoseconds() / 1_000);
    let seconds = to.seconds().saturating_sub(from.seconds()).min(u64::from(u32::MAX)) as i64;
    (seconds * 1_000 + (microseconds(to) - microseconds(from)) / 1_000).max(0) as u64
}

fn reaches(from: u32, to: u32) -> bool {
    to.wrapping_sub(from) as i32 >= 0
}

impl Tcp {
    /// True where a SYN with this number begins another session: the one here was closed or reset before.
    pub(crate) fn is_reopened_by(&self, decoded: &Decoded) -> bool {
        is_syn(decoded.tcp_flags)
            && (self.is_reset || self.has_fin != [false; 2])
            && !(self.knows_syn && decoded.tcp_sequence == self.last_syn)
    }

    /// Both sides closed and acknowledged, or a reset.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_reset || self.fin_acknowledged == [true; 2]
    }

    /// True where the payload begins at the next byte of the direction.
    pub(crate) fn is_next(&self, direction: usize, sequence: u32) -> bool {
        !self.has_next[direction] || self.next[direction] == sequence
    }

    /// Tells fresh streams where they begin, as far as SYN and SYN-ACK were seen: `direction` is the first to send.
    pub(crate) fn begin_streams(&self, direction: usize, decoded: &Decoded, streams: &mut [Stream; 2]) {
        if self.has_syn {
            streams[0].start(self.last_syn.wrapping_add(1));
        }
        if self.has_syn_ack {
            streams[1].start(self.syn_ack.wrapping_add(1));
        }
        if has_syn(decoded.tcp_flags) {
            streams[direction].start(decoded.tcp_sequence.wrapping_add(1));
        }
    }

    /// Counts for the document start anew with a segment; what close detection needs stays.
    pub(crate) fn next_segment(&mut self) {
        self.flags = [0; 12];
        self.round_trip = None;
        self.has_syn = false;
        self.has_syn_ack = false;
        self.syn_validated = false;
        self.syn_ack_validated = false;
        self.isn_count = 0;
        self.syn_time = 0;
    }

    /// Takes a packet's header; says how many of its payload bytes are new.
    #[inline]
    pub(crate) fn packet(&mut self, direction: usize, decoded: &Decoded, time: u64) -> u32 {
        self.count_flags(direction, decoded);
        let flags = decoded.tcp_flags;
        let sequence = decoded.tcp_sequence;
        let other = direction ^ 1;
        if flags & SYN != 0 {
            self.handshake(decoded, time);
        } else if flags & ACK != 0 && (self.has_syn || self.has_syn_ack) {
            let is_pure = flags & (FIN | RST | PSH) == 0;
            if is_pure && self.has_syn && self.round_trip.is_none() {
                self.round_trip = Some(milliseconds(self.syn_time, time));
            }
            let acknowledged = decoded.tcp_acknowledgement;
            let within = reaches(self.syn_ack.wrapping_add(1), acknowledged)
                && (!self.has_next[other] || reaches(acknowledged, self.next[other]));
            self.syn_ack_validated |= direction == 0
                && flags & RST == 0
                && self.has_syn_ack
                && sequence == self.syn_ack_acknowledges
                && within;
        }
        if flags & RST != 0 {
            let near = (sequence.wrapping_sub(self.next[direction]) as i32).wrapping_abs() <= RESET_WINDOW;
            self.is_reset |= near || !self.has_next[direction];
        }
        if flags & ACK != 0
            && self.has_fin[other]
            && reaches(self.fin[other].wrapping_add(1), decoded.tcp_acknowledgement)
        {
            self.fin_acknowledged[other] = true;
        }
        let end = sequence
            .wrapping_add(decoded.payload_wire_length)
            .wrapping_add(u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0));
        if flags & FIN != 0 {
            self.fin[direction] = end.wrapping_sub(1);
            self.has_fin[direction] = true;
        }
        if flags & RST != 0 {
            return decoded.payload_wire_length;
        }
        self.progress(direction, sequence, decoded.payload_wire_length, end)
    }

    /// Moves `next` on. Returns how many payload bytes are new: those behind it, and those that fill holes before it.
    #[inline]
    fn progress(&mut self, direction: usize, sequence: u32, length: u32, end: u32) -> u32 {
        if !self.has_next[direction] {
            self.has_next[direction] = true;
            self.next[direction] = end;
            return length;
        }
        let next = self.next[direction];
        if sequence == next {
            self.next[direction] = end;
            return length;
        }
        if reaches(next, sequence) {
            let hole = sequence.wrapping_sub(next);
            self.holes[direction] = self.holes[direction].saturating_add(hole).min(MOST_HOLES);
            self.next[direction] = end;
            return length;
        }
        let before = next.wrapping_sub(sequence);
        let filled = self.holes[direction].min(before.min(length));
        self.holes[direction] -= filled;
        if reaches(next, end) {
            self.next[direction] = end;
        }
        filled + length.saturating_sub(before)
    }

    fn handshake(&mut self, decoded: &Decoded, time: u64) {
        let sequence = decoded.tcp_sequence;
        if is_syn(decoded.tcp_flags) {
            if !self.has_syn {
                self.has_syn = true;
                self.syn = sequence;
                self.syn_time = time;
                self.isn_count = 1;
                self.syn_ack_first = self.has_syn_ack;
            } else if sequence != self.last_syn {
                self.isn_count = self.isn_count.saturating_add(1);
            }
            self.last_syn = sequence;
            self.knows_syn = true;
        } else if !self.has_syn_ack {
            self.has_syn_ack = true;
            self.syn_ack = sequence;
            self.syn_ack_acknowledges = decoded.tcp_acknowledgement;
        }
        self.syn_validated |= self.has_syn && self.has_syn_ack && self.syn_ack_acknowledges == self.syn.wrapping_add(1);
    }

    #[inline]
    fn count_flags(&mut self, direction: usize, decoded: &Decoded) {
        let flags = decoded.tcp_flags;
        let mut count = |flag: Flag, truth: bool| {
            let counter = &mut self.flags[flag as usize];
            *counter = counter.saturating_add(u16::from(truth));
        };
        count(Flag::Ack, flags & (ACK | SYN | FIN | RST | PSH) == ACK);
        count(Flag::Psh, flags & PSH != 0);
        if flags & (SYN | FIN | RST | URG | ECE | CWR) != 0 {
            count(Flag::Syn, is_syn(flags));
            count(Flag::SynAck, is_syn_ack(flags));
            count(Flag::Fin, flags & FIN != 0);
            count(Flag::Rst, flags & RST != 0);
            count(Flag::Urg, flags & URG != 0);
            count(Flag::Ece, flags & ECE != 0);
            count(Flag::Cwr, flags & CWR != 0);
        }
        count(Flag::Ae, decoded.tcp_ae);
        let zero = if direction == 0 { Flag::SourceZero } else { Flag::DestinationZero };
        count(zero, decoded.tcp_window == 0 && flags & RST == 0);
    }
}
