//! Runs every target on a stable compiler: `smoke SECONDS [TARGET…]`, `smoke --corpus`, `smoke --run TARGET FILE…`.
//!
//! Inputs are mutated from generated traffic, the same in every run until time is over. A panic, a second without an end or too
//! much memory is a finding: its input is written to `fuzz/artifacts/smoke/` and the exit code is 1.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::RefCell,
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use skycap_fuzz::{TARGETS, Target, seeds::Traffic};

/// Memory that one input may take beyond what was in use before it. The largest by right: an object's seek table, zstd
/// contexts, the probe tables.
const MAX_MEMORY_BYTES: usize = 64 << 20;

/// Time that one input may take. Inputs are some kilobytes, so all are done within milliseconds.
const MAX_SECONDS: u64 = 1;

/// Time after which an input counts as endless, and the program ends.
const ENDLESS_SECONDS: u64 = 20;

/// Longest input.
const MAX_INPUT_BYTES: usize = 24 << 10;

/// Findings of one target, by place, after which it is left alone.
const MAX_FINDINGS: usize = 12;

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What runs now: target, input, since when.
static RUNNING: Mutex<Option<(&'static str, Vec<u8>, Instant)>> = Mutex::new(None);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--corpus"] => write_corpus(),
        ["--run", name, files @ ..] => run_files(name, files),
        [seconds, names @ ..] if seconds.parse::<u64>().is_ok() => {
            let chosen: Vec<&Target> =
                TARGETS.iter().filter(|target| names.is_empty() || names.contains(&target.name)).collect();
            if chosen.len() < names.len() {
                return usage();
            }
            campaign(Duration::from_secs(seconds.parse().unwrap_or(10)), &chosen)
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("usage: smoke SECONDS [TARGET…] | --corpus | --run TARGET FILE…\ntargets: {}", names.join(" "));
    ExitCode::from(2)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Writes the seeds and words where cargo-fuzz looks for them.
fn write_corpus() -> ExitCode {
    let traffic = Traffic::generate();
    for target in TARGETS {
        let corpus = folder("corpus").join(target.name);
        if let Err(error) = fs::create_dir_all(&corpus) {
            eprintln!("smoke: {}: {error}", corpus.display());
            return ExitCode::FAILURE;
        }
        let seeds = (target.seeds)(&traffic);
        for (number, seed) in seeds.iter().enumerate() {
            let _ = fs::write(corpus.join(format!("seed-{number:03}")), seed);
        }
        let words: String = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect();
        let _ = fs::write(folder("corpus").join(format!("{}.dict", target.name)), words);
        println!("{}: {} seeds", target.name, seeds.len());
    }
    ExitCode::SUCCESS
}

fn escaped(word: &[u8]) -> String {
    word.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Runs inputs as they are, without catching anything.
fn run_files(name: &str, files: &[&str]) -> ExitCode {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { return usage() };
    for file in files {
        let Ok(bytes) = fs::read(file) else {
            eprintln!("smoke: {file} can't be read");
            return ExitCode::FAILURE;
        };
        let started = Instant::now();
        (target.run)(&bytes);
        println!("{file}: {} bytes, {:?}", bytes.len(), started.elapsed());
    }
    ExitCode::SUCCESS
}

fn campaign(each: Duration, targets: &[&'static Target]) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
        PANICKED_AT.set(format!("{place}: {}", panic.payload_as_str().unwrap_or("")));
    }));
    thread::spawn(watch);
    let traffic = Traffic::generate();
    let mut failed = false;
    for target in targets {
        let seeds = (target.seeds)(&traffic);
        let findings = fuzz(target, &seeds, each);
        for (place, (count, shortest)) in &findings {
            failed = true;
            let shortest = minimized(target, shortest, place);
            let file = store(target.name, &shortest);
            println!("{}: {count}×, {} bytes in {}\n    {}", target.name, shortest.len(), file.display(), cut(place));
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

fn store(name: &str, input: &[u8]) -> PathBuf {
    let artifacts = folder("artifacts").join("smoke");
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let file = artifacts.join(format!("{name}-{hash:016x}"));
    let _ = fs::create_dir_all(&artifacts);
    let _ = fs::write(&file, input);
    file
}

/// Ends the program where an input has no end.
fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let Ok(running) = RUNNING.lock() else { return };
        if let Some((name, input, since)) = &*running
            && since.elapsed() > Duration::from_secs(ENDLESS_SECONDS)
        {
            println!("{name}: no end after {ENDLESS_SECONDS} s: {}", store(name, input).display());
            std::process::exit(1);
        }
    }
}

/// Says what is wrong with an input, if anything.
fn attempt(target: &Target, input: &[u8]) -> Option<String> {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let started = Instant::now();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if outcome.is_err() {
        return Some(PANICKED_AT.take());
    }
    let elapsed = started.elapsed();
    if elapsed > Duration::from_secs(MAX_SECONDS) {
        return Some(format!("slow: {elapsed:?}"));
    }
    let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    (taken > MAX_MEMORY_BYTES).then(|| format!("memory: {taken} bytes"))
}

/// What findings are told apart by: the place in the source, without the values.
fn place_of(finding: &str) -> &str {
    finding.split(": ").next().unwrap_or(finding)
}

type Findings = BTreeMap<String, (u64, Vec<u8>)>;

fn fuzz(target: &'static Target, seeds: &[Vec<u8>], time: Duration) -> Findings {
    let mut findings = Findings::new();
    let mut random = Random(0x5eed ^ target.name.len() as u64);
    let started = Instant::now();
    let mut runs = 0_u64;
    while started.elapsed() < time && findings.len() < MAX_FINDINGS {
        let input = match seeds.get(runs as usize) {
            Some(seed) => seed.clone(),
            None => mutated(seeds, target.words, &mut random),
        };
        runs += 1;
        if let Ok(mut running) = RUNNING.lock() {
            *running = Some((target.name, input.clone(), Instant::now()));
        }
        let Some(finding) = attempt(target, &input) else { continue };
        let known = findings.keys().find(|known| place_of(known) == place_of(&finding)).cloned();
        let entry = findings.entry(known.unwrap_or(finding)).or_insert_with(|| (0, input.clone()));
        entry.0 += 1;
        if input.len() < entry.1.len() {
            entry.1 = input;
        }
    }
    if let Ok(mut running) = RUNNING.lock() {
        *running = None;
    }
    println!("{}: {runs} inputs from {} seeds, {} findings", target.name, seeds.len(), findings.len());
    findings
}

/// Takes pieces out while the finding stays.
fn minimized(target: &Target, input: &[u8], finding: &str) -> Vec<u8> {
    let mut best = input.to_vec();
    let started = Instant::now();
    let mut piece = best.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < best.len() && started.elapsed() < Duration::from_secs(10) {
            let mut shorter = best.clone();
            shorter.drain(at..(at + piece).min(best.len()));
            if attempt(target, &shorter).is_some_and(|found| place_of(&found) == place_of(finding)) {
                best = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}

/// A linear congruential generator: mutations are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }

    /// A length: short ones are the most frequent.
    fn length(&mut self, most: usize) -> usize {
        let bits = self.below(12) as u32;
        (self.below(1 << bits) + 1).min(most)
    }
}

fn mutated(seeds: &[Vec<u8>], words: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
    let rounds = 1 << random.below(5);
    for _ in 0..rounds {
        let place = random.below(input.len() + 1);
        let length = random.length(input.len().saturating_sub(place));
        match random.below(11) {
            0 | 1 => {
                if let Some(byte) = input.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
            }
            2 => {
                if let Some(byte) = input.get_mut(place) {
                    *byte = [0, 1, 0x7f, 0x80, 0xff, 0x20, 0xfe][random.below(7)];
                }
            }
            3 => drop(input.drain(place..place + length)),
            4 => {
                let copy = input[place..place + length].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            5 => {
                let word = words[random.below(words.len())];
                input.splice(place..place, word.iter().copied());
            }
            6 => {
                let word = words[random.below(words.len())];
                let end = (place + word.len()).min(input.len());
                input.splice(place..end, word.iter().copied());
            }
            7 => {
                let number = (random.below(1 << 20) as u32) >> random.below(20);
                let bytes = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let (from, width) = if random.below(2) == 0 { (0, 2) } else { (2, 2) };
                let end = (place + width).min(input.len());
                input.splice(place..end, bytes[from..from + width].iter().copied());
            }
            8 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let length = random.length(other.len() - from);
                input.splice(place..place, other[from..from + length].iter().copied());
            }
            9 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.truncate(place);
                input.extend(&other[from..]);
            }
            _ => {
                if let Some(byte) = input.get_mut(place) {
                    *byte = byte.wrapping_add(random.below(9) as u8).wrapping_sub(4);
                }
            }
        }
    }
    input.truncate(MAX_INPUT_BYTES);
    input
}
