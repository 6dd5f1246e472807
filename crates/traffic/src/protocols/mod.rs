//! What is said on the flows.

pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod other;
pub(crate) mod ssh;
pub(crate) mod tls;

use crate::flow::World;
use crate::random::Random;
use crate::report::Names;
use crate::tcp::{Conversation, Message};

/// Nothing: a connection without payload.
pub(crate) struct Nothing;

impl Conversation for Nothing {
    fn next(&mut self, _: &World, _: &mut Random, _: &mut Names) -> Option<Message> {
        None
    }

    fn estimate(&self) -> u64 {
        0
    }
}

/// Appends a 16-bit length and the bytes.
pub(crate) fn put16(output: &mut Vec<u8>, bytes: &[u8]) {
    output.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    output.extend_from_slice(bytes);
}
