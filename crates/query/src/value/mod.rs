//! What a written value means for a field: each kind of field in a file of its own.

mod address;
mod integer;
mod text;

use skycap_model::{Catalogue, Category, FieldId, Kind, Resolved, Shape};

use crate::{
    Alternative, Context, Operator, Predicate, QueryError, Range, Span, Target, TextMatch, date,
    literal::{Literal, Symbol, Written, plain},
    protocol_numbers::protocol_number,
};

use text::TextStyle;
pub(crate) use text::hex_digits;

/// Path of the IP protocol: numbers, which expressions may name.
const PROTOCOL_PATH: &str = "ipProtocol";

/// How fields take values; fields that are alike share a predicate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Text(TextStyle),
    Words,
    Integer,
    ProtocolNumber,
    Date,
    Boolean,
    Address,
    /// `file`: names of capture objects.
    FileName,
    /// `id`: session ids.
    SessionId,
}

/// Turns written values into predicates.
#[derive(Clone, Copy)]
pub(crate) struct Values<'text> {
    pub(crate) text: &'text str,
    pub(crate) catalogue: &'text Catalogue,
    pub(crate) context: &'text Context,
}

impl Values<'_> {
    /// What a comparison means; the span is that of the field's name.
    pub(crate) fn alternatives(
        &self,
        resolved: Resolved,
        name: Span,
        operator: (Operator, Span),
        written: &Written,
    ) -> Result<Vec<Alternative>, QueryError> {
        let sorted = self.targets(resolved, name, written)?;
        if *written == Written::Exists {
            return Ok(exists(sorted));
        }
        let with_ports = sorted.iter().any(|(sort, _)| *sort == Sort::Address);
        let mut alternatives = Vec::new();
        for (sort, targets) in sorted {
            if with_ports && sort == Sort::Address {
                alternatives.extend(self.addresses(&targets, operator, written)?);
                continue;
            }
            let predicate = self.predicate(sort, operator, written)?;
            alternatives.push(Alternative { targets, predicate });
        }
        Ok(alternatives)
    }

    /// The fields that are searched, grouped by how they take values.
    fn targets(
        &self,
        resolved: Resolved,
        name: Span,
        written: &Written,
    ) -> Result<Vec<(Sort, Vec<Target>)>, QueryError> {
        let mut sorted: Vec<(Sort, Vec<Target>)> = Vec::new();
        let mut add = |sort: Sort, target: Option<Target>| match sorted.iter_mut().find(|(known, _)| *known == sort) {
            Some((_, targets)) => targets.extend(target),
            None => sorted.push((sort, target.into_iter().collect())),
        };
        match resolved {
            Resolved::Count(id) => add(Sort::Integer, Some(Target::Count(id))),
            Resolved::Tokens(id) => {
                for id in self.catalogue.members(id) {
                    add(Sort::Words, Some(Target::Tokens(id)));
                }
            }
            Resolved::HexOf(id) => {
                for id in self.catalogue.members(id) {
                    add(Sort::Text(TextStyle::hex()), Some(Target::Field(id)));
                }
            }
            Resolved::Field(id) => {
                let field = self.catalogue.field(id);
                if field.unsearched {
                    return Err(QueryError::new(self.text, name, "this field is stored but can't be searched"));
                }
                if field.shape == Shape::Object && *written != Written::Exists {
                    let message = "this is a list of objects, search one of their fields";
                    return Err(QueryError::new(self.text, name, message)
                        .expected("one of its fields, its count (`.cnt`) or `EXISTS!`"));
                }
                if field.shape == Shape::Virtual && field.any_of.is_empty() && field.category.is_none() {
                    match field.expression {
                        "file" => add(Sort::FileName, None),
                        "id" => add(Sort::SessionId, None),
                        _ => {}
                    }
                }
                for id in self.catalogue.members(id) {
                    add(self.sort(id), Some(Target::Field(id)));
                }
            }
        }
        Ok(sorted)
    }

    fn sort(&self, id: FieldId) -> Sort {
        let field = self.catalogue.field(id);
        if field.path == PROTOCOL_PATH {
            return Sort::ProtocolNumber;
        }
        match field.kind {
            Kind::Term | Kind::LowerTerm | Kind::UpperTerm => Sort::Text(TextStyle::of(field)),
            Kind::Words => Sort::Words,
            Kind::Integer => Sort::Integer,
            Kind::Ip => Sort::Address,
            Kind::Date => Sort::Date,
            Kind::Boolean => Sort::Boolean,
        }
    }

    fn predicate(
        &self,
        sort: Sort,
        (operator, operator_span): (Operator, Span),
        written: &Written,
    ) -> Result<Predicate, QueryError> {
        let ordered = matches!(sort, Sort::Integer | Sort::Date | Sort::Address);
        if operator != Operator::Equal && !ordered {
            let message = format!("this field has no order: `{}` does not apply", operator.as_str());
            return Err(QueryError::new(self.text, operator_span, message).expected("`==` or `!=`"));
        }
        let literals = written.literals();
        Ok(match sort {
            Sort::Text(style) => {
                let mut matches = Vec::with_capacity(literals.len());
                for literal in literals {
                    matches.extend(self.text_matches(style, literal)?);
                }
                Predicate::Text(matches)
            }
            Sort::Words => Predicate::Words(each(literals, |literal| self.word_match(literal))?),
            Sort::Integer => Predicate::Integer(each(literals, |literal| self.integer(operator, literal))?),
            Sort::ProtocolNumber => Predicate::Integer(each(literals, |literal| self.protocol(literal))?),
            Sort::Date => Predicate::Date(each(literals, |literal| self.date(operator, literal))?),
            Sort::Boolean => Predicate::Boolean(each(literals, |literal| self.boolean(literal))?),
            // addresses go their own way, for their ports
            Sort::Address => Predicate::Address(Vec::new()),
            Sort::FileName => Predicate::FileName(self.file_name(written)?),
            Sort::SessionId => Predicate::SessionId(each(literals, |literal| self.exact(literal, "a session id"))?),
        })
    }

    fn wrong(&self, literal: &Literal, message: impl Into<String>) -> QueryError {
        QueryError::new(self.text, literal.span(), message)
    }

    /// The text of a value that can be neither pattern nor regular expression; `what` says what it should be.
    fn exact(&self, literal: &Literal, what: &str) -> Result<String, QueryError> {
        match literal {
            Literal::Regex { .. } => Err(self.wrong(literal, "this field takes no regular expression").expected(what)),
            Literal::Text { symbols, .. }
                if symbols.iter().any(|symbol| matches!(symbol, Symbol::One | Symbol::Run)) =>
            {
                Err(self.wrong(literal, "this field takes no pattern").expected(what))
            }
            Literal::Text { symbols, .. } => Ok(plain(symbols)),
        }
    }

    fn protocol(&self, literal: &Literal) -> Result<Range, QueryError> {
        let what = "an IP protocol's name or number";
        let text = self.exact(literal, what)?;
        let number = protocol_number(&text).ok_or_else(|| self.wrong(literal, "unknown IP protocol").expected(what))?;
        Ok(Range { low: number.into(), high: number.into() })
    }

    fn boolean(&self, literal: &Literal) -> Result<bool, QueryError> {
        let what = "`true` or `false`";
        match self.exact(literal, what)?.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.wrong(literal, "this field is true or false").expected(what)),
        }
    }

    fn date(&self, operator: Operator, literal: &Literal) -> Result<Range, QueryError> {
        let what = "a date such as \"2014/02/26 10:27:57\", seconds since the epoch, or a time such as -1d@d";
        let text = self.exact(literal, what)?;
        let second = date::second(&text, self.context);
        let second = second.ok_or_else(|| self.wrong(literal, "this is no date").expected(what))?;
        Ok(integer::compared(operator, second))
    }

    fn file_name(&self, written: &Written) -> Result<TextMatch, QueryError> {
        match written.literals() {
            [one] => self.text_match(TextStyle::exact(), one),
            literals => {
                let span = literals.first().zip(literals.last()).map(|(first, last)| first.span().to(last.span()));
                let message = "files are looked up by one name or pattern, not by a list";
                Err(QueryError::new(self.text, span.unwrap_or_default(), message))
            }
        }
    }
}

fn each<T>(literals: &[Literal], typed: impl Fn(&Literal) -> Result<T, QueryError>) -> Result<Vec<T>, QueryError> {
    literals.iter().map(typed).collect()
}

fn exists(sorted: Vec<(Sort, Vec<Target>)>) -> Vec<Alternative> {
    let always = sorted.iter().any(|(sort, _)| matches!(sort, Sort::FileName | Sort::SessionId));
    let targets = sorted.into_iter().flat_map(|(_, targets)| targets).collect();
    // every session has an id, and packets in some capture object
    let predicate = if always { Predicate::Always } else { Predicate::Exists };
    vec![Alternative { targets, predicate }]
}

/// True for the fields that hold MAC addresses.
fn is_mac(category: Option<Category>) -> bool {
    category == Some(Category::Mac)
}
