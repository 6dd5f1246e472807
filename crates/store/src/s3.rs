//! Objects in S3, or in anything that speaks its protocol.

use std::{error::Error, fmt::Debug};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
};
use bytes::{Bytes, BytesMut};

use crate::{ErrorKind, ObjectMetadata, ObjectStore, StoreError};

/// Most objects that S3 gives in one page of a listing.
const MAX_LIST_PAGE: usize = 1_000;

/// Room that is set aside at most before the first byte of a range came; larger answers grow as they come.
const MAX_RESERVED_BYTES: u64 = 8 << 20;

/// An [`ObjectStore`] on S3's protocol.
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: Client,
}

impl S3Objects {
    /// Objects seen through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Objects seen through a client of the AWS default chain (environment, profile, container, instance).
    ///
    /// A custom `endpoint` is addressed in path style, as most servers other than AWS' own want it.
    pub async fn from_environment(endpoint: Option<&str>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        let path_style = shared.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(path_style).build();
        Self::new(Client::from_conf(config))
    }

    /// The client, for what lies beyond [`ObjectStore`].
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMetadata, StoreError> {
        let answer = self.client.head_object().bucket(bucket).key(key).send().await;
        let answer = answer.map_err(|error| s3_error("head of", bucket, key, error))?;
        Ok(ObjectMetadata {
            key: key.to_owned(),
            size: unsigned(answer.content_length()),
            etag: plain_etag(answer.e_tag()),
            last_modified: milliseconds(answer.last_modified()),
        })
    }

    async fn range(
        &self,
        bucket: &str,
        key: &str,
        offset: u64,
        length: u64,
        etag: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        let Some(last) = length.checked_sub(1).map(|more| offset.saturating_add(more)) else {
            // HTTP has no empty range
            return Ok(Bytes::new());
        };
        let request = self.client.get_object().bucket(bucket).key(key).range(format!("bytes={offset}-{last}"));
        let request = request.set_if_match(etag.map(|etag| format!("\"{etag}\"")));
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            // the range begins behind the end: cut there, nothing is left of it
            Err(SdkError::ServiceError(answer)) if answer.raw().status().as_u16() == 416 => return Ok(Bytes::new()),
            Err(error) => return Err(s3_error("range of", bucket, key, error)),
        };
        let mut bytes = BytesMut::with_capacity(length.min(MAX_RESERVED_BYTES) as usize);
        while let Some(piece) = answer.body.next().await {
            let piece = piece.map_err(|error| {
                StoreError::caused(ErrorKind::Busy, format!("range of s3://{bucket}/{key} broke off"), error)
            })?;
            if (bytes.len() + piece.len()) as u64 > length {
                // an answer of status 200 instead of 206: a server that ignores ranges
                let message = format!("range of s3://{bucket}/{key}: the server gave more than was asked for");
                return Err(StoreError::new(ErrorKind::Invalid, message));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<ObjectMetadata>, StoreError> {
        let mut objects: Vec<ObjectMetadata> = Vec::new();
        let mut token: Option<String> = None;
        while objects.len() < most {
            let page = (most - objects.len()).min(MAX_LIST_PAGE);
            let request = self.client.list_objects_v2().bucket(bucket).prefix(prefix).max_keys(page as i32);
            let request = match token.take() {
                Some(token) => request.continuation_token(token),
                None => request.set_start_after(after.map(str::to_owned)),
            };
            let answer = request.send().await.map_err(|error| s3_error("listing of", bucket, prefix, error))?;
            objects.extend(answer.contents().iter().filter_map(|object| {
                Some(ObjectMetadata {
                    key: object.key()?.to_owned(),
                    size: unsigned(object.size()),
                    etag: plain_etag(object.e_tag()),
                    last_modified: milliseconds(object.last_modified()),
                })
            }));
            token = answer.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        objects.truncate(most);
        Ok(objects)
    }
}

fn unsigned(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

fn plain_etag(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn milliseconds(time: Option<&DateTime>) -> u64 {
    time.and_then(|time| time.to_millis().ok()).and_then(|time| u64::try_from(time).ok()).unwrap_or_default()
}

/// Names the operation and the object, and sorts the error into a kind.
fn s3_error<E>(operation: &str, bucket: &str, key: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + Debug + 'static,
{
    let kind = match &error {
        SdkError::ConstructionFailure(_) => ErrorKind::Invalid,
        // no answer, or half of one; without credentials no request leaves, and waiting may bring them
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => ErrorKind::Busy,
        SdkError::ServiceError(answer) => kind_of(answer.raw().status().as_u16(), answer.err().code()),
        _ => ErrorKind::Busy,
    };
    let code = match &error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or("no code");
            let message = answer.err().message().unwrap_or("no message");
            return StoreError::new(
                kind,
                format!("{operation} s3://{bucket}/{key} failed: {status} {code}: {message}"),
            );
        }
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(_) => "not sent",
        SdkError::ConstructionFailure(_) => "not a possible request",
        _ => "no usable answer",
    };
    StoreError::caused(kind, format!("{operation} s3://{bucket}/{key} failed: {code}"), error)
}

/// Sorts an answer by its code, where that says more than the status, then by its status.
fn kind_of(status: u16, code: Option<&str>) -> ErrorKind {
    match (code.unwrap_or_default(), status) {
        ("SlowDown" | "RequestTimeout" | "RequestTimeTooSkewed" | "InternalError" | "ServiceUnavailable", _) => {
            ErrorKind::Busy
        }
        // an expired token is renewed by the credentials provider
        ("ExpiredToken" | "TokenRefreshRequired", _) => ErrorKind::Busy,
        ("NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" | "NotFound", _) | (_, 404) => ErrorKind::NotFound,
        (_, 409 | 412) => ErrorKind::Conflict,
        (_, 401 | 403) => ErrorKind::Denied,
        (_, 408 | 429 | 500..) => ErrorKind::Busy,
        _ => ErrorKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (status, code, kind) in [
            (404, Some("NoSuchKey"), ErrorKind::NotFound),
            (404, None, ErrorKind::NotFound),
            (412, Some("PreconditionFailed"), ErrorKind::Conflict),
            (409, Some("ConditionalRequestConflict"), ErrorKind::Conflict),
            (403, Some("AccessDenied"), ErrorKind::Denied),
            (400, Some("ExpiredToken"), ErrorKind::Busy),
            (400, Some("RequestTimeout"), ErrorKind::Busy),
            (503, Some("SlowDown"), ErrorKind::Busy),
            (429, None, ErrorKind::Busy),
            (416, Some("InvalidRange"), ErrorKind::Invalid),
        ] {
            assert_eq!(kind_of(status, code), kind, "{status} {code:?}");
        }
    }

    #[test]
    fn texts() {
        assert_eq!(plain_etag(Some("\"abc-2\"")), "abc-2");
        assert_eq!(milliseconds(Some(&DateTime::from_millis(1_500))), 1_500);
        assert_eq!(unsigned(Some(-1)), 0);
    }
}
