//! Inputs to begin with, made from generated traffic, and words of the input languages.

use std::collections::HashMap;

use skycap_packet::decode::{Layer, decode};
use skycap_protocols::{Claim, Direction, Hint, PROTOCOLS, Probe, Registry, Transport};
use skycap_traffic::{Disturbance, Generator, Mix, Options};

/// Flows of the traffic that seeds are made of.
const FLOWS: u64 = 160;

/// Bytes of a conversation that become a seed.
const MAX_SEED_BYTES: usize = 6_000;

/// Seeds of one target.
const MAX_SEEDS: usize = 160;

/// Numbers and markers of headers.
pub const HEADERS: &[&[u8]] = &[
    b"\x08\x00",
    b"\x86\xdd",
    b"\x81\x00",
    b"\x88\xa8",
    b"\x08\x06",
    b"\x88\x47",
    b"\x88\x64",
    b"\xaa\xaa\x03",
    b"\x45\x00",
    b"\x4f\x00",
    b"\x60\x00",
    b"\x20\x00",
    b"\x3f\xff",
    b"\x00\x00",
    b"\xff\xff",
    b"\x00\x01",
    b"\x00\x14",
    b"\x06",
    b"\x11",
    b"\x84",
    b"\x01",
    b"\x3a",
    b"\x2c",
    b"\x2b",
    b"\x00\x35",
    b"\x01\xbb",
    b"\x00\x50",
    b"\x50\x02",
    b"\x50\x12",
    b"\x50\x18",
    b"\x50\x11",
    b"\x50\x04",
    b"\xf0\x10",
];

/// Magic numbers and block types of files and objects.
pub const MAGICS: &[&[u8]] = &[
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x34\xcd\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
    b"\x4d\x3c\x2b\x1a",
    b"\x1a\x2b\x3c\x4d",
    b"\x06\0\0\0",
    b"\x01\0\0\0",
    b"\x03\0\0\0",
    b"\x05\0\0\0",
    b"\x09\0\x01\0",
    b"\x09\0\x08\0",
    b"\x0e\0\x08\0",
    b"\x28\xb5\x2f\xfd",
    b"\x53\x2a\x4d\x18",
    b"\x5e\x2a\x4d\x18",
    b"\x50\x2a\x4d\x18",
    b"\xb1\xea\x92\x8f",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\0\0\x04\0",
    b"\x01\0\x04\0",
    b"\x10\0\0\0",
];

/// Words of expressions.
pub const EXPRESSIONS: &[&[u8]] = &[
    b"&&",
    b"||",
    b"!",
    b"(",
    b")",
    b"==",
    b"!=",
    b"<=",
    b">=",
    b"<",
    b">",
    b"=",
    b"[",
    b"]",
    b",",
    b"\"",
    b"/",
    b"*",
    b"\\",
    b"?",
    b"EXISTS!",
    b"ip",
    b"ip.src",
    b"port",
    b"host",
    b"host.dns",
    b"http.uri",
    b"http.uri.tokens",
    b"http.statuscode.cnt",
    b"starttime",
    b"tags",
    b"country",
    b"payload8.utf8",
    b"file",
    b"id",
    b"dns",
    b"mac",
    b"protocols",
    b"ip.protocol",
    b"db:source.ip",
    b"10.0.0.0/8",
    b"fe80::/10",
    b":80",
    b".443",
    b"now",
    b"-1d@d",
    b"2014/02/26 10:27:57",
    b"80-443",
    b"tcp",
    b"xn--",
    b"true",
    b"{2,5}",
    b"[a-z]",
    b"(a|b)*",
    b"\xc3\xbc",
    b"\xe2\x80\xa6",
];

/// Pieces of DER.
pub const DER: &[&[u8]] = &[
    b"\x30\x82",
    b"\x30\x81",
    b"\x30\x80",
    b"\x31",
    b"\x06\x03\x55\x04\x03",
    b"\x06\x03\x55\x04\x0a",
    b"\x06\x03\x55\x1d\x11",
    b"\x06\x03\x55\x1d\x13",
    b"\xa0\x03\x02\x01\x02",
    b"\xa3",
    b"\x82",
    b"\x87\x04",
    b"\x87\x10",
    b"\x17\x0d",
    b"\x18\x0f",
    b"20500101000000Z",
    b"991231235959Z",
    b"\x01\x01\xff",
    b"\x1e",
    b"\x0c",
    b"\x13",
    b"\x16",
    b"\x84\xff\xff\xff\xff",
    b"\x88\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x03\x02\x05\xa0",
];

/// Words of messages of many protocols, and ends of lines.
pub const MESSAGES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b" ",
    b": ",
    b"\0",
    b"GET / HTTP/1.1\r\n",
    b"POST ",
    b"CONNECT ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 ",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Host: ",
    b"Cookie: a=b; c=d\r\n",
    b"Authorization: Basic YTpi\r\n",
    b"Upgrade: ",
    b"X-Forwarded-For: ",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"18446744073709551615",
    b"-1",
    b"PRI * HTTP/2.0\r\n",
    b"\x16\x03\x01",
    b"\x16\x03\x03",
    b"\x14\x03\x03",
    b"\x15\x03\x03",
    b"\x17\x03\x03",
    b"\x01\0\0",
    b"\x02\0\0",
    b"\x0b\0\0",
    b"\0\0",
    b"\0\x0a",
    b"\0\x0b",
    b"\0\x0d",
    b"\0\x10",
    b"\0\x2b",
    b"\xfe\x0d",
    b"\x0a\x0a",
    b"\xc0\x0c",
    b"\xc0\0",
    b"\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff\xff\xff",
    b"SSH-2.0-",
    b"SSH-1.99-",
    b"\x14",
    b"\xed\xa0\x80",
    b"\xc3\xbc",
    b"%00",
    b"a=b&c=d",
];

/// Generated packets, and the payloads of their conversations.
pub struct Traffic {
    packets: Vec<(u64, Vec<u8>)>,
    conversations: Vec<Conversation>,
    registry: Registry,
}

struct Conversation {
    transport: Transport,
    ports: (u16, u16),
    messages: Vec<(Direction, Vec<u8>)>,
}

impl Traffic {
    /// Generates it; the same each time.
    #[must_use]
    pub fn generate() -> Self {
        let disturbance = Disturbance { loss: 0.01, reorder: 0.05, retransmission: 0.05, overlap: 0.05 };
        let options = Options { flows: Some(FLOWS), disturbance, ..Options::new(Mix::Sample) };
        let mut generator = Generator::new(options).expect("the options are fine");
        let mut packets: Vec<(u64, Vec<u8>)> = Vec::new();
        while let Some(packet) = generator.next_packet() {
            packets.push((packet.time.0, packet.data.to_vec()));
        }
        let conversations = conversations_of(&packets);
        Self { packets, conversations, registry: Registry::new() }
    }

    /// So many of the packets, spread over all of them.
    fn some(&self, most: usize) -> impl Iterator<Item = &(u64, Vec<u8>)> {
        self.packets.iter().step_by(self.packets.len() / most.max(1) + 1)
    }

    fn hint<'a>(conversation: &Conversation, direction: Direction, payload: &'a [u8]) -> Hint<'a> {
        let (source_port, destination_port) = conversation.ports;
        Hint { payload, transport: conversation.transport, source_port, destination_port, direction }
    }
}

fn conversations_of(packets: &[(u64, Vec<u8>)]) -> Vec<Conversation> {
    type End = ([u8; 16], u16);
    let mut places: HashMap<(u8, End, End), usize> = HashMap::new();
    let mut found: Vec<Conversation> = Vec::new();
    for (_, packet) in packets {
        let decoded = decode(1, packet, packet.len() as u32);
        let transport = match (decoded.layer, decoded.ip_protocol) {
            (Layer::Ports, 6) => Transport::Tcp,
            (Layer::Ports, 17) => Transport::Udp,
            (Layer::Ports, 132) => Transport::Sctp,
            (Layer::Ip, 1 | 58) | (Layer::Ether, _) => Transport::Frame,
            _ => continue,
        };
        let payload = decoded.payload(packet);
        if payload.is_empty() {
            continue;
        }
        let source = (decoded.source, decoded.source_port);
        let destination = (decoded.destination, decoded.destination_port);
        let key = (decoded.ip_protocol, source.min(destination), source.max(destination));
        let mut direction = Direction::FromSource;
        let place = *places.entry(key).or_insert_with(|| {
            found.push(Conversation { transport, ports: (source.1, destination.1), messages: Vec::new() });
            found.len() - 1
        });
        if found[place].ports != (source.1, destination.1) {
            direction = Direction::FromDestination;
        }
        found[place].messages.push((direction, payload.to_vec()));
    }
    found
}

/// Packets with their link type, and as raw IP.
#[must_use]
pub fn packets(traffic: &Traffic) -> Vec<Vec<u8>> {
    let ethernet = traffic.some(MAX_SEEDS).map(|(_, packet)| [&[0, 0, 0][..], packet].concat());
    let raw = traffic.some(20).filter_map(|(_, packet)| Some([&[2, 0, 0][..], packet.get(14..)?].concat()));
    let other = traffic.some(20).flat_map(|(_, packet)| {
        [
            [&[1, 0, 0, 2, 0, 0, 0][..], &packet[14..]].concat(),
            [&[6, 0, 0, 0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &packet[12..]].concat(),
            [&[7, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &packet[14..]].concat(),
        ]
    });
    ethernet.chain(raw).chain(other).collect()
}

/// Capture files of several kinds, small.
#[must_use]
pub fn captures(traffic: &Traffic) -> Vec<Vec<u8>> {
    let chosen: Vec<_> = traffic.some(12).collect();
    let mut files = Vec::new();
    for (magic, swap) in [(0xa1b2_c3d4_u32, false), (0xa1b2_3c4d, false), (0xa1b2_c3d4, true)] {
        let word = |number: u32| if swap { number.to_be_bytes() } else { number.to_le_bytes() };
        let version = if swap { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        let mut file = [&[200][..], &word(magic), &version, &[0; 8], &word(65_535), &word(1)].concat();
        for (time, packet) in &chosen {
            let length = word(packet.len().min(120) as u32);
            let seconds = word((time / 1_000_000_000) as u32);
            file.extend([seconds, word((time % 1_000_000) as u32), length, word(packet.len() as u32)].concat());
            file.extend(&packet[..packet.len().min(120)]);
        }
        files.push(file);
    }
    for swap in [false, true] {
        let word = |number: u32| if swap { number.to_be_bytes() } else { number.to_le_bytes() };
        let short = |number: u16| if swap { number.to_be_bytes() } else { number.to_le_bytes() };
        let block = |kind: u32, body: &[u8]| {
            let padding = body.len().next_multiple_of(4) - body.len();
            let length = word((12 + body.len() + padding) as u32);
            [&word(kind)[..], &length, body, &[0; 3][..padding], &length].concat()
        };
        let section = [&word(0x1a2b_3c4d)[..], &short(1), &short(0), &[0xff; 8]].concat();
        // resolution of nanoseconds, an offset, a name
        let options = [
            &short(9)[..],
            &short(1),
            &[9, 0, 0, 0],
            &short(14),
            &short(8),
            &[0; 8],
            &short(2),
            &short(4),
            b"eth0",
            &[0; 4],
        ]
        .concat();
        let interface = [&short(1)[..], &[0, 0], &word(65_535), &options].concat();
        let mut file = [vec![60], block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
        for (time, packet) in &chosen {
            let cut = &packet[..packet.len().min(120)];
            let lengths = [word(cut.len() as u32), word(packet.len() as u32)].concat();
            let times = [word((time >> 32) as u32), word(*time as u32)].concat();
            file.extend(block(6, &[&word(0)[..], &times, &lengths, cut].concat()));
            file.extend(block(3, &[&word(packet.len() as u32)[..], cut].concat()));
        }
        file.extend(block(5, &[&word(0)[..], &[0; 8]].concat()));
        file.extend(block(4, &[1, 0, 5, 0, 127, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0]));
        files.push(file);
    }
    files
}

/// Recipes of objects, undamaged and damaged.
#[must_use]
pub fn objects(traffic: &Traffic) -> Vec<Vec<u8>> {
    let mut recipes = Vec::new();
    for damages in 0..5_u8 {
        for piece in [0_u16, 6, 300, 20_000] {
            let mut recipe = vec![0];
            recipe.extend(piece.to_le_bytes());
            recipe.push(damages);
            for damage in 0..damages {
                recipe.extend([damage + piece as u8, damage.wrapping_mul(77), u8::from(damage > 1), 5]);
            }
            for (number, (_, packet)) in traffic.some(16).enumerate() {
                let cut = &packet[..packet.len().min(90)];
                recipe.push(cut.len() as u8);
                recipe.extend(cut);
                match number % 5 {
                    1 | 3 => recipe.push(255),
                    4 => recipe.push(254),
                    _ => {}
                }
            }
            recipes.push(recipe);
        }
    }
    recipes
}

/// Blocks, records, seek tables, positions.
#[must_use]
pub fn object_pieces(traffic: &Traffic) -> Vec<Vec<u8>> {
    let records: Vec<u8> = traffic
        .some(6)
        .flat_map(|(time, packet)| {
            let length = (packet.len() as u32).to_le_bytes();
            let seconds = ((time / 1_000_000_000) as u32).to_le_bytes();
            [&seconds[..], &[0; 4], &length, &length, packet].concat()
        })
        .collect();
    let json = br#"{"kind":"part","version":1,"linkType":1,"snapLength":262144}"#;
    vec![
        [&[1][..], &records].concat(),
        [&[2][..], &skycap_packet::object::encode_record(json)].concat(),
        [
            &[3, 9, 0, 9][..],
            &[0x5e, 0x2a, 0x4d, 0x18, 21, 0, 0, 0],
            &[9, 0, 0, 0, 24, 0, 0, 0, 1, 2, 3, 4],
            &[1, 0, 0, 0, 0x80],
            &[0xb1, 0xea, 0x92, 0x8f],
        ]
        .concat(),
        [&[4][..], &(-7_i64).to_be_bytes(), &(1_i64 << 21).to_be_bytes(), &40_i64.to_be_bytes()].concat(),
        vec![0, 0x28, 0xb5, 0x2f, 0xfd, 0x24, 5, 0x29, 0, 0, b'h', b'e', b'l', b'l', b'o', 1, 2, 3, 4],
    ]
}

/// Expressions of every kind.
#[must_use]
pub fn expressions(_: &Traffic) -> Vec<Vec<u8>> {
    [
        "ip.src == 10.0.0.0/8 && port.dst == [80,443] && http.uri == \"*login*\" && tags != EXISTS!",
        "ip == 10.0.0.1:80 || ip == fe80::1.443 || ip != [10,1.2.3.4/31]",
        "!(host == *.example.com || host.dns == /w+\\.[a-f]{2,5}(x|y)*/)",
        "http.statuscode >= 400 && http.statuscode.cnt < 3 && http.statuscode == 200-299",
        "starttime >= \"2014/02/26 10:27:57\" && stoptime < now && starttime > -1d@d",
        "tags == ]a,\"b c\"[ && protocols == [http,tls]",
        "payload8.utf8 == \"a\\\"b\" || payload8.hex == 00ff*",
        "mac == 00:11:22:* && ip.protocol == tcp && tcp.synValidated == 1",
        "country == DE && host == b\u{fc}cher.example && host == xn--bcher-kva.example",
        "file == *.pcap && id == AAAA && db:source.ip == 10.0.0.1 && http.uri.tokens == \"a b\"",
        "packets > 10 && bytes.src <= 1000 && databytes != 0 && dns == EXISTS!",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What looks like a certificate in TLS handshakes.
#[must_use]
pub fn certificates(traffic: &Traffic) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for conversation in traffic.conversations.iter().filter(|each| each.transport == Transport::Tcp) {
        let from_server =
            conversation.messages.iter().filter(|(direction, _)| *direction == Direction::FromDestination);
        let stream: Vec<u8> = from_server.flat_map(|(_, bytes)| bytes).copied().take(20_000).collect();
        for at in 0..stream.len() {
            if let Some([0x30, 0x82, high, low, 0x30, 0x82]) = stream.get(at..at + 6) {
                let length = usize::from(u16::from_be_bytes([*high, *low])) + 4;
                found.extend(stream.get(at..at + length).map(<[u8]>::to_vec));
            }
        }
        if found.len() >= 40 {
            break;
        }
    }
    found.sort();
    found.dedup();
    found
}

/// First payloads with their ports.
#[must_use]
pub fn first_payloads(traffic: &Traffic) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for conversation in traffic.conversations.iter().take(MAX_SEEDS) {
        let Some((direction, payload)) = conversation.messages.first() else { continue };
        let mut seed = vec![conversation.transport as u8, direction.index() as u8];
        seed.extend(conversation.ports.0.to_le_bytes());
        seed.extend(conversation.ports.1.to_le_bytes());
        seed.extend(&payload[..payload.len().min(600)]);
        found.push(seed);
    }
    found
}

/// Conversations for each protocol that claims them; for a protocol that nothing generated fits, a few of any kind.
#[must_use]
pub fn conversations(traffic: &Traffic) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (number, protocol) in PROTOCOLS.iter().enumerate() {
        let claims = |conversation: &&Conversation| {
            conversation.messages.first().is_some_and(|(direction, payload)| {
                let hint = Traffic::hint(conversation, *direction, payload);
                traffic.registry.ask(number as u16, &hint) == Claim::Certain
            })
        };
        let mut fit: Vec<&Conversation> = traffic.conversations.iter().filter(claims).take(24).collect();
        if fit.is_empty() {
            let transports: Vec<Transport> = protocol.probes.iter().map(transport_of).collect();
            fit = traffic.conversations.iter().filter(|each| transports.contains(&each.transport)).take(8).collect();
        }
        for conversation in fit {
            let probe =
                protocol.probes.iter().position(|probe| transport_of(probe) == conversation.transport).unwrap_or(0);
            let mut seed = vec![number as u8, probe as u8, 0];
            for (direction, payload) in &conversation.messages {
                if seed.len() > MAX_SEED_BYTES {
                    break;
                }
                let payload = &payload[..payload.len().min(2_000)];
                seed.push(direction.index() as u8);
                seed.extend((payload.len() as u16).to_le_bytes());
                seed.extend(payload);
            }
            seed.extend([6, 0, 0, 7, 0, 0]);
            found.push(seed);
        }
    }
    found
}

fn transport_of(probe: &Probe) -> Transport {
    match *probe {
        Probe::Port(transport, ..) | Probe::FirstByte(transport, ..) | Probe::Any(transport, _) => transport,
        Probe::IpProtocol(_) | Probe::EtherType(_) => Transport::Frame,
    }
}

/// Runs of packets, with several settings.
#[must_use]
pub fn dissections(traffic: &Traffic) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (number, packets) in traffic.packets.chunks(40).take(MAX_SEEDS / 2).enumerate() {
        let mut seed = vec![0, number as u8];
        for (_, packet) in packets {
            if seed.len() > 3 * MAX_SEED_BYTES {
                break;
            }
            seed.extend([20, 0]);
            seed.extend((packet.len() as u16).to_le_bytes());
            seed.extend(packet);
        }
        found.push(seed);
    }
    // whole flows, which chunks of the capture cut apart
    for conversation in traffic.packets.iter().step_by(traffic.packets.len() / 60 + 1) {
        let ends = |packet: &[u8]| {
            let decoded = decode(1, packet, packet.len() as u32);
            let (source, destination) =
                ((decoded.source, decoded.source_port), (decoded.destination, decoded.destination_port));
            (source.min(destination), source.max(destination))
        };
        let wanted = ends(&conversation.1);
        let mut seed = vec![0, 0];
        for (_, packet) in traffic.packets.iter().filter(|(_, packet)| ends(packet) == wanted) {
            if seed.len() > 2 * MAX_SEED_BYTES {
                break;
            }
            seed.extend([20, 0]);
            seed.extend((packet.len() as u16).to_le_bytes());
            seed.extend(packet);
        }
        found.push(seed);
    }
    found
}
