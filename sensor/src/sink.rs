//! Where capture objects go, piece by piece.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use skycap_model::ObjectKey;

/// Takes the pieces of capture objects. Several objects may be open at once, each known by its number.
///
/// Calls come from one thread and may block: that is how a slow sink slows its source.
pub trait Sink: Send {
    /// Begins an object with its first piece. Every piece but the last is at least 5 MiB, as S3 wants its parts.
    fn begin(&mut self, object: u64, key: &ObjectKey, piece: Vec<u8>) -> Result<()>;
    /// Appends a piece.
    fn append(&mut self, object: u64, piece: Vec<u8>) -> Result<()>;
    /// Appends the last piece; the object becomes visible.
    fn complete(&mut self, object: u64, piece: Vec<u8>) -> Result<()>;
    /// An object that is one piece.
    fn whole(&mut self, key: &ObjectKey, bytes: Vec<u8>) -> Result<()>;
    /// Returns when all that was begun is stored, or says what was not.
    fn finish(&mut self) -> Result<()>;
}

/// Writes objects to files: the first to the path given, further ones beside it with a number.
pub struct FileSink {
    path: PathBuf,
    written: usize,
    open: Vec<(u64, File, PathBuf)>,
}

impl FileSink {
    /// A sink whose first object is `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: 0, open: Vec::new() }
    }

    fn next_path(&mut self) -> PathBuf {
        self.written += 1;
        if self.written == 1 {
            return self.path.clone();
        }
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = match name.split_once('.') {
            Some((stem, ending)) => format!("{stem}-{}.{ending}", self.written),
            None => format!("{name}-{}", self.written),
        };
        self.path.with_file_name(name)
    }
}

fn write(file: &mut File, path: &Path, piece: &[u8]) -> Result<()> {
    file.write_all(piece).with_context(|| format!("writing {}", path.display()))
}

impl Sink for FileSink {
    fn begin(&mut self, object: u64, _key: &ObjectKey, piece: Vec<u8>) -> Result<()> {
        let path = self.next_path();
        let mut file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        write(&mut file, &path, &piece)?;
        self.open.push((object, file, path));
        Ok(())
    }

    fn append(&mut self, object: u64, piece: Vec<u8>) -> Result<()> {
        match self.open.iter_mut().find(|(number, ..)| *number == object) {
            Some((_, file, path)) => write(file, path, &piece),
            None => Ok(()),
        }
    }

    fn complete(&mut self, object: u64, piece: Vec<u8>) -> Result<()> {
        self.append(object, piece)?;
        self.open.retain(|(number, ..)| *number != object);
        Ok(())
    }

    fn whole(&mut self, key: &ObjectKey, bytes: Vec<u8>) -> Result<()> {
        self.begin(u64::MAX, key, bytes)?;
        self.complete(u64::MAX, Vec::new())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
