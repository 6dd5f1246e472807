//! The first sessions of a search in order, and how many match.

use std::{cmp::Ordering, collections::BinaryHeap, net::Ipv6Addr};

use serde_json::Value;
use skycap_model::FieldId;
use tantivy::{
    DocAddress, DocId, Searcher, SegmentReader,
    columnar::{Column as NumberColumn, StrColumn, TermOrdHit},
    query::{EnableScoring, Query},
    schema::Field,
};

use super::schema::{Column, Fields, mapped};
use crate::{ErrorKind, Sort, SortOrder, StoreError};

/// Values of one field in one segment.
pub(super) enum Values {
    /// The segment has none.
    Missing,
    Text(StrColumn),
    Number(NumberColumn<i64>),
    Address(NumberColumn<Ipv6Addr>),
}

impl Values {
    pub(super) fn open(
        fields: &Fields,
        reader: &SegmentReader,
        place: Option<(Field, Column)>,
    ) -> tantivy::Result<Self> {
        let Some((field, column)) = place else { return Ok(Self::Missing) };
        let name = fields.schema.get_field_name(field);
        let columns = reader.fast_fields();
        Ok(match column {
            Column::Text => columns.str(name)?.map_or(Self::Missing, Self::Text),
            Column::Number => columns.column_opt(name)?.map_or(Self::Missing, Self::Number),
            Column::Address => columns.column_opt(name)?.map_or(Self::Missing, Self::Address),
        })
    }

    /// Puts a document's values, as numbers in the order of the values, into `out`.
    pub(super) fn read(&self, document: DocId, out: &mut Vec<u128>) {
        out.clear();
        match self {
            Self::Missing => {}
            Self::Text(column) => out.extend(column.term_ords(document).map(ordinal_rank)),
            Self::Number(column) => out.extend(column.values_for_doc(document).map(number_rank)),
            Self::Address(column) => out.extend(column.values_for_doc(document).map(u128::from)),
        }
    }
}

/// Ordinals keep room between them, so that a text that the segment doesn't have has a place too.
const fn ordinal_rank(ordinal: u64) -> u128 {
    ((ordinal as u128) << 1) | 1
}

pub(super) const fn number_rank(number: i64) -> u128 {
    (number as u64 ^ (1 << 63)) as u128
}

pub(super) const fn rank_number(rank: u128) -> i64 {
    (rank as u64 ^ (1 << 63)) as i64
}

/// A value to sort by, comparable over all segments. Missing ones come last in either order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Text(Vec<u8>),
    Number(i64),
    Address(u128),
    Missing,
}

impl Key {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(String::from_utf8_lossy(text)),
            Self::Number(number) => Value::from(*number),
            Self::Address(address) => Value::from(Ipv6Addr::from(*address).to_canonical().to_string()),
            Self::Missing => Value::Null,
        }
    }
}

/// What a search sorts by, with `fileId` and `_id` at the end.
pub(super) struct Order {
    columns: Vec<(Option<(Field, Column)>, SortOrder)>,
}

/// A session that was found.
pub(super) struct Hit {
    pub(super) address: DocAddress,
    keys: Vec<Key>,
}

impl Hit {
    /// Token to go on after it.
    pub(super) fn token(&self) -> Vec<Value> {
        self.keys.iter().map(Key::to_json).collect()
    }
}

/// Rank in a segment; larger comes later. Missing values are last.
type Rank = Option<u128>;

fn compare_ranks(left: &[Rank], right: &[Rank]) -> Ordering {
    let pairs = left.iter().zip(right);
    let orders = pairs.map(|(left, right)| match (left, right) {
        (Some(left), Some(right)) => left.cmp(right),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

/// A candidate in a segment's heap; the worst is on top.
struct Candidate {
    ranks: Vec<Rank>,
    document: DocId,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_ranks(&self.ranks, &other.ranks).then(self.document.cmp(&other.document))
    }
}

impl Order {
    pub(super) fn new(fields: &Fields, sort: &[Sort], file_id: Option<FieldId>) -> Self {
        let place = |id: FieldId| fields.slot(id).and_then(|slot| slot.value);
        let mut columns: Vec<_> = sort.iter().map(|key| (place(key.field), key.order)).collect();
        columns.push((file_id.and_then(place), SortOrder::Ascending));
        columns.push((Some((fields.id, Column::Text)), SortOrder::Ascending));
        Self { columns }
    }

    /// The token of [`Hit::token`] back to keys.
    pub(super) fn parse(&self, token: &[Value]) -> Result<Vec<Key>, StoreError> {
        let wrong = || StoreError::new(ErrorKind::Invalid, "the token to go on after does not belong to this search");
        if token.len() != self.columns.len() {
            return Err(wrong());
        }
        let keys = token.iter().zip(&self.columns).map(|(value, (place, _))| match (value, place) {
            (Value::Null, _) => Some(Key::Missing),
            (Value::String(text), Some((_, Column::Text))) => Some(Key::Text(text.clone().into_bytes())),
            (Value::Number(number), Some((_, Column::Number))) => number.as_i64().map(Key::Number),
            (Value::String(text), Some((_, Column::Address))) => {
                text.parse().ok().map(|address| Key::Address(mapped(address).into()))
            }
            _ => None,
        });
        keys.collect::<Option<_>>().ok_or_else(wrong)
    }

    /// The `most` first matches that come after `after`, in order, and the number of all matches.
    pub(super) fn select(
        &self,
        fields: &Fields,
        searcher: &Searcher,
        query: &dyn Query,
        after: Option<&[Key]>,
        most: usize,
    ) -> tantivy::Result<(Vec<Hit>, u64)> {
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
        let (mut hits, mut total) = (Vec::new(), 0_u64);
        for (number, reader) in (0_u32..).zip(searcher.segment_readers()) {
            if most == 0 {
                total += u64::from(weight.count(reader)?);
                continue;
            }
            let mut segment = Segment::open(self, fields, reader, after, most)?;
            let alive = reader.alive_bitset();
            weight.for_each_no_score(reader, &mut |documents| {
                for &document in documents {
                    if alive.is_none_or(|alive| alive.is_alive(document)) {
                        segment.take(document);
                    }
                }
            })?;
            total += segment.total;
            hits.extend(segment.hits(number)?);
        }
        hits.sort_unstable_by(|left, right| self.compare(&left.keys, &right.keys));
        hits.truncate(most);
        Ok((hits, total))
    }

    fn compare(&self, left: &[Key], right: &[Key]) -> Ordering {
        let triples = left.iter().zip(right).zip(&self.columns);
        let orders = triples.map(|((left, right), (_, order))| match (left, right, order) {
            (Key::Missing, _, _) | (_, Key::Missing, _) | (_, _, SortOrder::Ascending) => left.cmp(right),
            (_, _, SortOrder::Descending) => right.cmp(left),
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

/// Selection in one segment.
struct Segment {
    columns: Vec<(Values, SortOrder)>,
    after: Option<Vec<Rank>>,
    best: BinaryHeap<Candidate>,
    most: usize,
    total: u64,
    /// Reused for each document.
    ranks: Vec<Rank>,
    values: Vec<u128>,
}

impl Segment {
    fn open(
        order: &Order,
        fields: &Fields,
        reader: &SegmentReader,
        after: Option<&[Key]>,
        most: usize,
    ) -> tantivy::Result<Self> {
        let columns: tantivy::Result<Vec<_>> = order
            .columns
            .iter()
            .map(|&(place, direction)| Ok((Values::open(fields, reader, place)?, direction)))
            .collect();
        let columns = columns?;
        let after = match after {
            Some(keys) => Some(ranks_of(keys, &columns)?),
            None => None,
        };
        let best = BinaryHeap::new();
        Ok(Self { columns, after, best, most, total: 0, ranks: Vec::new(), values: Vec::new() })
    }

    fn take(&mut self, document: DocId) {
        self.total += 1;
        self.ranks.clear();
        for (values, direction) in &self.columns {
            values.read(document, &mut self.values);
            self.ranks.push(match direction {
                SortOrder::Ascending => self.values.iter().min().copied(),
                SortOrder::Descending => self.values.iter().max().map(|rank| !rank),
            });
        }
        if self.after.as_ref().is_some_and(|after| compare_ranks(&self.ranks, after) != Ordering::Greater) {
            return;
        }
        if self.best.len() >= self.most {
            let better = self.best.peek().is_some_and(|worst| compare_ranks(&self.ranks, &worst.ranks).is_lt());
            if !better {
                return;
            }
            self.best.pop();
        }
        self.best.push(Candidate { ranks: self.ranks.clone(), document });
    }

    /// The candidates, with keys that can be compared beyond the segment.
    fn hits(self, segment: u32) -> tantivy::Result<Vec<Hit>> {
        let candidates = self.best.into_vec();
        let mut hits: Vec<Hit> = candidates
            .iter()
            .map(|candidate| Hit { address: DocAddress::new(segment, candidate.document), keys: Vec::new() })
            .collect();
        for (place, (values, direction)) in self.columns.iter().enumerate() {
            let rank = |candidate: &Candidate| {
                let rank = candidate.ranks.get(place).copied().flatten();
                rank.map(|rank| if *direction == SortOrder::Descending { !rank } else { rank })
            };
            if let Values::Text(column) = values {
                // texts are read in the order of the dictionary: each of its blocks is unpacked once
                let mut wanted: Vec<(u64, usize)> = candidates
                    .iter()
                    .enumerate()
                    .filter_map(|(number, candidate)| Some(((rank(candidate)? >> 1) as u64, number)))
                    .collect();
                wanted.sort_unstable();
                let ordinals: Vec<u64> = wanted.iter().map(|&(ordinal, _)| ordinal).collect();
                let mut texts: Vec<Vec<u8>> = Vec::with_capacity(ordinals.len());
                column.dictionary().sorted_ords_to_term_cb(&ordinals, |text| texts.push(text.to_vec()))?;
                hits.iter_mut().for_each(|hit| hit.keys.push(Key::Missing));
                for (text, (_, number)) in texts.into_iter().zip(wanted) {
                    if let Some(key) = hits.get_mut(number).and_then(|hit| hit.keys.last_mut()) {
                        *key = Key::Text(text);
                    }
                }
                continue;
            }
            for (hit, candidate) in hits.iter_mut().zip(&candidates) {
                hit.keys.push(match (values, rank(candidate)) {
                    (Values::Number(_), Some(rank)) => Key::Number(rank_number(rank)),
                    (Values::Address(_), Some(rank)) => Key::Address(rank),
                    _ => Key::Missing,
                });
            }
        }
        Ok(hits)
    }
}

/// Where keys stand among the ranks of a segment.
fn ranks_of(keys: &[Key], columns: &[(Values, SortOrder)]) -> tantivy::Result<Vec<Rank>> {
    let ranks = keys.iter().zip(columns).map(|(key, (values, direction))| {
        let rank = match (key, values) {
            (Key::Missing, _) => return Ok(None),
            (Key::Number(number), _) => number_rank(*number),
            (Key::Address(address), _) => *address,
            (Key::Text(text), Values::Text(column)) => match column.dictionary().term_ord_or_next(text)? {
                TermOrdHit::Exact(ordinal) => ordinal_rank(ordinal),
                TermOrdHit::Next(ordinal) => u128::from(ordinal) << 1,
            },
            // all of the segment miss the field, and missing comes after any text
            (Key::Text(_), _) => 0,
        };
        Ok(Some(if *direction == SortOrder::Descending { !rank } else { rank }))
    });
    ranks.collect()
}
