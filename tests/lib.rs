//! Tests across parts, with the real pipeline: generated traffic through the recorder into the embedded S3 endpoint,
//! its events through the indexer into the store, and back out through the API and the `skycap` binary.
//!
//! What is right is said by [`reference`], a naive model that keeps every packet in a list, by the traffic generator's
//! own account, and by tools that are not ours.

#[cfg(test)]
mod command_line;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tools;
