//! `skycap generate`: a capture file of made traffic.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use skycap_traffic::{Disturbance, Generator, Options, parse_bytes};

use crate::arguments::Generate;

pub(crate) fn run(command: &Generate) -> Result<ExitCode> {
    let mut options = Options::new(command.mix.parse()?);
    options.seed = command.seed;
    if let Some(size) = &command.size {
        options.bytes = Some(parse_bytes(size)?);
    }
    options.flows = command.flows.or(options.flows);
    options.disturbance = Disturbance {
        loss: command.loss,
        reorder: command.reorder,
        retransmission: command.retransmit,
        overlap: command.overlap,
    };
    let generator = Generator::new(options)?;
    let output: Box<dyn Write> = if command.output == Path::new("-") {
        Box::new(std::io::stdout())
    } else {
        Box::new(File::create(&command.output).with_context(|| format!("creating {}", command.output.display()))?)
    };
    let mut report = match &command.report {
        Some(path) => Some(BufWriter::new(File::create(path).with_context(|| format!("creating {}", path.display()))?)),
        None => None,
    };
    let sidecar = report.as_mut().map(|report| report as &mut dyn Write);
    let totals = generator.write(output, sidecar).with_context(|| format!("writing {}", command.output.display()))?;
    eprintln!("{} packets, {} flows, {} bytes, seed {}", totals.packets, totals.flows, totals.file_bytes, command.seed);
    Ok(ExitCode::SUCCESS)
}
