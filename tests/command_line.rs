//! Bad input through the real binary: each error names the file, where, and why; what was good before is kept.
//! Exit codes: 0 well, 1 failed, 2 wrong command line, 3 done but some input was damaged.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use skycap_traffic::Disturbance;

use crate::{
    harness::{assert_same, has_tool, sample, skycap, sorted, write_capture},
    reference,
};

struct Run {
    code: Option<i32>,
    out: Vec<u8>,
    error: String,
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run { code: output.status.code(), out: output.stdout, error: String::from_utf8(output.stderr).unwrap() }
}

/// Imports captures into a data folder.
fn local(data: &Path, captures: &[&Path]) -> Run {
    run(skycap(data).args(["local", "--once"]).args(captures))
}

fn dissect(path: &Path) -> Run {
    run(skycap(Path::new("/nonexistent")).arg("dissect").arg(path))
}

impl Run {
    #[track_caller]
    fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.error);
        for word in words {
            assert!(self.error.contains(word), "{word:?} is missing in: {}", self.error);
        }
    }
}

/// Sessions and packets that a data folder has.
fn counts(data: &Path) -> (usize, u64) {
    let found = run(skycap(data).args(["search", "--json", "--limit", "1000000"]));
    found.says(0, &[]);
    let text = String::from_utf8(found.out).unwrap();
    let packets = text.lines().map(|line| {
        let session: serde_json::Value = serde_json::from_str(line).unwrap();
        session["network"]["packets"].as_u64().unwrap()
    });
    (text.lines().count(), packets.sum())
}

struct Case {
    folder: tempfile::TempDir,
    good: PathBuf,
    bytes: Vec<u8>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.pcap");
        write_capture(&good, sample(seed, 150, Disturbance::default()));
        let bytes = std::fs::read(&good).unwrap();
        Self { folder, good, bytes }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn packets(&self) -> u64 {
        reference::pcap(&self.bytes).len() as u64
    }
}

#[test]
fn files_that_are_no_captures() {
    let case = Case::new(400);
    let text = case.file("notes.txt", b"these are only notes, and no capture at all\n");
    let empty = case.file("empty.pcap", b"");
    let good = local(&case.data(), &[&case.good]);
    good.says(0, &[]);
    let before = counts(&case.data());
    assert_eq!(before.1, case.packets());
    for (path, words) in [
        (&text, &["notes.txt", "neither libpcap nor pcapng at offset 0", "74, 68, 65, 73"][..]),
        (&empty, &["empty.pcap", "cut short at offset 0"][..]),
    ] {
        local(&case.data(), &[path]).says(3, words);
        dissect(path).says(3, words);
        assert_eq!(counts(&case.data()), before, "what was good before is kept");
    }
}

#[test]
fn captures_cut_short_or_broken() {
    let case = Case::new(401);
    let cut = case.file("cut.pcap", &case.bytes[..case.bytes.len() - 7]);
    let packets = case.packets() - 1;
    // where the last record begins
    let kept = reference::pcap(&case.bytes);
    let offset = case.bytes.len() - 16 - kept.last().unwrap().data.len();
    let words = ["cut.pcap", &format!("cut short at offset {offset}")];
    let found = local(&case.data(), &[&cut]);
    found.says(3, &words);
    found.says(3, &[&format!("{packets} packets")]);
    assert_eq!(counts(&case.data()).1, packets);
    let found = dissect(&cut);
    found.says(3, &words);
    assert!(!found.out.is_empty());

    // a record of impossible length after the tenth packet: all before it is kept, and so is the next file
    let at: usize = 24 + kept[..10].iter().map(|packet| 16 + packet.data.len()).sum::<usize>();
    let mut broken = case.bytes.clone();
    broken[at + 8..at + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let broken = case.file("broken.pcap", &broken);
    let data = case.folder.path().join("other");
    local(&data, &[&broken, &case.good]).says(3, &["broken.pcap", &format!("impossible length at offset {at}")]);
    assert_eq!(counts(&data).1, 10 + case.packets());

    // compressed, and cut inside of the compression
    if has_tool("gzip", "captures_cut_short_or_broken") {
        let packed = run(Command::new("gzip").arg("-c").arg(&case.good)).out;
        let half = case.file("half.pcap.gz", &packed[..packed.len() / 2]);
        let data = case.folder.path().join("third");
        let found = local(&data, &[&half]);
        found.says(3, &["half.pcap.gz", "offset"]);
        let (_, kept) = counts(&data);
        assert!(kept > 0 && kept < case.packets(), "{kept}: {}", found.error);
    }
}

#[test]
fn unknown_link_types_are_kept() {
    let case = Case::new(402);
    let mut bytes = case.bytes.clone();
    bytes[20] = 147;
    let path = case.file("user.pcap", &bytes);
    local(&case.data(), &[&path]).says(0, &[]);
    assert_eq!(counts(&case.data()).1, case.packets());
    let export = case.folder.path().join("export.pcap");
    run(skycap(&case.data()).arg("pcap").arg("-o").arg(&export)).says(0, &[]);
    let exported = std::fs::read(&export).unwrap();
    assert_eq!(exported[20..24], [147, 0, 0, 0]);
    assert_same(&sorted(reference::pcap(&exported)), &sorted(reference::pcap(&bytes)), "an export of link type 147");
    // together with Ethernet a libpcap file has no room for it: said, not guessed
    local(&case.data(), &[&case.good]).says(0, &[]);
    let refused = run(skycap(&case.data()).arg("pcap").arg("-o").arg(case.folder.path().join("both.pcap")));
    refused.says(1, &["147", "link types"]);
    assert!(!case.folder.path().join("both.pcap").exists());
}

#[test]
fn wrong_expressions() {
    let case = Case::new(403);
    local(&case.data(), &[&case.good]).says(0, &[]);
    for command in ["search", "pcap"] {
        let mut wrong = skycap(&case.data());
        wrong.args([command, "ip.src == 10.0.0.1 && port.dts == 443"]);
        run(&mut wrong).says(1, &["at 22", "port.dts", "did you mean `port.dst`?"]);
        run(skycap(&case.data()).args([command, "port == "])).says(1, &["at "]);
    }
    run(skycap(&case.data()).args(["search", "--no-such-option"])).says(2, &["--no-such-option"]);
    run(skycap(&case.data()).arg("serch")).says(2, &["serch"]);
    run(skycap(&case.data()).args(["search", "--json", "--csv"])).says(2, &["--csv"]);
}

#[test]
fn missing_files_folders_and_objects() {
    let case = Case::new(404);
    let nowhere = case.folder.path().join("nowhere.pcap");
    local(&case.data(), &[&nowhere]).says(1, &["nowhere.pcap", "No such file"]);
    assert!(!case.data().exists(), "a wrong name makes no data folder");
    dissect(&nowhere).says(1, &["nowhere.pcap", "No such file"]);
    run(skycap(&case.data()).arg("search")).says(1, &["no data folder", case.data().to_str().unwrap()]);
    let folder = case.folder.path().join("none");
    std::fs::create_dir(&folder).unwrap();
    local(&case.data(), &[&folder]).says(1, &["none", "no capture files"]);

    local(&case.data(), &[&case.good]).says(0, &[]);
    let before = counts(&case.data());
    let mut objects = Vec::new();
    let mut folders = vec![case.data().join("objects/skycap/captures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { objects.push(entry) }
        }
    }
    for object in &objects {
        std::fs::remove_file(object).unwrap();
    }
    let name = objects[0].file_name().unwrap().to_str().unwrap();
    let export = case.folder.path().join("export.pcap");
    let failed = run(skycap(&case.data()).arg("pcap").arg("-o").arg(&export));
    failed.says(1, &[name]);
    assert!(!export.exists(), "an export that failed must not look like one");
    // what is known of the sessions stays
    local(&case.data(), &[]).says(0, &[]);
    assert_eq!(counts(&case.data()), before);
}

/// A file system of a few megabytes, as root; unmounted in the end.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "skycap-test"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(path.to_owned()))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn full_disk() {
    let case = Case::new(405);
    let Some(small) = Small::mount(&case.folder.path().join("small"), "12m") else {
        eprintln!("SKIPPED full_disk: mounting a tmpfs needs root");
        return;
    };
    let data = small.0.join("data");
    local(&data, &[&case.good]).says(0, &[]);
    let before = counts(&data);
    let large = case.folder.path().join("large.pcap");
    let options = sample(406, 0, Disturbance::default());
    let options =
        skycap_traffic::Options { mix: skycap_traffic::Mix::Bulk, flows: None, bytes: Some(20_000_000), ..options };
    write_capture(&large, options);
    let mut command = Command::new("timeout");
    // a full disk is no reason to wait for ever
    command.args(["-s", "KILL", "60"]).arg(crate::harness::binary()).arg("--data").arg(&data);
    let failed = run(command.args(["local", "--once"]).arg(&large));
    failed.says(1, &["large.pcap"]);
    let lower = failed.error.to_lowercase();
    assert!(lower.contains("no space left") || lower.contains("disk is full"), "{}", failed.error);

    // what was good before is kept; with room again the work is done
    small.grow("200m");
    local(&data, &[]).says(0, &[]);
    let after = counts(&data);
    assert!(after.0 >= before.0 && after.1 >= before.1, "{after:?} and before {before:?}");
    local(&data, &[&large]).says(0, &[]);
    let packets = reference::pcap(&std::fs::read(&large).unwrap()).len() as u64;
    assert_eq!(counts(&data).1, before.1 + packets);
}
