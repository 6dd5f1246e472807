//! From packets to objects to events to documents and back to packets: each packet once, each counter right.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use axum::http::StatusCode;
use serde_json::Value;
use skycap_indexer::{IndexSettings, Indexer, Outcome};
use skycap_model::{FileState, ObjectKey, PartSequence};
use skycap_sensor::Settings;
use skycap_traffic::{Closing, Disturbance, Mix, Options};

use crate::{
    harness::{
        CountingObjects, Document, Lab, Random, WatchedSessions, assert_same, made, parsed, plain, sample, seconds_for,
        sensor, sorted,
    },
    reference::{self, Kept, Session, Stored},
};

const DISTURBED: Disturbance = Disturbance { loss: 0.01, reorder: 0.02, retransmission: 0.02, overlap: 0.01 };

/// Compares the documents of one object with what the reference makes of its packets.
fn check_object(packets: &[Stored], documents: &[&Document], what: &str) {
    let mut wanted: BTreeMap<Vec<u64>, Session> = BTreeMap::new();
    for session in reference::sessions(packets) {
        wanted.insert(session.packets.iter().map(|&index| packets[index].0).collect(), session);
    }
    for document in documents {
        let (_, positions) = document.positions();
        let Some(session) = wanted.remove(&positions) else {
            let first = packets.iter().position(|(position, _)| *position == positions[0]);
            let like =
                reference::sessions(packets).into_iter().find(|session| session.packets.first().copied() == first);
            panic!(
                "{what}: no session should have these {} packets: {}\nthe reference begins one there with {:?} packets: {:?}",
                positions.len(),
                document.json,
                like.as_ref().map(|session| session.packets.len()),
                like.map(|session| session.key),
            );
        };
        check_counters(document, &session, packets, what);
    }
    if let Some((positions, session)) = wanted.first_key_value() {
        panic!("{what}: {} sessions are missing, one of {} packets: {:?}", wanted.len(), positions.len(), session.key);
    }
}

/// Name of an end of a document as the reference has it.
fn end(document: &Document, side: &str, key: &reference::Key) -> String {
    let address = document.at(&format!("{side}.ip")).as_str().unwrap_or_default();
    if key.1.contains(' ') {
        format!("{address} {}", document.number(&format!("{side}.port")))
    } else {
        address.to_owned()
    }
}

fn check_counters(document: &Document, session: &Session, packets: &[Stored], what: &str) {
    let all: Vec<&Kept> = session.packets.iter().map(|&index| &packets[index].1).collect();
    let bytes: u64 = all.iter().map(|packet| u64::from(packet.original_length)).sum();
    assert_eq!(document.number("network.packets"), all.len() as u64, "{what}: {}", document.json);
    assert_eq!(document.number("network.bytes"), bytes, "{what}: {}", document.json);
    let last = all.iter().map(|packet| packet.time).max().unwrap() / 1_000_000;
    assert_eq!(document.number("lastPacket"), last, "{what}: {}", document.json);
    if session.segment == 1 {
        assert_eq!(document.number("firstPacket"), all[0].time / 1_000_000, "{what}: {}", document.json);
    }
    assert_eq!(
        document.at("source.packets").as_u64().unwrap_or(0) + document.at("destination.packets").as_u64().unwrap_or(0),
        all.len() as u64
    );
    if !session.key.0.starts_with("ip") {
        return;
    }
    for side in ["source", "destination"] {
        let name = end(document, side, &session.key);
        let sent = || session.senders.iter().zip(&all).filter(|(sender, _)| **sender == name);
        let wanted = (sent().count() as u64, sent().map(|(_, packet)| u64::from(packet.original_length)).sum::<u64>());
        let found = (document.number(&format!("{side}.packets")), document.number(&format!("{side}.bytes")));
        assert_eq!(found, wanted, "{what}: {side} {name}: {}", document.json);
    }
}

/// All that must be true of a data folder in which these packets were recorded and everything is indexed.
async fn check_everything(lab: &Lab, packets: &[Kept]) {
    let objects = lab.objects().await;
    let documents = lab.documents().await;
    let files = lab.files().await;
    let mut stored = Vec::new();
    for (metadata, bytes) in &objects {
        let file = files.iter().find(|file| file.skycap.key == metadata.key).expect("a files document for each object");
        let own: Vec<&Document> = documents.iter().filter(|document| document.positions().0 == file.num).collect();
        let read = reference::object(bytes);
        assert_eq!(file.skycap.state, FileState::Indexed, "{file:?}");
        assert_eq!(file.skycap.reason, None);
        assert_eq!((file.packets, file.sessions_present), (read.len() as u64, own.len() as u64), "{}", file.name);
        assert!(own.iter().all(|document| file.skycap.indices.contains(&document.index)));
        check_object(&read, &own, &metadata.key);
        stored.extend(plain(read));
    }
    assert_same(&stored, packets, "objects one after the other");
    let in_sessions: u64 = documents.iter().map(|document| document.number("network.packets")).sum();
    assert_eq!(in_sessions, packets.len() as u64, "stored = in session documents");
    let (_, body) = lab.ask("/api/sessions", &[("date", "-1"), ("length", "0")]).await;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["recordsFiltered"], documents.len());
    let exported = lab.export("/api/sessions/pcap", &[("date", "-1")]).await;
    assert!(exported.windows(2).all(|pair| pair[0].time <= pair[1].time), "an export is in order of time");
    assert_same(&sorted(exported), &sorted(packets.to_vec()), "an export of everything");
}

/// Packets by object and position.
fn packets_by_position(objects: &[(u64, Vec<Stored>)]) -> HashMap<(u64, u64), Kept> {
    let all = objects
        .iter()
        .flat_map(|(file, packets)| packets.iter().map(move |(position, packet)| ((*file, *position), packet.clone())));
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_is_found_once() {
    let (packets, _) = made(sample(11, 3_000, DISTURBED));
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    let recorded = lab.record(&packets, sensor(seconds_for(6, &packets))).await;
    assert_eq!((recorded.packets, recorded.refused), (packets.len() as u64, 0));
    assert!((5..=7).contains(&recorded.objects), "{recorded:?}");
    let counters = lab.work(2).await;
    assert_eq!(counters.given_back.load(Ordering::Relaxed), 0);
    assert_eq!(counters.packets.load(Ordering::Relaxed), packets.len() as u64);
    check_everything(&lab, &packets).await;

    // flows cross objects
    let documents = lab.documents().await;
    let mut objects_of: HashMap<&str, HashSet<u64>> = HashMap::new();
    for document in &documents {
        if let Some(id) = document.at("network.community_id").as_str() {
            objects_of.entry(id).or_default().insert(document.positions().0);
        }
    }
    assert!(objects_of.values().filter(|objects| objects.len() > 1).count() > 20);

    // single sessions and expressions, against the packets that their documents name
    let mut objects = Vec::new();
    for (metadata, bytes) in lab.objects().await {
        let file = lab.files().await.into_iter().find(|file| file.skycap.key == metadata.key).unwrap();
        objects.push((file.num, reference::object(&bytes)));
    }
    let known = packets_by_position(&objects);
    let packets_of = |chosen: &[&Document]| {
        let all = chosen.iter().flat_map(|document| {
            let (file, positions) = document.positions();
            positions.into_iter().map(move |position| (file, position))
        });
        sorted(all.map(|place| known[&place].clone()).collect())
    };
    let mut random = Random(7);
    for _ in 0..12 {
        let document = &documents[random.below(documents.len())];
        let path = format!("/api/session/node-1/{}/pcap", document.id);
        assert_same(&sorted(lab.export(&path, &[]).await), &packets_of(&[document]), &path);
    }
    let some: Vec<&Document> = (0..40).map(|_| &documents[random.below(documents.len())]).collect();
    let ids: HashSet<&str> = some.iter().map(|document| document.id.as_str()).collect();
    let chosen: Vec<&Document> = documents.iter().filter(|document| ids.contains(document.id.as_str())).collect();
    let list = ids.into_iter().collect::<Vec<_>>().join(",");
    assert_same(&sorted(lab.export("/api/sessions/pcap", &[("ids", &list)]).await), &packets_of(&chosen), "ids");
    type Test = fn(&Document) -> bool;
    let expressions: [(&str, Test); 6] = [
        ("ip.protocol == tcp", |document| document.number("ipProtocol") == 6),
        ("port.dst == 443", |document| document.at("destination.port") == 443),
        ("packets > 10 && packets <= 40", |document| (11..=40).contains(&document.number("network.packets"))),
        ("protocols == dns", |document| has(document.at("protocol"), "dns")),
        ("ip.protocol != tcp && bytes.src > 200", |document| {
            document.number("ipProtocol") != 6 && document.number("source.bytes") > 200
        }),
        ("protocols == http && http.statuscode == 404", |document| {
            has(document.at("protocol"), "http") && document.at("http.statuscode").to_string().contains("404")
        }),
    ];
    for (expression, test) in expressions {
        let chosen: Vec<&Document> = documents.iter().filter(|document| test(document)).collect();
        let found = lab.export("/api/sessions/pcap", &[("date", "-1"), ("expression", expression)]).await;
        assert_same(&sorted(found), &packets_of(&chosen), expression);
        assert!(!chosen.is_empty() && chosen.len() < documents.len(), "{expression} chooses {}", chosen.len());
    }
    lab.embedded.shutdown().await.unwrap();
}

fn has(list: &Value, name: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|item| item == name))
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_several_parts() {
    let options = Options { bytes: Some(24_000_000), ..sample(5, 0, Disturbance::default()) };
    let (packets, _) = made(Options { mix: Mix::Bulk, flows: None, ..options });
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    let settings = Settings { part_bytes: 5 << 20, rotate_bytes: 9 << 20, ..sensor(86_400.0) };
    let recorded = lab.record(&packets, settings).await;
    assert!(recorded.objects >= 2, "{recorded:?}");
    let messages = lab.messages().await;
    assert!(messages.iter().any(|message| message.contains("ObjectCreated:CompleteMultipartUpload")), "{messages:?}");
    for message in messages {
        lab.embedded.queue.send(message).await.unwrap();
    }
    lab.work(1).await;
    check_everything(&lab, &packets).await;
    assert!(lab.files().await.iter().any(|file| file.skycap.parts.len() > 1));
    lab.embedded.shutdown().await.unwrap();
}

/// A session of more than 10,000 packets goes on in segments, and is exported as a whole where that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn long_sessions_have_segments() {
    let start = (skycap_api::now().seconds() - 600) * 1_000_000_000;
    let packets: Vec<Kept> = (0..25_001_u64).map(|number| ping_pong(start + number * 1_000_003, number)).collect();
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(86_400.0)).await;
    lab.work(1).await;
    check_everything(&lab, &packets).await;
    let documents = lab.documents().await;
    let counts: Vec<u64> = documents.iter().map(|document| document.number("network.packets")).collect();
    assert_eq!(counts, [10_000, 10_000, 5_001]);
    let roots: Vec<Option<&str>> = documents.iter().map(|document| document.at("rootId").as_str()).collect();
    assert_eq!(roots, [None, Some(documents[0].id.as_str()), Some(documents[0].id.as_str())]);
    for document in &documents {
        let path = format!("/api/session/entire/node-1/{}/pcap", document.id);
        assert_same(&lab.export(&path, &[]).await, &packets, &path);
    }
    let list = [("ids", documents[2].id.as_str()), ("segments", "all")];
    assert_same(&lab.export("/api/sessions/pcap", &list).await, &packets, "segments=all");
    lab.embedded.shutdown().await.unwrap();
}

/// A datagram of 10.9.0.1 port 4001 to 10.9.0.2 port 4002, or back.
fn ping_pong(time: u64, number: u64) -> Kept {
    let back = number % 3 == 2;
    let ends = if back { [2, 1] } else { [1, 2] };
    let mut data = vec![2, 0, 0, 0, 0, ends[1], 2, 0, 0, 0, 0, ends[0], 8, 0]; // Ethernet
    data.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, ends[0], 10, 9, 0, ends[1]]); // IPv4
    data.extend([15, 160 + ends[0], 15, 160 + ends[1], 0, 16, 0, 0]); // UDP, ports 4001 and 4002
    data.extend(number.to_be_bytes());
    Kept { time, original_length: data.len() as u32, data }
}

/// One object, nothing lost: what the generator says of each flow is what the documents say.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_the_generated_flows() {
    let disturbance = Disturbance { loss: 0.0, ..DISTURBED };
    let (packets, reports) = made(sample(3, 2_500, disturbance));
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(86_400.0)).await;
    lab.work(1).await;
    check_everything(&lab, &packets).await;
    let objects = lab.objects().await;
    let stored = reference::object(&objects[0].1);
    let sessions: HashMap<u64, Session> =
        reference::sessions(&stored).into_iter().map(|session| (stored[session.packets[0]].0, session)).collect();
    let mut by_ends: HashMap<(u64, String, u64, String, u64), Vec<Document>> = HashMap::new();
    for document in lab.documents().await {
        if let (Some(source), Some(destination)) =
            (document.at("source.ip").as_str(), document.at("destination.ip").as_str())
        {
            let (from, to) = (document.number("source.port"), document.number("destination.port"));
            let key = (document.number("ipProtocol"), source.to_owned(), from, destination.to_owned(), to);
            by_ends.entry(key).or_default().push(document);
        }
    }
    let mut compared = 0;
    for report in reports.iter().filter(|report| report.complete && matches!(report.ip_protocol, 6 | 17)) {
        let (source, destination) = (report.source.unwrap().to_string(), report.destination.unwrap().to_string());
        let (protocol, from, to) =
            (u64::from(report.ip_protocol), u64::from(report.source_port), u64::from(report.destination_port));
        let key = (protocol, source.clone(), from, destination.clone(), to);
        let Some([document]) = by_ends.get(&key).map(Vec::as_slice) else { continue };
        let found = ["source.packets", "destination.packets", "source.bytes", "destination.bytes"]
            .map(|path| document.number(path));
        let wanted = [report.client.packets, report.server.packets, report.client.bytes, report.server.bytes];
        if document.number("network.packets") != report.client.packets + report.server.packets {
            continue; // two flows of the same ends, or one flow in two sessions: the reference has checked those
        }
        assert_eq!(found, wanted, "flow {}: {}", report.flow, document.json);
        compared += 1;
        let payload = [document.number("client.bytes"), document.number("server.bytes")];
        if report.ip_protocol == 6 {
            let session = &sessions[&document.positions().1[0]];
            let wanted =
                [&format!("{source} {from}"), &format!("{destination} {to}")].map(|end| session.payload_of(end));
            assert_eq!(payload, wanted, "flow {}: {}", report.flow, document.json);
            if report.closing == Closing::Fin {
                assert_eq!(payload, [report.client.stream_bytes, report.server.stream_bytes], "flow {}", report.flow);
            }
        } else if report.fragments == 0 {
            assert_eq!(payload, [report.client.payload_bytes, report.server.payload_bytes], "flow {}", report.flow);
        }
        let text = document.json.to_string().to_lowercase();
        let names = &report.names;
        for name in [&names.dns_host, &names.http_host, &names.http_uri, &names.tls_sni].into_iter().flatten() {
            assert!(text.contains(&name.to_lowercase()), "flow {}: {name} is not in {text}", report.flow);
        }
    }
    let flows = reports.iter().filter(|report| report.complete && matches!(report.ip_protocol, 6 | 17)).count();
    assert!(compared * 10 > flows * 9, "{compared} of {flows} flows compared");
    lab.embedded.shutdown().await.unwrap();
}

/// Events that come twice, shuffled, and to two indexers at once.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_in_any_order() {
    let (packets, _) = made(sample(21, 1_200, DISTURBED));
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(seconds_for(5, &packets))).await;
    let messages = lab.messages().await;
    let mut events = [messages.clone(), messages.clone(), messages.clone()].concat();
    Random(99).shuffle(&mut events);
    let objects = CountingObjects::new(lab.embedded.objects.clone());
    let indexers: Vec<Indexer> = (0..2)
        .map(|_| Indexer::new(objects.clone(), lab.embedded.sessions.clone(), IndexSettings::default()))
        .collect();
    for event in &events {
        for created in parsed(std::slice::from_ref(event)) {
            let (one, other) = tokio::join!(indexers[0].index(&created), indexers[1].index(&created));
            for outcome in [one.unwrap(), other.unwrap()] {
                assert!(matches!(outcome, Outcome::Indexed(_) | Outcome::Known), "{outcome:?}");
            }
        }
    }
    check_everything(&lab, &packets).await;
    let before = (lab.documents().await, lab.files().await);

    // an indexed object costs one read of its files document and none of itself
    let requests = objects.requests.load(Ordering::Relaxed);
    let sessions = WatchedSessions::new(lab.embedded.sessions.clone(), u64::MAX);
    let watched = Indexer::new(objects.clone(), sessions.clone(), IndexSettings::default());
    for created in parsed(&messages) {
        let reads = sessions.file_reads.load(Ordering::Relaxed);
        assert_eq!(watched.index(&created).await.unwrap(), Outcome::Known);
        assert_eq!(sessions.file_reads.load(Ordering::Relaxed) - reads, 1);
    }
    assert_eq!(sessions.calls.load(Ordering::Relaxed), 0);
    assert_eq!(objects.requests.load(Ordering::Relaxed), requests);
    assert_eq!((lab.documents().await, lab.files().await), before);

    // an object that is gone, a key that is none of ours, a message that is no event: acknowledged
    let mut created = parsed(&messages).remove(0);
    created.key = created.key.replace("-0.pcap", "-77.pcap");
    assert_eq!(watched.index(&created).await.unwrap(), Outcome::Gone);
    created.key = "captures/else.pcap".to_owned();
    assert!(matches!(watched.index(&created).await.unwrap(), Outcome::Refused(_)));
    lab.embedded.queue.send("no event".to_owned()).await.unwrap();
    assert_eq!(lab.work(1).await.refused.load(Ordering::Relaxed), 1);
    lab.embedded.shutdown().await.unwrap();
}

/// Objects cut at any byte, and with a damaged block: what is whole is found, what is not is named.
#[tokio::test(flavor = "multi_thread")]
async fn cut_and_damaged_objects() {
    let (packets, _) = made(sample(31, 900, Disturbance::default()));
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(86_400.0)).await;
    lab.messages().await;
    let (metadata, whole) = lab.objects().await.remove(0);
    let key: ObjectKey = metadata.key.parse().unwrap();
    let mut random = Random(1_234);
    let mut variants: Vec<Vec<u8>> = (0..8).map(|_| whole[..200 + random.below(whole.len() - 200)].to_vec()).collect();
    // in the seek table, and in the part record
    variants.extend([whole[..whole.len() - 3].to_vec(), whole[..60].to_vec()]);
    // a byte of a block that isn't the last one
    let blocks = frames(&whole);
    for &(offset, size) in &blocks[..blocks.len().min(2)] {
        let mut damaged = whole.to_vec();
        damaged[offset + size / 2] ^= 0x55;
        variants.push(damaged);
    }
    for (number, bytes) in variants.iter().enumerate() {
        let key = ObjectKey { sequence: PartSequence(1_000 + number as u64), ..key.clone() }.to_string();
        let put = lab.embedded.client.put_object().bucket(&lab.embedded.bucket).key(&key);
        put.body(bytes.clone().into()).send().await.unwrap();
        let messages = lab.messages().await;
        let created = parsed(&messages).into_iter().find(|created| created.key == key).unwrap();
        let Outcome::Indexed(indexed) = lab.indexer().index(&created).await.unwrap() else { panic!("{key}") };
        let read = reference::object(bytes);
        let what = format!("variant {number} of {} bytes", bytes.len());
        assert_eq!(indexed.packets, read.len() as u64, "{what}: {indexed:?}");
        let file = lab.files().await.into_iter().find(|file| file.skycap.key == key).unwrap();
        let documents = lab.documents().await;
        let own: Vec<&Document> = documents.iter().filter(|document| document.positions().0 == file.num).collect();
        check_object(&read, &own, &what);
        assert_eq!(file.packets, read.len() as u64, "{what}");
        if read.len() < packets.len() {
            let reason = file.skycap.reason.as_deref().unwrap_or_else(|| panic!("{what} names no damage"));
            assert!(reason.contains("offset"), "{what}: {reason}");
            let refused = file.skycap.refused.keys().any(|name| name.contains("cut") || name.contains("damaged"));
            assert!(refused, "{what}: {:?}", file.skycap.refused);
            // what is there can be exported
            if !read.is_empty() {
                let expression = format!("file == \"{}\"", file.name);
                let parameters = [("date", "-1"), ("expression", expression.as_str())];
                assert_same(&sorted(lab.export("/api/sessions/pcap", &parameters).await), &sorted(plain(read)), &what);
            }
        }
    }
    // an object that is none
    let key = ObjectKey { sequence: PartSequence(5_000), ..key }.to_string();
    let put = lab.embedded.client.put_object().bucket(&lab.embedded.bucket).key(&key);
    put.body(b"this is no capture object, whatever its name says".to_vec().into()).send().await.unwrap();
    lab.work(1).await;
    let file = lab.files().await.into_iter().find(|file| file.skycap.key == key).unwrap();
    assert_eq!(file.skycap.state, FileState::Refused, "{file:?}");
    assert!(file.skycap.reason.is_some());
    lab.embedded.shutdown().await.unwrap();
}

/// Blocks of an object but for the prologue: offset and size.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let size = zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]).unwrap();
        if at > 0 && bytes[at..at + 4] == [0x28, 0xb5, 0x2f, 0xfd] {
            found.push((at, size));
        }
        at += size;
    }
    found
}

/// Errors of the API say what happened.
#[tokio::test(flavor = "multi_thread")]
async fn missing_things_are_named() {
    let (packets, _) = made(sample(41, 100, Disturbance::default()));
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(86_400.0)).await;
    lab.work(1).await;
    let (status, body) = lab.ask("/api/session/nothing", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body:?}");
    let (status, body) = lab.ask("/api/sessions/pcap", &[("expression", "port.dts == 443")]).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(status == StatusCode::BAD_REQUEST && text.contains("port.dst") && text.contains("at 0"), "{text}");
    let (metadata, _) = lab.objects().await.remove(0);
    lab.embedded.client.delete_object().bucket(&lab.embedded.bucket).key(&metadata.key).send().await.unwrap();
    let request = axum::http::Request::get("/api/sessions/pcap?date=-1").body(axum::body::Body::empty()).unwrap();
    let answer = tower::ServiceExt::oneshot(lab.router(), request).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    assert!(body.is_err(), "an export without its object must not look whole");
    lab.embedded.shutdown().await.unwrap();
}
