//! Payload as a pure function of its offset: made when a segment needs it, made again when a segment is repeated.

use crate::random::Random;

const RANDOM_POOL_BYTES: usize = 4 << 20;
const TEXT_POOL_BYTES: usize = 1 << 20;

/// Words of names and texts.
pub(crate) const WORDS: [&str; 64] = [
    "amber", "anchor", "apple", "arrow", "autumn", "basin", "birch", "bridge", "bright", "canyon", "cedar", "cloud",
    "clover", "copper", "coral", "crane", "delta", "ember", "falcon", "fern", "field", "flint", "forest", "garden",
    "glacier", "granite", "harbor", "hazel", "heron", "island", "ivory", "juniper", "lagoon", "lantern", "linden",
    "lotus", "maple", "marble", "meadow", "mirror", "moss", "north", "oak", "ocean", "olive", "orchid", "pebble",
    "pine", "prairie", "quartz", "raven", "ridge", "river", "saffron", "sage", "sierra", "silver", "spring", "summit",
    "thunder", "timber", "valley", "willow", "winter",
];

/// Bytes made once, from which all bulk payload is copied.
#[derive(Debug)]
pub(crate) struct Pools {
    random: Vec<u8>,
    text: Vec<u8>,
}

impl Pools {
    pub(crate) fn new(random: &mut Random) -> Self {
        let noise = random.bytes(RANDOM_POOL_BYTES);
        let mut text = Vec::with_capacity(TEXT_POOL_BYTES + 128);
        while text.len() < TEXT_POOL_BYTES {
            let (a, b, c) = (random.pick(&WORDS), random.pick(&WORDS), random.pick(&WORDS));
            let number = random.below(100_000);
            let line = match random.below(4) {
                0 => format!("<div class=\"{a}\"><p>{b} {c} {number}</p></div>\n"),
                1 => format!("{{\"{a}\": {number}, \"{b}\": \"{c}\", \"id\": \"{}\"}},\n", random.hex(12)),
                2 => format!("<a href=\"/{a}/{b}?id={number}\">{c}</a>\n"),
                _ => format!("{a} {b} {c}, {number};\n"),
            };
            text.extend_from_slice(line.as_bytes());
        }
        text.truncate(TEXT_POOL_BYTES);
        Self { random: noise, text }
    }

    fn copy(&self, pool: Pool, position: u64, length: usize, output: &mut Vec<u8>) {
        let source = match pool {
            Pool::Random => &self.random,
            Pool::Text => &self.text,
        };
        let mut position = (position % source.len() as u64) as usize;
        let mut left = length;
        while left > 0 {
            let take = left.min(source.len() - position);
            output.extend_from_slice(&source[position..position + take]);
            left -= take;
            position = 0;
        }
    }
}

/// Where bulk bytes come from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Pool {
    #[default]
    Random,
    Text,
}

/// What stands between bulk bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Framing {
    #[default]
    None,
    /// TLS application data records, each of this many bytes with its header; the last is shorter.
    Tls(u64),
    /// HTTP chunks of this many bytes; the bulk is a multiple of the framed chunk.
    Chunked(u64),
}

/// Bytes that aren't kept but made from a pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bulk {
    pub(crate) length: u64,
    pub(crate) pool: Pool,
    pub(crate) framing: Framing,
    pub(crate) start: u64,
}

const TLS_HEADER: u64 = 5;

impl Bulk {
    pub(crate) fn plain(length: u64, pool: Pool, random: &mut Random) -> Self {
        Self { length, pool, framing: Framing::None, start: random.next() >> 32 }
    }

    /// TLS records of at most `unit` bytes, header included; a last record too short to be one is avoided.
    pub(crate) fn tls(length: u64, unit: u64, random: &mut Random) -> Self {
        let rest = length % unit;
        let length = if rest > 0 && rest < 30 { length + 30 } else { length };
        Self { length, pool: Pool::Random, framing: Framing::Tls(unit), start: random.next() >> 32 }
    }

    /// At least `length` bytes of chunks of `chunk` bytes; the last chunk (size 0) isn't part of it.
    pub(crate) fn chunked(length: u64, chunk: u64, pool: Pool, random: &mut Random) -> Self {
        let unit = chunk_head(chunk).len() as u64 + chunk + 2;
        Self {
            length: length.div_ceil(chunk).max(1) * unit,
            pool,
            framing: Framing::Chunked(chunk),
            start: random.next() >> 32,
        }
    }

    fn fill(&self, pools: &Pools, offset: u64, length: usize, output: &mut Vec<u8>) {
        match self.framing {
            Framing::None => pools.copy(self.pool, self.start + offset, length, output),
            Framing::Tls(unit) => self.framed(pools, offset, length, unit, output, |record, head| {
                let size = (self.length - record * unit).min(unit) - TLS_HEADER;
                // application data, the legacy version of both 1.2 and 1.3
                head.extend_from_slice(&[23, 3, 3, (size >> 8) as u8, size as u8]);
                size
            }),
            Framing::Chunked(chunk) => {
                let unit = chunk_head(chunk).len() as u64 + chunk + 2;
                self.framed(pools, offset, length, unit, output, |_, head| {
                    head.extend_from_slice(chunk_head(chunk).as_bytes());
                    chunk
                });
            }
        }
    }

    /// Copies units of head, body and, where the unit is longer than both, a line end.
    fn framed(
        &self,
        pools: &Pools,
        offset: u64,
        length: usize,
        unit: u64,
        output: &mut Vec<u8>,
        make_head: impl Fn(u64, &mut Vec<u8>) -> u64,
    ) {
        let end = output.len() + length;
        let mut offset = offset;
        let mut head = Vec::with_capacity(16);
        while output.len() < end {
            let index = offset / unit;
            let within = offset % unit;
            head.clear();
            let body = make_head(index, &mut head);
            let head_length = head.len() as u64;
            let left = end - output.len();
            let before = output.len();
            if within < head_length {
                let part = &head[within as usize..];
                output.extend_from_slice(&part[..part.len().min(left)]);
            } else if within < head_length + body {
                let take = left.min((head_length + body - within) as usize);
                pools.copy(self.pool, self.start + offset, take, output);
            } else {
                let part = &b"\r\n"[((within - head_length - body) as usize).min(1)..];
                output.extend_from_slice(&part[..part.len().min(left)]);
            }
            offset += (output.len() - before) as u64;
        }
    }
}

fn chunk_head(chunk: u64) -> String {
    format!("{chunk:x}\r\n")
}

/// One application message: bytes, then bulk, then bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) head: Vec<u8>,
    pub(crate) bulk: Bulk,
    pub(crate) tail: &'static [u8],
}

impl Content {
    pub(crate) fn bytes(head: Vec<u8>) -> Self {
        Self { head, ..Self::default() }
    }

    pub(crate) fn bulk(bulk: Bulk) -> Self {
        Self { bulk, ..Self::default() }
    }

    pub(crate) fn length(&self) -> u64 {
        self.head.len() as u64 + self.bulk.length + self.tail.len() as u64
    }

    /// Appends `length` bytes from `offset`; the range lies within the content.
    pub(crate) fn fill(&self, pools: &Pools, offset: u64, length: usize, output: &mut Vec<u8>) {
        let (mut offset, mut left) = (offset, length);
        let head = self.head.len() as u64;
        if offset < head && left > 0 {
            let part = &self.head[offset as usize..];
            let take = part.len().min(left);
            output.extend_from_slice(&part[..take]);
            (offset, left) = (offset + take as u64, left - take);
        }
        if offset >= head && offset < head + self.bulk.length && left > 0 {
            let take = left.min((head + self.bulk.length - offset) as usize);
            self.bulk.fill(pools, offset - head, take, output);
            (offset, left) = (offset + take as u64, left - take);
        }
        if left > 0 {
            let part = self.tail.get((offset - head - self.bulk.length) as usize..).unwrap_or_default();
            output.extend_from_slice(&part[..part.len().min(left)]);
        }
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Client,
    Server,
}

impl Direction {
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_bytes() {
        let mut random = Random::new(7);
        let pools = Pools::new(&mut random);
        let bulks = [
            Bulk::plain(5_000, Pool::Text, &mut random),
            Bulk::tls(40_000, 16_401, &mut random),
            Bulk::chunked(9_000, 1_024, Pool::Text, &mut random),
        ];
        for bulk in bulks {
            let content = Content { head: b"head".to_vec(), bulk, tail: b"0\r\n\r\n" };
            let mut whole = Vec::new();
            content.fill(&pools, 0, content.length() as usize, &mut whole);
            assert_eq!(whole.len() as u64, content.length());
            assert!(whole.starts_with(b"head") && whole.ends_with(b"0\r\n\r\n"));
            let mut pieces = Vec::new();
            while (pieces.len() as u64) < content.length() {
                let take = random.between(1, 1_500).min(content.length() - pieces.len() as u64);
                content.fill(&pools, pieces.len() as u64, take as usize, &mut pieces);
            }
            assert!(whole == pieces);
        }
    }
}
