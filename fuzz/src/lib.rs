//! Fuzz targets: plain functions over arbitrary bytes that panic where an invariant doesn't hold.
//!
//! libFuzzer calls them through `fuzz_targets/`, and the `smoke` program calls them on a stable compiler with inputs mutated
//! from generated traffic. Nothing here knows a single protocol: [`protocols`] walks the list of `skycap-protocols`.

mod certificate;
mod dissector;
mod input;
mod object;
mod packet;
mod protocols;
mod query;
pub mod seeds;

pub use certificate::certificate;
pub use dissector::dissector;
pub use object::{object, object_pieces};
pub use packet::{capture, packet};
pub use protocols::{probes, protocols, protocols_cut};
pub use query::query;

/// One fuzz target.
pub struct Target {
    /// Its name, for cargo-fuzz and `smoke` alike.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
    /// Words of its input language, for mutations.
    pub words: &'static [&'static [u8]],
    /// Makes inputs to begin with, from generated traffic.
    pub seeds: fn(&seeds::Traffic) -> Vec<Vec<u8>>,
}

/// All of them.
pub static TARGETS: &[Target] = &[
    Target { name: "packet", run: packet, words: seeds::HEADERS, seeds: seeds::packets },
    Target { name: "capture", run: capture, words: seeds::MAGICS, seeds: seeds::captures },
    Target { name: "object", run: object, words: seeds::MAGICS, seeds: seeds::objects },
    Target { name: "object_pieces", run: object_pieces, words: seeds::MAGICS, seeds: seeds::object_pieces },
    Target { name: "query", run: query, words: seeds::EXPRESSIONS, seeds: seeds::expressions },
    Target { name: "certificate", run: certificate, words: seeds::DER, seeds: seeds::certificates },
    Target { name: "probes", run: probes, words: seeds::MESSAGES, seeds: seeds::first_payloads },
    Target { name: "protocols", run: protocols, words: seeds::MESSAGES, seeds: seeds::conversations },
    Target { name: "protocols_cut", run: protocols_cut, words: seeds::MESSAGES, seeds: seeds::conversations },
    Target { name: "dissector", run: dissector, words: seeds::HEADERS, seeds: seeds::dissections },
];

/// Makes the program of a target for libFuzzer; without cargo-fuzz it says what to use instead.
#[macro_export]
macro_rules! libfuzzer {
    ($target:ident) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$target(data));

        #[cfg(not(fuzzing))]
        fn main() {
            eprintln!("run `cargo +nightly fuzz run {}`, or the smoke program", stringify!($target));
        }
    };
}
