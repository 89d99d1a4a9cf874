//! What was exported, in one line.

use std::path::Path;

use framelog_store::query::{FrameRow, GapRow, RemovalRow};

use crate::cli::{time, words};

/// Gaps told one by one; more are only counted.
const GAPS_TOLD_MAX: usize = 5;

/// So much may be missing at an end of the span that was asked for, microseconds: no camera has a frame at every moment.
const END_MAX_US: i64 = 2_000_000;

/// Counts what goes out.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// What was asked for: from, to.
    pub asked_us: (i64, i64),
    /// When it was asked for.
    pub now_us: i64,
    pub frames: u64,
    pub bytes: u64,
    pub span_us: Option<(i64, i64)>,
    pub gaps: Vec<GapRow>,
    pub removals: Vec<RemovalRow>,
    /// Frames that could not be read.
    pub unread: u64,
}

impl Summary {
    /// Counts a frame.
    pub(super) fn add(&mut self, frame: &FrameRow) {
        self.frames += 1;
        self.bytes += frame.length;
        let (first, last) = self
            .span_us
            .unwrap_or((frame.captured_us, frame.captured_us));
        self.span_us = Some((first.min(frame.captured_us), last.max(frame.captured_us)));
    }

    /// The line: where, how much, from when to when, and what is missing in between.
    pub(super) fn text(&self, camera: &str, output: &Path, utc: bool) -> String {
        let span = match self.span_us {
            Some((first, last)) => format!(
                ", from {} to {}",
                time::format(first, utc),
                time::format(last, utc)
            ),
            None => String::new(),
        };
        format!(
            "{}: {} of {camera}, {}{span}{}",
            output.display(),
            words::count(self.frames, "frame"),
            words::bytes(self.bytes),
            self.end_text() + &self.gap_text()
        )
    }

    /// What was asked for and is not there, before the first and after the last frame.
    fn end_text(&self) -> String {
        let Some((first_us, last_us)) = self.span_us else {
            return String::new();
        };
        let (from_us, to_us) = self.asked_us;
        let over_us = to_us.min(self.now_us);
        let ends = [
            (first_us.saturating_sub(from_us), "before"),
            (over_us.saturating_sub(last_us), "after"),
        ];
        let missing = ends
            .into_iter()
            .filter(|(us, _)| *us > END_MAX_US)
            .map(|(us, side)| format!("{} {side} it", words::duration(us)));
        let missing = missing.collect::<Vec<_>>().join(" and ");
        let mut text = match missing.is_empty() {
            true => String::new(),
            false => {
                format!("; of the span asked for {missing} are not there (framelog find says why)")
            }
        };
        let to_come_us = to_us.saturating_sub(self.now_us.max(last_us));
        if to_come_us > END_MAX_US {
            let to_come = words::duration(to_come_us);
            text += &format!("; {to_come} of the span asked for are still to come");
        }
        text
    }

    fn gap_text(&self) -> String {
        let Some((first_us, last_us)) = self.span_us else {
            return String::new();
        };
        let gaps = self.gaps.iter().map(|gap| {
            let ended_us = gap.ended_us.unwrap_or(i64::MAX);
            (gap.started_us, ended_us, gap.reason.clone())
        });
        let removals = self.removals.iter().map(|removal| {
            let rule = format!("removed by {}", removal.rule);
            (removal.started_us, removal.ended_us, rule)
        });
        // What is before the first and after the last frame is outside of what was exported.
        let mut inside: Vec<_> = gaps
            .chain(removals)
            .filter(|(started_us, ended_us, _)| *started_us < last_us && *ended_us > first_us)
            .collect();
        inside.sort();
        let told = inside
            .iter()
            .take(GAPS_TOLD_MAX)
            .map(|(from_us, to_us, why)| {
                let length_us = (*to_us).min(last_us).saturating_sub(*from_us);
                format!("{} {why}", words::duration(length_us))
            });
        let told = told.collect::<Vec<_>>().join(", ");
        let gaps = match inside.len() {
            0 if self.unread > 0 => String::new(),
            0 => "; no gaps".to_owned(),
            1 => format!("; a gap inside: {told}"),
            count if count > GAPS_TOLD_MAX => format!("; {count} gaps inside: {told}, …"),
            count => format!("; {count} gaps inside: {told}"),
        };
        match self.unread {
            0 => gaps,
            unread => format!(
                "{gaps}; {} left out, unreadable",
                words::count(unread, "frame")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(started_us: i64, ended_us: Option<i64>) -> GapRow {
        GapRow {
            camera: "gate".into(),
            started_us,
            ended_us,
            reason: "stalled".into(),
            detail: String::new(),
        }
    }

    #[test]
    fn only_gaps_between_exported_frames_are_told() {
        let mut summary = Summary {
            asked_us: (500_000, 10_000_000),
            now_us: 100_000_000,
            frames: 2,
            bytes: 20,
            span_us: Some((1_000_000, 9_000_000)),
            ..Summary::default()
        };
        summary.gaps = vec![gap(0, Some(1_000_000)), gap(9_000_000, None)];
        let text = summary.text("gate", Path::new("a.zip"), true);
        assert_eq!(
            text,
            "a.zip: 2 frames of gate, 20 B, from 1970-01-01T00:00:01.000000Z to 1970-01-01T00:00:09.000000Z; no gaps"
        );
        summary.gaps.push(gap(2_000_000, Some(4_000_000)));
        assert!(
            summary
                .text("gate", Path::new("a.zip"), true)
                .ends_with("; a gap inside: 2.0 s stalled")
        );
    }

    #[test]
    fn what_was_asked_for_and_is_not_there_is_told() {
        let summary = Summary {
            asked_us: (-9_000_000, 69_000_000),
            now_us: 100_000_000,
            frames: 2,
            bytes: 20,
            span_us: Some((1_000_000, 9_000_000)),
            ..Summary::default()
        };
        let text = summary.text("gate", Path::new("a.zip"), true);
        let told = "; of the span asked for 10.0 s before it and 1 min 00 s after it are not there (framelog find says why); no gaps";
        assert!(text.ends_with(told), "{text}");
    }

    #[test]
    fn time_that_is_still_to_come_is_told_as_that() {
        let mut summary = Summary {
            asked_us: (1_000_000, 69_000_000),
            now_us: 9_500_000,
            frames: 2,
            span_us: Some((1_000_000, 9_000_000)),
            ..Summary::default()
        };
        let to_come = "Z; 59.5 s of the span asked for are still to come; no gaps";
        let text = summary.text("gate", Path::new("a.zip"), true);
        assert!(text.ends_with(to_come), "{text}");
        summary.now_us = 19_000_000;
        let both = "; of the span asked for 10.0 s after it are not there (framelog find says why); 50.0 s of the span asked for are still to come; no gaps";
        let text = summary.text("gate", Path::new("a.zip"), true);
        assert!(text.ends_with(both), "{text}");
    }

    #[test]
    fn what_was_removed_or_could_not_be_read_is_no_export_without_gaps() {
        let removal = |started_us, ended_us| RemovalRow {
            camera: "gate".into(),
            started_us,
            ended_us,
            segments: 1,
            frames: 30,
            bytes: 300,
            rule: "max_size".into(),
            removed_us: 20_000_000,
        };
        let mut summary = Summary {
            asked_us: (500_000, 10_000_000),
            now_us: 100_000_000,
            frames: 2,
            bytes: 20,
            span_us: Some((1_000_000, 9_000_000)),
            gaps: vec![gap(7_000_000, Some(8_000_000))],
            removals: vec![removal(-5_000_000, 0), removal(2_000_000, 6_000_000)],
            unread: 0,
        };
        let text = |summary: &Summary| summary.text("gate", Path::new("a.zip"), true);
        assert!(
            text(&summary).ends_with("Z; 2 gaps inside: 4.0 s removed by max_size, 1.0 s stalled"),
            "{}",
            text(&summary)
        );
        (summary.gaps, summary.removals, summary.unread) = (Vec::new(), Vec::new(), 3);
        assert!(text(&summary).ends_with("Z; 3 frames left out, unreadable"));
    }
}
