//! Where a camera has no footage: what was never recorded, and what was removed. Not for what there is: that is `Reader::stretches`.

use framelog_store::query::{GapRow, RemovalRow};

/// Spans without footage, by start.
pub fn holes(gaps: &[GapRow], removals: &[RemovalRow]) -> Vec<GapRow> {
    let removed = removals.iter().map(|removal| GapRow {
        camera: removal.camera.clone(),
        started_us: removal.started_us,
        ended_us: Some(removal.ended_us),
        reason: removal.rule.clone(),
        detail: String::new(),
    });
    let mut holes: Vec<GapRow> = gaps.iter().cloned().chain(removed).collect();
    holes.sort_by_key(|hole| hole.started_us);
    holes
}
