//! A source: an open connection to one camera, as a stream of timed payloads. It connects, authenticates and reads; it never retries.

use std::sync::Arc;
use std::time::Duration;

use framelog_core::frame::{Codec, Parameters, Payload};
use framelog_core::gap::GapReason;
use framelog_core::header::Headers;
use framelog_core::multipart::Skipped;
use framelog_core::timestamp::Stamp;

use crate::config::Camera;
use http::{HeadFacts, HttpSource};
use memory::Memory;
use rtsp::RtspSource;

mod auth;
mod body;
mod buffers;
mod chunk_layer;
pub mod dial;
mod exchange;
pub mod http;
mod login;
pub mod memory;
mod mend;
mod quote;
mod reading;
mod request;
pub mod rtsp;
mod tls;
mod verdict;

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

impl Ended {
    /// Of a camera that has no wish.
    pub fn new(reason: GapReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            retry_after: None,
        }
    }
}

/// A picture as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// As in a [`Frame`](framelog_core::frame::Frame).
    pub payload: Payload,
    /// How it is coded. Constant while a connection lasts.
    pub codec: Codec,
    /// Whether it can be shown without another. Always true for JPEG.
    pub keyframe: bool,
    /// What decoding it needs, where that is not in it.
    pub parameters: Option<Arc<Parameters>>,
    /// The header lines that came before it in the body; empty if there were none.
    pub headers: Headers,
    /// What came with it about when it was taken.
    pub stamp: Stamp,
    /// When its last byte arrived, microseconds since the Unix epoch.
    pub received_us: i64,
    /// Whether it is whole.
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

/// An open connection to one camera, by whichever protocol its URL names.
#[derive(Debug)]
pub enum Source {
    /// `http://` and `https://`.
    Http(Box<HttpSource>),
    /// `rtsp://` and `rtsps://`.
    Rtsp(Box<RtspSource>),
}

impl Source {
    /// Connects, authenticates, and has the camera begin. What there is of a connection is in `open` all the time, so that a caller who
    /// drops this future, or has an error of it, can still [`close`](Self::close) it.
    ///
    /// As with all that is done seldom, what it works with is in a box of its own: a camera's task is as large as the largest of what it does,
    /// for as long as it runs, and what it does for each frame is little.
    ///
    /// # Errors
    ///
    /// Why there is no stream to read.
    pub async fn open<'o>(
        open: &'o mut Option<Self>,
        camera: &Camera,
        memory: &mut Memory,
    ) -> Result<&'o mut Self, Ended> {
        if !camera.url.scheme.is_rtsp() {
            let source = Box::pin(HttpSource::connect(camera, memory)).await?;
            return Ok(open.insert(Self::Http(Box::new(source))));
        }
        let source = open.insert(Self::Rtsp(Box::new(RtspSource::new(camera))));
        if let Self::Rtsp(rtsp) = source {
            Box::pin(rtsp.connect(memory)).await?;
        }
        Ok(source)
    }

    /// Waits for the next deliveries and appends them, in order. On `Err`, deliveries made before the end are in `out` too.
    /// Returns with nothing appended now and then. No picture is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Why the connection ended or is to be ended.
    pub async fn next(
        &mut self,
        memory: &mut Memory,
        out: &mut Vec<Delivery>,
    ) -> Result<(), Ended> {
        match self {
            Self::Http(http) => http.next(memory, out).await,
            Self::Rtsp(rtsp) => rtsp.next(memory, out).await,
        }
    }

    /// Whether much of what comes is an answer: each snapshot is, and over RTSP both sides ask. There times go by arrivals too, at the latest
    /// until a sender report comes, and the kernel keeps few datagrams.
    pub fn asks_often(&self) -> bool {
        match self {
            Self::Http(http) => http.is_polled(),
            Self::Rtsp(_) => true,
        }
    }

    /// Whether each picture is asked for by itself, so that one bad answer says nothing of the next.
    pub fn is_polled(&self) -> bool {
        match self {
            Self::Http(http) => http.is_polled(),
            Self::Rtsp(_) => false,
        }
    }

    /// Whether a picture has begun whose end only what follows will tell.
    pub fn seeks_end(&self) -> bool {
        match self {
            Self::Http(http) => http.seeks_end(),
            Self::Rtsp(_) => false,
        }
    }

    /// Whether pictures come, and none yet that can be shown: the first keyframe has still to come.
    pub fn awaits_keyframe(&self) -> bool {
        match self {
            Self::Http(_) => false,
            Self::Rtsp(rtsp) => rtsp.awaits_keyframe(),
        }
    }

    /// How many bytes have been read of the camera's response; 0 over RTSP, where nobody needs it.
    pub fn received(&self) -> u64 {
        match self {
            Self::Http(http) => http.received(),
            Self::Rtsp(_) => 0,
        }
    }

    /// How much memory the system has at present for what comes and is not read, bytes, as far as that is known; `None` over RTSP, where nobody
    /// needs it.
    pub fn receive_buffer(&self) -> Option<u64> {
        match self {
            Self::Http(http) => http.receive_buffer(),
            Self::Rtsp(_) => None,
        }
    }

    /// What the camera has said of the stream; `None` before it has.
    pub fn facts(&self) -> Option<Facts<'_>> {
        match self {
            Self::Http(http) => Some(Facts::Http(http.head())),
            Self::Rtsp(rtsp) => rtsp.facts().map(Facts::Rtsp),
        }
    }

    /// Appends a picture that is whole, though what would confirm that has not come.
    pub fn settle(&mut self, out: &mut Vec<Delivery>) {
        match self {
            Self::Http(http) => http.settle(out),
            Self::Rtsp(rtsp) => rtsp.settle(out),
        }
    }

    /// Ends it in the camera's own way. Over HTTP that is to drop it.
    pub async fn close(&mut self, memory: &mut Memory) {
        match self {
            Self::Http(_) => {}
            Self::Rtsp(rtsp) => Box::pin(rtsp.close(memory)).await,
        }
    }
}

/// What a camera says of its stream, for people.
#[derive(Clone, Copy, Debug)]
pub enum Facts<'a> {
    /// The head of its last response.
    Http(&'a HeadFacts),
    /// What was agreed on.
    Rtsp(&'a rtsp::Facts),
}
