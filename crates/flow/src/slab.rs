//! Sessions in chunks that never move, addressed by number.

use crate::session::Tracked;

const CHUNK: usize = 128;

/// The sessions of one shard; freed places are used again.
pub(crate) struct Slab {
    chunks: Vec<Vec<Tracked>>,
    free: Vec<u32>,
    used: u32,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// Places taken so far, free ones included.
    pub(crate) fn len(&self) -> u32 {
        self.used + self.free.len() as u32
    }

    /// Sessions held.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Tracked> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Tracked> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    pub(crate) fn insert(&mut self, session: Tracked) -> u32 {
        if let Some(index) = self.free.pop() {
            if let Some(place) = self.get_mut(index) {
                *place = session;
            }
            self.used += 1;
            return index;
        }
        let index = self.used;
        if (index as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(session);
        }
        self.used += 1;
        index
    }

    pub(crate) fn remove(&mut self, index: u32) {
        self.free.push(index);
        self.used -= 1;
    }
}
