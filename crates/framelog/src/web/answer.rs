//! What every answer looks like: its kind, and that nobody keeps a copy. Not for what it says.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

/// One JSON object and a line end.
pub fn json(code: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => of_kind(code, "application/json", json + "\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
    }
}

/// Words for a person.
pub fn text(code: StatusCode, body: &str) -> Response {
    of_kind(code, "text/plain; charset=utf-8", body.to_owned())
}

/// Anything, with its media type.
pub fn of_kind(code: StatusCode, kind: &'static str, body: String) -> Response {
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (code, head, body).into_response()
}
