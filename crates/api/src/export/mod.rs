//! Packets of sessions, streamed in time order while ranges are still being fetched.
//!
//! An answer is made object by object: only objects that overlap in time are open together, each with a bounded number
//! of ranges under way, so memory does not depend on how many packets are asked for. A record is copied from its block
//! as it is, so what comes out is bit for bit what went in.

mod merge;
mod ranges;

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use skycap_model::{FilesDocument, core_fields};
use skycap_protocols::catalogue;
use skycap_query::{Context, Expression};
use skycap_store::{Aggregation, BucketKey, FilesQuery, ObjectStore, Scope, Search, SessionStore, Sort, SortOrder};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{ApiError, Parameters, SessionsRequest, Viewer, now, sessions::SESSIONS_PER_READ};

/// Most capture objects that one export may touch.
pub const MAX_EXPORT_OBJECTS: usize = 10_000;
/// Most capture objects that are open at once. Where more overlap in time, packets of the later ones follow.
pub const MAX_OPEN_OBJECTS: usize = 8;
/// Most segments that `segments=all` adds to one session.
const MAX_SEGMENTS: usize = 10_000;
/// Sessions of one conversation further apart than this are not one flow: the longest idle timeout.
const FLOW_GAP_MS: u64 = 600_000;
/// Files documents read at a time.
const FILES_PER_READ: usize = 1_000;

/// A pcap file in pieces. An error ends it: a client must not take a part for the whole.
pub type PacketStream = ReceiverStream<Result<Bytes, std::io::Error>>;

/// `/api/sessions/pcap`: packets of the sessions of `ids`, or of all that match.
pub(crate) async fn sessions(State(viewer): State<Arc<Viewer>>, parameters: Parameters) -> Result<Response, ApiError> {
    let request = SessionsRequest::read(&parameters, &viewer).await?;
    let exporter = Exporter::of(&viewer);
    let expression = match parameters.text("segments").unwrap_or("no") {
        "no" => request.expression,
        "all" | "time" => exporter.with_segments(request.expression).await?,
        other => return Err(ApiError::invalid(format!("segments must be no, time or all, not {other:?}"))),
    };
    answer(&exporter, expression, "sessions").await
}

/// `/api/session/{node}/{id}/pcap`: packets of one session.
pub(crate) async fn one(
    State(viewer): State<Arc<Viewer>>,
    Path((_node, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let expression = by_id(&viewer, &id).await?;
    answer(&Exporter::of(&viewer), expression, &id).await
}

/// `/api/session/entire/{node}/{id}/pcap`: packets of all segments of one flow.
pub(crate) async fn entire(
    State(viewer): State<Arc<Viewer>>,
    Path((_node, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let expression = by_id(&viewer, &id).await?;
    let exporter = Exporter::of(&viewer);
    let expression = exporter.with_segments(expression).await?;
    answer(&exporter, expression, &id).await
}

async fn by_id(viewer: &Viewer, id: &str) -> Result<Expression, ApiError> {
    let missing = || ApiError::not_found(format!("there is no session {id:?}"));
    let session = viewer.sessions.session(&viewer.scope, id).await?.ok_or_else(missing)?;
    ids_expression(&[session.id])
}

fn ids_expression(ids: &[String]) -> Result<Expression, ApiError> {
    let context = Context { now: now(), timezone: jiff::tz::TimeZone::UTC };
    Ok(skycap_query::parse(&format!("id == [{}]", ids.join(",")), catalogue(), &context)?)
}

async fn answer(exporter: &Exporter, expression: Expression, name: &str) -> Result<Response, ApiError> {
    let stream = exporter.pcap(expression).await?;
    let disposition = format!("attachment; filename=\"{name}.pcap\"");
    let headers = [(CONTENT_TYPE, "application/vnd.tcpdump.pcap".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Streams packets of sessions out of capture objects.
#[derive(Clone)]
pub struct Exporter {
    sessions: Arc<dyn SessionStore>,
    objects: Arc<dyn ObjectStore>,
    scope: Scope,
}

impl Exporter {
    /// An exporter over the viewer's stores and scope.
    #[must_use]
    pub fn of(viewer: &Viewer) -> Self {
        Self { sessions: viewer.sessions.clone(), objects: viewer.objects.clone(), scope: viewer.scope.clone() }
    }

    /// The packets of all sessions that match, as a libpcap file (nanoseconds), each packet once, in time order.
    ///
    /// What can be refused is refused here, before the first byte: no right to packets, nothing found, several link
    /// types (a libpcap file has one), more than [`MAX_EXPORT_OBJECTS`] objects.
    pub async fn pcap(&self, expression: Expression) -> Result<PacketStream, ApiError> {
        if !self.scope.packets {
            return Err(ApiError {
                status: axum::http::StatusCode::FORBIDDEN,
                message: "no right to packets".to_owned(),
            });
        }
        let files = self.files_of(&expression).await?;
        let link_type = files.first().map_or(skycap_packet::link::ETHERNET, |file| file.skycap.link_type);
        if let Some(other) = files.iter().find(|file| file.skycap.link_type != link_type) {
            return Err(ApiError::invalid(format!(
                "these sessions have packets of link types {link_type} and {}, and a pcap file has room for one; narrow the search with file ==",
                other.skycap.link_type
            )));
        }
        let (sender, receiver) = mpsc::channel(8);
        let exporter = self.clone();
        tokio::spawn(async move {
            if let Err(message) = merge::run(exporter, expression, files, link_type, &sender).await {
                tracing::warn!(error = message, "export cut short");
                let _ = sender.send(Err(std::io::Error::other(message))).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// Files documents of the objects that hold packets of matching sessions, by time of their first packet.
    async fn files_of(&self, expression: &Expression) -> Result<Vec<FilesDocument>, ApiError> {
        let terms = Aggregation::Terms { field: core_fields::FILE_ID, size: MAX_EXPORT_OBJECTS + 1 };
        let buckets = self.sessions.aggregate(&self.scope, expression, &terms).await?;
        if buckets.len() > MAX_EXPORT_OBJECTS {
            return Err(ApiError::invalid(format!(
                "these sessions lie in more than {MAX_EXPORT_OBJECTS} capture objects; narrow the search"
            )));
        }
        let numbers = buckets.into_iter().filter_map(|bucket| match bucket.key {
            BucketKey::Integer(number) => u64::try_from(number).ok(),
            BucketKey::Text(_) => None,
        });
        let mut missing: HashMap<u64, ()> = numbers.map(|number| (number, ())).collect();
        let wanted = missing.clone();
        let mut files = Vec::new();
        let mut from = 0;
        while !wanted.is_empty() {
            let query = FilesQuery { sort: "first".to_owned(), from, size: FILES_PER_READ, ..FilesQuery::default() };
            let page = self.sessions.files(&Scope::everything(), &query).await?;
            let read = page.files.len();
            from += read;
            files.extend(page.files.into_iter().filter(|file| wanted.contains_key(&file.num)));
            if read < FILES_PER_READ {
                break;
            }
        }
        files.iter().for_each(|file| {
            missing.remove(&file.num);
        });
        if let Some(number) = missing.keys().next() {
            return Err(ApiError::not_found(format!(
                "there is no files document for fileId {number}: its packets can't be found"
            )));
        }
        files.sort_by(|left, right| (left.first_timestamp, &left.name).cmp(&(right.first_timestamp, &right.name)));
        Ok(files)
    }

    /// The expression widened to the whole flows of the sessions that match: the other segments of split sessions, and
    /// what the neighbouring objects of the node hold of the same conversation.
    async fn with_segments(&self, expression: Expression) -> Result<Expression, ApiError> {
        let context = Context { now: now(), timezone: jiff::tz::TimeZone::UTC };
        let first = Sort { field: core_fields::FIRST_PACKET, order: SortOrder::Ascending };
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let search = Search {
                expression: expression.clone(),
                sort: vec![first],
                from: 0,
                after: after.take(),
                size: SESSIONS_PER_READ,
            };
            let page = self.sessions.search(&self.scope, &search).await?;
            for session in &page.sessions {
                ids.push(session.id.clone());
                let text = |path: &str| {
                    crate::rows::at_path(&session.document, path)
                        .first()
                        .and_then(|value| value.as_str().map(str::to_owned))
                };
                let (Some(community), Some(node)) = (text("network.community_id"), text("node")) else { continue };
                let flow = skycap_query::parse(
                    &format!("communityId == \"{community}\" && node == \"{node}\""),
                    catalogue(),
                    &context,
                )?;
                let search = Search { expression: flow, sort: vec![first], from: 0, after: None, size: MAX_SEGMENTS };
                let family = self.sessions.search(&self.scope, &search).await?.sessions;
                ids.extend(chain(&family, &session.id));
            }
            if ids.len() > MAX_SEGMENTS {
                return Err(ApiError::invalid(format!(
                    "these flows have more than {MAX_SEGMENTS} segments; narrow the search"
                )));
            }
            match page.sessions.last() {
                Some(last) if page.sessions.len() == SESSIONS_PER_READ => after = Some(last.after.clone()),
                _ => break,
            }
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() { Ok(expression) } else { ids_expression(&ids) }
    }
}

/// Of the sessions of one conversation, in order of time, those that follow each other without a gap around one.
fn chain(family: &[skycap_store::StoredSession], id: &str) -> Vec<String> {
    let time = |session: &skycap_store::StoredSession, name: &str| {
        session.document.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0)
    };
    let mut run: Vec<String> = Vec::new();
    let mut found = false;
    let mut last = 0;
    for session in family {
        if !run.is_empty() && time(session, "firstPacket") > last + FLOW_GAP_MS {
            if found {
                break;
            }
            run.clear();
        }
        found |= session.id == id;
        last = last.max(time(session, "lastPacket"));
        run.push(session.id.clone());
    }
    if found { run } else { Vec::new() }
}
