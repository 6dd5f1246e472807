//! The whole pipeline, naive and short: every packet in a list, sessions by the rules as the design says them, no
//! shards, no timers, no bounds, and a decoder of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A packet, as it was made or as it is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kept {
    /// Nanoseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) original_length: u32,
    pub(crate) data: Vec<u8>,
}

/// A packet of a capture object: where it is, and what it is.
pub(crate) type Stored = (u64, Kept);

/// Records of the libpcap format (nanoseconds, little endian), each with its offset; a rest that is no record ends them.
fn records(bytes: &[u8]) -> Vec<(usize, Kept)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 16) {
        let word = |place: usize| u32::from_le_bytes(header[place..place + 4].try_into().unwrap());
        let Some(data) = bytes.get(at + 16..at + 16 + word(8) as usize) else { break };
        let time = u64::from(word(0)) * 1_000_000_000 + u64::from(word(4));
        found.push((at, Kept { time, original_length: word(12), data: data.to_vec() }));
        at += 16 + data.len();
    }
    found
}

/// The packets of a libpcap file as exports and `zstd -d` make it; everything must be a record.
pub(crate) fn pcap(bytes: &[u8]) -> Vec<Kept> {
    assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0], "a libpcap file with nanoseconds");
    let found = records(&bytes[24..]);
    let end = found.last().map_or(0, |(at, packet)| at + 16 + packet.data.len());
    assert_eq!(24 + end, bytes.len(), "the file ends in the middle of a record");
    found.into_iter().map(|(_, packet)| packet).collect()
}

/// The packets of a capture object with their positions: frames that are whole and sound, up to the first that isn't whole.
pub(crate) fn object(bytes: &[u8]) -> Vec<Stored> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Ok(size) = zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]) else { break };
        let frame = &bytes[at..at + size];
        // records and seek table are skippable frames; the first frame is the file header
        if frame[..4] == [0x28, 0xb5, 0x2f, 0xfd]
            && at > 0
            && let Ok(block) = zstd::bulk::decompress(frame, 1 << 20)
        {
            found.extend(records(&block).into_iter().map(|(place, packet)| ((at as u64) << 20 | place as u64, packet)));
        }
        at += size;
    }
    found
}

/// Who talks to whom: kind of key, the two ends in order.
pub(crate) type Key = (String, String, String);

#[derive(Clone, Debug)]
struct Decoded {
    key: Key,
    sender: String,
    timeout_seconds: u64,
    tcp: Option<Segment>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    length: u32,
}

/// One session document that must exist.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key: Key,
    /// From 1; a session of more than 10,000 packets has several.
    pub(crate) segment: u64,
    /// Indices into the object's packets.
    pub(crate) packets: Vec<usize>,
    /// Sender of each of them: `address` or `address port`.
    pub(crate) senders: Vec<String>,
    /// TCP payload of each: sequence number from the first of its direction, and length.
    pub(crate) payload: Vec<(u32, u32)>,
}

impl Session {
    /// Payload bytes that this sender sent, each counted once.
    pub(crate) fn payload_of(&self, sender: &str) -> u64 {
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        let mut first = None;
        for (name, &(sequence, length)) in self.senders.iter().zip(&self.payload) {
            if name == sender {
                let from = i64::from(sequence.wrapping_sub(*first.get_or_insert(sequence)) as i32);
                pieces.push((from, from + i64::from(length)));
            }
        }
        pieces.sort_unstable();
        let (mut sum, mut end) = (0, i64::MIN);
        for (from, to) in pieces {
            sum += (to - from.max(end)).max(0);
            end = end.max(to);
        }
        sum as u64
    }
}

struct Open {
    clock: u64,
    segment: u64,
    reset: bool,
    fins: BTreeMap<String, u32>,
    /// Senders whose FIN was acknowledged.
    acknowledged: BTreeSet<String>,
    syn: Option<u32>,
    session: Session,
}

/// Packets of a session after which the next segment begins.
const MOST_PACKETS: usize = 10_000;

/// The sessions of one object's packets, in no order.
pub(crate) fn sessions(packets: &[Stored]) -> Vec<Session> {
    let ports = first_fragments(packets);
    let mut open: HashMap<Key, Open> = HashMap::new();
    let mut ended = Vec::new();
    let mut clock = 0;
    for (index, (_, packet)) in packets.iter().enumerate() {
        clock = clock.max(packet.time);
        let decoded = decode(&packet.data, &ports);
        if let Some(known) = open.get(&decoded.key) {
            let closed = known.reset || known.acknowledged.len() == 2;
            let timeout = if closed { 5 } else { decoded.timeout_seconds } * 1_000_000_000;
            let syn = decoded.tcp.filter(|segment| segment.flags & 0x12 == 2).map(|segment| segment.sequence);
            let reopened = syn.is_some() && (known.reset || !known.fins.is_empty()) && known.syn != syn;
            if clock - known.clock > timeout || reopened {
                ended.extend(open.remove(&decoded.key).map(|over| over.session));
            }
        }
        let known = open.entry(decoded.key.clone()).or_insert_with(|| Open::new(&decoded.key, 1));
        known.clock = clock;
        known.take(index, &decoded);
        if known.session.packets.len() == MOST_PACKETS {
            known.segment += 1;
            let next = Open::new(&decoded.key, known.segment).session;
            ended.push(std::mem::replace(&mut known.session, next));
        }
    }
    ended.extend(open.into_values().map(|known| known.session));
    ended.retain(|session| !session.packets.is_empty());
    ended
}

impl Open {
    fn new(key: &Key, segment: u64) -> Self {
        let session =
            Session { key: key.clone(), segment, packets: Vec::new(), senders: Vec::new(), payload: Vec::new() };
        Self {
            clock: 0,
            segment,
            reset: false,
            fins: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            syn: None,
            session,
        }
    }

    fn take(&mut self, index: usize, decoded: &Decoded) {
        self.session.packets.push(index);
        self.session.senders.push(decoded.sender.clone());
        let Some(Segment { flags, sequence, acknowledgement, length }) = decoded.tcp else {
            return self.session.payload.push((0, 0));
        };
        // the SYN has a number of its own
        self.session.payload.push((sequence.wrapping_add(u32::from(flags & 2 != 0)), length));
        if flags & 0x12 == 2 {
            self.syn = Some(sequence);
        }
        self.reset |= flags & 4 != 0;
        if flags & 1 != 0 {
            self.fins.insert(decoded.sender.clone(), sequence.wrapping_add(length));
        }
        if flags & 0x10 != 0 {
            let finished = self.fins.iter().filter(|(sender, fin)| {
                **sender != decoded.sender && acknowledgement.wrapping_sub(fin.wrapping_add(1)) as i32 >= 0
            });
            self.acknowledged.extend(finished.map(|(sender, _)| sender.clone()));
        }
    }
}

/// What tells the fragments of one datagram: key of its addresses and protocol, and the identification.
type Datagram = (Key, u32);

fn first_fragments(packets: &[Stored]) -> HashMap<Datagram, (u16, u16)> {
    let mut ports = HashMap::new();
    for (_, packet) in packets {
        if let Some(ip) = ip(&packet.data)
            && let Some((id, 0)) = ip.fragment
        {
            ports.insert((ip.addresses_key(), id), (be16(ip.payload, 0), be16(ip.payload, 2)));
        }
    }
    ports
}

struct Ip<'a> {
    source: String,
    destination: String,
    protocol: u8,
    /// Identification and offset.
    fragment: Option<(u32, u32)>,
    payload: &'a [u8],
}

impl Ip<'_> {
    fn addresses_key(&self) -> Key {
        (format!("fragment {}", self.protocol), self.source.clone(), self.destination.clone())
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

/// Ethertype behind VLAN tags, and where its payload begins.
fn ethertype(frame: &[u8]) -> (u16, usize) {
    let mut at = 12;
    while matches!(be16(frame, at), 0x8100 | 0x88a8) {
        at += 4;
    }
    (be16(frame, at), at + 2)
}

fn ip(frame: &[u8]) -> Option<Ip<'_>> {
    let (kind, at) = ethertype(frame);
    let packet = &frame[at..];
    match kind {
        0x0800 => {
            let header = usize::from(packet[0] & 15) * 4;
            let address = |at: usize| std::net::Ipv4Addr::from(be32(packet, at)).to_string();
            let flags = be16(packet, 6);
            let fragment = (flags & 0x3fff != 0).then(|| (u32::from(be16(packet, 4)), u32::from(flags & 0x1fff) * 8));
            Some(Ip {
                source: address(12),
                destination: address(16),
                protocol: packet[9],
                fragment,
                payload: &packet[header..usize::from(be16(packet, 2))],
            })
        }
        0x86dd => {
            let address = |at: usize| {
                let bytes: [u8; 16] = packet[at..at + 16].try_into().unwrap();
                std::net::Ipv6Addr::from(bytes).to_string()
            };
            let end = 40 + usize::from(be16(packet, 4));
            let (protocol, fragment, from) = match packet[6] {
                44 => (packet[40], Some((be32(packet, 44), u32::from(be16(packet, 42) & 0xfff8))), 48),
                other => (other, None, 40),
            };
            Some(Ip { source: address(8), destination: address(24), protocol, fragment, payload: &packet[from..end] })
        }
        _ => None,
    }
}

fn decode(frame: &[u8], ports: &HashMap<Datagram, (u16, u16)>) -> Decoded {
    let Some(ip) = ip(frame) else { return decode_frame(frame) };
    let known = match ip.fragment {
        Some((id, _)) => ports.get(&(ip.addresses_key(), id)).copied(),
        None => matches!(ip.protocol, 6 | 17 | 132).then(|| (be16(ip.payload, 0), be16(ip.payload, 2))),
    };
    let (sender, receiver) = match known.filter(|_| matches!(ip.protocol, 6 | 17 | 132)) {
        Some((source, destination)) => (format!("{} {source}", ip.source), format!("{} {destination}", ip.destination)),
        None => (ip.source.clone(), ip.destination.clone()),
    };
    let timeout_seconds = match (ip.protocol, known) {
        (6, Some(_)) => 480,
        (17 | 132, Some(_)) => 60,
        (1 | 58, _) => 10,
        _ => 600,
    };
    let tcp = (ip.protocol == 6 && ip.fragment.is_none()).then(|| Segment {
        flags: ip.payload[13],
        sequence: be32(ip.payload, 4),
        acknowledgement: be32(ip.payload, 8),
        length: (ip.payload.len() - usize::from(ip.payload[12] >> 4) * 4) as u32,
    });
    let mut ends = [sender.clone(), receiver];
    ends.sort_unstable();
    let [low, high] = ends;
    Decoded { key: (format!("ip {}", ip.protocol), low, high), sender, timeout_seconds, tcp }
}

/// No IP: ARP by who asks for whom, else by Ethernet addresses and type, each direction on its own.
fn decode_frame(frame: &[u8]) -> Decoded {
    let (kind, at) = ethertype(frame);
    let sender = format!("{:02x?}", &frame[6..12]);
    let key = if kind == 0x0806 {
        let message = &frame[at..];
        let (sender, target) = (format!("{:?}", &message[14..18]), format!("{:?}", &message[24..28]));
        if message[7] == 2 { ("arp".to_owned(), target, sender) } else { ("arp".to_owned(), sender, target) }
    } else {
        (format!("ether {kind:04x}"), sender.clone(), format!("{:02x?}", &frame[..6]))
    };
    Decoded { key, sender, timeout_seconds: 600, tcp: None }
}

/// Undoes `gap0` of a document's `packetPos`: the object's number, then positions.
pub(crate) fn positions(packet_pos: &serde_json::Value) -> (u64, Vec<u64>) {
    let numbers: Vec<i64> = packet_pos.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect();
    let (&file, rest) = numbers.split_first().unwrap();
    let (mut at, mut gap) = (0, 0);
    let positions = rest.iter().map(|&number| {
        assert!(number >= 0, "one object a document");
        gap = if number > 0 { number } else { gap };
        at += gap;
        at as u64
    });
    (file.unsigned_abs(), positions.collect())
}
