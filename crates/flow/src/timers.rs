//! Lazy timers: a packet only writes its time into the session; queues, one for each timeout, are looked at from
//! their heads, and a session that lives on goes to the back. Links are members of the sessions.

use crate::{
    session::Tracked,
    settings::{Class, Timeouts},
    slab::Slab,
};

const NONE: u32 = u32::MAX;
/// Heads that are passed over, because they were busy since they were queued, before one of them must go.
const SECOND_CHANCES: usize = 8;

/// The queues of one shard.
pub(crate) struct Queues {
    heads: [u32; Class::COUNT],
    tails: [u32; Class::COUNT],
    /// No head is due before the clock passes this.
    next_due: u64,
}

impl Queues {
    pub(crate) fn new() -> Self {
        Self { heads: [NONE; Class::COUNT], tails: [NONE; Class::COUNT], next_due: u64::MAX }
    }

    /// True where a head is due.
    #[inline]
    pub(crate) fn is_due(&self, clock: u64) -> bool {
        self.next_due < clock
    }

    /// The head of a class, if it is due.
    pub(crate) fn due_head(&self, class: Class, clock: u64, sessions: &Slab) -> Option<u32> {
        let head = self.heads[class as usize];
        sessions.get(head).filter(|session| session.due < clock).map(|_| head)
    }

    /// Finds out when to look again.
    pub(crate) fn renew(&mut self, sessions: &Slab) {
        let dues = self.heads.iter().filter_map(|&head| sessions.get(head)).map(|session| session.due);
        self.next_due = dues.min().unwrap_or(u64::MAX);
    }

    /// Puts a session at the back.
    pub(crate) fn push(&mut self, index: u32, class: Class, due: u64, sessions: &mut Slab) {
        let tail = std::mem::replace(&mut self.tails[class as usize], index);
        if let Some(session) = sessions.get_mut(index) {
            session.due = due;
            session.previous = tail;
            session.next = NONE;
        }
        match sessions.get_mut(tail) {
            Some(before) => before.next = index,
            None => self.heads[class as usize] = index,
        }
        self.next_due = self.next_due.min(due);
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, index: u32, class: Class, sessions: &mut Slab) {
        let Some(&Tracked { next, previous, .. }) = sessions.get(index) else { return };
        match sessions.get_mut(previous) {
            Some(before) => before.next = next,
            None => self.heads[class as usize] = next,
        }
        match sessions.get_mut(next) {
            Some(behind) => behind.previous = previous,
            None => self.tails[class as usize] = previous,
        }
    }

    /// Moves a session to the back of its queue.
    pub(crate) fn requeue(&mut self, index: u32, class: Class, due: u64, sessions: &mut Slab) {
        self.remove(index, class, sessions);
        self.push(index, class, due, sessions);
    }

    /// Moves a session to the back of another queue.
    pub(crate) fn change(&mut self, index: u32, from: Class, to: Class, due: u64, sessions: &mut Slab) {
        self.remove(index, from, sessions);
        self.push(index, to, due, sessions);
    }

    /// A session to save early: among the heads the one due first, but for a few that were busy lately.
    pub(crate) fn oldest(&mut self, sessions: &mut Slab, timeouts: &Timeouts) -> Option<u32> {
        for _ in 0..SECOND_CHANCES {
            let (index, class) = self.first_due(sessions)?;
            let session = sessions.get(index)?;
            let due = session.last_clock.saturating_add(timeouts.of(class));
            if due <= session.due {
                return Some(index);
            }
            self.requeue(index, class, due, sessions);
        }
        self.first_due(sessions).map(|(index, _)| index)
    }

    fn first_due(&self, sessions: &Slab) -> Option<(u32, Class)> {
        let heads = Class::ALL.into_iter().map(|class| (self.heads[class as usize], class));
        heads.filter(|&(head, _)| head != NONE).min_by_key(|&(head, _)| sessions.get(head).map(|session| session.due))
    }
}
