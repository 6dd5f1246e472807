//! Sessions as rows: chosen fields, flat or nested, JSON or CSV.

use serde_json::{Map, Value};
use skycap_model::Resolved;
use skycap_protocols::catalogue;

/// The value at a dotted path; through arrays of objects, all values.
pub(crate) fn at_path<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    fn walk<'a>(value: &'a Value, segments: &[&str], found: &mut Vec<&'a Value>) {
        match (value, segments) {
            (Value::Array(list), _) => list.iter().for_each(|item| walk(item, segments, found)),
            (value, []) => found.push(value),
            (Value::Object(object), [first, rest @ ..]) => {
                if let Some(child) = object.get(*first) {
                    walk(child, rest, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, &path.split('.').collect::<Vec<_>>(), &mut found);
    found
}

/// Document paths of a comma separated list of field names (paths or expression names).
pub(crate) fn paths(fields: &str) -> Vec<String> {
    let names = fields.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(path_of).collect()
}

fn path_of(name: &str) -> String {
    let catalogue = catalogue();
    match catalogue.resolve(name) {
        Some(Resolved::Field(id)) if !catalogue.field(id).path.is_empty() => catalogue.field(id).path.to_owned(),
        Some(Resolved::Count(id)) => catalogue.field(id).count_path().unwrap_or_else(|| name.to_owned()),
        _ => name.to_owned(),
    }
}

/// The document with only the values at `paths`; whole where there are none.
pub(crate) fn select(document: Value, paths: &[String]) -> Value {
    if paths.is_empty() {
        return document;
    }
    let mut chosen = Map::new();
    for path in paths {
        copy(&document, &path.split('.').collect::<Vec<_>>(), &mut chosen);
    }
    Value::Object(chosen)
}

fn copy(from: &Value, segments: &[&str], to: &mut Map<String, Value>) {
    let [first, rest @ ..] = segments else { return };
    let Some(child) = from.get(first) else { return };
    if rest.is_empty() || !child.is_object() {
        to.insert((*first).to_owned(), child.clone());
    } else if let Value::Object(inner) = to.entry((*first).to_owned()).or_insert_with(|| Value::Object(Map::new())) {
        copy(child, rest, inner);
    }
}

/// The document as one level: `source.ip` is a key. Arrays stay.
pub(crate) fn flatten(document: Value) -> Value {
    fn walk(value: Value, path: String, to: &mut Map<String, Value>) {
        match value {
            Value::Object(object) => {
                for (name, child) in object {
                    walk(child, if path.is_empty() { name } else { format!("{path}.{name}") }, to);
                }
            }
            other => {
                to.insert(path, other);
            }
        }
    }
    let mut flat = Map::new();
    walk(document, String::new(), &mut flat);
    Value::Object(flat)
}

/// Fields of a CSV where none are asked for.
pub(crate) const CSV_FIELDS: &str = "ipProtocol,firstPacket,lastPacket,source.ip,source.port,destination.ip,destination.port,network.packets,network.bytes,totDataBytes,protocol,node";

/// The header line of a CSV of these fields, with the line's end.
#[must_use]
pub fn csv_header(fields: Option<&str>) -> String {
    let names = fields.unwrap_or(CSV_FIELDS);
    format!("{}\r\n", names.split(',').map(|name| csv_cell(name.trim())).collect::<Vec<_>>().join(","))
}

/// A session as a CSV line (RFC 4180), with the line's end. Several values are joined by a semicolon. A cell that a
/// spreadsheet would take for a formula gets an apostrophe before it: values come from packets.
#[must_use]
pub fn csv_row(document: &Value, fields: Option<&str>) -> String {
    let names = fields.unwrap_or(CSV_FIELDS).split(',').map(str::trim).filter(|name| !name.is_empty());
    let cells: Vec<String> = names.map(|name| csv_cell(&csv_cells(document, name))).collect();
    format!("{}\r\n", cells.join(","))
}

/// The values of one field of a session, as text; several are joined by a semicolon.
#[must_use]
pub fn csv_cells(document: &Value, field: &str) -> String {
    let texts: Vec<String> = at_path(document, &path_of(field)).into_iter().map(plain).collect();
    texts.join(";")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn csv_cell(text: &str) -> String {
    let formula =
        text.starts_with(['=', '+', '@', '\t', '\r']) || (text.starts_with('-') && text.parse::<f64>().is_err());
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn chosen_and_flat() {
        let document = json!({"source": {"ip": "10.0.0.1", "port": 1}, "dns": [{"host": ["a"]}, {"host": ["b", "c"]}], "node": "n"});
        assert_eq!(select(document.clone(), &paths("ip.src,node")), json!({"source": {"ip": "10.0.0.1"}, "node": "n"}));
        assert_eq!(flatten(document.clone())["source.port"], json!(1));
        assert_eq!(at_path(&document, "dns.host").len(), 3);
        assert_eq!(csv_row(&document, Some("ip.src,dns.host,node")), "10.0.0.1,a;b;c,n\r\n");
    }

    #[test]
    fn cells_are_no_formulas() {
        assert_eq!(csv_cell("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(csv_cell("-5"), "-5");
        assert_eq!(csv_cell("-x"), "'-x");
    }
}
