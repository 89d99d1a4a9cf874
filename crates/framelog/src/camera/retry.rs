//! How long to wait between one connection to a camera and the next. Pure: times and chance are arguments.

use std::time::Duration;

use framelog_core::backoff::Backoff;
use framelog_core::gap::GapReason;

use crate::recorder::Run;
use crate::source::Ended;

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LONGEST: Duration = Duration::from_secs(30);

/// So much healthy time makes up for all failures before.
const HEALTHY_MIN: Duration = Duration::from_secs(60);

/// Cameras lock accounts after a few wrong passwords.
const UNAUTHORIZED_FIRST: Duration = Duration::from_secs(30);
const UNAUTHORIZED_LONGEST: Duration = Duration::from_secs(300);

/// A camera's Retry-After counts up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// From one connection to the next, at least: a camera that closes after a few frames must not make us spin.
const SPACING_MIN: Duration = Duration::from_millis(100);

/// The same for a camera that gives a single picture each time, which is a snapshot in all but name.
const SPACING_SINGLE_MAX: Duration = Duration::from_secs(1);

/// The pauses of one camera, from its failures so far.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    unauthorized: u32,
    single_pictures: u32,
    healthy: Duration,
}

impl Retry {
    /// Nothing has failed yet.
    pub fn new() -> Self {
        Self {
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_LONGEST),
            unauthorized: 0,
            single_pictures: 0,
            healthy: Duration::ZERO,
        }
    }

    /// Failures in a row.
    pub fn attempts(&self) -> u32 {
        self.backoff.attempts().saturating_add(self.unauthorized)
    }

    /// The pause after a connection that ended as `ended` says, gave what `run` says, and was begun `since_connect` ago.
    /// `is_polled`: each picture was asked for by itself. `random` is uniform in 0..=u32::MAX.
    pub fn pause(
        &mut self,
        ended: &Ended,
        run: Run,
        is_polled: bool,
        since_connect: Duration,
        random: u32,
    ) -> Duration {
        self.healthy = self.healthy.saturating_add(run.healthy);
        if self.healthy >= HEALTHY_MIN {
            *self = Self::new();
        }
        let pause = if ends_well(ended, run) {
            self.spacing(run).saturating_sub(since_connect)
        } else {
            self.healthy = Duration::ZERO;
            if is_polled && has_stumbled(ended, run) {
                self.backoff.reset();
            }
            self.failure_pause(ended.reason, random)
        };
        let wish = ended.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        pause.max(wish)
    }

    fn failure_pause(&mut self, reason: GapReason, random: u32) -> Duration {
        if reason != GapReason::Unauthorized {
            self.unauthorized = 0;
            return self.backoff.next_delay(random);
        }
        let doubled = 1u32.checked_shl(self.unauthorized).unwrap_or(u32::MAX);
        self.unauthorized = self.unauthorized.saturating_add(1);
        UNAUTHORIZED_FIRST
            .saturating_mul(doubled)
            .min(UNAUTHORIZED_LONGEST)
    }

    fn spacing(&mut self, run: Run) -> Duration {
        if run.pictures > 1 {
            self.single_pictures = 0;
            return SPACING_MIN;
        }
        let doubled = 1u32.checked_shl(self.single_pictures).unwrap_or(u32::MAX);
        self.single_pictures = self.single_pictures.saturating_add(1);
        SPACING_MIN.saturating_mul(doubled).min(SPACING_SINGLE_MAX)
    }
}

/// Whether it is the normal end of a stream: taken up again at once (camera-quirks row 64).
pub fn ends_well(ended: &Ended, run: Run) -> bool {
    ended.reason == GapReason::Disconnected && run.pictures > 0
}

/// Whether it is one bad answer among good ones, of a camera that is asked for each picture: such come now and then (a Hikvision's `503 Device
/// Busy`, an ESP32's 500), and it is there for the next. A stream that breaks after some pictures has no such excuse.
fn has_stumbled(ended: &Ended, run: Run) -> bool {
    let is_answer = matches!(
        ended.reason,
        GapReason::NotVideo | GapReason::BadResponse | GapReason::Busy
    );
    is_answer && run.pictures > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(9);

    fn ended(reason: GapReason) -> Ended {
        Ended::new(reason, "")
    }

    fn run(pictures: u64, healthy_s: u64) -> Run {
        Run {
            pictures,
            healthy: Duration::from_secs(healthy_s),
            ..Run::default()
        }
    }

    /// The pauses, in milliseconds, of so many failures in a row, at the greatest chance.
    fn pauses(retry: &mut Retry, reason: GapReason, count: usize) -> Vec<u128> {
        let mut pause = || {
            retry
                .pause(&ended(reason), run(0, 0), false, LATE, u32::MAX)
                .as_millis()
        };
        (0..count).map(|_| pause()).collect()
    }

    #[test]
    fn pauses_after_failures_grow_to_thirty_seconds() {
        for reason in [
            GapReason::Unreachable,
            GapReason::Busy,
            GapReason::NotVideo,
            GapReason::BadResponse,
            GapReason::Stalled,
            GapReason::Disconnected,
        ] {
            let pauses = pauses(&mut Retry::new(), reason, 8);
            assert_eq!(
                pauses,
                [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
            );
        }
    }

    #[test]
    fn wrong_credentials_are_tried_every_thirty_seconds_and_then_every_five_minutes() {
        let pauses = pauses(&mut Retry::new(), GapReason::Unauthorized, 6);
        assert_eq!(pauses, [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
    }

    #[test]
    fn stream_that_ends_after_good_frames_is_taken_up_at_once() {
        let mut retry = Retry::new();
        pauses(&mut retry, GapReason::Unreachable, 5);
        let pause = retry.pause(
            &ended(GapReason::Disconnected),
            run(5, 0),
            false,
            LATE,
            u32::MAX,
        );
        assert_eq!(pause, Duration::ZERO);
    }

    #[test]
    fn connections_that_end_well_are_a_tenth_of_a_second_apart() {
        let mut retry = Retry::new();
        for _ in 0..1000 {
            let since = Duration::from_millis(30);
            let pause = retry.pause(&ended(GapReason::Disconnected), run(5, 0), false, since, 0);
            assert_eq!(pause, Duration::from_millis(70));
        }
    }

    #[test]
    fn connections_with_a_single_picture_get_a_second_apart() {
        let mut retry = Retry::new();
        let mut pause = || {
            retry
                .pause(
                    &ended(GapReason::Disconnected),
                    run(1, 0),
                    false,
                    Duration::ZERO,
                    0,
                )
                .as_millis()
        };
        let pauses: Vec<_> = (0..6).map(|_| pause()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn sixty_healthy_seconds_make_up_for_all_failures() {
        for (healthy_s, next_ms) in [(59, 16_000), (60, 1_000)] {
            let mut retry = Retry::new();
            pauses(&mut retry, GapReason::Unreachable, 4);
            let pause = retry.pause(
                &ended(GapReason::Stalled),
                run(900, healthy_s),
                false,
                LATE,
                u32::MAX,
            );
            assert_eq!(pause.as_millis(), next_ms);
        }
    }

    #[test]
    fn healthy_time_adds_up_over_streams_that_end_well() {
        let mut retry = Retry::new();
        pauses(&mut retry, GapReason::Unreachable, 4);
        for _ in 0..6 {
            retry.pause(
                &ended(GapReason::Disconnected),
                run(100, 10),
                false,
                LATE,
                0,
            );
        }
        assert_eq!(pauses(&mut retry, GapReason::Unreachable, 1), [1_000]);
    }

    #[test]
    fn bad_answers_among_good_ones_are_not_failures_in_a_row() {
        for (reason, is_polled, pauses_ms) in [
            (GapReason::NotVideo, true, [1_000, 1_000]),
            (GapReason::BadResponse, true, [1_000, 1_000]),
            (GapReason::Busy, true, [1_000, 1_000]),
            (GapReason::Stalled, true, [16_000, 30_000]),
            (GapReason::NotVideo, false, [16_000, 30_000]),
            (GapReason::BadResponse, false, [16_000, 30_000]),
            (GapReason::Busy, false, [16_000, 30_000]),
        ] {
            let mut retry = Retry::new();
            pauses(&mut retry, GapReason::Unreachable, 4);
            let stumbles = [0; 2].map(|_| {
                let pause = retry.pause(&ended(reason), run(1, 0), is_polled, LATE, u32::MAX);
                pause.as_millis()
            });
            assert_eq!(stumbles, pauses_ms, "{reason:?}, polled: {is_polled}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_up_to_ten_minutes() {
        for (wish_s, pause_s) in [(0, 1), (7, 7), (599, 599), (86_400, 600)] {
            let wish = Some(Duration::from_secs(wish_s));
            let ended = Ended {
                retry_after: wish,
                ..ended(GapReason::Busy)
            };
            let pause = Retry::new().pause(&ended, run(0, 0), false, LATE, u32::MAX);
            assert_eq!(pause, Duration::from_secs(pause_s));
        }
    }
}
