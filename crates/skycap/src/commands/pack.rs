//! `skycap pack`: a capture object from a capture file.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use skycap_model::{Class, GroupName, NodeName, RunId};
use skycap_sensor::{FileSink, Input, Recorder, Settings, Source, read_packets};

use super::{DAMAGED, INPUT_LIMIT_BYTES};
use crate::arguments::Pack;

pub(crate) fn run(command: &Pack) -> Result<ExitCode> {
    let sources = Source::of_arguments(std::slice::from_ref(&command.capture))?;
    let (group, node) = (GroupName::new("imports")?, NodeName::new("pack")?);
    let settings = Settings {
        threads: command.threads,
        ..Settings::new(Class::standard(), group, node, RunId(skycap_sensor::random_run()))
    };
    let mut recorder = Recorder::start(settings, Box::new(FileSink::new(command.output.clone())))?;
    let mut whole = true;
    for source in sources {
        let mut input = Input::open(&source, INPUT_LIMIT_BYTES, Arc::default())?;
        let finished = read_packets(&mut input, |link_type, packet| recorder.packet(link_type, &packet))?;
        if let Some(damage) = finished.damage {
            whole = false;
            eprintln!("skycap: {}: {damage}; {} bytes left out", source.name(), finished.refused_bytes);
        }
    }
    let recorded = recorder.finish()?;
    eprintln!("{} packets in {} objects, {} bytes", recorded.packets, recorded.objects, recorded.object_bytes);
    Ok(if whole && recorded.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}
