//! What a camera's gap changes become when the index takes none for so long that they would fill the memory: one gap. Not for how gaps
//! follow each other in the index: that is `gaps`.

use std::collections::HashMap;
use std::sync::Arc;

use framelog_core::gap::GapReason;

use crate::gaps::GapChange;

/// The folded changes of each camera.
#[derive(Debug, Default)]
pub(crate) struct Overflow(HashMap<i64, Folded>);

/// A camera's changes as one gap.
#[derive(Debug, Default)]
struct Folded {
    /// What ended the gap that was open before.
    close: Option<GapChange>,
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Gap {
    started_us: i64,
    ended_us: i64,
    is_open: bool,
    reason: GapReason,
    detail: Arc<str>,
    times: u64,
}

impl Overflow {
    /// Whether changes of this camera must follow those that are here.
    pub fn holds(&self, camera_id: i64) -> bool {
        self.0.contains_key(&camera_id)
    }

    /// Folds a change into those that came before it.
    pub fn fold(&mut self, camera_id: i64, change: GapChange) {
        let folded = self.0.entry(camera_id).or_default();
        match change {
            GapChange::Open {
                started_us,
                reason,
                detail,
            }
            | GapChange::Lost {
                started_us,
                reason,
                detail,
                ..
            } => folded.extend((started_us, started_us), true, reason, detail),
            GapChange::Record {
                started_us,
                ended_us,
                reason,
                detail,
            } => {
                let is_open = folded.gap.as_ref().is_some_and(|gap| gap.is_open);
                folded.extend((started_us, ended_us), is_open, reason, detail);
            }
            GapChange::Close { ended_us, only } => match &mut folded.gap {
                Some(gap) if only.is_none_or(|only| only == gap.reason) => {
                    gap.ended_us = gap.ended_us.max(ended_us);
                    gap.is_open = false;
                }
                Some(_) => {}
                None => folded.close = Some(GapChange::Close { ended_us, only }),
            },
        }
    }

    /// The changes that are left, by camera, in order.
    pub fn take(&mut self) -> impl Iterator<Item = (i64, GapChange)> + use<> {
        std::mem::take(&mut self.0)
            .into_iter()
            .flat_map(|(camera_id, folded)| {
                let changes = folded.close.into_iter();
                let gap = folded.gap.into_iter().flat_map(Gap::into_changes);
                changes.chain(gap).map(move |change| (camera_id, change))
            })
    }
}

impl Folded {
    fn extend(
        &mut self,
        (started_us, ended_us): (i64, i64),
        is_open: bool,
        reason: GapReason,
        detail: Arc<str>,
    ) {
        let before = self.gap.as_ref();
        self.gap = Some(Gap {
            started_us: before.map_or(started_us, |gap| gap.started_us.min(started_us)),
            ended_us: before.map_or(ended_us, |gap| gap.ended_us.max(ended_us)),
            is_open,
            reason,
            detail,
            times: before.map_or(1, |gap| gap.times.saturating_add(1)),
        });
    }
}

impl Gap {
    fn into_changes(self) -> impl Iterator<Item = GapChange> {
        let detail = match self.times {
            1 => self.detail,
            times => format!(
                "{times} gaps while the index could not be written, with footage between them; the last: {}",
                self.detail
            )
            .into(),
        };
        let open = GapChange::Open {
            started_us: self.started_us,
            reason: self.reason,
            detail,
        };
        let close = (!self.is_open).then_some(GapChange::Close {
            ended_us: self.ended_us,
            only: None,
        });
        std::iter::once(open).chain(close)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::gaps::Gaps;

    fn open(started_us: i64, detail: &str) -> GapChange {
        GapChange::Open {
            started_us,
            reason: GapReason::Disconnected,
            detail: detail.into(),
        }
    }

    fn close(ended_us: i64) -> GapChange {
        GapChange::Close {
            ended_us,
            only: None,
        }
    }

    /// The rows after `first` reached the index and the others were folded.
    fn rows(first: Vec<GapChange>, folded: Vec<GapChange>) -> Vec<(i64, Option<i64>)> {
        let (mut gaps, mut rows) = (Gaps::new(1), BTreeMap::new());
        let mut overflow = Overflow::default();
        for change in folded {
            overflow.fold(7, change);
        }
        let first = first.into_iter().map(|change| (7, change));
        for (camera_id, change) in first.chain(overflow.take()) {
            gaps.apply(camera_id, change, &mut rows);
        }
        let span = |gap: &crate::rows::Gap| (gap.started_us, gap.ended_us);
        rows.values().map(span).collect()
    }

    #[test]
    fn many_gaps_become_one_from_the_first_to_the_last() {
        let many = |n: i64| (1..n).flat_map(|n| [open(n * 10, "x"), close(n * 10 + 5)]);
        assert_eq!(rows(vec![], many(1000).collect()), [(10, Some(9995))]);
        let mut still_open: Vec<_> = many(1000).collect();
        still_open.pop();
        assert_eq!(rows(vec![], still_open), [(10, None)]);
    }

    #[test]
    fn a_gap_that_the_index_has_open_is_closed_where_it_ended() {
        let folded = vec![close(5), open(10, "x"), close(20)];
        assert_eq!(
            rows(vec![open(1, "")], folded),
            [(1, Some(5)), (10, Some(20))]
        );
        assert_eq!(rows(vec![open(1, "")], vec![close(5)]), [(1, Some(5))]);
    }

    #[test]
    fn a_single_gap_stays_as_it_was() {
        let mut overflow = Overflow::default();
        overflow.fold(7, open(10, "as it was"));
        assert!(overflow.holds(7) && !overflow.holds(8));
        let taken: Vec<_> = overflow.take().collect();
        assert!(
            matches!(&taken[..], [(7, GapChange::Open { detail, .. })] if &**detail == "as it was")
        );
        assert!(!overflow.holds(7));
    }
}
