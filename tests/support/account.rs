//! Frames sent against frames stored, for cameras that do nothing odd; and whether the recorder's own account adds up, for all.

use std::path::Path;

use super::camera::{Clock, Journal};
use super::index::Index;

/// Panics unless the stored frames of the camera are the frames sent, each once, in order, with their own time, and none is missing that was
/// sent before `until_us`. Frames sent later may or may not be there, but no frame may be missing before one that is.
pub fn assert_all_stored(name: &str, journal: &Journal, index: &Index, until_us: i64) {
    let stored = index.frames_of(name);
    assert!(
        stored.len() <= journal.sent.len(),
        "{name}: {} frames stored, {} sent",
        stored.len(),
        journal.sent.len()
    );
    for (number, ((row, payload), sent)) in stored.iter().zip(&journal.sent).enumerate() {
        assert!(
            sent.shot.accepted.contains(payload),
            "{name}: frame {number} of {} is not the one that was sent",
            stored.len()
        );
        if let Clock::Camera(stamp) = sent.shot.clock {
            assert_eq!(
                (row.captured_us, row.clock.as_str()),
                (stamp, "camera"),
                "{name}: frame {number}"
            );
        }
        assert!(row.complete, "{name}: frame {number} is marked as torn");
    }
    let due = journal
        .sent
        .iter()
        .filter(|sent| sent.to_us < until_us)
        .count();
    assert!(
        stored.len() >= due,
        "{name}: {} frames stored, {due} sent in time",
        stored.len()
    );
}

/// Panics unless each part of each session became something, sessions that were stopped have lost nothing, and each camera has as many
/// rows as its accounts say, where nothing was removed.
pub fn assert_adds_up(storage: &Path) {
    // A recorder that never found its storage has made none.
    let Ok(index) = Index::open(storage) else {
        return;
    };
    let accounts = index.accounts();
    for account in &accounts {
        let became = account.stored + account.skipped + account.dropped + account.lost;
        assert_eq!(account.parts, became, "{account:?}");
        assert!(!account.stopped || account.lost == 0, "{account:?}");
    }
    if index.is_made_anew() {
        return; // whose frames they are, footage does not say
    }
    for (camera, frames, removed) in index.frame_counts() {
        let of_camera = accounts.iter().filter(|account| account.camera == camera);
        let stored: i64 = of_camera.map(|account| account.stored).sum();
        assert!(
            removed > 0 || frames == stored,
            "{camera}: {frames} rows, {stored} stored"
        );
    }
}
