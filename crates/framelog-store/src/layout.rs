//! Where a segment lies: camera and time to a path, and back. Not for touching files: that is `disk`.

use chrono::{DateTime, NaiveDate, NaiveTime, Timelike, Utc};

use crate::container::Container;
use crate::error::Error;

/// The index, below the storage directory.
pub const INDEX: &str = "index.db";
/// What SQLite appends to it for its log and its shared memory, and for itself.
pub(crate) const INDEX_SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];
/// How the name of an index begins that was set aside; the time at which it was follows.
pub(crate) const ASIDE: &str = "index.db.before-";
/// What SQLite writes ahead, beside the index.
pub(crate) const LOG: &str = "index.db-wal";
/// Who records here.
pub(crate) const IDENTITY: &str = "recorder.toml";
/// Held while a recorder runs.
pub(crate) const LOCK: &str = "recorder.lock";
/// Space that is kept for the index.
pub(crate) const RESERVE: &str = "reserve";
/// A copy of what is protected, for an index that is made anew.
pub(crate) const PROTECTED: &str = "protected.toml";
/// The directory that all segments lie below, in the storage directory.
pub const FOOTAGE: &str = "footage";

/// Longest camera name, bytes.
const NAME_MAX: usize = 64;
/// Last microsecond of the year 9999: what a four-digit year can say.
const LAST_US: i64 = 253_402_300_799_999_999;

/// What a segment's path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentName {
    /// Checked by [`check_camera`].
    pub camera: String,
    /// Capture time of the first frame; in a path it is held within the years 1970 to 9999.
    pub started_us: i64,
    /// 0, or the segment's id (at least) where a segment of this camera and time was there before: a camera whose stamp stands still
    /// must not make us count files.
    pub duplicate: i64,
    /// Gives the extension.
    pub container: Container,
}

/// Refuses a camera name that is not `[a-z0-9][a-z0-9_-]{0,63}`: nothing else becomes part of a path.
pub(crate) fn check_camera(name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let allowed = name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b == b'_' || b == b'-');
    if allowed {
        Ok(())
    } else {
        Err(Error::CameraName {
            name: name.to_owned(),
        })
    }
}

/// The camera in a path below `footage/<camera>/<date>/`; `None` for any other path.
pub(crate) fn camera_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/');
    let (FOOTAGE, camera, date, file, None) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next(),
    ) else {
        return None;
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    (check_camera(camera).is_ok() && plain(date) && plain(file)).then_some(camera)
}

impl SegmentName {
    /// The path, relative to the storage directory:
    /// `footage/<camera>/<YYYY-MM-DD>/<HHMMSS.uuuuuu>Z[.<duplicate>].<extension>`.
    pub fn path(&self) -> String {
        let started_us = self.started_us.clamp(0, LAST_US);
        // Within the clamp chrono always has a date.
        let started = DateTime::<Utc>::from_timestamp_micros(started_us).unwrap_or_default();
        let duplicate = match self.duplicate {
            0 => String::new(),
            n => format!(".{n}"),
        };
        format!(
            "{FOOTAGE}/{}/{}Z{duplicate}.{}",
            self.camera,
            started.format("%Y-%m-%d/%H%M%S%.6f"),
            self.container.extension()
        )
    }

    /// Reads what [`SegmentName::path`] writes; `None` for any other path.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix(FOOTAGE)?.strip_prefix('/')?.split('/');
        let (camera, date, file, None) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next())
        else {
            return None;
        };
        check_camera(camera).ok()?;
        let (time, rest) = file.split_once('Z')?;
        let (duplicate, extension) = rest.rsplit_once('.')?;
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
        let time = NaiveTime::parse_from_str(time, "%H%M%S%.6f").ok()?;
        if time.nanosecond() >= 1_000_000_000 {
            return None; // a leap second, which we never write
        }
        let name = Self {
            camera: camera.to_owned(),
            started_us: date.and_time(time).and_utc().timestamp_micros(),
            duplicate: match duplicate {
                "" => 0,
                n => n.strip_prefix('.')?.parse().ok()?,
            },
            container: Container::from_extension(extension)?,
        };
        // One spelling only: chrono reads more than we write.
        (name.path() == path).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(started_us: i64, duplicate: i64) -> SegmentName {
        SegmentName {
            camera: "front-door".into(),
            started_us,
            duplicate,
            container: Container::Mjpeg,
        }
    }

    #[test]
    fn path_is_date_and_time_of_the_first_frame() {
        let path = "footage/front-door/2023-11-14/221320.123456Z.mjpeg";
        assert_eq!(name(1_700_000_000_123_456, 0).path(), path);
        assert_eq!(
            name(1_700_000_000_123_456, 2).path(),
            path.replace("Z.", "Z.2.")
        );
    }

    #[test]
    fn absurd_times_are_held_within_what_a_path_can_say() {
        assert_eq!(
            name(i64::MIN, 0).path(),
            "footage/front-door/1970-01-01/000000.000000Z.mjpeg"
        );
        assert_eq!(
            name(i64::MAX, 0).path(),
            "footage/front-door/9999-12-31/235959.999999Z.mjpeg"
        );
    }

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/a",
            "-a",
            "_a",
            "A",
            "a b",
            "a.b",
            "ä",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(check_camera(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "0", "front-door_2", &"a".repeat(64)] {
            assert!(check_camera(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn only_paths_of_footage_have_a_camera() {
        assert_eq!(camera_of("footage/gate/2026-11-22/1.jpg"), Some("gate"));
        for path in [
            "",
            "footage/gate/2026-11-22",
            "footage/gate/2026-11-22/",
            "footage/../2026-11-22/1.jpg",
            "footage/gate/../1.jpg",
            "footage/gate/./..",
            "footage/gate/a/b/1.jpg",
            "/footage/gate/a/1.jpg",
            "index.db",
        ] {
            assert_eq!(camera_of(path), None, "{path}");
        }
    }

    #[test]
    fn foreign_paths_are_not_ours() {
        for path in [
            "footage/a/2023-11-14/221320.123456Z.mkv",
            "footage/a/2023-11-14/221320.123456Z.0.mjpeg",
            "footage/a/2023-11-14/221320.123456Z.01.mjpeg",
            "footage/a/2023-11-14/221320.1Z.mjpeg",
            "footage/a/2023-11-14/235960.123456Z.mjpeg",
            "footage/a/2023-2-14/221320.123456Z.mjpeg",
            "footage/../2023-11-14/221320.123456Z.mjpeg",
            "footage/a/2023-11-14/x/221320.123456Z.mjpeg",
            "/footage/a/2023-11-14/221320.123456Z.mjpeg",
        ] {
            assert_eq!(SegmentName::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn path_and_name_round_trip(
            camera in "[a-z0-9][a-z0-9_-]{0,63}",
            started_us in 0..=LAST_US,
            duplicate in prop_oneof![Just(0), 1..i64::MAX],
            container in prop::sample::select(vec![Container::Mjpeg, Container::Jpg, Container::Mp4]),
        ) {
            let name = SegmentName { camera, started_us, duplicate, container };
            prop_assert_eq!(SegmentName::parse(&name.path()), Some(name));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*", file in "[0-9.Z]{0,20}\\.(mjpeg|jpg|mp4)") {
            let _ = SegmentName::parse(&text);
            let _ = SegmentName::parse(&format!("footage/a/2023-11-14/{file}"));
        }
    }
}
