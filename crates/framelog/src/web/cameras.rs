//! `GET /api/cameras/{camera}/…`: what there is of a camera, a file below for each path. Times are microseconds since the Unix epoch, UTC. Not for
//! whether it is recorded now: that is `status`.

use axum::Router;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::get;
use framelog_store::Reader;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Refusal;
use super::index::{Index, unreadable};

mod footage;
mod frame;
mod frames;
mod stream;

/// The paths of all cameras.
pub fn routes<S>(index: Index) -> Router<S> {
    Router::new()
        .route("/api/cameras/{camera}/footage", get(footage::get))
        .route("/api/cameras/{camera}/frame", get(frame::get))
        .route("/api/cameras/{camera}/frames", get(frames::get))
        .route("/api/cameras/{camera}/stream", get(stream::get))
        .with_state(index)
}

/// A span of time, from then to before then; without an end it reaches as far as there is something.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    from_us: Option<i64>,
    to_us: Option<i64>,
}

impl Span {
    fn bounds(self) -> (i64, i64) {
        (
            self.from_us.unwrap_or(i64::MIN),
            self.to_us.unwrap_or(i64::MAX),
        )
    }
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

/// Makes sure that the index knows the camera.
async fn require(reader: &Reader, camera: &str) -> Result<(), Refusal> {
    match reader.knows(camera).await.map_err(unreadable)? {
        true => Ok(()),
        false => Err(no_such_camera()),
    }
}

fn no_such_camera() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "no such camera: /api/status lists those that are recorded",
    )
}
