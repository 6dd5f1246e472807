//! Where a session's packets are: differences as variable-length numbers in chunks of a shared pool.

use crate::json;

const CHUNK_BYTES: usize = 60;
const NONE: u32 = u32::MAX;

struct Chunk {
    bytes: [u8; CHUNK_BYTES],
    next: u32,
}

/// Chunks of a shard's sessions.
pub(crate) struct Pool {
    chunks: Vec<Chunk>,
    free: u32,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE }
    }

    fn take(&mut self) -> u32 {
        if let Some(chunk) = self.chunks.get(self.free as usize) {
            return std::mem::replace(&mut self.free, chunk.next);
        }
        self.chunks.push(Chunk { bytes: [0; CHUNK_BYTES], next: NONE });
        self.chunks.len() as u32 - 1
    }
}

/// Positions of one session.
pub(crate) struct Positions {
    first: u32,
    last: u32,
    fill: u8,
    /// They came in ascending order; else they are sorted when saved.
    ascending: bool,
    previous: u64,
}

impl Default for Positions {
    fn default() -> Self {
        Self { first: NONE, last: NONE, fill: 0, ascending: true, previous: 0 }
    }
}

impl Positions {
    /// Adds a packet's position.
    #[inline]
    pub(crate) fn push(&mut self, position: u64, pool: &mut Pool) {
        self.ascending &= position > self.previous || self.first == NONE;
        let difference = position.wrapping_sub(self.previous) as i64;
        self.previous = position;
        // small differences of either sign are small numbers
        let mut number = ((difference << 1) ^ (difference >> 63)) as u64;
        while number >= 0x80 {
            self.byte(number as u8 | 0x80, pool);
            number >>= 7;
        }
        self.byte(number as u8, pool);
    }

    #[inline]
    fn byte(&mut self, byte: u8, pool: &mut Pool) {
        if usize::from(self.fill) == CHUNK_BYTES || self.last == NONE {
            let fresh = pool.take();
            match pool.chunks.get_mut(self.last as usize) {
                Some(last) => last.next = fresh,
                None => self.first = fresh,
            }
            self.last = fresh;
            self.fill = 0;
        }
        if let Some(place) =
            pool.chunks.get_mut(self.last as usize).and_then(|chunk| chunk.bytes.get_mut(usize::from(self.fill)))
        {
            *place = byte;
        }
        self.fill += 1;
    }

    /// Gives all positions, ascending.
    pub(crate) fn list(&self, pool: &Pool, into: &mut Vec<u64>) {
        into.clear();
        let (mut position, mut number, mut shift) = (0_u64, 0_u64, 0);
        let mut at = self.first;
        while let Some(chunk) = pool.chunks.get(at as usize) {
            let fill = if at == self.last { usize::from(self.fill) } else { CHUNK_BYTES };
            for &byte in chunk.bytes.get(..fill).unwrap_or_default() {
                number |= u64::from(byte & 0x7F) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    let difference = (number >> 1) as i64 ^ -((number & 1) as i64);
                    position = position.wrapping_add(difference as u64);
                    into.push(position);
                    (number, shift) = (0, 0);
                }
            }
            if at == self.last {
                break;
            }
            at = chunk.next;
        }
        if !self.ascending {
            into.sort_unstable();
        }
    }

    /// Fetches the first chunk ahead of its reading.
    #[inline]
    pub(crate) fn prefetch(&self, pool: &Pool) {
        if let Some(chunk) = pool.chunks.get(self.first as usize) {
            crate::prefetch(chunk);
        }
    }

    /// Gives the chunks back.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        if let Some(last) = pool.chunks.get_mut(self.last as usize) {
            last.next = pool.free;
            pool.free = self.first;
        }
        *self = Self::default();
    }
}

/// Writes the list of a document: the negative file number, the first position, then differences, a difference that
/// equals the one before as 0.
pub(crate) fn write(out: &mut Vec<u8>, file_id: u64, positions: &[u64]) {
    out.extend_from_slice(b"[-");
    json::unsigned(out, file_id);
    let (mut previous, mut difference) = (0, 0);
    for (place, &position) in positions.iter().enumerate() {
        let step = position.wrapping_sub(previous);
        out.push(b',');
        json::unsigned(out, if step == difference && place > 0 { 0 } else { step });
        if place > 0 {
            difference = step;
        }
        previous = position;
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back() {
        let mut pool = Pool::new();
        let mut list = Vec::new();
        for round in 0..3 {
            let mut sessions: Vec<Positions> = (0..5).map(|_| Positions::default()).collect();
            let mut model = vec![Vec::new(); 5];
            for step in 0..500_u64 {
                let position = step * step * 1_000_003 + round;
                let which = (step % 7 % 5) as usize;
                sessions[which].push(position, &mut pool);
                model[which].push(position);
            }
            sessions[0].push(3, &mut pool);
            model[0].push(3);
            model[0].sort_unstable();
            for (session, expected) in sessions.iter_mut().zip(&model) {
                session.list(&pool, &mut list);
                assert_eq!(list, *expected);
                session.release(&mut pool);
            }
        }
        assert!(pool.chunks.len() < 80, "chunks are used again: {}", pool.chunks.len());
    }

    #[test]
    fn written_with_gaps() {
        let mut out = Vec::new();
        write(&mut out, 9, &[24, 40, 56, 72, 100]);
        assert_eq!(out, b"[-9,24,16,0,0,28]");
    }
}
