//! The packets of one object: which ranges to fetch, how many at once, and how blocks become records.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use skycap_model::{FilesDocument, MAX_BLOCK_BYTES, MAX_PACKET_BYTES};
use skycap_packet::object::{Decompressor, MAX_COMPRESSED_BLOCK_BYTES, Plan, read_block};
use skycap_store::ObjectStore;

/// Ranges of one object under way at once.
const RANGES_AT_ONCE: usize = 3;
/// Most blocks that one range covers; each is below a mebibyte decompressed.
const BLOCKS_PER_RANGE: usize = 4;
/// Bytes between two blocks that are fetched along rather than asked for apart.
const MAX_GAP_BYTES: u64 = 128 << 10;
/// With fewer blocks than this, their ends are not looked up: each range is as long as a block can be.
const BLOCKS_WORTH_A_PLAN: usize = 3;
/// Bytes of the object's end that are read for its seek table; holds the table of about 16,000 blocks.
const TAIL_BYTES: u64 = 128 << 10;

/// A block and the records wanted of it.
struct Wanted {
    offset: u64,
    records: Vec<u32>,
}

/// A range to fetch, with the blocks in it.
struct Range {
    start: u64,
    end: u64,
    blocks: Vec<Wanted>,
}

/// Records in order of position: time in nanoseconds, and the record as it stands in the block.
type Records = Vec<(u64, Bytes)>;

/// Streams the records of one object.
pub(super) struct ObjectPackets {
    ranges: BoxStream<'static, Result<Records, String>>,
}

impl ObjectPackets {
    /// Plans the ranges for these positions (ascending).
    pub(super) async fn open(
        objects: Arc<dyn ObjectStore>,
        file: FilesDocument,
        positions: Vec<u64>,
    ) -> Result<Self, String> {
        let mut blocks: Vec<Wanted> = Vec::new();
        for position in positions {
            let (offset, record) = (position >> 20, (position & 0xF_FFFF) as u32);
            match blocks.last_mut() {
                Some(block) if block.offset == offset => block.records.push(record),
                _ => blocks.push(Wanted { offset, records: vec![record] }),
            }
        }
        let plan = if blocks.len() >= BLOCKS_WORTH_A_PLAN { plan(objects.as_ref(), &file).await? } else { None };
        let file = Arc::new(file);
        let fetches = coalesce(blocks, plan.as_ref(), file.filesize)
            .into_iter()
            .map(move |range| -> BoxFuture<'static, _> { fetch(objects.clone(), file.clone(), range).boxed() });
        Ok(Self { ranges: futures::stream::iter(fetches).buffered(RANGES_AT_ONCE).boxed() })
    }

    /// The records of the next range; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Records>, String> {
        self.ranges.next().await.transpose()
    }
}

/// The object's seek table, if it has one that can be trusted.
async fn plan(objects: &dyn ObjectStore, file: &FilesDocument) -> Result<Option<Plan>, String> {
    let start = file.filesize.saturating_sub(TAIL_BYTES);
    let tail = objects
        .range(&file.skycap.bucket, &file.skycap.key, start, file.filesize - start, Some(&file.skycap.etag))
        .await
        .map_err(|error| error.to_string())?;
    // without one that can be trusted, every range is as long as a block can be
    Ok(Plan::from_tail(file.filesize, &tail).ok())
}

fn coalesce(blocks: Vec<Wanted>, plan: Option<&Plan>, size: u64) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for block in blocks {
        let longest = block.offset.saturating_add(MAX_COMPRESSED_BLOCK_BYTES as u64);
        let end = plan.and_then(|plan| block_end(plan, block.offset)).unwrap_or(longest).min(size);
        match ranges.last_mut() {
            Some(range)
                if plan.is_some()
                    && range.blocks.len() < BLOCKS_PER_RANGE
                    && block.offset <= range.end + MAX_GAP_BYTES =>
            {
                range.end = range.end.max(end);
                range.blocks.push(block);
            }
            _ => ranges.push(Range { start: block.offset, end, blocks: vec![block] }),
        }
    }
    ranges
}

/// Where the block that begins at `offset` ends, as the seek table says.
fn block_end(plan: &Plan, offset: u64) -> Option<u64> {
    let place = plan.frames().binary_search_by_key(&offset, |frame| frame.offset).ok()?;
    plan.frames().get(place).map(|frame| frame.offset + u64::from(frame.compressed_size))
}

async fn fetch(objects: Arc<dyn ObjectStore>, file: Arc<FilesDocument>, range: Range) -> Result<Records, String> {
    let length = range.end.saturating_sub(range.start);
    let bytes = objects
        .range(&file.skycap.bucket, &file.skycap.key, range.start, length, Some(&file.skycap.etag))
        .await
        .map_err(|error| error.to_string())?;
    let name = file.name.clone();
    let unpack = move || {
        let mut records = Records::new();
        let mut decompressor = Decompressor::new().map_err(|error| error.to_string())?;
        for block in range.blocks {
            let at = usize::try_from(block.offset - range.start).unwrap_or(usize::MAX);
            let compressed = bytes.get(at..).unwrap_or_default();
            let mut plain = Vec::with_capacity(MAX_BLOCK_BYTES);
            read_block(compressed, &mut decompressor, &mut plain)
                .map_err(|error| format!("{name}: the block at offset {} can't be read: {error}", block.offset))?;
            let plain = Bytes::from(plain);
            for record in block.records {
                let found = record_at(&plain, record as usize);
                records.push(found.ok_or_else(|| {
                    format!("{name}: there is no packet at offset {record} of the block at offset {}", block.offset)
                })?);
            }
        }
        Ok(records)
    };
    tokio::task::spawn_blocking(unpack).await.map_err(|error| format!("unpacking blocks: {error}"))?
}

/// The record (16-byte header and packet) at an offset of a block, and its time.
fn record_at(block: &Bytes, offset: usize) -> Option<(u64, Bytes)> {
    let header: &[u8; 16] = block.get(offset..offset.checked_add(16)?)?.try_into().ok()?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let captured = word(8) as usize;
    let end = offset.checked_add(16)?.checked_add(captured)?;
    if captured > MAX_PACKET_BYTES || end > block.len() {
        return None;
    }
    Some((u64::from(word(0)) * 1_000_000_000 + u64::from(word(4)), block.slice(offset..end)))
}
