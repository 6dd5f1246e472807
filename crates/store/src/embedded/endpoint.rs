//! The S3 endpoint on loopback: server, credentials, client.

use std::{
    fs,
    io::{self, Read, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use super::{
    disk::Disk,
    service::{Fresh, Service},
};
use crate::{ErrorKind, Queue, StoreError};

/// Region that the endpoint claims to be in.
pub(super) const REGION: &str = "us-east-1";

/// Connections that are served at a time; more wait.
const MAX_CONNECTIONS: usize = 256;

/// How long requests under way may take when the endpoint stops.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Access key and secret of one data folder.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalCredentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
}

impl std::fmt::Debug for LocalCredentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LocalCredentials({})", self.access_key)
    }
}

impl LocalCredentials {
    /// Those of the folder; made at random the first time, readable by the owner only.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| {
            StoreError::caused(ErrorKind::Storage, format!("{} can't be read or made", path.display()), error)
        };
        match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        let made = Self {
            access_key: format!("LOCAL{}", super::disk::hex(&random_bytes::<8>()?).to_uppercase()),
            secret_key: URL_SAFE_NO_PAD.encode(random_bytes::<30>()?),
        };
        let temporary = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&made)?)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(made)
    }
}

/// Bytes from the operating system's generator.
pub(super) fn random_bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A running endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Serves the folder's objects on a loopback address; port 0 takes a free one.
    pub(super) async fn start(
        disk: Arc<Disk>,
        bind: SocketAddr,
        credentials: &LocalCredentials,
        queue: Arc<dyn Queue>,
        fresh: Fresh,
    ) -> Result<Self, StoreError> {
        if !bind.ip().is_loopback() {
            let message = format!("the S3 endpoint serves this machine only: {} is no loopback address", bind.ip());
            return Err(StoreError::new(ErrorKind::Invalid, message));
        }
        let failed =
            |error| StoreError::caused(ErrorKind::Invalid, format!("the S3 endpoint can't bind {bind}"), error);
        let listener = TcpListener::bind(bind).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut builder = S3ServiceBuilder::new(Service::new(disk, queue, fresh));
        builder.set_auth(SimpleAuth::from_single(credentials.access_key.clone(), credentials.secret_key.clone()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, builder.build(), stopped));
        Ok(Self { address, stop, task })
    }

    /// Takes no more connections, and waits a little for requests under way.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, service: s3s::service::S3Service, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop_of(&mut stopped) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the S3 endpoint can't accept a connection");
                // out of descriptors, most likely: some come back
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (service, mut stopped) = (service.clone(), stopped.clone());
        tokio::spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                served = connection.as_mut() => Some(served),
                () = stop_of(&mut stopped) => None,
            };
            let served = match ended {
                Some(served) => served,
                None => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(error, "a connection to the S3 endpoint broke off");
            }
            drop(permit);
        });
    }
    drop(listener);
    // all permits back: all connections closed
    let _ = tokio::time::timeout(STOP_TIME, room.acquire_many(MAX_CONNECTIONS as u32)).await;
}

/// Returns when the endpoint is to stop, or is gone.
async fn stop_of(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The SDK's client for an endpoint on this machine.
pub(super) fn client(address: SocketAddr, credentials: &LocalCredentials) -> aws_sdk_s3::Client {
    let LocalCredentials { access_key, secret_key } = credentials;
    let keys = Credentials::new(access_key, secret_key, None, None, "skycap local");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(keys)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
