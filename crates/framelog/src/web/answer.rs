//! What every answer looks like: its kind, and that nobody keeps a copy. Not for what it says.

use std::fmt;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use framelog_store::query::FrameRow;
use serde::Serialize;

/// The media type of an object.
pub const JSON: &str = "application/json";

/// One JSON object and a line end.
pub fn json(code: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => of_kind(code, JSON, json + "\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
    }
}

/// Words for a person.
pub fn text(code: StatusCode, body: &str) -> Response {
    of_kind(code, "text/plain; charset=utf-8", body.to_owned())
}

/// Why something that was asked for isn't answered: in one line, for a person.
#[derive(Debug)]
pub struct Refusal {
    code: StatusCode,
    why: String,
}

impl Refusal {
    /// With this status.
    pub fn new(code: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { code, why }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refusal {}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        text(self.code, &format!("{}\n", self.why))
    }
}

/// A picture, or a stream that begins with it, and what is known of that.
pub fn picture(kind: &'static str, row: &FrameRow, body: Body) -> Response {
    let number = |name, us: i64| (HeaderName::from_static(name), HeaderValue::from(us));
    let word = |name, word| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(word),
        )
    };
    let head = [
        number("x-captured-us", row.captured_us),
        number("x-received-us", row.received_us),
        word("x-clock", row.clock.name()),
        word("x-codec", row.codec.name()),
    ];
    (head, of_kind(StatusCode::OK, kind, body)).into_response()
}

/// Anything, with its media type, which is not to be guessed.
pub fn of_kind(code: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // Pages of other sites can't show it.
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    (code, head, body.into()).into_response()
}
