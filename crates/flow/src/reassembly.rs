//! One direction of a TCP stream put in order (RFC 9293, 3.4), within bounds. Whatever came first stays: later copies
//! of the same bytes are left out, also where they differ.

use std::collections::VecDeque;

/// A piece of the stream, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// The next bytes.
    Data(&'a [u8]),
    /// This many bytes never came, or were cut off by a snap length.
    Gap(u32),
    /// The sender's FIN.
    End,
}

/// What waits in all streams of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Bytes waiting now.
    pub(crate) used: usize,
    /// Most that may wait in the shard.
    pub(crate) most: usize,
    /// Most that may wait in one direction of a session.
    pub(crate) most_per_stream: usize,
    /// Most segments that may wait in one direction.
    pub(crate) most_segments: usize,
}

/// A segment ahead of its turn.
#[derive(Debug)]
struct Waiting {
    sequence: u32,
    /// Length on the wire; more than `data` has where a snap length cut it.
    length: u32,
    data: Box<[u8]>,
}

/// A bookkeeping cost for each waiting segment, so that many tiny ones count too.
const SEGMENT_OVERHEAD: usize = 64;

/// State of one direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    started: bool,
    ended: bool,
    /// Sequence number of the next byte in order.
    next: u32,
    /// Sequence number of the FIN.
    fin: Option<u32>,
    /// Highest number that the receiver acknowledged.
    acknowledged: Option<u32>,
    /// Ahead of `next`, sorted, without overlap.
    waiting: VecDeque<Waiting>,
    /// Bytes in `waiting`, overhead included.
    held: usize,
}

/// Distance from one sequence number to another; negative where it lies behind.
fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

impl Stream {
    /// The first byte's number is known: a SYN.
    pub(crate) fn start(&mut self, next: u32) {
        if !self.started {
            self.started = true;
            self.next = next;
        }
    }

    /// True where segments wait for one that is missing.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a segment; `length` is its length on the wire. Hands on what is in order now.
    pub(crate) fn segment(
        &mut self,
        sequence: u32,
        data: &[u8],
        length: u32,
        budget: &mut Budget,
        take: &mut impl FnMut(Piece<'_>),
    ) {
        let length = length.max(data.len() as u32);
        if length == 0 || self.ended {
            return;
        }
        self.start(sequence);
        let behind = distance(sequence, self.next);
        if behind >= 0 {
            let skip = behind as u32;
            if skip < length {
                let data = data.get(skip as usize..).unwrap_or_default();
                self.in_order(data, length - skip, budget, take);
            }
        } else {
            self.keep(sequence, data, length, budget);
            self.make_room(budget, take);
            self.missed(budget, take);
        }
        self.finish_at_fin(take);
    }

    /// Takes a FIN that has this sequence number.
    pub(crate) fn fin(&mut self, sequence: u32, take: &mut impl FnMut(Piece<'_>)) {
        self.start(sequence);
        self.fin.get_or_insert(sequence);
        self.finish_at_fin(take);
    }

    /// Remembers what the receiver has, where nothing waits for it.
    #[inline]
    pub(crate) fn note_acknowledged(&mut self, number: u32) {
        if self.acknowledged.is_none_or(|known| distance(known, number) > 0) {
            self.acknowledged = Some(number);
        }
    }

    /// The receiver has everything below this number: what is missing here will not come.
    pub(crate) fn acknowledge(&mut self, number: u32, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        self.note_acknowledged(number);
        if self.is_waiting() {
            self.missed(budget, take);
            self.finish_at_fin(take);
        }
    }

    /// Hands on all that waits, with its gaps: the session ends.
    pub(crate) fn flush(&mut self, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        while self.is_waiting() {
            self.skip_hole(budget, take);
        }
        self.finish_at_fin(take);
    }

    /// Lets go of everything: nobody wants this stream any more.
    pub(crate) fn release(&mut self, budget: &mut Budget) {
        budget.used = budget.used.saturating_sub(self.held);
        self.held = 0;
        self.waiting = VecDeque::new();
    }

    /// Data that begins at `next`, but for what waits within it.
    fn in_order(&mut self, mut data: &[u8], mut length: u32, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        loop {
            let ahead = self.waiting.front().map(|front| front.sequence.wrapping_sub(self.next));
            let Some(ahead) = ahead.filter(|&ahead| ahead < length) else { break };
            self.advance(data.get(..ahead as usize).unwrap_or(data), ahead, take);
            let Some(front) = self.pop(budget) else { break };
            self.advance(&front.data, front.length, take);
            let skip = ahead.saturating_add(front.length).min(length);
            data = data.get(skip as usize..).unwrap_or_default();
            length -= skip;
        }
        self.advance(data, length, take);
        self.drain(budget, take);
    }

    /// Hands on what waits at `next`.
    fn drain(&mut self, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        while self.waiting.front().is_some_and(|front| front.sequence == self.next) {
            let Some(front) = self.pop(budget) else { return };
            self.advance(&front.data, front.length, take);
        }
    }

    fn pop(&mut self, budget: &mut Budget) -> Option<Waiting> {
        let front = self.waiting.pop_front()?;
        let freed = front.data.len() + SEGMENT_OVERHEAD;
        self.held = self.held.saturating_sub(freed);
        budget.used = budget.used.saturating_sub(freed);
        Some(front)
    }

    /// Hands on bytes, and what a snap length cut off them as a gap.
    fn advance(&mut self, data: &[u8], length: u32, take: &mut impl FnMut(Piece<'_>)) {
        if !data.is_empty() {
            take(Piece::Data(data));
        }
        let cut = length.saturating_sub(data.len() as u32);
        if cut > 0 {
            take(Piece::Gap(cut));
        }
        self.next = self.next.wrapping_add(length);
    }

    /// Copies the parts of a segment ahead of `next` that nobody sent before.
    fn keep(&mut self, sequence: u32, data: &[u8], length: u32, budget: &mut Budget) {
        let base = self.next;
        let (mut at, end) = (sequence.wrapping_sub(base), sequence.wrapping_sub(base).saturating_add(length));
        let first = at;
        // segments mostly come last: begin behind those that end before this one
        let mut place = self.waiting.partition_point(|other| {
            u64::from(other.sequence.wrapping_sub(base)) + u64::from(other.length) <= u64::from(at)
        });
        while at < end {
            let until = match self.waiting.get(place) {
                Some(other) => {
                    let start = other.sequence.wrapping_sub(base);
                    if start <= at {
                        at = at.max(start.saturating_add(other.length));
                        place += 1;
                        continue;
                    }
                    start.min(end)
                }
                None => end,
            };
            let from = (at - first) as usize;
            let to = ((until - first) as usize).min(data.len());
            let data: Box<[u8]> = data.get(from..to).unwrap_or_default().into();
            let cost = data.len() + SEGMENT_OVERHEAD;
            self.held += cost;
            budget.used += cost;
            self.waiting.insert(place, Waiting { sequence: base.wrapping_add(at), length: until - at, data });
            place += 1;
            at = until;
        }
    }

    /// Gives up the first hole while too much waits.
    fn make_room(&mut self, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        while self.is_waiting()
            && (self.held > budget.most_per_stream
                || self.waiting.len() > budget.most_segments
                || budget.used > budget.most)
        {
            self.skip_hole(budget, take);
        }
    }

    /// Gives up holes that the receiver says it has no need of.
    fn missed(&mut self, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        let Some(acknowledged) = self.acknowledged else { return };
        while self.waiting.front().is_some_and(|front| distance(front.sequence, acknowledged) >= 0) {
            self.skip_hole(budget, take);
        }
    }

    fn skip_hole(&mut self, budget: &mut Budget, take: &mut impl FnMut(Piece<'_>)) {
        let Some(front) = self.waiting.front() else { return };
        let hole = front.sequence.wrapping_sub(self.next);
        self.next = front.sequence;
        if hole > 0 {
            take(Piece::Gap(hole));
        }
        self.drain(budget, take);
    }

    fn finish_at_fin(&mut self, take: &mut impl FnMut(Piece<'_>)) {
        if !self.ended && self.fin == Some(self.next) {
            self.ended = true;
            take(Piece::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget() -> Budget {
        Budget { used: 0, most: 1 << 20, most_per_stream: 1 << 20, most_segments: 1_000 }
    }

    /// Offers segments (start, length, wire bytes) relative to a base; what comes out, gaps as `None`.
    fn run(base: u32, segments: &[(u32, &[u8])], budget: &mut Budget) -> (Vec<Option<u8>>, bool) {
        let mut out = Vec::new();
        let mut ended = false;
        let mut stream = Stream::default();
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Data(data) => out.extend(data.iter().map(|&byte| Some(byte))),
            Piece::Gap(bytes) => out.extend(std::iter::repeat_n(None, bytes as usize)),
            Piece::End => ended = true,
        };
        stream.start(base);
        for &(start, data) in segments {
            stream.segment(base.wrapping_add(start), data, data.len() as u32, budget, &mut take);
        }
        stream.flush(budget, &mut take);
        assert_eq!((stream.held, budget.used), (0, 0));
        (out, ended)
    }

    proptest! {
        /// Any cut, order, repetition and overlap gives the stream, byte by byte the first copy.
        #[test]
        fn first_copy_wins(
            base in prop_oneof![Just(0_u32), Just(u32::MAX - 50), any::<u32>()],
            pieces in prop::collection::vec((0_u32..300, 1_usize..80), 1..60),
        ) {
            let mut model: Vec<Option<u8>> = vec![None; 400];
            let mut delivered = 0;
            let mut fills = Vec::new();
            for (number, &(start, length)) in pieces.iter().enumerate() {
                let data = vec![number as u8; length];
                #[allow(clippy::needless_range_loop, reason = "the number is compared too")]
                for place in start as usize..start as usize + length {
                    // what went out already can't be changed, what waits neither
                    if place >= delivered && model[place].is_none() {
                        model[place] = Some(number as u8);
                    }
                }
                while delivered < model.len() && model[delivered].is_some() {
                    delivered += 1;
                }
                fills.push((start, data));
            }
            let end = model.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            model.truncate(end);
            let segments: Vec<(u32, &[u8])> = fills.iter().map(|(start, data)| (*start, data.as_slice())).collect();
            let (out, _) = run(base, &segments, &mut budget());
            prop_assert_eq!(out, model);
        }

        /// Within tight bounds bytes may be lost, but never invented, repeated or put out of order.
        #[test]
        fn tight_bounds(pieces in prop::collection::vec((0_u32..300, 1_usize..80), 1..60)) {
            let mut tight = Budget { used: 0, most: 400, most_per_stream: 300, most_segments: 3 };
            let whole: Vec<u8> = (0..400_u32).map(|number| (number % 251) as u8).collect();
            let segments: Vec<(u32, &[u8])> = pieces
                .iter()
                .map(|&(start, length)| (start, &whole[start as usize..start as usize + length]))
                .collect();
            let (out, _) = run(7, &segments, &mut tight);
            for (place, byte) in out.iter().enumerate() {
                prop_assert!(byte.is_none_or(|byte| byte == whole[place]));
            }
        }
    }

    #[test]
    fn handshake_keep_alive_fin_and_cut() {
        let mut pieces = Vec::new();
        let mut budget = budget();
        let mut stream = Stream::default();
        let mut take = |piece: Piece<'_>| pieces.push(format!("{piece:?}"));
        stream.start(1);
        stream.segment(1, b"ab", 2, &mut budget, &mut take);
        stream.segment(2, b"x", 1, &mut budget, &mut take); // keep-alive
        stream.segment(3, b"c", 4, &mut budget, &mut take); // cut by the snap length
        stream.fin(9, &mut take);
        stream.segment(7, b"de", 2, &mut budget, &mut take);
        stream.segment(9, b"late", 4, &mut budget, &mut take);
        assert_eq!(pieces, ["Data([97, 98])", "Data([99])", "Gap(3)", "Data([100, 101])", "End"]);
    }

    #[test]
    fn what_was_acknowledged_is_not_waited_for() {
        let mut pieces = Vec::new();
        let mut budget = budget();
        let mut stream = Stream::default();
        let mut take = |piece: Piece<'_>| pieces.push(format!("{piece:?}"));
        stream.start(100);
        stream.segment(105, b"b", 1, &mut budget, &mut take);
        stream.acknowledge(104, &mut budget, &mut take);
        assert!(stream.is_waiting());
        stream.acknowledge(106, &mut budget, &mut take);
        assert_eq!(pieces, ["Gap(5)", "Data([98])"]);
    }
}
