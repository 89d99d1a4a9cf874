//! `GET /api/cameras/{camera}/…`: what there is of a camera, a file below for each path. Times are microseconds since the Unix epoch, UTC. Not for
//! whether it is recorded now: that is `status`.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::get;
use framelog_store::{Error, Reader};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::answer::Refusal;
use crate::footage::watchers::Watcher;
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

/// What is asked for: a camera, and what of it.
struct Asked<T> {
    camera: String,
    query: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Ok(Path(camera)) = Path::from_request_parts(parts, state).await else {
            return Err(no_such_camera());
        };
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self { camera, query }),
            Err(error) => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "{}; times are microseconds since 1970, UTC",
                    // It says what was sent.
                    error.body_text().replace(char::is_control, " ")
                ),
            )),
        }
    }
}

impl Footage {
    /// Where footage is now, and that somebody reads it.
    fn enter(&self) -> Result<(PathBuf, Watcher), Refusal> {
        if let Some(no_storage) = self.status.no_storage() {
            return Err(unavailable(no_storage.why));
        }
        let Some(recorder) = self.status.recorder() else {
            return Err(unavailable(
                "starting: the storage directory is being opened",
            ));
        };
        let watcher = recorder.watchers.enter().ok_or_else(closing)?;
        Ok((recorder.path, watcher))
    }

    /// Does some work with the index, where nobody waits for the disk. It ends early when who asked has gone, or the store closes.
    async fn read<T: Send + 'static, W: Future<Output = Result<T, Refusal>>>(
        &self,
        camera: String,
        work: impl FnOnce(Reader, String) -> W + Send + 'static,
    ) -> Result<T, Refusal> {
        let (path, watcher) = self.enter()?;
        let seat = tokio::select! {
            seat = self.room.reader() => seat,
            () = watcher.ending() => return Err(closing()),
        };
        let Some(seat) = seat else {
            return Err(unavailable(
                "the disk or the network is too slow for all that is asked; ask again",
            ));
        };
        let gone = CancellationToken::new();
        let _asking = gone.clone().drop_guard();
        let runtime = Handle::current();
        let reading = spawn_blocking(move || {
            let _seat = seat;
            runtime.block_on(read(path, watcher, camera, work, gone.cancelled()))
        });
        let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
        reading.await.map_err(failed)?
    }
}

/// Opens the index for some work, and closes it. Blocking. Opened for each who asks: a disk that is taken away must not be held.
async fn read<T, W: Future<Output = Result<T, Refusal>>>(
    path: PathBuf,
    watcher: Watcher,
    camera: String,
    work: impl FnOnce(Reader, String) -> W,
    gone: impl Future<Output = ()>,
) -> Result<T, Refusal> {
    let reader = Reader::open(&path).await.map_err(unreadable)?;
    let reading = async {
        let cameras = reader.cameras().await.map_err(unreadable)?;
        match cameras.contains(&camera) {
            true => work(reader.clone(), camera).await,
            false => Err(no_such_camera()),
        }
    };
    let done = tokio::select! {
        done = reading => done,
        () = watcher.ending() => Err(closing()),
        () = gone => Err(unavailable("nobody asks any more")),
    };
    reader.close().await;
    done
}

fn no_such_camera() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no such camera: /api/status lists those that are recorded",
    )
}

/// Not now; it may be later.
fn unavailable(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn closing() -> Refusal {
    unavailable("the recorder stops, or its storage directory has gone")
}

/// The index can't be read for this moment, or a frame's file is not as it was written, which only a person can mend.
fn unreadable(error: Error) -> Refusal {
    let code = match error {
        Error::Damaged { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(code, error.to_string())
}
