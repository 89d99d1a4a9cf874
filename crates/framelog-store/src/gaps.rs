//! Which gap of each camera is open, and what each change makes of the rows. Not for why a camera has no footage.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use framelog_core::gap::GapReason;

use crate::rows;

/// A change to a camera's gaps.
#[derive(Clone, Debug)]
pub(crate) enum GapChange {
    /// A gap begins; an open one of another reason ends here.
    Open {
        started_us: i64,
        reason: GapReason,
        detail: Arc<str>,
    },
    /// Frames of this span were lost on their way to the file, and more may be: like `Open`, unless another gap is open already. That
    /// one came after these frames, because reports from the writers are late; then the span is over where it begins.
    Lost {
        started_us: i64,
        ended_us: i64,
        reason: GapReason,
        detail: Arc<str>,
    },
    /// The open gap ends, if there is one and, where a reason is given, it is of that reason.
    Close {
        ended_us: i64,
        only: Option<GapReason>,
    },
    /// A gap that is over already.
    Record {
        started_us: i64,
        ended_us: i64,
        reason: GapReason,
        detail: Arc<str>,
    },
}

/// The open gaps, at most one a camera. Ids grow in the order in which gaps became known.
#[derive(Debug)]
pub(crate) struct Gaps {
    open: HashMap<i64, rows::Gap>,
    next_id: i64,
}

impl Gaps {
    /// No gap open; the next one gets `next_id`.
    pub fn new(next_id: i64) -> Self {
        Self {
            open: HashMap::new(),
            next_id,
        }
    }

    /// Makes the change; rows that are new or different go to `changed`, by id.
    pub fn apply(
        &mut self,
        camera_id: i64,
        change: GapChange,
        changed: &mut BTreeMap<i64, rows::Gap>,
    ) {
        match change {
            GapChange::Open {
                started_us,
                reason,
                detail,
            } => self.open(camera_id, started_us, reason, detail, changed),
            GapChange::Lost {
                started_us,
                ended_us,
                reason,
                detail,
            } => match self.open.get(&camera_id) {
                Some(open) if open.reason != reason => {
                    let ended_us = ended_us.min(open.started_us);
                    self.record(camera_id, (started_us, ended_us), reason, detail, changed);
                }
                _ => self.open(camera_id, started_us, reason, detail, changed),
            },
            GapChange::Close { ended_us, only } => {
                self.close(camera_id, ended_us, only, changed);
            }
            GapChange::Record {
                started_us,
                ended_us,
                reason,
                detail,
            } => self.record(camera_id, (started_us, ended_us), reason, detail, changed),
        }
    }

    fn open(
        &mut self,
        camera_id: i64,
        mut started_us: i64,
        reason: GapReason,
        detail: Arc<str>,
        changed: &mut BTreeMap<i64, rows::Gap>,
    ) {
        if let Some(open) = self
            .open
            .get_mut(&camera_id)
            .filter(|open| open.reason == reason)
        {
            if open.detail != detail {
                open.detail = detail;
                changed.insert(open.id, open.clone());
            }
            return;
        }
        if let Some(ended_us) = self.close(camera_id, started_us, None, changed) {
            started_us = ended_us; // they don't overlap
        }
        let gap = self.row(camera_id, started_us, None, reason, detail);
        changed.insert(gap.id, gap.clone());
        self.open.insert(camera_id, gap);
    }

    fn record(
        &mut self,
        camera_id: i64,
        (started_us, ended_us): (i64, i64),
        reason: GapReason,
        detail: Arc<str>,
        changed: &mut BTreeMap<i64, rows::Gap>,
    ) {
        let ended_us = Some(ended_us.max(started_us));
        let gap = self.row(camera_id, started_us, ended_us, reason, detail);
        changed.insert(gap.id, gap);
    }

    /// Closes every open gap.
    pub fn close_all(&mut self, ended_us: i64, changed: &mut BTreeMap<i64, rows::Gap>) {
        let cameras: Vec<i64> = self.open.keys().copied().collect();
        for camera_id in cameras {
            self.close(camera_id, ended_us, None, changed);
        }
    }

    /// The end of the gap that was closed, never before its start.
    fn close(
        &mut self,
        camera_id: i64,
        ended_us: i64,
        only: Option<GapReason>,
        changed: &mut BTreeMap<i64, rows::Gap>,
    ) -> Option<i64> {
        if only.is_some_and(|only| {
            self.open
                .get(&camera_id)
                .is_some_and(|open| open.reason != only)
        }) {
            return None;
        }
        let mut gap = self.open.remove(&camera_id)?;
        let ended_us = ended_us.max(gap.started_us);
        gap.ended_us = Some(ended_us);
        changed.insert(gap.id, gap);
        Some(ended_us)
    }

    fn row(
        &mut self,
        camera_id: i64,
        started_us: i64,
        ended_us: Option<i64>,
        reason: GapReason,
        detail: Arc<str>,
    ) -> rows::Gap {
        let id = self.next_id;
        self.next_id += 1;
        rows::Gap {
            id,
            camera_id,
            started_us,
            ended_us,
            reason,
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(started_us: i64, reason: GapReason) -> GapChange {
        GapChange::Open {
            started_us,
            reason,
            detail: "".into(),
        }
    }

    fn close(ended_us: i64) -> GapChange {
        GapChange::Close {
            ended_us,
            only: None,
        }
    }

    /// (started, ended, reason) of all gaps after the changes to one camera.
    fn after(changes: impl IntoIterator<Item = GapChange>) -> Vec<(i64, Option<i64>, GapReason)> {
        let (mut gaps, mut rows) = (Gaps::new(1), BTreeMap::new());
        for change in changes {
            gaps.apply(7, change, &mut rows);
        }
        rows.into_values()
            .map(|gap| (gap.started_us, gap.ended_us, gap.reason))
            .collect()
    }

    #[test]
    fn another_reason_ends_the_open_gap_where_it_begins() {
        use GapReason::{Stalled, Unreachable};
        let gaps = after([open(10, Stalled), open(20, Unreachable), close(30)]);
        assert_eq!(gaps, [(10, Some(20), Stalled), (20, Some(30), Unreachable)]);
    }

    #[test]
    fn same_reason_again_only_updates_the_detail() {
        let (mut gaps, mut rows) = (Gaps::new(1), BTreeMap::new());
        gaps.apply(7, open(10, GapReason::Busy), &mut rows);
        gaps.apply(
            7,
            GapChange::Open {
                started_us: 20,
                reason: GapReason::Busy,
                detail: "503".into(),
            },
            &mut rows,
        );
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[&1].started_us, &*rows[&1].detail), (10, "503"));
    }

    #[test]
    fn a_gap_never_ends_before_it_begins_and_neighbours_never_overlap() {
        use GapReason::{Busy, Stalled};
        assert_eq!(
            after([open(10, Stalled), close(5)]),
            [(10, Some(10), Stalled)]
        );
        assert_eq!(
            after([open(10, Stalled), open(5, Busy)]),
            [(10, Some(10), Stalled), (10, None, Busy)]
        );
        let recorded = GapChange::Record {
            started_us: 9,
            ended_us: 3,
            reason: Busy,
            detail: "".into(),
        };
        assert_eq!(after([recorded]), [(9, Some(9), Busy)]);
    }

    #[test]
    fn closing_for_one_reason_leaves_others_open() {
        use GapReason::{DiskFull, Stalled};
        let only = GapChange::Close {
            ended_us: 30,
            only: Some(DiskFull),
        };
        assert_eq!(
            after([open(10, Stalled), only.clone()]),
            [(10, None, Stalled)]
        );
        assert_eq!(
            after([open(10, DiskFull), only]),
            [(10, Some(30), DiskFull)]
        );
    }

    #[test]
    fn late_report_of_lost_frames_leaves_the_gap_open_that_came_after_them() {
        use GapReason::{Disconnected, DiskFull};
        let lost = |started_us, ended_us| GapChange::Lost {
            started_us,
            ended_us,
            reason: DiskFull,
            detail: "".into(),
        };
        assert_eq!(
            after([open(20, Disconnected), lost(10, 20)]),
            [(20, None, Disconnected), (10, Some(20), DiskFull)]
        );
        assert_eq!(
            after([lost(10, 20), lost(30, 40), close(50)]),
            [(10, Some(50), DiskFull)]
        );
    }

    #[test]
    fn closing_what_is_not_open_does_nothing() {
        assert_eq!(after([close(5), close(6)]), []);
    }
}
