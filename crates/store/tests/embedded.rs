//! The embedded parts pass the suites, and survive what may happen to them.
#![cfg(all(feature = "embedded", feature = "suite"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption},
};
use skycap_model::FileState;
use skycap_store::{
    Created, ErrorKind, NewSession, PutFile, Scope, Search, SessionStore,
    embedded::{Embedded, EmbeddedOptions, EmbeddedSessions, MemoryQueue},
    suite,
};

fn open_sessions(folder: &Path) -> EmbeddedSessions {
    EmbeddedSessions::open(folder, skycap_protocols::catalogue()).unwrap()
}

struct Writer(Client);

#[async_trait]
impl suite::ObjectWriter for Writer {
    async fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        self.0.put_object().bucket(bucket).key(key).body(ByteStream::from(bytes.to_vec())).send().await.unwrap();
    }
}

#[tokio::test]
async fn sessions() {
    let folder = tempfile::tempdir().unwrap();
    suite::sessions(&open_sessions(folder.path())).await;
}

#[tokio::test]
async fn files() {
    let folder = tempfile::tempdir().unwrap();
    suite::files(&open_sessions(folder.path())).await;
}

#[tokio::test]
async fn queue() {
    let visibility = Duration::from_millis(300);
    suite::queue(&MemoryQueue::new(visibility), visibility).await;
}

#[tokio::test]
async fn queries() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    suite::queries(|catalogue| {
        number += 1;
        let path = folder.path().join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        async move { Arc::new(EmbeddedSessions::open(&path, catalogue).unwrap()) as Arc<dyn SessionStore> }
    })
    .await;
}

#[tokio::test]
async fn objects() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    suite::objects(embedded.objects.as_ref(), &Writer(embedded.client.clone()), &embedded.bucket).await;
    embedded.shutdown().await.unwrap();
}

fn session(number: usize) -> NewSession {
    let json = format!(r#"{{"node":"a","fileId":[1],"source":{{"port":{number}}},"tags":["t{number}"]}}"#);
    NewSession { index: "sessions3-other".to_owned(), id: format!("s{number:06}"), json: json.into_bytes() }
}

fn search(size: usize) -> Search {
    let expression = skycap_query::Expression::Everything;
    Search { expression, sort: Vec::new(), from: 0, after: None, size }
}

#[tokio::test]
async fn what_was_flushed_survives() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = open_sessions(folder.path());
        let document = suite::files_document("a", 1, FileState::Indexed);
        assert!(matches!(store.put_file(&document, None).await.unwrap(), PutFile::Written(1)));
        store.create((0..100).map(session).collect()).await.unwrap();
        store.flush().await.unwrap();
        // never flushed: may be lost
        store.create((100..150).map(session).collect()).await.unwrap();
    }
    let store = open_sessions(folder.path());
    assert!(store.search(&Scope::everything(), &search(1)).await.unwrap().total >= 100);
    let answers = store.create((0..150).map(session).collect()).await.unwrap();
    assert!(answers[..100].iter().all(|answer| *answer == Created::Exists));
    store.flush().await.unwrap();
    assert_eq!(store.search(&Scope::everything(), &search(1)).await.unwrap().total, 150);
    assert_eq!(store.file("a-1").await.unwrap().unwrap().version, 1);
}

#[tokio::test]
async fn many_flushes_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_sessions(folder.path());
    let tasks: Vec<_> = (0..32)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store.create(vec![session(number), session(number / 2)]).await.unwrap();
                store.flush().await.unwrap();
                let scope = Scope::everything();
                assert!(store.session(&scope, &session(number).id).await.unwrap().is_some());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.search(&Scope::everything(), &search(1)).await.unwrap().total, 32);
}

#[tokio::test]
async fn another_catalogue_builds_the_index_anew() {
    static OTHER: std::sync::LazyLock<skycap_model::Catalogue> =
        std::sync::LazyLock::new(|| skycap_model::Catalogue::new(&[skycap_model::core_fields::FIELDS]));
    let folder = tempfile::tempdir().unwrap();
    {
        let store = open_sessions(folder.path());
        store.create((0..50).map(session).collect()).await.unwrap();
        store.flush().await.unwrap();
        store.close().await.unwrap();
    }
    let store = EmbeddedSessions::open(folder.path(), &OTHER).unwrap();
    let found = store.search(&Scope::everything(), &search(100)).await.unwrap();
    assert_eq!((found.total, found.sessions.len()), (50, 50));
    assert_eq!(found.sessions[7].document["source"]["port"], 7);
    assert_eq!(found.sessions[7].index, "sessions3-other");
}

async fn put(embedded: &Embedded, key: &str, bytes: &[u8]) -> Result<(), String> {
    let put = embedded.client.put_object().bucket(&embedded.bucket).key(key).if_none_match("*");
    let sent = put.body(ByteStream::from(bytes.to_vec())).send().await;
    sent.map(|_| ()).map_err(|error| error.code().unwrap_or_default().to_owned())
}

async fn event(embedded: &Embedded) -> serde_json::Value {
    let messages = embedded.queue.receive(1, Duration::from_secs(5)).await.unwrap();
    let message = messages.first().expect("an event");
    embedded.queue.delete(&message.receipt).await.unwrap();
    serde_json::from_str::<serde_json::Value>(&message.body).unwrap()["Records"][0].clone()
}

#[tokio::test]
async fn a_key_is_written_once_and_makes_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    put(&embedded, "imports/a b+c.pcap", b"1234").await.unwrap();
    assert_eq!(put(&embedded, "imports/a b+c.pcap", b"5678").await.unwrap_err(), "PreconditionFailed");
    put(&embedded, "exports/x", b"no event").await.unwrap();
    let record = event(&embedded).await;
    assert_eq!(record["eventName"], "ObjectCreated:Put");
    assert_eq!(record["s3"]["bucket"]["name"], "skycap");
    assert_eq!(record["s3"]["object"]["key"], "imports/a+b%2Bc.pcap");
    assert_eq!(record["s3"]["object"]["size"], 4);
    assert_eq!(record["s3"]["object"]["eTag"], "81dc9bdb52d04dc20036dbd8313ed055");
    assert!(embedded.queue.receive(1, Duration::ZERO).await.unwrap().is_empty());
    // a wrong checksum is refused, and nothing appears
    let wrong = embedded.client.put_object().bucket("skycap").key("captures/wrong").checksum_crc64_nvme("AAAAAAAAAAA=");
    let error = wrong.body(ByteStream::from_static(b"abc")).send().await.unwrap_err();
    assert_eq!(error.code(), Some("BadDigest"));
    assert_eq!(embedded.objects.head("skycap", "captures/wrong").await.unwrap_err().kind(), ErrorKind::NotFound);
    embedded.shutdown().await.unwrap();
}

#[tokio::test]
async fn multipart() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let (client, bucket, key) = (embedded.client.clone(), "skycap", "captures/std/g/n/x.pcap.zst");
    let create = client.create_multipart_upload().bucket(bucket).key(key);
    let create =
        create.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).server_side_encryption(ServerSideEncryption::Aes256);
    let created = create.send().await.unwrap();
    assert_eq!(created.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    let id = created.upload_id().unwrap().to_owned();
    let pieces = [vec![1_u8; 5 << 20], vec![2; 5 << 20], vec![3; 10]];
    for (number, piece) in (1..).zip(&pieces) {
        let part = client.upload_part().bucket(bucket).key(key).upload_id(&id).part_number(number);
        let part = part.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
        let sent = part.body(ByteStream::from(piece.clone())).send().await.unwrap();
        assert!(sent.checksum_crc64_nvme().is_some());
    }
    // nothing to see before it is whole
    assert!(embedded.objects.list(bucket, "captures/", None, 10).await.unwrap().is_empty());
    let uploads = client.list_multipart_uploads().bucket(bucket).prefix("captures/").send().await.unwrap();
    assert_eq!(uploads.uploads().len(), 1);
    assert_eq!(uploads.uploads()[0].upload_id(), Some(id.as_str()));
    assert!(uploads.uploads()[0].initiated().is_some());
    // the folder is opened anew in between: the upload goes on
    embedded.shutdown().await.unwrap();
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let client = embedded.client.clone();
    let parts = client.list_parts().bucket(bucket).key(key).upload_id(&id).max_parts(2).send().await.unwrap();
    assert_eq!((parts.parts().len(), parts.is_truncated()), (2, Some(true)));
    let marker = parts.next_part_number_marker().unwrap().to_owned();
    let rest = client.list_parts().bucket(bucket).key(key).upload_id(&id).part_number_marker(marker);
    let rest = rest.send().await.unwrap();
    let completed: Vec<CompletedPart> = parts
        .parts()
        .iter()
        .chain(rest.parts())
        .map(|part| {
            CompletedPart::builder()
                .part_number(part.part_number().unwrap())
                .e_tag(part.e_tag().unwrap())
                .checksum_crc64_nvme(part.checksum_crc64_nvme().unwrap())
                .build()
        })
        .collect();
    assert_eq!(completed.len(), 3);
    let complete = |parts: Vec<CompletedPart>| {
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(&id).if_none_match("*");
        request.multipart_upload(upload).send()
    };
    let gap = complete(vec![completed[0].clone(), completed[2].clone()]).await.unwrap_err();
    assert_eq!(gap.code(), Some("InvalidPart"));
    let done = complete(completed.clone()).await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-3\""));
    assert_eq!(complete(completed).await.unwrap_err().code(), Some("NoSuchUpload"));
    let record = event(&embedded).await;
    assert_eq!(record["eventName"], "ObjectCreated:CompleteMultipartUpload");
    assert_eq!(record["s3"]["object"]["size"], (10 << 20) + 10);
    let whole = client.get_object().bucket(bucket).key(key).send().await.unwrap();
    assert_eq!(whole.body.collect().await.unwrap().into_bytes(), pieces.concat());
    assert!(client.list_multipart_uploads().bucket(bucket).send().await.unwrap().uploads().is_empty());
    // an upload that is aborted leaves nothing
    let other = client.create_multipart_upload().bucket(bucket).key("captures/y").send().await.unwrap();
    let other = other.upload_id().unwrap();
    client.abort_multipart_upload().bucket(bucket).key("captures/y").upload_id(other).send().await.unwrap();
    let again = client.abort_multipart_upload().bucket(bucket).key("captures/y").upload_id(other).send().await;
    assert_eq!(again.unwrap_err().code(), Some("NoSuchUpload"));
    client.delete_object().bucket(bucket).key(key).send().await.unwrap();
    assert!(embedded.objects.list(bucket, "", None, 10).await.unwrap().is_empty());
    embedded.shutdown().await.unwrap();
}

#[tokio::test]
async fn events_that_were_lost_come_again() {
    let folder = tempfile::tempdir().unwrap();
    {
        let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
        for num in 1..4 {
            put(&embedded, &format!("captures/std/web/a/{num}.pcap.zst"), b"x").await.unwrap();
        }
        put(&embedded, "imports/new.pcap", b"x").await.unwrap();
        put(&embedded, "stats/g/n/1", b"x").await.unwrap();
        for (num, state) in [(1, FileState::Indexed), (2, FileState::Claimed), (3, FileState::Refused)] {
            embedded.sessions.put_file(&suite::files_document("a", num, state), None).await.unwrap();
        }
        embedded.shutdown().await.unwrap();
    }
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let mut keys = vec![event(&embedded).await, event(&embedded).await];
    keys.iter_mut().for_each(|record| *record = record["s3"]["object"]["key"].take());
    assert_eq!(keys, ["captures/std/web/a/2.pcap.zst", "imports/new.pcap"]);
    while !embedded.is_idle() {
        tokio::task::yield_now().await;
    }
    embedded.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let error = Embedded::open(folder.path(), EmbeddedOptions::default()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let message = error.to_string();
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    assert!(message.contains(folder.path().to_str().unwrap()), "{message}");
    let keys = embedded.credentials.clone();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join("credentials")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    embedded.shutdown().await.unwrap();
    let public = EmbeddedOptions { bind: "0.0.0.0:0".parse().unwrap(), ..EmbeddedOptions::default() };
    let error = Embedded::open(folder.path(), public).await.err().unwrap();
    assert!(error.to_string().contains("loopback"), "{error}");
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    assert_eq!(embedded.credentials.secret_key, keys.secret_key);
    // strangers get nothing
    let mut strangers = keys;
    strangers.secret_key.push('x');
    let config = embedded.client.config().to_builder();
    let wrong = aws_sdk_s3::config::Credentials::new(&strangers.access_key, &strangers.secret_key, None, None, "test");
    let client = Client::from_conf(config.credentials_provider(wrong).build());
    let objects = skycap_store::S3Objects::new(client);
    let error = skycap_store::ObjectStore::head(&objects, "skycap", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    embedded.shutdown().await.unwrap();
}

/// Names the folder in which [`killed_child`] works.
const KILLED_FOLDER: &str = "SKYCAP_TEST_KILLED_FOLDER";

/// Not a test of its own: [`kill_at_any_time`] runs it in a process that it kills.
#[tokio::test]
#[ignore = "the killed half of another test"]
async fn killed_child() {
    let Some(folder) = std::env::var_os(KILLED_FOLDER) else { return };
    let embedded = Embedded::open(Path::new(&folder), EmbeddedOptions::default()).await.unwrap();
    for number in 0.. {
        embedded.sessions.create(vec![session(number)]).await.unwrap();
        embedded.sessions.flush().await.unwrap();
        let document = suite::files_document("a", number as u64, FileState::Claimed);
        embedded.sessions.put_file(&document, None).await.unwrap();
        put(&embedded, &document.skycap.key, &vec![7; 100_000]).await.unwrap();
        println!("\nacknowledged {number}");
    }
}

#[tokio::test]
async fn kill_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_child", "--ignored", "--nocapture"])
        .env(KILLED_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
    let last = acknowledged.take(12).last().unwrap();
    assert_eq!(last, 11);
    child.kill().unwrap();
    child.wait().unwrap();
    let embedded = Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap();
    for number in 0..=last {
        let id = session(number).id;
        assert!(embedded.sessions.session(&Scope::everything(), &id).await.unwrap().is_some(), "{id}");
        let document = suite::files_document("a", number as u64, FileState::Claimed);
        assert!(embedded.sessions.file(&document.id()).await.unwrap().is_some());
        let head = embedded.objects.head("skycap", &document.skycap.key).await.unwrap();
        assert_eq!(head.size, 100_000);
    }
    // the next number may have come as far as the kill let it; no object is ever half there
    for object in embedded.objects.list("skycap", "", None, 1_000).await.unwrap() {
        assert_eq!(object.size, 100_000, "{}", object.key);
    }
    // all of them were claimed, none indexed: each event comes again
    let mut events = 0;
    while events <= last {
        events += embedded.queue.receive(10, Duration::from_secs(5)).await.unwrap().len();
    }
    embedded.shutdown().await.unwrap();
}
