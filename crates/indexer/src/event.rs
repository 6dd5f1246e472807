//! S3 event notifications, as S3 sends them: direct, or wrapped by SNS or EventBridge.

use serde::Deserialize;
use thiserror::Error;

/// Most records that one message may hold; S3 sends one.
const MAX_RECORDS: usize = 1_000;
/// How often a message may be wrapped: SQS holds SNS holds S3.
const MAX_WRAPPING: usize = 3;

/// An object that an event speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCreated {
    /// Bucket.
    pub bucket: String,
    /// Key, decoded.
    pub key: String,
    /// ETag without quotes; empty where the event has none.
    pub etag: String,
    /// Size in bytes, as the event says.
    pub size: u64,
}

/// Why a message is no S3 event.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EventError {
    /// It is not JSON, or JSON of another shape.
    #[error("this message is no S3 event notification: {0}")]
    Shape(String),
    /// A key is not well encoded.
    #[error("the key {0:?} of the event is not well encoded")]
    Key(String),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    /// `s3:TestEvent`, sent once when a notification is configured.
    #[serde(rename = "Event")]
    event: Option<String>,
    /// SNS: the message as text.
    #[serde(rename = "Message")]
    message: Option<String>,
    /// EventBridge: the kind of event.
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    detail: Option<S3>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName", default)]
    event_name: String,
    s3: Option<S3>,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(default)]
    size: u64,
    // S3 itself writes eTag, EventBridge etag
    #[serde(rename = "eTag", alias = "etag", default)]
    etag: String,
}

/// The objects that a message says were created. Test events and other kinds of events (deletes, say) give none.
pub fn parse(message: &str) -> Result<Vec<ObjectCreated>, EventError> {
    let mut text = message.to_owned();
    for _ in 0..MAX_WRAPPING {
        let envelope: Envelope = serde_json::from_str(&text).map_err(|error| EventError::Shape(error.to_string()))?;
        if let Some(records) = envelope.records {
            if records.len() > MAX_RECORDS {
                return Err(EventError::Shape(format!(
                    "{} records, and at most {MAX_RECORDS} are taken",
                    records.len()
                )));
            }
            let created = records.into_iter().filter(|record| {
                let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
                name.starts_with("ObjectCreated:")
            });
            return created.filter_map(|record| record.s3).map(|s3| object(s3, true)).collect();
        }
        if envelope.event.as_deref() == Some("s3:TestEvent") {
            return Ok(Vec::new());
        }
        if let (Some(kind), Some(detail)) = (envelope.detail_type, envelope.detail) {
            // EventBridge does not encode keys
            return if kind == "Object Created" { Ok(vec![object(detail, false)?]) } else { Ok(Vec::new()) };
        }
        text = envelope
            .message
            .ok_or_else(|| EventError::Shape("it has neither Records nor Message nor detail".to_owned()))?;
    }
    Err(EventError::Shape("it is wrapped too often".to_owned()))
}

fn object(s3: S3, encoded: bool) -> Result<ObjectCreated, EventError> {
    let key = if encoded { decode_key(&s3.object.key)? } else { s3.object.key };
    let etag = s3.object.etag.trim_matches('"').to_owned();
    Ok(ObjectCreated { bucket: s3.bucket.name, key, etag, size: s3.object.size })
}

/// S3 writes keys as forms do: `+` is a space, then `%XX`.
fn decode_key(key: &str) -> Result<String, EventError> {
    let spaced = key.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| EventError::Key(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECT: &str = r#"{"Records":[
        {"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-central-1","eventTime":"2026-01-01T00:00:00.000Z",
         "eventName":"ObjectCreated:CompleteMultipartUpload","s3":{"s3SchemaVersion":"1.0","configurationId":"c",
         "bucket":{"name":"b","ownerIdentity":{"principalId":"A"},"arn":"arn:aws:s3:::b"},
         "object":{"key":"captures/a+b/%2B%C3%A9.pcap","size":12,"eTag":"0123-2","sequencer":"00"}}},
        {"eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"b"},"object":{"key":"gone"}}}]}"#;

    fn expected() -> ObjectCreated {
        ObjectCreated { bucket: "b".into(), key: "captures/a b/+é.pcap".into(), etag: "0123-2".into(), size: 12 }
    }

    #[test]
    fn direct() {
        assert_eq!(parse(DIRECT).unwrap(), [expected()]);
    }

    #[test]
    fn wrapped_by_sns() {
        let wrapped =
            serde_json::json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "t", "Message": DIRECT });
        assert_eq!(parse(&wrapped.to_string()).unwrap(), [expected()]);
    }

    #[test]
    fn wrapped_by_eventbridge() {
        let event = r#"{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","detail":{"version":"0",
            "bucket":{"name":"b"},"object":{"key":"captures/a b/+é.pcap","size":12,"etag":"0123-2"},"reason":"PutObject"}}"#;
        assert_eq!(parse(event).unwrap(), [expected()]);
        assert_eq!(parse(&event.replace("Object Created", "Object Deleted")).unwrap(), []);
    }

    #[test]
    fn test_event_and_nonsense() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-01T00:00:00Z","Bucket":"b"}"#;
        assert_eq!(parse(test).unwrap(), []);
        assert!(matches!(parse("hello"), Err(EventError::Shape(_))));
        assert!(matches!(parse("{}"), Err(EventError::Shape(_))));
        assert!(matches!(parse(&DIRECT.replace("%C3", "%FF")), Err(EventError::Key(_))));
    }
}
