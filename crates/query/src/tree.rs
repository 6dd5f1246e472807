//! The typed tree: what an expression means, each value resolved for the fields it is compared with.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use skycap_model::{Catalogue, FieldId};

use crate::{Pattern, Regex, Span, literal::Written};

/// An expression, parsed and typed.
///
/// Terms hold for a session if **any** of its values fits; `!=` is `Not` around the term, so a session without the
/// field matches it. [`fmt::Display`] writes text that parses to the same tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// Every session: the empty expression.
    Everything,
    /// All of them hold. Never empty as parsed.
    And(Vec<Expression>),
    /// At least one of them holds; none where it is empty (as [`Expression::map_files`] may make it).
    Or(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// A comparison.
    Term(Term),
}

/// One comparison: it holds if one of its alternatives does.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What is searched, resolved and typed.
    pub alternatives: Vec<Alternative>,
    /// The field's name as written.
    pub field: String,
    /// How it is compared; `!=` never stands here.
    pub operator: Operator,
    /// The whole comparison in the text.
    pub span: Span,
    pub(crate) written: Written,
}

/// Fields of one sort, and what one of their values must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The fields, members of a virtual one already: one of them must fit. Empty where the predicate says which
    /// (files, session ids).
    pub targets: Vec<Target>,
    /// What a value must be.
    pub predicate: Predicate,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The values of a stored field.
    Field(FieldId),
    /// The number of its values.
    Count(FieldId),
    /// The words of its text.
    Tokens(FieldId),
}

impl Target {
    /// The field that it belongs to.
    #[must_use]
    pub const fn field(self) -> FieldId {
        match self {
            Self::Field(id) | Self::Count(id) | Self::Tokens(id) => id,
        }
    }

    /// Its path in the document: `http.uri`, `http.uriCnt`, `http.uriTokens`.
    #[must_use]
    pub fn path(self, catalogue: &Catalogue) -> String {
        let field = catalogue.field(self.field());
        match self {
            Self::Field(_) => field.path.to_owned(),
            Self::Count(_) => field.count_path().unwrap_or_else(|| format!("{}Cnt", field.path)),
            Self::Tokens(_) => format!("{}Tokens", field.path),
        }
    }
}

/// How a field is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`, also written `=`.
    Equal,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Operator {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// What a value must be. Lists mean any of them; text is folded as the field's values are.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// There is a value, be it empty text.
    Exists,
    /// Text that fits one of these, over its whole length.
    Text(Vec<TextMatch>),
    /// Words of the text ([`crate::words`]) that fit one of these.
    Words(Vec<WordMatch>),
    /// A number in one of these ranges.
    Integer(Vec<Range>),
    /// Milliseconds since the epoch in one of these ranges.
    Date(Vec<Range>),
    /// An address in one of these ranges.
    Address(Vec<AddressRange>),
    /// An address in one of the ranges, and a port beside it (of the same session).
    AddressWithPort {
        /// The addresses.
        ranges: Vec<AddressRange>,
        /// The field of the port.
        port: FieldId,
        /// Its number.
        number: u16,
    },
    /// One of these truth values.
    Boolean(Vec<bool>),
    /// Sessions with packets in a capture object whose name (`s3://bucket/key`) fits; no targets. A store can't
    /// answer it: [`Expression::map_files`] replaces it.
    FileName(TextMatch),
    /// Sessions of one of these capture objects; no targets.
    Files(Vec<FileKey>),
    /// Sessions with one of these document ids; no targets.
    SessionId(Vec<String>),
    /// Every session: a field that each has (`id == EXISTS!`); no targets.
    Always,
}

/// How a text is compared, over its whole length.
#[derive(Clone, Debug, PartialEq)]
pub enum TextMatch {
    /// It is this.
    Equals(String),
    /// It fits this pattern of `*` and `?`, of which there is at least one.
    Wildcard(Pattern),
    /// It fits this regular expression.
    Regex(Regex),
}

impl TextMatch {
    /// True if the text, already folded, fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equals(wanted) => wanted == text,
            Self::Wildcard(pattern) => pattern.matches(text),
            Self::Regex(regex) => regex.matches(text),
        }
    }
}

/// How words are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum WordMatch {
    /// These words stand next to each other in this order; no word fits an empty list.
    Phrase(Vec<String>),
    /// One word fits.
    Word(TextMatch),
}

/// Whole numbers from `low` to `high`, both included; `i64::MIN` and `i64::MAX` are open ends. Empty if `low > high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest.
    pub low: i64,
    /// The highest.
    pub high: i64,
}

impl Range {
    /// True if the number lies in the range.
    #[must_use]
    pub const fn contains(self, number: i64) -> bool {
        self.low <= number && number <= self.high
    }
}

/// Addresses of one family from `low` to `high`, both included.
///
/// IPv4-mapped IPv6 addresses (`::ffff:0:0/96`) are IPv4 here, and no IPv6 range spans them: so a store that keeps
/// IPv4 addresses mapped can compare ranges as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The lowest.
    pub low: IpAddr,
    /// The highest, of the same family.
    pub high: IpAddr,
}

impl AddressRange {
    /// True if the address lies in the range; an IPv4-mapped one counts as IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.low.is_ipv4() && self.low <= address && address <= self.high
    }
}

/// A capture object in session documents: the sensor's name and the number in `fileId`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// Value of `node`.
    pub node: String,
    /// Value of `fileId`.
    pub file_id: i64,
}

impl Expression {
    /// The file names that it asks for, in order: look them up, then call [`Expression::map_files`].
    #[must_use]
    pub fn file_patterns(&self) -> Vec<&TextMatch> {
        let mut patterns = Vec::new();
        self.visit(&mut |term| {
            patterns.extend(term.alternatives.iter().filter_map(|alternative| match &alternative.predicate {
                Predicate::FileName(pattern) => Some(pattern),
                _ => None,
            }));
        });
        patterns
    }

    /// Replaces each file name by the capture objects that `resolve` finds for it; order as in
    /// [`Expression::file_patterns`]. A name without objects matches no session.
    #[must_use]
    pub fn map_files(self, resolve: &mut impl FnMut(&TextMatch) -> Vec<FileKey>) -> Self {
        match self {
            Self::And(all) => Self::And(all.into_iter().map(|each| each.map_files(resolve)).collect()),
            Self::Or(any) => Self::Or(any.into_iter().map(|each| each.map_files(resolve)).collect()),
            Self::Not(inner) => Self::Not(Box::new(inner.map_files(resolve))),
            Self::Term(mut term) => {
                for alternative in &mut term.alternatives {
                    if let Predicate::FileName(pattern) = &alternative.predicate {
                        alternative.predicate = Predicate::Files(resolve(pattern));
                    }
                }
                Self::Term(term)
            }
            Self::Everything => self,
        }
    }

    /// The fields that it looks into, for rights and for the choice of indices.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<FieldId> {
        let mut fields = BTreeSet::new();
        self.visit(&mut |term| {
            for alternative in &term.alternatives {
                fields.extend(alternative.targets.iter().map(|target| target.field()));
                if let Predicate::AddressWithPort { port, .. } = alternative.predicate {
                    fields.insert(port);
                }
            }
        });
        fields
    }

    /// Calls `each` for every term, in the order written.
    pub fn visit<'tree>(&'tree self, each: &mut impl FnMut(&'tree Term)) {
        match self {
            Self::Everything => {}
            Self::And(list) | Self::Or(list) => list.iter().for_each(|part| part.visit(each)),
            Self::Not(inner) => inner.visit(each),
            Self::Term(term) => each(term),
        }
    }
}

impl fmt::Display for Expression {
    /// Text that parses to the same tree. What parsing can't make (an empty `Or`, `Everything` inside another) has
    /// no text of its own and is left out or written as `()`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => Ok(()),
            Self::And(list) => join(formatter, list, " && ", |part| matches!(part, Self::And(_) | Self::Or(_))),
            Self::Or(list) => join(formatter, list, " || ", |part| matches!(part, Self::Or(_))),
            Self::Not(inner) => match &**inner {
                Self::Term(term) if term.operator == Operator::Equal => {
                    write!(formatter, "{} != {}", term.field, term.written)
                }
                other => write!(formatter, "!({other})"),
            },
            Self::Term(term) => write!(formatter, "{} {} {}", term.field, term.operator.as_str(), term.written),
        }
    }
}

fn join(
    formatter: &mut fmt::Formatter<'_>,
    list: &[Expression],
    between: &str,
    wrapped: impl Fn(&Expression) -> bool,
) -> fmt::Result {
    if list.is_empty() {
        return formatter.write_str("()");
    }
    for (place, part) in list.iter().enumerate() {
        if place > 0 {
            formatter.write_str(between)?;
        }
        if wrapped(part) { write!(formatter, "({part})") } else { write!(formatter, "{part}") }?;
    }
    Ok(())
}
