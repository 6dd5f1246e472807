//! Event messages as S3 sends them to a queue.

use serde_json::json;

/// Prefixes of keys whose objects make events.
pub(super) const PREFIXES: [&str; 3] = ["captures/", "imports/", "stats/"];

/// What an event tells.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    /// `ObjectCreated:Put` or `ObjectCreated:CompleteMultipartUpload`.
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) size: u64,
    pub(super) etag: &'a str,
    /// Milliseconds since the epoch.
    pub(super) time: u64,
    /// Grows with each event.
    pub(super) sequence: u64,
}

impl Event<'_> {
    /// The message, of version 2.1 of the event notification's structure.
    pub(super) fn message(&self) -> String {
        let Self { name, region, bucket, key, size, etag, time, sequence } = self;
        let record = json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": region,
            "eventTime": iso_time(*time),
            "eventName": name,
            "userIdentity": { "principalId": "AWS:skycap-local" },
            "requestParameters": { "sourceIPAddress": "127.0.0.1" },
            "responseElements": { "x-amz-request-id": format!("{sequence:016X}"), "x-amz-id-2": "skycap-local" },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "skycap",
                "bucket": {
                    "name": bucket,
                    "ownerIdentity": { "principalId": "skycap-local" },
                    "arn": format!("arn:aws:s3:::{bucket}"),
                },
                "object": {
                    "key": form_encoded(key),
                    "size": size,
                    "eTag": etag,
                    "sequencer": format!("{sequence:018X}"),
                },
            },
        });
        json!({ "Records": [record] }).to_string()
    }
}

/// Keys in events are form-encoded: a space is `+`, a slash stays.
fn form_encoded(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn iso_time(milliseconds: u64) -> String {
    let time = skycap_model::Timestamp::from_milliseconds(milliseconds);
    let (year, month, day, hour, minute, second) = time.utc();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", milliseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message() {
        let event = Event {
            name: "ObjectCreated:Put",
            region: "us-east-1",
            bucket: "skycap",
            key: "imports/a b+c=ü.pcap",
            size: 24,
            etag: "0123",
            time: 1_700_000_000_123,
            sequence: 255,
        };
        let message: serde_json::Value = serde_json::from_str(&event.message()).unwrap();
        let record = &message["Records"][0];
        assert_eq!(record["eventTime"], "2023-11-14T22:13:20.123Z");
        assert_eq!(record["s3"]["object"]["key"], "imports/a+b%2Bc%3D%C3%BC.pcap");
        assert_eq!(record["s3"]["object"]["size"], 24);
        assert_eq!(record["s3"]["object"]["sequencer"], "0000000000000000FF");
    }
}
