//! Patterns of `*` and `?` over a whole value.

use crate::literal::Symbol;

/// A wildcard pattern: parts in order, over the whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<PatternPart>,
}

/// A part of a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternPart {
    /// This text, never empty.
    Literal(String),
    /// `?`: any one character.
    One,
    /// `*`: any characters or none; never twice in a row.
    Run,
}

impl Pattern {
    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[PatternPart] {
        &self.parts
    }

    /// Makes a pattern; neighbouring literals and runs become one.
    pub(crate) fn new(symbols: &[Symbol]) -> Self {
        let mut parts: Vec<PatternPart> = Vec::new();
        for symbol in symbols {
            match (parts.last_mut(), symbol) {
                (Some(PatternPart::Literal(text)), Symbol::Is(character)) => text.push(*character),
                (_, Symbol::Is(character)) => parts.push(PatternPart::Literal(character.to_string())),
                (_, Symbol::One) => parts.push(PatternPart::One),
                (Some(PatternPart::Run), Symbol::Run) => {}
                (_, Symbol::Run) => parts.push(PatternPart::Run),
            }
        }
        Self { parts }
    }

    /// True if the whole text fits. Time is at most the product of both lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let pattern: Vec<Symbol> = self.symbols().collect();
        let (mut at, mut place) = (0, 0);
        // where to go on if the text after the last `*` does not fit
        let mut retry: Option<(usize, usize)> = None;
        while let Some(&character) = text.get(at) {
            match pattern.get(place) {
                Some(Symbol::Run) => {
                    retry = Some((at, place + 1));
                    place += 1;
                }
                Some(Symbol::One) => (at, place) = (at + 1, place + 1),
                Some(Symbol::Is(wanted)) if *wanted == character => (at, place) = (at + 1, place + 1),
                _ => {
                    let Some((from, after)) = retry else { return false };
                    retry = Some((from + 1, after));
                    (at, place) = (from + 1, after);
                }
            }
        }
        pattern.get(place..).is_some_and(|rest| rest.iter().all(|symbol| *symbol == Symbol::Run))
    }

    fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.parts.iter().flat_map(|part| {
            let (text, other) = match part {
                PatternPart::Literal(text) => (text.as_str(), None),
                PatternPart::One => ("", Some(Symbol::One)),
                PatternPart::Run => ("", Some(Symbol::Run)),
            };
            text.chars().map(Symbol::Is).chain(other)
        })
    }

    /// The pattern for a `wildcard` query of OpenSearch: `*`, `?` and backslash of the text are escaped.
    #[must_use]
    pub fn to_lucene(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                PatternPart::Literal(text) => {
                    for character in text.chars() {
                        if matches!(character, '*' | '?' | '\\') {
                            out.push('\\');
                        }
                        out.push(character);
                    }
                }
                PatternPart::One => out.push('?'),
                PatternPart::Run => out.push('*'),
            }
        }
        out
    }

    /// The pattern as a regular expression of the `regex` crate and of tantivy, without anchors.
    #[must_use]
    pub fn to_rust_regex(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                PatternPart::Literal(text) => text.chars().for_each(|each| crate::regex::escape_rust(each, &mut out)),
                PatternPart::One => out.push_str(crate::regex::RUST_ANY),
                PatternPart::Run => {
                    out.push_str(crate::regex::RUST_ANY);
                    out.push('*');
                }
            }
        }
        out
    }

    /// The text before the first wildcard: what a store may seek to. Empty if there is none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(PatternPart::Literal(text)) => text,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::literal::symbols;

    #[test]
    fn whole_values() {
        for (pattern, text, fits) in [
            ("*login*", "/user/login.php", true),
            ("*login", "/user/login.php", false),
            ("l?gin", "login", true),
            ("l?gin", "lgin", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-c-", false),
            ("?ü*", "aüb", true),
        ] {
            assert_eq!(Pattern::new(&symbols(pattern)).matches(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn rendering() {
        let pattern = Pattern::new(&[Symbol::Is('a'), Symbol::Is('*'), Symbol::Run, Symbol::Run, Symbol::Is('.')]);
        assert_eq!(pattern.to_lucene(), r"a\**.");
        assert_eq!(pattern.to_rust_regex(), r"a\*(?s:.)*\.");
        assert_eq!(pattern.prefix(), "a*");
    }
}
