//! Packet records, capture files and capture objects, without I/O, clock or async: bytes come from callers.
//!
//! - [`record`]: one packet, and how our own objects spell it (libpcap, nanoseconds, little endian).
//! - [`capture`]: streaming readers of foreign libpcap and pcapng files.
//! - [`object`]: the capture object: blocks, parts, seek table, positions; writer and reader.
//! - [`link`]: link types.
//! - [`fuzz`]: entry points over arbitrary bytes.

mod bytes;
pub mod capture;
pub mod decode;
pub mod defragment;
pub mod fuzz;
pub mod link;
pub mod object;
mod pcap;
mod pcapng;
pub mod record;

pub use object::position::Position;
pub use record::Packet;
