//! Writes captures as capture objects to files: `pack OUTPUT THREADS CAPTURE…`. Shows what writing costs without a network.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use skycap_model::{Class, GroupName, NodeName, RunId};
use skycap_sensor::{FileSink, Input, Recorder, Settings, Source, read_packets};

/// Most bytes that a capture may have after decompression.
const MAX_INPUT_BYTES: u64 = 1 << 40;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [output, threads, captures @ ..] = arguments.as_slice() else { bail!("usage: pack OUTPUT THREADS CAPTURE…") };
    let settings = Settings {
        threads: threads.parse().context("THREADS is a number")?,
        ..Settings::new(
            Class::standard(),
            GroupName::new("example".to_owned())?,
            NodeName::new("example".to_owned())?,
            RunId(1),
        )
    };
    let mut recorder = Recorder::start(settings, Box::new(FileSink::new(PathBuf::from(output))))?;
    let captures: Vec<PathBuf> = captures.iter().map(PathBuf::from).collect();
    for source in Source::of_arguments(&captures)? {
        let mut input = Input::open(&source, MAX_INPUT_BYTES, Arc::default())?;
        let finished = read_packets(&mut input, |link_type, packet| recorder.packet(link_type, &packet))?;
        if let Some(damage) = finished.damage {
            bail!("{}: {damage}", input.name());
        }
    }
    let recorded = recorder.finish()?;
    println!("{} packets, {} objects, {} bytes", recorded.packets, recorded.objects, recorded.object_bytes);
    Ok(())
}
