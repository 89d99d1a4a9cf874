//! `POST /api/reload`: reads the configuration file again, and says what that changed. What is applied is the file on this machine, never what
//! is sent.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::oneshot;

use super::answer::{json, text};
use crate::reload::Requests;

/// Cameras that changed say good-bye first, and that takes some seconds.
const TIMEOUT: Duration = Duration::from_secs(45);

/// The outcome, good or bad, with 200. 503 if nobody here reads a file, or too many ask at once.
pub async fn post(State(requests): State<Requests>, headers: HeaderMap) -> Response {
    // Browsers send it with every POST: a page from anywhere must not reach the recorder through one.
    if headers.contains_key(ORIGIN) {
        return text(StatusCode::FORBIDDEN, "not for web pages\n");
    }
    let (answer, answered) = oneshot::channel();
    if requests.try_send(answer).is_err() {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "can't reload now; try again\n",
        );
    }
    match tokio::time::timeout(TIMEOUT, answered).await {
        Ok(Ok(reload)) => json(StatusCode::OK, &reload),
        Ok(Err(_)) => text(StatusCode::SERVICE_UNAVAILABLE, "framelog is stopping\n"),
        Err(_) => text(
            StatusCode::GATEWAY_TIMEOUT,
            "not applied yet; the log says when it is\n",
        ),
    }
}
