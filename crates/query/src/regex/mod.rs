//! Regular expressions: an own subset, over the whole value, rendered for each store.
//!
//! Literals, `.`, classes (`[a-z0-9]`, `[^/]`, `\d \w \s` and their capitals), groups, `|`, `*`, `+`, `?`, `{n}`,
//! `{n,}`, `{n,m}`. No anchors (the whole value is matched anyway), no look-around, no back-references: so that
//! every store answers alike and in linear time.

mod matching;
mod parse;
mod render;
mod transform;

pub(crate) use render::{RUST_ANY, escape_rust};
pub(crate) use transform::any_byte;

/// Longest regular expression, in bytes as written and in characters as rendered for Lucene: what OpenSearch's
/// `index.max_regex_length` allows unless changed.
pub const MAX_REGEX_LENGTH: usize = 1_000;

/// Most groups inside each other.
pub const MAX_REGEX_DEPTH: usize = 30;

/// Largest number in `{n,m}`.
pub const MAX_REGEX_REPEAT: u32 = 1_000;

/// Most characters and classes once repetitions are written out.
pub const MAX_REGEX_SIZE: u64 = 5_000;

/// A regular expression that must fit the whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regex {
    node: RegexNode,
}

/// A piece of a [`Regex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegexNode {
    /// The empty text.
    Empty,
    /// This character.
    Literal(char),
    /// `.`: any one character, line ends too.
    Any,
    /// One character of a class.
    Class(CharacterClass),
    /// All of them in order.
    Concat(Vec<RegexNode>),
    /// One of them.
    Alternation(Vec<RegexNode>),
    /// Again and again.
    Repeat {
        /// What.
        node: Box<RegexNode>,
        /// At least so often.
        min: u32,
        /// At most so often.
        max: Option<u32>,
    },
}

/// A set of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharacterClass {
    /// True where it holds for every character *not* in the ranges.
    pub negated: bool,
    /// Ranges, both ends included, sorted and apart; never empty.
    pub ranges: Vec<(char, char)>,
}

impl CharacterClass {
    /// True if the character is in the class.
    #[must_use]
    pub fn contains(&self, character: char) -> bool {
        let after = self.ranges.partition_point(|&(low, _)| low <= character);
        let inside = after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|range| character <= range.1);
        inside != self.negated
    }

    pub(crate) fn new(negated: bool, mut ranges: Vec<(char, char)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(char, char)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match joined.last_mut() {
                Some(last) if u32::from(low) <= u32::from(last.1).saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        Self { negated, ranges: joined }
    }
}

/// Why a regular expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegexError {
    /// First byte of what is wrong.
    pub offset: usize,
    /// Bytes that are wrong.
    pub length: usize,
    /// One sentence, in lower case.
    pub message: String,
}

impl Regex {
    /// Parses what stands between the slashes; `\/` is a slash.
    ///
    /// # Errors
    /// Syntax outside the subset, or one of the limits of this module.
    pub fn parse(source: &str) -> Result<Self, RegexError> {
        parse::parse(source).map(|node| Self { node })
    }

    /// Its tree.
    #[must_use]
    pub fn node(&self) -> &RegexNode {
        &self.node
    }
}

impl RegexNode {
    pub(crate) fn concat(mut nodes: Vec<Self>) -> Self {
        match nodes.len() {
            0 => Self::Empty,
            1 => nodes.pop().unwrap_or(Self::Empty),
            _ => Self::Concat(nodes),
        }
    }

    pub(crate) fn alternation(mut nodes: Vec<Self>) -> Self {
        match nodes.len() {
            0 => Self::Empty,
            1 => nodes.pop().unwrap_or(Self::Empty),
            _ => Self::Alternation(nodes),
        }
    }

    /// Characters and classes once repetitions are written out.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Literal(_) | Self::Any | Self::Class(_) => 1,
            Self::Concat(nodes) | Self::Alternation(nodes) => {
                nodes.iter().fold(0_u64, |sum, node| sum.saturating_add(node.size()))
            }
            // an empty piece still costs a step for each repetition
            Self::Repeat { node, min, max } => {
                node.size().max(1).saturating_mul(u64::from(max.unwrap_or(*min).max(*min).max(1)))
            }
        }
    }
}
