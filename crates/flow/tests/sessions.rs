//! Whole objects: the same documents however they are cut, and agreement with a naive model.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Mutex,
};

use proptest::prelude::*;
use serde_json::Value;
use skycap_flow::{Dissector, ObjectIdentity, SessionDocument, Settings, Totals, parallel};
use skycap_model::Timestamp;
use skycap_packet::{Packet, decode::decode, link, record};

type Documents = BTreeMap<String, Vec<u8>>;

fn identity() -> ObjectIdentity {
    ObjectIdentity { node: "node".to_owned(), file_id: 77, id_prefix: "abcdefghijklmnopqrstuv".to_owned() }
}

/// A packet of a test: its time in nanoseconds and its bytes.
type Frame = (u64, Vec<u8>);

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const RST: u8 = 4;
const PSH: u8 = 8;

fn ethernet(ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(rest);
    frame
}

fn ipv4(source: u8, destination: u8, protocol: u8, fragment: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&fragment.0.to_be_bytes()); // identification
    packet.extend_from_slice(&fragment.1.to_be_bytes()); // flags and offset
    packet.extend_from_slice(&[64, protocol, 0, 0, 10, 0, 0, source, 10, 0, 0, destination]);
    packet.extend_from_slice(payload);
    ethernet(0x0800, &packet)
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

fn udp_bytes(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

fn tcp(ends: (u8, u16, u8, u16), sequence: u32, acknowledgement: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ports(ends.1, ends.3);
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&acknowledgement.to_be_bytes());
    bytes.extend_from_slice(&[0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(payload);
    ipv4(ends.0, ends.2, 6, (0, 0), &bytes)
}

/// Packs packets into blocks of about so many bytes.
fn blocks(frames: &[Frame], block_bytes: usize) -> Vec<(u64, Vec<u8>)> {
    let mut blocks = vec![(1, Vec::new())];
    for (time, data) in frames {
        if blocks.last().unwrap().1.len() > block_bytes {
            blocks.push((blocks.len() as u64 * 1_000, Vec::new()));
        }
        let packet = Packet { time: Timestamp(*time), original_length: data.len() as u32, data };
        record::write_record(&packet, &mut blocks.last_mut().unwrap().1).unwrap();
    }
    blocks
}

fn on_threads(settings: &Settings, blocks: &[(u64, Vec<u8>)], threads: usize) -> (Documents, Totals) {
    let documents = Mutex::new(Documents::new());
    let sink = |_| {
        |document: SessionDocument<'_>| {
            let before = documents.lock().unwrap().insert(document.id.to_owned(), document.json.to_owned());
            assert!(before.is_none(), "two documents have the id {}", document.id);
        }
    };
    let threads = NonZeroUsize::new(threads).unwrap();
    let blocks = blocks.iter().map(|(offset, block)| (*offset, block.as_slice()));
    let totals = parallel::dissect(settings, &identity(), link::ETHERNET, threads, blocks, sink);
    (documents.into_inner().unwrap(), totals)
}

fn packet_by_packet(settings: &Settings, blocks: &[(u64, Vec<u8>)]) -> (Documents, Totals) {
    let mut documents = Documents::new();
    let mut dissector = Dissector::new(settings.clone(), identity(), link::ETHERNET);
    let mut sink = |document: SessionDocument<'_>| {
        documents.insert(document.id.to_owned(), document.json.to_owned());
    };
    for (offset, block) in blocks {
        for (place, packet) in record::packets(block).map(Result::unwrap) {
            dissector.packet(parallel::position(*offset, place), packet, &mut sink);
        }
    }
    let totals = dissector.finish(&mut sink);
    (documents, totals)
}

fn documents(frames: &[Frame], settings: &Settings) -> Vec<Value> {
    let (documents, _) = packet_by_packet(settings, &blocks(frames, 10_000));
    documents.values().map(|json| serde_json::from_slice(json).unwrap()).collect()
}

/// Positions of a document, decoded.
fn positions(document: &Value) -> Vec<u64> {
    let numbers: Vec<i64> =
        document["packetPos"].as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect();
    assert_eq!(numbers[0], -77);
    let (mut position, mut step) = (0, 0);
    let decode = |&number: &i64| {
        step = if number == 0 { step } else { number as u64 };
        position += step;
        position
    };
    numbers[1..].iter().map(decode).collect()
}

/// Every packet is in exactly one document.
fn check_positions(documents: &Documents, blocks: &[(u64, Vec<u8>)]) {
    let mut all: Vec<u64> =
        documents.values().flat_map(|json| positions(&serde_json::from_slice(json).unwrap())).collect();
    all.sort_unstable();
    let expected: Vec<u64> = blocks
        .iter()
        .flat_map(|(offset, block)| {
            record::packets(block).map(move |record| parallel::position(*offset, record.unwrap().0))
        })
        .collect();
    assert_eq!(all, expected);
}

/// A small deterministic stream of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Packets of every kind, few ends, times that jump and go back.
fn traffic(seed: u64, count: usize) -> Vec<Frame> {
    let mut numbers = Numbers(seed);
    let mut time = 1_700_000_000_000_000_000;
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        time += match numbers.below(200) {
            0 => numbers.below(90) * 1_000_000_000,
            1 => 7_200_000_000_000 * u64::from(numbers.below(5) == 0),
            _ => numbers.below(20_000_000),
        };
        let shift = if numbers.below(10) == 0 { numbers.below(2_000_000_000) } else { 0 };
        let ends = (numbers.below(4) as u8, 1_000 + numbers.below(5) as u16, 4 + numbers.below(3) as u8, 80);
        let ends = if numbers.below(2) == 0 { ends } else { (ends.2, ends.3, ends.0, ends.1) };
        let payload: Vec<u8> = (0..numbers.below(60)).map(|_| numbers.below(256) as u8).collect();
        let sequence = numbers.below(400) as u32;
        let data = match numbers.below(12) {
            0..=5 => {
                let flags = [ACK, ACK | PSH, ACK | PSH, ACK, SYN, SYN | ACK, FIN | ACK, RST][numbers.below(8) as usize];
                tcp(ends, sequence, numbers.below(400) as u32, flags, &payload)
            }
            6 | 7 => ipv4(ends.0, ends.2, 17, (0, 0), &udp_bytes(ends.1, 53, &payload)),
            8 => ipv4(ends.0, ends.2, 1, (0, 0), &[8, 0, 0, 0, 0, 1, 0, 1]),
            9 => {
                let whole = udp_bytes(ends.1, 9, &[7; 60]);
                let (offset, more) = [(0, 0x2000), (3, 0x2000), (6, 0)][numbers.below(3) as usize];
                let piece = whole.get(offset as usize * 8..(offset as usize * 8 + 24).min(whole.len())).unwrap();
                let piece = if more == 0 { &whole[48..] } else { piece };
                ipv4(ends.0, ends.2, 17, (numbers.below(6) as u16, more | offset), piece)
            }
            10 => ethernet(0x88CC, &payload),
            _ => {
                let mut frame = ipv4(ends.0, ends.2, 6, (0, 0), &payload);
                frame.truncate(numbers.below(60) as usize);
                frame
            }
        };
        frames.push((time - shift, data));
    }
    frames
}

#[test]
fn documents_do_not_depend_on_threads_or_blocks() {
    let tight = Settings { sessions_per_shard: 2, max_packets: 40, shard_bytes: 2_000, ..Settings::default() };
    for (seed, settings) in [(1, Settings::default()), (2, tight)] {
        let frames = traffic(seed, 20_000);
        let blocks = blocks(&frames, 30_000);
        let (expected, totals) = packet_by_packet(&settings, &blocks);
        assert_eq!(totals.packets, 20_000);
        assert_eq!(totals.sessions, expected.len() as u64);
        assert!(totals.reassembled > 0 && totals.orphan_fragments > 0);
        check_positions(&expected, &blocks);
        for threads in [1, 2, 4, 7] {
            let (documents, others) = on_threads(&settings, &blocks, threads);
            assert_eq!(others, totals, "{threads} threads");
            assert!(documents == expected, "{threads} threads");
        }
    }
}

/// What the naive model keeps of a session: every packet.
#[derive(Default)]
struct Naive {
    packets: Vec<(u64, u64)>,
    last_clock: u64,
    closed: [bool; 2],
    acknowledged: [bool; 2],
    reset: bool,
    syn: Option<u32>,
}

/// Sessions as sets of packet positions, straight from the rules.
fn naive(blocks: &[(u64, Vec<u8>)], settings: &Settings) -> Vec<Vec<u64>> {
    let mut open: HashMap<Vec<u8>, Naive> = HashMap::new();
    let mut done = Vec::new();
    let mut clock = 0;
    for (offset, block) in blocks {
        for (place, packet) in record::packets(block).map(Result::unwrap) {
            clock = clock.max(packet.time.0);
            let decoded = decode(link::ETHERNET, packet.data, packet.original_length);
            let mut ends = [(decoded.source, decoded.source_port), (decoded.destination, decoded.destination_port)];
            ends.sort_unstable();
            let key = format!("{ends:?}{}", decoded.ip_protocol).into_bytes();
            let timeout = match decoded.ip_protocol {
                17 => settings.udp_timeout_seconds,
                1 => settings.icmp_timeout_seconds,
                _ => settings.tcp_timeout_seconds,
            };
            let is_syn = decoded.ip_protocol == 6 && decoded.tcp_flags == SYN;
            if let Some(session) = open.get(&key) {
                let closed = session.reset || session.acknowledged == [true; 2];
                let timeout = if closed { settings.tcp_closing_timeout_seconds } else { timeout };
                let silent = clock - session.last_clock > u64::from(timeout) * 1_000_000_000;
                let was_closed = session.reset || session.closed != [false; 2];
                let again = is_syn && was_closed && session.syn != Some(decoded.tcp_sequence);
                let full = session.packets.len() as u32 >= settings.max_packets;
                if full && !silent && !again {
                    // a segment ends, the conversation goes on
                    let session = open.get_mut(&key).unwrap();
                    done.push(std::mem::take(&mut session.packets));
                } else if silent || again {
                    done.push(open.remove(&key).unwrap().packets);
                }
            }
            let session = open.entry(key).or_default();
            session.packets.push((parallel::position(*offset, place), packet.time.0));
            session.last_clock = clock;
            if decoded.ip_protocol == 6 {
                let side = usize::from((decoded.source, decoded.source_port) == ends[1]);
                if is_syn {
                    session.syn = Some(decoded.tcp_sequence);
                }
                session.reset |= decoded.tcp_flags & RST != 0;
                // the other side's FIN counts as acknowledged with the next ACK: the test's numbers say so
                session.acknowledged[side ^ 1] |= session.closed[side ^ 1] && decoded.tcp_flags & ACK != 0;
                session.closed[side] |= decoded.tcp_flags & FIN != 0;
            }
        }
    }
    done.extend(open.into_values().map(|session| session.packets));
    let mut sessions: Vec<Vec<u64>> =
        done.into_iter().map(|packets| packets.into_iter().map(|(position, _)| position).collect()).collect();
    sessions.sort_unstable();
    sessions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Sessions begin and end where a model that keeps every packet says.
    #[test]
    fn agrees_with_a_naive_model(seed in any::<u64>(), max_packets in 5_u32..40) {
        let settings = Settings { max_packets, ..Settings::default() };
        let mut numbers = Numbers(seed);
        let mut time = 1_700_000_000_000_000_000;
        let frames: Vec<Frame> = (0..1_500)
            .map(|_| {
                time += if numbers.below(30) == 0 { numbers.below(100_000_000_000) } else { numbers.below(1_000_000_000) };
                let late = if numbers.below(8) == 0 { numbers.below(3_000_000_000) } else { 0 };
                let ends = (1, 1_000 + numbers.below(3) as u16, 2, 80);
                let ends = if numbers.below(2) == 0 { ends } else { (ends.2, ends.3, ends.0, ends.1) };
                let data = match numbers.below(10) {
                    0 | 1 => ipv4(ends.0, ends.2, 17, (0, 0), &udp_bytes(ends.1, ends.3, b"x")),
                    2 => ipv4(ends.0, ends.2, 1, (0, 0), &[8, 0, 0, 0, 0, 1, 0, 1]),
                    _ => {
                        let flags = [ACK, ACK, ACK, ACK, ACK | PSH, SYN, FIN | ACK, RST][numbers.below(8) as usize];
                        // one number for all but SYNs: every ACK reaches every FIN
                        let sequence = if flags == SYN { 600 + numbers.below(2) as u32 } else { 500 };
                        tcp(ends, sequence, 1_000, flags, b"")
                    }
                };
                (time - late, data)
            })
            .collect();
        let blocks = blocks(&frames, 5_000);
        let (documents, _) = packet_by_packet(&settings, &blocks);
        let mut sessions: Vec<Vec<u64>> =
            documents.values().map(|json| positions(&serde_json::from_slice(json).unwrap())).collect();
        sessions.sort_unstable();
        let expected = naive(&blocks, &settings);
        if let Some((one, other)) = sessions.iter().zip(&expected).find(|(one, other)| one != other) {
            for &position in one.iter().chain(other) {
                let (offset, place) = (position >> 20, position as u32 & 0xF_FFFF);
                let block = &blocks.iter().find(|block| block.0 == offset).unwrap().1;
                let packet = record::packet_at(block, place).unwrap();
                let decoded = decode(link::ETHERNET, packet.data, packet.original_length);
                let (protocol, flags) = (decoded.ip_protocol, decoded.tcp_flags);
                println!("{position} {} {protocol} {} {flags:#x} {}", packet.time, decoded.source_port, decoded.tcp_sequence);
            }
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(sessions.len(), expected.len());
    }
}

#[test]
fn segments_of_a_long_session() {
    let settings = Settings { max_packets: 10, ..Settings::default() };
    let frames: Vec<Frame> = (0..25_u64)
        .map(|number| (number * 1_000_000, ipv4(1, 2, 17, (0, 0), &udp_bytes(1, 2, &number.to_be_bytes()))))
        .collect();
    let documents = documents(&frames, &settings);
    let packets: Vec<u64> = documents.iter().map(|document| document["network"]["packets"].as_u64().unwrap()).collect();
    assert_eq!(packets, [10, 10, 5]);
    assert_eq!(documents[1]["segmentCnt"], 2);
    assert!(documents[0].get("rootId").is_none());
    assert_eq!(documents[1]["rootId"], documents[2]["rootId"]);
    assert_eq!(documents[2]["rootId"], format!("{}{:016x}", identity().id_prefix, positions(&documents[0])[0]));
    assert_eq!(documents[2]["firstPacket"], 0);
    assert_eq!(documents[2]["packetRange"]["gte"], 20);
    assert_eq!(documents[2]["length"], 24);
    assert_eq!(documents[2]["source"]["mac"], serde_json::json!(["02:00:00:00:00:02"]));
}

#[test]
fn fragments_belong_to_their_datagram() {
    let whole = udp_bytes(5_000, 53, &[9; 40]);
    let fragment = |from: usize, to: usize, more: bool, identification| {
        let offset = (from / 8) as u16 | if more { 0x2000 } else { 0 };
        ipv4(1, 2, 17, (identification, offset), &whole[from..to])
    };
    let frames = vec![
        (0, fragment(24, 48, false, 1)), // comes before the first
        (1_000_000, fragment(0, 16, true, 1)),
        (2_000_000, ipv4(2, 1, 17, (0, 0), &udp_bytes(53, 5_000, b"answer"))),
        (3_000_000, fragment(16, 24, true, 1)),
        (4_000_000, fragment(24, 48, false, 2)), // its first never comes
    ];
    let documents = documents(&frames, &Settings::default());
    assert_eq!(documents.len(), 2);
    let session = documents.iter().find(|document| document["source"]["port"] == 5_000).unwrap();
    assert_eq!(session["network"]["packets"], 4);
    assert_eq!(session["source"]["packets"], 3);
    assert_eq!(session["client"]["bytes"], 40);
    assert_eq!(session["srcPayload8"], "0909090909090909");
    assert_eq!(session["firstPacket"], 0);
    let orphan = documents.iter().find(|document| document["source"]["port"] == 0).unwrap();
    assert_eq!((&orphan["network"]["packets"], &orphan["ipProtocol"]), (&1.into(), &17.into()));
}

#[test]
fn a_broken_time_ends_no_session() {
    let packet = |source| ipv4(source, 9, 17, (0, 0), &udp_bytes(1, 2, b"x"));
    let hour = 3_600_000_000_000;
    // a single packet two hours ahead, then the others go on
    let frames = vec![(0, packet(1)), (2 * hour, packet(2)), (1_000_000, packet(1)), (2_000_000, packet(2))];
    assert_eq!(documents(&frames, &Settings::default()).len(), 2);
    // the clock does jump, and the session that jumped first stays whole
    let frames = vec![(0, packet(1)), (2 * hour, packet(2)), (2 * hour + 5, packet(2)), (2 * hour + 9, packet(1))];
    assert_eq!(documents(&frames, &Settings::default()).len(), 3);
}

#[test]
fn malformed_blocks_are_counted() {
    let mut blocks = blocks(&traffic(5, 100), 1 << 20);
    blocks[0].1.extend_from_slice(&[0xFF; 30]);
    for threads in [1, 2] {
        let (_, totals) = on_threads(&Settings::default(), &blocks, threads);
        assert_eq!((totals.packets, totals.malformed_blocks, totals.malformed_bytes), (100, 1, 30));
    }
}
