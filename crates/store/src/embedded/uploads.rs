//! Multipart uploads: a folder for each, a file for each part. Completing one changes nothing but the object's name,
//! so that a crash in between leaves either the upload or the object.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use s3s::{
    S3Result,
    crypto::{Checksum, Crc64Nvme, Md5},
    s3_error,
};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, Note, READ_BYTES, hex, internal, write_synced};

/// Largest part number, as in S3.
pub(super) const MAX_PART_NUMBER: i32 = 10_000;

/// Smallest part but for the last, as in S3.
const MIN_PART_BYTES: u64 = 5 << 20;

/// An upload that was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    /// Milliseconds since the epoch.
    pub(super) initiated: u64,
    /// True where its parts must carry checksums.
    pub(super) algorithm: Option<String>,
    /// What the object will have.
    pub(super) note: Note,
}

/// A part as it lies on disk: its file is named by number, MD5 and CRC64NVME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: i32,
    pub(super) etag: String,
    pub(super) crc64nvme: String,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    path: PathBuf,
}

/// A part as the caller of Complete names it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) number: i32,
    pub(super) etag: Option<String>,
    pub(super) crc64nvme: Option<String>,
}

impl Disk {
    fn upload_folder(&self, id: &str) -> S3Result<PathBuf> {
        let fine = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fine { Ok(self.uploads().join(id)) } else { Err(s3_error!(NoSuchUpload)) }
    }

    pub(super) fn create_upload(&self, id: &str, upload: &Upload) -> S3Result<()> {
        self.check_bucket(&upload.bucket)?;
        self.path(&upload.bucket, &upload.key)?;
        let folder = self.upload_folder(id)?;
        let write = || -> io::Result<()> {
            // the folder appears with its description in it
            let building = self.temporary();
            fs::create_dir(&building)?;
            write_synced(&building.join("upload.json"), &serde_json::to_vec(upload)?)?;
            fs::rename(&building, &folder)?;
            File::open(self.uploads())?.sync_all()
        };
        write().map_err(internal)
    }

    /// The upload of this id, if it is for this object.
    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<Upload> {
        let path = self.upload_folder(id)?.join("upload.json");
        let upload = fs::read(path).ok().and_then(|json| serde_json::from_slice::<Upload>(&json).ok());
        let upload = upload.filter(|upload| upload.bucket == bucket && upload.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// All uploads of a bucket whose key begins with `prefix`, by key and id.
    pub(super) fn list_uploads(&self, bucket: &str, prefix: &str) -> S3Result<Vec<(String, Upload)>> {
        self.check_bucket(bucket)?;
        let mut uploads = Vec::new();
        for entry in fs::read_dir(self.uploads()).map_err(internal)? {
            let entry = entry.map_err(internal)?;
            let Ok(json) = fs::read(entry.path().join("upload.json")) else { continue };
            let Ok(upload) = serde_json::from_slice::<Upload>(&json) else { continue };
            if upload.bucket == bucket && upload.key.starts_with(prefix) {
                uploads.push((entry.file_name().to_string_lossy().into_owned(), upload));
            }
        }
        uploads.sort_unstable_by(|left, right| (&left.1.key, &left.0).cmp(&(&right.1.key, &right.0)));
        Ok(uploads)
    }

    /// Takes a whole, synced file as a part; an earlier one of that number is replaced.
    pub(super) fn put_part(
        &self,
        id: &str,
        number: i32,
        temporary: &Path,
        etag: &str,
        crc64nvme: &str,
    ) -> S3Result<()> {
        let folder = self.upload_folder(id)?;
        let name = format!("{number:05}.{etag}.{}", crc64nvme.replace('/', "_"));
        let place = || -> io::Result<()> {
            let old: Vec<Part> = parts_of(&folder)?.into_iter().filter(|part| part.number == number).collect();
            fs::rename(temporary, folder.join(&name))?;
            for part in old.iter().filter(|part| part.path != folder.join(&name)) {
                fs::remove_file(&part.path)?;
            }
            File::open(&folder)?.sync_all()
        };
        place().map_err(|error| match error.kind() {
            // completed or aborted while the part came in
            io::ErrorKind::NotFound => s3_error!(NoSuchUpload),
            _ => internal(error),
        })
    }

    /// The parts of an upload, by number.
    pub(super) fn parts(&self, id: &str) -> S3Result<Vec<Part>> {
        parts_of(&self.upload_folder(id)?).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => s3_error!(NoSuchUpload),
            _ => internal(error),
        })
    }

    /// Joins the named parts in a temporary file, synced: its path and note.
    pub(super) fn join(&self, id: &str, upload: &Upload, named: &[Named]) -> S3Result<(PathBuf, Note)> {
        let stored = self.parts(id)?;
        let mut chosen: Vec<&Part> = Vec::with_capacity(named.len());
        let mut before = 0;
        for part in named {
            if part.number <= before {
                return Err(s3_error!(InvalidPartOrder));
            }
            if upload.algorithm.is_some() && part.number != before + 1 {
                return Err(s3_error!(InvalidPart, "parts with checksums must be numbered from 1 without a gap"));
            }
            before = part.number;
            let found = stored.iter().find(|stored| {
                stored.number == part.number
                    && part.etag.as_ref().is_none_or(|etag| *etag == stored.etag)
                    && part.crc64nvme.as_ref().is_none_or(|checksum| *checksum == stored.crc64nvme)
            });
            chosen.push(found.ok_or_else(|| s3_error!(InvalidPart))?);
        }
        let Some((_, first)) = chosen.split_last() else {
            return Err(s3_error!(InvalidRequest, "at least one part must be named"));
        };
        if first.iter().any(|part| part.size < MIN_PART_BYTES) {
            return Err(s3_error!(EntityTooSmall));
        }
        let temporary = self.temporary();
        let joined = join_files(&temporary, &chosen);
        if joined.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        let (etag, crc64nvme) = joined.map_err(internal)?;
        Ok((temporary, Note { etag, crc64nvme: Some(crc64nvme), ..upload.note.clone() }))
    }

    pub(super) fn remove_upload(&self, id: &str) -> S3Result<()> {
        let folder = self.upload_folder(id)?;
        // out of sight at once, so that no half of it is ever listed
        let removed = self.temporary();
        match fs::rename(&folder, &removed) {
            Ok(()) => fs::remove_dir_all(&removed).map_err(internal),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(s3_error!(NoSuchUpload)),
            Err(error) => Err(internal(error)),
        }
    }
}

fn parts_of(folder: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let mut pieces = name.to_str().unwrap_or_default().split('.');
        let (Some(Ok(number)), Some(etag), Some(crc64nvme)) =
            (pieces.next().map(str::parse), pieces.next(), pieces.next())
        else {
            continue;
        };
        let metadata = entry.metadata()?;
        parts.push(Part {
            number,
            etag: etag.to_owned(),
            crc64nvme: crc64nvme.replace('_', "/"),
            size: metadata.len(),
            modified: metadata.modified()?,
            path: entry.path(),
        });
    }
    // of two of a number, after a crash between rename and remove, the later one counts
    parts.sort_unstable_by(|left, right| left.number.cmp(&right.number).then(right.modified.cmp(&left.modified)));
    parts.dedup_by_key(|part| part.number);
    Ok(parts)
}

/// Writes the parts one after the other; the ETag of a multipart object and the checksum of the whole.
fn join_files(path: &Path, parts: &[&Part]) -> io::Result<(String, String)> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut out = File::create(path)?;
    let mut whole = Crc64Nvme::new();
    let mut of_parts = Md5::new();
    let mut buffer = vec![0; READ_BYTES];
    for part in parts {
        let mut file = File::open(&part.path)?;
        let mut hash = Md5::new();
        loop {
            let read = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hash.update(bytes);
            whole.update(bytes);
            out.write_all(bytes)?;
        }
        let hash = hash.finalize();
        if hex(hash.as_ref()) != part.etag {
            let message = format!("part {} changed on disk", part.number);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        of_parts.update(hash.as_ref());
    }
    out.sync_all()?;
    let etag = format!("{}-{}", hex(of_parts.finalize().as_ref()), parts.len());
    Ok((etag, STANDARD.encode(whole.finalize())))
}
