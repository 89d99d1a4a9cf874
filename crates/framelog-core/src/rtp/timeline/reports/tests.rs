use super::super::{NTP_TO_UNIX, Timeline};
use crate::clock::{Clock, TimestampMode};

const NOW: i64 = 1_700_000_000_000_000;
const FRAME_US: i64 = 100_000;
/// The last second of NTP time, 2036-02-07 06:28:15.
const LAST_SECOND: i64 = 0xFFFF_FFFF - NTP_TO_UNIX;

fn ntp(wall_us: i64) -> u64 {
    let seconds = (wall_us.div_euclid(1_000_000) + NTP_TO_UNIX) as u64;
    (seconds << 32) + ((wall_us.rem_euclid(1_000_000) as u64) << 32) / 1_000_000
}

/// What a camera sends: pictures, and with every so many of them a report.
struct Sent {
    frames: i64,
    frames_in_report: i64,
    keyframe_from: i64,
    ticks_in_frame: i64,
    /// The RTP time that is reported goes on by so many, for each frame.
    ticks_in_report: Option<i64>,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            frames: 200,
            frames_in_report: 1,
            keyframe_from: 0,
            ticks_in_frame: 9_000,
            ticks_in_report: None,
        }
    }
}

impl Sent {
    /// By how much each picture's wall time is ahead of when it was sent, if it has one. `wall_us` tells the time that is reported so many
    /// microseconds from the beginning. Each keyframe begins a segment; where that has no wall time, its pictures must be near when they were sent.
    fn ahead(&self, wall_us: impl Fn(i64) -> i64) -> Vec<Option<i64>> {
        let mut timeline = Timeline::new(90_000);
        let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
        (0..self.frames)
            .map(|n| {
                let sent_us = NOW + n * FRAME_US;
                let received_us = sent_us + (n * 7_919) % 9_000;
                let rtp_time = (n * self.ticks_in_frame) as u32;
                if n % self.frames_in_report == 0 {
                    let ticks = self.ticks_in_report.unwrap_or(self.ticks_in_frame);
                    let reported = (n * ticks) as u32;
                    timeline.report(ntp(wall_us(n * FRAME_US)), reported, received_us);
                }
                let keyframe = (n + self.keyframe_from) % 5 == 0;
                let stamp = timeline.stamp(rtp_time, received_us, keyframe);
                if keyframe {
                    clock.new_segment();
                }
                let reading = clock.read(stamp, received_us);
                let is_wall = reading.skew_us.is_some();
                assert!(
                    is_wall || reading.captured_us.abs_diff(sent_us) < 350_000,
                    "{n}: {reading:?}"
                );
                stamp.stamp_us.map(|us| us - sent_us)
            })
            .collect()
    }
}

/// Asserts that the wall times that were given are all those of the first report within a tolerance, and that there are none in the end.
fn assert_are_dropped(ahead: &[Option<i64>], within_us: u64) {
    let first = ahead[0].expect("the first report was not believed");
    let worst = ahead.iter().flatten().map(|us| us.abs_diff(first)).max();
    assert!(worst.is_some_and(|us| us <= within_us), "{ahead:?}");
    let dropped = ahead
        .iter()
        .position(Option::is_none)
        .expect("never dropped");
    assert!(ahead[dropped..].iter().all(Option::is_none), "{ahead:?}");
}

#[test]
fn seconds_that_stand_still_under_a_fraction_that_goes_on_are_not_followed() {
    let seconds = [LAST_SECOND, 1_580_000_000, NOW / 1_000_000];
    for (second, start) in seconds
        .into_iter()
        .flat_map(|s| (0..20).map(move |n| (s, n)))
    {
        for frames_in_report in [1, 2, 3, 7, 13, 30] {
            let sent = Sent {
                frames: 140 * frames_in_report,
                frames_in_report,
                keyframe_from: start % 5,
                ..Sent::default()
            };
            let ahead =
                sent.ahead(|us| second * 1_000_000 + (us + start * 51_234).rem_euclid(1_000_000));
            assert_are_dropped(&ahead, 2);
        }
    }
}

#[test]
fn time_that_stands_still_is_not_followed() {
    for (wall_us, from) in [LAST_SECOND * 1_000_000, NOW]
        .into_iter()
        .flat_map(|us| (0..5).map(move |n| (us, n)))
    {
        for frames_in_report in [1, 2, 7, 50] {
            let sent = Sent {
                frames: 20 * frames_in_report,
                frames_in_report,
                keyframe_from: from,
                ..Sent::default()
            };
            assert_are_dropped(&sent.ahead(|_| wall_us), 250_000);
        }
    }
}

#[test]
fn reports_whose_rtp_time_does_not_go_on_as_that_of_the_pictures_are_not_followed() {
    for (ticks_in_report, frames_in_report) in [0, 100, 18_000]
        .into_iter()
        .flat_map(|ticks| [1, 3, 10, 50].map(|frames| (ticks, frames)))
    {
        let sent = Sent {
            frames: 200 + 20 * frames_in_report,
            frames_in_report,
            ticks_in_report: Some(ticks_in_report),
            ..Sent::default()
        };
        let ahead = sent.ahead(|us| NOW + us);
        let worst = ahead.iter().flatten().map(|us| us.abs()).max();
        assert!(
            worst.is_some_and(|us| us <= 500_000),
            "{ticks_in_report} {frames_in_report}: {worst:?}"
        );
    }
}

#[test]
fn where_rtp_time_stands_still_reports_give_no_time() {
    for frames_in_report in [1, 3, 10, 50] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..20 * frames_in_report + 100 {
            let now_us = NOW + n * FRAME_US;
            if n % frames_in_report == 0 {
                timeline.report(ntp(now_us), 12_345, now_us);
            }
            let stamp = timeline.stamp(12_345, now_us, n % 5 == 0);
            let is_known = n > 5 * frames_in_report + 20;
            assert!(!is_known || stamp.stamp_us.is_none(), "{n}: {stamp:?}");
        }
    }
}

#[test]
fn a_clock_that_is_set_once_is_believed_after_a_few_reports() {
    let hour_us = 3_600_000_000;
    for (step_us, reports) in [(hour_us, 2), (-hour_us, 3), (-2_000_000, 3)] {
        for frames_in_report in [1, 50, 300] {
            let at = 10 * frames_in_report;
            let sent = Sent {
                frames: 20 * frames_in_report + 60,
                frames_in_report,
                ..Sent::default()
            };
            let ahead = sent.ahead(|us| NOW + us + if us >= at * FRAME_US { step_us } else { 0 });
            // Its next keyframe is the one where it changes, once.
            let changed = ahead
                .iter()
                .position(|us| us.is_some_and(|us| us.abs_diff(step_us) <= 2))
                .expect("the step was never believed");
            let few = ((reports - 1) * frames_in_report).max(if step_us > 0 { 0 } else { 31 });
            assert!(
                (at..=at + few + 5).contains(&(changed as i64)),
                "{step_us} {frames_in_report}: {changed}"
            );
            assert!(
                ahead[..changed]
                    .iter()
                    .all(|us| us.is_some_and(|us| us.abs() <= 2))
            );
            assert!(
                ahead[changed..]
                    .iter()
                    .all(|us| us.is_some_and(|us| us.abs_diff(step_us) <= 2))
            );
        }
    }
}

#[test]
fn time_that_went_wrong_is_believed_again_when_it_has_gone_on_well() {
    let ahead = Sent::default().ahead(|us| NOW + if us < 6_000_000 { 0 } else { us });
    assert!(ahead[55].is_none(), "{ahead:?}");
    let again = ahead[100..]
        .iter()
        .all(|us| us.is_some_and(|us| us.abs() <= 2));
    assert!(again, "{ahead:?}");
}

#[test]
fn reports_count_also_when_rtp_time_runs_slow_or_fast() {
    for ticks_in_frame in [7_560, 8_700, 9_300, 10_440] {
        for frames_in_report in [1, 10, 50, 300] {
            let sent = Sent {
                frames: 1_200,
                frames_in_report,
                ticks_in_frame,
                ..Sent::default()
            };
            // Reports jitter.
            let ahead = sent.ahead(|us| NOW + us + us / FRAME_US * 3_571 % 20_000);
            let worst = ahead[300..]
                .iter()
                .map(|us| us.map_or(i64::MAX, i64::abs))
                .max();
            assert!(
                worst.is_some_and(|us| us < 400_000),
                "{ticks_in_frame} {frames_in_report}: {worst:?}"
            );
        }
    }
}

#[test]
fn whole_seconds_are_still_used() {
    for frames_in_report in [1, 3, 7, 10, 53, 57, 300] {
        for start in 0..10 {
            let sent = Sent {
                frames: 40 * frames_in_report,
                frames_in_report,
                ..Sent::default()
            };
            let ahead = sent.ahead(|us| NOW + us - (us + start * 101_234) % 1_000_000);
            let is_near = |us: &Option<i64>| us.is_some_and(|us| (-1_000_002..=2).contains(&us));
            assert!(
                ahead.iter().all(is_near),
                "{frames_in_report} {start}: {ahead:?}"
            );
        }
    }
}
