//! What was exported, in one line.

use std::path::Path;

use framelog_store::query::{FrameRow, GapRow};

use crate::cli::{time, words};

/// Gaps told one by one; more are only counted.
const GAPS_TOLD_MAX: usize = 5;

/// Counts what goes out.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub frames: u64,
    pub bytes: u64,
    pub span_us: Option<(i64, i64)>,
    pub gaps: Vec<GapRow>,
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
            self.gap_text()
        )
    }

    fn gap_text(&self) -> String {
        let Some((first_us, last_us)) = self.span_us else {
            return String::new();
        };
        // Gaps before the first and after the last frame are outside of what was exported.
        let inside = |gap: &&GapRow| {
            gap.started_us < last_us && gap.ended_us.is_some_and(|end| end > first_us)
        };
        let gaps: Vec<&GapRow> = self.gaps.iter().filter(inside).collect();
        let told = gaps.iter().take(GAPS_TOLD_MAX).map(|gap| {
            let length_us = gap
                .ended_us
                .unwrap_or(last_us)
                .saturating_sub(gap.started_us);
            format!("{} {}", words::duration(length_us), gap.reason)
        });
        let told = told.collect::<Vec<_>>().join(", ");
        match gaps.len() {
            0 => "; no gaps".to_owned(),
            1 => format!("; a gap inside: {told}"),
            count if count > GAPS_TOLD_MAX => format!("; {count} gaps inside: {told}, …"),
            count => format!("; {count} gaps inside: {told}"),
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
            frames: 2,
            bytes: 20,
            span_us: Some((1_000_000, 9_000_000)),
            gaps: Vec::new(),
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
}
