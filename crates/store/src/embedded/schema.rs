//! From the field catalogue to the index's schema, and from a document to what the index takes of it.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv6Addr},
};

use serde_json::Value;
use skycap_model::{Catalogue, FieldId, Kind, Shape};
use skycap_query::words;
use tantivy::{
    TantivyDocument,
    schema::{
        BytesOptions, FAST, Field, INDEXED, IndexRecordOption, IpAddrOptions, NumericOptions, STORED, STRING, Schema,
        TextFieldIndexing, TextOptions,
    },
    tokenizer::{Token, TokenStream, Tokenizer},
};

/// Counts up whenever the same catalogue gives another index; older ones are then built anew.
const LAYOUT: u32 = 1;

/// Path of the IP protocol: numbers in documents, names in expressions.
const PROTOCOL_PATH: &str = "ipProtocol";

/// Longest text that is indexed, in bytes; the rest of a longer one is stored and shown, not searched. Documents of
/// the dissector stay far below it.
const MAX_INDEXED_BYTES: usize = 32_766;

/// Name of the tokenizer that cuts words as the query language does.
pub(super) const WORDS: &str = "words";

/// What the values of an indexed field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Text in a dictionary.
    Text,
    /// Numbers, dates in milliseconds, truth values as 0 and 1.
    Number,
    /// Addresses, IPv4 mapped into IPv6.
    Address,
}

/// Where the values of one field of the catalogue are found in the index.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// Values; `None` where they are not searched.
    pub(super) value: Option<(Field, Column)>,
    /// True where single values are found without a walk along the column.
    pub(super) indexed: bool,
    /// The number of values.
    pub(super) count: Option<Field>,
    /// The words of the text.
    pub(super) tokens: Option<Field>,
}

/// The index's schema.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    /// `_id`.
    pub(super) id: Field,
    /// Index that the session belongs to.
    pub(super) index: Field,
    /// The document as given.
    pub(super) json: Field,
    /// Paths of fields that are there but have no column.
    pub(super) present: Field,
    slots: Vec<Slot>,
    by_path: HashMap<String, Vec<Place>>,
    /// Tells this schema from others.
    pub(super) hash: String,
}

/// What a path of a document is for.
#[derive(Clone, Copy, Debug)]
enum Place {
    Value(u16),
    Count(u16),
}

impl Fields {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        let mut builder = Schema::builder();
        let id = builder.add_text_field("_id", STRING | FAST | STORED);
        let index = builder.add_text_field("_index", STRING | FAST | STORED);
        let json = builder.add_bytes_field("_json", BytesOptions::from(STORED));
        let raw = TextFieldIndexing::default().set_tokenizer("raw").set_fieldnorms(false);
        let keyword = TextOptions::default().set_indexing_options(raw.set_index_option(IndexRecordOption::Basic));
        let present = builder.add_text_field("_present", keyword.clone());
        let cut = TextFieldIndexing::default().set_tokenizer(WORDS).set_fieldnorms(false);
        let tokenized =
            TextOptions::default().set_indexing_options(cut.set_index_option(IndexRecordOption::WithFreqsAndPositions));
        let mut by_path: HashMap<String, Vec<Place>> = HashMap::new();
        let mut hasher = DefaultHasher::new();
        LAYOUT.hash(&mut hasher);
        let mut slots = Vec::with_capacity(catalogue.fields().len());
        for (number, field) in catalogue.fields().iter().enumerate() {
            let number = number as u16;
            let mut slot = Slot::default();
            if field.shape == Shape::Virtual || field.path.is_empty() {
                slots.push(slot);
                continue;
            }
            let object = field.shape == Shape::Object;
            (field.path, field.kind as u8, object, field.counted, field.tokens, field.unsearched).hash(&mut hasher);
            by_path.entry(field.path.to_owned()).or_default().push(Place::Value(number));
            if !object && !field.unsearched {
                let name = field.path;
                let (value, column) = match field.kind {
                    _ if name == PROTOCOL_PATH => (builder.add_i64_field(name, INDEXED | FAST), Column::Number),
                    Kind::Term | Kind::LowerTerm | Kind::UpperTerm => {
                        (builder.add_text_field(name, keyword.clone() | FAST), Column::Text)
                    }
                    // words have no column of their own
                    Kind::Words => (builder.add_text_field(name, keyword.clone() | FAST), Column::Text),
                    Kind::Integer | Kind::Boolean => (builder.add_i64_field(name, INDEXED | FAST), Column::Number),
                    // single milliseconds are never asked for: no index beside the column
                    Kind::Date => (builder.add_i64_field(name, NumericOptions::from(FAST)), Column::Number),
                    Kind::Ip => (builder.add_ip_addr_field(name, IpAddrOptions::from(INDEXED | FAST)), Column::Address),
                };
                slot.value = Some((value, column));
                slot.indexed = field.kind != Kind::Date;
                if field.tokens || field.category == Some(skycap_model::Category::Host) {
                    slot.tokens = Some(builder.add_text_field(&format!("_words/{name}"), tokenized.clone()));
                }
            }
            let count_path = field.count_path().or_else(|| object.then(|| format!("{}Cnt", field.path)));
            if let Some(count_path) = count_path.filter(|path| catalogue.by_path(path).is_none()) {
                slot.count = Some(builder.add_i64_field(&format!("_count/{}", field.path), NumericOptions::from(FAST)));
                by_path.entry(count_path).or_default().push(Place::Count(number));
            }
            slots.push(slot);
        }
        let hash = format!("{:016x}", hasher.finish());
        Self { schema: builder.build(), id, index, json, present, slots, by_path, hash }
    }

    /// Where the values of a field are; `None` for a number that the catalogue doesn't have.
    pub(super) fn slot(&self, id: FieldId) -> Option<&Slot> {
        self.slots.get(usize::from(id.0))
    }

    /// What the index takes of a session; the reason where it can't take it.
    pub(super) fn document(&self, index: &str, id: &str, json: &[u8]) -> Result<TantivyDocument, String> {
        let value: Value = serde_json::from_slice(json).map_err(|error| format!("the document is no JSON: {error}"))?;
        if !value.is_object() {
            return Err("the document is no JSON object".to_owned());
        }
        let mut document = TantivyDocument::default();
        document.add_text(self.id, id);
        document.add_text(self.index, index);
        document.add_bytes(self.json, json);
        let mut filling =
            Filling { fields: self, document, counted: Vec::new(), told: Vec::new(), present: Vec::new() };
        filling.walk(&value, &mut String::new());
        Ok(filling.finish())
    }
}

/// A document on its way into the index.
struct Filling<'a> {
    fields: &'a Fields,
    document: TantivyDocument,
    /// Values seen of fields that have a count.
    counted: Vec<(u16, i64)>,
    /// Fields whose count the document tells.
    told: Vec<u16>,
    /// Paths noted in `_present`.
    present: Vec<u16>,
}

impl Filling<'_> {
    fn walk(&mut self, value: &Value, path: &mut String) {
        match value {
            Value::Null => {}
            Value::Array(values) => values.iter().for_each(|value| self.walk(value, path)),
            Value::Object(members) => {
                if !path.is_empty() {
                    self.place(value, path);
                }
                for (name, member) in members {
                    let length = path.len();
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(name);
                    self.walk(member, path);
                    path.truncate(length);
                }
            }
            scalar => self.place(scalar, path),
        }
    }

    fn place(&mut self, value: &Value, path: &str) {
        let fields = self.fields;
        for &place in fields.by_path.get(path).map_or(&[][..], Vec::as_slice) {
            match place {
                Place::Value(number) => self.value(number, value, path),
                Place::Count(number) => {
                    let slot = fields.slots.get(usize::from(number));
                    if let (Some(count), Some(field)) = (integer(value), slot.and_then(|slot| slot.count))
                        && !self.told.contains(&number)
                    {
                        self.told.push(number);
                        self.document.add_i64(field, count);
                    }
                }
            }
        }
    }

    fn value(&mut self, number: u16, value: &Value, path: &str) {
        let Some(slot) = self.fields.slots.get(usize::from(number)) else { return };
        if slot.count.is_some() {
            match self.counted.iter_mut().find(|(known, _)| *known == number) {
                Some((_, count)) => *count += 1,
                None => self.counted.push((number, 1)),
            }
        }
        match slot.value {
            None => {
                if !self.present.contains(&number) {
                    self.present.push(number);
                    self.document.add_text(self.fields.present, path);
                }
            }
            Some((field, Column::Text)) => {
                let owned;
                let text = match value {
                    Value::String(text) => text.as_str(),
                    Value::Number(number) => {
                        owned = number.to_string();
                        &owned
                    }
                    Value::Bool(truth) => {
                        owned = truth.to_string();
                        &owned
                    }
                    _ => return,
                };
                let text = cut(text);
                self.document.add_text(field, text);
                if let Some(tokens) = slot.tokens {
                    self.document.add_text(tokens, text);
                }
            }
            Some((field, Column::Number)) => {
                if let Some(number) = integer(value) {
                    self.document.add_i64(field, number);
                }
            }
            Some((field, Column::Address)) => {
                let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                if let Some(address) = address {
                    self.document.add_ip_addr(field, mapped(address));
                }
            }
        }
    }

    fn finish(mut self) -> TantivyDocument {
        for (number, count) in std::mem::take(&mut self.counted) {
            let field = self.fields.slots.get(usize::from(number)).and_then(|slot| slot.count);
            if let Some(field) = field.filter(|_| !self.told.contains(&number)) {
                self.document.add_i64(field, count);
            }
        }
        self.document
    }
}

/// IPv4 in its place among IPv6 addresses.
pub(super) fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_u64().map(|_| i64::MAX))
            .or_else(|| number.as_f64().map(|number| number as i64)),
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn cut(text: &str) -> &str {
    if text.len() <= MAX_INDEXED_BYTES {
        return text;
    }
    let end = (0..=MAX_INDEXED_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// Cuts texts into the words of the query language.
#[derive(Clone, Default)]
pub(super) struct WordTokenizer;

/// The words of one text.
pub(super) struct WordStream {
    words: std::vec::IntoIter<String>,
    token: Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream {
        WordStream { words: words(text).collect::<Vec<_>>().into_iter(), token: Token::default() }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        // positions begin at 0: the default token's is `usize::MAX`
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text = word;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
