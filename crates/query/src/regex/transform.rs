//! Regular expressions as a field's values are written: folded, or as hex digits.

use super::{CharacterClass, Regex, RegexNode};

/// Widest range of a class that is folded character by character; of wider ones only the ASCII letters are.
const MAX_FOLDED_RANGE: u32 = 1_024;

impl Regex {
    pub(crate) fn from_node(node: RegexNode) -> Self {
        Self { node }
    }

    /// Replaces each literal character by what `fold` makes of it, also in classes.
    pub(crate) fn fold(&self, fold: &impl Fn(char) -> Vec<char>) -> Self {
        Self { node: fold_node(&self.node, fold) }
    }

    /// The expression over the hex digits of the text's bytes; `None` where a class has characters beyond ASCII.
    pub(crate) fn to_hex(&self) -> Option<Self> {
        hex_node(&self.node).map(Self::from_node)
    }
}

fn fold_node(node: &RegexNode, fold: &impl Fn(char) -> Vec<char>) -> RegexNode {
    match node {
        RegexNode::Empty | RegexNode::Any => node.clone(),
        RegexNode::Literal(character) => {
            RegexNode::concat(fold(*character).into_iter().map(RegexNode::Literal).collect())
        }
        RegexNode::Class(class) => RegexNode::Class(fold_class(class, fold)),
        RegexNode::Concat(nodes) => RegexNode::Concat(nodes.iter().map(|node| fold_node(node, fold)).collect()),
        RegexNode::Alternation(nodes) => {
            RegexNode::Alternation(nodes.iter().map(|node| fold_node(node, fold)).collect())
        }
        RegexNode::Repeat { node, min, max } => {
            RegexNode::Repeat { node: Box::new(fold_node(node, fold)), min: *min, max: *max }
        }
    }
}

fn fold_class(class: &CharacterClass, fold: &impl Fn(char) -> Vec<char>) -> CharacterClass {
    let mut ranges = Vec::new();
    for &(low, high) in &class.ranges {
        let wide = u32::from(high) - u32::from(low) > MAX_FOLDED_RANGE;
        if wide {
            ranges.push((low, high));
        }
        let top = if wide { high.min('\x7f') } else { high };
        for character in low..=top {
            // one character in, several out: the class can't say that, so it keeps the character
            let folded = match fold(character).as_slice() {
                [one] => *one,
                _ => character,
            };
            ranges.push((folded, folded));
        }
    }
    CharacterClass::new(class.negated, ranges)
}

fn hex_node(node: &RegexNode) -> Option<RegexNode> {
    Some(match node {
        RegexNode::Empty => RegexNode::Empty,
        RegexNode::Literal(character) => {
            let mut bytes = [0; 4];
            let digits = crate::value::hex_digits(character.encode_utf8(&mut bytes).as_bytes());
            RegexNode::concat(digits.chars().map(RegexNode::Literal).collect())
        }
        RegexNode::Any => any_byte(),
        RegexNode::Class(class) => hex_class(class)?,
        RegexNode::Concat(nodes) => RegexNode::Concat(nodes.iter().map(hex_node).collect::<Option<_>>()?),
        RegexNode::Alternation(nodes) => RegexNode::Alternation(nodes.iter().map(hex_node).collect::<Option<_>>()?),
        RegexNode::Repeat { node, min, max } => {
            RegexNode::Repeat { node: Box::new(hex_node(node)?), min: *min, max: *max }
        }
    })
}

/// Two digits: one byte.
pub(crate) fn any_byte() -> RegexNode {
    RegexNode::Concat(vec![RegexNode::Any, RegexNode::Any])
}

/// Bytes of the class, grouped by their first digit.
fn hex_class(class: &CharacterClass) -> Option<RegexNode> {
    if class.ranges.iter().any(|&(_, high)| !high.is_ascii()) {
        return None;
    }
    let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
    let mut branches = Vec::new();
    for first in 0..16_u8 {
        let seconds = (0..16_u8).filter(|second| class.contains(char::from(first << 4 | second)));
        let ranges: Vec<(char, char)> = seconds.map(|second| (digit(second), digit(second))).collect();
        if !ranges.is_empty() {
            let second = RegexNode::Class(CharacterClass::new(false, ranges));
            branches.push(RegexNode::Concat(vec![RegexNode::Literal(digit(first)), second]));
        }
    }
    Some(RegexNode::alternation(branches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_and_hex() {
        let lower = |character: char| character.to_lowercase().collect();
        let folded = Regex::parse("[A-F0]X|Ü[À-Ö]").unwrap().fold(&lower);
        assert_eq!(folded.to_rust_regex(), "[0a-f]x|ü[à-ö]");
        let wide = Regex::parse("[A-\u{ffff}]").unwrap().fold(&lower);
        assert!(wide.matches("z"));
        let hex = Regex::parse("GE[TS].*").unwrap().to_hex().unwrap();
        assert!(hex.matches("47455420"));
        assert!(!hex.matches("474554200"));
        assert!(Regex::parse("[^\\x]").is_err());
        assert!(Regex::parse("[ü]").unwrap().to_hex().is_none());
    }
}
