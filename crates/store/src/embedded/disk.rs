//! Objects as plain files: `{bucket}/{key}`, so that a capture can be opened where it lies.
//!
//! A file appears under its name when it is whole and on disk. What S3 knows beside the bytes (ETag, checksum,
//! metadata) stands in a note under `.notes/`, written before; a note that doesn't fit the file's size and time is
//! not believed, and the ETag of a file without a note (copied in by hand, say) is the MD5 of its bytes.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use s3s::{
    S3Result,
    crypto::{Checksum, Md5},
    s3_error,
};
use serde::{Deserialize, Serialize};

/// Longest name of a file or folder: what file systems take, less room for the suffix of notes.
const MAX_NAME_BYTES: usize = 240;

/// Bytes read at a time.
pub(super) const READ_BYTES: usize = 256 << 10;

/// What S3 knows of an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    pub(super) etag: String,
    pub(super) size: u64,
    /// Nanoseconds since the epoch.
    pub(super) modified: u64,
    pub(super) crc64nvme: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) metadata: HashMap<String, String>,
    /// As asked for; nothing is encrypted here.
    pub(super) encryption: Option<String>,
    pub(super) encryption_key: Option<String>,
}

impl Note {
    pub(super) fn modified_time(&self) -> SystemTime {
        UNIX_EPOCH + std::time::Duration::from_nanos(self.modified)
    }
}

/// The folder of all objects.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// Held while a name is given or taken away, so that conditions hold.
    names: Mutex<()>,
    next: AtomicU64,
}

/// Where the caller stands towards an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfExists {
    Replace,
    Refuse,
}

impl Disk {
    /// Opens the folder; what was half written is thrown away.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let disk = Self { root: root.to_owned(), names: Mutex::new(()), next: AtomicU64::new(0) };
        let temporary = disk.root.join(".temporary");
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        for folder in [&temporary, &disk.root.join(".notes"), &disk.uploads()] {
            fs::create_dir_all(folder)?;
        }
        Ok(disk)
    }

    /// Folder of the uploads that are not complete.
    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join(".uploads")
    }

    /// A name for something that is not whole yet.
    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join(".temporary").join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    pub(super) fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(bucket))
    }

    pub(super) fn buckets(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        // the service takes valid bucket names only; a dot would lead to our own folders
        let there = !bucket.starts_with('.') && !bucket.contains('/') && self.root.join(bucket).is_dir();
        if there { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    pub(super) fn path(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        Ok(self.root.join(bucket).join(key_to_path(key)?))
    }

    fn note_path(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let mut path = self.root.join(".notes").join(bucket).join(key_to_path(key)?).into_os_string();
        path.push(".json");
        Ok(path.into())
    }

    /// What is known of an object; reads its bytes where there is no note that fits.
    pub(super) fn note(&self, bucket: &str, key: &str) -> S3Result<Note> {
        self.check_bucket(bucket)?;
        let path = self.path(bucket, key)?;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return Err(s3_error!(NoSuchKey)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(s3_error!(NoSuchKey));
            }
            Err(error) => return Err(internal(error)),
        };
        let (size, modified) = (metadata.len(), nanoseconds(&metadata));
        let note_path = self.note_path(bucket, key)?;
        let note = fs::read(&note_path).ok().and_then(|json| serde_json::from_slice::<Note>(&json).ok());
        if let Some(note) = note.filter(|note| note.size == size && note.modified == modified) {
            return Ok(note);
        }
        let etag = md5_of(&path).map_err(internal)?;
        let note = Note { etag, size, modified, ..Note::default() };
        self.write_note(&note_path, &note).map_err(internal)?;
        Ok(note)
    }

    fn write_note(&self, path: &Path, note: &Note) -> io::Result<()> {
        let temporary = self.temporary();
        write_synced(&temporary, &serde_json::to_vec(note)?)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(&temporary, path)
    }

    /// Gives a whole, synced file its name, and the note that goes with it. The temporary file is gone afterwards.
    pub(super) fn publish(
        &self,
        temporary: &Path,
        bucket: &str,
        key: &str,
        mut note: Note,
        exists: IfExists,
    ) -> S3Result<Note> {
        let _names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let publish = || {
            self.check_bucket(bucket)?;
            let path = self.path(bucket, key)?;
            if exists == IfExists::Refuse && path.exists() {
                return Err(s3_error!(PreconditionFailed, "the object exists"));
            }
            // as files and folders go; S3 itself has no such bound
            let mut above = path.parent();
            while let Some(folder) = above.filter(|folder| folder.starts_with(self.root.join(bucket))) {
                if folder.is_file() {
                    return Err(s3_error!(InvalidRequest, "a part of this key is the key of an object already"));
                }
                above = folder.parent();
            }
            if path.is_dir() {
                return Err(s3_error!(InvalidRequest, "this key is the beginning of other objects' keys already"));
            }
            let metadata = fs::metadata(temporary).map_err(internal)?;
            (note.size, note.modified) = (metadata.len(), nanoseconds(&metadata));
            self.write_note(&self.note_path(bucket, key)?, &note).map_err(internal)?;
            self.give_name(temporary, &path).map_err(internal)?;
            Ok(note)
        };
        let published = publish();
        if published.is_err() {
            let _ = fs::remove_file(temporary);
        }
        published
    }

    fn give_name(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        let Some(folder) = path.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
        // new folders must be on disk too, up to one that was there
        let mut above = folder;
        let mut new = Vec::new();
        while !above.exists() {
            new.push(above);
            let Some(parent) = above.parent() else { break };
            above = parent;
        }
        fs::create_dir_all(folder)?;
        fs::rename(temporary, path)?;
        File::open(folder)?.sync_all()?;
        for folder in new {
            if let Some(parent) = folder.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Removes an object; folders that become empty go with it. No error where there is none, as in S3.
    pub(super) fn remove(&self, bucket: &str, key: &str) -> S3Result<()> {
        let _names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_bucket(bucket)?;
        for (path, top) in [
            (self.path(bucket, key)?, self.root.join(bucket)),
            (self.note_path(bucket, key)?, self.root.join(".notes")),
        ] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                // a folder of that name is no object
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
                Err(error) => return Err(internal(error)),
            }
            let mut folder = path.parent();
            while let Some(empty) = folder.filter(|folder| *folder != top && fs::remove_dir(folder).is_ok()) {
                folder = empty.parent();
            }
        }
        Ok(())
    }

    /// Keys that begin with `prefix` and come after `after`, in order, until `visit` says that it has enough.
    pub(super) fn walk(
        &self,
        bucket: &str,
        prefix: &str,
        after: &str,
        visit: &mut dyn FnMut(&str) -> bool,
    ) -> S3Result<()> {
        self.check_bucket(bucket)?;
        walk_folder(&self.root.join(bucket), "", prefix, after, visit).map_err(internal)?;
        Ok(())
    }
}

/// Walks one folder; false when there was enough.
fn walk_folder(
    folder: &Path,
    above: &str,
    prefix: &str,
    after: &str,
    visit: &mut dyn FnMut(&str) -> bool,
) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // removed in the meantime
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut keys: Vec<(String, PathBuf, bool)> = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        let name = entry.file_name();
        // a name that no key has was not put here by us
        let Some(name) = name.to_str().and_then(name_to_segment) else { continue };
        let key = format!("{above}{name}{}", if is_folder { "/" } else { "" });
        let wanted = if is_folder {
            (key.starts_with(prefix) || prefix.starts_with(&key)) && (key.as_str() > after || after.starts_with(&key))
        } else {
            key.starts_with(prefix) && key.as_str() > after
        };
        if wanted {
            keys.push((key, entry.path(), is_folder));
        }
    }
    // with the slash at their end folders stand where their keys do
    keys.sort_unstable();
    for (key, path, is_folder) in keys {
        let go_on = if is_folder { walk_folder(&path, &key, prefix, after, visit)? } else { visit(&key) };
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn internal(error: io::Error) -> s3s::S3Error {
    if error.kind() == io::ErrorKind::StorageFull {
        let code = s3s::S3ErrorCode::Custom("InsufficientStorage".into());
        let mut full = s3s::S3Error::with_message(code, "no space left on the disk of the data folder");
        if let Ok(status) = 507_u16.try_into() {
            full.set_status_code(status);
        }
        return full;
    }
    s3s::S3Error::internal_error(error)
}

fn nanoseconds(metadata: &fs::Metadata) -> u64 {
    let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn md5_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(hash.finalize().as_ref()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key_to_path(key: &str) -> S3Result<PathBuf> {
    let mut path = PathBuf::new();
    for segment in key.split('/') {
        let name = segment_to_name(segment);
        if name.len() > MAX_NAME_BYTES {
            return Err(s3_error!(KeyTooLongError, "a segment of the key is longer than a file name can be"));
        }
        path.push(name);
    }
    Ok(path)
}

/// A segment of a key as the name of a file: what has a meaning to the file system is escaped, so that no key leads
/// elsewhere and each key has a file of its own.
fn segment_to_name(segment: &str) -> String {
    if segment.is_empty() {
        return "%".to_owned();
    }
    let mut name = String::with_capacity(segment.len());
    for (place, character) in segment.chars().enumerate() {
        if character == '%' || character.is_control() || (place == 0 && character == '.') {
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes).bytes().for_each(|byte| name.push_str(&format!("%{byte:02X}")));
        } else {
            name.push(character);
        }
    }
    name
}

fn name_to_segment(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let segment = String::from_utf8(bytes).ok()?;
    (segment_to_name(&segment) == name).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for segment in ["", ".", "..", "a b", "100%", "ü", "a\nb", ".notes", "a.b", "%", "%25", "nul\0"] {
            let name = segment_to_name(segment);
            assert!(!name.starts_with('.') && !name.contains('/') && !name.contains('\0'), "{name}");
            assert_eq!(name_to_segment(&name).as_deref(), Some(segment));
        }
        assert_eq!(name_to_segment(".x"), None);
        assert_eq!(name_to_segment("%2e"), None);
        assert!(key_to_path(&"x".repeat(300)).is_err());
    }

    #[test]
    fn walks_in_key_order() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        disk.create_bucket("b").unwrap();
        let mut keys = ["a/b", "a.b", "a0", "a/b.c/d", "a/b.c!", "z//x", "a b"];
        for key in keys {
            let path = disk.path("b", key).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        keys.sort_unstable();
        let list = |prefix: &str, after: &str| {
            let mut found = Vec::new();
            let mut take = |key: &str| {
                found.push(key.to_owned());
                true
            };
            disk.walk("b", prefix, after, &mut take).unwrap();
            found
        };
        assert_eq!(list("", ""), keys);
        for prefix in ["", "a", "a/", "a/b", "z/", "x"] {
            for after in ["", "a/b", "a/b.c/", "a/z", "zz"] {
                let wanted: Vec<&str> =
                    keys.into_iter().filter(|key| key.starts_with(prefix) && *key > after).collect();
                assert_eq!(list(prefix, after), wanted, "{prefix} {after}");
            }
        }
    }

    #[test]
    fn notes_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        disk.create_bucket("b").unwrap();
        fs::write(disk.path("b", "k").unwrap(), "hello").unwrap();
        let note = disk.note("b", "k").unwrap();
        assert_eq!(note.etag, "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(disk.note("b", "k").unwrap(), note);
        fs::write(disk.path("b", "k").unwrap(), "hello!").unwrap();
        assert_ne!(disk.note("b", "k").unwrap().etag, note.etag);
        assert!(disk.note("b", "none").is_err());
        assert!(disk.note(".notes", "b").is_err());
    }
}
