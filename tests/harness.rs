//! What the tests work with: traffic, a data folder with everything in it, decorators that count and break, the binary.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use serde_json::Value;
use skycap_api::Viewer;
use skycap_indexer::{IndexSettings, Indexer, ObjectCreated, Worker, WorkerCounters, parse_event};
use skycap_model::{Class, FilesDocument, GroupName, NodeName, ObjectKey, RunId, Timestamp};
use skycap_packet::{Packet, link};
use skycap_sensor::{Recorded, Recorder, S3Sink, Settings, UploadSettings};
use skycap_store::{
    Aggregation, Bucket, Capabilities, Created, ErrorKind, FilesPage, FilesQuery, NewSession, ObjectMetadata,
    ObjectStore, Page, PutFile, Scope, Search, SessionStore, StoreError, StoredSession, Versioned,
    embedded::{Embedded, EmbeddedOptions},
};
use skycap_traffic::{Disturbance, FlowReport, Generator, Mix, Options};
use tower::ServiceExt;

use crate::reference::{self, Kept, Stored};

/// Longest that anything here may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// Random numbers that are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place + 1));
        }
    }
}

/// Everyday traffic of an hour ago, so that sessions go to an index of their day; lossless, but for what is asked.
pub(crate) fn sample(seed: u64, flows: u64, disturbance: Disturbance) -> Options {
    let hour_ago = skycap_api::now().seconds() - 3_600;
    Options {
        seed,
        flows: Some(flows),
        start: Timestamp::from_parts(hour_ago, 0),
        disturbance,
        ..Options::new(Mix::Sample)
    }
}

/// Packets and the generator's own account of them.
pub(crate) fn made(options: Options) -> (Vec<Kept>, Vec<FlowReport>) {
    let (mut packets, mut reports) = (Vec::new(), Vec::new());
    let run = Generator::new(options).unwrap().run(
        |packet| {
            let data = packet.data.to_vec();
            packets.push(Kept { time: packet.time.0, original_length: packet.original_length, data });
            Ok::<_, ()>(())
        },
        |report| {
            reports.push(report.clone());
            Ok(())
        },
    );
    run.unwrap();
    (packets, reports)
}

/// A libpcap file of generated traffic.
pub(crate) fn write_capture(path: &Path, options: Options) {
    Generator::new(options).unwrap().write(std::fs::File::create(path).unwrap(), None).unwrap();
}

/// One data folder, open, with all that `skycap local` has.
pub(crate) struct Lab {
    pub(crate) embedded: Embedded,
    pub(crate) folder: tempfile::TempDir,
}

/// A session document with its id and index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) index: String,
    pub(crate) json: Value,
}

impl Document {
    /// The value at a path with dots; null where there is none.
    pub(crate) fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.json, |value, name| value.get(name).unwrap_or(&Value::Null))
    }

    pub(crate) fn number(&self, path: &str) -> u64 {
        self.at(path).as_u64().unwrap_or_else(|| panic!("{path} of {}", self.json))
    }

    /// Object and positions of its packets.
    pub(crate) fn positions(&self) -> (u64, Vec<u64>) {
        reference::positions(self.at("packetPos"))
    }
}

impl Lab {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
        Self { embedded, folder }
    }

    /// Records packets into capture objects, as a sensor does.
    pub(crate) async fn record(&self, packets: &Arc<Vec<Kept>>, settings: Settings) -> Recorded {
        let upload = UploadSettings { patience: Duration::from_secs(20), ..UploadSettings::new(&self.embedded.bucket) };
        let sink = S3Sink::new(self.embedded.client.clone(), upload, tokio::runtime::Handle::current());
        let packets = packets.clone();
        let recording = tokio::task::spawn_blocking(move || {
            let mut recorder = Recorder::start(settings, Box::new(sink)).unwrap();
            for Kept { time, original_length, data } in packets.iter() {
                let packet = Packet { time: Timestamp(*time), original_length: *original_length, data };
                recorder.packet(link::ETHERNET, &packet).unwrap();
            }
            recorder.finish().unwrap()
        });
        recording.await.unwrap()
    }

    pub(crate) fn indexer(&self) -> Indexer {
        Indexer::new(self.embedded.objects.clone(), self.embedded.sessions.clone(), IndexSettings::default())
    }

    /// Works on the queue until nothing is left to do.
    pub(crate) async fn work(&self, workers: usize) -> Arc<WorkerCounters> {
        let counters = Arc::new(WorkerCounters::default());
        let tasks: Vec<_> = (0..workers)
            .map(|_| {
                let worker = Worker::new(self.embedded.queue.clone(), self.indexer(), counters.clone());
                tokio::spawn(async move { worker.run().await })
            })
            .collect();
        let idle = async {
            while !self.embedded.is_idle() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle).await.expect("the queue never became empty");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        counters
    }

    /// Takes all messages off the queue.
    pub(crate) async fn messages(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        while !self.embedded.is_idle() {
            for message in self.embedded.queue.receive(10, Duration::from_millis(100)).await.unwrap() {
                self.embedded.queue.delete(&message.receipt).await.unwrap();
                bodies.push(message.body);
            }
        }
        bodies
    }

    /// Capture objects in order of their parts.
    pub(crate) async fn objects(&self) -> Vec<(ObjectMetadata, Bytes)> {
        let bucket = &self.embedded.bucket;
        let mut list = self.embedded.objects.list(bucket, "captures/", None, 10_000).await.unwrap();
        list.sort_by_key(|object| object.key.parse::<ObjectKey>().unwrap().sequence);
        let mut objects = Vec::new();
        for object in list {
            let bytes = self.embedded.objects.range(bucket, &object.key, 0, object.size, None).await.unwrap();
            assert_eq!(bytes.len() as u64, object.size);
            objects.push((object, bytes));
        }
        objects
    }

    pub(crate) fn created(&self, object: &ObjectMetadata) -> ObjectCreated {
        let ObjectMetadata { key, etag, size, .. } = object.clone();
        ObjectCreated { bucket: self.embedded.bucket.clone(), key, etag, size }
    }

    pub(crate) async fn documents(&self) -> Vec<Document> {
        documents(self.embedded.sessions.as_ref()).await
    }

    pub(crate) async fn files(&self) -> Vec<FilesDocument> {
        let query = FilesQuery { size: 10_000, ..FilesQuery::default() };
        self.embedded.sessions.files(&Scope::everything(), &query).await.unwrap().files
    }

    pub(crate) fn router(&self) -> Router {
        skycap_api::router(Viewer {
            sessions: self.embedded.sessions.clone(),
            objects: self.embedded.objects.clone(),
            scope: Scope::everything(),
            default_hours: -1,
        })
    }

    /// Asks the API.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> (StatusCode, Bytes) {
        let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::get(format!("{path}?{}", pairs.join("&"))).body(Body::empty()).unwrap();
        let answer = self.router().oneshot(request).await.unwrap();
        let status = answer.status();
        (status, axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap())
    }

    /// Packets that the API exports.
    pub(crate) async fn export(&self, path: &str, parameters: &[(&str, &str)]) -> Vec<Kept> {
        let (status, body) = self.ask(path, parameters).await;
        assert_eq!(status, StatusCode::OK, "{path} {parameters:?}: {}", String::from_utf8_lossy(&body));
        reference::pcap(&body)
    }
}

/// All documents of a store, by id.
pub(crate) async fn documents(store: &dyn SessionStore) -> Vec<Document> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let expression = skycap_query::Expression::Everything;
        let search = Search { expression, sort: Vec::new(), from: 0, after: after.take(), size: 1_000 };
        let page = store.search(&Scope::everything(), &search).await.unwrap();
        after = page.sessions.last().map(|last| last.after.clone());
        let full = page.sessions.len() == 1_000;
        found.extend(page.sessions.into_iter().map(|StoredSession { index, id, document, .. }| Document {
            id,
            index,
            json: document,
        }));
        if !full {
            break;
        }
    }
    found.sort_by(|left, right| left.id.cmp(&right.id));
    assert!(found.windows(2).all(|pair| pair[0].id != pair[1].id), "a document came twice");
    found
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Settings of a sensor whose objects end after so much packet time.
pub(crate) fn sensor(rotate_seconds: f64) -> Settings {
    Settings {
        rotate_after: Duration::from_secs_f64(rotate_seconds),
        threads: 2,
        ..Settings::new(
            Class::standard(),
            GroupName::new("group").unwrap(),
            NodeName::new("node-1").unwrap(),
            RunId(0x0123_4567_89ab_cdef),
        )
    }
}

/// Seconds after which objects end so that there are about so many of them.
pub(crate) fn seconds_for(objects: u64, packets: &[Kept]) -> f64 {
    (packets.last().unwrap().time - packets[0].time) as f64 / 1e9 / objects as f64 + 0.001
}

/// The objects that messages speak of.
pub(crate) fn parsed(messages: &[String]) -> Vec<ObjectCreated> {
    messages.iter().flat_map(|message| parse_event(message).unwrap()).collect()
}

/// Packets of an object, without positions.
pub(crate) fn plain(packets: Vec<Stored>) -> Vec<Kept> {
    packets.into_iter().map(|(_, packet)| packet).collect()
}

pub(crate) fn sorted(mut packets: Vec<Kept>) -> Vec<Kept> {
    packets.sort_unstable();
    packets
}

/// Compares packets without printing them all.
pub(crate) fn assert_same(found: &[Kept], wanted: &[Kept], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}: number of packets");
    if let Some(place) = (0..found.len()).find(|&place| found[place] != wanted[place]) {
        panic!("{what}: packet {place} is {:?} and should be {:?}", found[place], wanted[place]);
    }
}

/// Counts reads of objects.
pub(crate) struct CountingObjects {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) requests: AtomicU64,
}

impl CountingObjects {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, requests: AtomicU64::new(0) })
    }
}

#[async_trait]
impl ObjectStore for CountingObjects {
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMetadata, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.head(bucket, key).await
    }

    async fn range(
        &self,
        bucket: &str,
        key: &str,
        offset: u64,
        length: u64,
        etag: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.range(bucket, key, offset, length, etag).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<ObjectMetadata>, StoreError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.inner.list(bucket, prefix, after, most).await
    }
}

/// Writes down what is created, byte for byte, counts reads of files documents, and fails after so many bulks.
pub(crate) struct WatchedSessions {
    inner: Arc<dyn SessionStore>,
    pub(crate) created: Mutex<Vec<NewSession>>,
    pub(crate) file_reads: AtomicU64,
    /// All other calls.
    pub(crate) calls: AtomicU64,
    pub(crate) documents_left: AtomicU64,
}

impl WatchedSessions {
    pub(crate) fn new(inner: Arc<dyn SessionStore>, documents: u64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            created: Mutex::default(),
            file_reads: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            documents_left: AtomicU64::new(documents),
        })
    }

    /// What was created, by id: id, index, bytes.
    pub(crate) fn taken(&self) -> Vec<(String, String, Vec<u8>)> {
        let created = self.created.lock().unwrap();
        let mut taken: Vec<_> =
            created.iter().map(|new| (new.id.clone(), new.index.clone(), new.json.clone())).collect();
        taken.sort_unstable();
        taken
    }

    fn inner(&self) -> &dyn SessionStore {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.deref()
    }
}

#[async_trait]
impl SessionStore for WatchedSessions {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn create(&self, mut sessions: Vec<NewSession>) -> Result<Vec<Created>, StoreError> {
        let left = self.documents_left.load(Ordering::Relaxed);
        let broken = left < sessions.len() as u64;
        sessions.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.documents_left.fetch_sub(sessions.len() as u64, Ordering::Relaxed);
        self.created.lock().unwrap().extend(sessions.iter().cloned());
        let created = self.inner().create(sessions).await?;
        if broken {
            self.inner().flush().await?;
            return Err(StoreError::new(ErrorKind::Storage, "the store broke in the middle of a bulk"));
        }
        Ok(created)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.inner().flush().await
    }

    async fn delete_object(&self, node: &str, file_id: u64, indices: &[String]) -> Result<u64, StoreError> {
        self.inner().delete_object(node, file_id, indices).await
    }

    async fn session(&self, scope: &Scope, id: &str) -> Result<Option<StoredSession>, StoreError> {
        self.inner().session(scope, id).await
    }

    async fn search(&self, scope: &Scope, search: &Search) -> Result<Page, StoreError> {
        self.inner().search(scope, search).await
    }

    async fn aggregate(
        &self,
        scope: &Scope,
        expression: &skycap_query::Expression,
        aggregation: &Aggregation,
    ) -> Result<Vec<Bucket>, StoreError> {
        self.inner().aggregate(scope, expression, aggregation).await
    }

    async fn file(&self, id: &str) -> Result<Option<Versioned<FilesDocument>>, StoreError> {
        self.file_reads.fetch_add(1, Ordering::Relaxed);
        self.inner.file(id).await
    }

    async fn put_file(&self, document: &FilesDocument, expected: Option<u64>) -> Result<PutFile, StoreError> {
        self.inner().put_file(document, expected).await
    }

    async fn files(&self, scope: &Scope, query: &FilesQuery) -> Result<FilesPage, StoreError> {
        self.inner().files(scope, query).await
    }
}

/// Tells whether a tool of the system is there. In CI all are, so a missing one fails there; elsewhere the test says by
/// name that it was left out.
pub(crate) fn has_tool(name: &str, test: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap().status.success();
    assert!(found || std::env::var_os("CI").is_none(), "{name} is missing; .ci/prepare test installs it");
    if !found {
        eprintln!("SKIPPED {test}: {name} is not installed; .ci/prepare test installs it");
    }
    found
}

/// The `skycap` command on a data folder.
pub(crate) fn skycap(data: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("--data").arg(data).env_remove("SKYCAP_LOG").env_remove("SKYCAP_DATA_DIR");
    command
}

/// The binary of this build, built where it isn't; `SKYCAP_BIN` names another.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SKYCAP_BIN") {
            return path.into();
        }
        // target/PROFILE/deps/skycap_tests-…
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--package", "skycap", "--bin", "skycap"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        build.env("CARGO_TARGET_DIR", profile.parent().unwrap());
        assert!(build.status().unwrap().success(), "building skycap failed");
        profile.join("skycap")
    })
}
