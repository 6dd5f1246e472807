//! Documents are a function of the object alone: threads, pieces, time, and who did the work before don't matter.

use std::{num::NonZeroUsize, sync::Arc, sync::Mutex};

use skycap_flow::{Dissector, ObjectIdentity, SessionDocument, Settings, parallel};
use skycap_indexer::{IndexSettings, Indexer, Outcome, file_id, id_prefix, index_of, parse_event};
use skycap_model::{FileState, FilesDocument};
use skycap_packet::{
    Position, link,
    object::{Event, ObjectReader},
    record,
};
use skycap_store::{NewSession, Scope};
use skycap_traffic::Disturbance;

use crate::{
    harness::{CountingObjects, Lab, Random, WatchedSessions, documents, made, parsed, sample, seconds_for, sensor},
    reference::Kept,
};

const DISTURBED: Disturbance = Disturbance { loss: 0.01, reorder: 0.02, retransmission: 0.02, overlap: 0.01 };

/// Documents as they are sent: id and bytes, by id.
type Taken = Vec<(String, Vec<u8>)>;

fn sorted(mut taken: Taken) -> Taken {
    taken.sort_unstable();
    taken
}

fn keep(taken: &mut Taken, document: &SessionDocument<'_>) {
    taken.push((document.id.to_owned(), document.json.to_vec()));
}

/// Blocks of an object that comes in pieces.
fn blocks(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<(u64, Vec<u8>)> {
    let mut reader = ObjectReader::new(None).unwrap();
    let mut found = Vec::new();
    let mut take = |reader: &mut ObjectReader| {
        while let Some(event) = reader.next_event() {
            match event {
                Event::Block { offset, bytes, .. } => found.push((offset, bytes.to_vec())),
                Event::Damage { .. } | Event::Cut { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
    };
    for piece in pieces {
        reader.push(piece);
        take(&mut reader);
    }
    reader.finish();
    take(&mut reader);
    found
}

/// A lab with a few recorded objects, and the messages that spoke of them.
async fn recorded(seed: u64, flows: u64, objects: u64) -> (Lab, Arc<Vec<Kept>>, Vec<String>) {
    let packets = Arc::new(made(sample(seed, flows, DISTURBED)).0);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(seconds_for(objects, &packets))).await;
    let messages = lab.messages().await;
    (lab, packets, messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_and_pieces() {
    let (lab, ..) = recorded(51, 1_500, 1).await;
    let (metadata, bytes) = lab.objects().await.remove(0);
    let identity = ObjectIdentity {
        node: "node-1".to_owned(),
        file_id: file_id(&lab.embedded.bucket, &metadata.key, &metadata.etag, 0),
        id_prefix: id_prefix(&lab.embedded.bucket, &metadata.key, &metadata.etag),
    };
    let settings = Settings::default();
    let whole = blocks(&mut std::iter::once(&bytes[..]));

    // the indexer's own reading, on this object
    let watched = WatchedSessions::new(lab.embedded.sessions.clone(), u64::MAX);
    let indexer = Indexer::new(lab.embedded.objects.clone(), watched.clone(), IndexSettings::default());
    let outcome = indexer.index(&lab.created(&metadata)).await.unwrap();
    assert!(matches!(outcome, Outcome::Indexed(_)));
    let wanted: Taken = watched.taken().into_iter().map(|(id, _, json)| (id, json)).collect();
    assert!(wanted.len() > 1_000);

    for threads in [1, 2, 4, 7] {
        let taken = Mutex::new(Taken::new());
        let threads = NonZeroUsize::new(threads).unwrap();
        let blocks = whole.iter().map(|(offset, block)| (*offset, block.as_slice()));
        let totals = parallel::dissect(&settings, &identity, link::ETHERNET, threads, blocks, |_| {
            |document: SessionDocument<'_>| keep(&mut taken.lock().unwrap(), &document)
        });
        let taken = sorted(taken.into_inner().unwrap());
        assert_eq!(totals.sessions, taken.len() as u64);
        assert!(taken == wanted, "{threads} threads make other documents");
    }

    // packet by packet
    let mut taken = Taken::new();
    let mut dissector = Dissector::new(settings.clone(), identity.clone(), link::ETHERNET);
    for (offset, block) in &whole {
        for packet in record::packets(block) {
            let (place, packet) = packet.unwrap();
            dissector.packet(Position::new(*offset, place).0, packet, &mut |document| keep(&mut taken, &document));
        }
    }
    dissector.finish(&mut |document| keep(&mut taken, &document));
    assert!(sorted(taken) == wanted, "packet by packet makes other documents");

    // whatever the pieces, the blocks are the same
    for size in [1_021, 65_536, bytes.len()] {
        assert!(blocks(&mut bytes.chunks(size)) == whole, "pieces of {size} bytes");
    }
    let mut random = Random(5);
    let mut cuts: Vec<usize> = (0..40).map(|_| random.below(bytes.len())).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    assert!(blocks(&mut cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]])) == whole, "random pieces");
    lab.embedded.shutdown().await.unwrap();
}

/// Another machine, another day: the same documents in the same indices.
#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_and_a_month_later() {
    let (lab, _, messages) = recorded(61, 600, 3).await;
    let here = WatchedSessions::new(lab.embedded.sessions.clone(), u64::MAX);
    let indexer = Indexer::new(lab.embedded.objects.clone(), here.clone(), IndexSettings::default());
    for created in parsed(&messages) {
        assert!(matches!(indexer.index(&created).await.unwrap(), Outcome::Indexed(_)));
    }
    // the event says another time, the object is the one it was
    let later: Vec<String> = messages
        .iter()
        .map(|message| {
            let mut event: serde_json::Value = serde_json::from_str(message).unwrap();
            event["Records"][0]["eventTime"] = "2031-02-03T04:05:06.789Z".into();
            event.to_string()
        })
        .collect();
    assert_ne!(later, messages);
    let other = Lab::open().await;
    let there = WatchedSessions::new(other.embedded.sessions.clone(), u64::MAX);
    let elsewhere = Indexer::new(lab.embedded.objects.clone(), there.clone(), IndexSettings::default());
    let mut events = parsed(&later);
    events.reverse();
    for created in &events {
        assert_eq!(indexer.index(created).await.unwrap(), Outcome::Known);
        assert!(matches!(elsewhere.index(created).await.unwrap(), Outcome::Indexed(_)));
    }
    assert!(here.taken() == there.taken(), "another machine makes other documents");
    assert_eq!(lab.documents().await, other.documents().await);
    assert!(lab.documents().await.iter().all(|document| document.index.starts_with("sessions3-2")));
    // without an ETag in the event the object itself is asked
    for created in &mut events {
        created.etag.clear();
        assert_eq!(elsewhere.index(created).await.unwrap(), Outcome::Known);
    }
    lab.embedded.shutdown().await.unwrap();
    other.embedded.shutdown().await.unwrap();
}

/// A delivery that dies halfway, by a store that breaks or by being dropped: the next one ends the work.
#[tokio::test(flavor = "multi_thread")]
async fn killed_halfway() {
    let (lab, _, messages) = recorded(71, 1_500, 2).await;
    let wanted = undisturbed(&lab, &messages).await;
    for (round, created) in parsed(&messages).iter().enumerate() {
        for documents in [0, 1, 400] {
            let broken = WatchedSessions::new(lab.embedded.sessions.clone(), documents);
            let indexer = Indexer::new(lab.embedded.objects.clone(), broken, IndexSettings::default());
            let error = indexer.index(created).await.unwrap_err().to_string();
            assert!(error.contains("broke in the middle"), "{error}");
        }
        for _ in 0..4 {
            let mut dropped = Box::pin({
                let (indexer, created) = (lab.indexer(), created.clone());
                async move { indexer.index(&created).await }
            });
            let patience = std::time::Duration::from_millis(10 + 15 * round as u64);
            let _ = tokio::time::timeout(patience, dropped.as_mut()).await;
        }
        assert!(!matches!(lab.indexer().index(created).await.unwrap(), Outcome::Refused(_) | Outcome::Gone));
    }
    assert!(lab.documents().await == wanted, "after deliveries that died, the documents are others");
    assert!(lab.files().await.iter().all(|file| file.skycap.state == FileState::Indexed));
    lab.embedded.shutdown().await.unwrap();
}

/// The documents that one clean run makes of these objects.
async fn undisturbed(lab: &Lab, messages: &[String]) -> Vec<crate::harness::Document> {
    let other = Lab::open().await;
    let indexer = Indexer::new(lab.embedded.objects.clone(), other.embedded.sessions.clone(), IndexSettings::default());
    for created in parsed(messages) {
        indexer.index(&created).await.unwrap();
    }
    let found = documents(other.embedded.sessions.as_ref()).await;
    other.embedded.shutdown().await.unwrap();
    found
}

/// Another version of the dissector began, or ended, an object: its documents go, ours come, none twice, none missing.
#[tokio::test(flavor = "multi_thread")]
async fn another_version_takes_over() {
    let (lab, _, messages) = recorded(81, 400, 2).await;
    let wanted = undisturbed(&lab, &messages).await;
    let store = &lab.embedded.sessions;
    let events = parsed(&messages);

    // one object was indexed to its end, the other one only begun, by a version whose ids were others
    assert!(matches!(lab.indexer().index(&events[0]).await.unwrap(), Outcome::Indexed(_)));
    let broken = WatchedSessions::new(store.clone(), 50);
    let indexer = Indexer::new(lab.embedded.objects.clone(), broken, IndexSettings::default());
    indexer.index(&events[1]).await.unwrap_err();
    for file in lab.files().await {
        let id = file.id();
        let found = store.file(&id).await.unwrap().unwrap();
        let mut old: FilesDocument = found.value;
        old.skycap.dissector = "skycap-0.0.0-1".to_owned();
        old_document(&lab, &old).await;
        if old.skycap.state == FileState::Indexed {
            let index = index_of(
                skycap_model::Timestamp::from_milliseconds(old.first_timestamp.unwrap()),
                old.skycap.last_modified,
            );
            assert!(old.skycap.indices.contains(&index));
        }
        store.put_file(&old, Some(found.version)).await.unwrap();
    }
    let objects = CountingObjects::new(lab.embedded.objects.clone());
    let indexer = Indexer::new(objects, store.clone(), IndexSettings::default());
    for event in &events {
        assert!(matches!(indexer.index(event).await.unwrap(), Outcome::Indexed(_)));
        assert_eq!(indexer.index(event).await.unwrap(), Outcome::Known);
    }
    let found = lab.documents().await;
    let left = found.iter().filter(|document| document.id.contains("old")).count();
    assert_eq!(left, 0, "documents of the other version stayed");
    assert!(found == wanted, "{} documents instead of {}", found.len(), wanted.len());
    lab.embedded.shutdown().await.unwrap();
}

/// Stores a document that another version made of the object, under an id that this version would not choose.
async fn old_document(lab: &Lab, file: &FilesDocument) {
    let template = lab.documents().await.into_iter().find(|document| document.positions().0 == file.num).unwrap();
    let json = serde_json::to_vec(&template.json).unwrap();
    let id = format!("{}old", &template.id[..30]);
    let new = NewSession { index: template.index, id, json };
    lab.embedded.sessions.create(vec![new]).await.unwrap();
    lab.embedded.sessions.flush().await.unwrap();
}

/// Events as they come from elsewhere lead to the same object.
#[tokio::test(flavor = "multi_thread")]
async fn wrapped_events() {
    let (lab, _, messages) = recorded(91, 50, 1).await;
    let direct = parse_event(&messages[0]).unwrap();
    let sns = serde_json::json!({ "Type": "Notification", "Message": messages[0] }).to_string();
    assert_eq!(parse_event(&sns).unwrap(), direct);
    for message in [sns.clone(), sns, messages[0].clone()] {
        lab.embedded.queue.send(message).await.unwrap();
    }
    lab.work(2).await;
    let search = lab.embedded.sessions.files(&Scope::everything(), &Default::default()).await.unwrap();
    assert_eq!(search.total, 1);
    let wanted = undisturbed(&lab, &messages).await;
    assert!(lab.documents().await == wanted);
    lab.embedded.shutdown().await.unwrap();
}
