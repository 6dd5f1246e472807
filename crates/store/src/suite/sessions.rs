//! What every session store does.

use serde_json::{Value, json};
use skycap_model::{FieldId, FileState, FilesDocument, PartId, PartSequence, RingId, RunId, SkycapFile, core_fields};
use skycap_query::Expression;

use crate::{
    Aggregation, Bucket, BucketKey, Created, FilesQuery, NewSession, PutFile, Scope, Search, SessionStore, Sort,
    SortOrder, StoredSession,
};

const INDEX: &str = "sessions3-231114";
const OTHER_INDEX: &str = "sessions3-other";
const NOON: i64 = 1_699_963_200_000;

fn new(index: &str, id: &str, document: &Value) -> NewSession {
    NewSession { index: index.to_owned(), id: id.to_owned(), json: serde_json::to_vec(document).unwrap() }
}

/// Session `number` of ten, of file `1 + number / 5` of node `a`.
fn document(number: i64) -> Value {
    let mut document = json!({
        "firstPacket": NOON + number * 1_000,
        "lastPacket": NOON + number * 1_000 + 500,
        "length": 500,
        "ipProtocol": 6,
        "node": "a",
        "fileId": [1 + number / 5],
        "source": { "ip": format!("10.0.0.{}", 9 - number), "port": 1_000 + number % 3, "bytes": 100, "packets": 2 },
        "destination": { "ip": "2001:db8::1", "port": 443, "bytes": 50, "packets": 1 },
        "client": { "bytes": 10 },
        "server": { "bytes": 5 },
        "network": { "packets": 3, "bytes": 150 },
    });
    let members = document.as_object_mut().unwrap();
    match number {
        0 => drop(members.insert("tags".to_owned(), json!(["b", "x"]))),
        1 => drop(members.insert("tags".to_owned(), json!(["a", "z"]))),
        2 => drop(members.insert("tags".to_owned(), json!(["c"]))),
        3 => drop(members.insert("tags".to_owned(), json!(["", "x"]))),
        _ => {}
    }
    document
}

fn id(number: i64) -> String {
    format!("{}00000{number}", if number < 5 { "one" } else { "two" })
}

fn ids(sessions: &[StoredSession]) -> Vec<String> {
    sessions.iter().map(|session| session.id.clone()).collect()
}

fn everything() -> Search {
    Search { expression: Expression::Everything, sort: Vec::new(), from: 0, after: None, size: 100 }
}

fn by(field: FieldId, order: SortOrder) -> Vec<Sort> {
    vec![Sort { field, order }]
}

fn equals(text: &str) -> Expression {
    let context = skycap_query::sample::context();
    skycap_query::parse(text, skycap_protocols::catalogue(), &context).unwrap()
}

/// An empty store with the program's own catalogue.
pub async fn sessions(store: &dyn SessionStore) {
    creates(store).await;
    sorts(store).await;
    pages(store).await;
    scopes(store).await;
    aggregates(store).await;
    deletes(store).await;
}

async fn creates(store: &dyn SessionStore) {
    let batch: Vec<NewSession> = (0..5).map(|number| new(INDEX, &id(number), &document(number))).collect();
    assert_eq!(store.create(batch.clone()).await.unwrap(), vec![Created::Created; 5]);
    // not committed yet, and there all the same
    assert_eq!(store.create(batch[..2].to_vec()).await.unwrap(), vec![Created::Exists; 2]);
    store.flush().await.unwrap();
    assert_eq!(store.create(batch).await.unwrap(), vec![Created::Exists; 5]);
    let mut second: Vec<NewSession> = (5..10).map(|number| new(INDEX, &id(number), &document(number))).collect();
    second.insert(1, NewSession { index: INDEX.to_owned(), id: "broken".to_owned(), json: b"{".to_vec() });
    second.insert(3, new(INDEX, &id(0), &json!({ "node": "other" })));
    // the same twice in one call
    second.push(new(INDEX, &id(9), &document(9)));
    let answers = store.create(second).await.unwrap();
    assert!(matches!(answers[1], Created::Rejected(_)), "{:?}", answers[1]);
    assert_eq!(answers[3], Created::Exists);
    assert_eq!(answers[7], Created::Exists);
    assert_eq!(answers.iter().filter(|answer| **answer == Created::Created).count(), 5);
    store.flush().await.unwrap();
    store.flush().await.unwrap();

    // stored and given back as it is
    let found = store.session(&Scope::everything(), &id(3)).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.index.as_str()), (id(3).as_str(), INDEX));
    assert_eq!(found.document, document(3));
    assert_eq!(store.session(&Scope::everything(), &id(0)).await.unwrap().unwrap().document["node"], "a");
    assert!(store.session(&Scope::everything(), "none").await.unwrap().is_none());
    // without a sort the order is that of the objects and of the sessions in them
    let page = store.search(&Scope::everything(), &everything()).await.unwrap();
    assert_eq!(page.total, 10);
    assert_eq!(ids(&page.sessions), (0..10).map(id).collect::<Vec<_>>());
}

async fn sorts(store: &dyn SessionStore) {
    let sorted = |field: FieldId, order: SortOrder| async move {
        let search = Search { sort: by(field, order), ..everything() };
        let page = store.search(&Scope::everything(), &search).await.unwrap();
        assert_eq!(page.sessions.len(), 10);
        page.sessions.iter().map(|session| session.id[3..].parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    use SortOrder::{Ascending, Descending};
    assert_eq!(sorted(core_fields::FIRST_PACKET, Descending).await, (0..10).rev().collect::<Vec<_>>());
    assert_eq!(sorted(core_fields::SOURCE_IP, Ascending).await, (0..10).rev().collect::<Vec<_>>());
    assert_eq!(sorted(core_fields::SOURCE_IP, Descending).await, (0..10).collect::<Vec<_>>());
    // ties by object and position, in either order
    assert_eq!(sorted(core_fields::SOURCE_PORT, Ascending).await, [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]);
    assert_eq!(sorted(core_fields::SOURCE_PORT, Descending).await, [2, 5, 8, 1, 4, 7, 0, 3, 6, 9]);
    // of several values the smallest, or the largest; missing ones last
    assert_eq!(sorted(core_fields::TAGS, Ascending).await, [3, 1, 0, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!(sorted(core_fields::TAGS, Descending).await, [1, 0, 3, 2, 4, 5, 6, 7, 8, 9]);
    // fields that nobody has, and that have no values of their own
    for field in [core_fields::ICMP_TYPE, core_fields::USER, core_fields::IP] {
        assert_eq!(sorted(field, Ascending).await, (0..10).collect::<Vec<_>>());
        assert_eq!(sorted(field, Descending).await, (0..10).collect::<Vec<_>>());
    }
}

async fn pages(store: &dyn SessionStore) {
    let scope = Scope::everything();
    let search = Search { from: 3, size: 4, ..everything() };
    let page = store.search(&scope, &search).await.unwrap();
    assert_eq!((ids(&page.sessions), page.total), ((3..7).map(id).collect(), 10));
    let beyond = store.search(&scope, &Search { from: 10, size: 4, ..everything() }).await.unwrap();
    assert_eq!((beyond.sessions.len(), beyond.total), (0, 10));
    let none = store.search(&scope, &Search { size: 0, ..everything() }).await.unwrap();
    assert_eq!((none.sessions.len(), none.total), (0, 10));
    // a walk in small steps gives what one large page gives, through ties and missing values
    for field in [core_fields::SOURCE_PORT, core_fields::TAGS, core_fields::SOURCE_IP, core_fields::USER] {
        for order in [SortOrder::Ascending, SortOrder::Descending] {
            let search = Search { sort: by(field, order), ..everything() };
            let whole = ids(&store.search(&scope, &search).await.unwrap().sessions);
            for size in [1, 3] {
                let (mut walked, mut after) = (Vec::new(), None);
                loop {
                    let step = Search { after: after.take(), size, ..search.clone() };
                    let page = store.search(&scope, &step).await.unwrap();
                    let Some(last) = page.sessions.last() else { break };
                    after = Some(last.after.clone());
                    walked.extend(ids(&page.sessions));
                }
                assert_eq!(walked, whole, "{field:?} {order:?} by {size}");
            }
        }
    }
    let search = Search { expression: equals("port.src == 1001"), ..everything() };
    let page = store.search(&scope, &search).await.unwrap();
    assert_eq!((ids(&page.sessions), page.total), ([1, 4, 7].map(id).to_vec(), 3));
}

async fn scopes(store: &dyn SessionStore) {
    let filtered = Scope { filter: Some(equals("port.src == 1001")), ..Scope::everything() };
    assert_eq!(store.search(&filtered, &everything()).await.unwrap().total, 3);
    assert!(store.session(&filtered, &id(0)).await.unwrap().is_none());
    assert!(store.session(&filtered, &id(1)).await.unwrap().is_some());
    let young = Scope { not_before: Some(NOON as u64 + 8_500), ..Scope::everything() };
    assert_eq!(ids(&store.search(&young, &everything()).await.unwrap().sessions), [id(8), id(9)]);
    assert!(store.session(&young, &id(7)).await.unwrap().is_none());
    let negated = Search { expression: equals("port.src != 1002"), ..everything() };
    assert_eq!(store.search(&filtered, &negated).await.unwrap().total, 3);
    let counted = Aggregation::Terms { field: core_fields::SOURCE_PORT, size: 10 };
    let counts = store.aggregate(&filtered, &Expression::Everything, &counted).await.unwrap();
    assert_eq!(pairs(&counts), [(BucketKey::Integer(1_001), 3)]);
}

fn pairs(buckets: &[Bucket]) -> Vec<(BucketKey, u64)> {
    buckets.iter().map(|bucket| (bucket.key.clone(), bucket.sessions)).collect()
}

async fn aggregates(store: &dyn SessionStore) {
    let terms = |field: FieldId, size: usize| async move {
        let aggregation = Aggregation::Terms { field, size };
        pairs(&store.aggregate(&Scope::everything(), &Expression::Everything, &aggregation).await.unwrap())
    };
    let text = |text: &str| BucketKey::Text(text.to_owned());
    assert_eq!(
        terms(core_fields::TAGS, 10).await,
        [(text("x"), 2), (text(""), 1), (text("a"), 1), (text("b"), 1), (text("c"), 1), (text("z"), 1)]
    );
    assert_eq!(terms(core_fields::TAGS, 2).await, [(text("x"), 2), (text(""), 1)]);
    let ports = [(1_000, 4), (1_001, 3), (1_002, 3)].map(|(port, count)| (BucketKey::Integer(port), count));
    assert_eq!(terms(core_fields::SOURCE_PORT, 10).await, ports);
    assert_eq!(terms(core_fields::DESTINATION_IP, 10).await, [(text("2001:db8::1"), 10)]);
    assert_eq!(terms(core_fields::SOURCE_IP, 2).await, [(text("10.0.0.0"), 1), (text("10.0.0.1"), 1)]);
    assert_eq!(terms(core_fields::USER, 10).await, []);

    let histogram = Aggregation::Histogram { interval_ms: 4_000 };
    let expression = equals("port.src != 1002");
    let spans = store.aggregate(&Scope::everything(), &expression, &histogram).await.unwrap();
    let span = |start: i64, sessions: u64| Bucket {
        key: BucketKey::Integer(NOON + start),
        sessions,
        packets: [2 * sessions, sessions],
        bytes: [100 * sessions, 50 * sessions],
        data_bytes: [10 * sessions, 5 * sessions],
    };
    assert_eq!(spans, [span(0, 3), span(4_000, 3), span(8_000, 1)]);
}

async fn deletes(store: &dyn SessionStore) {
    let other = new(OTHER_INDEX, "two-other", &document(9));
    assert_eq!(store.create(vec![other]).await.unwrap(), [Created::Created]);
    store.flush().await.unwrap();
    let indices = [INDEX.to_owned()];
    assert_eq!(store.delete_object("b", 2, &indices).await.unwrap(), 0);
    assert_eq!(store.delete_object("a", 2, &["sessions3-700101".to_owned()]).await.unwrap_or_default(), 0);
    assert_eq!(store.delete_object("a", 2, &indices).await.unwrap(), 5);
    store.flush().await.unwrap();
    let left = store.search(&Scope::everything(), &everything()).await.unwrap();
    assert_eq!(left.total, 6);
    assert!(left.sessions.iter().any(|session| session.id == "two-other" && session.index == OTHER_INDEX));
    // what was deleted can be made anew, in the same breath too
    let again = new(INDEX, &id(5), &document(5));
    assert_eq!(store.create(vec![again]).await.unwrap(), [Created::Created]);
    store.flush().await.unwrap();
    let both = [INDEX.to_owned(), OTHER_INDEX.to_owned()];
    assert_eq!(store.delete_object("a", 2, &both).await.unwrap(), 2);
    let again = new(INDEX, &id(5), &document(5));
    assert_eq!(store.create(vec![again]).await.unwrap(), [Created::Created]);
    store.flush().await.unwrap();
    assert_eq!(store.search(&Scope::everything(), &everything()).await.unwrap().total, 6);
}

/// A files document as an indexer begins it.
#[must_use]
pub fn files_document(node: &str, num: u64, state: FileState) -> FilesDocument {
    let key = format!("captures/std/web/{node}/{num}.pcap.zst");
    FilesDocument {
        num,
        name: format!("s3://skycap/{key}"),
        node: node.to_owned(),
        first: 1_700_000_000 + num,
        first_timestamp: Some((1_700_000_000 + num) * 1_000),
        last_timestamp: Some((1_700_000_060 + num) * 1_000),
        filesize: 1_000 - num,
        locked: 0,
        packets: num % 3,
        packets_size: 100,
        sessions_present: 1,
        packet_pos_encoding: "gap0".to_owned(),
        uncompressed_bits: 20,
        compression: "zstd".to_owned(),
        skycap: SkycapFile {
            bucket: "skycap".to_owned(),
            key,
            etag: "0123".to_owned(),
            last_modified: 1_700_000_100_000,
            state,
            reason: None,
            dissector: "1".to_owned(),
            settings: "0".to_owned(),
            salt: 0,
            indices: vec![INDEX.to_owned()],
            link_type: 1,
            parts: vec![PartId { run: RunId(7), ring: RingId(0), sequence: PartSequence(num) }],
            refused: [("cut".to_owned(), 1)].into(),
        },
    }
}

/// An empty store: files documents.
pub async fn files(store: &dyn SessionStore) {
    let mut document = files_document("a", 1, FileState::Claimed);
    let id = document.id();
    assert!(store.file(&id).await.unwrap().is_none());
    let PutFile::Written(version) = store.put_file(&document, None).await.unwrap() else { panic!("not written") };
    assert_eq!(store.put_file(&document, None).await.unwrap(), PutFile::Conflict);
    let read = store.file(&id).await.unwrap().unwrap();
    assert_eq!((&read.value, read.version), (&document, version));
    document.skycap.state = FileState::Indexed;
    let PutFile::Written(next) = store.put_file(&document, Some(version)).await.unwrap() else { panic!("not written") };
    assert_ne!(next, version);
    assert_eq!(store.put_file(&document, Some(version)).await.unwrap(), PutFile::Conflict);
    assert_eq!(store.file(&id).await.unwrap().unwrap().value.skycap.state, FileState::Indexed);
    let absent = files_document("a", 99, FileState::Claimed);
    assert_eq!(store.put_file(&absent, Some(1)).await.unwrap(), PutFile::Conflict);

    for num in 2..6 {
        let node = if num % 2 == 0 { "b" } else { "a" };
        let put = store.put_file(&files_document(node, num, FileState::Indexed), None).await.unwrap();
        assert!(matches!(put, PutFile::Written(_)));
    }
    store.flush().await.unwrap();
    let list = |filter: &str, sort: &str, descending: bool, from: usize, size: usize| {
        let (filter, sort) = (filter.to_owned(), sort.to_owned());
        let query = FilesQuery { filter, sort, descending, from, size };
        async move {
            let page = store.files(&Scope::everything(), &query).await.unwrap();
            let numbers: Vec<u64> = page.files.iter().map(|file| file.num).collect();
            (numbers, page.matching, page.total)
        }
    };
    assert_eq!(list("", "", false, 0, 10).await, (vec![1, 2, 3, 4, 5], 5, 5));
    assert_eq!(list("", "num", true, 1, 2).await, (vec![4, 3], 5, 5));
    assert_eq!(list("", "filesize", false, 0, 2).await, (vec![5, 4], 5, 5));
    assert_eq!(list("/b/", "num", false, 0, 10).await, (vec![2, 4], 2, 5));
    assert_eq!(list("", "node", false, 0, 10).await, (vec![1, 3, 5, 2, 4], 5, 5));
    assert_eq!(list("", "packets", true, 0, 10).await, (vec![5, 2, 1, 4, 3], 5, 5));
    assert_eq!(list("none", "num", false, 0, 10).await, (vec![], 0, 5));
    let young = Scope { not_before: Some((1_700_000_060 + 4) * 1_000), ..Scope::everything() };
    let query = FilesQuery { size: 10, ..FilesQuery::default() };
    assert_eq!(store.files(&young, &query).await.unwrap().files.len(), 2);
    // files without a session that the scope shows are not shown either
    let filtered = Scope { filter: Some(equals("port.src == 1001")), ..Scope::everything() };
    assert_eq!(store.files(&filtered, &query).await.unwrap().files.len(), 0);
    let session = new(INDEX, "of-file-3", &json!({ "node": "a", "fileId": [3], "source": { "port": 1_001 } }));
    store.create(vec![session]).await.unwrap();
    store.flush().await.unwrap();
    let page = store.files(&filtered, &query).await.unwrap();
    assert_eq!(page.files.iter().map(|file| file.num).collect::<Vec<_>>(), [3]);
    assert_eq!((page.matching, page.total), (1, 1));
}
