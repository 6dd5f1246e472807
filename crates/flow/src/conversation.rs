//! The parsers of one session: probing, feeding, handing over.

use skycap_protocols::{
    Candidates, Claim, Direction, Facts, Fields, Hint, Input, Options, Parser, Registry, Session, Shared, Target,
    Transport, Verdict,
};

use crate::reassembly::{Piece, Stream};

/// Most parsers on one session at a time.
const MOST_PARSERS: usize = 4;
/// Most times that a session may change its parsers: hand-overs and wrong guesses.
const MOST_CHANGES: u8 = 16;
/// Datagrams of a direction that are probed.
const PROBED_DATAGRAMS: u8 = 3;

/// What parsers work with, apart from their own state.
pub(crate) struct Context<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) options: &'a Options,
    pub(crate) shared: &'a mut Shared,
    pub(crate) facts: Facts,
    pub(crate) transport: Transport,
    pub(crate) fields: &'a mut Option<Box<Fields>>,
    pub(crate) pending: &'a mut Pending,
}

/// Bytes that parsers of a shard asked to see again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) used: usize,
    pub(crate) most: usize,
    pub(crate) most_per_stream: usize,
}

/// Streams and parsers; exists only while somebody is interested in the payload.
#[derive(Default)]
pub(crate) struct Conversation {
    pub(crate) streams: [Stream; 2],
    pub(crate) parsers: Parsers,
}

/// A parser on the session.
struct Slot {
    number: u16,
    parser: Box<dyn Parser>,
    /// Wants more of a direction.
    open: [bool; 2],
    /// Has dealt with bytes of a direction.
    begun: [bool; 2],
    /// Bytes to be seen again with more behind them.
    pending: [Vec<u8>; 2],
    need: [usize; 2],
}

/// The parsers and the state of probing.
pub(crate) struct Parsers {
    slots: Vec<Slot>,
    probing: [bool; 2],
    probed: [u8; 2],
    /// First bytes of a direction about which a probe was unsure.
    unsure: [Vec<u8>; 2],
    changes: u8,
}

impl Default for Parsers {
    fn default() -> Self {
        Self { slots: Vec::new(), probing: [true; 2], probed: [0; 2], unsure: Default::default(), changes: 0 }
    }
}

enum Asked {
    Claimed,
    Unsure,
    Nobody,
}

impl Parsers {
    /// Fetches the parsers' places ahead of their finish.
    #[inline]
    pub(crate) fn prefetch_slots(&self) {
        if let Some(slot) = self.slots.first() {
            crate::prefetch(slot);
            crate::prefetch(&slot.pending[1]);
        }
    }

    /// Fetches the first parser; its place should be at hand.
    #[inline]
    pub(crate) fn prefetch_parser(&self) {
        if let Some(slot) = self.slots.first() {
            crate::prefetch(&*slot.parser);
        }
    }

    /// True while some parser, or the probing, wants more payload of this direction.
    pub(crate) fn wants(&self, direction: Direction) -> bool {
        let place = direction.index();
        self.slots.iter().any(|slot| slot.open[place]) || (self.slots.is_empty() && self.probing[place])
    }

    /// True where nothing is left to do but [`Parsers::finish`].
    pub(crate) fn is_deaf(&self) -> bool {
        !self.wants(Direction::FromSource) && !self.wants(Direction::FromDestination)
    }

    /// True where no parser was ever opened or all were taken off.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Puts a protocol on the session that needs no probing.
    pub(crate) fn open(&mut self, number: u16, context: &mut Context<'_>) -> bool {
        let Some(protocol) = context.registry.protocol(number) else { return false };
        if self.slots.len() >= MOST_PARSERS || self.slots.iter().any(|slot| slot.number == number) {
            return false;
        }
        // most sessions have one parser: room for one, not for four
        self.slots.reserve_exact(1);
        self.slots.push(Slot {
            number,
            parser: (protocol.open)(),
            open: [true; 2],
            begun: [false; 2],
            pending: Default::default(),
            need: [0; 2],
        });
        fields(context.fields).text(skycap_model::core_fields::PROTOCOL, protocol.name.as_bytes());
        true
    }

    /// Takes a piece of a stream.
    pub(crate) fn piece(&mut self, direction: Direction, piece: Piece<'_>, context: &mut Context<'_>) {
        match piece {
            Piece::Data(data) => self.data(direction, data, None, context),
            Piece::Gap(bytes) => {
                if !self.unsure[direction.index()].is_empty() {
                    self.give_up(direction);
                }
                self.each(|parsers, place| parsers.gap(place, direction, u64::from(bytes), context));
            }
            Piece::End => {
                self.give_up(direction);
                self.each(|parsers, place| parsers.end(place, direction, context));
            }
        }
    }

    /// Takes a datagram, a chunk or a frame.
    pub(crate) fn datagram(&mut self, direction: Direction, data: &[u8], context: &mut Context<'_>) {
        if self.slots.is_empty() && self.probing[direction.index()] {
            let place = direction.index();
            if matches!(self.ask(direction, data, None, context), Asked::Unsure | Asked::Nobody) {
                self.probed[place] += 1;
                self.probing[place] = self.probed[place] < PROBED_DATAGRAMS;
                return;
            }
        }
        self.each(|parsers, place| parsers.feed_datagram(place, direction, data, context));
    }

    /// The session or its segment ends.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) {
        for slot in &mut self.slots {
            slot.parser.finish(&mut session(context));
        }
    }

    /// Frees what is kept; no parser is called again.
    pub(crate) fn release(&mut self, pending: &mut Pending) {
        let held: usize = self.slots.iter().flat_map(|slot| &slot.pending).map(Vec::len).sum();
        pending.used = pending.used.saturating_sub(held);
        self.slots.clear();
        self.unsure = Default::default();
        self.probing = [false; 2];
    }

    /// Calls once for each slot there is now; `call` says whether it took the slot off. New ones stand behind.
    fn each(&mut self, mut call: impl FnMut(&mut Self, usize) -> bool) {
        let mut place = 0;
        for _ in 0..self.slots.len() {
            if !call(self, place) {
                place += 1;
            }
        }
    }

    fn give_up(&mut self, direction: Direction) {
        self.probing[direction.index()] = false;
        self.unsure[direction.index()] = Vec::new();
    }

    /// Stream bytes: probe if nobody is there yet, else feed.
    fn data(&mut self, direction: Direction, data: &[u8], after: Option<u16>, context: &mut Context<'_>) {
        let place = direction.index();
        if !self.slots.is_empty() {
            self.each(|parsers, slot| parsers.feed(slot, direction, data, context));
            return;
        }
        if !self.probing[place] {
            return;
        }
        let mut kept = std::mem::take(&mut self.unsure[place]);
        let bytes = if kept.is_empty() {
            data
        } else {
            kept.extend_from_slice(data);
            &kept
        };
        match self.ask(direction, bytes, after, context) {
            Asked::Claimed => {
                let other = direction.reverse();
                let earlier = std::mem::take(&mut self.unsure[other.index()]);
                if !earlier.is_empty() {
                    self.each(|parsers, slot| parsers.feed(slot, other, &earlier, context));
                }
                self.each(|parsers, slot| parsers.feed(slot, direction, bytes, context));
            }
            Asked::Unsure if bytes.len() < Registry::PROBE_BYTES => {
                self.unsure[place] = if kept.is_empty() { data.to_vec() } else { kept };
            }
            Asked::Unsure | Asked::Nobody => self.probing[place] = false,
        }
    }

    /// Asks the candidates about first bytes and opens those that are certain.
    fn ask(&mut self, direction: Direction, payload: &[u8], after: Option<u16>, context: &mut Context<'_>) -> Asked {
        let hint = Hint {
            payload,
            transport: context.transport,
            source_port: context.facts.source_port,
            destination_port: context.facts.destination_port,
            direction,
        };
        let candidates: Candidates = context.registry.candidates(&hint);
        if candidates.is_empty() {
            return Asked::Nobody;
        }
        let mut answer = Asked::Nobody;
        for number in candidates.iter().filter(|&number| after.is_none_or(|after| number > after)) {
            match context.registry.ask(number, &hint) {
                Claim::Certain if self.open(number, context) => answer = Asked::Claimed,
                Claim::Unsure if matches!(answer, Asked::Nobody) => answer = Asked::Unsure,
                _ => {}
            }
        }
        answer
    }

    /// Gives stream bytes to one parser. True where it was taken off the session.
    fn feed(&mut self, place: usize, direction: Direction, data: &[u8], context: &mut Context<'_>) -> bool {
        let side = direction.index();
        let Some(slot) = self.slots.get_mut(place) else { return false };
        if !slot.open[side] {
            return false;
        }
        let mut kept = std::mem::take(&mut slot.pending[side]);
        context.pending.used = context.pending.used.saturating_sub(kept.len());
        let whole = if kept.is_empty() {
            data
        } else {
            kept.extend_from_slice(data);
            &kept
        };
        let mut bytes = whole;
        while bytes.len() >= slot.need[side].max(1) {
            match slot.parser.parse(&mut session(context), direction, Input::Stream(bytes)) {
                Verdict::More { consumed, need } => {
                    let consumed = consumed.min(bytes.len());
                    bytes = bytes.get(consumed..).unwrap_or_default();
                    slot.begun[side] |= consumed > 0;
                    // without progress it gets nothing again that it has seen already
                    slot.need[side] = if consumed == 0 { need.max(bytes.len() + 1) } else { need.max(1) };
                }
                Verdict::Done | Verdict::Lost => {
                    slot.open[side] = false;
                    return false;
                }
                Verdict::NotMine => {
                    let bytes = bytes.to_vec();
                    self.not_mine(place, direction, Rest::Stream(&bytes), context);
                    return true;
                }
                Verdict::HandOver { consumed, to } => {
                    let bytes = bytes.get(consumed..).unwrap_or_default().to_vec();
                    self.hand_over(place, direction, Rest::Stream(&bytes), to, context);
                    return true;
                }
            }
        }
        if bytes.is_empty() {
            return false;
        }
        if bytes.len() > context.pending.most_per_stream || context.pending.used + bytes.len() > context.pending.most {
            slot.open[side] = false;
            return false;
        }
        context.pending.used += bytes.len();
        slot.pending[side] = if kept.is_empty() {
            bytes.to_vec()
        } else {
            let done = kept.len() - bytes.len();
            kept.drain(..done);
            kept
        };
        false
    }

    fn gap(&mut self, place: usize, direction: Direction, missing: u64, context: &mut Context<'_>) -> bool {
        let side = direction.index();
        let Some(slot) = self.slots.get_mut(place) else { return false };
        if !slot.open[side] {
            return false;
        }
        let lost = std::mem::take(&mut slot.pending[side]).len();
        context.pending.used = context.pending.used.saturating_sub(lost);
        slot.need[side] = 0;
        let verdict = slot.parser.parse(&mut session(context), direction, Input::Gap(missing + lost as u64));
        self.settle(place, direction, Rest::Stream(&[]), verdict, context)
    }

    fn end(&mut self, place: usize, direction: Direction, context: &mut Context<'_>) -> bool {
        let side = direction.index();
        let Some(slot) = self.slots.get_mut(place) else { return false };
        if !slot.open[side] {
            return false;
        }
        let verdict = slot.parser.parse(&mut session(context), direction, Input::End);
        slot.open[side] = false;
        let lost = std::mem::take(&mut slot.pending[side]).len();
        context.pending.used = context.pending.used.saturating_sub(lost);
        self.settle(place, direction, Rest::Stream(&[]), verdict, context)
    }

    fn feed_datagram(&mut self, place: usize, direction: Direction, data: &[u8], context: &mut Context<'_>) -> bool {
        let Some(slot) = self.slots.get_mut(place) else { return false };
        if !slot.open[direction.index()] {
            return false;
        }
        let verdict = slot.parser.parse(&mut session(context), direction, Input::Datagram(data));
        self.settle(place, direction, Rest::Datagram(data), verdict, context)
    }

    /// Acts on an answer to a message of which nothing is kept.
    fn settle(
        &mut self,
        place: usize,
        direction: Direction,
        rest: Rest<'_>,
        verdict: Verdict,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(place) else { return false };
        match verdict {
            Verdict::More { .. } => {
                slot.begun[direction.index()] = true;
                false
            }
            Verdict::Done | Verdict::Lost => {
                slot.open[direction.index()] = false;
                false
            }
            Verdict::NotMine => {
                self.not_mine(place, direction, rest, context);
                true
            }
            Verdict::HandOver { consumed, to } => {
                self.hand_over(place, direction, rest.skip(consumed), to, context);
                true
            }
        }
    }

    /// Takes a parser off; if it had dealt with nothing yet, those behind it in the list are asked.
    fn not_mine(&mut self, place: usize, direction: Direction, rest: Rest<'_>, context: &mut Context<'_>) {
        let slot = self.remove(place, context);
        if let Some(protocol) = context.registry.protocol(slot.number) {
            fields(context.fields).remove_protocol(protocol.name);
        }
        if slot.begun != [false; 2] || !self.slots.is_empty() || !self.change() {
            return;
        }
        self.probing = [true; 2];
        match rest {
            Rest::Stream([]) => {}
            Rest::Stream(bytes) => self.data(direction, bytes, Some(slot.number), context),
            Rest::Datagram(bytes) => {
                if matches!(self.ask(direction, bytes, Some(slot.number), context), Asked::Claimed) {
                    self.each(|parsers, place| parsers.feed_datagram(place, direction, bytes, context));
                }
            }
        }
    }

    /// Both directions belong to another protocol from here on.
    fn hand_over(&mut self, place: usize, direction: Direction, rest: Rest<'_>, to: Target, context: &mut Context<'_>) {
        let mut slot = self.remove(place, context);
        slot.parser.finish(&mut session(context));
        if !self.change() {
            return;
        }
        let other = direction.reverse();
        let waiting = std::mem::take(&mut slot.pending[other.index()]);
        let first = self.slots.len();
        match to {
            Target::Named(name) => {
                let Some(number) = context.registry.by_name(name) else { return };
                if !self.open(number, context) {
                    return;
                }
                if !waiting.is_empty() {
                    self.feed(first, other, &waiting, context);
                }
                match rest {
                    Rest::Stream([]) | Rest::Datagram([]) => {}
                    Rest::Stream(bytes) => {
                        self.feed(first, direction, bytes, context);
                    }
                    Rest::Datagram(bytes) => {
                        self.feed_datagram(first, direction, bytes, context);
                    }
                }
            }
            Target::Probe => {
                self.probing = [true; 2];
                self.probed = [0; 2];
                if !waiting.is_empty() {
                    self.data(other, &waiting, None, context);
                }
                match rest {
                    Rest::Stream([]) | Rest::Datagram([]) => {}
                    Rest::Stream(bytes) => self.data(direction, bytes, None, context),
                    Rest::Datagram(bytes) => self.datagram(direction, bytes, context),
                }
            }
        }
    }

    fn remove(&mut self, place: usize, context: &mut Context<'_>) -> Slot {
        let slot = self.slots.remove(place);
        let held: usize = slot.pending.iter().map(Vec::len).sum();
        context.pending.used = context.pending.used.saturating_sub(held);
        slot
    }

    /// Counts a change of parsers; false where there were too many.
    fn change(&mut self) -> bool {
        self.changes += 1;
        self.changes <= MOST_CHANGES
    }
}

/// What is left of the message at hand.
#[derive(Clone, Copy)]
enum Rest<'a> {
    Stream(&'a [u8]),
    Datagram(&'a [u8]),
}

impl Rest<'_> {
    fn skip(self, bytes: usize) -> Self {
        match self {
            Self::Stream(rest) => Self::Stream(rest.get(bytes..).unwrap_or_default()),
            Self::Datagram(rest) => Self::Datagram(rest.get(bytes..).unwrap_or_default()),
        }
    }
}

/// The fields of a session, made when first needed.
pub(crate) fn fields(fields: &mut Option<Box<Fields>>) -> &mut Fields {
    fields.get_or_insert_default()
}

fn session<'a>(context: &'a mut Context<'_>) -> Session<'a> {
    Session { facts: &context.facts, options: context.options, fields: fields(context.fields), shared: context.shared }
}
