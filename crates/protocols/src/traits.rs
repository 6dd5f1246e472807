//! What the hot path asks about a field, in a table of a few bytes a row: the rows of the catalogue span cache lines.

use skycap_model::{FieldId, Kind, Shape};

use crate::TABLES;

/// The part of a field's row that every value of it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// What its values are.
    pub kind: Kind,
    /// How many there are.
    pub shape: Shape,
    /// Repeated in each segment of a session that was split.
    pub linked: bool,
    /// Written with `--all-fields` only.
    pub optional: bool,
    /// It stands in objects of a list.
    pub in_object: bool,
}

/// Traits of a number that no field has.
const UNKNOWN: Traits =
    Traits { kind: Kind::Term, shape: Shape::Virtual, linked: false, optional: false, in_object: false };

const COUNT: usize = {
    let (mut count, mut table) = (0, 0);
    while table < TABLES.len() {
        count += TABLES[table].1.len();
        table += 1;
    }
    count
};

static TRAITS: [Traits; COUNT] = {
    let mut traits = [UNKNOWN; COUNT];
    let (mut place, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].1.len() {
            let field = &TABLES[table].1[row];
            traits[place] = Traits {
                kind: field.kind,
                shape: field.shape,
                linked: field.linked,
                optional: field.optional,
                in_object: field.object.is_some(),
            };
            place += 1;
            row += 1;
        }
        table += 1;
    }
    traits
};

/// Traits of a field; those of a virtual text for a number that no field has.
#[inline]
#[must_use]
pub fn traits(id: FieldId) -> Traits {
    TRAITS.get(usize::from(id.0)).copied().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn same_as_the_catalogue() {
        assert_eq!(catalogue().fields().len(), COUNT);
        for (number, field) in catalogue().fields().iter().enumerate() {
            let traits = traits(FieldId(number as u16));
            assert_eq!((traits.kind, traits.shape), (field.kind, field.shape));
            assert_eq!((traits.linked, traits.optional), (field.linked, field.optional));
            assert_eq!(traits.in_object, field.object.is_some());
        }
        assert_eq!(traits(FieldId(u16::MAX)), UNKNOWN);
    }
}
