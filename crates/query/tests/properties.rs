//! Any text: no panic, positions inside it, and what parses survives being written; limits and their errors.

use std::time::Instant;

use proptest::prelude::*;
use skycap_query::{
    Expression, MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_LIST_VALUES, Predicate, TextMatch, evaluate, parse, sample,
};

/// A value as somebody might type it, of any kind.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._:*?/@%+-]{1,8}",
        "\"([^\"\\\\]|\\\\.){0,8}\"",
        "/([a-z.]|\\\\/|\\[a-f\\]|\\(x\\|y\\)\\*){0,6}/",
        "(-?[0-9]{1,4}|[0-9]{1,3}-[0-9]{3,4})",
        "[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(/[0-9]{1,2})?(:[0-9]{1,4})?",
        "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){2,6}(\\.[0-9]{1,4})?",
        prop::sample::select(vec![
            "EXISTS!",
            "now",
            "-1d@d",
            "ipv4",
            "tcp",
            "true",
            "\"2014/02/26 10:27:57\"",
            "bücher.example"
        ])
        .prop_map(str::to_owned),
    ]
}

fn written() -> impl Strategy<Value = String> {
    let list = || prop::collection::vec(value(), 1..4).prop_map(|values| values.join(","));
    prop_oneof![value(), list().prop_map(|list| format!("[{list}]")), list().prop_map(|list| format!("]{list}["))]
}

fn term() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "ip",
        "ip.src",
        "ip.xff",
        "port",
        "host",
        "host.dns",
        "mac",
        "http.uri",
        "http.uri.tokens",
        "http.statuscode",
        "http.statuscode.cnt",
        "ip.protocol",
        "starttime",
        "tags",
        "country",
        "payload8.utf8",
        "file",
        "id",
        "dns",
        "tcp.synValidated",
        "db:source.ip",
    ]);
    let operator = prop::sample::select(vec!["==", "=", "!=", "<", "<=", ">", ">="]);
    (field, operator, written()).prop_map(|(field, operator, value)| format!("{field} {operator} {value}"))
}

/// Terms that parse, joined.
fn expression() -> impl Strategy<Value = String> {
    let fine = term().prop_map(|text| {
        let parses = parse(&text, &sample::catalogue(), &sample::context()).is_ok();
        if parses { text } else { "tags != ]a,\"b c\"[".to_owned() }
    });
    fine.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" && ")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join("||")),
            inner.clone().prop_map(|part| format!("({part})")),
            inner.prop_map(|part| format!("!({part})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn query_to_text_to_query(text in expression()) {
        let (catalogue, context) = (sample::catalogue(), sample::context());
        let tree = parse(&text, &catalogue, &context).unwrap();
        let shown = tree.to_string();
        let again = parse(&shown, &catalogue, &context);
        prop_assert_eq!(again.as_ref(), Ok(&tree), "{} as {}", text, shown);
        prop_assert_eq!(again.unwrap().to_string(), shown);
    }

    #[test]
    fn any_text(text in prop_oneof![any::<String>(), "[a-z.=!<>&|()\\[\\]\",/* \\\\0-9:@-]{0,60}", term()]) {
        let (catalogue, context) = (sample::catalogue(), sample::context());
        match parse(&text, &catalogue, &context) {
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.position), "{}: {:?}", text, error);
                prop_assert!(error.position + error.length <= text.len(), "{}: {:?}", text, error);
                prop_assert!(error.render(&text).contains('^'));
            }
            Ok(tree) => {
                let document = serde_json::json!({"source": {"ip": "10.0.0.1", "port": 80}, "tags": ["a"]});
                let _ = evaluate::matches(&tree, &document, &catalogue);
            }
        }
    }

    #[test]
    fn negation(text in term()) {
        let (catalogue, context) = (sample::catalogue(), sample::context());
        let Ok(tree) = parse(&text, &catalogue, &context) else { return Ok(()) };
        let negated = parse(&format!("!({text})"), &catalogue, &context).unwrap();
        let document = serde_json::json!({"_id": "a", "source": {"ip": "10.0.0.1", "port": 80}, "tags": ["a", "b"]});
        prop_assert_ne!(evaluate::matches(&tree, &document, &catalogue), evaluate::matches(&negated, &document, &catalogue));
    }
}

/// The message of the error; empty if there is none.
fn refused(text: &str) -> String {
    let message = parse(text, &sample::catalogue(), &sample::context()).err().map(|error| error.to_string());
    message.filter(|message| message.len() < 500).unwrap_or_default()
}

#[test]
fn limits() {
    let (catalogue, context) = (sample::catalogue(), sample::context());
    let fine = |text: &str| parse(text, &catalogue, &context).is_ok();
    assert!(fine(&format!("{}tags == x{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH))));
    assert!(refused(&format!("{}tags == x", "(".repeat(MAX_DEPTH + 1))).contains("deep at most"));
    assert!(refused(&"!".repeat(60_000)).contains("deep at most"));
    assert!(refused(&"(".repeat(60_000)).contains("deep at most"));
    let list = |count| format!("tags == [{}x]", "x,".repeat(count - 1));
    assert!(fine(&list(MAX_LIST_VALUES)));
    assert!(refused(&list(MAX_LIST_VALUES + 1)).contains("10000 values at most"));
    assert!(refused(&" ".repeat(MAX_EXPRESSION_BYTES + 1)).contains("65536 bytes at most"));
    assert!(refused(&format!("http.uri == /{}/", "a".repeat(1_001))).contains("1000 bytes at most"));
    assert!(refused(&format!("payload8.utf8 == /{}/", "a".repeat(600))).contains("more than 1000 characters"));
    assert!(refused(&format!("{} == 1", "x".repeat(60_000))).contains("unknown field"));
}

/// The largest expressions of each kind take about as long as any: nothing grows with the square of the length.
#[test]
fn long_expressions() {
    let (catalogue, context) = (sample::catalogue(), sample::context());
    let started = Instant::now();
    for text in [
        "tags == x || ".repeat(4_999) + "tags == y",
        format!("host == ]{}x[", "x,".repeat(9_999)),
        format!("ip == [{}1]", ":80,1.2.3:81,".repeat(4_000)),
        format!("ip == [{}1]", (0..8_000).map(|port| format!(":{port},")).collect::<String>()),
        format!("http.uri == [{}x]", "/[\u{80}-\u{480}]/,".repeat(6_000)),
        format!("http.uri == \"{}\"", "*a".repeat(30_000)),
        format!("host == {}", "ü.".repeat(20_000)),
        format!("host == {}", "xn--".repeat(15_000)),
        "tags == [".to_owned() + &"\\".repeat(60_000),
        "tags == \"".to_owned() + &"a".repeat(60_000),
        "tags == /".to_owned() + &"\\/".repeat(30_000),
        "tags ".to_owned() + &" ".repeat(60_000),
    ] {
        let _ = parse(&text, &catalogue, &context).map(|tree| tree.to_string());
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn files_are_resolved() {
    let tree = parse("file == a* || !(file == b)", &sample::catalogue(), &sample::context()).unwrap();
    let patterns = tree.file_patterns();
    assert!(matches!(patterns.as_slice(), [TextMatch::Wildcard(_), TextMatch::Equals(_)]));
    let mut asked = 0;
    let tree = tree.map_files(&mut |_| {
        asked += 1;
        Vec::new()
    });
    assert_eq!(asked, 2);
    assert!(tree.file_patterns().is_empty());
    let Expression::Or(parts) = tree else { panic!("{tree:?}") };
    assert!(
        matches!(&parts[0], Expression::Term(term) if term.alternatives[0].predicate == Predicate::Files(Vec::new()))
    );
}

#[test]
fn errors_point_to_their_place() {
    let text = "port.dst == [80,443] && ip.scr == 10";
    let error = parse(text, &sample::catalogue(), &sample::context()).unwrap_err();
    assert_eq!((error.position, error.length), (24, 6));
    assert_eq!(error.nearest.as_deref(), Some("ip.src"));
    let expected =
        format!("{text}\n                        ^^^^^^\nat 24: unknown field ip.scr; did you mean `ip.src`?");
    assert_eq!(error.render(text), expected);
}
