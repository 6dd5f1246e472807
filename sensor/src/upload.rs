//! Uploads to S3: one PutObject for a small object, a multipart upload that streams while the object is open.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption},
};
use skycap_model::ObjectKey;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

use crate::Sink;

/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(20);
/// First pause between two tries; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Status of a server whose disk is full (RFC 4918, 11.5): waiting frees none of it.
const FULL: u16 = 507;

/// How objects are uploaded.
#[derive(Clone, Debug)]
pub struct UploadSettings {
    /// Bucket.
    pub bucket: String,
    /// Parts under way at once; each waits in memory.
    pub parts_at_once: usize,
    /// How long a request is tried again before it is given up.
    pub patience: Duration,
}

impl UploadSettings {
    /// Uploads to a bucket: 4 parts at once, tried for 10 minutes.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), parts_at_once: 4, patience: Duration::from_secs(600) }
    }
}

/// Uploads capture objects; used from a thread that is none of the runtime's.
pub struct S3Sink {
    uploader: Arc<Uploader>,
    runtime: Handle,
    room: Arc<Semaphore>,
    open: HashMap<u64, Upload>,
    under_way: Vec<JoinHandle<Result<()>>>,
}

struct Uploader {
    client: Client,
    settings: UploadSettings,
}

/// A multipart upload that is open.
struct Upload {
    key: String,
    id: String,
    parts: Vec<JoinHandle<Result<CompletedPart>>>,
}

impl S3Sink {
    /// A sink that runs its requests on `runtime`.
    #[must_use]
    pub fn new(client: Client, settings: UploadSettings, runtime: Handle) -> Self {
        let room = Arc::new(Semaphore::new(settings.parts_at_once.max(1)));
        let uploader = Arc::new(Uploader { client, settings });
        Self { uploader, runtime, room, open: HashMap::new(), under_way: Vec::new() }
    }

    /// Waits until one more piece may be under way: the bound of what waits in memory.
    fn permit(&self) -> Result<OwnedSemaphorePermit> {
        self.runtime.block_on(self.room.clone().acquire_owned()).context("the sink is closed")
    }

    fn upload_part(&mut self, object: u64, piece: Vec<u8>) -> Result<()> {
        let permit = self.permit()?;
        let upload = self.open.get_mut(&object).context("a piece of an object that was never begun")?;
        let number = i32::try_from(upload.parts.len() + 1).context("more parts than S3 takes")?;
        let (uploader, key, id) = (self.uploader.clone(), upload.key.clone(), upload.id.clone());
        upload.parts.push(self.runtime.spawn(async move {
            let part = uploader.part(&key, &id, number, piece).await;
            drop(permit);
            part
        }));
        Ok(())
    }

    /// Takes away what is done, and tells the first error.
    fn reap(&mut self, all: bool) -> Result<()> {
        let mut left = Vec::new();
        for task in self.under_way.drain(..) {
            if all || task.is_finished() {
                self.runtime.block_on(task).context("an upload died")??;
            } else {
                left.push(task);
            }
        }
        self.under_way = left;
        Ok(())
    }
}

impl Sink for S3Sink {
    fn begin(&mut self, object: u64, key: &ObjectKey, piece: Vec<u8>) -> Result<()> {
        let key = key.to_string();
        let id = self.runtime.block_on(self.uploader.create(&key))?;
        self.open.insert(object, Upload { key, id, parts: Vec::new() });
        self.upload_part(object, piece)
    }

    fn append(&mut self, object: u64, piece: Vec<u8>) -> Result<()> {
        self.upload_part(object, piece)?;
        self.reap(false)
    }

    fn complete(&mut self, object: u64, piece: Vec<u8>) -> Result<()> {
        self.upload_part(object, piece)?;
        let Some(Upload { key, id, parts }) = self.open.remove(&object) else { return Ok(()) };
        let uploader = self.uploader.clone();
        self.under_way.push(self.runtime.spawn(async move {
            let mut completed = Vec::with_capacity(parts.len());
            for part in parts {
                completed.push(part.await.context("an upload died")??);
            }
            uploader.complete(&key, &id, completed).await
        }));
        self.reap(false)
    }

    fn whole(&mut self, key: &ObjectKey, bytes: Vec<u8>) -> Result<()> {
        let permit = self.permit()?;
        let (uploader, key) = (self.uploader.clone(), key.to_string());
        self.under_way.push(self.runtime.spawn(async move {
            let stored = uploader.put(&key, bytes).await;
            drop(permit);
            stored
        }));
        self.reap(false)
    }

    fn finish(&mut self) -> Result<()> {
        self.reap(true)
    }
}

impl Uploader {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let bytes = aws_sdk_s3::primitives::SdkBody::from(bytes);
        let put = || async {
            let body = ByteStream::new(bytes.try_clone().unwrap_or_else(aws_sdk_s3::primitives::SdkBody::empty));
            let request = self.client.put_object().bucket(&self.settings.bucket).key(key).body(body);
            let request = request.if_none_match("*").checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
            request.server_side_encryption(ServerSideEncryption::Aes256).send().await.map(|_| ())
        };
        match self.patiently(&format!("storing {key}"), put).await {
            Ok(()) => {}
            // the run is in the key: the object that is there is ours, stored by a try whose answer was lost
            Err(Failure { code: Some(code), .. }) if code == "PreconditionFailed" => {}
            Err(failure) => return Err(failure.error),
        }
        tracing::debug!(key, "object stored");
        Ok(())
    }

    async fn create(&self, key: &str) -> Result<String> {
        let create = || async {
            let request = self.client.create_multipart_upload().bucket(&self.settings.bucket).key(key);
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
            request.server_side_encryption(ServerSideEncryption::Aes256).send().await
        };
        let created =
            self.patiently(&format!("beginning the upload of {key}"), create).await.map_err(|failure| failure.error)?;
        created.upload_id().map(str::to_owned).with_context(|| format!("S3 gave no upload id for {key}"))
    }

    async fn part(&self, key: &str, id: &str, number: i32, piece: Vec<u8>) -> Result<CompletedPart> {
        let piece = aws_sdk_s3::primitives::SdkBody::from(piece);
        let upload = || async {
            let body = ByteStream::new(piece.try_clone().unwrap_or_else(aws_sdk_s3::primitives::SdkBody::empty));
            let request = self.client.upload_part().bucket(&self.settings.bucket).key(key).upload_id(id);
            request.part_number(number).checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).body(body).send().await
        };
        let stored = self
            .patiently(&format!("storing part {number} of {key}"), upload)
            .await
            .map_err(|failure| failure.error)?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(stored.e_tag().map(str::to_owned));
        Ok(part.set_checksum_crc64_nvme(stored.checksum_crc64_nvme().map(str::to_owned)).build())
    }

    async fn complete(&self, key: &str, id: &str, parts: Vec<CompletedPart>) -> Result<()> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = || async {
            let request = self.client.complete_multipart_upload().bucket(&self.settings.bucket).key(key).upload_id(id);
            request.if_none_match("*").multipart_upload(parts.clone()).send().await.map(|_| ())
        };
        match self.patiently(&format!("completing the upload of {key}"), complete).await {
            Ok(()) => {}
            // both say that an earlier try of ours, whose answer was lost, has succeeded
            Err(Failure { code: Some(code), tries, .. })
                if code == "PreconditionFailed" || (code == "NoSuchUpload" && tries > 1) => {}
            Err(failure) => return Err(failure.error),
        }
        tracing::debug!(key, "object stored");
        Ok(())
    }

    /// Tries a request until it succeeds, fails for good, or patience is at its end; pauses double and have jitter.
    async fn patiently<T, E, F>(&self, what: &str, request: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let started = tokio::time::Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let code = error.as_service_error().and_then(|error| error.code()).map(str::to_owned);
            let status = error.raw_response().map(|response| response.status().as_u16());
            let again = match status {
                Some(FULL) => false,
                Some(status) => status == 429 || status >= 500 || code.as_deref() == Some("ConditionalRequestConflict"),
                None => !matches!(error, SdkError::ConstructionFailure(_)),
            };
            if !again || started.elapsed() + pause > self.settings.patience {
                let told = anyhow!("{}", aws_sdk_s3::error::DisplayErrorContext(&error));
                let error = told.context(format!("{what} in bucket {}, after {tries} tries", self.settings.bucket));
                return Err(Failure { error, code, tries });
            }
            tracing::warn!(what, tries, code, status, "S3 refused, trying again");
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(MAX_PAUSE);
            tries += 1;
        }
    }
}

struct Failure {
    error: anyhow::Error,
    code: Option<String>,
    tries: u32,
}

/// Between half of the pause and all of it, so that many sensors don't knock at the same moment.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = (RandomState::new().hash_one(0_u8) >> 40) as f64 / (1_u64 << 24) as f64;
    pause.mul_f64(0.5 + random / 2.0)
}
