//! Session lists, CSV, and one session.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use skycap_query::Expression;
use skycap_store::{Aggregation, Bucket, BucketKey, Search, StoredSession};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    ApiError, Parameters, SessionsRequest, Viewer,
    rows::{csv_header, csv_row, flatten, paths, select},
};

/// Sessions read at a time by walks of any length.
pub(crate) const SESSIONS_PER_READ: usize = 500;

/// `/api/sessions`. A wrong expression is an answer with `error` and no rows, not a failed request: so clients that
/// follow typing expect it.
pub(crate) async fn list(State(viewer): State<Arc<Viewer>>, parameters: Parameters) -> Result<Json<Value>, ApiError> {
    let request = match SessionsRequest::read(&parameters, &viewer).await {
        Ok(request) => request,
        Err(error) if error.status == axum::http::StatusCode::BAD_REQUEST => {
            return Ok(Json(json!({ "data": [], "recordsTotal": 0, "recordsFiltered": 0, "error": error.message })));
        }
        Err(error) => return Err(error),
    };
    let search = Search {
        expression: request.expression.clone(),
        sort: request.sort.clone(),
        from: request.from,
        after: None,
        size: request.size,
    };
    let page = viewer.sessions.search(&viewer.scope, &search).await?;
    let everything = Search { expression: Expression::Everything, sort: Vec::new(), from: 0, after: None, size: 0 };
    let total = viewer.sessions.search(&viewer.scope, &everything).await?.total;
    let chosen = paths(parameters.text("fields").unwrap_or(""));
    let flat = parameters.is_set("flatten");
    let data: Vec<Value> = page.sessions.into_iter().map(|session| row(session, &chosen, flat)).collect();
    let mut answer = json!({ "data": data, "recordsTotal": total, "recordsFiltered": page.total });
    if parameters.is_set("facets") {
        answer["graph"] = graph(&viewer, &request, parameters.text("interval")).await?;
        answer["map"] = json!({ "src": {}, "dst": {}, "xffGeo": {} });
    }
    Ok(Json(answer))
}

fn row(session: StoredSession, chosen: &[String], flat: bool) -> Value {
    let mut document = select(session.document, chosen);
    if flat {
        document = flatten(document);
    }
    if let Value::Object(object) = &mut document {
        object.insert("id".to_owned(), Value::String(session.id));
        object.insert("index".to_owned(), Value::String(session.index));
    }
    document
}

/// `/api/session/{id}`: the whole document.
pub(crate) async fn one(State(viewer): State<Arc<Viewer>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let found = viewer.sessions.session(&viewer.scope, &id).await?;
    let session = found.ok_or_else(|| ApiError::not_found(format!("there is no session {id:?}")))?;
    Ok(Json(row(session, &[], false)))
}

/// `/api/sessions/csv`: streamed, page by page.
pub(crate) async fn csv(State(viewer): State<Arc<Viewer>>, parameters: Parameters) -> Result<Response, ApiError> {
    let request = SessionsRequest::read(&parameters, &viewer).await?;
    let fields = parameters.text("fields").map(str::to_owned);
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    tokio::spawn(async move {
        let mut left = request.size;
        let mut text = csv_header(fields.as_deref());
        let mut after = None;
        let mut from = request.from;
        loop {
            let size = left.min(SESSIONS_PER_READ);
            let search = Search {
                expression: request.expression.clone(),
                sort: request.sort.clone(),
                from,
                after: after.take(),
                size,
            };
            let page = match viewer.sessions.search(&viewer.scope, &search).await {
                Ok(page) => page,
                Err(error) => {
                    // cuts the answer: a client must not take half a list for a whole one
                    let _ = sender.send(Err(std::io::Error::other(error.to_string()))).await;
                    return;
                }
            };
            text.extend(page.sessions.iter().map(|session| csv_row(&session.document, fields.as_deref())));
            if sender.send(Ok(Bytes::from(std::mem::take(&mut text)))).await.is_err() {
                return;
            }
            left -= page.sessions.len();
            let Some(last) = page.sessions.last() else { return };
            if page.sessions.len() < size || left == 0 {
                return;
            }
            from = 0;
            after = Some(last.after.clone());
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response())
}

/// The graph above the list: sessions, packets and bytes over time, and their sums.
async fn graph(viewer: &Viewer, request: &SessionsRequest, interval: Option<&str>) -> Result<Value, ApiError> {
    let span = request.stop_ms.saturating_sub(request.start_ms);
    let seconds: u64 = match interval {
        Some("second") => 1,
        Some("minute") => 60,
        Some("hour") => 3_600,
        Some("day") => 86_400,
        Some("auto") | None if span <= 30 * 60_000 => 1,
        Some("auto") | None if span <= 5 * 86_400_000 => 60,
        Some("auto") | None => 3_600,
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "interval must be second, minute, hour, day or auto, not {other:?}"
            )));
        }
    };
    let histogram = Aggregation::Histogram { interval_ms: seconds * 1_000 };
    let buckets = viewer.sessions.aggregate(&viewer.scope, &request.expression, &histogram).await?;
    let series = |value: fn(&Bucket) -> u64| -> Value {
        let points = buckets.iter().filter_map(|bucket| match bucket.key {
            BucketKey::Integer(start) => Some(json!([start, value(bucket)])),
            BucketKey::Text(_) => None,
        });
        points.collect()
    };
    let sum = |value: fn(&Bucket) -> u64| buckets.iter().map(value).sum::<u64>();
    let edge = |bucket: Option<&Bucket>| match bucket.map(|bucket| &bucket.key) {
        Some(BucketKey::Integer(start)) => *start as u64,
        _ => 0,
    };
    let xmin = if request.start_ms > 0 { request.start_ms } else { edge(buckets.first()) };
    let xmax = if request.stop_ms < u64::MAX { request.stop_ms } else { edge(buckets.last()) + seconds * 1_000 };
    Ok(json!({
        "interval": seconds,
        "xmin": xmin,
        "xmax": xmax,
        "sessionsHisto": series(|bucket| bucket.sessions),
        "source.packetsHisto": series(|bucket| bucket.packets[0]),
        "destination.packetsHisto": series(|bucket| bucket.packets[1]),
        "source.bytesHisto": series(|bucket| bucket.bytes[0]),
        "destination.bytesHisto": series(|bucket| bucket.bytes[1]),
        "client.bytesHisto": series(|bucket| bucket.data_bytes[0]),
        "server.bytesHisto": series(|bucket| bucket.data_bytes[1]),
        "sessionsTotal": sum(|bucket| bucket.sessions),
        "network.packetsTotal": sum(|bucket| bucket.packets[0] + bucket.packets[1]),
        "network.bytesTotal": sum(|bucket| bucket.bytes[0] + bucket.bytes[1]),
        "totDataBytesTotal": sum(|bucket| bucket.data_bytes[0] + bucket.data_bytes[1]),
    }))
}
