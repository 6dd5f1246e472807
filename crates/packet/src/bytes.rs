//! Bounds-checked reading of numbers: no slice is indexed by a number that came from outside.

/// The little endian number of 32 bits at an offset.
#[inline]
pub(crate) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

/// The little endian number of 16 bits at an offset.
#[inline]
pub(crate) fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

/// The four numbers of 32 bits, little endian, that 16 bytes hold.
#[inline]
pub(crate) const fn four_le(bytes: [u8; 16]) -> [u32; 4] {
    let all = u128::from_le_bytes(bytes);
    [all as u32, (all >> 32) as u32, (all >> 64) as u32, (all >> 96) as u32]
}
