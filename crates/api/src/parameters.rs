//! Parameters of a request: query string, form or JSON body, with Arkime's names.

use std::collections::HashMap;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::header::CONTENT_TYPE,
};
use serde_json::Value;
use skycap_model::{Resolved, Timestamp};
use skycap_protocols::catalogue;
use skycap_query::{Context, Expression, FileKey, Predicate};
use skycap_store::{FilesQuery, Scope, SessionStore, Sort, SortOrder};

use crate::{ApiError, Viewer};

/// Most sessions that one answer holds.
pub const MAX_SESSIONS_PER_PAGE: usize = 100_000;
/// Most bytes of a request body.
const MAX_BODY_BYTES: usize = 2 << 20;
/// Files documents read at a time.
const FILES_PER_READ: usize = 1_000;

/// The parameters of a request, by name; the body's go before the query string's.
#[derive(Debug, Default)]
pub struct Parameters(pub HashMap<String, String>);

impl Parameters {
    /// The value of a parameter that is there and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that is a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number =
            text.trim().parse().map_err(|_| ApiError::invalid(format!("{name} must be a number, not {text:?}")))?;
        Ok(Some(number))
    }

    /// A parameter that is set: `1` or `true`.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        matches!(self.text(name), Some("1" | "true"))
    }
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let decode = |text: &[u8]| -> Result<Vec<(String, String)>, ApiError> {
            serde_urlencoded_pairs(text).ok_or_else(|| ApiError::invalid("the parameters are not well encoded"))
        };
        let mut all: HashMap<String, String> =
            decode(request.uri().query().unwrap_or_default().as_bytes())?.into_iter().collect();
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let body = Bytes::from_request(request.map(|body| axum::body::Body::new(http_body_limit(body))), state)
            .await
            .map_err(|_| {
            ApiError::invalid(format!("the body could not be read, or is larger than {MAX_BODY_BYTES} bytes"))
        })?;
        if body.is_empty() {
            return Ok(Self(all));
        }
        if kind.starts_with("application/json") {
            let object: serde_json::Map<String, Value> = serde_json::from_slice(&body)
                .map_err(|error| ApiError::invalid(format!("the body is no JSON object: {error}")))?;
            all.extend(object.into_iter().map(|(name, value)| match value {
                Value::String(text) => (name, text),
                Value::Array(list) => {
                    let texts: Vec<String> =
                        list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
                    (name, texts.join(","))
                }
                other => (name, other.to_string()),
            }));
        } else {
            all.extend(decode(&body)?);
        }
        Ok(Self(all))
    }
}

/// Bounds what is read of a body.
fn http_body_limit(body: axum::body::Body) -> impl axum::body::HttpBody<Data = Bytes, Error = axum::Error> {
    // axum's own extractor limit is 2 MiB already; this keeps the bound where it is named
    debug_assert_eq!(MAX_BODY_BYTES, 2 << 20);
    body
}

/// `a=b&c=d` with `+` and `%XX`.
fn serde_urlencoded_pairs(text: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(text).ok()?;
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((form_decode(name)?, form_decode(value)?))
        })
        .collect()
}

fn form_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| (byte as char).to_digit(16);
                (digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A search for sessions, as the parameters of most paths describe it.
#[derive(Debug)]
pub struct SessionsRequest {
    /// The expression and the time, files looked up.
    pub expression: Expression,
    /// Start of the time asked for, milliseconds; 0 where there is none.
    pub start_ms: u64,
    /// Stop of the time asked for, milliseconds; `u64::MAX` where there is none.
    pub stop_ms: u64,
    /// Order.
    pub sort: Vec<Sort>,
    /// Sessions passed over.
    pub from: usize,
    /// Most sessions given.
    pub size: usize,
}

impl SessionsRequest {
    /// Reads the parameters; files are looked up in the store.
    pub async fn read(parameters: &Parameters, viewer: &Viewer) -> Result<Self, ApiError> {
        let context = Context { now: now(), timezone: jiff::tz::TimeZone::system() };
        let parse = |text: &str| skycap_query::parse(text, catalogue(), &context);
        let mut parts = Vec::new();
        if let Some(text) = parameters.text("expression") {
            parts.push(parse(text)?);
        }
        if let Some(ids) = parameters.text("ids") {
            let list: Vec<&str> = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
            if let Some(wrong) =
                list.iter().find(|id| !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_@".contains(&byte)))
            {
                return Err(ApiError::invalid(format!("{wrong:?} is no session id")));
            }
            parts.push(parse(&format!("id == [{}]", list.join(",")))?);
        }
        let (start, stop) = time_range(parameters, viewer, context.now)?;
        let bounding = parameters.text("bounding").unwrap_or("last");
        let (from_field, to_field) = match bounding {
            "first" => ("starttime", "starttime"),
            "last" => ("stoptime", "stoptime"),
            "both" => ("starttime", "stoptime"),
            "either" => ("stoptime", "starttime"),
            other => {
                return Err(ApiError::invalid(format!("bounding must be first, last, both or either, not {other:?}")));
            }
        };
        if let Some(start) = start {
            parts.push(parse(&format!("{from_field} >= {start}"))?);
        }
        if let Some(stop) = stop {
            parts.push(parse(&format!("{to_field} < {}", stop.saturating_add(1)))?);
        }
        let expression = match parts.len() {
            0 => Expression::Everything,
            1 => parts.remove(0),
            _ => Expression::And(parts),
        };
        let expression = resolve_files(expression, viewer.sessions.as_ref(), &viewer.scope).await?;
        let size = parameters.number("length")?.unwrap_or(100);
        if size > MAX_SESSIONS_PER_PAGE {
            return Err(ApiError::invalid(format!("length must be at most {MAX_SESSIONS_PER_PAGE}; go on with start")));
        }
        Ok(Self {
            expression,
            start_ms: start.unwrap_or(0).saturating_mul(1_000),
            stop_ms: stop.map_or(u64::MAX, |stop| stop.saturating_mul(1_000)),
            sort: order(parameters.text("order").unwrap_or(""))?,
            from: parameters.number("start")?.unwrap_or(0),
            size,
        })
    }
}

/// Wall clock: what `date=1` and relative dates count from.
#[must_use]
#[allow(clippy::disallowed_methods)] // an analyst's "last hour" is an hour of the clock on the wall
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_parts(since.as_secs(), since.subsec_nanos())
}

/// Start and stop in seconds: `startTime` and `stopTime`, else `date` hours back from now.
fn time_range(
    parameters: &Parameters,
    viewer: &Viewer,
    now: Timestamp,
) -> Result<(Option<u64>, Option<u64>), ApiError> {
    let start = parameters.number::<u64>("startTime")?;
    let stop = parameters.number::<u64>("stopTime")?;
    if start.is_some() || stop.is_some() {
        if let (Some(start), Some(stop)) = (start, stop)
            && start > stop
        {
            return Err(ApiError::invalid(format!("startTime {start} is after stopTime {stop}")));
        }
        return Ok((start.filter(|&start| start > 1), stop));
    }
    let hours: i64 = match parameters.number("date")? {
        Some(hours) => hours,
        // named sessions and files are looked for wherever they are
        None if parameters.text("ids").is_some() => -1,
        None => viewer.default_hours,
    };
    let Ok(hours) = u64::try_from(hours) else { return Ok((None, None)) };
    Ok((Some(now.seconds().saturating_sub(hours.saturating_mul(3_600))), None))
}

/// `field:asc,field:desc`; newest first where nothing is said.
fn order(text: &str) -> Result<Vec<Sort>, ApiError> {
    let text = if text.is_empty() { "firstPacket:desc" } else { text };
    let mut sort = Vec::new();
    for key in text.split(',').filter(|key| !key.is_empty()) {
        let (name, order) = key.rsplit_once(':').unwrap_or((key, "asc"));
        let order = match order {
            "asc" => SortOrder::Ascending,
            "desc" => SortOrder::Descending,
            other => return Err(ApiError::invalid(format!("order must be asc or desc, not {other:?}"))),
        };
        // a field that this version doesn't know sorts as missing: it must not fail
        if let Some(Resolved::Field(field)) = catalogue().resolve(name) {
            sort.push(Sort { field, order });
        }
    }
    Ok(sort)
}

/// Looks up the file names of an expression in the files documents.
pub(crate) async fn resolve_files(
    expression: Expression,
    store: &dyn SessionStore,
    scope: &Scope,
) -> Result<Expression, ApiError> {
    let mut asks = false;
    expression.visit(&mut |term| {
        asks |= term.alternatives.iter().any(|alternative| matches!(alternative.predicate, Predicate::FileName(_)));
    });
    if !asks {
        return Ok(expression);
    }
    let mut files = Vec::new();
    loop {
        let page = store
            .files(scope, &FilesQuery { from: files.len(), size: FILES_PER_READ, ..FilesQuery::default() })
            .await?;
        let read = page.files.len();
        files.extend(
            page.files.into_iter().map(|file| (file.name, FileKey { node: file.node, file_id: file.num as i64 })),
        );
        if read < FILES_PER_READ {
            break;
        }
    }
    Ok(expression.map_files(&mut |pattern| {
        files.iter().filter(|(name, _)| pattern.matches(name)).map(|(_, key)| key.clone()).collect()
    }))
}
