//! A small pseudo-random generator: xoshiro256++ seeded by splitmix64, integers only, so that every platform makes the same bytes.

/// Deterministic pseudo-random numbers; not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mixer = seed;
        let state = std::array::from_fn(|_| {
            mixer = mixer.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = mixer;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`; 0 if the bound is 0.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `percent` times of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// True with the given probability; takes no number from the sequence when it is 0.
    #[inline]
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && ((self.next() >> 11) as f64) < probability * 9_007_199_254_740_992.0
    }

    /// One of the items.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// An approximately exponential number with the given mean, by a piecewise linear logarithm.
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        let bits = self.next() | 1;
        let zeros = bits.leading_zeros();
        let fraction = (bits << zeros << 1) >> 48;
        let log2 = (u64::from(zeros + 1) << 16) - fraction;
        // 45,426 / 65,536 is the natural logarithm of 2
        ((u128::from(mean) * u128::from(log2) * 45_426) >> 32) as u64
    }

    /// A heavy-tailed size: each doubling of `low` is half as likely as the one before.
    pub(crate) fn heavy(&mut self, low: u64, high: u64) -> u64 {
        let doubled = low.checked_shl(self.next().leading_zeros().min(40)).unwrap_or(high).min(high);
        self.between(doubled, doubled.saturating_mul(2)).min(high.max(low))
    }

    /// Fills a slice.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }

    /// A number of random bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Lower-case hexadecimal text of the given length.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }
}
