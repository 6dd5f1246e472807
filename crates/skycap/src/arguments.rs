//! What the command line understands; its help and docs/command-line.md are made from here.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

/// Full packet capture for the cloud, on one machine or many.
///
/// Exit codes: 0 all went well, 1 it failed, 2 the command line was wrong, 3 done but some input was damaged or left out
/// (standard error says which, where and why).
#[derive(Debug, Parser)]
#[command(name = "skycap", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Folder in which `skycap local` keeps objects, index and keys.
    #[arg(long, global = true, env = "SKYCAP_DATA_DIR", default_value = "skycap-data")]
    pub(crate) data: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store and index captures on this machine, and serve the viewer's API on loopback.
    Local(Local),
    /// Find sessions: a table, or --json, or --csv.
    Search(Search),
    /// Write the packets of the sessions that match as a pcap file.
    Pcap(Pcap),
    /// Print one session document a line for a capture file; no server, no data folder.
    Dissect(Dissect),
    /// Write a capture object from a capture file, without uploading it.
    Pack(Pack),
    /// Make traffic: a capture file, the same for the same seed.
    Generate(Generate),
    /// List the fields that expressions and documents have.
    Fields(Fields),
    /// Print this help as Markdown.
    #[command(hide = true)]
    HelpMarkdown,
}

#[derive(Debug, Args)]
pub(crate) struct Local {
    /// Captures: .pcap, .pcapng, also .gz .zst .lz4 .xz; folders; - for standard input.
    pub(crate) captures: Vec<PathBuf>,
    /// Where the API listens; loopback only, there is no access control yet.
    #[arg(long, default_value = "127.0.0.1:8005")]
    pub(crate) listen: SocketAddr,
    /// Stop when everything is indexed, instead of serving.
    #[arg(long)]
    pub(crate) once: bool,
    /// Threads that dissect; documents are the same for any number.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Write optional fields too (header values, JA3 strings, SHA-256 of bodies).
    #[arg(long)]
    pub(crate) all_fields: bool,
    /// Rotate to a new object after so many bytes.
    #[arg(long, default_value_t = 1 << 30)]
    pub(crate) rotate_bytes: u64,
    /// Rotate to a new object after so many seconds of packet time.
    #[arg(long, default_value_t = 3_600)]
    pub(crate) rotate_seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Expression, as in docs/query-language.md; everything where it is missing.
    #[arg(default_value = "")]
    pub(crate) expression: String,
    /// One JSON document a line.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Comma separated values with a header line.
    #[arg(long)]
    pub(crate) csv: bool,
    /// Fields to show, comma separated; names of expressions or documents.
    #[arg(long)]
    pub(crate) fields: Option<String>,
    /// Order: field:asc or field:desc, comma separated.
    #[arg(long, default_value = "firstPacket:asc")]
    pub(crate) order: String,
    /// Most sessions shown.
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Pcap {
    /// Expression that chooses the sessions.
    #[arg(default_value = "")]
    pub(crate) expression: String,
    /// File to write; standard output where it is missing or -.
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
    /// Add the other segments of the flows that match.
    #[arg(long)]
    pub(crate) segments: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dissect {
    /// Capture file, capture object, or - for standard input.
    pub(crate) capture: PathBuf,
    /// Write optional fields too.
    #[arg(long)]
    pub(crate) all_fields: bool,
    /// Node name in the documents.
    #[arg(long, default_value = "local")]
    pub(crate) node: String,
    /// Put the document's id before its first member, as `_id`.
    #[arg(long)]
    pub(crate) ids: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// Capture file, or - for standard input.
    pub(crate) capture: PathBuf,
    /// Object to write. Captures with several link types become several objects, numbered.
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    /// Threads that compress.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// File to write; - for standard output.
    pub(crate) output: PathBuf,
    /// Kind of traffic.
    #[arg(long, default_value = "sample")]
    pub(crate) mix: String,
    /// Same seed, same bytes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// About so many bytes (K, M, G); the mix's own size where it is missing.
    #[arg(long)]
    pub(crate) size: Option<String>,
    /// Sessions open at once, for the mix `handshakes`.
    #[arg(long)]
    pub(crate) flows: Option<u64>,
    /// Probability that a packet is missing from the capture.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) loss: f64,
    /// Probability that a packet comes late.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) reorder: f64,
    /// Probability that a segment is sent again.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) retransmit: f64,
    /// Probability that a segment is sent again cut differently.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) overlap: f64,
    /// Write what was made (flows, counters, names) here, a JSON object a line.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// As a page of the docs.
    #[arg(long)]
    pub(crate) markdown: bool,
}
