//! The catalogue: all field tables of the program, with look-up by expression and by path.

use std::collections::HashMap;

use crate::{Field, FieldId, Kind, Shape};

/// All fields, in table order; made once per process.
#[derive(Debug)]
pub struct Catalogue {
    fields: Vec<Field>,
    expressions: HashMap<String, Resolved>,
    by_path: HashMap<&'static str, FieldId>,
    /// Rank of each field when documents are written: fields sorted by path.
    ranks: Vec<u16>,
}

/// What a name in an expression stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The field itself.
    Field(FieldId),
    /// The number of its values (`name.cnt`).
    Count(FieldId),
    /// The words of its text (`name.tokens`).
    Tokens(FieldId),
    /// `payload8.src.utf8` and `payload8.dst.utf8`: the value is bytes in text, the field holds their hex digits.
    HexOf(FieldId),
}

impl Catalogue {
    /// Joins tables, in order; the place of a row is its [`FieldId`].
    #[must_use]
    pub fn new(tables: &[&'static [Field]]) -> Self {
        let fields: Vec<Field> = tables.iter().flat_map(|table| table.iter().copied()).collect();
        let mut expressions = HashMap::new();
        let mut by_path = HashMap::new();
        for (number, field) in fields.iter().enumerate() {
            let id = FieldId(number as u16);
            let names = field.aliases.iter().chain([&field.expression]);
            for name in names {
                expressions.entry((*name).to_owned()).or_insert(Resolved::Field(id));
                if field.counted || field.shape == Shape::Object {
                    expressions.entry(format!("{name}.cnt")).or_insert(Resolved::Count(id));
                }
                if field.tokens {
                    expressions.entry(format!("{name}.tokens")).or_insert(Resolved::Tokens(id));
                }
                if let Some(stem) = name.strip_suffix(".hex") {
                    expressions.entry(format!("{stem}.utf8")).or_insert(Resolved::HexOf(id));
                }
            }
            if !field.path.is_empty() {
                by_path.entry(field.path).or_insert(id);
            }
        }
        let mut order: Vec<u16> = (0..fields.len() as u16).collect();
        order.sort_by_key(|&number| fields[usize::from(number)].path);
        let mut ranks = vec![0; fields.len()];
        for (rank, &number) in order.iter().enumerate() {
            ranks[usize::from(number)] = rank as u16;
        }
        Self { fields, expressions, by_path, ranks }
    }

    /// All rows; a row's place is its number.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The row of a number.
    #[must_use]
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[usize::from(id.0)]
    }

    /// Rank of a field in documents (sorted by path).
    #[must_use]
    pub fn rank(&self, id: FieldId) -> u16 {
        self.ranks[usize::from(id.0)]
    }

    /// What a name in an expression stands for: an expression name, an alias, `db:path`, or a bare document path
    /// (ECS names are fields too). `None` for an unknown one.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<Resolved> {
        if let Some(path) = name.strip_prefix("db:") {
            return self.resolve_path(path);
        }
        self.expressions.get(name).copied().or_else(|| self.resolve_path(name))
    }

    /// The field or count that a document path belongs to.
    #[must_use]
    pub fn resolve_path(&self, path: &str) -> Option<Resolved> {
        if let Some(&id) = self.by_path.get(path) {
            return Some(Resolved::Field(id));
        }
        let derived = |stem: &str| self.by_path.get(stem).copied();
        if let Some(id) = path.strip_suffix("-cnt").or_else(|| path.strip_suffix("Cnt")).and_then(derived) {
            let field = self.field(id);
            return (field.counted || field.shape == Shape::Object).then_some(Resolved::Count(id));
        }
        let id = path.strip_suffix("Tokens").and_then(derived)?;
        self.field(id).tokens.then_some(Resolved::Tokens(id))
    }

    /// The field of a document path.
    #[must_use]
    pub fn by_path(&self, path: &str) -> Option<FieldId> {
        self.by_path.get(path).copied()
    }

    /// The stored fields that a search for this field looks into: itself, or for a virtual one those it names or
    /// those of its category and kind.
    #[must_use]
    pub fn members(&self, id: FieldId) -> Vec<FieldId> {
        let field = self.field(id);
        if field.shape != Shape::Virtual {
            return vec![id];
        }
        if !field.any_of.is_empty() {
            let named = field.any_of.iter().filter_map(|name| match self.resolve(name) {
                Some(Resolved::Field(id)) => Some(id),
                _ => None,
            });
            return named.collect();
        }
        let Some(category) = field.category else { return Vec::new() };
        let fits = |other: &Field| other.shape != Shape::Virtual && other.category == Some(category);
        (0..self.fields.len() as u16).map(FieldId).filter(|&id| fits(self.field(id))).collect()
    }

    /// The known names nearest to a wrong one, best first, at most `most`.
    #[must_use]
    pub fn nearest(&self, name: &str, most: usize) -> Vec<&str> {
        let mut scored: Vec<(usize, &str)> =
            self.expressions.keys().map(|known| (edit_distance(name, known), known.as_str())).collect();
        scored.sort_unstable();
        let limit = name.chars().count() / 2 + 1;
        scored.into_iter().take_while(|&(distance, _)| distance <= limit).take(most).map(|(_, known)| known).collect()
    }

    /// All names that an expression may use, sorted.
    #[must_use]
    pub fn expressions(&self) -> Vec<(&str, Resolved)> {
        let mut all: Vec<(&str, Resolved)> = self.expressions.iter().map(|(name, &to)| (name.as_str(), to)).collect();
        all.sort_unstable_by_key(|&(name, _)| name);
        all
    }

    /// True where values of the field are numbers.
    #[must_use]
    pub fn is_number(&self, id: FieldId) -> bool {
        matches!(self.field(id).kind, Kind::Integer | Kind::Date)
    }
}

/// Levenshtein distance in characters, for names that a person typed: inputs are cut to 64 characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, &to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core_fields::{FIELDS, MAC, SOURCE_IP, SOURCE_MAC, SOURCE_PAYLOAD};

    #[test]
    fn names() {
        let catalogue = Catalogue::new(&[FIELDS]);
        assert_eq!(catalogue.resolve("ip.src"), Some(Resolved::Field(SOURCE_IP)));
        assert_eq!(catalogue.resolve("db:source.ip"), Some(Resolved::Field(SOURCE_IP)));
        assert_eq!(catalogue.resolve("source.ip"), Some(Resolved::Field(SOURCE_IP)));
        assert_eq!(catalogue.resolve("mac.src.cnt"), Some(Resolved::Count(SOURCE_MAC)));
        assert_eq!(catalogue.resolve("source.mac-cnt"), Some(Resolved::Count(SOURCE_MAC)));
        assert_eq!(catalogue.resolve("payload8.src.utf8"), Some(Resolved::HexOf(SOURCE_PAYLOAD)));
        assert_eq!(catalogue.resolve("ip.scr"), None);
        assert_eq!(catalogue.nearest("ip.scr", 1), ["ip.src"]);
        assert_eq!(catalogue.members(MAC).len(), 2);
    }
}
