//! Tools that aren't ours, on what we write.

use std::{path::Path, process::Command, sync::Arc};

use skycap_packet::capture::{CaptureReader, Step};
use skycap_traffic::{Disturbance, Options};

use crate::{
    harness::{Lab, assert_same, has_tool, made, plain, sample, seconds_for, sensor, sorted, write_capture},
    reference::{self, Kept},
};

/// What our reader of foreign captures finds.
fn ours(bytes: &[u8]) -> Vec<Kept> {
    let (mut reader, mut rest, mut found) = (CaptureReader::new(), bytes, Vec::new());
    loop {
        match reader.next(rest) {
            Step::Packet { consumed, packet, .. } => {
                let data = packet.data.to_vec();
                found.push(Kept { time: packet.time.0, original_length: packet.original_length, data });
                rest = &rest[consumed..];
            }
            Step::Skip { consumed } => rest = &rest[consumed..],
            Step::NeedMore { .. } => break,
            Step::Error(error) => panic!("{error}"),
        }
    }
    reader.finish(rest.len()).unwrap();
    found
}

/// What libpcap finds.
fn libpcap(path: &Path) -> Vec<Kept> {
    let mut capture = pcap::Capture::from_file_with_precision(path, pcap::Precision::Nano).unwrap();
    assert_eq!(capture.get_datalink(), pcap::Linktype::ETHERNET);
    let mut found = Vec::new();
    loop {
        match capture.next_packet() {
            Ok(packet) => {
                let header = packet.header;
                // with this precision the fraction is nanoseconds, whatever its name
                let time = header.ts.tv_sec as u64 * 1_000_000_000 + header.ts.tv_usec as u64;
                found.push(Kept { time, original_length: header.len, data: packet.data.to_vec() });
            }
            Err(pcap::Error::NoMorePackets) => return found,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A lab in which a sample lies in three objects, and its export as a file.
async fn exported() -> (Lab, Vec<Kept>, std::path::PathBuf) {
    let (packets, _) = made(sample(101, 600, Disturbance { reorder: 0.02, loss: 0.01, ..Disturbance::default() }));
    let packets = Arc::new(packets);
    let lab = Lab::open().await;
    lab.record(&packets, sensor(seconds_for(3, &packets))).await;
    lab.work(1).await;
    let (_, body) = lab.ask("/api/sessions/pcap", &[("date", "-1")]).await;
    let path = lab.folder.path().join("export.pcap");
    std::fs::write(&path, &body).unwrap();
    (lab, packets.to_vec(), path)
}

#[test]
fn libpcap_reads_generated_captures_as_we_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.pcap");
    for options in [
        sample(102, 500, Disturbance { overlap: 0.02, ..Disturbance::default() }),
        Options { snap_length: 96, ..sample(103, 200, Disturbance::default()) },
        Options { resolution: skycap_traffic::Resolution::Microseconds, ..sample(104, 200, Disturbance::default()) },
    ] {
        write_capture(&path, options);
        let read = libpcap(&path);
        assert!(read.len() > 1_000);
        assert_same(&ours(&std::fs::read(&path).unwrap()), &read, "our reader");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libpcap_reads_exports() {
    let (lab, packets, path) = exported().await;
    let read = libpcap(&path);
    assert_same(&ours(&std::fs::read(&path).unwrap()), &read, "our reader");
    assert_same(&sorted(read), &sorted(packets), "libpcap");
    lab.embedded.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tcpdump_reads_exports() {
    if !has_tool("tcpdump", "tcpdump_reads_exports") {
        return;
    }
    let (lab, packets, path) = exported().await;
    let copy = lab.folder.path().join("copy.pcap");
    let tcpdump = |arguments: &[&str]| {
        let output = Command::new("tcpdump").args(arguments).output().unwrap();
        assert!(output.status.success(), "tcpdump: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (from, to) = (path.to_str().unwrap(), copy.to_str().unwrap());
    tcpdump(&["--time-stamp-precision=nano", "-r", from, "-w", to]);
    let found = reference::pcap(&std::fs::read(&copy).unwrap());
    assert_same(&sorted(found.clone()), &sorted(packets), "what tcpdump copied");
    let text = tcpdump(&["--time-stamp-precision=nano", "-nn", "-tt", "-q", "-r", from]);
    let times: Vec<u64> = text
        .lines()
        .filter_map(|line| line.split(' ').next()?.split_once('.'))
        .filter_map(|(seconds, fraction)| {
            Some(
                seconds.parse::<u64>().ok()? * 1_000_000_000
                    + (fraction.len() == 9).then(|| fraction.parse::<u64>().ok())??,
            )
        })
        .collect();
    let wanted: Vec<u64> = found.iter().map(|packet| packet.time).collect();
    assert_eq!(times, wanted, "times that tcpdump prints");
    lab.embedded.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn zstd_unpacks_objects() {
    if !has_tool("zstd", "zstd_unpacks_objects") {
        return;
    }
    let (lab, packets, _) = exported().await;
    let mut all = Vec::new();
    for (metadata, bytes) in lab.objects().await {
        let path = lab.folder.path().join("objects").join(&lab.embedded.bucket).join(&metadata.key);
        let output = Command::new("zstd").arg("-dc").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = reference::pcap(&output.stdout);
        assert_same(&read, &plain(reference::object(&bytes)), &metadata.key);
        all.extend(read);
    }
    assert_same(&all, &packets, "all objects");
    lab.embedded.shutdown().await.unwrap();
}
