//! What the cameras bring: measured on the last footage of each and, where there is none, estimated. Not for judging it.

use std::collections::BTreeMap;

use framelog_store::query::SegmentRow;

use crate::cli::words;

/// What a camera without footage is taken for: 1080p MJPEG at 10 frames a second brings as much, H.264 a fifth.
const ESTIMATE: f64 = 1_000_000.0;
/// Shorter footage says little of the rate.
const SPAN_MIN_US: i64 = 10_000_000;

/// Of all enabled cameras together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Bytes a second.
    pub bytes_per_s: f64,
    /// How many cameras of it are measured.
    pub measured: usize,
    /// How many are estimated.
    pub estimated: usize,
}

impl Load {
    /// Of these cameras, by segments that are recent.
    pub fn of(cameras: &[String], recent: &[SegmentRow]) -> Self {
        let mut spans: BTreeMap<&str, (i64, i64, u64)> = BTreeMap::new();
        for segment in recent {
            let (first, last, bytes) =
                spans
                    .entry(&segment.camera)
                    .or_insert((segment.started_us, segment.ended_us, 0));
            *first = (*first).min(segment.started_us);
            *last = (*last).max(segment.ended_us);
            *bytes += segment.bytes;
        }
        let rate = |camera: &String| {
            let (first, last, bytes) = spans.get(camera.as_str())?;
            let span = last.saturating_sub(*first);
            (span >= SPAN_MIN_US).then(|| *bytes as f64 * 1e6 / span as f64)
        };
        let rates: Vec<f64> = cameras.iter().filter_map(rate).collect();
        let estimated = cameras.len() - rates.len();
        Self {
            bytes_per_s: rates.iter().sum::<f64>() + ESTIMATE * estimated as f64,
            measured: rates.len(),
            estimated,
        }
    }

    /// In words, how it is known.
    pub fn source(&self) -> String {
        match (self.measured, self.estimated) {
            (0, _) => format!("estimated at {:.0} MB/s a camera", ESTIMATE / 1e6),
            (_, 0) => "measured".to_owned(),
            (measured, estimated) => {
                let measured = words::count(measured as u64, "camera");
                format!("{measured} measured, {estimated} estimated")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn segment(camera: &str, from_s: i64, to_s: i64, bytes: u64) -> SegmentRow {
        SegmentRow {
            id: 1,
            camera: camera.to_owned(),
            path: PathBuf::new(),
            codec: "mjpeg".to_owned(),
            started_us: from_s * 1_000_000,
            ended_us: to_s * 1_000_000,
            frames: 1,
            bytes,
            open: false,
        }
    }

    #[test]
    fn cameras_without_enough_footage_are_estimated_and_foreign_footage_counts_nothing() {
        let cameras = ["gate", "yard", "new"].map(str::to_owned);
        let recent = [
            segment("gate", 0, 60, 60_000_000),
            segment("gate", 60, 120, 180_000_000),
            segment("yard", 0, 5, 1_000_000_000),
            segment("removed", 0, 60, 1_000_000_000),
        ];
        let load = Load::of(&cameras, &recent);
        assert_eq!(load.bytes_per_s, 2_000_000.0 + 2.0 * ESTIMATE);
        assert_eq!((load.measured, load.estimated), (1, 2));
        assert_eq!(load.source(), "1 camera measured, 2 estimated");
        assert_eq!(Load::of(&[], &[]).bytes_per_s, 0.0);
    }
}
