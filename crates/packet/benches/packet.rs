//! Speed of the hot paths, each beside a peer on the same bytes. Run with `cargo bench -p skycap-packet`.

#![allow(clippy::unwrap_used, missing_docs)]

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use skycap_model::{PartSequence, RingId, RunId, Timestamp};
use skycap_packet::{
    Packet,
    capture::{CaptureReader, Step},
    object::{
        Block, BlockBuilder, Compressor, Counters, Event, ObjectBuilder, ObjectReader, PartBuilder, PartHash,
        PartHeader,
    },
    record::{FileHeader, packets, write_record},
};

const PACKETS: u64 = 100_000;

fn main() {
    divan::main();
}

/// Packets as of a mixed network: headers that repeat, text and noise.
fn traffic() -> Vec<(u64, Vec<u8>)> {
    let mut state = 7u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let text = b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nAccept: text/html\r\nUser-Agent: bench\r\n\r\n";
    (0..PACKETS)
        .map(|number| {
            let length = [60, 90, 576, 1500][(random() % 4) as usize];
            let mut data = vec![0x02; 12];
            data.extend([8, 0, 0x45, 0, 5, 0xdc]);
            data.extend(random().to_be_bytes());
            while data.len() < length {
                if number % 2 == 0 { data.extend(text) } else { data.extend(random().to_be_bytes()) }
            }
            data.truncate(length);
            (1_700_000_000_000_000_000 + number * 1_000, data)
        })
        .collect()
}

fn packet((time, data): &(u64, Vec<u8>)) -> Packet<'_> {
    Packet { time: Timestamp(*time), original_length: data.len() as u32, data }
}

fn pcap() -> Vec<u8> {
    let mut file = FileHeader::new(1).to_bytes().to_vec();
    traffic().iter().for_each(|one| write_record(&packet(one), &mut file).unwrap());
    file
}

fn blocks() -> Vec<Block> {
    let mut builder = BlockBuilder::new();
    let mut blocks: Vec<_> = traffic().iter().filter_map(|one| builder.push(&packet(one)).unwrap()).collect();
    blocks.extend(builder.take());
    blocks
}

fn part(blocks: &[Block], compressor: &mut Compressor) -> skycap_packet::object::Part {
    let mut part = PartBuilder::new(0);
    blocks.iter().for_each(|block| part.push(compressor.compress(block).unwrap()));
    let header = PartHeader {
        link_type: 1,
        snap_length: 262_144,
        run: RunId(1),
        ring: RingId(0),
        sequence: PartSequence(0),
        counters: Counters::default(),
        tombstones: Vec::new(),
        previous_sha256: PartHash::ZERO,
        previous_run: None,
    };
    part.finish(header).unwrap()
}

#[divan::bench]
fn read_capture_file(bencher: Bencher<'_, '_>) {
    let file = pcap();
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let (mut reader, mut rest, mut sum) = (CaptureReader::new(), file.as_slice(), 0u64);
        loop {
            match reader.next(rest) {
                Step::Packet { consumed, packet, .. } => {
                    sum += packet.time.0 ^ packet.data.len() as u64;
                    rest = &rest[consumed..];
                }
                Step::Skip { consumed } => rest = &rest[consumed..],
                _ => return sum,
            }
        }
    });
}

#[divan::bench]
fn iterate_blocks(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        blocks.iter().flat_map(|block| packets(block.bytes())).map(|one| one.unwrap().1.time.0).fold(0, |a, b| a ^ b)
    });
}

#[divan::bench]
fn build_blocks(bencher: Bencher<'_, '_>) {
    let traffic = traffic();
    let mut builder = BlockBuilder::new();
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        for one in &traffic {
            if let Some(block) = builder.push(&packet(one)).unwrap() {
                builder.recycle(block.into_buffer());
            }
        }
    });
}

/// The peer of `write_part`: zstd alone, one stream at level 1 with checksum, as `zstd -1` does.
#[divan::bench]
fn zstd_alone(bencher: Bencher<'_, '_>) {
    let bytes: Vec<u8> = blocks().iter().flat_map(|block| block.bytes().to_vec()).collect();
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::CompressionLevel(1)).unwrap();
    context.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| context.compress2(&mut out, &bytes).unwrap());
}

#[divan::bench]
fn write_part(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let size: usize = blocks.iter().map(|block| block.bytes().len()).sum();
    let mut compressor = Compressor::new(1).unwrap();
    bencher.counter(BytesCount::new(size)).bench_local(|| part(&blocks, &mut compressor));
}

/// The peer of `read_object`: zstd alone, all frames in one call.
#[divan::bench]
fn zstd_decompress_alone(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let size: usize = blocks.iter().map(|block| block.bytes().len()).sum();
    let part = part(&blocks, &mut Compressor::new(1).unwrap());
    let mut context = zstd_safe::DCtx::create();
    let mut out = Vec::with_capacity(size + 64);
    bencher.counter(BytesCount::new(size)).bench_local(|| context.decompress(&mut out, &part.bytes).unwrap());
}

#[divan::bench]
fn read_object(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let size: usize = blocks.iter().map(|block| block.bytes().len()).sum();
    let mut compressor = Compressor::new(1).unwrap();
    let part = part(&blocks, &mut compressor);
    let object = ObjectBuilder::assemble(1, &[part], &mut compressor).unwrap();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let mut reader = ObjectReader::new(None).unwrap();
        let mut count = 0;
        for piece in object.chunks(8 << 20) {
            reader.push(piece);
            while let Some(event) = reader.next_event() {
                if let Event::Block { bytes, .. } = event {
                    count += packets(bytes).count();
                }
            }
        }
        assert_eq!(count as u64, PACKETS);
    });
}

/// The share of `write_part` that is compression.
#[divan::bench]
fn compress_blocks(bencher: Bencher<'_, '_>) {
    let blocks = blocks();
    let size: usize = blocks.iter().map(|block| block.bytes().len()).sum();
    let mut compressor = Compressor::new(1).unwrap();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        blocks.iter().map(|block| compressor.compress_bytes(block.bytes()).unwrap().len()).sum::<usize>()
    });
}

/// The share of `write_part` that is the hash chain.
#[divan::bench]
fn hash_part(bencher: Bencher<'_, '_>) {
    let part = part(&blocks(), &mut Compressor::new(1).unwrap());
    bencher.counter(BytesCount::new(part.bytes.len())).bench_local(|| PartHash::of(&part.bytes));
}
