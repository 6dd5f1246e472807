//! `skycap dissect`: session documents of a capture file, a line each, without any server.

use std::{
    collections::HashMap,
    io::{BufWriter, Read, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use skycap_flow::{Dissector, ObjectIdentity, SessionDocument, Settings};
use skycap_packet::{
    Position,
    object::{Event, ObjectReader},
    record::packets,
};
use skycap_protocols::Options;
use skycap_sensor::{Input, Source, read_batches};

use super::{DAMAGED, INPUT_LIMIT_BYTES};
use crate::arguments::Dissect;

/// Bytes of documents gathered before they are written.
const OUTPUT_BYTES: usize = 1 << 20;
/// Bytes of an object read at a time.
const READ_BYTES: usize = 1 << 20;

pub(crate) fn run(command: &Dissect) -> Result<ExitCode> {
    let source = match Source::of_arguments(std::slice::from_ref(&command.capture))?.as_slice() {
        [source] => source.clone(),
        _ => anyhow::bail!("{}: dissect takes one capture", command.capture.display()),
    };
    let options = Options { all_fields: command.all_fields, body_sha256: command.all_fields, ..Options::default() };
    let settings = Settings { options, ..Settings::default() };
    let name = source.name();
    let identity = ObjectIdentity {
        node: command.node.clone(),
        file_id: skycap_indexer::file_id("local", &name, "", 0),
        id_prefix: skycap_indexer::id_prefix("local", &name, ""),
    };
    let mut output =
        Output { out: BufWriter::with_capacity(OUTPUT_BYTES, std::io::stdout()), ids: command.ids, failed: None };
    let damage = if is_capture_object(&source) {
        object(&source, &settings, &identity, &mut output)?
    } else {
        capture(&source, &settings, &identity, &mut output)?
    };
    output.finish()?;
    for damage in &damage {
        eprintln!("skycap: {name}: {damage}");
    }
    Ok(if damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

struct Output {
    out: BufWriter<std::io::Stdout>,
    ids: bool,
    failed: Option<std::io::Error>,
}

impl Output {
    /// A line: the document; where asked for, with its `_id` before its first member.
    fn document(&mut self, document: &SessionDocument<'_>) {
        if self.failed.is_some() {
            return;
        }
        let mut write = || {
            let mut json = document.json;
            if self.ids {
                write!(self.out, "{{\"_id\":\"{}\",", document.id)?;
                json = json.get(1..).unwrap_or_default();
            }
            self.out.write_all(json)?;
            self.out.write_all(b"\n")
        };
        self.failed = write().err();
    }

    fn finish(mut self) -> Result<()> {
        match self.failed.take() {
            Some(error) => Err(error).context("writing to standard output"),
            None => self.out.flush().context("writing to standard output"),
        }
    }
}

/// Positions in a foreign capture: the record's offset in the file, as if the file were made of blocks of a mebibyte.
fn position(offset: u64) -> u64 {
    (offset >> 20 << 40) | (offset & 0xF_FFFF)
}

/// A plain capture, of any link types; each has its own sessions, as each would have its own objects.
fn capture(
    source: &Source,
    settings: &Settings,
    identity: &ObjectIdentity,
    output: &mut Output,
) -> Result<Vec<String>> {
    let mut input = Input::open(source, INPUT_LIMIT_BYTES, Arc::default())?;
    let mut dissectors: HashMap<u32, Dissector> = HashMap::new();
    let finished = read_batches(&mut input, |batch| {
        let link_type = batch.link_type();
        let dissector = dissectors
            .entry(link_type)
            .or_insert_with(|| Dissector::new(settings.clone(), identity.clone(), link_type));
        let packets = batch.map(|(offset, packet)| (position(offset), packet));
        dissector.packets(packets, &mut |document| output.document(&document));
        match output.failed.take() {
            Some(error) => Err(error).context("writing to standard output"),
            None => Ok(()),
        }
    })?;
    let mut dissectors: Vec<_> = dissectors.into_iter().collect();
    dissectors.sort_unstable_by_key(|(link_type, _)| *link_type);
    for (_, dissector) in dissectors {
        dissector.finish(&mut |document| output.document(&document));
    }
    let mut damage = Vec::new();
    if let Some(text) = finished.damage {
        let left = finished.refused_bytes;
        damage.push(if left > 0 { format!("{text}; {left} bytes left out") } else { text });
    }
    Ok(damage)
}

/// True for a file that begins as a capture object does: a prologue, then a part record.
fn is_capture_object(source: &Source) -> bool {
    let Source::File(path) = source else { return false };
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    let mut begin = Vec::new();
    if Read::by_ref(&mut file).take(READ_BYTES as u64).read_to_end(&mut begin).is_err() {
        return false;
    }
    let Ok(mut reader) = ObjectReader::new(None) else { return false };
    reader.push(&begin);
    let prologue = matches!(reader.next_event(), Some(Event::Prologue(_)));
    prologue && matches!(reader.next_event(), Some(Event::Part { .. }))
}

/// A capture object; positions are those stored.
fn object(source: &Source, settings: &Settings, identity: &ObjectIdentity, output: &mut Output) -> Result<Vec<String>> {
    let Source::File(path) = source else { return Ok(Vec::new()) };
    let mut file = std::fs::File::open(path).with_context(|| source.name())?;
    let mut reader = ObjectReader::new(None)?;
    let mut dissector = None;
    let mut damage = Vec::new();
    let mut link_type = skycap_packet::link::ETHERNET;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut piece).with_context(|| source.name())?;
        match piece.get(..read) {
            Some(bytes) if read > 0 => reader.push(bytes),
            _ => reader.finish(),
        }
        while let Some(event) = reader.next_event() {
            match event {
                Event::Prologue(header) => link_type = header.link_type,
                Event::Part { record, .. } => link_type = record.link_type,
                Event::Block { offset, bytes, .. } => {
                    let dissector =
                        dissector.get_or_insert_with(|| Dissector::new(settings.clone(), identity.clone(), link_type));
                    let records = packets(bytes).map_while(|record| match record {
                        Ok((place, packet)) => Some((Position::new(offset, place).0, packet)),
                        Err(error) => {
                            damage.push(format!("block at offset {offset}: {error}"));
                            None
                        }
                    });
                    dissector.packets(records, &mut |document| output.document(&document));
                }
                Event::Damage { offset, bytes, reason } => {
                    damage.push(format!("{bytes} bytes at offset {offset}: {reason}"));
                }
                Event::Cut { offset, .. } => damage.push(format!("cut short at offset {offset}")),
                _ => {}
            }
        }
        if read == 0 {
            break;
        }
    }
    if let Some(dissector) = dissector {
        dissector.finish(&mut |document| output.document(&document));
    }
    Ok(damage)
}
