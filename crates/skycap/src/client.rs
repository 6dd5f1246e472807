//! How `search` and `pcap` reach the viewer's API: over loopback where `skycap local` runs on the data folder, else the
//! same router in this process on the folder's own files. One code path either way.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    body::Body,
    http::{Request, Response, header::CONTENT_TYPE},
};
use futures::StreamExt;
use hyper_util::{client::legacy, rt::TokioExecutor};
use skycap_api::Viewer;
use skycap_store::{
    Scope,
    embedded::{Embedded, EmbeddedOptions},
};
use tower::ServiceExt;

/// Name of the file in the data folder that says where the running `skycap local` listens.
pub(crate) const ADDRESS_FILE: &str = "viewer.address";

/// The API, near or far.
pub(crate) enum Client {
    /// A `skycap local` runs: its address.
    Running(SocketAddr),
    /// The router in this process.
    Own {
        /// The router.
        router: Router,
        /// The store is open as long as this lives.
        _store: Box<Embedded>,
    },
}

impl Client {
    /// Finds the API of a data folder.
    pub(crate) async fn of(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            bail!(
                "there is no data folder {}: run `skycap local CAPTURE` first, or name it with --data",
                folder.display()
            );
        }
        if let Ok(text) = std::fs::read_to_string(folder.join(ADDRESS_FILE))
            && let Ok(address) = text.trim().parse::<SocketAddr>()
            && tokio::net::TcpStream::connect(address).await.is_ok()
        {
            return Ok(Self::Running(address));
        }
        let embedded = Embedded::open(folder, EmbeddedOptions::default()).await?;
        let viewer = Viewer {
            sessions: embedded.sessions.clone(),
            objects: embedded.objects.clone(),
            scope: Scope::everything(),
            default_hours: -1,
        };
        Ok(Self::Own { router: skycap_api::router(viewer), _store: Box::new(embedded) })
    }

    /// Sends a request with JSON parameters; an answer that is an error becomes one.
    pub(crate) async fn post(&self, path: &str, parameters: &serde_json::Value) -> Result<Response<Body>> {
        let request = |uri: String| {
            Request::post(uri).header(CONTENT_TYPE, "application/json").body(Body::from(parameters.to_string()))
        };
        let response = match self {
            Self::Running(address) => {
                let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Body>();
                let response = client.request(request(format!("http://{address}{path}"))?).await;
                response.with_context(|| format!("asking skycap local at {address}"))?.map(Body::new)
            }
            Self::Own { router, .. } => router.clone().oneshot(request(path.to_owned())?).await?,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = read(response).await?;
        let told = serde_json::from_slice::<serde_json::Value>(&body).ok();
        match told.as_ref().and_then(|value| value.get("error")).and_then(|error| error.as_str()) {
            Some(message) => bail!("{message}"),
            None => bail!("the viewer answered {status}"),
        }
    }
}

/// The whole body of an answer.
pub(crate) async fn read(response: Response<Body>) -> Result<Vec<u8>> {
    let mut stream = response.into_body().into_data_stream();
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.context("reading the answer")?);
    }
    Ok(body)
}
