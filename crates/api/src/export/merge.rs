//! Objects opened in order of time, their packets merged by time.

use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque};

use bytes::{Bytes, BytesMut};
use skycap_model::{FilesDocument, MAX_PACKET_BYTES, core_fields};
use skycap_query::{Expression, FileKey, Predicate};
use skycap_store::{Search, Sort, SortOrder};
use tokio::sync::mpsc;

use super::{Exporter, MAX_OPEN_OBJECTS, ranges::ObjectPackets};
use crate::{rows::at_path, sessions::SESSIONS_PER_READ};

/// Bytes gathered before they are handed to the client.
const CHUNK_BYTES: usize = 256 << 10;

/// One open object: its next packet and where the others come from.
struct Open {
    packets: ObjectPackets,
    next: VecDeque<(u64, Bytes)>,
}

/// Writes the file header and all packets to `sender`; the error is the sentence that the client's answer ends with.
pub(super) async fn run(
    exporter: Exporter,
    expression: Expression,
    files: Vec<FilesDocument>,
    link_type: u32,
    sender: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<(), String> {
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    chunk.extend_from_slice(&file_header(link_type));
    let mut waiting: VecDeque<FilesDocument> = files.into();
    let mut open: Vec<Option<Open>> = Vec::new();
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    loop {
        // an object joins as soon as its first packet may be the next one
        while let Some(file) = waiting.front() {
            let due = file.first_timestamp.unwrap_or(0).saturating_mul(1_000_000);
            let earliest = heap.peek().map(|Reverse((time, _))| *time);
            if heap.len() >= MAX_OPEN_OBJECTS || earliest.is_some_and(|time| due > time) {
                break;
            }
            let Some(file) = waiting.pop_front() else { break };
            let positions = positions_of(&exporter, &expression, &file).await?;
            let packets = ObjectPackets::open(exporter.objects.clone(), file, positions).await?;
            let mut object = Open { packets, next: VecDeque::new() };
            if let Some(time) = refill(&mut object).await? {
                heap.push(Reverse((time, open.len())));
                open.push(Some(object));
            }
        }
        let Some(Reverse((_, place))) = heap.pop() else {
            if waiting.is_empty() {
                break;
            }
            continue;
        };
        let Some(object) = open.get_mut(place).and_then(Option::as_mut) else { continue };
        if let Some((_, record)) = object.next.pop_front() {
            chunk.extend_from_slice(&record);
        }
        match refill(object).await? {
            Some(time) => heap.push(Reverse((time, place))),
            None => open[place] = None,
        }
        if chunk.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut chunk, BytesMut::with_capacity(CHUNK_BYTES)).freeze();
            if sender.send(Ok(full)).await.is_err() {
                return Ok(()); // the client went away
            }
        }
    }
    let _ = sender.send(Ok(chunk.freeze())).await;
    Ok(())
}

/// Time of the object's next packet, fetching more where there is none at hand.
async fn refill(object: &mut Open) -> Result<Option<u64>, String> {
    while object.next.is_empty() {
        match object.packets.next().await? {
            Some(records) => object.next.extend(records),
            None => return Ok(None),
        }
    }
    Ok(object.next.front().map(|(time, _)| *time))
}

/// Positions of the packets of matching sessions in one object, ascending, each once.
async fn positions_of(exporter: &Exporter, expression: &Expression, file: &FilesDocument) -> Result<Vec<u64>, String> {
    let sort = vec![Sort { field: core_fields::FIRST_PACKET, order: SortOrder::Ascending }];
    let expression = Expression::And(vec![expression.clone(), of_file(file)?]);
    let mut positions = Vec::new();
    let mut after = None;
    loop {
        let search = Search {
            expression: expression.clone(),
            sort: sort.clone(),
            from: 0,
            after: after.take(),
            size: SESSIONS_PER_READ,
        };
        let page = exporter.sessions.search(&exporter.scope, &search).await.map_err(|error| error.to_string())?;
        for session in &page.sessions {
            decode_positions(&session.document, file.num, &mut positions)
                .ok_or_else(|| format!("session {} has a packetPos that can't be read", session.id))?;
        }
        match page.sessions.last() {
            Some(last) if page.sessions.len() == SESSIONS_PER_READ => after = Some(last.after.clone()),
            _ => break,
        }
    }
    positions.sort_unstable();
    positions.dedup();
    Ok(positions)
}

/// The term "packets of this object": a files predicate, as `file ==` resolves to.
fn of_file(file: &FilesDocument) -> Result<Expression, String> {
    let context = skycap_query::Context { now: skycap_model::Timestamp::default(), timezone: jiff::tz::TimeZone::UTC };
    let any = skycap_query::parse("file == any", skycap_protocols::catalogue(), &context)
        .map_err(|error| error.to_string())?;
    let key = FileKey { node: file.node.clone(), file_id: i64::try_from(file.num).unwrap_or(i64::MAX) };
    let resolved = any.map_files(&mut |_| vec![key.clone()]);
    debug_assert!(
        matches!(&resolved, Expression::Term(term) if matches!(term.alternatives[0].predicate, Predicate::Files(_)))
    );
    Ok(resolved)
}

/// Undoes the gap encoding (`gap0`) of `packetPos`: a negative number names the object, the first position after it is
/// absolute, the others are differences, and 0 repeats the difference before.
fn decode_positions(document: &serde_json::Value, file_id: u64, to: &mut Vec<u64>) -> Option<()> {
    let (mut last, mut gap, mut ours) = (0_i64, 0_i64, false);
    for value in at_path(document, "packetPos") {
        let number = value.as_i64()?;
        if number < 0 {
            ours = number.unsigned_abs() == file_id;
            (last, gap) = (0, 0);
            continue;
        }
        if number > 0 {
            gap = number;
        }
        last = last.checked_add(gap)?;
        if ours {
            to.push(u64::try_from(last).ok()?);
        }
    }
    Some(())
}

/// The libpcap file header: nanosecond magic, version 2.4.
fn file_header(link_type: u32) -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xA1B2_3C4D_u32.to_le_bytes());
    header[4..6].copy_from_slice(&2_u16.to_le_bytes());
    header[6..8].copy_from_slice(&4_u16.to_le_bytes());
    header[16..20].copy_from_slice(&(MAX_PACKET_BYTES as u32).to_le_bytes());
    header[20..].copy_from_slice(&link_type.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps() {
        let document = serde_json::json!({ "packetPos": [-7, 100, 50, 0, 0, 20, -8, 5, -7, 1000] });
        let mut positions = Vec::new();
        decode_positions(&document, 7, &mut positions).unwrap();
        assert_eq!(positions, [100, 150, 200, 250, 270, 1000]);
    }
}
