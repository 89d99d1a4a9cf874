use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000_000_000;
const FRAME_US: i64 = 40_000;

fn ntp(wall_us: i64) -> u64 {
    let seconds = (wall_us / 1_000_000 + NTP_TO_UNIX) as u64;
    (seconds << 32) + (((wall_us % 1_000_000) as u64) << 32) / 1_000_000
}

fn media(stamp: Stamp) -> i64 {
    stamp.media_us.expect("no media time")
}

/// By how much the media time of frames is off, at most, from one frame on; time as they are sent, `ticks_of` what RTP time says.
fn worst(
    clock_hz: u32,
    frames: i64,
    from: i64,
    frame_us: i64,
    ticks_of: impl Fn(i64) -> u32,
) -> i64 {
    let mut timeline = Timeline::new(clock_hz);
    (0..frames)
        .map(|n| {
            let jitter_us = (n * 7919) % 9_000;
            let stamp = timeline.stamp(ticks_of(n), NOW + n * frame_us + jitter_us, true);
            if n < from {
                0
            } else {
                (media(stamp) - START_US - n * frame_us).abs()
            }
        })
        .max()
        .unwrap()
}

#[test]
fn a_good_clock_is_followed_exactly_also_over_the_wrap() {
    let ticks = |n: i64| (u32::MAX - 10_000).wrapping_add(n as u32 * 3_600);
    assert_eq!(worst(90_000, 5_000, 0, FRAME_US, ticks), 0);
}

#[test]
fn a_clock_that_runs_slow_is_found_and_put_right() {
    // 25 frames a second are counted, 21 are sent.
    let found = worst(90_000, 2_000, 150, 1_000_000 / 21, |n| n as u32 * 3_600);
    assert!(found < 400_000, "{found}");
}

#[test]
fn a_clock_of_quite_another_rate_is_found_within_seconds() {
    for ticks_in_frame in [40, 320, 40_000, 1_764] {
        let found = worst(90_000, 2_000, 60, FRAME_US, |n| n as u32 * ticks_in_frame);
        assert!(found < 950_000, "{ticks_in_frame}: {found}");
        let found = worst(90_000, 2_000, 500, FRAME_US, |n| n as u32 * ticks_in_frame);
        assert!(found < 400_000, "{ticks_in_frame}: {found}");
    }
}

#[test]
fn a_stall_and_the_burst_behind_it_keep_their_spacing() {
    let mut timeline = Timeline::new(90_000);
    for n in 0..3_000i64 {
        let sent_us = NOW + n * FRAME_US;
        // From second 20 to second 28 the network stands still.
        let stall = NOW + 20_000_000..NOW + 28_000_000;
        let received_us = if stall.contains(&sent_us) {
            stall.end
        } else {
            sent_us
        };
        let stamp = timeline.stamp(n as u32 * 3_600, received_us, true);
        assert_eq!(media(stamp), START_US + n * FRAME_US);
    }
}

/// The media times' errors of a stream that comes ever later from second `from` on for so long, by half of the time that passes, and then
/// catches up: in the meantime at most, and afterwards. `reported`: with a sender report each second.
fn errors_behind(from: i64, for_us: i64, reported: bool) -> [i64; 2] {
    let mut timeline = Timeline::new(90_000);
    let behind = NOW + from..NOW + from + for_us;
    let mut errors = [0, 0];
    let mut received_us = NOW;
    for n in 0..1_500i64 {
        let sent_us = NOW + n * FRAME_US;
        received_us = if behind.contains(&sent_us) {
            sent_us + (sent_us - behind.start) / 2
        } else {
            sent_us.max(received_us + 4_000)
        };
        if reported && n % 25 == 0 {
            timeline.report(ntp(sent_us), n as u32 * 3_600, received_us);
        }
        let stamp = timeline.stamp(n as u32 * 3_600, received_us, n % 25 == 0);
        let error_us = (media(stamp) - START_US - n * FRAME_US).abs();
        let is_after = sent_us > behind.end + for_us;
        errors[usize::from(is_after)] = error_us.max(errors[usize::from(is_after)]);
    }
    errors
}

#[test]
fn a_network_that_falls_behind_and_catches_up_changes_no_rate() {
    for from in [5_000_000, 20_000_000] {
        for for_us in [2_000_000, 3_000_000, 4_000_000] {
            assert_eq!(
                errors_behind(from, for_us, false),
                [0, 0],
                "{from} {for_us}"
            );
        }
    }
    // From the start on, or for long, that can't be told from a slow clock; but once the stream catches up.
    for (from, for_us) in [
        (0, 2_500_000),
        (0, 5_000_000),
        (1_000_000, 4_000_000),
        (20_000_000, 15_000_000),
    ] {
        assert_eq!(errors_behind(from, for_us, false)[1], 0, "{from} {for_us}");
    }
}

#[test]
fn reports_count_for_more_than_a_network_that_falls_behind() {
    for (from, for_us) in [(3_000_000, 4_000_000), (20_000_000, 15_000_000)] {
        assert_eq!(errors_behind(from, for_us, true), [0, 0], "{from} {for_us}");
    }
}

#[test]
fn a_clock_that_runs_wrong_is_put_right_also_where_reports_say_how() {
    for ticks_in_frame in [3_024, 1_800, 4_200] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..1_500i64 {
            let (sent_us, rtp_time) = (NOW + n * FRAME_US, n as u32 * ticks_in_frame);
            if n % 25 == 0 {
                timeline.report(ntp(sent_us), rtp_time, sent_us);
            }
            let stamp = timeline.stamp(rtp_time, sent_us, n % 25 == 0);
            let error_us = (media(stamp) - START_US - n * FRAME_US).abs();
            assert!(
                n < 150 || error_us < 400_000,
                "{ticks_in_frame} {n}: {error_us}"
            );
            let wall_us = stamp.stamp_us.expect("no wall time");
            let most_us = if n < 150 { 960_000 } else { 30_000 };
            assert!(
                wall_us.abs_diff(sent_us) <= most_us,
                "{ticks_in_frame} {n}: {}",
                wall_us - sent_us
            );
        }
    }
}

/// How far ahead of the arrivals media times of a stream get, and wall times once three reports have come, microseconds, of a camera whose wall
/// clock is ours. Media time never goes back, and wall time not by more than the first reports may be late. RTP time counts so many percent of what
/// it should; a report comes with each so manieth picture, or none where that is 0.
fn ahead(percent: i64, report_each: i64, arrival: impl Fn(i64) -> i64) -> [i64; 2] {
    let mut timeline = Timeline::new(90_000);
    let mut ahead = [0; 2];
    let mut before = [0; 2];
    for n in 0..2_000i64 {
        let (rtp_time, arrival_us) = ((n * 36 * percent) as u32, arrival(n));
        if report_each > 0 && n % report_each == 3 {
            timeline.report(ntp(NOW + n * FRAME_US), rtp_time, NOW + arrival_us);
        }
        let stamp = timeline.stamp(rtp_time, NOW + arrival_us, n % 25 == 0);
        let wall_us = stamp.stamp_us.map_or(before[1], |us| us - NOW);
        let now = [media(stamp) - START_US, wall_us];
        for (of, back_max_us) in [(0, 0), (1, 300_000)] {
            assert!(
                now[of] >= before[of] - back_max_us,
                "{percent} % {n}: back to {now:?} from {before:?}"
            );
            ahead[of] = (now[of] - arrival_us).max(ahead[of]);
        }
        before = now;
        if n <= 3 * report_each {
            assert!(
                ahead[1] <= EARLIER_US + 300_000,
                "{percent} % {n}: {ahead:?}"
            );
            ahead[1] = 0;
        }
    }
    ahead
}

#[test]
fn rtp_time_that_runs_fast_puts_no_picture_behind_its_arrival() {
    for percent in [101, 102, 105, 111, 120, 140, 200] {
        for report_each in [0, 25, 125] {
            let jittering = |n: i64| n * FRAME_US + (n * 7919) % 9_000;
            let ahead = ahead(percent, report_each, jittering);
            assert!(
                ahead.iter().all(|us| *us <= EARLIER_US),
                "{percent} %, {report_each}: {ahead:?}"
            );
        }
    }
}

#[test]
fn where_the_first_pictures_were_all_late_those_behind_them_are_taken_before_they_come() {
    for report_each in [0, 25, 125] {
        let late_at_first = |n: i64| n * FRAME_US + (75 - n).max(0) * 8_000;
        let ahead = ahead(100, report_each, late_at_first);
        assert!(
            ahead.iter().all(|us| *us <= EARLIER_US),
            "{report_each}: {ahead:?}"
        );
    }
}

/// Panics unless the wall time of this picture is right, but for rounding.
fn assert_wall_time(stamp: Stamp, expected_us: i64, n: i64) {
    let wall_us = stamp.stamp_us.expect("no wall time");
    let off_us = wall_us - expected_us;
    assert!(off_us.abs() <= 2, "{n}: {off_us}");
}

#[test]
fn a_right_wall_time_stays_right_whatever_comes_earlier_than_before() {
    // The camera's clock is ahead of ours by so much, and its first report is late by so much.
    for (ahead_us, report_late_us) in [(0, 5_000), (3_000_000, 5_000), (3_000_000, 280_000)] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..1_000i64 {
            let (taken_us, rtp_time) = (NOW + n * FRAME_US, n as u32 * 3_600);
            let late_us = if n < 60 { 400_000 } else { 5_000 };
            if n == 3 {
                timeline.report(
                    ntp(taken_us + ahead_us),
                    rtp_time,
                    taken_us + report_late_us,
                );
            } else if n % 125 == 0 && n > 0 {
                timeline.report(ntp(taken_us + ahead_us), rtp_time, taken_us + 5_000);
            }
            let stamp = timeline.stamp(rtp_time, taken_us + late_us, n % 25 == 0);
            if n >= 3 {
                assert_wall_time(stamp, taken_us + ahead_us, n);
            }
        }
    }
}

#[test]
fn reports_that_agreed_by_media_time_still_do_when_it_was_held_back() {
    let mut timeline = Timeline::new(90_000);
    for n in 0..1_000i64 {
        let (taken_us, rtp_time) = (NOW + n * FRAME_US, n as u32 * 3_600);
        // What a server had kept for ten seconds comes faster than it was taken, reports and all.
        let received_us = taken_us + (10_000_000 - n * 24_000).max(0);
        if n % 25 == 3 {
            timeline.report(ntp(taken_us), rtp_time, received_us);
        }
        let stamp = timeline.stamp(rtp_time, received_us, n % 25 == 0);
        if n >= 3 {
            assert_wall_time(stamp, taken_us, n);
        }
    }
}

#[test]
fn a_keyframe_whose_time_jitters_begins_nothing() {
    let mut timeline = Timeline::new(90_000);
    for n in 0..500i64 {
        let is_key = n % 25 == 0;
        let shift_us = if is_key && n > 0 { -70_000 } else { 0 };
        let rtp_time = ((n * FRAME_US + shift_us) * 9 / 100) as u32;
        let stamp = timeline.stamp(rtp_time, NOW + n * FRAME_US, is_key);
        assert_eq!(media(stamp) - START_US, n * FRAME_US + shift_us, "{n}");
    }
}

#[test]
fn a_clock_that_becomes_slow_is_put_right() {
    let ticks = |n: i64| (n.min(500) * 3_600 + (n - 500).max(0) * 3_024) as u32;
    let found = worst(90_000, 2_000, 900, FRAME_US, ticks);
    assert!(found < 1_500_000, "{found}");
}

#[test]
fn a_burst_at_the_start_keeps_its_spacing() {
    for late_us in [6_000_000, 0] {
        let mut timeline = Timeline::new(90_000);
        timeline.report(ntp(NOW), 0, NOW);
        timeline.begin_late(late_us);
        timeline.go_live();
        for n in 0..500i64 {
            let sent_us = NOW + n * FRAME_US;
            // What was sent in the first seconds is received at once.
            let received_us = sent_us.max(NOW + 6_000_000 + n * 100);
            let stamp = timeline.stamp(n as u32 * 3_600, received_us, n % 25 == 0);
            if late_us > 0 {
                assert_eq!(media(stamp), START_US + n * FRAME_US, "{n}");
            }
            // A report tells it also where nothing is known of the burst.
            assert!(
                stamp.stamp_us.is_some_and(|us| us.abs_diff(sent_us) <= 1),
                "{n}"
            );
        }
    }
}

#[test]
fn where_rtp_time_leaps_media_time_goes_on_by_arrival() {
    for leap in [900_000u32, 0u32.wrapping_sub(900_000), 1 << 31, 77_777_777] {
        let ticks = |n: i64| (n as u32 * 3_600).wrapping_add(if n >= 300 { leap } else { 0 });
        let found = worst(90_000, 1_000, 0, FRAME_US, ticks);
        assert!(found < 20_000, "{leap}: {found}");
    }
}

#[test]
fn where_rtp_time_begins_anew_with_each_keyframe_media_time_goes_on_by_arrival() {
    for (frame_us, gop) in [
        (40_000, 25),
        (100_000, 10),
        (100_000, 5),
        (200_000, 5),
        (33_333, 15),
    ] {
        for (report_each, at) in [(1_000_000, 0), (25, 0), (25, 24), (40, 3)] {
            let mut timeline = Timeline::new(90_000);
            for n in 0..1_000i64 {
                let arrival_us = NOW + n * frame_us + (n * 7919) % 9_000;
                let rtp_time = 5_000 + (n % gop * frame_us * 9 / 100) as u32;
                if n % report_each == at {
                    timeline.report(ntp(arrival_us), rtp_time, arrival_us);
                }
                let stamp = timeline.stamp(rtp_time, arrival_us, n % gop == 0);
                let came_us = arrival_us - NOW;
                let wall_us = stamp.stamp_us.map_or(came_us, |us| us - NOW);
                // What the first reports mean is not known before others have come.
                let most_us = if n > 3 * report_each {
                    EARLIER_US
                } else {
                    1_000_000
                };
                for (us, most_us) in [(media(stamp) - START_US, EARLIER_US), (wall_us, most_us)] {
                    let off_us = (us - came_us).abs();
                    assert!(
                        off_us <= most_us,
                        "{frame_us} {gop}, {report_each} {at}, {n}: {off_us}"
                    );
                }
            }
        }
    }
}

#[test]
fn pictures_shown_in_another_order_than_sent_keep_their_times() {
    let mut timeline = Timeline::new(90_000);
    for n in 0..500i64 {
        // Sent I P B B: shown 0 3 1 2.
        let shown = n / 3 * 3 + [2, 0, 1][(n % 3) as usize];
        let stamp = timeline.stamp(shown as u32 * 3_600, NOW + n * FRAME_US, n % 30 == 0);
        assert_eq!(media(stamp) - START_US, (shown - 2) * FRAME_US);
    }
}

#[test]
fn reports_give_wall_time_when_they_are_plausible() {
    let mut timeline = Timeline::new(90_000);
    let camera_us = |n: i64| NOW + n * FRAME_US - 300_000;
    let mut stamp = |n: i64, report: Option<(u64, i64)>| {
        if let Some((ntp, at)) = report {
            timeline.report(ntp, at as u32 * 3_600, NOW + n * FRAME_US);
        }
        timeline
            .stamp(n as u32 * 3_600, NOW + n * FRAME_US, true)
            .stamp_us
    };
    // Early, not set, of 1970, of RTP time that is not the pictures'.
    assert_eq!(stamp(0, Some((0, 0))), None);
    assert_eq!(stamp(1, Some((ntp(0), 1))), None);
    assert_eq!(stamp(2, Some((ntp(camera_us(2)), 50_000))), None);
    let near = |found: Option<i64>, n: i64| found.is_some_and(|us| us.abs_diff(camera_us(n)) <= 1);
    assert!(near(stamp(3, Some((ntp(camera_us(3)), 3))), 3));
    assert!(near(stamp(4, None), 4));
    // One that differs is not believed alone.
    assert!(near(stamp(5, Some((ntp(camera_us(5) + 60_000_000), 5))), 5));
    assert!(near(stamp(6, Some((ntp(camera_us(6)), 6))), 6));
    stamp(7, Some((ntp(camera_us(7) + 60_000_000), 7)));
    let set = stamp(8, Some((ntp(camera_us(8) + 60_000_000), 8)));
    assert!(set.is_some_and(|us| us.abs_diff(camera_us(8) + 60_000_000) <= 1));
}

#[test]
fn reports_in_unix_time_are_read() {
    let since_1970 = |us: i64| ntp(us) - ((NTP_TO_UNIX as u64) << 32);
    let timeval = |us: i64| (since_1970(us) >> 32 << 32) + (us % 1_000_000) as u64;
    for write in [&since_1970 as &dyn Fn(i64) -> u64, &timeval] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..400i64 {
            let sent_us = NOW + 123_456 + n * FRAME_US;
            let ticks = n as u32 * 3_600;
            if n % 33 == 0 {
                timeline.report(write(sent_us), ticks, sent_us);
            }
            let stamp = timeline.stamp(ticks, sent_us, true);
            let off_us = stamp.stamp_us.map(|us| us.abs_diff(sent_us));
            assert!(off_us.is_some_and(|us| us <= 2), "{n}: {off_us:?}");
        }
    }
}

#[test]
fn reports_just_behind_whole_seconds_are_not_taken_for_microseconds() {
    for behind_us in [20, 100, 200] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..400i64 {
            let sent_us = NOW + n * FRAME_US;
            let wall_us = sent_us + behind_us + n % 7;
            let ticks = n as u32 * 3_600;
            if n % 50 == 0 {
                timeline.report(ntp(wall_us), ticks, sent_us);
            }
            let stamp_us = timeline.stamp(ticks, sent_us, true).stamp_us;
            assert!(
                stamp_us.is_some_and(|us| us.abs_diff(sent_us) < 1_000),
                "{n}: {stamp_us:?}"
            );
        }
    }
}

#[test]
fn a_report_before_the_first_picture_counts() {
    let mut timeline = Timeline::new(90_000);
    timeline.report(ntp(NOW - 500_000), 90_000, NOW);
    let stamp = timeline.stamp(180_000, NOW + 1_010_000, true);
    assert!(
        stamp
            .stamp_us
            .is_some_and(|us| us.abs_diff(NOW + 500_000) <= 1)
    );
}

#[test]
fn a_report_that_is_the_first_to_tell_of_a_leap_waits_for_the_picture() {
    for leap in [630_000u32, 0u32.wrapping_sub(630_000)] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..300i64 {
            let sent_us = NOW + n * FRAME_US;
            let leapt = if n < 150 { 0 } else { leap };
            let ticks = (n as u32 * 3_600).wrapping_add(leapt);
            if n % 50 == 0 {
                timeline.report(ntp(sent_us), ticks, sent_us);
            }
            let stamp = timeline.stamp(ticks, sent_us + 1_000, n % 25 == 0);
            let off_us = stamp.stamp_us.map(|us| us.abs_diff(sent_us));
            assert!(off_us.is_some_and(|us| us <= 2), "{n}: {off_us:?}");
        }
    }
}

#[test]
fn wall_time_changes_by_and_by() {
    let mut timeline = Timeline::new(90_000);
    timeline.report(ntp(NOW), 0, NOW);
    let wall = |stamp: Stamp| stamp.stamp_us.unwrap() - NOW;
    assert_eq!(wall(timeline.stamp(0, NOW, true)), 0);
    timeline.report(ntp(NOW + 200_000), 0, NOW);
    assert_eq!(wall(timeline.stamp(9_000, NOW + 100_000, false)), 102_000);
    assert_eq!(wall(timeline.stamp(18_000, NOW + 200_000, true)), 204_000);
}

#[test]
fn rtp_time_that_runs_a_little_wrong_is_put_right_by_reports_however_rare_keyframes_are() {
    for ticks_in_frame in [3_582, 3_618] {
        let mut timeline = Timeline::new(90_000);
        for n in 0..10_000i64 {
            let (sent_us, rtp_time) = (NOW + n * FRAME_US, n as u32 * ticks_in_frame);
            if n % 125 == 0 {
                timeline.report(ntp(sent_us), rtp_time, sent_us);
            }
            let stamp = timeline.stamp(rtp_time, sent_us + 5_000, n % 1_500 == 0);
            let off_us = stamp.stamp_us.unwrap() - sent_us;
            assert!(off_us.abs() < 60_000, "{ticks_in_frame}, {n}: {off_us}");
        }
    }
}

#[test]
fn reports_that_jitter_put_no_picture_before_another() {
    // Late by a tenth of a second and more now and then, without their fraction, and of a clock that is set back by half a second.
    let late = |n: i64, us: i64| us + n / 125 % 2 * 124_000;
    let whole = |_: i64, us: i64| us / 1_000_000 * 1_000_000;
    let set_back = |n: i64, us: i64| us - if n > 1_000 { 500_000 } else { 0 };
    let clocks: [&dyn Fn(i64, i64) -> i64; 3] = [&late, &whole, &set_back];
    for (which, clock) in clocks.into_iter().enumerate() {
        let mut timeline = Timeline::new(90_000);
        let mut before_us = 0;
        for n in 0..3_000i64 {
            let (sent_us, rtp_time) = (NOW + n * FRAME_US, n as u32 * 3_600);
            if n % 125 == 60 {
                let wall_us = clock(n, sent_us + 12_345 * n % 1_000_000);
                timeline.report(
                    ntp(wall_us),
                    rtp_time + 90 * (12_345 * n % 1_000_000) as u32 / 1_000,
                    sent_us,
                );
            }
            let stamp = timeline.stamp(rtp_time, sent_us + 5_000, n % 25 == 0);
            let Some(wall_us) = stamp.stamp_us else {
                continue;
            };
            assert!(
                wall_us > before_us,
                "{which}, {n}: back by {}",
                before_us - wall_us
            );
            assert!(wall_us.abs_diff(sent_us) < 1_000_000, "{which}, {n}");
            before_us = wall_us;
        }
    }
}

proptest! {
    #[test]
    fn media_time_is_always_positive_and_no_date(frames in prop::collection::vec((any::<u32>(), any::<i64>(), any::<u64>(), any::<bool>()), 0..60), clock_hz: u32) {
        let mut timeline = Timeline::new(clock_hz);
        for (rtp_time, received_us, ntp, restart) in frames {
            if restart {
                timeline.restart();
            }
            timeline.report(ntp, rtp_time, received_us);
            let stamp = timeline.stamp(rtp_time, received_us, restart);
            prop_assert!((1..DATES_FROM_US).contains(&media(stamp)));
            prop_assert!(stamp.stamp_us.is_none_or(|us| us > 0));
            timeline.report(ntp, rtp_time.wrapping_add(5), received_us);
        }
    }
}
