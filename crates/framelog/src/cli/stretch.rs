//! Stretches of footage: consecutive segments of one camera without a gap between them, as one. Not for reading the index.

use std::path::PathBuf;

use framelog_store::query::{GapRow, SegmentRow};

/// Footage of one camera without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Camera name.
    pub camera: String,
    /// Capture time of its first frame, microseconds.
    pub started_us: i64,
    /// Capture time of its last frame so far, microseconds.
    pub ended_us: i64,
    /// Frames in it.
    pub frames: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Still growing.
    pub open: bool,
    /// It was growing when the recorder was killed: only its next start knows the end.
    pub was_cut: bool,
    /// Its first file, relative to the storage directory.
    pub first_path: PathBuf,
    /// Its last file.
    pub last_path: PathBuf,
    /// How many files.
    pub files: u64,
}

impl Stretch {
    fn begin(segment: SegmentRow) -> Self {
        Self {
            camera: segment.camera,
            started_us: segment.started_us,
            ended_us: segment.ended_us,
            frames: segment.frames,
            bytes: segment.bytes,
            open: segment.open,
            was_cut: false,
            first_path: segment.path.clone(),
            last_path: segment.path,
            files: 1,
        }
    }

    fn extend(&mut self, segment: SegmentRow) {
        self.ended_us = self.ended_us.max(segment.ended_us);
        self.frames += segment.frames;
        self.bytes += segment.bytes;
        self.open |= segment.open;
        self.last_path = segment.path;
        self.files += 1;
    }
}

/// Merges the segments of one camera, in order of their start, into stretches: a new one begins where a gap lies between two segments.
/// Segments may overlap: a camera's clock can be put back.
pub fn merge(segments: Vec<SegmentRow>, gaps: &[GapRow]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut gaps = gaps.iter().peekable();
    for segment in segments {
        match stretches.last_mut() {
            Some(last) if !gap_between(&mut gaps, last.ended_us, segment.started_us) => {
                last.extend(segment)
            }
            _ => stretches.push(Stretch::begin(segment)),
        }
    }
    stretches
}

/// Whether a gap begins after the one segment's end and before the next one's start. `gaps` are in order and are used up as time goes on.
fn gap_between<'a>(
    gaps: &mut std::iter::Peekable<impl Iterator<Item = &'a GapRow>>,
    ended_us: i64,
    started_us: i64,
) -> bool {
    while gaps
        .next_if(|gap| gap.ended_us.is_some_and(|end| end <= ended_us))
        .is_some()
    {}
    gaps.peek().is_some_and(|gap| gap.started_us < started_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: i64, started_us: i64, ended_us: i64) -> SegmentRow {
        SegmentRow {
            id,
            camera: "gate".to_owned(),
            path: PathBuf::from(format!("{id}.mjpeg")),
            codec: "mjpeg".to_owned(),
            started_us,
            ended_us,
            frames: 10,
            bytes: 100,
            open: false,
        }
    }

    fn gap(started_us: i64, ended_us: Option<i64>) -> GapRow {
        GapRow {
            camera: "gate".to_owned(),
            started_us,
            ended_us,
            reason: "stalled".to_owned(),
            detail: String::new(),
        }
    }

    fn spans(stretches: &[Stretch]) -> Vec<(i64, i64, u64)> {
        stretches
            .iter()
            .map(|stretch| (stretch.started_us, stretch.ended_us, stretch.files))
            .collect()
    }

    #[test]
    fn segments_without_a_gap_between_them_are_one_stretch() {
        let merged = merge(
            vec![segment(1, 0, 9), segment(2, 10, 19), segment(3, 20, 29)],
            &[gap(-20, Some(0)), gap(29, None)],
        );
        assert_eq!(spans(&merged), [(0, 29, 3)]);
        assert_eq!((merged[0].frames, merged[0].bytes), (30, 300));
        assert_eq!(
            (merged[0].first_path.to_str(), merged[0].last_path.to_str()),
            (Some("1.mjpeg"), Some("3.mjpeg"))
        );
    }

    #[test]
    fn a_gap_between_segments_divides_stretches() {
        let merged = merge(
            vec![segment(1, 0, 9), segment(2, 100, 109), segment(3, 110, 119)],
            &[gap(9, Some(100))],
        );
        assert_eq!(spans(&merged), [(0, 9, 1), (100, 119, 2)]);
    }

    #[test]
    fn a_gap_within_a_segment_does_not_divide_it_from_the_next() {
        let merged = merge(
            vec![segment(1, 0, 50), segment(2, 51, 100)],
            &[gap(10, Some(20))],
        );
        assert_eq!(spans(&merged), [(0, 100, 2)]);
    }

    #[test]
    fn a_clock_that_was_put_back_leaves_no_gap() {
        let merged = merge(
            vec![segment(1, 0, 50), segment(2, 20, 40), segment(3, 51, 60)],
            &[gap(60, None)],
        );
        assert_eq!(spans(&merged), [(0, 60, 3)]);
    }

    #[test]
    fn an_open_gap_of_the_past_divides_as_well() {
        assert_eq!(
            merge(vec![segment(1, 0, 5), segment(2, 9, 12)], &[gap(5, None)]).len(),
            2
        );
    }
}
