//! One data folder with everything in it.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skycap_protocols::catalogue;
use tokio::task::JoinHandle;

use super::{
    disk::Disk,
    endpoint::{Endpoint, LocalCredentials, REGION, client},
    event::Event,
    queue::MemoryQueue,
    service::Fresh,
    sessions::EmbeddedSessions,
};
use crate::{ErrorKind, ObjectMetadata, ObjectStore, Queue, S3Objects, SessionStore, StoreError};

/// Objects that are listed at a time when work left over is looked for.
const BACKLOG_PAGE: usize = 1_000;

/// How an embedded store is opened.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Loopback address of the S3 endpoint; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Bucket that is made if it isn't there.
    pub bucket: String,
    /// How long a received event message is hidden from other receivers.
    pub visibility: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { bind, bucket: "skycap".to_owned(), visibility: Duration::from_secs(900) }
    }
}

/// Everything that Skycap needs outside of itself, embedded: session store, objects behind an S3 endpoint on
/// loopback, and the queue of events that they make.
///
/// Layout of the folder: `lock`, `credentials`, `files.redb`, `sessions/` (the index), `objects/{bucket}/{key}`.
/// What was acknowledged is there after a crash at any time; events that were not are made again at the next start.
pub struct Embedded {
    /// Session and files documents.
    pub sessions: Arc<dyn SessionStore>,
    /// Objects, read through the endpoint.
    pub objects: Arc<dyn ObjectStore>,
    /// Event messages, as S3 sends them.
    pub queue: Arc<dyn Queue>,
    /// The SDK's client for the endpoint.
    pub client: aws_sdk_s3::Client,
    /// Where the endpoint listens.
    pub address: SocketAddr,
    /// Its keys, for other programs on this machine.
    pub credentials: LocalCredentials,
    /// Bucket of the objects.
    pub bucket: String,
    store: EmbeddedSessions,
    messages: Arc<MemoryQueue>,
    endpoint: Endpoint,
    backlog: JoinHandle<()>,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Embedded {
    /// Opens or makes the folder, starts the endpoint and looks for objects that were not indexed yet.
    ///
    /// A folder that another process has open is refused ([`ErrorKind::Busy`]).
    pub async fn open(folder: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let owned = folder.to_owned();
        let bucket = options.bucket.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let lock = lock(&owned)?;
            let credentials = LocalCredentials::open(&owned.join("credentials"))?;
            let store = EmbeddedSessions::open(&owned, catalogue())?;
            let objects = owned.join("objects");
            let disk = Disk::open(&objects).and_then(|disk| disk.create_bucket(&bucket).map(|()| disk));
            let disk = disk.map_err(|error| {
                StoreError::caused(ErrorKind::Storage, format!("{} can't be opened", objects.display()), error)
            })?;
            Ok((lock, credentials, store, disk))
        });
        let opened = opened.await;
        let (lock, credentials, store, disk) =
            opened.map_err(|error| StoreError::caused(ErrorKind::Busy, "the embedded store was stopped", error))??;
        let messages = Arc::new(MemoryQueue::new(options.visibility));
        let fresh = Fresh::default();
        fresh.begin();
        let disk = Arc::new(disk);
        let endpoint = Endpoint::start(disk, options.bind, &credentials, messages.clone(), fresh.clone()).await?;
        let client = client(endpoint.address, &credentials);
        let objects = S3Objects::new(client.clone());
        let backlog = Backlog {
            objects: objects.clone(),
            store: store.clone(),
            queue: messages.clone(),
            bucket: options.bucket.clone(),
            fresh,
        };
        Ok(Self {
            sessions: Arc::new(store.clone()),
            objects: Arc::new(objects),
            queue: messages.clone(),
            address: endpoint.address,
            client,
            credentials,
            bucket: options.bucket,
            store,
            messages,
            endpoint,
            backlog: tokio::spawn(backlog.run()),
            _lock: lock,
        })
    }

    /// True when no event waits, none is being worked on, and the search for work left over is through.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.backlog.is_finished() && self.messages.lengths() == (0, 0)
    }

    /// Stops the endpoint and commits what is pending.
    pub async fn shutdown(self) -> Result<(), StoreError> {
        self.backlog.abort();
        self.endpoint.stop().await;
        self.store.close().await
    }
}

/// Locks the folder for this process; the file says which one has it.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path: PathBuf = folder.join("lock");
    let failed = |error: std::io::Error| {
        StoreError::caused(ErrorKind::Storage, format!("{} can't be made or locked", path.display()), error)
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.take(32).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { "unknown" } else { holder };
            let message = format!("{} is in use by another skycap, process {holder}", folder.display());
            return Err(StoreError::new(ErrorKind::Busy, message));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}

/// The search for objects whose event was lost with the queue of an earlier run.
struct Backlog {
    objects: S3Objects,
    store: EmbeddedSessions,
    queue: Arc<MemoryQueue>,
    bucket: String,
    fresh: Fresh,
}

impl Backlog {
    async fn run(self) {
        let requeued = self.requeue().await;
        self.fresh.end();
        match requeued {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "objects that were not indexed yet are queued again"),
            Err(error) => tracing::error!(%error, "objects that were not indexed yet can't be looked for"),
        }
    }

    async fn requeue(&self) -> Result<u64, StoreError> {
        let settled = self.store.settled().await?;
        let mut count = 0;
        for prefix in ["captures/", "imports/"] {
            let mut after: Option<String> = None;
            loop {
                let page = self.objects.list(&self.bucket, prefix, after.as_deref(), BACKLOG_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for object in &page {
                    let name = format!("s3://{}/{}", self.bucket, object.key);
                    if !settled.contains(&name) && !self.fresh.contains(&object.key) {
                        self.send(object).await?;
                        count += 1;
                    }
                }
                if page.len() < BACKLOG_PAGE {
                    break;
                }
            }
        }
        Ok(count)
    }

    async fn send(&self, object: &ObjectMetadata) -> Result<(), StoreError> {
        let event = Event {
            name: "ObjectCreated:Put",
            region: REGION,
            bucket: &self.bucket,
            key: &object.key,
            size: object.size,
            etag: &object.etag,
            time: object.last_modified,
            sequence: object.last_modified,
        };
        self.queue.send(event.message()).await
    }
}
