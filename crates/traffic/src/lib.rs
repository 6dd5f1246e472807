//! A deterministic traffic generator: captures of any size, made as they are written, and an exact account of what is in them.
//!
//! [`Options`] name a [`Mix`], a seed and a size; equal options make equal bytes on every platform. A [`Generator`] gives packets in
//! order of time, one by one, to callbacks or to a libpcap file, and for each flow a [`FlowReport`] when it ends. Memory is that of the
//! flows open at once, which each mix bounds.
//!
//! ```
//! use skycap_traffic::{Generator, Mix, Options};
//!
//! let options = Options { seed: 7, flows: Some(50), ..Options::new(Mix::Sample) };
//! let (mut capture, mut sidecar) = (Vec::new(), Vec::new());
//! let totals = Generator::new(options)?.write(&mut capture, Some(&mut sidecar))?;
//! assert_eq!(totals.file_bytes, capture.len() as u64);
//! assert_eq!(totals.flows, 50);
//! // a JSON line for each flow, and one for the totals
//! assert_eq!(sidecar.iter().filter(|byte| **byte == b'\n').count(), 51);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is real and what only looks so
//! Headers, checksums, sequence numbers and message formats are right. What would be encrypted is pseudo-random, and so are keys and
//! signatures: certificates are well-formed DER, but no signature verifies and every elliptic public key is the base point of its curve.
//! Host names are reserved ones, addresses are private, documentation and benchmark addresses.

mod content;
mod flow;
mod generator;
mod names;
mod options;
mod pcap;
mod plan;
mod protocols;
mod random;
mod report;
mod tcp;
mod wire;
mod x509;

pub use generator::Generator;
pub use options::{
    DEFAULT_BYTES, DEFAULT_HANDSHAKES, DEFAULT_SAMPLE_FLOWS, DEFAULT_START, Disturbance, MIN_BYTES, Mix, Options,
    OptionsError, Resolution, parse_bytes,
};
pub use pcap::{FILE_HEADER_BYTES, Packet, PcapWriter, RECORD_HEADER_BYTES};
pub use report::{Closing, Disturbed, FlowReport, MAX_NAMES, Names, ProtocolTotals, Side, Totals};
