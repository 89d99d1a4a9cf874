//! `GET /api/cameras/{camera}/stream?from_us=&to_us=`: frames one after the other, as fast as they are read, from then on; without an end it goes on
//! with what is recorded. Not for when each is to be shown: whoever watches knows that.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use framelog_core::frame::Codec;
use framelog_store::query::FrameRow;
use framelog_store::{Error, Reader, wall};
use futures_util::stream;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::spawn_blocking;

use super::room::STREAMS_MAX;
use super::{Footage, asked, unreadable};
use crate::footage::decoding_order;
use crate::footage::follow::Follower;
use crate::footage::stream::Stream;
use crate::web::answer::{Refusal, picture};

/// How often the index is asked for new rows; they are committed within a second.
const POLL: Duration = Duration::from_millis(200);

/// So long after a time its last frame is in the index, microseconds.
const LATE_US: i64 = 2_000_000;

/// From when to when.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    from_us: Option<i64>,
    to_us: Option<i64>,
}

/// A frame's bytes, and the frame.
type Piece = (FrameRow, Bytes);

/// The answer comes with the first frame: only then is known what it is.
pub async fn get(
    State(footage): State<Footage>,
    Path(camera): Path<String>,
    query: Result<Query<Span>, QueryRejection>,
) -> Result<Response, Refusal> {
    let span = asked(query)?;
    let reader = footage.of(&camera).await?;
    let Some(seat) = footage.room.stream() else {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "{STREAMS_MAX} streams are being watched, which is as many as can be: close one"
            ),
        ));
    };
    // One frame is on its way while the next is read.
    let (pieces, mut received) = mpsc::channel(1);
    let runtime = Handle::current();
    spawn_blocking(move || {
        let _seat = seat;
        runtime.block_on(async {
            let watched = async {
                let mut watching = Watching::begin(footage, reader, &camera, span).await?;
                watching.send_all(&pieces).await
            };
            if let Err(error) = watched.await {
                // Who watches may have gone.
                let _ = pieces.send(Err(error)).await;
            }
        });
    });
    let (row, first) = match received.recv().await {
        None => {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "there is no footage of it then",
            ));
        }
        Some(first) => first.map_err(unreadable)?,
    };
    let kind = match row.codec {
        Codec::Mjpeg => "multipart/x-mixed-replace; boundary=framelog",
        Codec::H264 | Codec::H265 => "video/mp4",
    };
    let pieces = stream::unfold((Some(first), received), async |(first, mut received)| {
        let next = match first {
            Some(first) => Ok(first),
            None => received.recv().await?.map(|(_, bytes)| bytes),
        };
        Some((next, (None, received)))
    });
    Ok(picture(kind, &row, Body::from_stream(pieces)))
}

/// One who watches.
struct Watching {
    footage: Footage,
    reader: Reader,
    follower: Follower,
    stream: Stream,
    to_us: i64,
}

impl Watching {
    /// Begins with the first frame of the span, or with the newest of all; where pictures depend on others, with the keyframe before.
    async fn begin(
        footage: Footage,
        reader: Reader,
        camera: &str,
        span: Span,
    ) -> Result<Self, Error> {
        let to_us = span.to_us.unwrap_or(i64::MAX);
        let first = match span.from_us {
            Some(from_us) => reader.frames(camera, from_us, to_us, None, 1)?.pop(),
            None => reader.nearest(camera, i64::MAX)?,
        };
        let follower = match first {
            Some(mut first) => {
                if !first.keyframe {
                    let needed = decoding_order::up_to(&reader, &first).await?;
                    first = needed.into_iter().next().unwrap_or(first);
                }
                Follower::from(&reader, camera, first.captured_us).await?
            }
            None => Follower::behind_newest(&reader, camera).await?,
        };
        let stream = Stream::for_browsers();
        Ok(Self {
            footage,
            reader,
            follower,
            stream,
            to_us,
        })
    }

    /// Sends until the span is over, what comes doesn't go with what was sent, or nobody wants more.
    async fn send_all(&mut self, pieces: &Sender<Result<Piece, Error>>) -> Result<(), Error> {
        while !pieces.is_closed() && self.is_there() {
            let was_over = wall::now_us().saturating_sub(LATE_US) >= self.to_us;
            let mut got_any = false;
            for segment in self.follower.segments(&self.reader).await? {
                let frames = self.follower.new_frames(&self.reader, &segment)?;
                for frame in before(frames, self.to_us) {
                    if !self.follower.pass(&frame) {
                        continue;
                    }
                    got_any = true;
                    if !self.send(frame, pieces).await {
                        return Ok(());
                    }
                }
            }
            if !got_any && was_over {
                return Ok(());
            }
            if !got_any {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Whether the index is still what is recorded to. A disk that was taken away must not be held.
    fn is_there(&self) -> bool {
        let is_replaced = self.reader.is_replaced() || self.reader.is_gone();
        !is_replaced && self.footage.status.no_storage().is_none()
    }

    /// Whether more may follow.
    async fn send(&mut self, frame: FrameRow, pieces: &Sender<Result<Piece, Error>>) -> bool {
        let room = tokio::select! {
            room = self.footage.room.take(frame.length) => room,
            () = pieces.closed() => return false,
        };
        match self.stream.next(&self.reader, &frame) {
            Ok(Some(bytes)) if bytes.is_empty() => true,
            Ok(Some(bytes)) => pieces.send(Ok((frame, room.by(bytes)))).await.is_ok(),
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(camera = %frame.camera, %error, "a frame could not be shown");
                true
            }
        }
    }
}

/// Those of a segment's frames that are shown before then, in the order in which they were stored, and those that they need.
fn before(mut frames: Vec<FrameRow>, to_us: i64) -> Vec<FrameRow> {
    let is_before = |frame: &FrameRow| frame.captured_us < to_us;
    let end = frames
        .iter()
        .rposition(is_before)
        .map_or(0, |last| last + 1);
    frames.truncate(end);
    frames.retain(|frame| frame.codec != Codec::Mjpeg || is_before(frame));
    frames
}
