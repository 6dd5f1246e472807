//! Values as written: quoted or bare text with wildcards, regular expressions, lists, `EXISTS!`.

use std::fmt;

use crate::Span;

/// One character of a value as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    /// This character.
    Is(char),
    /// `?`: any one character.
    One,
    /// `*`: any characters or none.
    Run,
}

/// One value as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// Text, bare or quoted, escapes removed.
    Text { symbols: Vec<Symbol>, span: Span },
    /// What stands between the slashes, escapes kept.
    Regex { source: String, span: Span },
}

impl Literal {
    pub(crate) const fn span(&self) -> Span {
        match self {
            Self::Text { span, .. } | Self::Regex { span, .. } => *span,
        }
    }
}

/// The right side of a comparison as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Written {
    Exists,
    One(Literal),
    Any(Vec<Literal>),
}

impl Written {
    pub(crate) fn literals(&self) -> &[Literal] {
        match self {
            Self::Exists => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(any) => any,
        }
    }
}

/// The text of symbols where wildcards stand for themselves: for values in which they mean nothing.
pub(crate) fn plain(symbols: &[Symbol]) -> String {
    symbols
        .iter()
        .map(|symbol| match symbol {
            Symbol::Is(character) => *character,
            Symbol::One => '?',
            Symbol::Run => '*',
        })
        .collect()
}

/// Symbols of a text without escapes.
#[cfg(test)]
pub(crate) fn symbols(text: &str) -> Vec<Symbol> {
    text.chars()
        .map(|character| match character {
            '*' => Symbol::Run,
            '?' => Symbol::One,
            other => Symbol::Is(other),
        })
        .collect()
}

/// Characters that a bare value may have wherever it stands.
fn is_bare(symbol: &Symbol) -> bool {
    match symbol {
        Symbol::Is(character) => character.is_ascii_alphanumeric() || "._:-+@%/".contains(*character),
        Symbol::One | Symbol::Run => true,
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regex { source, .. } => write!(formatter, "/{source}/"),
            Self::Text { symbols, .. } => {
                let special = matches!(symbols.as_slice(), [] | [Symbol::Run] | [Symbol::Is('/'), ..]);
                let bare = !special && symbols.iter().all(is_bare);
                let quote = if bare { "" } else { "\"" };
                formatter.write_str(quote)?;
                for symbol in symbols {
                    match symbol {
                        Symbol::Is(character @ ('"' | '\\' | '*' | '?')) => write!(formatter, "\\{character}"),
                        Symbol::Is(character) => write!(formatter, "{character}"),
                        Symbol::One => write!(formatter, "?"),
                        Symbol::Run => write!(formatter, "*"),
                    }?;
                }
                formatter.write_str(quote)
            }
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => formatter.write_str("EXISTS!"),
            Self::One(literal) => write!(formatter, "{literal}"),
            Self::Any(list) => {
                formatter.write_str("[")?;
                for (place, literal) in list.iter().enumerate() {
                    write!(formatter, "{}{literal}", if place > 0 { "," } else { "" })?;
                }
                formatter.write_str("]")
            }
        }
    }
}
