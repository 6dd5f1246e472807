//! Text to tree.

use super::{
    CharacterClass, MAX_REGEX_DEPTH, MAX_REGEX_LENGTH, MAX_REGEX_REPEAT, MAX_REGEX_SIZE, RegexError, RegexNode,
};

pub(super) fn parse(source: &str) -> Result<RegexNode, RegexError> {
    if source.len() > MAX_REGEX_LENGTH {
        let message = format!("a regular expression may have {MAX_REGEX_LENGTH} bytes at most");
        return Err(RegexError { offset: 0, length: source.len(), message });
    }
    let mut parser = Parser { source, at: 0 };
    let node = parser.alternation(0)?;
    if parser.peek().is_some() {
        return Err(parser.wrong(1, "a closing parenthesis without an opening one: write \\)"));
    }
    if node.size() > MAX_REGEX_SIZE {
        let message = format!("repetitions make this regular expression longer than {MAX_REGEX_SIZE} characters");
        return Err(RegexError { offset: 0, length: source.len(), message });
    }
    Ok(node)
}

struct Parser<'text> {
    source: &'text str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.source.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn wrong(&self, length: usize, message: impl Into<String>) -> RegexError {
        RegexError { offset: self.at, length, message: message.into() }
    }

    fn alternation(&mut self, depth: usize) -> Result<RegexNode, RegexError> {
        let mut branches = vec![self.concat(depth)?];
        while self.take('|') {
            branches.push(self.concat(depth)?);
        }
        Ok(RegexNode::alternation(branches))
    }

    fn concat(&mut self, depth: usize) -> Result<RegexNode, RegexError> {
        let mut pieces = Vec::new();
        while let Some(character) = self.peek() {
            if matches!(character, '|' | ')') {
                break;
            }
            let piece = self.atom(character, depth)?;
            pieces.push(self.repetition(piece)?);
        }
        Ok(RegexNode::concat(pieces))
    }

    fn atom(&mut self, character: char, depth: usize) -> Result<RegexNode, RegexError> {
        match character {
            '(' => return self.group(depth),
            '[' => return self.class().map(RegexNode::Class),
            '\\' => return self.escape(),
            '.' => {
                self.at += 1;
                return Ok(RegexNode::Any);
            }
            '*' | '+' | '?' | '{' => {
                return Err(self.wrong(1, format!("nothing to repeat: for itself write \\{character}")));
            }
            '}' | ']' => return Err(self.wrong(1, format!("for itself write \\{character}"))),
            '^' | '$' => {
                let message =
                    format!("the whole value is matched anyway: leave it out, or for itself write \\{character}");
                return Err(self.wrong(1, message));
            }
            _ => {}
        }
        self.at += character.len_utf8();
        Ok(RegexNode::Literal(character))
    }

    fn group(&mut self, depth: usize) -> Result<RegexNode, RegexError> {
        if depth >= MAX_REGEX_DEPTH {
            return Err(self.wrong(1, format!("groups may be {MAX_REGEX_DEPTH} deep at most")));
        }
        let start = self.at;
        self.at += 1;
        if self.take('?') && !self.take(':') {
            return Err(self.wrong(1, "groups with (? are not supported, but for (?:"));
        }
        let node = self.alternation(depth + 1)?;
        if !self.take(')') {
            self.at = start;
            return Err(self.wrong(1, "this group is not closed"));
        }
        Ok(node)
    }

    fn repetition(&mut self, piece: RegexNode) -> Result<RegexNode, RegexError> {
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(piece),
            _ => return Ok(piece),
        };
        self.at += 1;
        self.single(RegexNode::Repeat { node: Box::new(piece), min, max })
    }

    fn counted(&mut self, piece: RegexNode) -> Result<RegexNode, RegexError> {
        let start = self.at;
        self.at += 1;
        let min = self.number();
        let max = if self.take(',') { self.number().map(Some).or(Some(None)) } else { min.map(Some) };
        let closed = self.take('}');
        let end = std::mem::replace(&mut self.at, start);
        let (Some(min), Some(max), true) = (min, max, closed) else {
            return Err(self.wrong(end - start, "a repetition is {n}, {n,} or {n,m}"));
        };
        if min.max(max.unwrap_or(0)) > MAX_REGEX_REPEAT {
            return Err(self.wrong(end - start, format!("a repetition may be {MAX_REGEX_REPEAT} at most")));
        }
        if max.is_some_and(|max| max < min) {
            return Err(self.wrong(end - start, "the first number must not be larger than the second"));
        }
        self.at = end;
        self.single(RegexNode::Repeat { node: Box::new(piece), min, max })
    }

    /// A repetition of a repetition means different things in different engines: it must be grouped.
    fn single(&self, node: RegexNode) -> Result<RegexNode, RegexError> {
        match self.peek() {
            Some('*' | '+' | '?' | '{') => {
                Err(self.wrong(1, "a repetition of a repetition: put the inner one in parentheses"))
            }
            _ => Ok(node),
        }
    }

    /// Digits, as a number; too large ones become the largest.
    fn number(&mut self) -> Option<u32> {
        let mut number: Option<u32> = None;
        while let Some(digit) = self.peek().and_then(|character| character.to_digit(10)) {
            self.at += 1;
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
        }
        number
    }

    fn escape(&mut self) -> Result<RegexNode, RegexError> {
        let start = self.at;
        self.at += 1;
        let Some(character) = self.next() else {
            self.at = start;
            return Err(self.wrong(1, "a backslash at the end: write \\\\"));
        };
        if let Some(class) = shorthand(character) {
            return Ok(RegexNode::Class(class));
        }
        if let Some(literal) = literal_escape(character) {
            return Ok(RegexNode::Literal(literal));
        }
        let length = self.at - start;
        self.at = start;
        Err(self.wrong(length, format!("unknown escape \\{character}")))
    }

    fn class(&mut self) -> Result<CharacterClass, RegexError> {
        let start = self.at;
        self.at += 1;
        let negated = self.take('^');
        let mut ranges = Vec::new();
        loop {
            let before = self.at;
            let low = match self.next() {
                None => {
                    self.at = start;
                    return Err(self.wrong(1, "this class is not closed"));
                }
                Some(']') if ranges.is_empty() => {
                    self.at = start;
                    return Err(self.wrong(before + 1 - start, "an empty class: for the bracket write \\]"));
                }
                Some(']') => return Ok(CharacterClass::new(negated, ranges)),
                Some('[') => {
                    self.at = before;
                    return Err(self.wrong(1, "a bracket in a class: write \\["));
                }
                Some('\\') => match self.class_escape(before)? {
                    Ok(literal) => literal,
                    Err(class) => {
                        ranges.extend(class.ranges);
                        continue;
                    }
                },
                Some(character) => character,
            };
            // a dash before the closing bracket is a dash
            let is_range = self.peek() == Some('-') && !self.source.get(self.at..).unwrap_or("").starts_with("-]");
            if !is_range {
                ranges.push((low, low));
                continue;
            }
            self.at += 1;
            let high_at = self.at;
            if self.peek().is_none() {
                self.at = start;
                return Err(self.wrong(1, "this class is not closed"));
            }
            let high = match self.next() {
                Some('\\') => self.class_escape(high_at)?.ok(),
                Some('[') => None,
                other => other,
            };
            let Some(high) = high.filter(|high| low <= *high) else {
                let length = self.at - before;
                self.at = before;
                return Err(self.wrong(length, "a range goes from a lower to a higher character"));
            };
            ranges.push((low, high));
        }
    }

    /// After a backslash in a class: a character, or a class such as `\d`.
    fn class_escape(&mut self, start: usize) -> Result<Result<char, CharacterClass>, RegexError> {
        let character = self.next();
        match character.and_then(|each| shorthand(each).filter(|class| !class.negated)) {
            Some(class) => Ok(Err(class)),
            None => character.and_then(literal_escape).map(Ok).ok_or_else(|| {
                let length = self.at - start;
                self.at = start;
                self.wrong(length, "unknown escape in a class")
            }),
        }
    }
}

fn literal_escape(character: char) -> Option<char> {
    match character {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        _ if character.is_ascii_alphanumeric() => None,
        other => Some(other),
    }
}

/// `\d`, `\w`, `\s` and their opposites; ASCII only, so that every store means the same.
fn shorthand(character: char) -> Option<CharacterClass> {
    let ranges = match character.to_ascii_lowercase() {
        'd' => vec![('0', '9')],
        'w' => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        's' => vec![('\t', '\r'), (' ', ' ')],
        _ => return None,
    };
    Some(CharacterClass::new(character.is_ascii_uppercase(), ranges))
}

#[cfg(test)]
mod tests {
    use crate::Regex;

    #[test]
    fn refused() {
        for (source, offset) in [
            ("a**", 2),
            ("*a", 0),
            ("^a", 0),
            ("a$", 1),
            ("(a", 0),
            ("a)", 1),
            ("[a", 0),
            ("[]", 0),
            ("[z-a]", 1),
            ("[a-", 0),
            ("a{2,1}", 1),
            ("a{1001}", 1),
            ("a{x}", 1),
            ("a{,3}", 1),
            ("a\\", 1),
            ("\\b", 0),
            ("(?=a)", 2),
            ("[\\D]", 1),
            ("((a{100}){100}){100}", 0),
        ] {
            let error = Regex::parse(source).unwrap_err();
            let offset_found = error.offset;
            assert_eq!(offset_found, offset, "{source}: {error}");
        }
        assert!(Regex::parse(&"(".repeat(500)).is_err());
        assert!(Regex::parse(&"a".repeat(1_001)).is_err());
    }
}
