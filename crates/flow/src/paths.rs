//! Names of document members, prepared once: their keys, and the objects that a path goes through.

use skycap_model::{Catalogue, FieldId, Shape};

/// Most objects around a field.
const MOST_PARENTS: usize = 7;

/// A field's place in documents.
struct Place {
    /// The document and the objects around the field, outermost first, as numbers of [`Paths::prefixes`].
    parents: [u16; MOST_PARENTS + 1],
    /// Place of the innermost in `parents`.
    depth: u8,
    /// Where in `text` the part begins that opens what is inside of each parent.
    starts: [u16; MOST_PARENTS + 1],
    /// `"outer":{"inner":{"name":`
    text: Box<[u8]>,
    /// `,"nameCnt":`, where the number of values is written too.
    count: Option<Box<[u8]>>,
    /// `"name":` and the like within the object that the field belongs to.
    inner_key: Box<[u8]>,
    inner_count: Option<Box<[u8]>>,
}

/// An object that a path goes through.
struct Prefix {
    path: String,
    parent: u16,
    depth: u8,
}

/// Places of all fields.
pub(crate) struct Paths {
    places: Vec<Place>,
    /// Path prefixes; the first is the document itself.
    prefixes: Vec<Prefix>,
}

impl Paths {
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let mut paths =
            Self { places: Vec::new(), prefixes: vec![Prefix { path: String::new(), parent: 0, depth: 0 }] };
        for field in catalogue.fields() {
            let (parents, name) = field.path.rsplit_once('.').unwrap_or(("", field.path));
            let count_path = match field.shape {
                Shape::Object => Some(format!("{}Cnt", field.path)),
                _ => field.count_path(),
            };
            // where a table has a row of its own for the count, its parser writes it
            let count_path = count_path.filter(|path| catalogue.by_path(path).is_none());
            let parents = if field.object.is_some() { "" } else { parents };
            let mut place = paths.place(parents);
            let name_of = |path: &str| path.rsplit_once('.').map_or(path, |(_, name)| name).to_owned();
            let inside = |path: &str| {
                let prefix = field.object.map_or(0, |object| object.len() + 1);
                path.get(prefix..).unwrap_or(path).to_owned()
            };
            let owned = |text: String| text.into_bytes().into_boxed_slice();
            place.text = owned(format!("{}\"{name}\":", String::from_utf8_lossy(&place.text)));
            place.count = count_path.as_deref().map(|path| owned(format!(",\"{}\":", name_of(path))));
            place.inner_key = owned(format!("\"{}\":", inside(field.path)));
            place.inner_count = count_path.as_deref().map(|path| owned(format!(",\"{}\":", inside(path))));
            paths.places.push(place);
        }
        paths
    }

    /// The place of a field in this path, without its name.
    fn place(&mut self, path: &str) -> Place {
        let mut place = Place {
            parents: [0; MOST_PARENTS + 1],
            depth: 0,
            starts: [0; MOST_PARENTS + 1],
            text: Box::default(),
            count: None,
            inner_key: Box::default(),
            inner_count: None,
        };
        let (mut prefix, mut text, mut parent) = (String::new(), String::new(), 0);
        for (depth, name) in (1..=MOST_PARENTS).zip(path.split('.').filter(|name| !name.is_empty())) {
            if !prefix.is_empty() {
                prefix.push('.');
            }
            prefix.push_str(name);
            text.push_str(&format!("\"{name}\":{{"));
            let known = self.prefixes.iter().position(|other| other.path == prefix);
            let number = known.unwrap_or_else(|| {
                self.prefixes.push(Prefix { path: prefix.clone(), parent, depth: depth as u8 });
                self.prefixes.len() - 1
            });
            parent = number as u16;
            place.parents[depth] = parent;
            place.starts[depth] = text.len() as u16;
            place.depth = depth as u8;
        }
        place.text = text.into_bytes().into_boxed_slice();
        place
    }

    /// Closes and opens objects so that the field can follow, and writes its key. `open` is the innermost object open
    /// in `out`; gives what it was before.
    pub(crate) fn enter(&self, id: FieldId, open: &mut u16, out: &mut Vec<u8>) -> u16 {
        let before = *open;
        let Some(place) = self.places.get(usize::from(id.0)) else { return before };
        let mut depth = usize::from(place.depth);
        if place.parents[depth.min(MOST_PARENTS)] != before {
            let mut object = before;
            while let Some(prefix) = self.prefixes.get(usize::from(object)) {
                depth = usize::from(prefix.depth).min(MOST_PARENTS);
                // behind the field's own parents stands the document, which is nobody's inner object
                if place.parents[depth] == object {
                    break;
                }
                out.push(b'}');
                object = prefix.parent;
            }
            *open = place.parents[usize::from(place.depth).min(MOST_PARENTS)];
        }
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(&place.text[usize::from(place.starts[depth])..]);
        before
    }

    /// Takes back what [`Paths::enter`] wrote: there is no value.
    pub(crate) fn undo(&self, before: u16, start: usize, open: &mut u16, out: &mut Vec<u8>) {
        out.truncate(start);
        *open = before;
    }

    /// Closes all objects but the document.
    pub(crate) fn close(&self, open: &mut u16, out: &mut Vec<u8>) {
        while let Some(prefix) = self.prefixes.get(usize::from(std::mem::take(open))).filter(|prefix| prefix.depth > 0)
        {
            out.push(b'}');
            *open = prefix.parent;
        }
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
