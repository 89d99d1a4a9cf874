//! `GET /api/cameras/{camera}/frames?from_us=&to_us=`: when each frame of a span was taken, and what it is. Not for pictures.

use axum::extract::State;
use axum::response::Response;
use framelog_store::query::FrameRow;
use serde::Serialize;

use super::{Asked, Span, require};
use crate::web::answer::Refusal;
use crate::web::index::{Index, unreadable};

/// So many are told at once: a camera's frames of some minutes.
const FRAMES_MAX: u32 = 10_000;

#[derive(Debug, Serialize)]
struct Told {
    camera: String,
    frames: Vec<Frame>,
    /// There are more behind these.
    more: bool,
}

#[derive(Debug, Serialize)]
struct Frame {
    captured_us: i64,
    received_us: i64,
    clock: &'static str,
    codec: &'static str,
    keyframe: bool,
    complete: bool,
    bytes: u64,
}

/// Those captured from `from_us` to before `to_us`, in that order. Where there are more, all of the last one's time are among these.
pub async fn get(
    State(index): State<Index>,
    Asked { camera, query }: Asked<Span>,
) -> Result<Response, Refusal> {
    let (from_us, to_us) = query.bounds();
    let room = index.room.clone();
    let told = index.read(async move |reader| {
        require(&reader, &camera).await?;
        let found = reader.frames(&camera, from_us, to_us, None, FRAMES_MAX + 1);
        let mut rows = found.map_err(unreadable)?;
        let more = rows.len() > FRAMES_MAX as usize;
        if more && let Some(next) = rows.pop() {
            // Who goes on behind the last time misses none.
            let before = rows.partition_point(|row| row.captured_us < next.captured_us);
            rows.truncate(if before > 0 { before } else { rows.len() });
        }
        let told = Told {
            frames: rows.iter().map(Frame::from).collect(),
            camera,
            more,
        };
        room.json(&told).await
    });
    told.await
}

impl From<&FrameRow> for Frame {
    fn from(row: &FrameRow) -> Self {
        Self {
            captured_us: row.captured_us,
            received_us: row.received_us,
            clock: row.clock.name(),
            codec: row.codec.name(),
            keyframe: row.keyframe,
            complete: row.complete,
            bytes: row.length,
        }
    }
}
