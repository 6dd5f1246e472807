//! `skycap local`: the whole pipeline in this process, on one data folder.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use skycap_api::Viewer;
use skycap_flow::Settings as FlowSettings;
use skycap_indexer::{IndexSettings, Indexer, Worker, WorkerCounters};
use skycap_model::{Class, GroupName, NodeName, RunId};
use skycap_protocols::Options;
use skycap_sensor::{Input, Recorder, S3Sink, Settings, Source, UploadSettings, read_packets};
use skycap_store::{
    Scope,
    embedded::{Embedded, EmbeddedOptions},
};

use super::{DAMAGED, INPUT_LIMIT_BYTES};
use crate::{
    arguments::Local,
    client::ADDRESS_FILE,
    progress::{Counters, Progress},
};

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);
/// Packets counted before the shared counter is told.
const COUNT_EVERY: u64 = 1_024;

pub(crate) async fn run(data: &Path, command: Local) -> Result<ExitCode> {
    if !command.listen.ip().is_loopback() {
        bail!(
            "{} is no loopback address: there is no access control yet, so the API is served on loopback only",
            command.listen
        );
    }
    let sources = Source::of_arguments(&command.captures)?;
    for source in &sources {
        if let Source::File(path) = source {
            std::fs::metadata(path).with_context(|| path.display().to_string())?;
        }
    }
    let embedded = Embedded::open(data, EmbeddedOptions::default()).await?;
    let indexed = Arc::new(WorkerCounters::default());
    let worker = start_worker(&embedded, &command, &indexed);
    let server = if command.once { None } else { Some(serve(data, &embedded, &command).await?) };

    let mut damaged = import(data, &embedded, &command, &sources, &indexed).await?;
    damaged |= indexed.damaged.load(Ordering::Relaxed) > 0;
    let sessions = indexed.sessions.load(Ordering::Relaxed);
    let packets = indexed.packets.load(Ordering::Relaxed);
    let objects = indexed.indexed.load(Ordering::Relaxed);
    eprintln!(
        "skycap: {packets} packets in {sessions} sessions indexed from {objects} capture objects, data in {}",
        data.display()
    );

    if let Some((task, address)) = server {
        eprintln!("skycap: API at http://{address}/api/sessions?date=-1 (Ctrl-C ends)");
        stop_signal().await?;
        task.abort();
        let _ = std::fs::remove_file(data.join(ADDRESS_FILE));
    }
    worker.abort();
    embedded.shutdown().await?;
    Ok(if damaged { ExitCode::from(DAMAGED) } else { ExitCode::SUCCESS })
}

fn start_worker(embedded: &Embedded, command: &Local, counters: &Arc<WorkerCounters>) -> tokio::task::JoinHandle<()> {
    let options = Options { all_fields: command.all_fields, body_sha256: command.all_fields, ..Options::default() };
    let settings = IndexSettings {
        dissector: FlowSettings { options, ..FlowSettings::default() },
        threads: NonZeroUsize::new(command.threads).unwrap_or(NonZeroUsize::MIN),
        deadline: Duration::from_secs(24 * 3_600),
    };
    let indexer = Indexer::new(embedded.objects.clone(), embedded.sessions.clone(), settings);
    let worker = Worker::new(embedded.queue.clone(), indexer, counters.clone());
    tokio::spawn(async move { worker.run().await })
}

/// Serves the API, and leaves its address where `search` and `pcap` look for it.
async fn serve(
    data: &Path,
    embedded: &Embedded,
    command: &Local,
) -> Result<(tokio::task::JoinHandle<()>, std::net::SocketAddr)> {
    let viewer = Viewer {
        sessions: embedded.sessions.clone(),
        objects: embedded.objects.clone(),
        scope: Scope::everything(),
        default_hours: 1,
    };
    let listener = tokio::net::TcpListener::bind(command.listen).await;
    let listener =
        listener.with_context(|| format!("listening on {}; choose another address with --listen", command.listen))?;
    let address = listener.local_addr().context("reading our own address")?;
    std::fs::write(data.join(ADDRESS_FILE), format!("{address}\n"))
        .with_context(|| format!("writing into {}", data.display()))?;
    let router = skycap_api::router(viewer);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the API has stopped");
        }
    });
    Ok((task, address))
}

async fn stop_signal() -> Result<()> {
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("listening for signals")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Stores all sources as capture objects and waits until they are indexed; true where some input was damaged.
async fn import(
    data: &Path,
    embedded: &Embedded,
    command: &Local,
    sources: &[Source],
    indexed: &Arc<WorkerCounters>,
) -> Result<bool> {
    let total = sources.iter().map(Source::size).sum::<Option<u64>>();
    let mut progress = Progress::begin(total.filter(|_| !sources.is_empty()));
    let counters = Arc::new(Counters::default());
    let read = Arc::new(AtomicU64::new(0));
    let work = {
        let (counters, read, sources) = (counters.clone(), read.clone(), sources.to_vec());
        let importer = Importer {
            markers: data.join("imports"),
            client: embedded.client.clone(),
            bucket: embedded.bucket.clone(),
            runtime: tokio::runtime::Handle::current(),
            threads: command.threads,
            rotate_bytes: command.rotate_bytes,
            rotate_after: Duration::from_secs(command.rotate_seconds),
        };
        tokio::task::spawn_blocking(move || {
            let mut damaged = false;
            for source in &sources {
                damaged |= importer.import(source, &read, &counters)?;
            }
            Ok::<bool, anyhow::Error>(damaged)
        })
    };
    tokio::pin!(work);
    let mut damaged = None;
    loop {
        tokio::select! {
            done = &mut work, if damaged.is_none() => damaged = Some(done.context("the import died")?),
            () = tokio::time::sleep(TICK) => {}
        }
        counters.bytes.store(read.load(Ordering::Relaxed), Ordering::Relaxed);
        counters.sessions.store(indexed.sessions.load(Ordering::Relaxed), Ordering::Relaxed);
        progress.show(&counters);
        // what was stored before an error is indexed all the same
        if damaged.is_some() && embedded.is_idle() {
            break;
        }
    }
    progress.end();
    damaged.unwrap_or(Ok(false))
}

/// Imports captures: the same recorder and upload that a sensor has.
struct Importer {
    /// Folder of markers: which inputs are stored already.
    markers: PathBuf,
    client: aws_sdk_s3::Client,
    bucket: String,
    runtime: tokio::runtime::Handle,
    threads: usize,
    rotate_bytes: u64,
    rotate_after: Duration,
}

impl Importer {
    /// True where the input was damaged.
    fn import(&self, source: &Source, read: &Arc<AtomicU64>, counters: &Counters) -> Result<bool> {
        let name = source.name();
        // the same file is the same run: importing it again after a crash makes the same keys, which exist or not
        let run = RunId(self.identity(source).unwrap_or_else(skycap_sensor::random_run));
        let marker = self.markers.join(run.to_string());
        if marker.exists() {
            eprintln!("skycap: {name} is stored already");
            read.fetch_add(source.size().unwrap_or(0), Ordering::Relaxed);
            return Ok(false);
        }
        let settings = Settings {
            threads: self.threads,
            rotate_bytes: self.rotate_bytes,
            rotate_after: self.rotate_after,
            ..Settings::new(Class::standard(), GroupName::new("imports")?, import_id(&name, run)?, run)
        };
        let sink = S3Sink::new(self.client.clone(), UploadSettings::new(&self.bucket), self.runtime.clone());
        let mut input = Input::open(source, INPUT_LIMIT_BYTES, read.clone())?;
        let mut recorder = Recorder::start(settings, Box::new(sink))?;
        let mut count = 0;
        let finished = read_packets(&mut input, |link_type, packet| {
            count += 1;
            if count == COUNT_EVERY {
                counters.packets.fetch_add(count, Ordering::Relaxed);
                count = 0;
            }
            recorder.packet(link_type, &packet)
        });
        let finished = finished.with_context(|| name.clone())?;
        counters.packets.fetch_add(count, Ordering::Relaxed);
        let recorded = recorder.finish().with_context(|| name.clone())?;
        if let Some(damage) = &finished.damage {
            eprintln!(
                "skycap: {name}: {damage}; {} packets before it are kept, {} bytes left out",
                finished.packets, finished.refused_bytes
            );
        }
        if recorded.refused > 0 {
            eprintln!("skycap: {name}: {} packets left out, since no record can hold them", recorded.refused);
        }
        if *source != Source::StandardInput {
            std::fs::create_dir_all(&self.markers)
                .and_then(|()| std::fs::write(&marker, &name))
                .with_context(|| marker.display().to_string())?;
        }
        Ok(finished.damage.is_some() || recorded.refused > 0)
    }

    /// What tells one file from another: path, size, time of change, and how it is cut into objects.
    fn identity(&self, source: &Source) -> Option<u64> {
        let Source::File(path) = source else { return None };
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let path = path.canonicalize().ok()?;
        let text = format!(
            "{}\0{}\0{:?}\0{}\0{:?}",
            path.display(),
            metadata.len(),
            metadata.modified().ok()?,
            self.rotate_bytes,
            self.rotate_after
        );
        Some(skycap_indexer::file_id("import", &text, "", 0))
    }
}

/// A node name for an import: the file's name, as far as a key may hold it, and a part of the run.
fn import_id(name: &str, run: RunId) -> Result<NodeName> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split('.').find(|part| !part.is_empty()).unwrap_or("capture");
    let safe: String = stem
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '_' { character } else { '-' })
        .take(40)
        .collect();
    Ok(NodeName::new(format!("{safe}-{:08x}", run.0 as u32))?)
}
