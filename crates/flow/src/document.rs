//! The session document: JSON bytes in catalogue order, through one buffer that is used again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skycap_model::{FieldId, Shape, Timestamp, core_fields as core};
use skycap_packet::decode::Layer;
use skycap_protocols::{Fields, Mark, Value, catalogue};

use crate::{
    community_id, json,
    key::{ICMP, ICMP6, SCTP, TCP, UDP},
    paths::Paths,
    positions::{self, Pool},
    session::Tracked,
    settings::ObjectIdentity,
    tcp::Flag,
};

/// A finished session: what the sink gets.
#[derive(Clone, Copy, Debug)]
pub struct SessionDocument<'a> {
    /// Its `_id`: the object's 22 characters, then the first packet's position in 16 hexadecimal digits.
    pub id: &'a str,
    /// Position of its first packet.
    pub first_position: u64,
    /// Time of its last packet: decides the index.
    pub last_packet: Timestamp,
    /// Packets of both directions.
    pub packets: u32,
    /// The document.
    pub json: &'a [u8],
}

/// Fields that the engine itself writes, but for those that parsers may add to.
const ROWS: &[FieldId] = &[
    core::FIRST_PACKET,
    core::LAST_PACKET,
    core::LENGTH,
    core::IP_PROTOCOL,
    core::ETHERTYPE,
    core::SOURCE_IP,
    core::DESTINATION_IP,
    core::SOURCE_PORT,
    core::DESTINATION_PORT,
    core::SOURCE_BYTES,
    core::DESTINATION_BYTES,
    core::SOURCE_PACKETS,
    core::DESTINATION_PACKETS,
    core::CLIENT_BYTES,
    core::SERVER_BYTES,
    core::NETWORK_PACKETS,
    core::NETWORK_BYTES,
    core::TOTAL_DATA_BYTES,
    core::COMMUNITY_ID,
    core::VLAN,
    core::VLAN_DOT1Q,
    core::VLAN_DOT1AD,
    core::SOURCE_MAC,
    core::DESTINATION_MAC,
    core::SOURCE_TTL,
    core::DESTINATION_TTL,
    core::FLAGS_SYN,
    core::FLAGS_SYN_ACK,
    core::FLAGS_ACK,
    core::FLAGS_PSH,
    core::FLAGS_FIN,
    core::FLAGS_RST,
    core::FLAGS_URG,
    core::FLAGS_ECE,
    core::FLAGS_CWR,
    core::FLAGS_AE,
    core::FLAGS_SOURCE_ZERO,
    core::FLAGS_DESTINATION_ZERO,
    core::INITIAL_RTT,
    core::TCP_SEQUENCE_SOURCE,
    core::TCP_SEQUENCE_DESTINATION,
    core::SYN_VALIDATED,
    core::SYN_ACK_VALIDATED,
    core::SOURCE_ISN_COUNT,
    core::SOURCE_PAYLOAD,
    core::DESTINATION_PAYLOAD,
    core::SEGMENTS,
    core::ROOT_ID,
    core::NODE,
    core::FILE_ID,
    core::PACKET_POSITIONS,
    core::PROTOCOL,
    core::TRUNCATED,
    core::ICMP_TYPE,
    core::ICMP_CODE,
];

/// Writes documents of one object.
pub(crate) struct Writer {
    identity: ObjectIdentity,
    all_fields: bool,
    /// The link type says what a frame holds; else the type was derived and is no news.
    has_ethertypes: bool,
    paths: Paths,
    /// The engine's rows with their ranks, in catalogue order.
    rows: Vec<(u16, FieldId)>,
    out: Vec<u8>,
    id: String,
    list: Vec<u64>,
    /// Top-level entries of the fields: rank and number.
    order: Vec<(u16, u16)>,
    /// Entries of the object that is being written, rank and number: memory that is used again.
    members: Vec<(u16, u16)>,
    /// Entries of the document that is being written; empty in between.
    marks: Vec<Mark<'static>>,
    /// Objects open in `out`, as path prefixes.
    open: Vec<u16>,
}

/// The same vector for entries of another log, emptied: keeps the memory.
fn reuse<'to>(mut marks: Vec<Mark<'_>>) -> Vec<Mark<'to>> {
    marks.clear();
    marks.into_iter().filter_map(|_| None).collect()
}

/// Most nested lists of objects in a document.
const MOST_DEPTH: u8 = 4;

impl Writer {
    pub(crate) fn new(identity: ObjectIdentity, all_fields: bool, has_ethertypes: bool) -> Self {
        let mut rows: Vec<(u16, FieldId)> = ROWS.iter().map(|&id| (catalogue().rank(id), id)).collect();
        rows.sort_unstable();
        Self {
            identity,
            all_fields,
            has_ethertypes,
            paths: Paths::new(catalogue()),
            rows,
            out: Vec::with_capacity(8 << 10),
            id: String::new(),
            list: Vec::new(),
            order: Vec::new(),
            members: Vec::new(),
            marks: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Writes a session's document.
    pub(crate) fn write(&mut self, session: &Tracked, pool: &Pool) -> SessionDocument<'_> {
        self.out.clear();
        self.open.clear();
        self.order.clear();
        session.positions.list(pool, &mut self.list);
        let none = Fields::default();
        let fields = session.fields.as_deref().unwrap_or(&none);
        let mut marks: Vec<Mark<'_>> = reuse(std::mem::take(&mut self.marks));
        marks.extend(fields.entries());
        self.sort(&marks);
        let order = std::mem::take(&mut self.order);
        let rows = std::mem::take(&mut self.rows);
        self.out.push(b'{');
        let (mut row, mut entry) = (0, 0);
        loop {
            let next_row = rows.get(row).map(|&(rank, _)| rank);
            let next_entry = order.get(entry).map(|&(rank, _)| rank);
            let rank = match (next_row, next_entry) {
                (None, None) => break,
                (Some(one), Some(other)) => one.min(other),
                (Some(one), None) | (None, Some(one)) => one,
            };
            let group = order.get(entry..).unwrap_or_default();
            let group = if next_entry == Some(rank) {
                &group[..group.iter().take_while(|&&(other, _)| other == rank).count()]
            } else {
                &[]
            };
            entry += group.len();
            let core_row = rows.get(row).filter(|&&(other, _)| other == rank).map(|&(_, id)| id);
            row += usize::from(core_row.is_some());
            if group.is_empty() && core_row.is_some_and(|id| lacks(id, session, fields)) {
                continue;
            }
            if let Some(id) = core_row.or_else(|| first_field(&marks, group)) {
                self.member(id, core_row.is_some().then_some(session), fields, &marks, group);
            }
        }
        while self.open.pop().is_some() {
            self.out.push(b'}');
        }
        self.out.push(b'}');
        self.order = order;
        self.rows = rows;
        self.marks = reuse(marks);
        let mut id = std::mem::take(&mut self.id);
        id.clear();
        id.push_str(&self.identity.id_prefix);
        let first_position = self.list.first().copied().unwrap_or(session.root_position);
        position_text(first_position, &mut id);
        self.id = id;
        SessionDocument {
            id: &self.id,
            first_position,
            last_packet: Timestamp(session.last_time),
            packets: session.all_packets(),
            json: &self.out,
        }
    }

    /// Orders the entries that stand outside of objects, and the objects.
    fn sort(&mut self, marks: &[Mark<'_>]) {
        let catalogue = catalogue();
        let mut depth = 0_u32;
        for (number, mark) in marks.iter().enumerate() {
            let id = match *mark {
                Mark::End => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                Mark::Begin(id) => {
                    depth += 1;
                    if depth > 1 {
                        continue;
                    }
                    id
                }
                Mark::Value(..) if depth > 0 => continue,
                // a field of objects has no place outside of them
                Mark::Value(id, _) if catalogue.field(id).object.is_some() => continue,
                Mark::Value(id, _) => id,
            };
            if catalogue.field(id).optional && !self.all_fields {
                continue;
            }
            self.order.push((catalogue.rank(id), number.min(usize::from(u16::MAX)) as u16));
        }
        self.order.sort_unstable();
    }

    /// Writes one member of the document: the engine's values of it, then those of the group.
    fn member(
        &mut self,
        id: FieldId,
        session: Option<&Tracked>,
        fields: &Fields,
        marks: &[Mark<'_>],
        group: &[(u16, u16)],
    ) {
        let start = self.out.len();
        let path = self.paths.enter(id, &mut self.open, &mut self.out);
        let value_start = self.out.len();
        match catalogue().field(id).shape {
            Shape::Virtual => {}
            Shape::One => {
                let mut written = session.is_some_and(|session| self.one(id, session));
                if !written
                    && let Some(&(_, last)) = group.last()
                    && let Some(Mark::Value(_, value)) = marks.get(usize::from(last))
                {
                    scalar(&mut self.out, id, value);
                    written = true;
                }
                if !written {
                    self.paths.undo(path, start, &mut self.open, &mut self.out);
                }
            }
            Shape::Set | Shape::List => {
                if id == core::PACKET_POSITIONS {
                    self.packets(session);
                    return;
                }
                self.out.push(b'[');
                let mut count = session.map_or(0, |session| self.many(id, session, fields));
                for &(_, number) in group {
                    if let Some(Mark::Value(_, value)) = marks.get(usize::from(number)) {
                        let before = self.out.len();
                        if count > 0 {
                            self.out.push(b',');
                        }
                        let at = self.out.len();
                        scalar(&mut self.out, id, value);
                        if session.is_some() && is_repeated(&self.out, value_start + 1, at) {
                            self.out.truncate(before);
                            continue;
                        }
                        count += 1;
                    }
                }
                self.out.push(b']');
                if count == 0 {
                    self.paths.undo(path, start, &mut self.open, &mut self.out);
                } else {
                    self.paths.count(id, count, &mut self.out);
                }
            }
            Shape::Object => {
                self.out.push(b'[');
                for (place, &(_, number)) in group.iter().enumerate() {
                    if place > 0 {
                        self.out.push(b',');
                    }
                    let inside = marks.get(usize::from(number) + 1..).unwrap_or_default();
                    self.object(inside, 1);
                }
                self.out.push(b']');
                self.paths.count(id, group.len() as u64, &mut self.out);
            }
        }
    }

    /// Writes an object of a list; `marks` begin behind its begin mark. Returns how many marks it took, its end included.
    fn object(&mut self, marks: &[Mark<'_>], depth: u8) -> usize {
        let catalogue = catalogue();
        self.members.clear();
        let (mut level, mut length) = (0_u32, marks.len());
        for (number, mark) in marks.iter().enumerate() {
            let id = match *mark {
                Mark::End if level == 0 => {
                    length = number + 1;
                    break;
                }
                Mark::End => {
                    level -= 1;
                    continue;
                }
                Mark::Begin(id) => {
                    level += 1;
                    if level > 1 {
                        continue;
                    }
                    id
                }
                Mark::Value(..) if level > 0 => continue,
                Mark::Value(id, _) => id,
            };
            if !catalogue.field(id).optional || self.all_fields {
                self.members.push((catalogue.rank(id), number.min(usize::from(u16::MAX)) as u16));
            }
        }
        let mut members: Vec<(u16, u16)> = std::mem::take(&mut self.members);
        members.sort_unstable();
        self.out.push(b'{');
        let mut first = true;
        for group in members.chunk_by(|one, other| one.0 == other.0) {
            let Some(id) = first_field(marks, group) else { continue };
            let start = self.out.len();
            if !first {
                self.out.push(b',');
            }
            self.paths.inner(id, &mut self.out);
            let shape = catalogue.field(id).shape;
            match shape {
                Shape::One | Shape::Virtual => {
                    if let Some(Mark::Value(_, value)) =
                        group.last().and_then(|&(_, number)| marks.get(usize::from(number)))
                    {
                        scalar(&mut self.out, id, value);
                    }
                }
                Shape::Set | Shape::List => {
                    let count = self.inner_values(id, shape, marks, group);
                    self.paths.inner_count(id, count, &mut self.out);
                }
                Shape::Object if depth < MOST_DEPTH => {
                    self.out.push(b'[');
                    for (place, &(_, number)) in group.iter().enumerate() {
                        if place > 0 {
                            self.out.push(b',');
                        }
                        let inside = marks.get(usize::from(number) + 1..).unwrap_or_default();
                        self.object(inside, depth + 1);
                    }
                    self.out.push(b']');
                    self.paths.inner_count(id, group.len() as u64, &mut self.out);
                }
                Shape::Object => {
                    self.out.truncate(start);
                    continue;
                }
            }
            first = false;
        }
        self.out.push(b'}');
        self.members = members;
        length
    }

    /// Values of a set or list inside an object; sets are made here.
    fn inner_values(&mut self, id: FieldId, shape: Shape, marks: &[Mark<'_>], group: &[(u16, u16)]) -> u64 {
        self.out.push(b'[');
        let start = self.out.len();
        let mut count = 0;
        for (place, &(_, number)) in group.iter().enumerate() {
            let Some(mark @ Mark::Value(_, value)) = marks.get(usize::from(number)) else { continue };
            let known = shape == Shape::Set
                && group[..place].iter().any(|&(_, other)| marks.get(usize::from(other)) == Some(mark));
            if known {
                continue;
            }
            if self.out.len() > start {
                self.out.push(b',');
            }
            scalar(&mut self.out, id, value);
            count += 1;
        }
        self.out.push(b']');
        count
    }

    /// `packetPos`, and `packetRange` behind it.
    fn packets(&mut self, session: Option<&Tracked>) {
        positions::write(&mut self.out, self.identity.file_id, &self.list);
        let Some(session) = session else { return };
        self.out.extend_from_slice(b",\"packetRange\":{\"gte\":");
        json::unsigned(&mut self.out, Timestamp(session.segment_time).milliseconds());
        self.out.extend_from_slice(b",\"lte\":");
        json::unsigned(&mut self.out, Timestamp(session.last_time).milliseconds());
        self.out.push(b'}');
    }

    /// Writes the engine's value of a field that has one. False where there is none.
    fn one(&mut self, id: FieldId, session: &Tracked) -> bool {
        let out = &mut self.out;
        let tcp = is_tcp(session).then_some(&session.tcp);
        let number = match id {
            core::FIRST_PACKET => Timestamp(session.first_time).milliseconds(),
            core::LAST_PACKET => Timestamp(session.last_time).milliseconds(),
            core::LENGTH => {
                Timestamp(session.last_time).milliseconds().saturating_sub(Timestamp(session.first_time).milliseconds())
            }
            core::IP_PROTOCOL => u64::from(session.key.protocol()),
            core::ETHERTYPE if session.ethertype != 0 && self.has_ethertypes => u64::from(session.ethertype),
            core::SOURCE_IP | core::DESTINATION_IP => {
                let Some(address) = address(session, usize::from(id == core::DESTINATION_IP)) else { return false };
                json::ip(out, address);
                return true;
            }
            core::SOURCE_PORT if session.is_ip() => u64::from(session.key.port(session.end(0))),
            core::DESTINATION_PORT if session.is_ip() => u64::from(session.key.port(session.end(1))),
            core::SOURCE_BYTES => session.bytes[0],
            core::DESTINATION_BYTES => session.bytes[1],
            core::SOURCE_PACKETS => u64::from(session.packets[0]),
            core::DESTINATION_PACKETS => u64::from(session.packets[1]),
            core::CLIENT_BYTES => session.data_bytes[0],
            core::SERVER_BYTES => session.data_bytes[1],
            core::NETWORK_PACKETS => u64::from(session.all_packets()),
            core::NETWORK_BYTES => session.bytes[0] + session.bytes[1],
            core::TOTAL_DATA_BYTES => session.data_bytes[0] + session.data_bytes[1],
            core::COMMUNITY_ID => return write_community_id(out, session),
            core::SOURCE_PAYLOAD | core::DESTINATION_PAYLOAD => {
                let side = usize::from(id == core::DESTINATION_PAYLOAD);
                let length = usize::from(session.payload_length[side]);
                if length > 0 {
                    json::hex_string(out, &session.payload[side][..length.min(8)]);
                }
                return length > 0;
            }
            core::SEGMENTS => u64::from(session.segment),
            core::ROOT_ID => {
                if session.segment > 1 {
                    self.id.clear();
                    position_text(session.root_position, &mut self.id);
                    out.push(b'"');
                    json::string_part(out, self.identity.id_prefix.as_bytes());
                    json::string_part(out, self.id.as_bytes());
                    out.push(b'"');
                }
                return session.segment > 1;
            }
            core::NODE => {
                json::string(out, self.identity.node.as_bytes());
                return true;
            }
            _ => {
                let Some(tcp) = tcp else { return false };
                let handshake = tcp.has_syn || tcp.has_syn_ack;
                match id {
                    core::INITIAL_RTT => match tcp.round_trip {
                        Some(milliseconds) => milliseconds / 2,
                        None => return false,
                    },
                    core::TCP_SEQUENCE_SOURCE if tcp.has_syn => u64::from(tcp.syn),
                    // 0 where the SYN was seen first: so do the tools that read these documents
                    core::TCP_SEQUENCE_DESTINATION if tcp.has_syn_ack => {
                        if tcp.has_syn && !tcp.syn_ack_first {
                            0
                        } else {
                            u64::from(tcp.syn_ack)
                        }
                    }
                    core::SYN_VALIDATED | core::SYN_ACK_VALIDATED if handshake => {
                        let truth = if id == core::SYN_VALIDATED { tcp.syn_validated } else { tcp.syn_ack_validated };
                        out.extend_from_slice(if truth { b"true" } else { b"false" });
                        return true;
                    }
                    core::SOURCE_ISN_COUNT if tcp.has_syn => u64::from(tcp.isn_count),
                    _ => match flag(id) {
                        Some(flag) => u64::from(tcp.flags[flag as usize]),
                        None => return false,
                    },
                }
            }
        };
        json::unsigned(out, number);
        true
    }

    /// Writes the engine's values of a set, and says how many.
    fn many(&mut self, id: FieldId, session: &Tracked, fields: &Fields) -> u64 {
        let out = &mut self.out;
        let look = &session.look;
        let mut count = 0;
        let mut number = |out: &mut Vec<u8>, number: u64| {
            if count > 0 {
                out.push(b',');
            }
            json::unsigned(out, number);
            count += 1;
        };
        match id {
            core::FILE_ID => number(out, self.identity.file_id),
            core::SOURCE_TTL | core::DESTINATION_TTL => {
                let side = usize::from(id == core::DESTINATION_TTL);
                for &ttl in look.ttls[side].iter().take(usize::from(look.ttl_count[side])) {
                    number(out, u64::from(ttl));
                }
            }
            core::VLAN | core::VLAN_DOT1Q | core::VLAN_DOT1AD => {
                let tags = look.vlans.iter().zip(look.vlan_is_ad).take(usize::from(look.vlan_count));
                for (place, (&vlan, is_ad)) in tags.enumerate() {
                    let fits = match id {
                        core::VLAN => true,
                        core::VLAN_DOT1Q => !is_ad,
                        _ => is_ad,
                    };
                    let repeated =
                        place == 1 && look.vlans[0] == vlan && (id == core::VLAN || look.vlan_is_ad[0] == is_ad);
                    if fits && !repeated {
                        number(out, u64::from(vlan));
                    }
                }
            }
            core::ICMP_TYPE if is_icmp(session) => number(out, u64::from(session.icmp[0])),
            core::ICMP_CODE if is_icmp(session) => number(out, u64::from(session.icmp[1])),
            core::SOURCE_MAC if look.has_macs => {
                json::mac(out, look.source_mac);
                count = 1;
            }
            core::DESTINATION_MAC if look.has_macs => {
                json::mac(out, look.destination_mac);
                count = 1;
            }
            core::PROTOCOL => {
                if let Some(name) = base_name(session) {
                    json::string(out, name.as_bytes());
                    count = 1;
                }
            }
            core::TRUNCATED => {
                for &field in fields.truncated() {
                    if count > 0 {
                        out.push(b',');
                    }
                    json::string(out, catalogue().field(field).path.as_bytes());
                    count += 1;
                }
            }
            _ => {}
        }
        count
    }
}

/// Tells quickly that the engine has no value of a field, so that its path need not be written and taken back.
fn lacks(id: FieldId, session: &Tracked, fields: &Fields) -> bool {
    match id {
        core::VLAN | core::VLAN_DOT1Q | core::VLAN_DOT1AD => session.look.vlan_count == 0,
        core::SOURCE_MAC | core::DESTINATION_MAC => !session.look.has_macs,
        core::ICMP_TYPE | core::ICMP_CODE => !is_icmp(session),
        core::ROOT_ID => session.segment == 1,
        core::TRUNCATED => fields.truncated().is_empty(),
        core::INITIAL_RTT
        | core::TCP_SEQUENCE_SOURCE
        | core::TCP_SEQUENCE_DESTINATION
        | core::SYN_VALIDATED
        | core::SYN_ACK_VALIDATED
        | core::SOURCE_ISN_COUNT => !is_tcp(session),
        _ => flag(id).is_some() && !is_tcp(session),
    }
}

/// The order-preserving text of a position: 16 hexadecimal digits.
fn position_text(position: u64, text: &mut String) {
    for byte in position.to_be_bytes() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

/// True where the text from `at` on stands earlier in the array that begins at `from`.
fn is_repeated(out: &[u8], from: usize, at: usize) -> bool {
    let (Some(before), Some(value)) = (out.get(from..at), out.get(at..)) else { return false };
    if before.is_empty() {
        return false;
    }
    // engine's values are MAC addresses, numbers and names: no comma within
    before.split(|&byte| byte == b',').any(|other| other == value)
}

fn first_field(marks: &[Mark<'_>], group: &[(u16, u16)]) -> Option<FieldId> {
    match marks.get(usize::from(group.first()?.1))? {
        Mark::Value(id, _) | Mark::Begin(id) => Some(*id),
        Mark::End => None,
    }
}

fn scalar(out: &mut Vec<u8>, id: FieldId, value: &Value<'_>) {
    match *value {
        Value::Text(text) => json::string(out, text),
        Value::Ip(address) => json::ip(out, address),
        Value::Integer(number) if catalogue().field(id).kind == skycap_model::Kind::Boolean => {
            out.extend_from_slice(if number != 0 { b"true" } else { b"false" });
        }
        Value::Integer(number) => json::signed(out, number),
    }
}

/// Address of the source (0) or destination (1).
pub(crate) fn address(session: &Tracked, direction: usize) -> Option<IpAddr> {
    let bytes = session.key.address(session.end(direction));
    match session.key.ip_version() {
        4 => Some(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into()),
        6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn is_tcp(session: &Tracked) -> bool {
    session.layer == Layer::Ports && session.key.protocol() == TCP
}

fn is_icmp(session: &Tracked) -> bool {
    session.layer == Layer::Ip && matches!(session.key.protocol(), ICMP | ICMP6)
}

/// Name of what the engine itself knows.
fn base_name(session: &Tracked) -> Option<&'static str> {
    match (session.layer, session.key.protocol()) {
        (Layer::Ports, TCP) => Some("tcp"),
        (Layer::Ports, UDP) => Some("udp"),
        (Layer::Ports, SCTP) => Some("sctp"),
        (Layer::Ip, ICMP | ICMP6) => Some("icmp"),
        (Layer::Ether, _) if session.ethertype == 0x0806 => Some("arp"),
        _ => None,
    }
}

fn write_community_id(out: &mut Vec<u8>, session: &Tracked) -> bool {
    let icmp = is_icmp(session);
    if !icmp && session.layer != Layer::Ports {
        return false;
    }
    let skip = if session.key.ip_version() == 4 { 12 } else { 0 };
    let source = session.key.address(session.end(0));
    let destination = session.key.address(session.end(1));
    let (source_port, destination_port) = if icmp {
        (u16::from(session.icmp[0]), u16::from(session.icmp[1]))
    } else {
        (session.key.port(session.end(0)), session.key.port(session.end(1)))
    };
    out.push(b'"');
    let ends = community_id::Ends {
        source: &source[skip..],
        destination: &destination[skip..],
        source_port,
        destination_port,
        protocol: session.key.protocol(),
    };
    community_id::write(out, &ends);
    out.push(b'"');
    true
}

fn flag(id: FieldId) -> Option<Flag> {
    Some(match id {
        core::FLAGS_SYN => Flag::Syn,
        core::FLAGS_SYN_ACK => Flag::SynAck,
        core::FLAGS_ACK => Flag::Ack,
        core::FLAGS_PSH => Flag::Psh,
        core::FLAGS_FIN => Flag::Fin,
        core::FLAGS_RST => Flag::Rst,
        core::FLAGS_URG => Flag::Urg,
        core::FLAGS_ECE => Flag::Ece,
        core::FLAGS_CWR => Flag::Cwr,
        core::FLAGS_AE => Flag::Ae,
        core::FLAGS_SOURCE_ZERO => Flag::SourceZero,
        core::FLAGS_DESTINATION_ZERO => Flag::DestinationZero,
        _ => return None,
    })
}
