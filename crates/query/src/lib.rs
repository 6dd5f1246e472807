//! The expression language: text to a typed tree, and what the tree means.
//!
//! [`parse`] turns `ip.src == 10.0.0.0/8 && port.dst == [80,443]` into an [`Expression`] whose fields and values are
//! resolved by the catalogue, so that a store only has to translate. [`evaluate`] is the reference: what an
//! expression means for one document. No I/O, no clock.

mod date;
mod error;
pub mod evaluate;
mod literal;
mod parse;
mod pattern;
mod protocol_numbers;
mod punycode;
mod regex;
pub mod sample;
mod tree;
mod value;
mod words;

pub use date::parse_time;
pub use error::{QueryError, Span};
pub use parse::{Context, MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_LIST_VALUES, parse};
pub use pattern::{Pattern, PatternPart};
pub use protocol_numbers::{protocol_name, protocol_number};
pub use regex::{
    CharacterClass, MAX_REGEX_DEPTH, MAX_REGEX_LENGTH, MAX_REGEX_REPEAT, MAX_REGEX_SIZE, Regex, RegexError, RegexNode,
};
pub use tree::{
    AddressRange, Alternative, Expression, FileKey, Operator, Predicate, Range, Target, Term, TextMatch, WordMatch,
};
pub use words::words;
