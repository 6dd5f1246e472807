//! Names of document members, prepared once: their keys, and the objects that a path goes through.

use skycap_model::{Catalogue, FieldId, Shape};

/// A field's place in documents.
struct Place {
    /// Objects around it, outermost first, as numbers of [`Paths::prefixes`].
    parents: Vec<u16>,
    /// `"name":`
    key: Vec<u8>,
    /// `,"nameCnt":`, where the number of values is written too.
    count: Option<Vec<u8>>,
    /// The same within the object that the field belongs to.
    inner_key: Vec<u8>,
    inner_count: Option<Vec<u8>>,
}

/// Places of all fields.
pub(crate) struct Paths {
    places: Vec<Place>,
    /// Path prefixes and their `"name":{`.
    prefixes: Vec<(String, Vec<u8>)>,
}

/// What [`Paths::undo`] needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Entered {
    /// Objects that were open before.
    open: [u16; 8],
    depth: u8,
}

impl Paths {
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let mut paths = Self { places: Vec::new(), prefixes: Vec::new() };
        for field in catalogue.fields() {
            let (parents, name) = field.path.rsplit_once('.').unwrap_or(("", field.path));
            let count_path = match field.shape {
                Shape::Object => Some(format!("{}Cnt", field.path)),
                _ => field.count_path(),
            };
            // where a table has a row of its own for the count, its parser writes it
            let count_path = count_path.filter(|path| catalogue.by_path(path).is_none());
            let parents = if field.object.is_some() { "" } else { parents };
            let parents = paths.parents(parents);
            let name_of = |path: &str| path.rsplit_once('.').map_or(path, |(_, name)| name).to_owned();
            let inside = |path: &str| {
                let prefix = field.object.map_or(0, |object| object.len() + 1);
                path.get(prefix..).unwrap_or(path).to_owned()
            };
            paths.places.push(Place {
                parents,
                key: format!("\"{name}\":").into_bytes(),
                count: count_path.as_deref().map(|path| format!(",\"{}\":", name_of(path)).into_bytes()),
                inner_key: format!("\"{}\":", inside(field.path)).into_bytes(),
                inner_count: count_path.as_deref().map(|path| format!(",\"{}\":", inside(path)).into_bytes()),
            });
        }
        paths
    }

    /// Numbers of the prefixes of a path, outermost first.
    fn parents(&mut self, path: &str) -> Vec<u16> {
        let mut numbers = Vec::new();
        let mut prefix = String::new();
        for name in path.split('.').filter(|name| !name.is_empty()) {
            if !prefix.is_empty() {
                prefix.push('.');
            }
            prefix.push_str(name);
            let known = self.prefixes.iter().position(|(other, _)| *other == prefix);
            let number = known.unwrap_or_else(|| {
                self.prefixes.push((prefix.clone(), format!("\"{name}\":{{").into_bytes()));
                self.prefixes.len() - 1
            });
            numbers.push(number as u16);
        }
        numbers
    }

    /// Closes and opens objects so that the field can follow, and writes its key.
    pub(crate) fn enter(&self, id: FieldId, open: &mut Vec<u16>, out: &mut Vec<u8>) -> Entered {
        let mut entered = Entered { open: [0; 8], depth: open.len().min(8) as u8 };
        for (place, &number) in entered.open.iter_mut().zip(open.iter()) {
            *place = number;
        }
        let Some(place) = self.places.get(usize::from(id.0)) else { return entered };
        let shared = open.iter().zip(&place.parents).take_while(|(one, other)| one == other).count();
        while open.len() > shared {
            open.pop();
            out.push(b'}');
        }
        if !out.ends_with(b"{") {
            out.push(b',');
        }
        for &number in &place.parents[shared..] {
            open.push(number);
            if let Some((_, text)) = self.prefixes.get(usize::from(number)) {
                out.extend_from_slice(text);
            }
        }
        out.extend_from_slice(&place.key);
        entered
    }

    /// Takes back what [`Paths::enter`] wrote: there is no value.
    pub(crate) fn undo(&self, entered: Entered, start: usize, open: &mut Vec<u16>, out: &mut Vec<u8>) {
        out.truncate(start);
        open.clear();
        open.extend(entered.open.iter().take(usize::from(entered.depth)));
    }

    /// Writes the number of values behind them, where the field wants it.
    pub(crate) fn count(&self, id: FieldId, count: u64, out: &mut Vec<u8>) {
        if let Some(text) = self.places.get(usize::from(id.0)).and_then(|place| place.count.as_deref()) {
            out.extend_from_slice(text);
            crate::json::unsigned(out, count);
        }
    }

    /// Writes the key of a field inside its object.
    pub(crate) fn inner(&self, id: FieldId, out: &mut Vec<u8>) {
        if let Some(place) = self.places.get(usize::from(id.0)) {
            out.extend_from_slice(&place.inner_key);
        }
    }

    /// Writes the number of values inside an object.
    pub(crate) fn inner_count(&self, id: FieldId, count: u64, out: &mut Vec<u8>) {
        if let Some(text) = self.places.get(usize::from(id.0)).and_then(|place| place.inner_count.as_deref()) {
            out.extend_from_slice(text);
            crate::json::unsigned(out, count);
        }
    }
}
