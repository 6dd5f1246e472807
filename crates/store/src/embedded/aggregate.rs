//! Exact counts over the sessions that match.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    net::Ipv6Addr,
    sync::Arc,
};

use skycap_model::{Catalogue, FieldId, core_fields};
use tantivy::{
    Searcher,
    columnar::{BytesColumn, Column as NumberColumn},
    query::{EnableScoring, Query, Weight},
    schema::Field,
};

use super::{
    schema::{Column, Fields},
    select::{Values, rank_number},
};
use crate::{Bucket, BucketKey, ErrorKind, StoreError};

/// Most distinct values that one aggregation counts; 24 bytes of memory each.
const MAX_DISTINCT: usize = 10_000_000;

/// Most spans of a histogram.
const MAX_SPANS: usize = 200_000;

/// Distinct texts that are read from a segment's dictionary at a time.
const TEXTS_AT_A_TIME: usize = 1_024;

type Outcome = Result<Vec<Bucket>, StoreError>;

pub(super) fn failed(error: impl Into<tantivy::TantivyError>) -> StoreError {
    StoreError::caused(ErrorKind::Storage, "the session index can't be read", error.into())
}

/// Sessions per distinct value, most first, ties by value.
pub(super) fn terms(
    fields: &Fields,
    searcher: &Searcher,
    query: &dyn Query,
    place: Option<(Field, Column)>,
    size: usize,
) -> Outcome {
    let Some((field, column)) = place else { return Ok(Vec::new()) };
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher)).map_err(failed)?;
    let mut segments = Vec::new();
    let mut distinct = 0;
    for reader in searcher.segment_readers() {
        let values = Values::open(fields, reader, Some((field, column))).map_err(failed)?;
        if matches!(values, Values::Missing) {
            continue;
        }
        let counts = counts(weight.as_ref(), reader, &values, distinct)?;
        distinct += counts.len();
        segments.push((values, counts));
    }
    let mut best = Best { size, heap: BinaryHeap::new() };
    if column == Column::Text {
        merge_texts(segments, &mut best)?;
    } else {
        let mut merged: HashMap<u128, u64> = HashMap::new();
        for (_, counts) in segments {
            for (rank, count) in counts {
                *merged.entry(rank).or_default() += count;
            }
        }
        merged.into_iter().for_each(|(rank, count)| best.offer(count, Value::Rank(rank)));
    }
    Ok(best.buckets(column))
}

/// Sessions per rank of a segment, in the order of the ranks.
fn counts(
    weight: &dyn Weight,
    reader: &tantivy::SegmentReader,
    values: &Values,
    already: usize,
) -> Result<Vec<(u128, u64)>, StoreError> {
    let mut counts: HashMap<u128, u64> = HashMap::new();
    let mut ranks = Vec::new();
    let mut full = false;
    let alive = reader.alive_bitset();
    let walked = weight.for_each_no_score(reader, &mut |documents| {
        for &document in documents {
            if full || alive.is_some_and(|alive| !alive.is_alive(document)) {
                continue;
            }
            values.read(document, &mut ranks);
            if ranks.len() > 1 {
                // a session counts once per distinct value
                ranks.sort_unstable();
                ranks.dedup();
            }
            ranks.iter().for_each(|&rank| *counts.entry(rank).or_default() += 1);
            full = already + counts.len() > MAX_DISTINCT;
        }
    });
    walked.map_err(failed)?;
    if full {
        let message = format!("more than {MAX_DISTINCT} distinct values: narrow the search");
        return Err(StoreError::new(ErrorKind::Invalid, message));
    }
    let mut counts: Vec<(u128, u64)> = counts.into_iter().collect();
    counts.sort_unstable();
    Ok(counts)
}

/// The texts of one segment with their counts, in order.
struct Texts {
    column: BytesColumn,
    counts: Vec<(u128, u64)>,
    at: usize,
    read: std::vec::IntoIter<Vec<u8>>,
}

impl Texts {
    fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        let Some(&(_, count)) = self.counts.get(self.at) else { return Ok(None) };
        let text = match self.read.next() {
            Some(text) => text,
            None => {
                let ahead = self.counts.iter().skip(self.at).take(TEXTS_AT_A_TIME);
                let ordinals: Vec<u64> = ahead.map(|&(rank, _)| (rank >> 1) as u64).collect();
                let mut texts = Vec::with_capacity(ordinals.len());
                let dictionary = self.column.dictionary();
                dictionary.sorted_ords_to_term_cb(&ordinals, |text| texts.push(text.to_vec())).map_err(failed)?;
                self.read = texts.into_iter();
                let Some(text) = self.read.next() else { return Ok(None) };
                text
            }
        };
        self.at += 1;
        Ok(Some((text, count)))
    }
}

/// Merges the sorted texts of all segments: memory holds one stretch of each, not all of them.
fn merge_texts(segments: Vec<(Values, Vec<(u128, u64)>)>, best: &mut Best) -> Result<(), StoreError> {
    let mut sources: Vec<Texts> = segments
        .into_iter()
        .filter_map(|(values, counts)| match values {
            Values::Text(column) => Some(Texts { column: column.into(), counts, at: 0, read: Vec::new().into_iter() }),
            _ => None,
        })
        .collect();
    let mut heads: BinaryHeap<Reverse<(Vec<u8>, usize, u64)>> = BinaryHeap::new();
    for (number, source) in sources.iter_mut().enumerate() {
        heads.extend(source.next()?.map(|(text, count)| Reverse((text, number, count))));
    }
    let mut current: Option<(Vec<u8>, u64)> = None;
    while let Some(Reverse((text, number, count))) = heads.pop() {
        if let Some(source) = sources.get_mut(number) {
            heads.extend(source.next()?.map(|(text, count)| Reverse((text, number, count))));
        }
        match &mut current {
            Some((known, sum)) if *known == text => *sum += count,
            _ => {
                if let Some((known, sum)) = current.replace((text, count)) {
                    best.offer(sum, Value::Text(known));
                }
            }
        }
    }
    if let Some((known, sum)) = current {
        best.offer(sum, Value::Text(known));
    }
    Ok(())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Rank(u128),
    Text(Vec<u8>),
}

/// The values with the largest counts; the least of them is on top.
struct Best {
    size: usize,
    heap: BinaryHeap<(Reverse<u64>, Value)>,
}

impl Best {
    fn offer(&mut self, count: u64, value: Value) {
        if self.heap.len() < self.size {
            self.heap.push((Reverse(count), value));
        } else if self.heap.peek().is_some_and(|worst| (Reverse(count), &value) < (worst.0, &worst.1)) {
            self.heap.pop();
            self.heap.push((Reverse(count), value));
        }
    }

    fn buckets(self, column: Column) -> Vec<Bucket> {
        let bucket = |(Reverse(sessions), value): (Reverse<u64>, Value)| {
            let key = match (value, column) {
                (Value::Text(text), _) => BucketKey::Text(String::from_utf8_lossy(&text).into_owned()),
                (Value::Rank(rank), Column::Address) => {
                    BucketKey::Text(Ipv6Addr::from(rank).to_canonical().to_string())
                }
                (Value::Rank(rank), _) => BucketKey::Integer(rank_number(rank)),
            };
            Bucket { key, sessions, packets: [0; 2], bytes: [0; 2], data_bytes: [0; 2] }
        };
        self.heap.into_sorted_vec().into_iter().map(bucket).collect()
    }
}

/// Sums of a histogram, in the order of a [`Bucket`]'s members.
const SUMS: [FieldId; 6] = [
    core_fields::SOURCE_PACKETS,
    core_fields::DESTINATION_PACKETS,
    core_fields::SOURCE_BYTES,
    core_fields::DESTINATION_BYTES,
    core_fields::CLIENT_BYTES,
    core_fields::SERVER_BYTES,
];

/// Sessions, packets and bytes per span of `lastPacket`.
pub(super) fn histogram(catalogue: &Catalogue, searcher: &Searcher, query: &dyn Query, interval_ms: u64) -> Outcome {
    let Some(interval) = i64::try_from(interval_ms).ok().filter(|&interval| interval > 0) else {
        return Err(StoreError::new(ErrorKind::Invalid, "the span of a histogram must be at least a millisecond"));
    };
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher)).map_err(failed)?;
    let mut spans: BTreeMap<i64, Bucket> = BTreeMap::new();
    for reader in searcher.segment_readers() {
        let column = |id: FieldId| -> tantivy::Result<Option<NumberColumn<i64>>> {
            reader.fast_fields().column_opt(catalogue.field(id).path)
        };
        let Some(times) = column(core_fields::LAST_PACKET).map_err(failed)? else { continue };
        let sums = SUMS.map(column).into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let alive = reader.alive_bitset();
        let mut full = false;
        let walked = weight.for_each_no_score(reader, &mut |documents| {
            for &document in documents {
                let Some(time) = times.first(document).filter(|_| alive.is_none_or(|alive| alive.is_alive(document)))
                else {
                    continue;
                };
                let start = time.div_euclid(interval).saturating_mul(interval);
                full |= spans.len() >= MAX_SPANS && !spans.contains_key(&start);
                if full {
                    return;
                }
                let bucket = spans.entry(start).or_insert_with(|| Bucket {
                    key: BucketKey::Integer(start),
                    sessions: 0,
                    packets: [0; 2],
                    bytes: [0; 2],
                    data_bytes: [0; 2],
                });
                bucket.sessions += 1;
                let Bucket { packets: [p, q], bytes: [b, c], data_bytes: [d, e], .. } = bucket;
                for (sum, column) in [p, q, b, c, d, e].into_iter().zip(&sums) {
                    let value = column.as_ref().and_then(|column| column.first(document)).unwrap_or_default();
                    *sum = sum.saturating_add(u64::try_from(value).unwrap_or_default());
                }
            }
        });
        walked.map_err(failed)?;
        if full {
            let message = format!("more than {MAX_SPANS} spans: take a longer span or a shorter time");
            return Err(StoreError::new(ErrorKind::Invalid, message));
        }
    }
    Ok(spans.into_values().collect())
}

/// The capture objects that have a session among the matches: node and `fileId`.
pub(super) fn objects(
    fields: &Fields,
    searcher: &Searcher,
    query: &dyn Query,
    node: (Field, Column),
    file_id: (Field, Column),
) -> Result<std::collections::HashSet<(Arc<str>, i64)>, StoreError> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher)).map_err(failed)?;
    let mut all = std::collections::HashSet::new();
    for reader in searcher.segment_readers() {
        let nodes = Values::open(fields, reader, Some(node)).map_err(failed)?;
        let numbers = Values::open(fields, reader, Some(file_id)).map_err(failed)?;
        let Values::Text(column) = &nodes else { continue };
        let mut pairs = std::collections::HashSet::new();
        let (mut names, mut ids) = (Vec::new(), Vec::new());
        let alive = reader.alive_bitset();
        let walked = weight.for_each_no_score(reader, &mut |documents| {
            for &document in documents {
                if alive.is_some_and(|alive| !alive.is_alive(document)) {
                    continue;
                }
                nodes.read(document, &mut names);
                numbers.read(document, &mut ids);
                for &name in &names {
                    pairs.extend(ids.iter().map(|&id| (name, rank_number(id))));
                }
            }
        });
        walked.map_err(failed)?;
        let mut known: HashMap<u128, Arc<str>> = HashMap::new();
        for (name, id) in pairs {
            let text = match known.get(&name) {
                Some(text) => text.clone(),
                None => {
                    let mut text = String::new();
                    column.ord_to_str((name >> 1) as u64, &mut text).map_err(failed)?;
                    let text: Arc<str> = text.into();
                    known.insert(name, text.clone());
                    text
                }
            };
            all.insert((text, id));
            if all.len() > MAX_DISTINCT {
                return Err(StoreError::new(ErrorKind::Invalid, "too many capture objects: narrow the scope"));
            }
        }
    }
    Ok(all)
}
