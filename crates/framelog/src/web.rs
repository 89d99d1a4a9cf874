//! The daemon's own web server: `GET /healthz`, for programs that watch the recorder, and `GET /api/status`, for those that want to know
//! more. Sees the status, never a camera's task.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use framelog_store::query::KeptRow;
use framelog_store::{Reader, wall};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::report::{Report, StorageState};
use crate::status::{Snapshot, Status};

/// So many connections at a time; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// A request's head must be here within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection lasts no longer than this, whatever it does.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// What is kept is told only if the index says it within this.
const KEPT_TIMEOUT: Duration = Duration::from_secs(1);

/// After a failure to accept (too many open files), wait so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// The system's: the port is taken, not allowed, or the address isn't this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped; then all its connections are closed.
    pub async fn serve(self, status: Arc<Status>) -> Infallible {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                std::future::pending().await
            };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let status = Arc::clone(&status);
                    connections.spawn(async move {
                        let _slot = slot;
                        // Whoever is slow or breaks off has only harmed himself.
                        let _ =
                            tokio::time::timeout(CONNECTION_TIMEOUT, answer_all(stream, status))
                                .await;
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

async fn answer_all(stream: TcpStream, status: Arc<Status>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let status = Arc::clone(&status);
        async move {
            let response = answer(request.method(), request.uri().path(), &status).await;
            Ok::<_, Infallible>(response)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(method: &Method, path: &str, status: &Status) -> Response<Full<Bytes>> {
    if !matches!(path, "/healthz" | "/api/status") {
        return text(
            StatusCode::NOT_FOUND,
            "not found; ask for /healthz or /api/status\n",
        );
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/healthz" => answer_health(status),
        _ => answer_status(status).await,
    }
}

fn answer_health(status: &Status) -> Response<Full<Bytes>> {
    let snapshots = status.snapshots(Instant::now());
    let no_storage = status.no_storage().map(|no_storage| no_storage.why);
    let health = Health::of(&snapshots, no_storage);
    let code = match health.is_well() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(code, &health)
}

async fn answer_status(status: &Status) -> Response<Full<Bytes>> {
    let Some(mut report) = Report::live(status) else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting: the storage directory is being opened\n",
        );
    };
    if report.storage.state != StorageState::Gone {
        // A disk that hangs is what one asks about: the rest is told without it.
        let kept = tokio::time::timeout(KEPT_TIMEOUT, kept(&report.storage.path)).await;
        if let (Ok(Some(kept)), Some((_, rules))) = (kept, status.limits()) {
            report.add_kept(&kept, &rules, wall::now_us());
        }
    }
    json(StatusCode::OK, &report)
}

/// What the index says of the footage that is kept, if it can be read.
async fn kept(storage: &Path) -> Option<Vec<KeptRow>> {
    let reader = Reader::open(storage).await.ok()?;
    reader.kept().await.ok()
}

fn json(code: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(value) {
        Ok(json) => respond(code, "application/json", json + "\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
    }
}

fn text(code: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(code, "text/plain; charset=utf-8", body.to_owned())
}

fn respond(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What `/healthz` says.
#[derive(Debug, PartialEq, Serialize)]
struct Health<'s> {
    /// `ok` or `failing`.
    status: &'static str,
    /// How many cameras should record.
    cameras: usize,
    /// Those that don't.
    failing: Vec<Failing<'s>>,
    /// Those that do, and send the same again and again: to be looked at, no failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frozen: Vec<Frozen<'s>>,
    /// Why none of them does: the storage is not there, or can't be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<String>,
}

/// A camera that should record and doesn't.
#[derive(Debug, PartialEq, Serialize)]
struct Failing<'s> {
    camera: &'s str,
    reason: &'static str,
    detail: &'s str,
    /// Since its last frame, or since it was started if there is none yet.
    silent_s: u64,
}

/// A camera whose frames are stored, and are all the same.
#[derive(Debug, PartialEq, Serialize)]
struct Frozen<'s> {
    camera: &'s str,
    /// `picture` or `stamp`.
    what: &'static str,
    /// Since when, microseconds since the Unix epoch.
    since_us: i64,
}

impl<'s> Health<'s> {
    fn of(snapshots: &'s [Snapshot], no_storage: Option<String>) -> Self {
        let failing: Vec<_> = snapshots
            .iter()
            .filter(|camera| camera.is_failing())
            .map(Failing::of)
            .collect();
        let is_well = failing.is_empty() && no_storage.is_none();
        Self {
            status: if is_well { "ok" } else { "failing" },
            cameras: snapshots.iter().filter(|camera| camera.enabled).count(),
            failing,
            frozen: snapshots.iter().filter_map(Frozen::of).collect(),
            storage: no_storage,
        }
    }

    fn is_well(&self) -> bool {
        self.failing.is_empty() && self.storage.is_none()
    }
}

impl<'s> Frozen<'s> {
    fn of(camera: &'s Snapshot) -> Option<Self> {
        let (what, since_us) = camera
            .still
            .filter(|_| camera.enabled && camera.missing().is_none())?;
        Some(Self {
            camera: &camera.name,
            what: what.name(),
            since_us,
        })
    }
}

impl<'s> Failing<'s> {
    fn of(camera: &'s Snapshot) -> Self {
        let (reason, detail) = camera
            .missing()
            .map_or(("", ""), |(reason, detail)| (reason.name(), detail));
        Self {
            camera: &camera.name,
            reason,
            detail,
            silent_s: camera.silent_for.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use framelog_core::gap::GapReason;

    use super::*;
    use crate::status::{Counts, Gap, NoStorage, Reason, Recorder};
    use framelog_store::{Counters, Still};

    fn camera(name: &str, enabled: bool, silent_s: u64, gap: Option<GapReason>) -> Snapshot {
        Snapshot {
            name: name.to_owned(),
            enabled,
            gap: gap.map(|reason| Gap {
                reason: reason.into(),
                detail: "say \"hi\"".to_owned(),
            }),
            silent_for: Duration::from_secs(silent_s),
            silence_max: Duration::from_secs(15),
            is_configured: true,
            since_us: 0,
            counts: Counts::default(),
            stored: Counters::default(),
            last_captured_us: None,
            skew_us: None,
            still: None,
            losing: None,
        }
    }

    fn health(snapshots: &[Snapshot]) -> String {
        serde_json::to_string(&Health::of(snapshots, None)).unwrap()
    }

    #[test]
    fn all_is_well_when_every_enabled_camera_has_stored_a_frame_of_late() {
        let snapshots = [
            camera("gate", true, 1, None),
            camera("new", true, 15, Some(GapReason::Starting)),
            camera("off", false, 9_999, Some(GapReason::Disabled)),
        ];
        assert_eq!(
            health(&snapshots),
            r#"{"status":"ok","cameras":2,"failing":[]}"#
        );
    }

    #[test]
    fn camera_that_does_not_record_is_listed_with_its_reason() {
        let snapshots = [
            camera("a", true, 16, Some(GapReason::Unreachable)),
            camera("b", true, 20, None),
        ];
        assert_eq!(
            health(&snapshots),
            concat!(
                r#"{"status":"failing","cameras":2,"failing":["#,
                r#"{"camera":"a","reason":"unreachable","detail":"say \"hi\"","silent_s":16},"#,
                r#"{"camera":"b","reason":"disk_slow","detail":"no frame has reached the disk","silent_s":20}]}"#
            )
        );
    }

    #[test]
    fn a_frozen_camera_is_listed_and_no_failure() {
        let frozen = |name: &str, enabled, gap| Snapshot {
            still: Some((Still::Picture, 7)),
            ..camera(name, enabled, 1, gap)
        };
        let snapshots = [
            frozen("still", true, None),
            frozen("lost", true, Some(GapReason::Disconnected)),
            frozen("off", false, Some(GapReason::Disabled)),
        ];
        assert_eq!(
            health(&snapshots),
            concat!(
                r#"{"status":"ok","cameras":2,"failing":[],"#,
                r#""frozen":[{"camera":"still","what":"picture","since_us":7}]}"#
            )
        );
    }

    #[tokio::test]
    async fn storage_that_is_not_there_is_told_without_any_camera() {
        let status = Status::default();
        let why = "/srv is not mounted".to_owned();
        status.set_no_storage(Some(NoStorage {
            why: why.clone(),
            reason: Reason::NoStorage,
        }));
        let response = answer(&Method::GET, "/healthz", &status).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            serde_json::to_string(&Health::of(&[], Some(why))).unwrap(),
            r#"{"status":"failing","cameras":0,"failing":[],"storage":"/srv is not mounted"}"#
        );
    }

    #[tokio::test]
    async fn only_what_there_is_is_answered() {
        let status = Status::default();
        let code = async |method: &Method, path: &str| {
            let response = answer(method, path, &status).await;
            response.status().as_u16()
        };
        assert_eq!(code(&Method::GET, "/healthz").await, 200);
        assert_eq!(code(&Method::HEAD, "/healthz").await, 200);
        assert_eq!(code(&Method::POST, "/healthz").await, 405);
        assert_eq!(
            code(&Method::GET, "/api/status").await,
            503,
            "nothing is open"
        );
        status.opened(Recorder {
            uuid: String::new(),
            path: "/p".into(),
            since_us: 0,
        });
        assert_eq!(code(&Method::GET, "/api/status").await, 200);
        assert_eq!(code(&Method::POST, "/api/status").await, 405);
        assert_eq!(code(&Method::GET, "/").await, 404);
        assert_eq!(code(&Method::GET, "/healthz/..").await, 404);
    }

    #[tokio::test]
    async fn a_real_client_gets_an_answer_on_a_free_port() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address();
        let serving = tokio::spawn(server.serve(Arc::default()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.0 200 OK\r\n"), "{response}");
        assert!(
            response.ends_with("{\"status\":\"ok\",\"cameras\":0,\"failing\":[]}\n"),
            "{response}"
        );
        serving.abort();
    }
}
