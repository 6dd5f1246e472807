//! Capture files as they come: plain or compressed, folders, standard input.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;
/// Largest zstd window that is accepted: 128 MiB, as `zstd --long=27` writes.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;
/// Most memory that unpacking xz may take.
const MAX_XZ_MEMORY: u64 = 256 << 20;
/// Most files that a folder may have.
const MAX_FOLDER_FILES: usize = 100_000;
/// Deepest nesting of folders.
const MAX_FOLDER_DEPTH: usize = 16;
/// Names that a folder is searched for.
const ENDINGS: [&str; 3] = [".pcap", ".pcapng", ".cap"];
/// Compressions, as endings after those.
const PACKED: [&str; 5] = ["", ".gz", ".zst", ".lz4", ".xz"];

/// A capture to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    StandardInput,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// The sources that arguments name: `-` is standard input, folders are walked in order of names.
    pub fn of_arguments(arguments: &[PathBuf]) -> Result<Vec<Self>> {
        let mut sources = Vec::new();
        for argument in arguments {
            if argument == Path::new("-") {
                sources.push(Self::StandardInput);
            } else if argument.is_dir() {
                let before = sources.len();
                walk(argument, 0, &mut sources)?;
                if sources.len() == before {
                    bail!("{}: no capture files here (.pcap .pcapng .cap, also .gz .zst .lz4 .xz)", argument.display());
                }
            } else {
                sources.push(Self::File(argument.clone()));
            }
        }
        Ok(sources)
    }

    /// Name for messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::StandardInput => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Size on disk; unknown for standard input and the like.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::StandardInput => None,
            Self::File(path) => {
                std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
            }
        }
    }
}

fn walk(folder: &Path, depth: usize, sources: &mut Vec<Source>) -> Result<()> {
    if depth > MAX_FOLDER_DEPTH {
        bail!("{}: folders are nested deeper than {MAX_FOLDER_DEPTH}", folder.display());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            walk(&path, depth + 1, sources)?;
            continue;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let wanted =
            ENDINGS.iter().any(|ending| PACKED.iter().any(|packed| name.ends_with(&format!("{ending}{packed}"))));
        if wanted && path.is_file() {
            if sources.len() >= MAX_FOLDER_FILES {
                bail!("{}: more than {MAX_FOLDER_FILES} capture files", folder.display());
            }
            sources.push(Source::File(path));
        }
    }
    Ok(())
}

/// An open capture: bytes after decompression.
pub struct Input {
    reader: Box<dyn Read + Send>,
    name: String,
    left: u64,
    limit: u64,
}

impl Input {
    /// Opens a source; how it is compressed is told by its first bytes, not by its name.
    ///
    /// `read` counts bytes read before decompression. More than `limit` bytes after decompression end in an error.
    pub fn open(source: &Source, limit: u64, read: Arc<AtomicU64>) -> Result<Self> {
        let name = source.name();
        let raw: Box<dyn Read + Send> = match source {
            Source::StandardInput => Box::new(std::io::stdin()),
            Source::File(path) => {
                let file = File::open(path).with_context(|| name.clone())?;
                if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    bail!("{name}: is a folder");
                }
                Box::new(file)
            }
        };
        let mut raw = BufReader::with_capacity(READ_BYTES, Counted { inner: raw, read });
        let begin = peek(&mut raw).with_context(|| name.clone())?;
        let reader: Box<dyn Read + Send> = match begin {
            [0x1F, 0x8B, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            [0x28, 0xB5, 0x2F, 0xFD] | [0x50..=0x5F, 0x2A, 0x4D, 0x18] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(raw).with_context(|| name.clone())?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).with_context(|| name.clone())?;
                Box::new(decoder)
            }
            [0x04, 0x22, 0x4D, 0x18] => Box::new(Lz4::new(raw)),
            [0xFD, b'7', b'z', b'X'] => {
                let stream = xz2::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY, xz2::stream::CONCATENATED)
                    .with_context(|| name.clone())?;
                Box::new(xz2::bufread::XzDecoder::new_stream(raw, stream))
            }
            _ => Box::new(raw),
        };
        Ok(Self { reader, name, left: limit, limit })
    }

    /// Name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            std::io::Error::other(format!(
                "more than {} bytes after decompression: raise the limit if that is right",
                self.limit
            ))
        })?;
        Ok(read)
    }
}

/// First bytes, without taking them; fewer than four at the end of the input. Pipes give them in pieces.
fn peek(reader: &mut impl BufRead) -> std::io::Result<[u8; 4]> {
    let mut begin = [0; 4];
    let buffer = reader.fill_buf()?;
    let known = buffer.len().min(4);
    begin[..known].copy_from_slice(&buffer[..known]);
    Ok(begin)
}

/// LZ4 frames one after the other.
struct Lz4<R: BufRead> {
    decoder: Option<lz4_flex::frame::FrameDecoder<R>>,
}

impl<R: BufRead> Lz4<R> {
    fn new(reader: R) -> Self {
        Self { decoder: Some(lz4_flex::frame::FrameDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.decoder.take().map(lz4_flex::frame::FrameDecoder::into_inner) else {
                return Ok(0);
            };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.decoder = Some(lz4_flex::frame::FrameDecoder::new(rest));
        }
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
        let mut input = Input::open(&Source::File(path.to_owned()), limit, Arc::default()).unwrap();
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn compressions_and_concatenation() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"some bytes, some bytes, some bytes".repeat(1_000);
        let gz = {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        };
        let zst = zstd::encode_all(text.as_slice(), 1).unwrap();
        let lz4 = {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        };
        let xz = {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        };
        for (name, packed) in [("plain", text.clone()), ("gz", gz), ("zst", zst), ("lz4", lz4), ("xz", xz)] {
            let path = folder.path().join(name);
            std::fs::write(&path, [packed.clone(), packed].concat()).unwrap();
            assert_eq!(read_all(&path, 1 << 20).unwrap(), [text.clone(), text.clone()].concat(), "{name}");
            assert!(read_all(&path, 100).unwrap_err().to_string().contains("more than 100 bytes"), "{name}");
        }
    }

    #[test]
    fn folders_are_walked_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        for name in ["b.pcap.gz", "a/x.pcapng", "note.txt", "c.PCAP"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let names: Vec<String> = Source::of_arguments(&[folder.path().to_owned()])
            .unwrap()
            .iter()
            .map(|source| source.name().rsplit('/').next().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["x.pcapng", "b.pcap.gz", "c.PCAP"]);
    }
}
