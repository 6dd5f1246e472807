//! Text: folding, hosts as URLs, hex, words.

use skycap_model::{Category, Field, Kind};

use super::{Values, is_mac};
use crate::{
    MAX_REGEX_LENGTH, Pattern, QueryError, Regex, RegexNode, TextMatch, WordMatch,
    literal::{Literal, Symbol, plain},
    punycode,
    regex::any_byte,
    words,
};

/// How a field's text is written, and so what is done to a value before it is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TextStyle {
    fold: Fold,
    /// Dashes between the bytes are colons.
    mac: bool,
    /// Scheme and path are cut off; Unicode and Punycode are both searched.
    host: bool,
    /// The scheme is cut off.
    uri: bool,
    /// The field holds the hex digits of the text's bytes.
    hex: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fold {
    None,
    Lower,
    Upper,
}

impl TextStyle {
    pub(super) const fn exact() -> Self {
        Self { fold: Fold::None, mac: false, host: false, uri: false, hex: false }
    }

    pub(super) const fn hex() -> Self {
        Self { hex: true, ..Self::exact() }
    }

    pub(super) fn of(field: &Field) -> Self {
        let fold = match field.kind {
            Kind::LowerTerm | Kind::Words => Fold::Lower,
            Kind::UpperTerm => Fold::Upper,
            _ => Fold::None,
        };
        let host = field.category == Some(Category::Host);
        Self { fold, mac: is_mac(field.category), host, uri: field.path.ends_with(".uri"), hex: false }
    }

    fn characters(self, character: char) -> Vec<char> {
        match (self.fold, character) {
            (_, '-') if self.mac => vec![':'],
            (Fold::None, _) => vec![character],
            (Fold::Lower, _) => character.to_lowercase().collect(),
            (Fold::Upper, _) => character.to_uppercase().collect(),
        }
    }

    fn symbols(self, symbols: &[Symbol]) -> Vec<Symbol> {
        if !is_pattern(symbols) {
            // whole texts are folded as they are when written: a final sigma depends on its place
            let text = match self.fold {
                Fold::None => plain(symbols),
                Fold::Lower => plain(symbols).to_lowercase(),
                Fold::Upper => plain(symbols).to_uppercase(),
            };
            return text.chars().map(|each| Symbol::Is(if self.mac && each == '-' { ':' } else { each })).collect();
        }
        let mut folded = Vec::with_capacity(symbols.len());
        for symbol in symbols {
            match symbol {
                Symbol::Is(character) => folded.extend(self.characters(*character).into_iter().map(Symbol::Is)),
                wildcard => folded.push(*wildcard),
            }
        }
        folded
    }
}

impl Values<'_> {
    /// What a value means; a host with a Unicode or Punycode label means both of its spellings.
    pub(super) fn text_matches(&self, style: TextStyle, literal: &Literal) -> Result<Vec<TextMatch>, QueryError> {
        let Literal::Text { symbols, .. } = literal else {
            return Ok(vec![self.text_match(style, literal)?]);
        };
        if !style.host {
            return Ok(vec![self.text_match(style, literal)?]);
        }
        let host = style.symbols(without_path(without_scheme(symbols)));
        let other = punycode::other_spelling(&host);
        Ok(std::iter::once(host).chain(other).map(|host| plain_or_pattern(&host)).collect())
    }

    pub(super) fn text_match(&self, style: TextStyle, literal: &Literal) -> Result<TextMatch, QueryError> {
        match literal {
            Literal::Text { symbols, .. } => {
                let symbols = if style.uri { without_scheme(symbols) } else { symbols };
                let found = if style.hex { hex_match(symbols) } else { plain_or_pattern(&style.symbols(symbols)) };
                if let TextMatch::Regex(regex) = &found {
                    self.check_rendered(regex, literal)?;
                }
                Ok(found)
            }
            Literal::Regex { source, span } => {
                let regex = Regex::parse(source).map_err(|error| {
                    let start = span.start + 1 + error.offset;
                    QueryError::new(self.text, crate::Span::new(start, start + error.length), error.message)
                })?;
                let regex = if style.hex {
                    regex.to_hex().ok_or_else(|| self.wrong(literal, "a class may only have ASCII characters here"))?
                } else {
                    regex.fold(&|character| style.characters(character))
                };
                self.check_rendered(&regex, literal)?;
                Ok(TextMatch::Regex(regex))
            }
        }
    }

    /// Folding and hex make expressions longer; a store must still take them.
    fn check_rendered(&self, regex: &Regex, literal: &Literal) -> Result<(), QueryError> {
        if regex.to_lucene().chars().count() > MAX_REGEX_LENGTH {
            let message = format!("this becomes a regular expression of more than {MAX_REGEX_LENGTH} characters");
            return Err(self.wrong(literal, message));
        }
        Ok(())
    }

    pub(super) fn word_match(&self, literal: &Literal) -> Result<WordMatch, QueryError> {
        let style = TextStyle { fold: Fold::Lower, ..TextStyle::exact() };
        if let Literal::Text { symbols, .. } = literal
            && !is_pattern(symbols)
        {
            return Ok(WordMatch::Phrase(words(&plain(symbols)).collect()));
        }
        self.text_match(style, literal).map(WordMatch::Word)
    }
}

fn is_pattern(symbols: &[Symbol]) -> bool {
    symbols.iter().any(|symbol| matches!(symbol, Symbol::One | Symbol::Run))
}

fn plain_or_pattern(symbols: &[Symbol]) -> TextMatch {
    if is_pattern(symbols) { TextMatch::Wildcard(Pattern::new(symbols)) } else { TextMatch::Equals(plain(symbols)) }
}

/// Cuts off `scheme://`, which may have wildcards.
fn without_scheme(symbols: &[Symbol]) -> &[Symbol] {
    const MARK: [Symbol; 3] = [Symbol::Is(':'), Symbol::Is('/'), Symbol::Is('/')];
    let in_scheme = |symbol: &Symbol| match symbol {
        Symbol::Is(character) => character.is_ascii_alphanumeric() || "+-.".contains(*character),
        Symbol::One | Symbol::Run => true,
    };
    let scheme = symbols.iter().take_while(|symbol| in_scheme(symbol)).count();
    match symbols.get(scheme..).and_then(|rest| rest.strip_prefix(&MARK)) {
        Some(rest) if scheme > 0 => rest,
        _ => symbols,
    }
}

fn without_path(symbols: &[Symbol]) -> &[Symbol] {
    let end = symbols.iter().position(|symbol| *symbol == Symbol::Is('/')).unwrap_or(symbols.len());
    symbols.get(..end).unwrap_or(symbols)
}

/// Lower-case hex digits of bytes.
pub(crate) fn hex_digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text's bytes as hex digits. A `*` before the end could begin between the digits of a byte: there a regular
/// expression keeps the bytes whole.
fn hex_match(symbols: &[Symbol]) -> TextMatch {
    let run_inside = symbols.iter().position(|symbol| *symbol == Symbol::Run).is_some_and(|at| at + 1 < symbols.len());
    let mut bytes = [0; 4];
    if !run_inside {
        let mut hex = Vec::with_capacity(symbols.len() * 2);
        for symbol in symbols {
            match symbol {
                Symbol::Is(character) => {
                    let digits = hex_digits(character.encode_utf8(&mut bytes).as_bytes());
                    hex.extend(digits.chars().map(Symbol::Is));
                }
                Symbol::One => hex.extend([Symbol::One, Symbol::One]),
                Symbol::Run => hex.push(Symbol::Run),
            }
        }
        return plain_or_pattern(&hex);
    }
    let mut nodes = Vec::with_capacity(symbols.len() * 2);
    for symbol in symbols {
        match symbol {
            Symbol::Is(character) => {
                let digits = hex_digits(character.encode_utf8(&mut bytes).as_bytes());
                nodes.extend(digits.chars().map(RegexNode::Literal));
            }
            Symbol::One => nodes.push(any_byte()),
            Symbol::Run => nodes.push(RegexNode::Repeat { node: Box::new(any_byte()), min: 0, max: None }),
        }
    }
    TextMatch::Regex(Regex::from_node(RegexNode::concat(nodes)))
}
