//! The sensor as a program: packets of files or standard input into the capture bucket.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use skycap_model::{Class, GroupName, NodeName, RunId};
use skycap_sensor::{Input, Recorder, S3Sink, Settings, Source, UploadSettings, read_packets};

/// Stores captures in S3 as capture objects. Credentials and region come from the AWS default chain.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Captures: .pcap, .pcapng, also .gz .zst .lz4 .xz; folders; - for standard input.
    #[arg(required = true)]
    captures: Vec<PathBuf>,
    /// Bucket to store in.
    #[arg(long, env = "SKYCAP_BUCKET")]
    bucket: String,
    /// Group of this sensor: its role may write only the group's prefix.
    #[arg(long, env = "SKYCAP_GROUP")]
    group: GroupName,
    /// Name of this sensor.
    #[arg(long, env = "SKYCAP_NODE")]
    node: NodeName,
    /// Retention class.
    #[arg(long, default_value = "std")]
    class: Class,
    /// Threads that compress.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Begin a new object after so many bytes.
    #[arg(long, default_value_t = 1 << 30)]
    rotate_bytes: u64,
    /// Begin a new object after so many seconds of packet time.
    #[arg(long, default_value_t = 3_600)]
    rotate_seconds: u64,
    /// Most bytes that one input may have after decompression.
    #[arg(long, default_value_t = 1 << 40)]
    input_limit: u64,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).json().with_env_filter("info").init();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            eprintln!("skycap-sensor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True where no input was damaged.
fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let client = runtime.block_on(async {
        let shared = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        aws_sdk_s3::Client::new(&shared)
    });
    let run = RunId(skycap_sensor::random_run());
    let settings = Settings {
        threads: arguments.threads,
        rotate_bytes: arguments.rotate_bytes,
        rotate_after: Duration::from_secs(arguments.rotate_seconds),
        ..Settings::new(arguments.class.clone(), arguments.group.clone(), arguments.node.clone(), run)
    };
    let sink = S3Sink::new(client, UploadSettings::new(&arguments.bucket), runtime.handle().clone());
    let mut recorder = Recorder::start(settings, Box::new(sink))?;
    let mut whole = true;
    for source in Source::of_arguments(&arguments.captures)? {
        let mut input = Input::open(&source, arguments.input_limit, Arc::default())?;
        let finished = read_packets(&mut input, |link_type, packet| recorder.packet(link_type, &packet))?;
        if let Some(damage) = finished.damage {
            whole = false;
            tracing::error!(input = input.name(), refused_bytes = finished.refused_bytes, damage, "input is damaged");
        }
    }
    let recorded = recorder.finish()?;
    tracing::info!(
        %run,
        packets = recorded.packets,
        refused = recorded.refused,
        objects = recorded.objects,
        bytes = recorded.object_bytes,
        "all stored"
    );
    Ok(whole && recorded.refused == 0)
}
