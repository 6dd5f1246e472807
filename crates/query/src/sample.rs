//! A small catalogue and scenarios, by which every store shows that it answers as [`crate::evaluate`] does.

use serde_json::Value;
use skycap_model::{Catalogue, Category, Field, Kind, Timestamp, core_fields};

use crate::{Context, FileKey, TextMatch};

/// Fields of DNS, HTTP, TLS and certificates, with the paths and kinds that the real ones have.
pub const FIELDS: &[Field] = &[
    Field::objects("dns"),
    Field::ip("ip.dns", "dns.ip").set().counted().inside("dns"),
    Field::lower("host.dns", "dns.host").set().counted().host().tokens().inside("dns"),
    Field::lower("dns.puny", "dns.puny").set().counted().inside("dns"),
    Field::upper("dns.status", "dns.status").inside("dns"),
    Field::objects("dns.answers").inside("dns"),
    Field::term("dns.answer.cname", "dns.answers.cname").inside("dns.answers"),
    Field::integer("dns.answer.ttl", "dns.answers.ttl").inside("dns.answers"),
    Field::lower("host.http", "http.host").set().counted().host().tokens(),
    Field::term("http.uri", "http.uri").set().counted().tokens(),
    Field::term("http.user-agent", "http.useragent").set().counted().tokens(),
    Field::term("http.method", "http.method").set().counted(),
    Field::integer("http.statuscode", "http.statuscode").set().counted(),
    Field::ip("ip.xff", "http.xffIp").set().counted(),
    Field::term("http.request-x-trace-id", "http.request-x-trace-id").set().counted(),
    Field::lower("tls.ja3", "tls.ja3").set().counted(),
    Field::objects("cert"),
    Field::lower("cert.subject.cn", "cert.subjectCN").set().inside("cert"),
    Field::lower("cert.hash", "cert.hash").inside("cert"),
    Field::date("cert.notbefore", "cert.notBefore").inside("cert"),
    Field::upper("country.src", "source.geo.country_iso_code").category(Category::Country),
    Field::upper("country.dst", "destination.geo.country_iso_code").category(Category::Country),
    Field::any("country", Kind::UpperTerm, &[]).category(Category::Country),
    Field::term("asn.src", "source.as.full").category(Category::Asn),
    Field::term("asn.dst", "destination.as.full").category(Category::Asn),
    Field::any("asn", Kind::Term, &[]).category(Category::Asn),
    Field::upper("rir.src", "srcRIR").category(Category::Rir),
    Field::upper("rir.dst", "dstRIR").category(Category::Rir),
    Field::any("rir", Kind::UpperTerm, &[]).category(Category::Rir),
    Field::any("payload8.hex", Kind::LowerTerm, &["payload8.src.hex", "payload8.dst.hex"]),
];

/// The core fields and [`FIELDS`].
#[must_use]
pub fn catalogue() -> Catalogue {
    Catalogue::new(&[core_fields::FIELDS, FIELDS])
}

/// Scenarios happen at 2014-02-26 10:27:57 UTC.
#[must_use]
pub fn context() -> Context {
    Context { now: Timestamp::from_parts(1_393_410_477, 0), timezone: jiff::tz::TimeZone::UTC }
}

/// Documents, and which of them expressions find.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name of the file.
    pub name: &'static str,
    /// Session documents with their `_id`; each has `firstPacket`, `lastPacket`, `node` and `fileId`.
    pub documents: Vec<Value>,
    /// Capture objects: their name and key.
    pub files: Vec<(String, FileKey)>,
    /// The expressions.
    pub queries: Vec<ScenarioQuery>,
}

/// One expression of a [`Scenario`].
#[derive(Clone, Debug)]
pub struct ScenarioQuery {
    /// The expression.
    pub expression: String,
    /// The ids that it finds, sorted, or a piece of the error.
    pub expected: Result<Vec<String>, String>,
}

impl Scenario {
    /// The capture objects whose name fits: what [`crate::Expression::map_files`] asks for.
    #[must_use]
    pub fn resolve(&self, pattern: &TextMatch) -> Vec<FileKey> {
        self.files.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, key)| key.clone()).collect()
    }
}

macro_rules! scenario_files {
    ($($name:literal)+) => { &[$(($name, include_str!(concat!("../scenarios/", $name, ".json")))),+] };
}

const SCENARIOS: &[(&str, &str)] =
    scenario_files! { "addresses" "dates" "existence" "files" "lists" "numbers" "protocols" "text" "virtual" "words" };

/// All scenarios.
///
/// # Errors
/// The name of a file that is not as it should be.
pub fn scenarios() -> Result<Vec<Scenario>, &'static str> {
    SCENARIOS.iter().map(|&(name, text)| read(name, text).ok_or(name)).collect()
}

fn read(name: &'static str, text: &str) -> Option<Scenario> {
    let json: Value = serde_json::from_str(text).ok()?;
    let mut documents = json.get("documents")?.as_array()?.clone();
    for document in &mut documents {
        let document = document.as_object_mut()?;
        let now: Value = context().now.milliseconds().into();
        for (key, value) in
            [("firstPacket", now.clone()), ("lastPacket", now), ("node", "node1".into()), ("fileId", vec![1].into())]
        {
            document.entry(key).or_insert(value);
        }
    }
    let files = json.get("files").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let files = files.iter().map(|file| {
        let text = |key: &str| file.get(key)?.as_str().map(str::to_owned);
        Some((text("name")?, FileKey { node: text("node")?, file_id: file.get("num")?.as_i64()? }))
    });
    let mut queries = Vec::new();
    for (expression, ids) in json.get("queries")?.as_object()? {
        let mut ids: Vec<String> =
            ids.as_array()?.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        ids.sort_unstable();
        queries.push(ScenarioQuery { expression: expression.clone(), expected: Ok(ids) });
    }
    for (expression, error) in json.get("errors").and_then(Value::as_object).into_iter().flatten() {
        queries.push(ScenarioQuery { expression: expression.clone(), expected: Err(error.as_str()?.to_owned()) });
    }
    Some(Scenario { name, documents, files: files.collect::<Option<_>>()?, queries })
}
