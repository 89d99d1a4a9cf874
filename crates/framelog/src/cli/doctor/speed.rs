//! How fast the disk takes footage: written for a moment and taken away again. Not for benchmarks: it shares the disk with whatever else runs.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::finding::Finding;
use super::load::Load;
use crate::cli::words;

const CHECK: &str = "disk-speed";
/// As much as a slow disk takes in a few seconds.
const BYTES: u64 = 64 << 20;
const PIECE: usize = 4 << 20;
/// No more than this part of what is free: a recorder may run beside.
const PART: u64 = 4;
/// With less free a disk counts as full.
const FULL: u64 = 1 << 20;
/// Single syncs, of which the longest counts: each one holds the index.
const SYNCS: u32 = 10;
/// Below so many times the load, little stands between a busy moment and lost frames.
const HEADROOM: f64 = 3.0;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Written and synced, bytes a second.
    pub bytes_per_s: f64,
    /// The longest of some syncs of 4 KiB.
    pub sync: Duration,
}

/// How many pieces are written where so many bytes are free; 0 where there is too little room to tell anything.
pub fn pieces(free: u64) -> usize {
    let bytes = BYTES.min(free / PART);
    usize::try_from(bytes).unwrap_or(usize::MAX) / PIECE
}

/// Writes so many pieces into a file without a name in this directory, which is gone with this call.
///
/// # Errors
/// The directory can't be written, or has no room.
pub fn measure(directory: &Path, pieces: usize) -> io::Result<Speed> {
    let mut file = tempfile::tempfile_in(directory)?;
    // Not zeros, which some disks don't write.
    let piece: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(PIECE)
        .collect();
    let begin = Instant::now();
    for _ in 0..pieces {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    let bytes_per_s = (pieces * PIECE) as f64 / begin.elapsed().as_secs_f64().max(1e-6);
    let mut sync = Duration::ZERO;
    for _ in 0..SYNCS {
        file.write_all(&piece[..4096])?;
        let begin = Instant::now();
        file.sync_data()?;
        sync = sync.max(begin.elapsed());
    }
    Ok(Speed { bytes_per_s, sync })
}

/// With so little free that nothing was measured.
pub fn not_measured(free: u64) -> Finding {
    if free < FULL {
        return full();
    }
    Finding::warning(
        CHECK,
        format!(
            "not measured: there is too little room, {} free",
            words::bytes(free)
        ),
        "see what else fills the disk, or use a larger one",
    )
}

fn full() -> Finding {
    Finding::wrong(
        CHECK,
        "the disk is full",
        "see what else fills it, or let footage go: [storage] max_size, min_free, retain",
    )
}

/// Against what the cameras bring, and how often it is synced.
pub fn judge(measured: &io::Result<Speed>, load: &Load, every: Duration) -> Finding {
    let speed = match measured {
        Ok(speed) => speed,
        Err(error) if framelog_store::is_full(error.kind()) => return full(),
        Err(error) => {
            return Finding::warning(
                CHECK,
                format!("can't be measured: {error}"),
                "run it as one who may write there: sudo framelog doctor",
            );
        }
    };
    let bytes = |rate: f64| words::bytes(rate as u64);
    let says = format!(
        "{}/s written, {} for a sync; the cameras bring {}/s ({})",
        bytes(speed.bytes_per_s),
        words::duration(i64::try_from(speed.sync.as_micros()).unwrap_or(i64::MAX)),
        bytes(load.bytes_per_s),
        load.source()
    );
    if speed.bytes_per_s < load.bytes_per_s {
        Finding::wrong(
            CHECK,
            says,
            "frames will be dropped (disk_slow): use a faster disk, or fewer or smaller pictures",
        )
    } else if speed.bytes_per_s < load.bytes_per_s * HEADROOM {
        Finding::warning(
            CHECK,
            says,
            "there is little to spare: see what else uses the disk",
        )
    } else if speed.sync > every {
        Finding::warning(
            CHECK,
            says,
            "a sync takes longer than [storage] sync: a power cut costs more than that says",
        )
    } else {
        Finding::ok(CHECK, says)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_disk_must_take_more_than_the_cameras_bring() {
        let load = Load {
            bytes_per_s: 10e6,
            measured: 1,
            estimated: 0,
        };
        for (bytes_per_s, sync_ms, expected) in [
            (9e6, 1, Level::Wrong),
            (11e6, 1, Level::Warning),
            (100e6, 1001, Level::Warning),
            (100e6, 10, Level::Ok),
        ] {
            let speed = Speed {
                bytes_per_s,
                sync: Duration::from_millis(sync_ms),
            };
            let found = judge(&Ok(speed), &load, Duration::from_secs(1));
            assert_eq!(found.level, expected, "{}", found.says);
        }
        let failed = Err(io::ErrorKind::PermissionDenied.into());
        let found = judge(&failed, &load, Duration::from_secs(1));
        assert_eq!(found.level, Level::Warning);
    }

    #[test]
    fn measuring_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let speed = measure(dir.path(), 1).unwrap();
        assert!(speed.bytes_per_s > 0.0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(measure(&dir.path().join("missing"), 1).is_err());
    }

    #[test]
    fn a_small_disk_is_measured_with_less_and_one_without_room_not_at_all() {
        for (free, expected) in [
            (u64::MAX, 16),
            (1 << 30, 16),
            (40 << 20, 2),
            (16 << 20, 1),
            (15 << 20, 0),
        ] {
            assert_eq!(pieces(free), expected, "{free}");
        }
        let little = not_measured(15_000_000);
        assert_eq!(little.level, Level::Warning);
        assert!(little.says.ends_with("too little room, 15 MB free"));
        assert_eq!(not_measured(4096).level, Level::Wrong);
    }
}
