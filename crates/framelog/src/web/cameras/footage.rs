//! `GET /api/cameras/{camera}/footage?from_us=&to_us=`: from when to when there is footage, where there are gaps, and what was removed. Not for
//! single frames.

use axum::extract::State;
use axum::response::Response;
use framelog_store::query::{GapRow, RemovalRow, StretchRow};
use serde::{Deserialize, Serialize};

use super::{Asked, Footage, unreadable};
use crate::footage::holes::holes;
use crate::web::answer::Refusal;

/// A span of time; all there is without.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    #[serde(default = "always")]
    from_us: i64,
    #[serde(default = "never")]
    to_us: i64,
}

fn always() -> i64 {
    i64::MIN
}

fn never() -> i64 {
    i64::MAX
}

#[derive(Debug, Serialize)]
struct Told {
    camera: String,
    footage: Vec<Stretch>,
    gaps: Vec<Gap>,
    removals: Vec<Removal>,
}

#[derive(Debug, Serialize)]
struct Stretch {
    started_us: i64,
    ended_us: i64,
    frames: u64,
    bytes: u64,
    files: u64,
    /// It grows.
    recording: bool,
}

#[derive(Debug, Serialize)]
struct Gap {
    started_us: i64,
    /// `null` while it lasts.
    ended_us: Option<i64>,
    reason: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Removal {
    started_us: i64,
    ended_us: i64,
    segments: i64,
    frames: i64,
    bytes: i64,
    rule: String,
    removed_us: i64,
}

/// All that overlaps the span, in order of start.
pub async fn get(
    State(footage): State<Footage>,
    Asked { camera, query }: Asked<Span>,
) -> Result<Response, Refusal> {
    let Span { from_us, to_us } = query;
    let room = footage.room.clone();
    let told = footage.read(camera, async move |reader, camera| {
        let only = Some(camera.as_str());
        let gaps = reader.gaps(only, from_us, to_us).await;
        let gaps = gaps.map_err(unreadable)?;
        let removals = reader.removals(only, from_us, to_us).await;
        let removals = removals.map_err(unreadable)?;
        let stretches = reader
            .stretches(&camera, from_us, to_us, &holes(&gaps, &removals))
            .await
            .map_err(unreadable)?;
        let told = Told {
            footage: stretches.into_iter().map(Stretch::from).collect(),
            gaps: gaps.into_iter().map(Gap::from).collect(),
            removals: removals.into_iter().map(Removal::from).collect(),
            camera,
        };
        room.json(&told).await
    });
    told.await
}

impl From<StretchRow> for Stretch {
    fn from(row: StretchRow) -> Self {
        Self {
            started_us: row.started_us,
            ended_us: row.ended_us,
            frames: row.frames,
            bytes: row.bytes,
            files: row.files,
            recording: row.open,
        }
    }
}

impl From<GapRow> for Gap {
    fn from(row: GapRow) -> Self {
        Self {
            started_us: row.started_us,
            ended_us: row.ended_us,
            reason: row.reason,
            detail: row.detail,
        }
    }
}

impl From<RemovalRow> for Removal {
    fn from(row: RemovalRow) -> Self {
        Self {
            started_us: row.started_us,
            ended_us: row.ended_us,
            segments: row.segments,
            frames: row.frames,
            bytes: row.bytes,
            rule: row.rule,
            removed_us: row.removed_us,
        }
    }
}
