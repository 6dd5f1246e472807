//! Why an expression is refused, and where.

use std::fmt;

/// A piece of the expression's text, in bytes.
///
/// All spans are equal, so that trees compare by meaning and not by where they were written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The bytes `start..end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the beginning of one to the end of the other.
    #[must_use]
    pub const fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end }
    }
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Span {}

/// What is wrong with an expression, where, and what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    /// First byte of what is wrong.
    pub position: usize,
    /// Bytes that are wrong; 0 where something is missing.
    pub length: usize,
    /// What could stand there.
    pub expected: String,
    /// What stands there, shortened.
    pub found: String,
    /// One sentence for people, in lower case, no full stop.
    pub message: String,
    /// A known name near to the unknown one.
    pub nearest: Option<String>,
}

/// Most characters of the expression that a message repeats.
const MAX_QUOTED: usize = 64;

impl QueryError {
    pub(crate) fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        let found = text.get(span.start..span.end).map(shorten).unwrap_or_default();
        let length = span.end.saturating_sub(span.start);
        let expected = String::new();
        Self { position: span.start, length, expected, found, message: message.into(), nearest: None }
    }

    pub(crate) fn expected(self, expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    /// The line of the expression that is wrong, with carets below the place, and the message.
    ///
    /// `expression` is the text that was parsed. Long lines are cut around the place.
    #[must_use]
    pub fn render(&self, expression: &str) -> String {
        let before = expression.get(..self.position).unwrap_or(expression);
        let after = expression.get(self.position..).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let before: Vec<char> = before.get(line_start..).unwrap_or("").chars().collect();
        let skipped = before.len().saturating_sub(MAX_QUOTED);
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        let mut line: String = if skipped > 0 { "…".to_owned() } else { String::new() };
        line.extend(before.iter().skip(skipped).copied().map(plain));
        let column = line.chars().count();
        line.extend(after.lines().next().unwrap_or("").chars().take(MAX_QUOTED).map(plain));
        let wrong = after.get(..self.length).unwrap_or(after).lines().next().unwrap_or("").chars().count();
        let carets = "^".repeat(wrong.clamp(1, MAX_QUOTED));
        format!("{line}\n{}{carets}\n{self}", " ".repeat(column))
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at {}: {}", self.position, self.message)?;
        if !self.expected.is_empty() {
            write!(formatter, "; expected {}", self.expected)?;
        }
        if !self.found.is_empty() {
            write!(formatter, ", found `{}`", self.found)?;
        }
        if let Some(nearest) = &self.nearest {
            write!(formatter, "; did you mean `{nearest}`?")?;
        }
        Ok(())
    }
}

pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets() {
        let text = "port == x && ü == 1";
        let error = QueryError::new(text, Span::new(13, 15), "unknown field");
        assert_eq!(error.render(text), "port == x && ü == 1\n             ^\nat 13: unknown field, found `ü`");
        let long = "a".repeat(200);
        let error = QueryError::new(&long, Span::new(100, 101), "wrong");
        assert!(error.render(&long).starts_with("…a"));
        let end = QueryError::new("a ==", Span::new(4, 4), "a value is missing");
        assert_eq!(end.render("a =="), "a ==\n    ^\nat 4: a value is missing");
    }
}
