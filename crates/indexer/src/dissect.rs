//! The dissecting threads: bytes of an object in, bulks of documents out, both by bounded queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use skycap_flow::{ObjectIdentity, SessionDocument, Settings};
use skycap_model::PartId;
use skycap_packet::{
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
    pub(crate) indices: BTreeSet<String>,
}

impl Findings {
    fn damaged(&mut self, reason: &str, bytes: u64, text: String) {
        *self.refused.entry(format!("{reason} bytes")).or_default() += bytes;
        if self.damage.len() < MAX_NAMED_DAMAGE {
            self.damage.push(text);
        }
    }

    /// Counts the packets of a block.
    fn block(&mut self, offset: u64, bytes: &[u8]) {
        for record in packets(bytes) {
            match record {
                Ok((_, packet)) => {
                    let milliseconds = packet.time.milliseconds();
                    self.packets += 1;
                    self.captured_bytes += packet.data.len() as u64;
                    self.first_ms = Some(self.first_ms.map_or(milliseconds, |first| first.min(milliseconds)));
                    self.last_ms = Some(self.last_ms.map_or(milliseconds, |last| last.max(milliseconds)));
                }
                Err(error) => {
                    self.damaged("malformed", u64::from(error.left), format!("block at offset {offset}: {error}"));
                }
            }
        }
    }
}

/// What the dissecting threads are told.
pub(crate) struct Task {
    pub(crate) settings: Settings,
    pub(crate) identity: ObjectIdentity,
    pub(crate) threads: NonZeroUsize,
    pub(crate) last_modified_ms: u64,
}

/// Reads pieces until they end, and sends bulks. Ends early where nobody takes them any more.
pub(crate) fn run(
    pieces: mpsc::Receiver<Bytes>,
    bulks: &mpsc::Sender<Vec<NewSession>>,
    task: &Task,
) -> Result<Findings, String> {
    let reader = ObjectReader::new(None).map_err(|error| error.to_string())?;
    let open = AtomicBool::new(true);
    let mut blocks = Blocks { pieces, reader, findings: Findings::default(), ended: false, failure: None, open: &open };
    let indices = Mutex::new(BTreeSet::new());
    let first = blocks.next();
    let link_type = blocks.findings.link_type.unwrap_or(skycap_packet::link::ETHERNET);
    if let Some(first) = first {
        let outlet = |_| {
            let mut outlet = Outlet {
                bulk: Vec::new(),
                bytes: 0,
                indices: BTreeSet::new(),
                bulks,
                shared: &indices,
                open: &open,
                last_modified_ms: task.last_modified_ms,
            };
            move |document: SessionDocument<'_>| outlet.document(&document)
        };
        let all = std::iter::once(first).chain(&mut blocks);
        let totals =
            skycap_flow::parallel::dissect(&task.settings, &task.identity, link_type, task.threads, all, outlet);
        blocks.findings.sessions = totals.sessions;
    }
    if let Some(failure) = blocks.failure {
        return Err(failure);
    }
    if !open.load(Ordering::Relaxed) {
        return Err("the store takes no more documents".to_owned());
    }
    let mut findings = blocks.findings;
    findings.indices = indices.into_inner().unwrap_or_default();
    Ok(findings)
}

/// The blocks of the object, as its pieces come in.
struct Blocks<'a> {
    pieces: mpsc::Receiver<Bytes>,
    reader: ObjectReader,
    findings: Findings,
    ended: bool,
    failure: Option<String>,
    open: &'a AtomicBool,
}

impl Iterator for Blocks<'_> {
    type Item = (u64, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(event) = self.reader.next_event() {
                match event {
                    Event::Prologue(header) => self.findings.link_type = Some(header.link_type),
                    Event::Part { record, .. } => {
                        self.findings.link_type = Some(record.link_type);
                        self.findings.parts.push(record.id());
                    }
                    Event::Block { offset, bytes, .. } => {
                        self.findings.block(offset, bytes);
                        return Some((offset, bytes.to_vec()));
                    }
                    Event::Damage { offset, bytes, reason } => {
                        let text = format!("{bytes} bytes at offset {offset}: {reason}");
                        self.findings.damaged("damaged", bytes, text);
                    }
                    Event::Cut { offset, bytes } => {
                        let text = format!("cut short at offset {offset}, where {bytes} bytes of a frame are left");
                        self.findings.damaged("cut", bytes, text);
                    }
                    Event::PartEnd(_) | Event::Record { .. } | Event::Unknown { .. } | Event::SeekTable { .. } => {}
                }
            }
            if self.ended || !self.open.load(Ordering::Relaxed) {
                return None;
            }
            if self.reader.decompressed_bytes() > MAX_DECOMPRESSED_BYTES {
                let text = format!("the object has more than {MAX_DECOMPRESSED_BYTES} bytes after decompression");
                self.failure = Some(text);
                return None;
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.reader.push(&piece),
                None => {
                    self.reader.finish();
                    self.ended = true;
                }
            }
        }
    }
}

/// Where one thread's documents go: into bulks. What is left is sent when the thread lets go of it.
struct Outlet<'a> {
    bulk: Vec<NewSession>,
    bytes: usize,
    indices: BTreeSet<String>,
    bulks: &'a mpsc::Sender<Vec<NewSession>>,
    shared: &'a Mutex<BTreeSet<String>>,
    open: &'a AtomicBool,
    last_modified_ms: u64,
}

impl Outlet<'_> {
    fn document(&mut self, document: &SessionDocument<'_>) {
        let index = index_of(document.last_packet, self.last_modified_ms);
        if !self.indices.contains(&index) {
            self.indices.insert(index.clone());
        }
        self.bytes += document.json.len();
        self.bulk.push(NewSession { index, id: document.id.to_owned(), json: document.json.to_vec() });
        if self.bulk.len() >= BULK_DOCUMENTS || self.bytes >= BULK_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        self.bytes = 0;
        let bulk = std::mem::take(&mut self.bulk);
        if !bulk.is_empty() && self.open.load(Ordering::Relaxed) && self.bulks.blocking_send(bulk).is_err() {
            self.open.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Outlet<'_> {
    fn drop(&mut self) {
        self.send();
        if let Ok(mut shared) = self.shared.lock() {
            shared.append(&mut self.indices);
        }
    }
}
