//! The daemon's own web server: which path is answered by which file below, who may ask, and how long. Sees the status and the index, never a
//! camera's task.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;

use crate::config::secret::Password;
use crate::reload::Requests;
use crate::status::Status;
use index::Index;

mod answer;
mod cameras;
mod healthz;
mod host;
mod index;
mod metrics;
mod page;
mod reload;
mod room;
mod status;
mod token;

/// So many connections at a time; for a further one the oldest is closed, so that the slow keep nobody out.
const CONNECTIONS_MAX: usize = 64;

/// A request's head must be here within this, and the next one on the same connection too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Who takes nothing of an answer for so long has gone, or has stopped looking.
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes of a request's head.
const HEAD_MAX: usize = 16 << 10;

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

    /// Answers those who send the token, if there is one, until it is dropped; then all its connections are closed.
    pub async fn serve(
        self,
        status: Arc<Status>,
        token: Option<Password>,
        reloads: Requests,
    ) -> Infallible {
        let routes = routes(status, token, reloads);
        let mut connections = JoinSet::new();
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let accepted = self.listener.accept().await;
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            open.retain(|connection| !connection.is_finished());
            if open.len() >= CONNECTIONS_MAX
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            // Whoever is slow or breaks off has only harmed himself.
            let answering = answer_all(stream, &routes);
            open.push_back(connections.spawn(async { drop(answering.await) }));
        }
    }
}

fn answer_all(
    stream: TcpStream,
    routes: &Router,
) -> impl Future<Output = hyper::Result<()>> + use<> {
    // Who has vanished while nothing is said is noticed. A connection that can't be told so is as good.
    let _ = sockopt::set_socket_keepalive(&stream, true);
    let _ = sockopt::set_tcp_keepidle(&stream, TAKE_TIMEOUT);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(TAKE_TIMEOUT));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(routes.clone()),
        )
}

fn routes(status: Arc<Status>, token: Option<Password>, reloads: Requests) -> Router {
    let index = Index::of(Arc::clone(&status));
    let has_token = token.is_some();
    let token = middleware::from_fn_with_state(token.map(Arc::new), token::check);
    let host = middleware::from_fn_with_state(has_token, host::check);
    let for_those_who_may = Router::new()
        .merge(cameras::routes(index.clone()))
        .route(
            "/api/status",
            get(status::get).with_state((status.clone(), index)),
        )
        .route("/metrics", get(metrics::get))
        .route("/api/reload", post(reload::post).with_state(reloads))
        .route_layer(token)
        .route_layer(host);
    Router::new()
        .route("/healthz", get(healthz::get))
        .merge(page::routes())
        .merge(for_those_who_may)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(status)
}

async fn not_found() -> Response {
    answer::text(
        StatusCode::NOT_FOUND,
        "not found; there are / (a page to look at), /healthz, /api/status, /api/cameras/NAME/frame and /metrics\n",
    )
}

async fn not_allowed() -> Response {
    answer::text(
        StatusCode::METHOD_NOT_ALLOWED,
        "use the method that Allow names\n",
    )
}

#[cfg(test)]
mod tests;
