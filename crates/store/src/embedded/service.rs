//! S3's operations on a folder: those that Skycap's parts use, with the conditions that its correctness rests on.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc64Nvme, Md5},
    dto::*,
    s3_error,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{
    disk::{Disk, IfExists, Note, READ_BYTES, hex, internal},
    endpoint::REGION,
    event::{Event, PREFIXES},
    uploads::{MAX_PART_NUMBER, Named, Upload},
};
use crate::Queue;

/// Most objects, parts or uploads in one answer, as in S3.
const MAX_PAGE: usize = 1_000;

/// Largest object of one PutObject and largest part, as in S3.
const MAX_PUT_BYTES: u64 = 5 << 30;

/// The S3 service of one data folder.
pub(super) struct Service {
    disk: Arc<Disk>,
    /// Gets the events.
    queue: Arc<dyn Queue>,
    sequence: Arc<AtomicU64>,
    fresh: Fresh,
}

/// Most keys that [`Fresh`] remembers; beyond, an object's event may be sent twice, which does no harm.
const MAX_FRESH: usize = 100_000;

/// Keys whose event was sent by this run, while the search for lost events goes on: it passes over them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fresh(Arc<Mutex<Option<HashSet<String>>>>);

impl Fresh {
    pub(super) fn begin(&self) {
        *self.lock() = Some(HashSet::new());
    }

    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.lock().as_ref().is_some_and(|keys| keys.contains(key))
    }

    fn insert(&self, key: &str) {
        if let Some(keys) = self.lock().as_mut().filter(|keys| keys.len() < MAX_FRESH) {
            keys.insert(key.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that was received whole.
struct Received {
    path: PathBuf,
    md5: String,
    crc64nvme: String,
}

/// What a request says of its body.
struct Expected {
    algorithm: Option<ChecksumAlgorithm>,
    md5: Option<String>,
    crc32: Option<String>,
    crc32c: Option<String>,
    crc64nvme: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
    trailers: Option<s3s::TrailingHeaders>,
}

impl Service {
    pub(super) fn new(disk: Arc<Disk>, queue: Arc<dyn Queue>, fresh: Fresh) -> Self {
        // larger than any number of an earlier run
        Self { disk, queue, sequence: Arc::new(AtomicU64::new(now_ms() << 16)), fresh }
    }

    /// Runs a call that waits for the disk where waiting is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Disk) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let disk = self.disk.clone();
        let ran = tokio::task::spawn_blocking(move || call(&disk)).await;
        ran.map_err(s3s::S3Error::internal_error)?
    }

    /// Gives an object its name and sends its event; goes on when the client hangs up.
    async fn publish(
        &self,
        name: &'static str,
        temporary: PathBuf,
        (bucket, key): (String, String),
        note: Note,
        exists: IfExists,
        upload: Option<String>,
    ) -> S3Result<Note> {
        let (disk, queue) = (self.disk.clone(), self.queue.clone());
        let (sequence, fresh) = (self.sequence.clone(), self.fresh.clone());
        let task = tokio::spawn(async move {
            let object = (bucket.clone(), key.clone());
            let published = tokio::task::spawn_blocking(move || {
                let note = disk.publish(&temporary, &object.0, &object.1, note, exists)?;
                if let Some(upload) = upload {
                    disk.remove_upload(&upload)?;
                }
                Ok::<Note, s3s::S3Error>(note)
            });
            let note: Note = published.await.map_err(s3s::S3Error::internal_error)??;
            if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
                fresh.insert(&key);
                let event = Event {
                    name,
                    region: REGION,
                    bucket: &bucket,
                    key: &key,
                    size: note.size,
                    etag: &note.etag,
                    time: now_ms(),
                    sequence: sequence.fetch_add(1, Ordering::Relaxed),
                };
                if let Err(error) = queue.send(event.message()).await {
                    tracing::error!(%error, bucket, key, "an event was lost; the next start makes it again");
                }
            }
            Ok(note)
        });
        task.await.map_err(s3s::S3Error::internal_error)?
    }

    /// Writes a body to a temporary file, synced, and checks it against what the request says.
    async fn receive(&self, body: Option<StreamingBlob>, expected: Expected) -> S3Result<Received> {
        let path = self.disk.temporary();
        let received = self.receive_into(&path, body, expected).await;
        if received.is_err() {
            let _ = tokio::fs::remove_file(&path).await;
        }
        received
    }

    async fn receive_into(&self, path: &Path, body: Option<StreamingBlob>, expected: Expected) -> S3Result<Received> {
        let mut file = tokio::fs::File::create(path).await.map_err(internal)?;
        let mut md5 = Md5::new();
        let mut checksums = expected.hasher();
        let mut size = 0_u64;
        if let Some(mut body) = body {
            while let Some(piece) = body.next().await {
                let piece =
                    piece.map_err(|error| s3s::S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?;
                size += piece.len() as u64;
                if size > MAX_PUT_BYTES {
                    return Err(s3_error!(EntityTooLarge));
                }
                md5.update(&piece);
                checksums.update(&piece);
                file.write_all(&piece).await.map_err(internal)?;
            }
        }
        file.flush().await.map_err(internal)?;
        let md5 = md5.finalize();
        let checksums = checksums.finalize();
        let crc64nvme = checksums.checksum_crc64nvme.clone().unwrap_or_default();
        expected.check(STANDARD.encode(md5.as_ref()), &checksums)?;
        file.sync_all().await.map_err(internal)?;
        Ok(Received { path: path.to_owned(), md5: hex(md5.as_ref()), crc64nvme })
    }
}

impl Expected {
    fn hasher(&self) -> ChecksumHasher {
        let named = self.algorithm.as_ref().map(ChecksumAlgorithm::as_str).unwrap_or_default();
        let mut hasher = ChecksumHasher { crc64nvme: Some(Crc64Nvme::new()), ..ChecksumHasher::default() };
        if named == ChecksumAlgorithm::CRC32 || self.crc32.is_some() {
            hasher.crc32 = Some(Default::default());
        }
        if named == ChecksumAlgorithm::CRC32C || self.crc32c.is_some() {
            hasher.crc32c = Some(Default::default());
        }
        if named == ChecksumAlgorithm::SHA1 || self.sha1.is_some() {
            hasher.sha1 = Some(Default::default());
        }
        if named == ChecksumAlgorithm::SHA256 || self.sha256.is_some() {
            hasher.sha256 = Some(Default::default());
        }
        hasher
    }

    fn check(self, md5: String, found: &Checksum) -> S3Result<()> {
        let trailers = self.trailers.and_then(|trailers| trailers.take());
        let trailer = |name: &str| {
            let value = trailers.as_ref().and_then(|trailers| trailers.get(name));
            value.and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let pairs = [
            (self.md5, &Some(md5)),
            (self.crc32.or_else(|| trailer("x-amz-checksum-crc32")), &found.checksum_crc32),
            (self.crc32c.or_else(|| trailer("x-amz-checksum-crc32c")), &found.checksum_crc32c),
            (self.crc64nvme.or_else(|| trailer("x-amz-checksum-crc64nvme")), &found.checksum_crc64nvme),
            (self.sha1.or_else(|| trailer("x-amz-checksum-sha1")), &found.checksum_sha1),
            (self.sha256.or_else(|| trailer("x-amz-checksum-sha256")), &found.checksum_sha256),
        ];
        // a checksum that nothing announced before the body was not computed, so it can't be compared
        let wrong = pairs.iter().any(|(told, found)| told.is_some() && found.is_some() && told != *found);
        if wrong { Err(s3_error!(BadDigest)) } else { Ok(()) }
    }
}

#[allow(clippy::disallowed_methods, reason = "LastModified and event times are the wall clock's")]
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn timestamp_ms(milliseconds: u64) -> Timestamp {
    Timestamp::from(std::time::UNIX_EPOCH + std::time::Duration::from_millis(milliseconds))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `If-None-Match: *` is the one condition on writes that is kept; others are refused rather than passed over.
fn if_exists(if_none_match: Option<&ETagCondition>, if_match: Option<&ETagCondition>) -> S3Result<IfExists> {
    match (if_none_match, if_match) {
        (None, None) => Ok(IfExists::Replace),
        (Some(condition), None) if condition.is_any() => Ok(IfExists::Refuse),
        _ => Err(s3_error!(NotImplemented, "only If-None-Match: * is supported")),
    }
}

/// True where a condition names this object.
fn fits(condition: &ETagCondition, etag: &str) -> bool {
    condition.is_any() || condition.as_etag().is_some_and(|wanted| wanted.value() == etag)
}

fn check_read(note: &Note, if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> S3Result<()> {
    if if_match.is_some_and(|condition| !fits(condition, &note.etag)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(|condition| fits(condition, &note.etag)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn page_size(most: Option<i32>) -> usize {
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_PAGE).min(MAX_PAGE)
}

fn new_upload_id() -> S3Result<String> {
    super::endpoint::random_bytes::<16>().map(|bytes| hex(&bytes)).map_err(internal)
}

fn note_of(
    metadata: Option<Metadata>,
    content_type: Option<ContentType>,
    encryption: Option<&ServerSideEncryption>,
    encryption_key: Option<String>,
) -> Note {
    Note {
        metadata: metadata.unwrap_or_default(),
        content_type: content_type.map(|content_type| content_type.to_string()),
        encryption: encryption.map(|encryption| encryption.as_str().to_owned()),
        encryption_key,
        ..Note::default()
    }
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = request.input.bucket;
        self.blocking(move |disk| disk.create_bucket(&bucket).map_err(internal)).await?;
        Ok(S3Response::new(CreateBucketOutput::default()))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.disk.check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.disk.check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let names = self.blocking(|disk| disk.buckets().map_err(internal)).await?;
        let buckets = names.into_iter().map(|name| Bucket { name: Some(name), ..Bucket::default() }).collect();
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let exists = if_exists(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let path = self.disk.path(&input.bucket, &input.key)?;
        self.disk.check_bucket(&input.bucket)?;
        if exists == IfExists::Refuse && path.exists() {
            // before the body comes in; decided again when it is whole
            return Err(s3_error!(PreconditionFailed, "the object exists"));
        }
        let expected = Expected {
            algorithm: input.checksum_algorithm,
            md5: input.content_md5,
            crc32: input.checksum_crc32,
            crc32c: input.checksum_crc32c,
            crc64nvme: input.checksum_crc64nvme,
            sha1: input.checksum_sha1,
            sha256: input.checksum_sha256,
            trailers: request.trailing_headers,
        };
        let received = self.receive(input.body, expected).await?;
        let encryption = input.server_side_encryption;
        let note = Note {
            etag: received.md5,
            crc64nvme: Some(received.crc64nvme.clone()),
            ..note_of(input.metadata, input.content_type, encryption.as_ref(), input.ssekms_key_id.clone())
        };
        let object = (input.bucket, input.key);
        let note = self.publish("ObjectCreated:Put", received.path, object, note, exists, None).await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(note.etag)),
            checksum_crc64nvme: Some(received.crc64nvme),
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            server_side_encryption: encryption,
            ssekms_key_id: input.ssekms_key_id,
            ..PutObjectOutput::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let id = new_upload_id()?;
        let encryption = input.server_side_encryption;
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            initiated: now_ms(),
            algorithm: input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned()),
            note: note_of(input.metadata, input.content_type, encryption.as_ref(), input.ssekms_key_id.clone()),
        };
        let upload_id = id.clone();
        self.blocking(move |disk| disk.create_upload(&id, &upload)).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload_id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            server_side_encryption: encryption,
            ssekms_key_id: input.ssekms_key_id,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        if !(1..=MAX_PART_NUMBER).contains(&input.part_number) {
            return Err(s3_error!(InvalidArgument, "part numbers are 1 to 10000"));
        }
        let upload = self.disk.upload(&input.bucket, &input.key, &input.upload_id)?;
        let expected = Expected {
            algorithm: input.checksum_algorithm,
            md5: input.content_md5,
            crc32: input.checksum_crc32,
            crc32c: input.checksum_crc32c,
            crc64nvme: input.checksum_crc64nvme,
            sha1: input.checksum_sha1,
            sha256: input.checksum_sha256,
            trailers: request.trailing_headers,
        };
        let Received { path, md5, crc64nvme } = self.receive(input.body, expected).await?;
        let output = UploadPartOutput {
            e_tag: Some(ETag::Strong(md5.clone())),
            checksum_crc64nvme: Some(crc64nvme.clone()),
            server_side_encryption: upload.note.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: upload.note.encryption_key,
            ..UploadPartOutput::default()
        };
        let (id, number) = (input.upload_id, input.part_number);
        self.blocking(move |disk| {
            let put = disk.put_part(&id, number, &path, &md5, &crc64nvme);
            if put.is_err() {
                let _ = fs::remove_file(&path);
            }
            put
        })
        .await?;
        Ok(S3Response::new(output))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let exists = if_exists(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let upload = self.disk.upload(&input.bucket, &input.key, &input.upload_id)?;
        if exists == IfExists::Refuse && self.disk.path(&input.bucket, &input.key)?.exists() {
            return Err(s3_error!(PreconditionFailed, "the object exists"));
        }
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let named = parts.into_iter().map(|part| {
            let number = part.part_number.ok_or_else(|| s3_error!(InvalidPart, "a part has no number"))?;
            Ok(Named { number, etag: part.e_tag.map(ETag::into_value), crc64nvme: part.checksum_crc64nvme })
        });
        let named: Vec<Named> = named.collect::<S3Result<_>>()?;
        let id = input.upload_id.clone();
        let (temporary, note) = self.blocking(move |disk| disk.join(&id, &upload, &named)).await?;
        let whole = input.checksum_type.as_ref().is_none_or(|kind| kind.as_str() == ChecksumType::FULL_OBJECT);
        if whole && input.checksum_crc64nvme.is_some() && input.checksum_crc64nvme != note.crc64nvme {
            let _ = tokio::fs::remove_file(&temporary).await;
            return Err(s3_error!(BadDigest));
        }
        let object = (input.bucket.clone(), input.key.clone());
        let name = "ObjectCreated:CompleteMultipartUpload";
        let note = self.publish(name, temporary, object, note, exists, Some(input.upload_id)).await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(note.etag)),
            checksum_crc64nvme: note.crc64nvme,
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            server_side_encryption: note.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: note.encryption_key,
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        self.blocking(move |disk| {
            disk.upload(&bucket, &key, &upload_id)?;
            disk.remove_upload(&upload_id)
        })
        .await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let (upload, parts) = self
            .blocking(move |disk| {
                let upload = disk.upload(&bucket, &key, &id)?;
                Ok((upload, disk.parts(&id)?))
            })
            .await?;
        let most = page_size(input.max_parts);
        let marker = input.part_number_marker.unwrap_or_default();
        let mut page: Vec<_> = parts.into_iter().filter(|part| part.number > marker).take(most + 1).collect();
        let truncated = page.len() > most;
        page.truncate(most);
        let next = page.last().map(|part| part.number).filter(|_| truncated);
        let parts = page.into_iter().map(|part| Part {
            part_number: Some(part.number),
            e_tag: Some(ETag::Strong(part.etag)),
            size: Some(signed(part.size)),
            last_modified: Some(Timestamp::from(part.modified)),
            checksum_crc64nvme: Some(part.crc64nvme),
            ..Part::default()
        });
        Ok(S3Response::new(ListPartsOutput {
            parts: Some(parts.collect()),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(truncated),
            next_part_number_marker: next,
            part_number_marker: input.part_number_marker,
            max_parts: Some(most as i32),
            checksum_algorithm: upload.algorithm.map(ChecksumAlgorithm::from),
            ..ListPartsOutput::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let (bucket, prefix) = (input.bucket.clone(), input.prefix.clone().unwrap_or_default());
        let uploads = self.blocking(move |disk| disk.list_uploads(&bucket, &prefix)).await?;
        let most = page_size(input.max_uploads);
        let behind = |id: &str, key: &str| match (input.key_marker.as_deref(), input.upload_id_marker.as_deref()) {
            (None | Some(""), _) => true,
            (Some(marker), None | Some("")) => key > marker,
            (Some(marker), Some(id_marker)) => (key, id) > (marker, id_marker),
        };
        let rest = uploads.into_iter().filter(|(id, upload)| behind(id, &upload.key));
        let mut page: Vec<(String, Upload)> = rest.take(most + 1).collect();
        let truncated = page.len() > most;
        page.truncate(most);
        let next = page.last().filter(|_| truncated).map(|(id, upload)| (id.clone(), upload.key.clone()));
        let (next_id, next_key) = next.unzip();
        let uploads = page.into_iter().map(|(id, upload)| MultipartUpload {
            key: Some(upload.key),
            upload_id: Some(id),
            initiated: Some(timestamp_ms(upload.initiated)),
            checksum_algorithm: upload.algorithm.map(ChecksumAlgorithm::from),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            bucket: Some(input.bucket),
            prefix: input.prefix,
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            max_uploads: Some(most as i32),
            is_truncated: Some(truncated),
            next_key_marker: next_key,
            next_upload_id_marker: next_id,
            ..ListMultipartUploadsOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, if_match, if_none_match, checksum_mode, .. } = request.input;
        let note = self.blocking(move |disk| disk.note(&bucket, &key)).await?;
        check_read(&note, if_match.as_ref(), if_none_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(note.size)),
            content_type: note.content_type.as_deref().and_then(|text| text.parse().ok()),
            last_modified: Some(Timestamp::from(note.modified_time())),
            checksum_crc64nvme: note.crc64nvme.filter(|_| checksum_mode.is_some()),
            e_tag: Some(ETag::Strong(note.etag)),
            metadata: Some(note.metadata).filter(|metadata| !metadata.is_empty()),
            server_side_encryption: note.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: note.encryption_key,
            ..HeadObjectOutput::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let path = self.disk.path(&input.bucket, &input.key)?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let (note, file) = self
            .blocking(move |disk| {
                let note = disk.note(&bucket, &key)?;
                let file = fs::File::open(&path).map_err(|_| s3_error!(NoSuchKey))?;
                Ok((note, file))
            })
            .await?;
        check_read(&note, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let (range, content_range) = match input.range {
            Some(range) => {
                let range = range.check(note.size)?;
                let text = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), note.size);
                (range, Some(text))
            }
            None => (0..note.size, None),
        };
        let mut file = tokio::fs::File::from_std(file);
        file.seek(std::io::SeekFrom::Start(range.start)).await.map_err(internal)?;
        let length = range.end - range.start;
        let whole = content_range.is_none();
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(stream(file, length))),
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(length)),
            content_range,
            content_type: note.content_type.as_deref().and_then(|text| text.parse().ok()),
            last_modified: Some(Timestamp::from(note.modified_time())),
            checksum_crc64nvme: note.crc64nvme.filter(|_| whole && input.checksum_mode.is_some()),
            e_tag: Some(ETag::Strong(note.etag)),
            metadata: Some(note.metadata).filter(|metadata| !metadata.is_empty()),
            server_side_encryption: note.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: note.encryption_key,
            ..GetObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let after = match &input.continuation_token {
            Some(token) => {
                let key = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                key.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not one of ours"))?
            }
            None => input.start_after.clone().unwrap_or_default(),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let most = page_size(input.max_keys);
        let (bucket, delimiter) = (input.bucket.clone(), input.delimiter.clone().filter(|text| !text.is_empty()));
        let listing =
            self.blocking(move |disk| list(disk, &bucket, &prefix, &after, delimiter.as_deref(), most)).await?;
        let objects = listing.objects.into_iter().map(|(key, note)| Object {
            key: Some(key),
            size: Some(signed(note.size)),
            last_modified: Some(Timestamp::from(note.modified_time())),
            e_tag: Some(ETag::Strong(note.etag)),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Object::default()
        });
        let objects: Vec<Object> = objects.collect();
        let common = listing.common.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) });
        let common: Vec<CommonPrefix> = common.collect();
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some((objects.len() + common.len()) as i32),
            contents: Some(objects),
            common_prefixes: Some(common),
            is_truncated: Some(listing.next.is_some()),
            next_continuation_token: listing.next.map(|key| STANDARD.encode(key)),
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            max_keys: Some(most as i32),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let DeleteObjectInput { bucket, key, .. } = request.input;
        self.blocking(move |disk| disk.remove(&bucket, &key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let quiet = input.delete.quiet.unwrap_or_default();
        let mut deleted = Vec::new();
        for object in input.delete.objects {
            let (bucket, key) = (input.bucket.clone(), object.key.clone());
            self.blocking(move |disk| disk.remove(&bucket, &key)).await?;
            deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() });
        }
        let deleted = Some(deleted).filter(|_| !quiet);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..DeleteObjectsOutput::default() }))
    }
}

/// The next `length` bytes of a file.
fn stream(
    file: tokio::fs::File,
    length: u64,
) -> impl futures::Stream<Item = Result<bytes::Bytes, std::io::Error>> + Send + Sync + 'static {
    futures::stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut buffer = bytes::BytesMut::zeroed(READ_BYTES.min(usize::try_from(left).unwrap_or(READ_BYTES)));
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        buffer.truncate(read);
        Ok(Some((buffer.freeze(), (file, left - read as u64))))
    })
}

/// A page of a listing.
#[derive(Default)]
struct Listing {
    objects: Vec<(String, Note)>,
    common: Vec<String>,
    /// Where the next page begins, if there is one.
    next: Option<String>,
}

fn list(
    disk: &Disk,
    bucket: &str,
    prefix: &str,
    after: &str,
    delimiter: Option<&str>,
    most: usize,
) -> S3Result<Listing> {
    let mut listing = Listing::default();
    let mut keys: Vec<String> = Vec::new();
    let mut last = String::new();
    disk.walk(bucket, prefix, after, &mut |key| {
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let folded = delimiter.and_then(|delimiter| Some(prefix.len() + rest.find(delimiter)? + delimiter.len()));
        let common = folded.and_then(|end| key.get(..end));
        let known = common.is_some_and(|common| {
            listing.common.last().is_some_and(|known| known == common) || after.starts_with(common)
        });
        if known {
            last = key.to_owned();
            return true;
        }
        if keys.len() + listing.common.len() >= most {
            listing.next = Some(last.clone());
            return false;
        }
        match common {
            Some(common) => listing.common.push(common.to_owned()),
            None => keys.push(key.to_owned()),
        }
        last = key.to_owned();
        true
    })?;
    for key in keys {
        match disk.note(bucket, &key) {
            Ok(note) => listing.objects.push((key, note)),
            // removed in the meantime
            Err(error) if *error.code() == s3s::S3ErrorCode::NoSuchKey => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listing)
}
