//! Matching by sets of positions: no backtracking, time at most size × length × length.

use super::{Regex, RegexNode};

impl Regex {
    /// True if the whole text fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut starts = vec![false; text.len() + 1];
        if let Some(first) = starts.first_mut() {
            *first = true;
        }
        step(&self.node, &text, starts).last() == Some(&true)
    }
}

/// The positions reached from some of `starts` through the node.
fn step(node: &RegexNode, text: &[char], starts: Vec<bool>) -> Vec<bool> {
    match node {
        RegexNode::Empty => starts,
        RegexNode::Literal(wanted) => advance(text, &starts, |character| character == *wanted),
        RegexNode::Any => advance(text, &starts, |_| true),
        RegexNode::Class(class) => advance(text, &starts, |character| class.contains(character)),
        RegexNode::Concat(nodes) => nodes.iter().fold(starts, |reached, node| step(node, text, reached)),
        RegexNode::Alternation(nodes) => {
            let mut all = vec![false; starts.len()];
            for node in nodes {
                join(&mut all, &step(node, text, starts.clone()));
            }
            all
        }
        RegexNode::Repeat { node, min, max } => {
            let mut reached = starts;
            for _ in 0..*min {
                reached = step(node, text, reached);
            }
            let mut all = reached.clone();
            for _ in 0..max.map_or(u32::MAX, |max| max - min) {
                reached = step(node, text, reached);
                // what an earlier round reached has more rounds left
                reached.iter_mut().zip(&all).for_each(|(new, old)| *new &= !old);
                if !reached.contains(&true) {
                    break;
                }
                join(&mut all, &reached);
            }
            all
        }
    }
}

fn advance(text: &[char], starts: &[bool], fits: impl Fn(char) -> bool) -> Vec<bool> {
    let moved = starts.iter().zip(text).map(|(start, character)| *start && fits(*character));
    std::iter::once(false).chain(moved).collect()
}

fn join(all: &mut [bool], more: &[bool]) {
    all.iter_mut().zip(more).for_each(|(into, from)| *into |= from);
}

#[cfg(test)]
mod tests {
    use crate::Regex;

    #[test]
    fn whole_values() {
        for (source, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("a|", "", true),
            ("login", "a login", false),
            (".*login.*", "a login\n", true),
            ("[a-c]+\\d{2,3}", "abc12", true),
            ("[a-c]+\\d{2,3}", "abc1234", false),
            ("(ab){2}", "abab", true),
            ("(ab){2,}", "ababab", true),
            ("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
            ("[^/]*", "a/b", false),
            ("a\\/b", "a/b", true),
            ("[a\\]-]*", "a]-", true),
            ("\\W", "ü", true),
            ("(?:x|y)z?", "y", true),
        ] {
            assert_eq!(Regex::parse(source).unwrap().matches(text), fits, "{source} {text}");
        }
    }
}
