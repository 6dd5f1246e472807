//! Tree to the syntax of each store.

use super::{CharacterClass, Regex, RegexNode};

/// Any one character, line ends too, in the syntax of the `regex` crate.
pub(crate) const RUST_ANY: &str = "(?s:.)";

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Rust,
    Lucene,
}

impl Regex {
    /// In the syntax of the `regex` crate and of tantivy, without anchors: the store must match the whole value.
    #[must_use]
    pub fn to_rust_regex(&self) -> String {
        let mut out = String::new();
        write_node(&self.node, Dialect::Rust, &mut out);
        out
    }

    /// In Lucene's syntax, as a `regexp` query of OpenSearch takes it, whatever its `flags`.
    #[must_use]
    pub fn to_lucene(&self) -> String {
        let mut out = String::new();
        write_node(&self.node, Dialect::Lucene, &mut out);
        out
    }
}

pub(crate) fn escape_rust(character: char, out: &mut String) {
    if r"\.+*?()|[]{}^$".contains(character) {
        out.push('\\');
    }
    out.push(character);
}

fn escape_lucene(character: char, out: &mut String) {
    if r#"\.+*?()|[]{}^$@#&<>~""#.contains(character) {
        out.push('\\');
    }
    out.push(character);
}

fn write_node(node: &RegexNode, dialect: Dialect, out: &mut String) {
    match node {
        RegexNode::Empty => out.push_str("()"),
        RegexNode::Literal(character) if dialect == Dialect::Rust => escape_rust(*character, out),
        RegexNode::Literal(character) => escape_lucene(*character, out),
        RegexNode::Any => out.push_str(if dialect == Dialect::Rust { RUST_ANY } else { "." }),
        RegexNode::Class(class) => write_class(class, out),
        RegexNode::Concat(nodes) => nodes.iter().for_each(|node| match node {
            RegexNode::Alternation(_) | RegexNode::Concat(_) => write_group(node, dialect, out),
            other => write_node(other, dialect, out),
        }),
        RegexNode::Alternation(nodes) => {
            for (place, node) in nodes.iter().enumerate() {
                if place > 0 {
                    out.push('|');
                }
                match node {
                    RegexNode::Alternation(_) => write_group(node, dialect, out),
                    other => write_node(other, dialect, out),
                }
            }
        }
        RegexNode::Repeat { node, min, max } => {
            match &**node {
                RegexNode::Literal(_) | RegexNode::Any | RegexNode::Class(_) => write_node(node, dialect, out),
                _ => write_group(node, dialect, out),
            }
            match (min, max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, None) => out.push_str(&format!("{{{min},}}")),
                (min, Some(max)) if min == max => out.push_str(&format!("{{{min}}}")),
                (min, Some(max)) => out.push_str(&format!("{{{min},{max}}}")),
            }
        }
    }
}

fn write_group(node: &RegexNode, dialect: Dialect, out: &mut String) {
    out.push_str(if dialect == Dialect::Rust { "(?:" } else { "(" });
    write_node(node, dialect, out);
    out.push(')');
}

fn write_class(class: &CharacterClass, out: &mut String) {
    let end = |character: char, out: &mut String| {
        if character.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(character);
    };
    out.push_str(if class.negated { "[^" } else { "[" });
    for &(low, high) in &class.ranges {
        end(low, out);
        if low != high {
            out.push('-');
            end(high, out);
        }
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use crate::Regex;

    #[test]
    fn dialects() {
        for (source, rust, lucene) in [
            ("a.b", "a(?s:.)b", "a.b"),
            ("a@b#c<d>~&\"", "a@b#c<d>~&\"", "a\\@b\\#c\\<d\\>\\~\\&\\\""),
            ("(ab|c)d{2,}", "(?:ab|c)d{2,}", "(ab|c)d{2,}"),
            ("[^a-c\\]]+", "[^\\]a-c]+", "[^\\]a-c]+"),
            ("a\\/b\\.", "a/b\\.", "a/b\\."),
            ("", "()", "()"),
            ("\\d?", "[0-9]?", "[0-9]?"),
        ] {
            let regex = Regex::parse(source).unwrap();
            assert_eq!(regex.to_rust_regex(), rust);
            assert_eq!(regex.to_lucene(), lucene);
        }
    }
}
