//! `GET /api/cameras/{camera}/footage?from_us=&to_us=`: from when to when there is footage, where there are gaps, and what was removed. Not for
//! single frames.

use axum::extract::State;
use axum::response::Response;
use framelog_store::query::{GapRow, RemovalRow, StretchRow};
use serde_json::{Value, json};

use super::{Asked, Span, require};
use crate::footage::holes::holes;
use crate::web::answer::Refusal;
use crate::web::index::{Index, unreadable};

/// All that overlaps the span, in order of start.
pub async fn get(
    State(index): State<Index>,
    Asked { camera, query }: Asked<Span>,
) -> Result<Response, Refusal> {
    let (from_us, to_us) = query.bounds();
    let room = index.room.clone();
    let told = index.read(async move |reader| {
        require(&reader, &camera).await?;
        let only = Some(camera.as_str());
        let gaps = reader.gaps(only, from_us, to_us).await;
        let gaps = gaps.map_err(unreadable)?;
        let removals = reader.removals(only, from_us, to_us).await;
        let removals = removals.map_err(unreadable)?;
        let stretches = reader
            .stretches(&camera, from_us, to_us, &holes(&gaps, &removals))
            .await
            .map_err(unreadable)?;
        let told = json!({
            "camera": camera,
            "footage": stretches.iter().map(stretch).collect::<Vec<_>>(),
            "gaps": gaps.iter().map(gap).collect::<Vec<_>>(),
            "removals": removals.iter().map(removal).collect::<Vec<_>>(),
        });
        room.json(&told).await
    });
    told.await
}

/// Its last file grows while it is `recording`.
fn stretch(row: &StretchRow) -> Value {
    json!({
        "started_us": row.started_us,
        "ended_us": row.ended_us,
        "frames": row.frames,
        "bytes": row.bytes,
        "files": row.files,
        "recording": row.open,
    })
}

/// Its end is `null` while it lasts.
fn gap(row: &GapRow) -> Value {
    json!({
        "started_us": row.started_us,
        "ended_us": row.ended_us,
        "reason": row.reason,
        "detail": row.detail,
    })
}

fn removal(row: &RemovalRow) -> Value {
    json!({
        "started_us": row.started_us,
        "ended_us": row.ended_us,
        "segments": row.segments,
        "frames": row.frames,
        "bytes": row.bytes,
        "rule": row.rule,
        "removed_us": row.removed_us,
    })
}
