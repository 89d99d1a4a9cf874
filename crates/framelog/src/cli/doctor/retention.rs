//! How many days of footage there will be at this rate. Not for what goes when: that is the store's.

use std::time::Duration;

use super::finding::Finding;
use super::load::Load;
use crate::cli::words;

const CHECK: &str = "retention";
const DAY_S: f64 = 86_400.0;

/// What the prediction is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Bytes free on the disk.
    pub free: u64,
    /// Bytes that stay free.
    pub min_free: u64,
    /// The most bytes of footage.
    pub max_size: Option<u64>,
    /// How long footage should stay.
    pub retain: Option<Duration>,
    /// Since when there is footage.
    pub kept: Duration,
}

/// Days until the oldest goes for want of room: those that are kept already, and what fits beside them.
fn days(room: &Room, load: &Load) -> f64 {
    let per_day = load.bytes_per_s * DAY_S;
    let on_disk =
        room.kept.as_secs_f64() / DAY_S + room.free.saturating_sub(room.min_free) as f64 / per_day;
    match room.max_size {
        Some(most) => on_disk.min(most as f64 / per_day),
        None => on_disk,
    }
}

/// Against what is wanted.
pub fn judge(room: &Room, load: &Load) -> Finding {
    if load.bytes_per_s <= 0.0 {
        return Finding::ok(CHECK, "no camera is recorded, so no footage goes for room");
    }
    let days = days(room, load);
    let says = format!(
        "{} a day ({}): {}",
        words::bytes((load.bytes_per_s * DAY_S) as u64),
        load.source(),
        words::days_fit(days)
    );
    let wanted = room.retain.map(|retain| retain.as_secs_f64() / DAY_S);
    match wanted {
        Some(wanted) if days < wanted => Finding::warning(
            CHECK,
            format!("{says}, and retain asks for {}", words::days(wanted)),
            "use a larger disk or max_size, or fewer or smaller pictures",
        ),
        _ if days < 1.0 => Finding::warning(
            CHECK,
            says,
            "use a larger disk or max_size, or fewer or smaller pictures",
        ),
        _ => Finding::ok(CHECK, says),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const LOAD: Load = Load {
        bytes_per_s: 1e6,
        measured: 1,
        estimated: 0,
    };

    fn room() -> Room {
        Room {
            free: 864_000_000_000 + 5_000_000_000,
            min_free: 5_000_000_000,
            max_size: None,
            retain: None,
            kept: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_kept_and_what_fits_add_up() {
        assert_eq!(days(&room(), &LOAD), 10.0);
        let kept = Duration::from_secs(86_400 * 20);
        assert_eq!(days(&Room { kept, ..room() }, &LOAD), 30.0);
        let full = Room {
            kept,
            free: 0,
            ..room()
        };
        assert_eq!(days(&full, &LOAD), 20.0, "the oldest makes room");
        let limited = Room {
            kept,
            max_size: Some(86_400_000_000),
            ..room()
        };
        assert_eq!(days(&limited, &LOAD), 1.0);
    }

    #[test]
    fn less_than_retain_asks_for_is_a_warning() {
        let retain = |days: u64| Room {
            retain: Some(Duration::from_secs(86_400 * days)),
            ..room()
        };
        assert_eq!(judge(&retain(9), &LOAD).level, Level::Ok);
        let found = judge(&retain(30), &LOAD);
        assert_eq!(found.level, Level::Warning);
        assert_eq!(
            found.says,
            "86 GB a day (measured): 10 days fit, and retain asks for 30 days"
        );
        let nothing = Load {
            bytes_per_s: 0.0,
            ..LOAD
        };
        assert_eq!(judge(&retain(30), &nothing).level, Level::Ok);
    }
}
