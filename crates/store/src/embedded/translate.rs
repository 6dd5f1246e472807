//! From expressions to queries of the index.

use std::{
    net::{IpAddr, Ipv6Addr},
    ops::Bound,
};

use skycap_model::{Catalogue, FieldId};
use skycap_query::{AddressRange, Alternative, Expression, FileKey, Predicate, Range, Target, TextMatch, WordMatch};
use tantivy::{
    BitSet, DocId, Score, SegmentReader, TantivyError, Term,
    query::{
        AllQuery, BitSetDocSet, BooleanQuery, ConstScorer, EmptyQuery, EnableScoring, ExistsQuery, Explanation, Occur,
        PhraseQuery, Query, RangeQuery, RegexQuery, Scorer, TermQuery, TermSetQuery, Weight,
    },
    schema::{Field, IndexRecordOption},
};

use super::schema::{Column, Fields, Slot, mapped};
use crate::{ErrorKind, Scope, StoreError};

/// Translates with the fields of one index.
#[derive(Clone, Copy)]
pub(super) struct Translation<'a> {
    pub(super) fields: &'a Fields,
    pub(super) catalogue: &'a Catalogue,
}

type Answer = Result<Box<dyn Query>, StoreError>;

impl Translation<'_> {
    /// The sessions that match and that the scope shows.
    pub(super) fn scoped(self, scope: &Scope, expression: &Expression) -> Answer {
        let mut parts = vec![self.expression(expression)?];
        if let Some(filter) = &scope.filter {
            parts.push(self.expression(filter)?);
        }
        if let Some(time) = scope.not_before {
            let low = i64::try_from(time).unwrap_or(i64::MAX);
            let last = Target::Field(skycap_model::core_fields::LAST_PACKET);
            parts.push(self.integers(last, &[Range { low, high: i64::MAX }]));
        }
        Ok(all(parts))
    }

    pub(super) fn expression(self, expression: &Expression) -> Answer {
        Ok(match expression {
            Expression::Everything => Box::new(AllQuery),
            Expression::And(parts) => all(self.each(parts)?),
            Expression::Or(parts) => any(self.each(parts)?),
            Expression::Not(inner) => not(self.expression(inner)?),
            Expression::Term(term) => {
                let parts: Result<Vec<_>, _> =
                    term.alternatives.iter().map(|alternative| self.alternative(alternative)).collect();
                any(parts?)
            }
        })
    }

    fn each(self, parts: &[Expression]) -> Result<Vec<Box<dyn Query>>, StoreError> {
        parts.iter().map(|part| self.expression(part)).collect()
    }

    fn alternative(self, alternative: &Alternative) -> Answer {
        match &alternative.predicate {
            Predicate::Always => return Ok(Box::new(AllQuery)),
            Predicate::SessionId(ids) => {
                let terms = ids.iter().map(|id| Term::from_field_text(self.fields.id, id));
                return Ok(Box::new(TermSetQuery::new(terms)));
            }
            Predicate::Files(files) => return Ok(any(files.iter().map(|file| self.file(file)).collect())),
            Predicate::FileName(_) => {
                let message = "file names must be resolved before a search";
                return Err(StoreError::new(ErrorKind::Invalid, message));
            }
            _ => {}
        }
        let targets = alternative.targets.iter();
        Ok(any(targets.map(|&target| self.target(target, &alternative.predicate)).collect::<Result<_, _>>()?))
    }

    fn target(self, target: Target, predicate: &Predicate) -> Answer {
        Ok(match predicate {
            Predicate::Exists => self.exists(target),
            Predicate::Text(matches) => any(matches.iter().map(|wanted| self.text(target, wanted)).collect()),
            Predicate::Words(matches) => any(matches.iter().map(|wanted| self.words(target, wanted)).collect()),
            Predicate::Integer(ranges) | Predicate::Date(ranges) => self.integers(target, ranges),
            Predicate::Boolean(values) => {
                let range = |&value: &bool| Range { low: i64::from(value), high: i64::from(value) };
                self.integers(target, &values.iter().map(range).collect::<Vec<_>>())
            }
            Predicate::Address(ranges) => self.addresses(target, ranges),
            Predicate::AddressWithPort { ranges, port, number } => {
                let number = i64::from(*number);
                let port = self.integers(Target::Field(*port), &[Range { low: number, high: number }]);
                all(vec![self.addresses(target, ranges), port])
            }
            Predicate::FileName(_) | Predicate::Files(_) | Predicate::SessionId(_) | Predicate::Always => {
                return Err(StoreError::new(ErrorKind::Invalid, "this comparison has no fields"));
            }
        })
    }

    fn slot(self, id: FieldId) -> Slot {
        self.fields.slot(id).cloned().unwrap_or_default()
    }

    /// Column of the values that a comparison looks at.
    fn column(self, target: Target) -> Option<(Field, Column, bool)> {
        let slot = self.slot(target.field());
        match target {
            Target::Field(_) => slot.value.map(|(field, column)| (field, column, slot.indexed)),
            Target::Count(_) => slot.count.map(|field| (field, Column::Number, false)),
            Target::Tokens(_) => None,
        }
    }

    fn exists(self, target: Target) -> Box<dyn Query> {
        let target = match target {
            Target::Tokens(id) => Target::Field(id),
            other => other,
        };
        match self.column(target) {
            Some((field, ..)) => Box::new(ExistsQuery::new(self.fields.schema.get_field_name(field).to_owned(), false)),
            None => {
                let path = self.catalogue.field(target.field()).path;
                term(Term::from_field_text(self.fields.present, path))
            }
        }
    }

    fn text(self, target: Target, wanted: &TextMatch) -> Box<dyn Query> {
        let field = match target {
            Target::Tokens(id) => self.slot(id).tokens,
            other => match self.column(other) {
                Some((field, Column::Text, _)) => Some(field),
                Some((field, Column::Number, indexed)) => return self.number_text(field, indexed, wanted),
                _ => None,
            },
        };
        match field {
            Some(field) => text_query(field, wanted),
            None => Box::new(EmptyQuery),
        }
    }

    /// Text compared with numbers: the text of the number must be the same.
    fn number_text(self, field: Field, indexed: bool, wanted: &TextMatch) -> Box<dyn Query> {
        match wanted {
            TextMatch::Equals(text) => match text.parse() {
                Ok(number) => integers(field, indexed, &[Range { low: number, high: number }]),
                Err(_) => Box::new(EmptyQuery),
            },
            _ => Box::new(EmptyQuery),
        }
    }

    fn words(self, target: Target, wanted: &WordMatch) -> Box<dyn Query> {
        let Some(field) = self.slot(target.field()).tokens else { return Box::new(EmptyQuery) };
        match wanted {
            WordMatch::Word(wanted) => text_query(field, wanted),
            WordMatch::Phrase(words) => {
                let mut terms: Vec<Term> = words.iter().map(|word| Term::from_field_text(field, word)).collect();
                match (terms.len(), terms.pop()) {
                    (1, Some(only)) => term(only),
                    (_, Some(last)) => {
                        terms.push(last);
                        Box::new(PhraseQuery::new(terms))
                    }
                    (_, None) => Box::new(EmptyQuery),
                }
            }
        }
    }

    fn integers(self, target: Target, ranges: &[Range]) -> Box<dyn Query> {
        match self.column(target) {
            Some((field, Column::Number, indexed)) => integers(field, indexed, ranges),
            Some((field, Column::Text, _)) => {
                // numbers kept as text: single ones can be found
                let single = ranges.iter().filter(|range| range.low == range.high);
                any(single.map(|range| term(Term::from_field_text(field, &range.low.to_string()))).collect())
            }
            _ => Box::new(EmptyQuery),
        }
    }

    fn addresses(self, target: Target, ranges: &[AddressRange]) -> Box<dyn Query> {
        let Some((field, Column::Address, _)) = self.column(target) else { return Box::new(EmptyQuery) };
        let (single, wide): (Vec<&AddressRange>, Vec<&AddressRange>) =
            ranges.iter().partition(|range| range.low == range.high);
        let mut parts: Vec<Box<dyn Query>> = Vec::new();
        if !single.is_empty() {
            let terms = single.iter().map(|range| Term::from_field_ip_addr(field, mapped(range.low)));
            parts.push(Box::new(TermSetQuery::new(terms)));
        }
        for range in wide {
            parts.extend(address_ranges(range).into_iter().map(|(low, high)| -> Box<dyn Query> {
                let bound = |address| Bound::Included(Term::from_field_ip_addr(field, address));
                Box::new(RangeQuery::new(bound(low), bound(high)))
            }));
        }
        any(parts)
    }

    pub(super) fn file(self, file: &FileKey) -> Box<dyn Query> {
        let number = Range { low: file.file_id, high: file.file_id };
        let parts = ["node", "fileId"].map(|path| self.catalogue.by_path(path).map(Target::Field));
        let [Some(node), Some(id)] = parts else { return Box::new(EmptyQuery) };
        all(vec![self.text(node, &TextMatch::Equals(file.node.clone())), self.integers(id, &[number])])
    }
}

/// IPv6 ranges don't span the mapped IPv4 addresses, as the tree promises; made sure here all the same.
fn address_ranges(range: &AddressRange) -> Vec<(Ipv6Addr, Ipv6Addr)> {
    let (low, high) = (u128::from(mapped(range.low)), u128::from(mapped(range.high)));
    let (first, last) = (0xffff_u128 << 32, (0xffff_u128 << 32) | u128::from(u32::MAX));
    let pieces = if matches!(range.low, IpAddr::V4(_)) {
        vec![(low, high)]
    } else {
        vec![(low, high.min(first - 1)), (low.max(last + 1), high)]
    };
    pieces.into_iter().filter(|(low, high)| low <= high).map(|(low, high)| (low.into(), high.into())).collect()
}

fn integers(field: Field, indexed: bool, ranges: &[Range]) -> Box<dyn Query> {
    let full = ranges.iter().filter(|range| range.low <= range.high);
    let (single, wide): (Vec<&Range>, Vec<&Range>) = full.partition(|range| indexed && range.low == range.high);
    let mut parts: Vec<Box<dyn Query>> = Vec::new();
    if single.len() > 1 {
        parts.push(Box::new(TermSetQuery::new(single.iter().map(|range| Term::from_field_i64(field, range.low)))));
    } else {
        parts.extend(single.iter().map(|range| term(Term::from_field_i64(field, range.low))));
    }
    parts.extend(wide.into_iter().map(|range| -> Box<dyn Query> {
        let bound = |number| Bound::Included(Term::from_field_i64(field, number));
        Box::new(RangeQuery::new(bound(range.low), bound(range.high)))
    }));
    any(parts)
}

fn term(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// Patterns run as automata along the dictionary; what is too large for one is compared term by term.
fn text_query(field: Field, wanted: &TextMatch) -> Box<dyn Query> {
    let regex = match wanted {
        TextMatch::Equals(text) => return term(Term::from_field_text(field, text)),
        TextMatch::Wildcard(pattern) => pattern.to_rust_regex(),
        TextMatch::Regex(regex) => regex.to_rust_regex(),
    };
    let prefix = match wanted {
        TextMatch::Wildcard(pattern) => pattern.prefix().to_owned(),
        _ => String::new(),
    };
    match RegexQuery::from_pattern(&regex, field) {
        Ok(query) => Box::new(query),
        Err(_) => Box::new(EachTerm { field, prefix, wanted: wanted.clone() }),
    }
}

fn all(mut parts: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Box::new(BooleanQuery::new(parts.into_iter().map(|part| (Occur::Must, part)).collect()))
        }
        (_, None) => Box::new(AllQuery),
    }
}

fn any(mut parts: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Box::new(BooleanQuery::new(parts.into_iter().map(|part| (Occur::Should, part)).collect()))
        }
        (_, None) => Box::new(EmptyQuery),
    }
}

fn not(part: Box<dyn Query>) -> Box<dyn Query> {
    Box::new(BooleanQuery::new(vec![(Occur::Must, Box::new(AllQuery)), (Occur::MustNot, part)]))
}

/// Sessions with a term that fits, found by comparing each term of the dictionary.
#[derive(Clone, Debug)]
struct EachTerm {
    field: Field,
    /// All terms that fit begin with this.
    prefix: String,
    wanted: TextMatch,
}

impl Query for EachTerm {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for EachTerm {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        let inverted = reader.inverted_index(self.field)?;
        let mut terms = inverted.terms().range().ge(self.prefix.as_bytes()).into_stream()?;
        while terms.advance() {
            let Ok(text) = std::str::from_utf8(terms.key()) else { continue };
            if !text.starts_with(&self.prefix) {
                break;
            }
            if !self.wanted.matches(text) {
                continue;
            }
            let mut postings = inverted.read_block_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)?;
            while !postings.docs().is_empty() {
                for &document in postings.docs() {
                    found.insert(document);
                }
                postings.advance();
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Err(TantivyError::InvalidArgument("there are no scores to explain".to_owned()))
    }
}
