//! The viewer's HTTP API: one axum router, served by `skycap local` on loopback and by the viewer Lambda.
//!
//! Paths, parameters and shapes follow Arkime's where it has the thing, so that its clients work. Every read carries a
//! [`Scope`]. Errors are JSON: `{"success": false, "error": "…"}` in the words of the CLI.

mod error;
mod export;
mod fields;
mod files;
mod parameters;
mod rows;
mod sessions;
mod unique;

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use skycap_store::{ObjectStore, Scope, SessionStore};

pub use error::ApiError;
pub use export::{Exporter, MAX_EXPORT_OBJECTS, MAX_OPEN_OBJECTS, PacketStream};
pub use parameters::{MAX_SESSIONS_PER_PAGE, Parameters, SessionsRequest, now};
pub use rows::{csv_cells, csv_header, csv_row};

/// What the handlers need: the stores, and what the caller may see.
#[derive(Clone)]
pub struct Viewer {
    /// Sessions and files documents.
    pub sessions: Arc<dyn SessionStore>,
    /// Capture objects.
    pub objects: Arc<dyn ObjectStore>,
    /// What callers may see; everything, until access control gives each caller their own.
    pub scope: Scope,
    /// Hours that a session search looks back when it names no time: Arkime's default is 1, -1 is all.
    pub default_hours: i64,
}

/// The router.
pub fn router(viewer: Viewer) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/api/sessions", get(sessions::list).post(sessions::list))
        .route("/sessions.json", get(sessions::list).post(sessions::list))
        .route("/api/sessions/csv", get(sessions::csv).post(sessions::csv))
        .route("/sessions.csv", get(sessions::csv).post(sessions::csv))
        .route("/api/sessions/pcap", get(export::sessions).post(export::sessions))
        .route("/api/sessions.pcap", get(export::sessions).post(export::sessions))
        .route("/sessions.pcap", get(export::sessions).post(export::sessions))
        .route("/api/session/{id}", get(sessions::one))
        .route("/api/session/{node}/{id}/pcap", get(export::one))
        .route("/api/session/entire/{node}/{id}/pcap", get(export::entire))
        .route("/api/unique", get(unique::list).post(unique::list))
        .route("/unique.txt", get(unique::list).post(unique::list))
        .route("/api/fields", get(fields::list))
        .route("/fields", get(fields::list))
        .route("/api/files", get(files::list))
        .route("/file/list", get(files::list))
        .fallback(missing)
        .layer(tower_http::trace::TraceLayer::new_for_http())
        .with_state(Arc::new(viewer))
}

async fn health(axum::extract::State(viewer): axum::extract::State<Arc<Viewer>>) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "store": viewer.sessions.capabilities().name,
    }))
}

async fn missing(uri: axum::http::Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}
