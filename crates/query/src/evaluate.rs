//! The reference: what an expression means for one document. Plain and slow; stores are compared with it.

use std::net::IpAddr;

use skycap_model::{Catalogue, core_fields};

use crate::{Alternative, Expression, Predicate, Range, Target, WordMatch, words};

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, addresses too.
    Text(String),
    /// A whole number; dates in milliseconds since the epoch.
    Number(i64),
    /// A truth value.
    Boolean(bool),
    /// An object, of which only the existence counts.
    Object,
}

/// A session document, as far as expressions look into it.
pub trait Document {
    /// Its `_id`.
    fn id(&self) -> Option<String>;

    /// All values at a path such as `dns.answers.ip`, those of all objects in lists; null is no value.
    fn values(&self, path: &str) -> Vec<Value>;
}

/// True if the document fits the expression. A file name that was not resolved ([`Expression::map_files`]) fits none.
#[must_use]
pub fn matches(expression: &Expression, document: &impl Document, catalogue: &Catalogue) -> bool {
    match expression {
        Expression::Everything => true,
        Expression::And(all) => all.iter().all(|part| matches(part, document, catalogue)),
        Expression::Or(any) => any.iter().any(|part| matches(part, document, catalogue)),
        Expression::Not(inner) => !matches(inner, document, catalogue),
        Expression::Term(term) => term.alternatives.iter().any(|each| alternative(each, document, catalogue)),
    }
}

fn alternative(alternative: &Alternative, document: &impl Document, catalogue: &Catalogue) -> bool {
    let targets = alternative.targets.as_slice();
    let any = |fits: &dyn Fn(&Value) -> bool| {
        targets.iter().any(|target| values(*target, document, catalogue).iter().any(fits))
    };
    match &alternative.predicate {
        Predicate::Always => true,
        Predicate::Exists => any(&|_| true),
        Predicate::Text(wanted) => any(&|value| match value {
            Value::Text(text) => wanted.iter().any(|one| one.matches(text)),
            _ => false,
        }),
        Predicate::Words(wanted) => any(&|value| match value {
            Value::Text(text) => has_words(wanted, text),
            _ => false,
        }),
        Predicate::Integer(ranges) | Predicate::Date(ranges) => any(&|value| in_ranges(ranges, value)),
        Predicate::Address(ranges) => {
            any(&|value| address(value).is_some_and(|address| ranges.iter().any(|range| range.contains(address))))
        }
        Predicate::AddressWithPort { ranges, port, number } => {
            let port = document.values(catalogue.field(*port).path).contains(&Value::Number(i64::from(*number)));
            port && any(&|value| address(value).is_some_and(|each| ranges.iter().any(|range| range.contains(each))))
        }
        Predicate::Boolean(wanted) => any(&|value| matches!(value, Value::Boolean(is) if wanted.contains(is))),
        Predicate::FileName(_) => false,
        Predicate::Files(keys) => {
            let of = |id| document.values(catalogue.field(id).path);
            let (nodes, numbers) = (of(core_fields::NODE), of(core_fields::FILE_ID));
            keys.iter().any(|key| {
                nodes.contains(&Value::Text(key.node.clone())) && numbers.contains(&Value::Number(key.file_id))
            })
        }
        Predicate::SessionId(ids) => document.id().is_some_and(|id| ids.contains(&id)),
    }
}

/// Words are derived from the field beside which they stand.
fn values(target: Target, document: &impl Document, catalogue: &Catalogue) -> Vec<Value> {
    match target {
        Target::Tokens(id) => document.values(catalogue.field(id).path),
        Target::Field(_) | Target::Count(_) => document.values(&target.path(catalogue)),
    }
}

fn in_ranges(ranges: &[Range], value: &Value) -> bool {
    matches!(value, Value::Number(number) if ranges.iter().any(|range| range.contains(*number)))
}

fn address(value: &Value) -> Option<IpAddr> {
    match value {
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn has_words(wanted: &[WordMatch], text: &str) -> bool {
    let found: Vec<String> = words(text).collect();
    wanted.iter().any(|one| match one {
        WordMatch::Phrase(phrase) if phrase.is_empty() => false,
        WordMatch::Phrase(phrase) => found.windows(phrase.len()).any(|window| window == phrase.as_slice()),
        WordMatch::Word(word) => found.iter().any(|each| word.matches(each)),
    })
}

impl Document for serde_json::Value {
    fn id(&self) -> Option<String> {
        self.get("_id")?.as_str().map(str::to_owned)
    }

    fn values(&self, path: &str) -> Vec<Value> {
        let mut found = Vec::new();
        collect(self, Some(path), &mut found);
        found
    }
}

fn collect(value: &serde_json::Value, path: Option<&str>, found: &mut Vec<Value>) {
    use serde_json::Value as Json;
    match (value, path) {
        (Json::Array(list), _) => list.iter().for_each(|each| collect(each, path, found)),
        (Json::Object(object), Some(path)) => {
            if let Some(inner) = object.get(path) {
                collect(inner, None, found);
            }
            if let Some((first, rest)) = path.split_once('.')
                && let Some(inner) = object.get(first)
            {
                collect(inner, Some(rest), found);
            }
        }
        (Json::Object(_), None) => found.push(Value::Object),
        (Json::String(text), None) => found.push(Value::Text(text.clone())),
        (Json::Bool(is), None) => found.push(Value::Boolean(*is)),
        (Json::Number(number), None) => found.extend(number.as_i64().map(Value::Number)),
        (Json::Null | Json::String(_) | Json::Bool(_) | Json::Number(_), _) => {}
    }
}
