//! `GET /api/cameras/{camera}/stream?from_us=&to_us=`: frames one after the other, as fast as they are read, from then on; without an end it goes on
//! with what is recorded. Not for when each is to be shown: whoever watches knows that.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use framelog_core::frame::Codec;
use framelog_store::query::FrameRow;
use framelog_store::{Reader, wall};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::{spawn_blocking, yield_now};

use super::{Asked, Span, require};
use crate::footage::decoding_order::{self, SLACK_US};
use crate::footage::follow::{Follower, SEGMENTS_MAX};
use crate::footage::newest;
use crate::footage::stream::Stream;
use crate::web::answer::{Refusal, picture};
use crate::web::index::{self, Index, unavailable, unreadable};
use crate::web::room::{Room, STREAMS_MAX};

/// How often the index is asked for new rows; they are committed within a second.
const POLL: Duration = Duration::from_millis(200);

/// How often it is asked whether anything can come at all.
const LOOK: Duration = Duration::from_secs(5);

/// So long after a time its last frame is in the index at the latest, microseconds: some pictures are held for 2 s, and a disk may be as slow.
const LATE_US: i64 = 6_000_000;

/// A frame's bytes, and the frame.
type Piece = (FrameRow, Bytes);

/// Where they go. What is refused ends the stream.
type Pieces = Sender<Result<Piece, Refusal>>;

/// The answer comes with the first frame: only then is known what it is.
pub async fn get(
    State(index): State<Index>,
    Asked { camera, query }: Asked<Span>,
) -> Result<Response, Refusal> {
    let span = query;
    if let (Some(from_us), Some(to_us)) = (span.from_us, span.to_us)
        && from_us >= to_us
    {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "from_us is not before to_us",
        ));
    }
    let (path, watcher) = index.enter()?;
    let Some(seat) = index.room.stream() else {
        return Err(unavailable(format!(
            "{STREAMS_MAX} streams are being watched, which is as many as can be: close one"
        )));
    };
    // One frame is on its way while the next is read.
    let (pieces, mut received) = mpsc::channel(1);
    let (room, runtime) = (index.room, Handle::current());
    spawn_blocking(move || {
        let _seat = seat;
        let sends = pieces.clone();
        let watch = async move |reader| {
            require(&reader, &camera).await?;
            let mut watching = Watching::begin(reader, &camera, span, room).await?;
            watching.send_all(&camera, &sends).await
        };
        let watched = runtime.block_on(index::read(path, watcher, watch, pieces.closed()));
        if let Err(why) = watched {
            // Who watches may have gone.
            let _ = runtime.block_on(pieces.send(Err(why)));
        }
    });
    let Some(first) = received.recv().await else {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "there is no footage of it then",
        ));
    };
    let (row, first) = first?;
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
    reader: Reader,
    room: Room,
    follower: Follower,
    stream: Stream,
    to_us: i64,
    /// The latest capture time that was sent.
    sent_us: Option<i64>,
    /// Why a frame could not be sent.
    unread: Option<framelog_store::Error>,
}

impl Watching {
    /// Begins with the first frame of the span, or with the one that came last; where pictures depend on others, with the keyframe before.
    async fn begin(reader: Reader, camera: &str, span: Span, room: Room) -> Result<Self, Refusal> {
        let to_us = span.to_us.unwrap_or(i64::MAX);
        let follower = match span.from_us {
            Some(from_us) => from(&reader, camera, from_us, to_us).await,
            None => live(&reader, camera).await,
        };
        Ok(Self {
            follower: follower.map_err(unreadable)?,
            reader,
            room,
            stream: Stream::for_browsers(),
            to_us,
            sent_us: None,
            unread: None,
        })
    }

    /// Sends until the span is over, what comes doesn't go with what was sent, or nothing can come any more.
    async fn send_all(&mut self, camera: &str, pieces: &Pieces) -> Result<(), Refusal> {
        let mut looked = Instant::now();
        loop {
            let was_over = wall::now_us().saturating_sub(LATE_US) >= self.to_us;
            let segments = self.follower.segments(&self.reader).await;
            let segments = segments.map_err(unreadable)?;
            let mut got_any = false;
            for segment in &segments {
                if segment.started_us >= self.to_us {
                    self.follower.reach(segment);
                    continue;
                }
                loop {
                    let new = self.follower.new_frames(&self.reader, segment);
                    let new = new.map_err(unreadable)?;
                    let mut passed_any = false;
                    for frame in before(new.frames, self.to_us) {
                        passed_any = true;
                        if !self.follower.pass(&frame) {
                            continue;
                        }
                        got_any = true;
                        if !self.send(frame, pieces).await {
                            return Ok(());
                        }
                    }
                    // Without any, what follows is behind the end of the span.
                    if !new.more || !passed_any {
                        break;
                    }
                    // Where none was wanted nothing has been waited for yet.
                    yield_now().await;
                }
            }
            if got_any || segments.len() >= SEGMENTS_MAX as usize {
                continue;
            }
            if was_over {
                break;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let is_removed = self.reader.is_removed(camera).await;
                if self.reader.is_replaced() || is_removed.map_err(unreadable)? {
                    break;
                }
            }
            tokio::time::sleep(POLL).await;
        }
        match self.unread.take() {
            Some(error) if self.sent_us.is_none() => Err(unreadable(error)),
            _ => Ok(()),
        }
    }

    /// Whether more may follow. A film can't go back: one ends where the capture times do.
    async fn send(&mut self, frame: FrameRow, pieces: &Pieces) -> bool {
        let sent_us = self.sent_us.unwrap_or(frame.captured_us);
        if frame.codec != Codec::Mjpeg && frame.captured_us < sent_us.saturating_sub(SLACK_US) {
            return false;
        }
        let room = self.room.take(frame.length).await;
        match self.stream.next(&self.reader, &frame) {
            Ok(Some(bytes)) if bytes.is_empty() => true,
            Ok(Some(bytes)) => {
                self.sent_us = Some(sent_us.max(frame.captured_us));
                pieces.send(Ok((frame, room.by(bytes)))).await.is_ok()
            }
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(camera = %frame.camera, %error, "a frame could not be shown");
                self.unread = Some(error);
                true
            }
        }
    }
}

/// From the first frame of a span on, or, where there is none yet, from what comes.
async fn from(
    reader: &Reader,
    camera: &str,
    from_us: i64,
    to_us: i64,
) -> Result<Follower, framelog_store::Error> {
    let first = reader.frames(camera, from_us, to_us, None, 1)?.pop();
    match first.filter(|first| first.codec != Codec::Mjpeg) {
        // A film can't go back: what came earlier with a later time would end it.
        Some(first) => at(reader, &first).await,
        None => Follower::from(reader, camera, from_us).await,
    }
}

/// From this frame on, and those that it needs.
async fn at(reader: &Reader, frame: &FrameRow) -> Result<Follower, framelog_store::Error> {
    let needed = decoding_order::up_to(reader, frame).await?;
    Ok(Follower::at(needed.first().unwrap_or(frame)))
}

/// From the frame that came last on.
async fn live(reader: &Reader, camera: &str) -> Result<Follower, framelog_store::Error> {
    match newest::frame(reader, camera).await? {
        Some(newest) => at(reader, &newest).await,
        None => Follower::behind_newest(reader, camera).await,
    }
}

/// Those of a segment's frames that are shown before then, in the order in which they were stored, and those that they need.
fn before(mut frames: Vec<FrameRow>, to_us: i64) -> Vec<FrameRow> {
    let is_before = |frame: &FrameRow| frame.captured_us < to_us;
    let end = frames.iter().rposition(is_before);
    frames.truncate(end.map_or(0, |last| last + 1));
    frames.retain(|frame| frame.codec != Codec::Mjpeg || is_before(frame));
    frames
}
