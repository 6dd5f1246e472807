//! The dissecting thread: bytes of an object in, bulks of documents out, both by bounded queues.

use std::collections::BTreeMap;

use bytes::Bytes;
use skycap_flow::{Dissector, ObjectIdentity, SessionDocument, Settings};
use skycap_model::PartId;
use skycap_packet::{
    Position,
    object::{Event, ObjectReader},
    record::packets,
};
use skycap_store::NewSession;
use tokio::sync::mpsc;

use crate::identity::index_of;

/// Documents of one bulk.
const BULK_DOCUMENTS: usize = 1_000;
/// Bytes of one bulk, about.
const BULK_BYTES: usize = 4 << 20;
/// Most bytes that an object may have after decompression: far beyond what packets compress to.
const MAX_DECOMPRESSED_BYTES: u64 = 256 << 30;
/// Places of damage that are named; all are counted.
const MAX_NAMED_DAMAGE: usize = 20;

/// What reading an object found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) link_type: Option<u32>,
    pub(crate) packets: u64,
    pub(crate) captured_bytes: u64,
    pub(crate) first_ms: Option<u64>,
    pub(crate) last_ms: Option<u64>,
    pub(crate) sessions: u64,
    pub(crate) parts: Vec<PartId>,
    /// Packets or bytes that no session has, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Where the object is damaged, and how; at most [`MAX_NAMED_DAMAGE`] places.
    pub(crate) damage: Vec<String>,
    pub(crate) indices: Vec<String>,
}

impl Findings {
    fn damaged(&mut self, reason: &str, bytes: u64, text: String) {
        *self.refused.entry(format!("{reason} bytes")).or_default() += bytes;
        if self.damage.len() < MAX_NAMED_DAMAGE {
            self.damage.push(text);
        }
    }
}

/// Reads pieces until they end, and sends bulks. Ends early where nobody takes them any more.
pub(crate) fn run(
    mut pieces: mpsc::Receiver<Bytes>,
    bulks: &mpsc::Sender<Vec<NewSession>>,
    settings: &Settings,
    identity: &ObjectIdentity,
    last_modified_ms: u64,
) -> Result<Findings, String> {
    let mut reader = ObjectReader::new(None).map_err(|error| error.to_string())?;
    let mut state = State { findings: Findings::default(), bulk: Vec::new(), bulk_bytes: 0, bulks, last_modified_ms, open: true };
    let mut dissector = None;
    loop {
        let piece = pieces.blocking_recv();
        match &piece {
            Some(piece) => reader.push(piece),
            None => reader.finish(),
        }
        while let Some(event) = reader.next_event() {
            match event {
                Event::Prologue(header) => state.findings.link_type = Some(header.link_type),
                Event::Part { record, .. } => {
                    state.findings.link_type = Some(record.link_type);
                    state.findings.parts.push(record.id());
                }
                Event::Block { offset, bytes, .. } => {
                    let link_type = state.findings.link_type.unwrap_or(skycap_packet::link::ETHERNET);
                    let dissector =
                        dissector.get_or_insert_with(|| Dissector::new(settings.clone(), identity.clone(), link_type));
                    state.block(dissector, offset, bytes);
                }
                Event::Damage { offset, bytes, reason } => {
                    state.findings.damaged("damaged", bytes, format!("{bytes} bytes at offset {offset}: {reason}"));
                }
                Event::Cut { offset, bytes } => {
                    state.findings.damaged("cut", bytes, format!("cut short at offset {offset}, where {bytes} bytes of a frame are left"));
                }
                Event::PartEnd(_) | Event::Record { .. } | Event::Unknown { .. } | Event::SeekTable { .. } => {}
            }
            if !state.open {
                return Err("the store takes no more documents".to_owned());
            }
        }
        if reader.decompressed_bytes() > MAX_DECOMPRESSED_BYTES {
            return Err(format!("the object has more than {MAX_DECOMPRESSED_BYTES} bytes after decompression"));
        }
        if piece.is_none() {
            break;
        }
    }
    if let Some(dissector) = dissector {
        let totals = dissector.finish(&mut |document| state.document(&document));
        state.findings.sessions = totals.sessions;
    }
    state.send();
    state.findings.indices.sort();
    if state.open { Ok(state.findings) } else { Err("the store takes no more documents".to_owned()) }
}

struct State<'a> {
    findings: Findings,
    bulk: Vec<NewSession>,
    bulk_bytes: usize,
    bulks: &'a mpsc::Sender<Vec<NewSession>>,
    last_modified_ms: u64,
    open: bool,
}

impl State<'_> {
    fn block(&mut self, dissector: &mut Dissector, offset: u64, bytes: &[u8]) {
        let mut malformed = None;
        let mut seen = (0_u64, 0_u64, self.findings.first_ms, self.findings.last_ms);
        let records = packets(bytes).map_while(|record| match record {
            Ok((place, packet)) => {
                let milliseconds = packet.time.milliseconds();
                seen.0 += 1;
                seen.1 += packet.data.len() as u64;
                seen.2 = Some(seen.2.map_or(milliseconds, |first| first.min(milliseconds)));
                seen.3 = Some(seen.3.map_or(milliseconds, |last| last.max(milliseconds)));
                Some((Position::new(offset, place).0, packet))
            }
            Err(error) => {
                malformed = Some(error);
                None
            }
        });
        dissector.packets(records, &mut |document| self.document(&document));
        self.findings.packets += seen.0;
        self.findings.captured_bytes += seen.1;
        (self.findings.first_ms, self.findings.last_ms) = (seen.2, seen.3);
        if let Some(error) = malformed {
            self.findings.damaged("malformed", u64::from(error.left), format!("block at offset {offset}: {error}"));
        }
    }

    fn document(&mut self, document: &SessionDocument<'_>) {
        let index = index_of(document.last_packet, self.last_modified_ms);
        if !self.findings.indices.contains(&index) {
            self.findings.indices.push(index.clone());
        }
        self.bulk_bytes += document.json.len();
        self.bulk.push(NewSession { index, id: document.id.to_owned(), json: document.json.to_vec() });
        if self.bulk.len() >= BULK_DOCUMENTS || self.bulk_bytes >= BULK_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        self.bulk_bytes = 0;
        let bulk = std::mem::take(&mut self.bulk);
        if !bulk.is_empty() {
            self.open &= self.bulks.blocking_send(bulk).is_ok();
        }
    }
}
