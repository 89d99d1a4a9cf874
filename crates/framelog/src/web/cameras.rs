//! `GET /api/cameras/{camera}/…`: what there is of a camera, a file below for each path. Times are microseconds since the Unix epoch, UTC. Not for
//! whether it is recorded now: that is `status`.

use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::routing::get;
use framelog_store::{Error, Reader};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::answer::Refusal;
use crate::status::Status;
use room::Room;

mod footage;
mod frame;
mod frames;
mod room;
mod stream;

/// The recorder's footage, for those who ask.
#[derive(Clone, Debug)]
struct Footage {
    status: Arc<Status>,
    room: Room,
}

/// The paths of all cameras.
pub fn routes<S>(status: Arc<Status>) -> Router<S> {
    Router::new()
        .route("/api/cameras/{camera}/footage", get(footage::get))
        .route("/api/cameras/{camera}/frame", get(frame::get))
        .route("/api/cameras/{camera}/frames", get(frames::get))
        .route("/api/cameras/{camera}/stream", get(stream::get))
        .with_state(Footage {
            status,
            room: Room::default(),
        })
}

impl Footage {
    /// The index, if there is a storage directory and the camera is in it. Opened for each who asks: a disk that is taken away must not be held.
    async fn of(&self, camera: &str) -> Result<Reader, Refusal> {
        let unavailable = |why: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why);
        if let Some(no_storage) = self.status.no_storage() {
            return Err(unavailable(&no_storage.why));
        }
        let Some(recorder) = self.status.recorder() else {
            return Err(unavailable(
                "starting: the storage directory is being opened",
            ));
        };
        let reader = Reader::open(&recorder.path).await.map_err(unreadable)?;
        let cameras = reader.cameras().await.map_err(unreadable)?;
        if cameras.iter().any(|known| known == camera) {
            return Ok(reader);
        }
        Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "no such camera: /api/status lists those that are recorded",
        ))
    }
}

/// What was asked for, if that can be understood.
fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    let understood = query.map(|Query(asked)| asked);
    understood.map_err(|error| {
        let why = error.body_text();
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("{why}; times are microseconds since 1970, UTC"),
        )
    })
}

/// Runs what reads the disk where nobody waits for it.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let runtime = Handle::current();
    let done = spawn_blocking(move || runtime.block_on(work)).await;
    let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
    done.map_err(failed)?
}

/// Footage or index can't be read: for this moment, or until a person has looked.
fn unreadable(error: Error) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
