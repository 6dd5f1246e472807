//! `skycap local` killed at any moment: what was stored as objects is indexed once, nothing twice, nothing lost.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use skycap_traffic::Disturbance;

use crate::{
    harness::{Random, assert_same, sample, skycap, sorted, write_capture},
    reference::{self, Kept},
};

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Objects that lie in a data folder.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("objects/skycap/captures")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { found.push(entry) }
        }
    }
    found
}

/// Packets of all objects that lie in a data folder.
fn stored(folder: &Path) -> Vec<Kept> {
    let bytes = objects(folder).into_iter().map(|path| std::fs::read(path).unwrap());
    sorted(bytes.flat_map(|bytes| reference::object(&bytes)).map(|(_, packet)| packet).collect())
}

/// Checks that the folder's sessions have the packets of its objects, each once; how many there are.
fn check(folder: &Path) -> usize {
    let stored = stored(folder);
    let output = succeed(skycap(folder).args(["search", "--json", "--limit", "1000000"]));
    let (mut packets, mut ids, mut places) = (0, HashSet::new(), HashSet::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let session: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(ids.insert(session["id"].as_str().unwrap().to_owned()), "a session came twice: {session}");
        let (file, positions) = reference::positions(&session["packetPos"]);
        packets += positions.len();
        assert_eq!(session["network"]["packets"], positions.len());
        for position in positions {
            assert!(places.insert((file, position)), "a packet in two sessions: {session}");
        }
    }
    assert_eq!(packets, stored.len(), "packets in sessions, and in objects");
    if !ids.is_empty() {
        let export = folder.join("check.pcap");
        succeed(skycap(folder).arg("pcap").arg("--output").arg(&export));
        assert_same(&sorted(reference::pcap(&std::fs::read(&export).unwrap())), &stored, "an export of everything");
    }
    stored.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut random = Random(u64::from(std::process::id()) << 32 | 77);
    let captures: Vec<PathBuf> = (0..3).map(|number| folder.path().join(format!("capture-{number}.pcap"))).collect();
    let mut all = Vec::new();
    for (number, path) in captures.iter().enumerate() {
        write_capture(path, sample(200 + number as u64, 700, Disturbance { reorder: 0.01, ..Disturbance::default() }));
        all.extend(reference::pcap(&std::fs::read(path).unwrap()));
    }
    let all = sorted(all);
    let import = |data: &Path| {
        let mut command = skycap(data);
        command.args(["local", "--once", "--rotate-seconds", "5"]).args(&captures);
        command.stderr(Stdio::null());
        command
    };
    let mut kept = 0;
    for _ in 0..4 {
        let mut child = import(&data).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(20 + random.below(1_500) as u64)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // what is left of the work is found without being told
        succeed(skycap(&data).args(["local", "--once"]));
        let packets = check(&data);
        assert!(packets >= kept, "{packets} packets, and {kept} before the last kill");
        kept = packets;
    }
    // the same captures again: stored once, whatever was stored before
    succeed(&mut import(&data));
    assert_eq!(check(&data), all.len());
    assert_same(&stored(&data), &all, "objects after all");
    succeed(&mut import(&data));
    assert_eq!(check(&data), all.len());
}

/// A `skycap local` that serves; killed when the test ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, capture) = (folder.path().join("data"), folder.path().join("a.pcap"));
    write_capture(&capture, sample(300, 100, Disturbance::default()));
    let mut command = skycap(&data);
    command.args(["local", "--listen", "127.0.0.1:0"]).arg(&capture).stderr(Stdio::piped());
    let mut serving = Serving(command.spawn().unwrap());
    let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let address = lines.by_ref().map(|line| line.unwrap()).find(|line| line.contains("API at"));
    assert!(address.is_some(), "it never served");

    let second = skycap(&data).args(["local", "--once"]).output().unwrap();
    let message = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains("in use") && message.contains(&format!("process {}", serving.0.id())), "{message}");
    assert!(message.contains(data.to_str().unwrap()), "{message}");

    // while it runs, search and pcap ask it; afterwards they open the folder themselves
    let packets = check(&data);
    assert!(packets > 0);
    let terminated = Command::new("sh").args(["-c", &format!("kill -TERM {}", serving.0.id())]).status().unwrap();
    assert!(terminated.success());
    assert_eq!(serving.0.wait().unwrap().code(), Some(0), "a SIGTERM ends it well");
    assert_eq!(check(&data), packets);
}
