//! Blocks: consecutive packets below 2^20 bytes, each compressed as one independent zstd frame.

use std::fmt;

use skycap_model::{MAX_BLOCK_BYTES, Timestamp};
use thiserror::Error;
use zstd_safe::{CCtx, CParameter, DCtx};

use super::{
    frame::{self, Walk},
    part::BlockEntry,
};
use crate::record::{Packet, RECORD_HEADER_BYTES, RecordError, write_record};

/// Compression level that costs least for what it saves.
pub const DEFAULT_LEVEL: i32 = 1;

/// Most empty buffers that a [`BlockBuilder`] keeps for reuse, 1 MiB each.
const MAX_SPARE_BUFFERS: usize = 8;

/// What is known of a block's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) packets: u32,
    pub(crate) captured_bytes: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
}

impl Totals {
    const EMPTY: Self =
        Self { packets: 0, captured_bytes: 0, wire_bytes: 0, first_time: Timestamp(u64::MAX), last_time: Timestamp(0) };
}

/// A full block, not compressed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) totals: Totals,
}

impl fmt::Debug for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Block").field("bytes", &self.bytes.len()).field("totals", &self.totals).finish()
    }
}

impl Block {
    /// The packet records; read them with [`crate::record::packets`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many packets it has.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.totals.packets
    }

    /// Earliest and latest packet time.
    #[must_use]
    pub fn times(&self) -> (Timestamp, Timestamp) {
        (self.totals.first_time, self.totals.last_time)
    }

    /// Captured bytes and bytes on the wire, without record headers.
    #[must_use]
    pub fn lengths(&self) -> (u64, u64) {
        (self.totals.captured_bytes, self.totals.wire_bytes)
    }

    /// Gives the buffer back, for [`BlockBuilder::recycle`].
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Collects packets into blocks.
#[derive(Debug)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    totals: Totals,
    spare: Vec<Vec<u8>>,
}

impl Default for BlockBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BlockBuilder {
    /// Makes a builder with one buffer of 1 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(MAX_BLOCK_BYTES), totals: Totals::EMPTY, spare: Vec::new() }
    }

    /// Appends a packet. Where it doesn't fit, the block so far is given out first and the packet begins the next.
    ///
    /// # Errors
    /// [`RecordError`] for a packet that no record can hold; the block is unchanged then.
    #[inline]
    pub fn push(&mut self, packet: &Packet<'_>) -> Result<Option<Block>, RecordError> {
        // a packet too long for any record is refused below, and must not end the block
        let fits = self.bytes.len() + RECORD_HEADER_BYTES + packet.data.len() < MAX_BLOCK_BYTES;
        if !fits && packet.data.len() <= skycap_model::MAX_PACKET_BYTES {
            let full = self.take();
            return self.append(packet).map(|()| full);
        }
        self.append(packet).map(|()| None)
    }

    #[inline]
    fn append(&mut self, packet: &Packet<'_>) -> Result<(), RecordError> {
        write_record(packet, &mut self.bytes)?;
        let totals = &mut self.totals;
        totals.packets += 1;
        totals.captured_bytes += packet.data.len() as u64;
        totals.wire_bytes += u64::from(packet.original_length);
        totals.first_time = totals.first_time.min(packet.time);
        totals.last_time = totals.last_time.max(packet.time);
        Ok(())
    }

    /// Takes the block so far, full or not; `None` where it has no packet.
    pub fn take(&mut self) -> Option<Block> {
        if self.bytes.is_empty() {
            return None;
        }
        let fresh = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MAX_BLOCK_BYTES));
        let bytes = std::mem::replace(&mut self.bytes, fresh);
        let totals = std::mem::replace(&mut self.totals, Totals::EMPTY);
        Some(Block { bytes, totals })
    }

    /// Takes a buffer back that a compressed block no longer needs.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Bytes of the block so far, record headers included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tells whether no packet waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A compressed block, with what its part record will say of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CompressedBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) decompressed_size: u32,
    pub(crate) totals: Totals,
}

impl fmt::Debug for CompressedBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CompressedBlock").field("entry", &self.entry()).finish_non_exhaustive()
    }
}

impl CompressedBlock {
    /// The zstd frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Sizes and number of packets.
    #[must_use]
    pub fn entry(&self) -> BlockEntry {
        BlockEntry {
            compressed_size: self.bytes.len() as u32,
            decompressed_size: self.decompressed_size,
            packets: self.totals.packets,
        }
    }
}

/// Why a block can't be compressed or read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BlockError {
    /// The frame is no block of a capture object.
    #[error("{0}")]
    Frame(&'static str),
    /// The frame ends behind the bytes given.
    #[error("the frame is longer than the {0} bytes given")]
    Cut(usize),
    /// The zstd library refused it: damaged data, or a checksum that doesn't hold.
    #[error("zstd: {0}")]
    Zstd(&'static str),
    /// No memory for a zstd context.
    #[error("no memory for a zstd context")]
    Memory,
}

fn zstd_error(code: usize) -> BlockError {
    BlockError::Zstd(zstd_safe::get_error_name(code))
}

/// Compresses blocks; one for each thread, its memory is reused.
pub struct Compressor {
    context: CCtx<'static>,
    scratch: Vec<u8>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Makes a compressor of a zstd level ([`DEFAULT_LEVEL`] unless there is a reason).
    ///
    /// # Errors
    /// [`BlockError::Memory`], or what zstd says to the level.
    pub fn new(level: i32) -> Result<Self, BlockError> {
        let mut context = CCtx::try_create().ok_or(BlockError::Memory)?;
        for parameter in
            [CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(true)]
        {
            context.set_parameter(parameter).map_err(zstd_error)?;
        }
        Ok(Self { context, scratch: Vec::new() })
    }

    /// Compresses a block to one frame: content size and checksum present, no dictionary, window at most 2^20.
    ///
    /// # Errors
    /// What zstd says; it never does in practice.
    pub fn compress(&mut self, block: &Block) -> Result<CompressedBlock, BlockError> {
        let mut bytes = Vec::with_capacity(zstd_safe::compress_bound(block.bytes.len()));
        self.compress_into(&mut bytes, &block.bytes)?;
        // a block waits for its part: what it holds of memory stays below twice its size
        if bytes.len() < bytes.capacity() / 2 {
            bytes.shrink_to_fit();
        }
        Ok(CompressedBlock { bytes, decompressed_size: block.bytes.len() as u32, totals: block.totals })
    }

    /// Compresses bytes, fewer than 2^20, to one frame, which is valid until the next call.
    ///
    /// # Errors
    /// [`BlockError::Frame`] for too many bytes, else what zstd says.
    pub fn compress_bytes(&mut self, bytes: &[u8]) -> Result<&[u8], BlockError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.reserve(zstd_safe::compress_bound(bytes.len()));
        let compressed = self.compress_into(&mut scratch, bytes);
        self.scratch = scratch;
        compressed.map(|()| self.scratch.as_slice())
    }

    fn compress_into(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), BlockError> {
        if bytes.len() >= MAX_BLOCK_BYTES {
            return Err(BlockError::Frame("the content is larger than a block"));
        }
        // the size is known beforehand, so zstd makes the window no larger than the content
        self.context.compress2(out, bytes).map(|_| ()).map_err(zstd_error)
    }
}

/// Decompresses blocks; one for each thread.
pub struct Decompressor {
    context: DCtx<'static>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl Decompressor {
    /// Makes a decompressor.
    ///
    /// # Errors
    /// [`BlockError::Memory`].
    pub fn new() -> Result<Self, BlockError> {
        Ok(Self { context: DCtx::try_create().ok_or(BlockError::Memory)? })
    }
}

/// Reads the block that `bytes` begin with into `out`, and tells its compressed size; what follows it is not looked at.
///
/// A GET of [`super::MAX_COMPRESSED_BLOCK_BYTES`] from a block's offset always has enough. `out` never grows beyond 2^20 bytes,
/// and is empty after an error.
///
/// # Errors
/// [`BlockError`]; only blocks whose checksum holds are read.
pub fn read_block(bytes: &[u8], decompressor: &mut Decompressor, out: &mut Vec<u8>) -> Result<usize, BlockError> {
    out.clear();
    let size = match frame::walk(bytes).0 {
        Walk::Whole(size) => size,
        Walk::NeedMore => return Err(BlockError::Cut(bytes.len())),
        Walk::Malformed(reason) => return Err(BlockError::Frame(reason)),
    };
    let frame = bytes.get(..size).ok_or(BlockError::Cut(bytes.len()))?;
    let Ok(Some(header)) = frame::header(frame) else { return Err(BlockError::Frame("no zstd frame begins here")) };
    out.reserve(header.content);
    match decompressor.context.decompress(out, frame) {
        Ok(length) if length == header.content => Ok(size),
        Ok(_) => {
            out.clear();
            Err(BlockError::Frame("the content has another size than the frame says"))
        }
        Err(code) => {
            out.clear();
            Err(zstd_error(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{object::MAX_COMPRESSED_BLOCK_BYTES, record::packets};

    #[test]
    fn blocks_stay_below_their_size() {
        let mut builder = BlockBuilder::new();
        let data = vec![7; 200_000];
        let packet = |time| Packet { time: Timestamp(time), original_length: 200_000, data: &data };
        let mut full = Vec::new();
        for time in 0..23 {
            full.extend(builder.push(&packet(time)).unwrap());
        }
        full.extend(builder.take());
        assert!(builder.take().is_none());
        assert_eq!(full.iter().map(Block::packets).collect::<Vec<_>>(), [5, 5, 5, 5, 3]);
        assert_eq!(full[1].times(), (Timestamp(5), Timestamp(9)));
        assert!(full.iter().all(|block| block.bytes.len() < MAX_BLOCK_BYTES));
    }

    #[test]
    fn every_level_makes_readable_blocks() {
        let mut noise = Vec::new();
        let mut state = 1u64;
        while noise.len() < MAX_BLOCK_BYTES - 1 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise.push((state >> 56) as u8);
        }
        let zeros = vec![0; MAX_BLOCK_BYTES - 1];
        let mut decompressor = Decompressor::new().unwrap();
        let mut out = Vec::new();
        for level in [-5, 1, 3, 9, 19] {
            let mut compressor = Compressor::new(level).unwrap();
            for content in [&noise, &zeros, &noise[..300_000].to_vec(), &noise[..24].to_vec(), &Vec::new()] {
                let mut frame = compressor.compress_bytes(content).unwrap().to_vec();
                assert!(frame.len() < MAX_COMPRESSED_BLOCK_BYTES);
                let size = frame.len();
                frame.extend([0; 9]);
                assert_eq!(read_block(&frame, &mut decompressor, &mut out), Ok(size));
                assert_eq!(&out, content);
                assert!(matches!(read_block(&frame[..size - 1], &mut decompressor, &mut out), Err(BlockError::Cut(_))));
                frame[size - 1] ^= 1;
                assert!(matches!(read_block(&frame, &mut decompressor, &mut out), Err(BlockError::Zstd(_))));
            }
        }
    }

    #[test]
    fn packets_survive_compression() {
        let mut builder = BlockBuilder::new();
        builder.push(&Packet { time: Timestamp(5), original_length: 9, data: b"abc" }).unwrap();
        let block = builder.take().unwrap();
        let compressed = Compressor::new(1).unwrap().compress(&block).unwrap();
        let mut out = Vec::new();
        read_block(compressed.bytes(), &mut Decompressor::new().unwrap(), &mut out).unwrap();
        assert_eq!(packets(&out).count(), 1);
        assert_eq!(compressed.entry().packets, 1);
    }
}
