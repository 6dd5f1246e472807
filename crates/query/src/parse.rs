//! Text to tree: the grammar. What a value means is [`crate::value`]'s.

use jiff::tz::TimeZone;
use skycap_model::{Catalogue, Resolved, Timestamp};

use crate::{
    Expression, Operator, QueryError, Span, Term,
    literal::{Literal, Symbol, Written},
    value::Values,
};

/// Longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 64 * 1024;

/// Most parentheses and negations inside each other.
pub const MAX_DEPTH: usize = 100;

/// Most values of one list.
pub const MAX_LIST_VALUES: usize = 10_000;

/// What an expression's dates depend on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time that `now` and relative dates mean.
    pub now: Timestamp,
    /// Where dates without an offset are.
    pub timezone: TimeZone,
}

/// Parses an expression and resolves its fields and values.
///
/// Never panics; time grows with the length of the text, which has a limit, and for virtual fields with the number of
/// their members.
///
/// # Errors
/// The first thing that is wrong, with its place: syntax, an unknown field, a value or operator that the field can't
/// have, or a limit ([`MAX_EXPRESSION_BYTES`], [`MAX_DEPTH`], [`MAX_LIST_VALUES`]).
pub fn parse(text: &str, catalogue: &Catalogue, context: &Context) -> Result<Expression, QueryError> {
    if text.len() > MAX_EXPRESSION_BYTES {
        let message =
            format!("an expression may have {MAX_EXPRESSION_BYTES} bytes at most, this one has {}", text.len());
        return Err(QueryError { found: String::new(), ..QueryError::new(text, Span::new(0, text.len()), message) });
    }
    let mut parser = Parser { text, at: 0, depth: 0, values: Values { text, catalogue, context } };
    parser.skip_space();
    if parser.peek().is_none() {
        return Ok(Expression::Everything);
    }
    let expression = parser.any_of()?;
    match parser.peek() {
        None => Ok(expression),
        Some(')') => Err(parser.wrong_here(1, "a closing parenthesis without an opening one")),
        Some(_) => {
            Err(parser.wrong_word("the expression goes on without an operator").expected("`&&`, `||` or the end"))
        }
    }
}

struct Parser<'text> {
    text: &'text str,
    at: usize,
    depth: usize,
    values: Values<'text>,
}

impl<'text> Parser<'text> {
    fn rest(&self) -> &'text str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn wrong(&self, start: usize, end: usize, message: impl Into<String>) -> QueryError {
        QueryError::new(self.text, Span::new(start, end), message)
    }

    fn wrong_here(&self, length: usize, message: impl Into<String>) -> QueryError {
        self.wrong(self.at, self.at + length, message)
    }

    /// An error about the characters up to the next space or parenthesis, at least one.
    fn wrong_word(&self, message: impl Into<String>) -> QueryError {
        let ends = |(at, character): (usize, char)| {
            (at > 0 && (character.is_whitespace() || "()".contains(character))).then_some(at)
        };
        let length = self.rest().char_indices().find_map(ends).unwrap_or(self.rest().len());
        self.wrong_here(length, message)
    }

    /// Goes a level down; `self.depth` is set back by the caller.
    fn enter(&mut self, levels: usize, start: usize) -> Result<(), QueryError> {
        self.depth += levels;
        if self.depth > MAX_DEPTH {
            let message = format!("parentheses and negations may be {MAX_DEPTH} deep at most");
            return Err(self.wrong(start, self.at.max(start), message));
        }
        Ok(())
    }

    fn any_of(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.all_of()?];
        while self.take("||") {
            parts.push(self.all_of()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expression::Or(parts) })
    }

    fn all_of(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.negation()?];
        while self.take("&&") {
            parts.push(self.negation()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expression::And(parts) })
    }

    /// `!x`, `(x)` or a comparison, and the space around it.
    fn negation(&mut self) -> Result<Expression, QueryError> {
        self.skip_space();
        let (start, depth) = (self.at, self.depth);
        let expression = if self.take("!") {
            self.enter(1, start)?;
            Expression::Not(Box::new(self.negation()?))
        } else if self.take("(") {
            self.enter(1, start)?;
            let inner = self.any_of()?;
            if !self.take(")") {
                return Err(match self.peek() {
                    None => self.wrong(start, start + 1, "this parenthesis is not closed"),
                    Some(_) => {
                        self.wrong_word("the expression goes on without an operator").expected("`&&`, `||` or `)`")
                    }
                });
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth = depth;
        self.skip_space();
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression, QueryError> {
        let start = self.at;
        let name = self.name()?;
        let name_span = Span::new(start, self.at);
        let resolved = self.resolve(name, name_span)?;
        self.skip_space();
        let operator_start = self.at;
        let (operator, negated) = self.operator()?;
        let operator_span = Span::new(operator_start, self.at);
        self.skip_space();
        let (written, all) = self.written()?;
        if operator != Operator::Equal && !matches!(written, Written::One(_)) {
            let what = if written == Written::Exists { "`EXISTS!`" } else { "a list" };
            let message = format!("{what} can't be compared by `{}`", operator.as_str());
            return Err(QueryError::new(self.text, operator_span, message).expected("`==` or `!=`"));
        }
        let span = Span::new(start, self.at);
        let term = |written: Written, values: &Values<'_>| {
            let alternatives = values.alternatives(resolved, name_span, (operator, operator_span), &written)?;
            Ok(Expression::Term(Term { alternatives, field: name.to_owned(), operator, span, written }))
        };
        let expression = match written {
            Written::Any(list) if all => {
                // as deep as the parentheses it stands for
                let depth = self.depth;
                self.enter(1 + usize::from(negated), start)?;
                self.depth = depth;
                let parts: Result<Vec<Expression>, QueryError> =
                    list.into_iter().map(|one| term(Written::One(one), &self.values)).collect();
                Expression::And(parts?)
            }
            written => term(written, &self.values)?,
        };
        Ok(if negated { Expression::Not(Box::new(expression)) } else { expression })
    }

    fn name(&mut self) -> Result<&'text str, QueryError> {
        let rest = self.rest();
        let ends = |character: char| character.is_whitespace() || "=!<>()&|\"[],".contains(character);
        let name = rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or("");
        if name.is_empty() {
            let message = if rest.is_empty() { "the expression ends too soon" } else { "a field is missing" };
            return Err(self.wrong_here(rest.chars().next().map_or(0, char::len_utf8), message).expected("a field"));
        }
        self.at += name.len();
        Ok(name)
    }

    fn resolve(&self, name: &str, span: Span) -> Result<Resolved, QueryError> {
        let catalogue = self.values.catalogue;
        catalogue.resolve(name).ok_or_else(|| {
            let nearest = catalogue.nearest(name, 1).first().map(|&known| known.to_owned());
            let message = format!("unknown field {}", crate::error::shorten(name));
            QueryError { nearest, found: String::new(), ..QueryError::new(self.text, span, message) }
        })
    }

    /// The operator, and whether it is `!=`.
    fn operator(&mut self) -> Result<(Operator, bool), QueryError> {
        const OPERATORS: [(&str, Operator, bool); 7] = [
            ("==", Operator::Equal, false),
            ("!=", Operator::Equal, true),
            ("<=", Operator::AtMost, false),
            (">=", Operator::AtLeast, false),
            ("=", Operator::Equal, false),
            ("<", Operator::Below, false),
            (">", Operator::Above, false),
        ];
        for (token, operator, negated) in OPERATORS {
            if self.take(token) {
                return Ok((operator, negated));
            }
        }
        let expected = "`==`, `!=`, `<`, `<=`, `>` or `>=`";
        Err(self.wrong_word("an operator is missing after the field").expected(expected))
    }

    /// The right side, and whether it is a list of which all values are meant.
    fn written(&mut self) -> Result<(Written, bool), QueryError> {
        let start = self.at;
        let written = match self.peek() {
            None => return Err(self.wrong_here(0, "the expression ends too soon").expected("a value")),
            Some('[') => (self.list(']')?, false),
            Some(']') => (self.list('[')?, true),
            Some('"') => (Written::One(self.quoted()?), false),
            Some('/') => (Written::One(self.regex()?), false),
            Some(_) => {
                let symbols = self.bare(None)?;
                let span = Span::new(start, self.at);
                if self.text.get(start..self.at) == Some("EXISTS!") {
                    (Written::Exists, false)
                } else {
                    (Written::One(self.checked_bare(symbols, span)?), false)
                }
            }
        };
        let follows = self.rest();
        if follows.chars().next().is_some_and(|next| !next.is_whitespace() && next != ')')
            && !follows.starts_with("&&")
            && !follows.starts_with("||")
        {
            return Err(self.wrong_word("the value goes on after its end").expected("a space, `&&`, `||` or `)`"));
        }
        Ok(written)
    }

    fn list(&mut self, close: char) -> Result<Written, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut values = Vec::new();
        loop {
            self.skip_space();
            let item = self.at;
            let value = match self.peek() {
                Some('"') => self.quoted()?,
                Some('/') => self.regex()?,
                _ => {
                    let symbols = self.bare(Some(close))?;
                    self.checked_bare(symbols, Span::new(item, self.at))?
                }
            };
            if values.len() == MAX_LIST_VALUES {
                return Err(self.wrong(item, self.at, format!("a list may have {MAX_LIST_VALUES} values at most")));
            }
            values.push(value);
            self.skip_space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(next) if next == close => break,
                None => {
                    return Err(self.wrong(start, start + 1, "this list is not closed").expected(format!("`{close}`")));
                }
                Some(_) => {
                    let expected = format!("`,` or `{close}`");
                    return Err(self.wrong_word("the value goes on after its end").expected(expected));
                }
            }
        }
        self.at += 1;
        // a list of one is that value
        let single = values.len() == 1;
        Ok(match values.pop() {
            Some(one) if single => Written::One(one),
            Some(last) => {
                values.push(last);
                Written::Any(values)
            }
            None => Written::Any(values),
        })
    }

    /// Text without quotes: up to a space, `)`, `&&` or `||`, or in a list up to the comma or its end.
    fn bare(&mut self, close: Option<char>) -> Result<Vec<Symbol>, QueryError> {
        let start = self.at;
        let mut symbols = Vec::new();
        // in a list, spaces inside count and those at the end don't
        let (mut end, mut kept) = (start, 0);
        while let Some(character) = self.peek() {
            let ends = match close {
                Some(close) => character == ',' || character == close,
                None => {
                    let rest = self.rest();
                    character.is_whitespace() || character == ')' || rest.starts_with("&&") || rest.starts_with("||")
                }
            };
            if ends {
                break;
            }
            if matches!(character, '"' | '(' | '[' | ']') {
                return Err(self.wrong_here(1, format!("a value with `{character}` must be quoted")));
            }
            symbols.push(self.symbol(character)?);
            if !character.is_whitespace() {
                (end, kept) = (self.at, symbols.len());
            }
        }
        if end == start {
            let length = self.peek().map_or(0, char::len_utf8);
            return Err(self.wrong_here(length, "a value is missing").expected("a value; `\"\"` is the empty one"));
        }
        self.at = end;
        symbols.truncate(kept);
        Ok(symbols)
    }

    fn checked_bare(&self, symbols: Vec<Symbol>, span: Span) -> Result<Literal, QueryError> {
        let error = |message: &str| QueryError::new(self.text, span, message);
        if symbols == [Symbol::Run] {
            return Err(error("a bare `*` is no value").expected("`EXISTS!` for any value"));
        }
        if self.text.get(span.start..span.end) == Some("EXISTS!") {
            return Err(error("`EXISTS!` can't stand in a list").expected("a value"));
        }
        if symbols.first() == Some(&Symbol::Is('$')) {
            return Err(error("shortcuts are not supported: quote a value that begins with `$`"));
        }
        Ok(Literal::Text { symbols, span })
    }

    /// One character of a value; a backslash takes its meaning from the next.
    fn symbol(&mut self, character: char) -> Result<Symbol, QueryError> {
        let start = self.at;
        self.at += character.len_utf8();
        match character {
            '*' => Ok(Symbol::Run),
            '?' => Ok(Symbol::One),
            '\\' => {
                let Some(escaped) = self.peek() else {
                    return Err(self.wrong(start, self.at, "a backslash at the end: for itself write `\\\\`"));
                };
                self.at += escaped.len_utf8();
                Ok(Symbol::Is(escaped))
            }
            other => Ok(Symbol::Is(other)),
        }
    }

    fn quoted(&mut self) -> Result<Literal, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut symbols = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.wrong(start, start + 1, "this quote is not closed").expected("`\"`")),
                Some('"') => break,
                Some(character) => symbols.push(self.symbol(character)?),
            }
        }
        self.at += 1;
        Ok(Literal::Text { symbols, span: Span::new(start, self.at) })
    }

    fn regex(&mut self) -> Result<Literal, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        while let Some(character) = self.peek() {
            if character == '/' && !escaped {
                let source = self.text.get(start + 1..self.at).unwrap_or("").to_owned();
                self.at += 1;
                if self.peek().is_some_and(|next| !next.is_whitespace() && !"),&|[]".contains(next)) {
                    let message = "a slash ends the regular expression: inside it write `\\/`; a path must be quoted";
                    return Err(self.wrong(self.at - 1, self.at, message));
                }
                return Ok(Literal::Regex { source, span: Span::new(start, self.at) });
            }
            escaped = character == '\\' && !escaped;
            self.at += character.len_utf8();
        }
        let message = "this regular expression is not closed; a path must be quoted";
        Err(self.wrong(start, start + 1, message).expected("`/`"))
    }
}
