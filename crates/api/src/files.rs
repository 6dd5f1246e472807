//! `/api/files`: the capture objects and how far their indexing got.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};
use skycap_store::FilesQuery;

use crate::{ApiError, Parameters, Viewer};

/// Most files documents that one answer holds.
const MAX_FILES: usize = 10_000;

/// Parameters `start`, `length`, `sortField`, `desc`, `filter`.
pub(crate) async fn list(State(viewer): State<Arc<Viewer>>, parameters: Parameters) -> Result<Json<Value>, ApiError> {
    let query = FilesQuery {
        filter: parameters.text("filter").unwrap_or("").to_owned(),
        sort: parameters.text("sortField").unwrap_or("first").to_owned(),
        descending: parameters.is_set("desc"),
        from: parameters.number("start")?.unwrap_or(0),
        size: parameters.number("length")?.unwrap_or(100).min(MAX_FILES),
    };
    let page = viewer.sessions.files(&viewer.scope, &query).await?;
    let rows = page.files.iter().map(|file| {
        let mut row = serde_json::to_value(file).unwrap_or_default();
        row["id"] = json!(file.id());
        row
    });
    Ok(Json(json!({ "data": rows.collect::<Vec<_>>(), "recordsTotal": page.total, "recordsFiltered": page.matching })))
}
