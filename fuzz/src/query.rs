//! Expressions.

use std::sync::LazyLock;

use skycap_model::Catalogue;
use skycap_query::{Context, evaluate, parse, sample};

/// The catalogue of the tests has fields of every kind; the real one is larger.
static SAMPLE: LazyLock<(Catalogue, Context)> = LazyLock::new(|| (sample::catalogue(), sample::context()));

static DOCUMENT: LazyLock<serde_json::Value> = LazyLock::new(|| {
    serde_json::json!({
        "_id": "AAAAAAAAAAAAAAAAAAAAAA0000000000000001", "node": "n", "fileId": 1,
        "firstPacket": 1_393_410_477_000_i64, "lastPacket": 1_393_410_478_000_i64,
        "source": {"ip": "10.0.0.1", "port": 80}, "destination": {"ip": "fe80::1", "port": 443},
        "tags": ["a", "b"], "protocol": ["http", "tcp"],
        "http": {"uri": ["www.example.com/a?b=c"], "statuscode": [200]},
        "dns": [{"host": ["example.com"], "answers": [{"ttl": 3, "cname": "b.example"}]}],
    })
});

/// Parsing, and from the tree back to text. Input: the text.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (catalogue, context) = &*SAMPLE;
    check(text, catalogue, context);
    check(text, skycap_protocols::catalogue(), context);
}

fn check(text: &str, catalogue: &Catalogue, context: &Context) {
    match parse(text, catalogue, context) {
        Err(error) => {
            assert!(text.is_char_boundary(error.position), "{text:?}: {error:?}");
            assert!(text.is_char_boundary(error.position + error.length), "{text:?}: {error:?}");
            assert!(error.render(text).contains('^'), "{text:?}: {error:?}");
        }
        Ok(tree) => {
            let shown = tree.to_string();
            let again = parse(&shown, catalogue, context);
            match &again {
                Ok(again) => {
                    assert_eq!(*again, tree, "{text:?} as {shown:?}");
                    assert_eq!(again.to_string(), shown, "{text:?}");
                }
                // quoting and spaces may make the text longer than an expression may be
                Err(error) => {
                    assert!(shown.len() > skycap_query::MAX_EXPRESSION_BYTES, "{text:?} as {shown:?}: {error}")
                }
            }
            let _ = evaluate::matches(&tree, &*DOCUMENT, catalogue);
        }
    }
}
