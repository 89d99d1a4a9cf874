//! What `framelog verify` finds, where, and what to do about it. Not for finding it.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// Something about index or footage that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub problem: Problem,
}

/// Where a finding is, as far as that can be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Camera name.
    pub camera: Option<String>,
    /// Capture time of the frame, or of the first that is concerned: microseconds since the Unix epoch, UTC.
    pub captured_us: Option<i64>,
    /// The file, relative to the storage directory.
    pub path: Option<String>,
    /// Bytes from the file's beginning: of the payload, if it is about a frame.
    pub offset: Option<u64>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// SQLite finds its own file damaged.
    #[error(
        "the index is damaged: {detail}; `framelog reindex` makes a new one from the footage, and nothing else was looked at"
    )]
    DamagedIndex {
        /// SQLite's words.
        detail: String,
    },
    /// Rows of a camera that has no row itself.
    #[error(
        "{rows} rows in `{table}` are of camera {camera_id}, which is not in the index; `framelog reindex` makes a new one from the footage"
    )]
    NoCamera {
        /// The id that has no row.
        camera_id: i64,
        /// Where the rows are: `frames` or `segments`.
        table: &'static str,
        /// How many.
        rows: u64,
    },
    /// Rows of frames that no segment accounts for.
    #[error(
        "{rows} rows in `frames` are of segment {segment_id}, {why}; `framelog reindex` makes a new index from the footage"
    )]
    Stray {
        /// The segment that they name.
        segment_id: i64,
        /// How many.
        rows: u64,
        /// Why that can't be.
        why: &'static str,
    },
    /// A segment's row does not agree with the rows of its frames.
    #[error(
        "the segment's row says {column} {said}, the rows of its frames {counted}; `framelog reindex` makes a new index from the footage"
    )]
    Miscounted {
        /// The column of `segments`.
        column: &'static str,
        /// What it says.
        said: i64,
        /// What it should say.
        counted: i64,
    },
    /// A segment's path is none that framelog makes, so it is not opened.
    #[error(
        "the segment's path is not framelog's; `framelog reindex` makes a new index from the footage"
    )]
    ForeignPath,
    /// A segment's file is not there.
    #[error(
        "the file is gone, and {frames} frames with it; put it back, or let `framelog reindex` make an index without it"
    )]
    Missing {
        /// Frames that the index has in it.
        frames: u64,
    },
    /// A segment's file ends too early.
    #[error(
        "the file is {bytes} bytes too short, and {frames} frames are gone with them; put it back from a copy, or let `framelog reindex` make an index without them"
    )]
    Short {
        /// Bytes that are missing.
        bytes: u64,
        /// Frames that the index has there.
        frames: u64,
    },
    /// A file or directory can't be read.
    #[error("could not be read: {error}; check the disk, and who may read it")]
    Unreadable {
        /// The system's words.
        error: String,
    },
    /// A frame is not, to the last bit, what was recorded.
    #[error(
        "the frame is damaged: it is not what was recorded; the others of this file are not concerned, but check the disk"
    )]
    DamagedFrame,
    /// A row points into the file where no frame begins.
    #[error(
        "no frame is where the index has one; `framelog reindex` makes a new index from the footage"
    )]
    NoFrame,
    /// A frame's row does not say what the frame says of itself.
    #[error(
        "{column} is {said} in the index, {stored} in the file; `framelog reindex` makes a new index from the footage"
    )]
    Disagrees {
        /// As the view `footage` calls it.
        column: &'static str,
        /// What the row says.
        said: i64,
        /// What the file says.
        stored: i64,
    },
    /// A frame in a segment's file has no row.
    #[error("the frame is not in the index; `framelog reindex` adopts it")]
    NoRow,
    /// A stretch of a segment's file is no frame, and the index has none there.
    #[error(
        "{bytes} bytes between frames are no frame; nothing in the index is concerned, but check the disk"
    )]
    DamagedStretch {
        /// Its length.
        bytes: u64,
    },
    /// Behind the last frame of a closed segment.
    #[error(
        "{bytes} bytes behind the last frame are a frame that was never written to its end; nothing in the index is concerned"
    )]
    TornEnd {
        /// Their number.
        bytes: u64,
    },
    /// The picture is what the camera sent, but no JPEG goes on like this.
    #[error(
        "the picture is no whole JPEG, though the index has it as complete: its structure breaks at byte {at} of {length}; the camera sent it so"
    )]
    BrokenPicture {
        /// Bytes from the payload's beginning.
        at: u64,
        /// Length of the payload.
        length: u64,
    },
    /// A file of framelog's that the index doesn't know.
    #[error("the file is not in the index, with {frames} frames; `framelog reindex` adopts it")]
    NotInIndex {
        /// Whole frames in it.
        frames: u64,
    },
    /// A file with a name of framelog's and nothing in it.
    #[error("the file is not in the index, and there is no whole frame in it; it can be deleted")]
    NothingInIt,
    /// A file of somebody else's.
    #[error("not framelog's; it is left alone")]
    Foreign,
    /// A file that retention has let go is still there.
    #[error("the file was to be deleted and is still there; the next `framelog run` deletes it")]
    Doomed,
}

impl Problem {
    /// A name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Problem::DamagedIndex { .. } => "damaged_index",
            Problem::NoCamera { .. } => "no_camera",
            Problem::Stray { .. } => "stray",
            Problem::Miscounted { .. } => "miscounted",
            Problem::ForeignPath => "foreign_path",
            Problem::Missing { .. } => "missing",
            Problem::Short { .. } => "short",
            Problem::Unreadable { .. } => "unreadable",
            Problem::DamagedFrame => "damaged_frame",
            Problem::NoFrame => "no_frame",
            Problem::Disagrees { .. } => "disagrees",
            Problem::NoRow => "no_row",
            Problem::DamagedStretch { .. } => "damaged_stretch",
            Problem::TornEnd { .. } => "torn_end",
            Problem::BrokenPicture { .. } => "broken_picture",
            Problem::NotInIndex { .. } => "not_in_index",
            Problem::NothingInIt => "nothing_in_it",
            Problem::Foreign => "foreign",
            Problem::Doomed => "doomed",
        }
    }

    /// Whether it is footage that gets its rows when the index is made anew.
    pub(super) fn is_adopted(&self) -> bool {
        matches!(self, Problem::NotInIndex { .. })
    }

    /// Whether something is wrong; false for what is only good to know.
    pub fn is_failure(&self) -> bool {
        *self != Problem::Foreign
    }
}

impl fmt::Display for Finding {
    /// `camera time path:offset: what is wrong; what to do`, as far as there is each. Time is RFC 3339, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        let time = place
            .captured_us
            .and_then(DateTime::<Utc>::from_timestamp_micros)
            .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true));
        let file = match (&place.path, place.offset) {
            (Some(path), Some(offset)) => Some(format!("{path}:{offset}")),
            (path, _) => path.clone(),
        };
        let words: Vec<&str> = [&place.camera, &time, &file]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        match words.is_empty() {
            true => write!(f, "{}", self.problem),
            false => write!(f, "{}: {}", words.join(" "), self.problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_says_where_and_what() {
        let finding = Finding {
            place: Place {
                camera: Some("gate".into()),
                captured_us: Some(1_700_000_000_123_456),
                path: Some("footage/gate/2023-11-14/221320.123456Z.mjpeg".into()),
                offset: Some(209),
            },
            problem: Problem::NoRow,
        };
        assert_eq!(
            finding.to_string(),
            "gate 2023-11-14T22:13:20.123456Z footage/gate/2023-11-14/221320.123456Z.mjpeg:209: the frame is not in the index; `framelog reindex` adopts it"
        );
        let nowhere = Finding {
            place: Place::default(),
            ..finding
        };
        assert_eq!(
            nowhere.to_string(),
            "the frame is not in the index; `framelog reindex` adopts it"
        );
    }
}
