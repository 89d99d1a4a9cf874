//! A source: an open connection to one camera, as a stream of timed payloads. It connects, authenticates and reads; it never retries.

use std::time::Duration;

use framelog_core::frame::Payload;
use framelog_core::gap::GapReason;
use framelog_core::header::Headers;
use framelog_core::multipart::Skipped;
use framelog_core::timestamp::Stamp;

mod auth;
mod body;
mod buffers;
mod dial;
mod exchange;
pub mod http;
pub mod memory;
mod mend;
mod quote;
mod reading;
mod request;
mod tls;

/// Why a connection could not be made, or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// For the gap row and the log.
    pub reason: GapReason,
    /// In words: what, where, what to do. No credentials, control characters escaped.
    pub detail: String,
    /// The camera's own wish (Retry-After), unbounded; the supervisor bounds it.
    pub retry_after: Option<Duration>,
}

/// A picture as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Byte for byte.
    pub payload: Payload,
    /// The header lines that came before it in the body; empty if there were none.
    pub headers: Headers,
    /// What its headers say about when it was taken.
    pub stamp: Stamp,
    /// When its last byte arrived, microseconds since the Unix epoch.
    pub received_us: i64,
    /// Whether the JPEG has its end.
    pub complete: bool,
}

/// What a source gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// A picture to store.
    Picture(Picture),
    /// A part that is none, to be counted.
    Skipped(Skipped),
}
