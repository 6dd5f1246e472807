//! `skycap pcap`: packets of sessions as a capture file.

use std::{
    fs::File,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use serde_json::json;

use crate::{arguments::Pcap, client::Client};

pub(crate) async fn run(data: &Path, command: Pcap) -> Result<ExitCode> {
    let output = command.output.filter(|path| path != Path::new("-"));
    if output.is_none() && std::io::stdout().is_terminal() {
        bail!("standard output is a terminal: name a file with -o, or pipe into tcpdump -r -");
    }
    let client = Client::of(data).await?;
    let segments = if command.segments { "all" } else { "no" };
    let parameters = json!({ "expression": command.expression, "segments": segments, "date": "-1" });
    let response = client.post("/api/sessions/pcap", &parameters).await?;
    let mut body = response.into_body().into_data_stream();
    let mut sink = Sink::open(output)?;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.context("the viewer broke off: what was written so far is not all")?;
        sink.write(&chunk)?;
    }
    sink.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Where packets go: standard output, or a file that appears whole or not at all.
enum Sink {
    Output(std::io::Stdout),
    File { file: File, part: PathBuf, path: PathBuf },
}

impl Sink {
    fn open(path: Option<PathBuf>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Output(std::io::stdout())) };
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("creating {}", part.display()))?;
        Ok(Self::File { file, part, path })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Output(output) => output.write_all(bytes).context("writing to standard output"),
            Self::File { file, part, .. } => {
                file.write_all(bytes).with_context(|| format!("writing {}", part.display()))
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Output(mut output) => output.flush().context("writing to standard output"),
            Self::File { file, part, path } => {
                drop(file);
                std::fs::rename(&part, &path)
                    .with_context(|| format!("renaming {} to {}", part.display(), path.display()))
            }
        }
    }
}
