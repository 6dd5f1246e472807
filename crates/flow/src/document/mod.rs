//! The session document: JSON bytes in catalogue order, through one buffer that is used again.

mod values;

use skycap_model::{FieldId, Shape, Timestamp, core_fields as core};
use skycap_protocols::{Fields, Spot, Value, catalogue, traits};

pub(crate) use values::address;

use values::{is_tcp, is_tcp_only, lacks};

use crate::{
    json,
    paths::Paths,
    positions::{self, Pool},
    session::Tracked,
    settings::ObjectIdentity,
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
    /// The link type says what a frame holds; else the type was derived and is no news.
    has_ethertypes: bool,
    paths: Paths,
    /// Ranks of all fields, and whether they are left out.
    plans: Vec<Plan>,
    /// The engine's rows with their ranks, in catalogue order: those that all sessions may have, and those of TCP.
    rows: [Vec<(u16, FieldId)>; 2],
    out: Vec<u8>,
    id: String,
    list: Vec<u64>,
    /// Top-level entries of the fields.
    order: Vec<Ranked>,
    /// Entries of the object that is being written: memory that is used again.
    members: Vec<Ranked>,
    /// Entries of the document that is being written.
    marks: Vec<Spot>,
    /// The innermost object open in `out`, as path prefix.
    open: u16,
}

/// What of a field decides its place in a document.
#[derive(Clone, Copy)]
struct Plan {
    rank: u16,
    is_left_out: bool,
    in_object: bool,
}

/// An entry with the rank of its field: rank above, number below, so that the order is that of numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked(u32);

impl Ranked {
    fn new(rank: u16, number: usize) -> Self {
        Self(u32::from(rank) << 16 | number.min(usize::from(u16::MAX)) as u32)
    }

    fn rank(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn number(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }
}

/// Most nested lists of objects in a document.
const MOST_DEPTH: u8 = 4;

impl Writer {
    pub(crate) fn new(identity: ObjectIdentity, all_fields: bool, has_ethertypes: bool) -> Self {
        let mut rows: Vec<(u16, FieldId)> = ROWS.iter().map(|&id| (catalogue().rank(id), id)).collect();
        rows.sort_unstable();
        let mut common = rows.clone();
        common.retain(|&(_, id)| !is_tcp_only(id));
        let plan = |number: usize| {
            let id = FieldId(number as u16);
            let traits = traits(id);
            let is_left_out = traits.optional && !all_fields;
            Plan { rank: catalogue().rank(id), is_left_out, in_object: traits.in_object }
        };
        Self {
            identity,
            has_ethertypes,
            paths: Paths::new(catalogue()),
            plans: (0..catalogue().fields().len()).map(plan).collect(),
            rows: [common, rows],
            out: Vec::with_capacity(8 << 10),
            id: String::new(),
            list: Vec::new(),
            order: Vec::new(),
            members: Vec::new(),
            marks: Vec::new(),
            open: 0,
        }
    }

    /// Writes a session's document.
    pub(crate) fn write(&mut self, session: &Tracked, pool: &Pool) -> SessionDocument<'_> {
        self.out.clear();
        self.open = 0;
        self.order.clear();
        session.positions.list(pool, &mut self.list);
        let none = Fields::default();
        let fields = session.fields.as_deref().unwrap_or(&none);
        let mut marks = std::mem::take(&mut self.marks);
        fields.spots(&mut marks);
        self.sort(&marks);
        let order = std::mem::take(&mut self.order);
        let all_rows = std::mem::take(&mut self.rows);
        let rows = &all_rows[usize::from(is_tcp(session))];
        self.out.push(b'{');
        let (mut row, mut entry) = (0, 0);
        loop {
            let next_row = rows.get(row).map(|&(rank, _)| rank);
            let next_entry = order.get(entry).map(|ranked| ranked.rank());
            let rank = match (next_row, next_entry) {
                (None, None) => break,
                (Some(one), Some(other)) => one.min(other),
                (Some(one), None) | (None, Some(one)) => one,
            };
            let group = order.get(entry..).unwrap_or_default();
            let group = if next_entry == Some(rank) {
                &group[..group.iter().take_while(|other| other.rank() == rank).count()]
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
        self.paths.close(&mut self.open, &mut self.out);
        self.out.push(b'}');
        self.order = order;
        self.rows = all_rows;
        self.marks = marks;
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
    fn sort(&mut self, marks: &[Spot]) {
        let mut depth = 0_u32;
        for (number, mark) in marks.iter().enumerate() {
            let id = if let Some(id) = mark.value() {
                if depth > 0 {
                    continue;
                }
                // a field of objects has no place outside of them
                if self.plans.get(usize::from(id.0)).is_none_or(|plan| plan.in_object) {
                    continue;
                }
                id
            } else if let Some(id) = mark.begin() {
                depth += 1;
                if depth > 1 {
                    continue;
                }
                id
            } else {
                depth = depth.saturating_sub(1);
                continue;
            };
            if let Some(plan) = self.plans.get(usize::from(id.0)).filter(|plan| !plan.is_left_out) {
                self.order.push(Ranked::new(plan.rank, number));
            }
        }
        self.order.sort_unstable();
    }

    /// Writes one member of the document: the engine's values of it, then those of the group.
    fn member(&mut self, id: FieldId, session: Option<&Tracked>, fields: &Fields, marks: &[Spot], group: &[Ranked]) {
        let start = self.out.len();
        let path = self.paths.enter(id, &mut self.open, &mut self.out);
        let value_start = self.out.len();
        match traits(id).shape {
            Shape::Virtual => {}
            Shape::One => {
                let mut written = session.is_some_and(|session| self.one(id, session));
                if !written && let Some(value) = group.last().and_then(|last| value_of(fields, marks, *last)) {
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
                for &ranked in group {
                    if let Some(value) = value_of(fields, marks, ranked) {
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
                for (place, ranked) in group.iter().enumerate() {
                    if place > 0 {
                        self.out.push(b',');
                    }
                    let inside = marks.get(ranked.number() + 1..).unwrap_or_default();
                    self.object(fields, inside, 1);
                }
                self.out.push(b']');
                self.paths.count(id, group.len() as u64, &mut self.out);
            }
        }
    }

    /// Writes an object of a list; `marks` begin behind its begin mark.
    fn object(&mut self, fields: &Fields, marks: &[Spot], depth: u8) {
        self.members.clear();
        let mut level = 0_u32;
        for (number, mark) in marks.iter().enumerate() {
            let id = if let Some(id) = mark.value() {
                if level > 0 {
                    continue;
                }
                id
            } else if let Some(id) = mark.begin() {
                level += 1;
                if level > 1 {
                    continue;
                }
                id
            } else if level == 0 {
                break;
            } else {
                level -= 1;
                continue;
            };
            if let Some(plan) = self.plans.get(usize::from(id.0)).filter(|plan| !plan.is_left_out) {
                self.members.push(Ranked::new(plan.rank, number));
            }
        }
        let mut members = std::mem::take(&mut self.members);
        members.sort_unstable();
        self.out.push(b'{');
        let mut first = true;
        for group in members.chunk_by(|one, other| one.rank() == other.rank()) {
            let Some(id) = first_field(marks, group) else { continue };
            let start = self.out.len();
            if !first {
                self.out.push(b',');
            }
            self.paths.inner(id, &mut self.out);
            let shape = traits(id).shape;
            match shape {
                Shape::One | Shape::Virtual => {
                    if let Some(value) = group.last().and_then(|last| value_of(fields, marks, *last)) {
                        scalar(&mut self.out, id, value);
                    }
                }
                Shape::Set | Shape::List => {
                    let count = self.inner_values((id, shape), fields, marks, group);
                    self.paths.inner_count(id, count, &mut self.out);
                }
                Shape::Object if depth < MOST_DEPTH => {
                    self.out.push(b'[');
                    for (place, ranked) in group.iter().enumerate() {
                        if place > 0 {
                            self.out.push(b',');
                        }
                        let inside = marks.get(ranked.number() + 1..).unwrap_or_default();
                        self.object(fields, inside, depth + 1);
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
    }

    /// Values of a set or list inside an object; sets are made here.
    fn inner_values(
        &mut self,
        (id, shape): (FieldId, Shape),
        fields: &Fields,
        marks: &[Spot],
        group: &[Ranked],
    ) -> u64 {
        self.out.push(b'[');
        let start = self.out.len();
        let mut count = 0;
        for (place, &ranked) in group.iter().enumerate() {
            let Some(value) = value_of(fields, marks, ranked) else { continue };
            let known = shape == Shape::Set
                && group[..place].iter().any(|&other| value_of(fields, marks, other).as_ref() == Some(&value));
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
}

/// The order-preserving text of a position: 16 hexadecimal digits.
fn position_text(position: u64, text: &mut String) {
    let digits: [u8; 16] = skycap_protocols::digest::hex(position.to_be_bytes());
    text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
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

fn first_field(marks: &[Spot], group: &[Ranked]) -> Option<FieldId> {
    let spot = marks.get(group.first()?.number())?;
    spot.value().or_else(|| spot.begin())
}

#[inline]
fn value_of<'a>(fields: &'a Fields, marks: &[Spot], ranked: Ranked) -> Option<Value<'a>> {
    fields.value_at(*marks.get(ranked.number())?)
}

#[inline]
fn scalar(out: &mut Vec<u8>, id: FieldId, value: Value<'_>) {
    match value {
        Value::Text(text) => json::string(out, text),
        Value::Ip(address) => json::ip(out, address),
        Value::Integer(number) if traits(id).kind == skycap_model::Kind::Boolean => {
            out.extend_from_slice(if number != 0 { b"true" } else { b"false" });
        }
        Value::Integer(number) => json::signed(out, number),
    }
}
