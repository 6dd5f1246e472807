//! An open-addressing table from key to slab index. A slot is 8 bytes: half of the hash and the index, so a probe
//! touches the session itself only where it is very likely the right one.

/// The table of one shard.
pub(crate) struct Table {
    /// `tag << 32 | index + 1`; 0 is empty.
    slots: Vec<u64>,
    mask: u32,
    used: u32,
}

/// Slots that an empty table has.
const FIRST_SLOTS: usize = 64;

impl Table {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; FIRST_SLOTS], mask: FIRST_SLOTS as u32 - 1, used: 0 }
    }

    /// Asks the processor to fetch the slot of a tag.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        if let Some(slot) = self.slots.get((tag & self.mask) as usize) {
            crate::prefetch(slot);
        }
    }

    /// The first index whose tag is this one: a guess, good enough to prefetch.
    #[inline]
    pub(crate) fn guess(&self, tag: u32) -> Option<u32> {
        self.find(tag, |_| true)
    }

    /// The index of this tag for which `same` holds.
    #[inline]
    pub(crate) fn find(&self, tag: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = tag & self.mask;
        loop {
            let slot = *self.slots.get(at as usize)?;
            if slot == 0 {
                return None;
            }
            let index = (slot as u32).wrapping_sub(1);
            if (slot >> 32) as u32 == tag && same(index) {
                return Some(index);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds an index that is not in the table.
    pub(crate) fn insert(&mut self, tag: u32, index: u32) {
        // at most three quarters full: probes stay short
        if (self.used + 1) as usize * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.place(u64::from(tag) << 32 | u64::from(index.wrapping_add(1)));
        self.used += 1;
    }

    fn place(&mut self, slot: u64) {
        let mut at = (slot >> 32) as u32 & self.mask;
        while let Some(held) = self.slots.get_mut(at as usize) {
            if *held == 0 {
                *held = slot;
                return;
            }
            at = (at + 1) & self.mask;
        }
    }

    fn grow(&mut self) {
        let slots = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, slots);
        self.mask = self.slots.len() as u32 - 1;
        for slot in old.into_iter().filter(|&slot| slot != 0) {
            self.place(slot);
        }
    }

    /// Takes an index out; the slots behind it move up, so no tombstones are left.
    pub(crate) fn remove(&mut self, tag: u32, index: u32) {
        let wanted = u64::from(tag) << 32 | u64::from(index.wrapping_add(1));
        let mut hole = tag & self.mask;
        loop {
            match self.slots.get(hole as usize) {
                Some(&slot) if slot == wanted => break,
                None | Some(0) => return,
                Some(_) => hole = (hole + 1) & self.mask,
            }
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let Some(&slot) = self.slots.get(at as usize) else { return };
            if slot == 0 {
                break;
            }
            // a slot may move to the hole if its home is not behind the hole
            let home = (slot >> 32) as u32 & self.mask;
            if (at.wrapping_sub(home) & self.mask) >= (at.wrapping_sub(hole) & self.mask) {
                self.slots[hole as usize] = slot;
                hole = at;
            }
        }
        self.slots[hole as usize] = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn agrees_with_a_map() {
        let mut table = Table::new();
        let mut model: HashMap<u32, u32> = HashMap::new();
        let mut state = 1_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = (state >> 40) as u32 % 3_000;
            // few distinct tags: collisions are the rule
            let tag = (index % 977).wrapping_mul(0x0100_0040);
            if model.remove(&index).is_some() {
                table.remove(tag, index);
            } else {
                model.insert(index, tag);
                table.insert(tag, index);
            }
            let probe = (state >> 20) as u32 % 3_000;
            let tag = (probe % 977).wrapping_mul(0x0100_0040);
            assert_eq!(table.find(tag, |found| found == probe).is_some(), model.contains_key(&probe));
        }
    }
}
