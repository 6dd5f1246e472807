//! Prints the session documents of a classic pcap file, one a line. Options: `--quiet` prints only what was seen,
//! `--plain` writes no optional fields and hashes no bodies, `--patient` has long timeouts, `--threads=N`.
#![allow(clippy::unwrap_used, reason = "a tool for measuring")]

use std::{
    fs::File,
    io::{BufReader, Read, Write},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use skycap_flow::{ObjectIdentity, SessionDocument, Settings, parallel};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A block whose memory is used again.
struct Block {
    bytes: Vec<u8>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.spare.lock().unwrap().push(std::mem::take(&mut self.bytes));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let path = arguments.iter().rfind(|argument| !argument.starts_with("--")).unwrap();
    let threads = arguments.iter().find_map(|argument| argument.strip_prefix("--threads=")).unwrap_or("1");
    let quiet = has("--quiet");
    let mut settings = Settings::default();
    if has("--plain") {
        settings.options.body_md5 = false;
    } else {
        settings.options.all_fields = true;
        settings.options.body_sha256 = true;
    }
    // the conformance captures were read in one go, without timers: see the scorer's notes
    if has("--patient") {
        settings.udp_timeout_seconds = 600;
        settings.icmp_timeout_seconds = 600;
    }
    let identity =
        ObjectIdentity { node: "test".to_owned(), file_id: 1, id_prefix: "AAAAAAAAAAAAAAAAAAAAAA".to_owned() };
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let mut header = [0; 24];
    reader.read_exact(&mut header).unwrap();
    let swapped = header.starts_with(&[0xa1, 0xb2]);
    let word = move |at: &[u8]| {
        let four = [at[0], at[1], at[2], at[3]];
        if swapped { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    let fraction = if word(&header) == 0xa1b2_3c4d { 1 } else { 1000 };
    let link_type = word(&header[20..]) & 0xffff;
    let mut number = 0;
    let spare: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    // packets as blocks of capture objects have them
    let blocks = std::iter::from_fn(|| {
        let mut block = spare.lock().unwrap().pop().unwrap_or_else(|| Vec::with_capacity(1 << 20));
        block.clear();
        let mut header = [0; 16];
        while block.len() < (1 << 20) - 300_000 && reader.read_exact(&mut header).is_ok() {
            let fields = [word(&header), word(&header[4..]) * fraction, word(&header[8..]), word(&header[12..])];
            block.extend(fields.into_iter().flat_map(u32::to_le_bytes));
            let start = block.len();
            block.resize(start + fields[2] as usize, 0);
            if reader.read_exact(&mut block[start..]).is_err() {
                break;
            }
        }
        number += 1;
        (!block.is_empty()).then(|| (number, Block { bytes: block, spare: Arc::clone(&spare) }))
    });
    let sink = |_| {
        let mut out = std::io::BufWriter::with_capacity(1 << 18, std::io::stdout());
        move |document: SessionDocument<'_>| {
            if !quiet {
                out.write_all(document.json).unwrap();
                out.write_all(b"\n").unwrap();
            }
        }
    };
    let threads: NonZeroUsize = threads.parse().unwrap();
    let totals = parallel::dissect(&settings, &identity, link_type, threads, blocks, sink);
    if quiet {
        eprintln!("{totals:?}");
    }
}
