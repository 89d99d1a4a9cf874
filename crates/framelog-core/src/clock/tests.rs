use proptest::prelude::*;

use super::*;
use crate::header::Headers;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const MAX_SKEW: i64 = 10 * MINUTE;
/// A whole second, when the tests begin.
const START: i64 = 1_700_000_000 * SECOND;
/// Between frames.
const FRAME: i64 = SECOND / 10;

fn auto() -> Clock {
    Clock::new(TimestampMode::Auto, MAX_SKEW)
}

fn stamp(us: i64) -> Stamp {
    Stamp {
        stamp_us: Some(us),
        ..Stamp::default()
    }
}

fn arrival(received_us: i64) -> Reading {
    Reading {
        captured_us: received_us,
        kind: ClockKind::Arrival,
        offset_us: 0,
        stepped: false,
        skew_us: None,
    }
}

fn camera(stamp_us: i64, received_us: i64) -> Reading {
    let skew_us = Some(stamp_us - received_us);
    Reading {
        captured_us: stamp_us,
        kind: ClockKind::Camera,
        offset_us: 0,
        stepped: false,
        skew_us,
    }
}

fn mapped(stamp_us: i64, offset_us: i64) -> Reading {
    Reading {
        captured_us: stamp_us + offset_us,
        kind: ClockKind::Mapped,
        offset_us,
        stepped: false,
        skew_us: None,
    }
}

fn stepped(reading: Reading) -> Reading {
    Reading {
        stepped: true,
        ..reading
    }
}

/// Arrivals of a camera that sends without delay.
fn arrivals(from_us: i64, count: i64) -> impl Iterator<Item = i64> {
    (0..count).map(move |frame| from_us + frame * FRAME)
}

#[test]
fn a_stamp_within_max_skew_is_the_capture_time_exactly() {
    for skew in [0, -300_000, 5 * SECOND, -MAX_SKEW, MAX_SKEW] {
        let mut clock = auto();
        for now in arrivals(START, 30) {
            assert_eq!(clock.read(stamp(now + skew), now), camera(now + skew, now));
        }
    }
    assert_eq!(
        auto().read(stamp(START + MAX_SKEW + 1), START).kind,
        ClockKind::Mapped
    );
}

#[test]
fn a_frame_without_a_stamp_has_its_arrival_and_makes_no_segment() {
    let mut clock = auto();
    for (frame, now) in arrivals(START, 50).enumerate() {
        let uptime = now - START + HOUR;
        let (read, expected) = match frame % 2 {
            0 => (clock.read(stamp(uptime), now), mapped(uptime, START - HOUR)),
            _ => (clock.read(Stamp::default(), now), arrival(now)),
        };
        assert_eq!(read, expected);
    }
}

#[test]
fn row_51_and_a_stamp_that_never_moves_is_not_used() {
    let mut clock = auto();
    assert_eq!(clock.read(stamp(5 * SECOND), START).kind, ClockKind::Mapped);
    for now in arrivals(START + FRAME, 100) {
        assert_eq!(clock.read(stamp(5 * SECOND), now), arrival(now));
    }
}

#[test]
fn a_good_stamp_that_freezes_is_left_after_3_s_and_taken_up_when_it_moves() {
    let mut clock = auto();
    for now in arrivals(START, 100) {
        let expected = if now - START <= 3 * SECOND {
            camera(START, now)
        } else {
            arrival(now)
        };
        assert_eq!(clock.read(stamp(START), now), expected);
    }
    let now = START + 10 * SECOND;
    assert_eq!(clock.read(stamp(now), now), camera(now, now));
}

#[test]
fn a_mapped_stamp_that_freezes_is_left_after_3_s_and_taken_up_when_it_moves() {
    let mut clock = auto();
    clock.read(stamp(HOUR - FRAME), START - FRAME);
    for now in arrivals(START, 100) {
        let expected = if now - START <= 3 * SECOND {
            mapped(HOUR, START - HOUR)
        } else {
            arrival(now)
        };
        assert_eq!(clock.read(stamp(HOUR), now), expected);
    }
    let now = START + 10 * SECOND;
    assert_eq!(
        clock.read(stamp(HOUR + 10 * SECOND), now),
        mapped(HOUR + 10 * SECOND, START - HOUR)
    );
}

#[test]
fn row_52_uptime_is_mapped_with_its_own_spacing() {
    let mut clock = auto();
    let boot = START - 184_659_604_338;
    for (frame, now) in arrivals(START, 100).enumerate() {
        let delay = [0, 40_000, 90_000][frame % 3];
        assert_eq!(
            clock.read(stamp(now - boot), now + delay),
            mapped(now - boot, boot)
        );
    }
}

#[test]
fn row_53_and_a_wrong_zone_is_mapped() {
    for zone in [-5 * HOUR, HOUR, 13 * HOUR] {
        let mut clock = auto();
        for now in arrivals(START, 20) {
            assert_eq!(
                clock.read(stamp(now + zone), now),
                mapped(now + zone, -zone)
            );
        }
    }
}

#[test]
fn row_54_and_56_a_date_from_another_field_counts_as_a_stamp() {
    use crate::header::Headers;
    for lines in [
        "X-Time: 2023-11-15T02:13:20+04:00\r\nX-Timestamp: 0.152",
        "x-axis-dvr-frame-time: 1700000000:00",
    ] {
        let read = Stamp::read(&Headers::new(bytes::Bytes::from_static(lines.as_bytes())));
        assert_eq!(
            auto().read(read, START + 1),
            camera(START, START + 1),
            "{lines}"
        );
    }
}

/// A Kasa whose wall clock turns its seconds `phase` after ours, and what is read of it.
fn kasa(clock: &mut Clock, phase: i64, now: i64) -> (i64, Reading) {
    let second = (now - phase).div_euclid(SECOND) * SECOND;
    let both = Stamp {
        stamp_us: Some(now - START + HOUR),
        wall_second_us: Some(second),
        ..Stamp::default()
    };
    (second, clock.read(both, now + 20_000))
}

#[test]
fn row_55_a_wall_second_gets_its_fraction_from_the_counter_beside_it() {
    for phase in [0, 300_000, 950_000] {
        let mut clock = auto();
        for now in arrivals(START + 370_000, 40) {
            let (second, read) = kasa(&mut clock, phase, now);
            assert_eq!((read.kind, read.stepped), (ClockKind::Camera, false));
            assert!((second..second + SECOND).contains(&read.captured_us));
            if now > START + 2 * SECOND {
                assert!(
                    (now - phase - read.captured_us).abs() <= FRAME,
                    "{phase} {now} {read:?}"
                );
            }
        }
    }
}

#[test]
fn row_55_a_wall_second_that_is_set_is_followed() {
    let mut clock = auto();
    for (from, phase) in [
        (START, 0),
        (START + 10 * SECOND, -90 * SECOND),
        (START + 20 * SECOND, 30 * SECOND),
    ] {
        for now in arrivals(from, 50) {
            let (second, read) = kasa(&mut clock, phase, now);
            assert_eq!(
                (read.kind, read.stepped),
                (ClockKind::Camera, now == from && now != START)
            );
            assert!((second..second + SECOND).contains(&read.captured_us));
        }
    }
}

#[test]
fn row_55_a_wall_second_that_is_wrong_itself_is_ignored() {
    let mut clock = auto();
    for now in arrivals(START, 20) {
        let both = Stamp {
            stamp_us: Some(now - START + HOUR),
            wall_second_us: Some(946_684_800 * SECOND),
            ..Stamp::default()
        };
        assert_eq!(
            clock.read(both, now),
            mapped(now - START + HOUR, START - HOUR)
        );
    }
}

#[test]
fn row_57_no_usable_field_means_arrival() {
    let mut clock = auto();
    for now in arrivals(START, 20) {
        assert_eq!(clock.read(Stamp::default(), now), arrival(now));
    }
}

#[test]
fn row_58_a_clock_that_starts_at_2000_is_mapped_until_it_has_been_set() {
    let mut clock = auto();
    let year_2000 = 946_684_800 * SECOND;
    for now in arrivals(START, 20) {
        assert_eq!(
            clock.read(stamp(year_2000 + now - START), now),
            mapped(year_2000 + now - START, START - year_2000)
        );
    }
    let set = START + 20 * FRAME;
    assert_eq!(clock.read(stamp(set), set), stepped(camera(set, set)));
    assert_eq!(
        clock.read(stamp(set + FRAME), set + FRAME),
        camera(set + FRAME, set + FRAME)
    );
}

#[test]
fn row_59_a_clock_that_leaps_an_hour_makes_a_segment_and_stays_on_time() {
    for leap in [HOUR, -HOUR] {
        let mut clock = auto();
        for now in arrivals(START, 10) {
            assert_eq!(clock.read(stamp(now), now), camera(now, now));
        }
        let leapt = START + 10 * FRAME;
        assert_eq!(
            clock.read(stamp(leapt + leap), leapt),
            stepped(mapped(leapt + leap, -leap))
        );
        for now in arrivals(leapt + FRAME, 10) {
            assert_eq!(
                clock.read(stamp(now + leap), now),
                mapped(now + leap, -leap)
            );
        }
        let back = START + 30 * FRAME;
        assert_eq!(clock.read(stamp(back), back), stepped(camera(back, back)));
    }
}

#[test]
fn row_59_an_uptime_that_leaps_is_anchored_anew() {
    for leap in [HOUR, 2 * SECOND, -2 * SECOND, -HOUR] {
        let mut clock = auto();
        clock.read(stamp(2 * HOUR), START);
        let now = START + FRAME;
        let leapt = 2 * HOUR + FRAME + leap;
        assert_eq!(
            clock.read(stamp(leapt), now),
            stepped(mapped(leapt, now - leapt))
        );
        assert_eq!(
            clock.read(stamp(leapt + FRAME), now + FRAME),
            mapped(leapt + FRAME, now - leapt)
        );
    }
}

#[test]
fn row_59_a_good_clock_that_is_set_a_little_makes_a_segment() {
    for leap in [-90 * SECOND, -2 * SECOND, 2 * SECOND, 90 * SECOND] {
        let mut clock = auto();
        clock.read(stamp(START), START);
        let now = START + FRAME;
        assert_eq!(
            clock.read(stamp(now + leap), now),
            stepped(camera(now + leap, now))
        );
        assert_eq!(
            clock.read(stamp(now + FRAME + leap), now + FRAME),
            camera(now + FRAME + leap, now + FRAME)
        );
    }
    let mut clock = auto();
    clock.read(stamp(START), START);
    assert_eq!(
        clock.read(stamp(START - SECOND), START + FRAME),
        camera(START - SECOND, START + FRAME)
    );
}

#[test]
fn row_60_frames_that_share_a_stamp_keep_it() {
    let mut clock = auto();
    for now in arrivals(START, 60) {
        let second = now / SECOND * SECOND;
        assert_eq!(clock.read(stamp(second), now), camera(second, now));
    }
}

#[test]
fn row_60_an_uptime_in_whole_seconds_is_mapped_once_it_has_moved() {
    let mut clock = auto();
    for now in arrivals(START, 60) {
        let uptime = (now - START) / SECOND * SECOND + HOUR;
        let unmoved = now > START && now < START + SECOND;
        let expected = if unmoved {
            arrival(now)
        } else {
            mapped(uptime, START - HOUR)
        };
        assert_eq!(clock.read(stamp(uptime), now), expected);
    }
}

#[test]
fn row_82_a_clock_minutes_off_is_believed_and_its_skew_told() {
    let mut clock = auto();
    for now in arrivals(START, 20) {
        assert_eq!(
            clock.read(stamp(now - 4 * MINUTE), now).skew_us,
            Some(-4 * MINUTE)
        );
    }
}

#[test]
fn figure_20_each_kind_of_x_timestamp_is_classified_and_no_frame_is_lost() {
    use crate::header::Headers;
    use ClockKind::{Arrival, Camera, Mapped};
    let digits = "1".repeat(400);
    for (value, kind) in [
        ("", Arrival),
        ("1700000000.5", Camera),
        ("1700000000", Camera),
        ("1700000000.123456789", Camera),
        ("1700000000,5", Camera),
        ("1.7e9", Camera),
        ("1700000000500", Camera),
        ("1699999990.5", Camera),
        ("184659.604338", Mapped),
        ("4102444800.0", Mapped),
        ("0.000000", Arrival),
        ("-5.5", Arrival),
        ("NaN", Arrival),
        (&digits, Arrival),
    ] {
        let lines = format!("X-Timestamp: {value}");
        let read = Stamp::read(&Headers::new(bytes::Bytes::from(lines)));
        let mut clock = auto();
        clock.read(stamp(START), START);
        let reading = clock.read(read, START + SECOND);
        assert_eq!(reading.kind, kind, "{value}");
        if kind != Camera {
            assert_eq!(reading.captured_us, START + SECOND, "{value}");
        }
    }
}

#[test]
fn a_burst_after_a_network_stall_keeps_its_spacing_and_is_no_step() {
    for base in [START, HOUR] {
        let mut clock = auto();
        for now in arrivals(START, 50) {
            clock.read(stamp(now - START + base), now);
        }
        let end = START + 25 * SECOND;
        for taken in arrivals(START + 50 * FRAME, 200) {
            let read = clock.read(stamp(taken - START + base), end);
            assert_eq!((read.captured_us, read.stepped), (taken, false));
        }
        let read = clock.read(stamp(end + FRAME - START + base), end + FRAME);
        assert_eq!((read.captured_us, read.stepped), (end + FRAME, false));
    }
}

#[test]
fn a_frame_late_by_a_stall_followed_by_one_on_time_is_no_step() {
    let mut clock = auto();
    for now in arrivals(START, 10) {
        clock.read(stamp(now), now);
    }
    let late = START + 21 * SECOND;
    assert_eq!(
        clock.read(stamp(START + SECOND), late),
        camera(START + SECOND, late)
    );
    assert_eq!(clock.read(stamp(late), late), camera(late, late));
}

#[test]
fn the_offset_is_constant_within_a_segment_and_improved_by_the_next() {
    let mut clock = auto();
    let late = 150_000;
    assert_eq!(
        clock.read(stamp(HOUR), START + late),
        mapped(HOUR, START + late - HOUR)
    );
    for now in arrivals(START + FRAME, 20) {
        let uptime = now - START + HOUR;
        assert_eq!(
            clock.read(stamp(uptime), now),
            mapped(uptime, START + late - HOUR)
        );
    }
    clock.new_segment();
    let uptime = HOUR + 30 * FRAME;
    assert_eq!(
        clock.read(stamp(uptime), START + 30 * FRAME + late),
        mapped(uptime, START - HOUR)
    );
}

#[test]
fn a_connection_that_begins_with_old_pictures_is_dated_by_those_behind_them() {
    for (age, old, steps_max) in [
        (300_000, 1, 1),
        (950_000, 1, 1),
        (1_900_000, 1, 1),
        (900_000, 9, 2),
    ] {
        let mut clock = auto();
        let mut steps = 0;
        let old = (0..old).map(|frame| (START - age + frame * FRAME, START));
        let live = arrivals(START + FRAME, 600).map(|now| (now, now));
        for (taken, now) in old.chain(live) {
            let read = clock.read(stamp(taken - START + HOUR), now);
            assert_eq!(read.kind, ClockKind::Mapped);
            steps += i32::from(read.stepped);
            if now > START + SECOND {
                assert_eq!((read.captured_us, read.stepped), (taken, false), "{age}");
            }
        }
        assert!((1..=steps_max).contains(&steps), "{age}: {steps}");
    }
}

#[test]
fn delays_that_vary_cost_a_few_segments_at_the_start_and_none_later() {
    let mut clock = auto();
    let mut steps = Vec::new();
    for (frame, taken) in arrivals(START, 600).enumerate() {
        let delay = i64::try_from(frame * 7_919 % 800).unwrap() * 1_000;
        let read = clock.read(stamp(taken - START + HOUR), taken + 700_000 + delay);
        steps.extend(read.stepped.then_some(frame));
    }
    assert!(
        steps.len() <= 3 && steps.iter().all(|frame| *frame < 30),
        "{steps:?}"
    );
}

#[test]
fn slow_drift_is_followed_over_an_hour_without_a_step() {
    for ppm in [-100, 100] {
        let mut clock = auto();
        for (frame, now) in arrivals(START, 36_000).enumerate() {
            if frame % 600 == 0 {
                clock.new_segment();
            }
            let uptime = (now - START) * (1_000_000 + ppm) / 1_000_000 + HOUR;
            let jitter = i64::try_from(frame * 7_919 % 50).unwrap() * 1_000;
            let read = clock.read(stamp(uptime), now + jitter);
            assert_eq!((read.kind, read.stepped), (ClockKind::Mapped, false));
            assert!(
                frame < 600 || (read.captured_us - now).abs() <= 20_000,
                "{ppm} {frame} {read:?}"
            );
        }
    }
}

#[test]
fn row_92_a_counter_that_runs_slow_is_followed() {
    // Counts 25 frames a second and sends 21.
    let mut clock = auto();
    let mut steps = 0;
    for frame in 0..21 * 600 {
        if frame % (21 * 60) == 0 {
            clock.new_segment();
        }
        let now = START + frame * SECOND / 21;
        let read = clock.read(stamp(HOUR + frame * SECOND / 25), now + frame % 7 * 20_000);
        steps += i32::from(read.stepped);
        assert_eq!(read.kind, ClockKind::Mapped);
        assert!((now - read.captured_us).abs() <= 10 * SECOND, "{read:?}");
    }
    assert!(steps <= 30, "{steps}");
}

#[test]
fn stamps_that_are_no_times_are_left_within_a_minute() {
    // The number of the picture, polled each five, two and 1.5 s; an uptime at half its pace; a count down.
    let uptime = |pace: fn(i64) -> i64| move |n: i64| HOUR + pace(n * FRAME);
    type StampOf<'f> = &'f dyn Fn(i64) -> i64;
    let stamps: [(&str, i64, StampOf); 5] = [
        ("5 s", 5 * SECOND, &|n| (n + 1) * SECOND),
        ("2 s", 2 * SECOND, &|n| (n + 1) * SECOND),
        ("1.5 s", 3 * SECOND / 2, &|n| (n + 1) * SECOND),
        ("half", FRAME, &uptime(|us| us / 2)),
        ("down", FRAME, &uptime(|us| -us)),
    ];
    for (name, apart, stamp_of) in stamps {
        let mut clock = auto();
        let mut steps = 0;
        for (n, now) in (START..START + 3 * MINUTE)
            .step_by(apart as usize)
            .enumerate()
        {
            let read = clock.read(stamp(stamp_of(n as i64)), now);
            let late_us = now - read.captured_us;
            assert!(late_us.abs() <= MINUTE, "{name}: {late_us}");
            steps += usize::from(read.stepped);
            assert!(
                now < START + 50 * SECOND || read == arrival(now),
                "{name}: {read:?} after {} s",
                (now - START) / SECOND
            );
        }
        assert!(steps <= 2, "{name}: {steps} steps");
    }
}

#[test]
fn a_network_that_falls_behind_and_catches_up_is_no_step() {
    // For 20 s it has a fifth less than it needs, or two fifths; a backlog of 3 s for 12 s.
    let congested = |at: i64| (at / 5).min((24 * SECOND - at).max(0));
    let starved = |at: i64| (at * 2 / 5).min((28 * SECOND - at).max(0));
    let backlog = |at: i64| if at < 12 * SECOND { 3 * SECOND } else { 0 };
    for late in [&congested as &dyn Fn(i64) -> i64, &starved, &backlog] {
        let mut clock = auto();
        for taken in arrivals(START, 1_000) {
            // Again each minute; each 30 s a segment.
            let at = taken - START - 10 * SECOND;
            if at % (30 * SECOND) == 0 {
                clock.new_segment();
            }
            let late_us = if at < 0 { 0 } else { late(at % MINUTE) };
            let read = clock.read(stamp(taken - START + HOUR), taken + late_us);
            assert_eq!((read.captured_us, read.stepped), (taken, false));
        }
    }
}

#[test]
fn a_network_that_has_caught_up_once_is_never_taken_for_stamps_that_are_no_times() {
    // For 20 s of two minutes it has two fifths less than it needs, then for 40 s; and then what it needs and as much again.
    let starved = |at: i64, long: i64| (at * 2 / 5).min((long * 7 / 5 - at).max(0));
    let mut clock = auto();
    for taken in arrivals(START, 2_400) {
        let at = taken - START;
        let long = if at < 2 * MINUTE { 20 } else { 40 } * SECOND;
        let late_us = starved(at % (2 * MINUTE), long);
        let read = clock.read(stamp(at + HOUR), taken + late_us);
        assert_eq!(read.kind, ClockKind::Mapped, "{} s", at / SECOND);
    }
}

#[test]
fn a_network_that_falls_behind_for_long_is_taken_for_a_slow_clock_once() {
    let mut clock = auto();
    let mut stepped = Vec::new();
    for taken in arrivals(START, 6_000) {
        // A minute with a tenth less than it needs, and then all of it in 6 s.
        let at = (taken - START) % (2 * MINUTE);
        let late = (at / 10).min((66 * SECOND - at).max(0));
        let read = clock.read(stamp(taken - START + HOUR), taken + late);
        stepped.extend(read.stepped.then_some(taken - START));
    }
    assert!(
        stepped.first().is_some_and(|at| *at < MINUTE),
        "{stepped:?}"
    );
    assert!(stepped.iter().all(|at| *at < 2 * MINUTE), "{stepped:?}");
}

#[test]
fn a_stall_that_is_caught_up_with_by_and_by_is_no_step() {
    let mut clock = auto();
    let stall = 20 * SECOND;
    for taken in arrivals(START, 1_000) {
        // From the tenth second on nothing comes, then twice as fast as it was taken.
        let late = (stall - (taken - START - 10 * SECOND) / 2).clamp(0, stall);
        let late = if taken < START + 10 * SECOND { 0 } else { late };
        let read = clock.read(stamp(taken - START + HOUR), taken + late);
        assert_eq!((read.captured_us, read.stepped), (taken, false));
    }
}

#[test]
fn a_new_connection_is_anchored_anew() {
    let mut clock = auto();
    clock.read(stamp(HOUR), START);
    clock.reconnected();
    assert_eq!(
        clock.read(stamp(SECOND), START + MINUTE),
        mapped(SECOND, START + MINUTE - SECOND)
    );
    assert_eq!(
        clock.read(stamp(SECOND), START + MINUTE + FRAME),
        arrival(START + MINUTE + FRAME)
    );
}

#[test]
fn stamps_of_garbage_soon_make_no_more_segments_and_are_taken_up_when_steady() {
    let mut clock = auto();
    let mut steps = 0;
    let mut random = 1i64;
    for now in arrivals(START, 1_000) {
        random = random * 48_271 % 2_147_483_647;
        let read = clock.read(stamp(random * 1_000), now);
        steps += i32::from(read.stepped);
        assert!((read.captured_us - now).abs() <= MINUTE);
    }
    assert!(steps <= 10, "{steps}");
    let steady = START + 1_000 * FRAME;
    let kinds: Vec<_> = arrivals(steady, 100)
        .map(|now| clock.read(stamp(now - steady + HOUR), now))
        .collect();
    assert_eq!(kinds[40].kind, ClockKind::Arrival);
    assert_eq!(kinds.iter().filter(|read| read.stepped).count(), 1);
    assert_eq!(kinds[99], mapped(99 * FRAME + HOUR, steady - HOUR));
}

#[test]
fn an_uptime_in_a_finer_unit_than_seconds_is_mapped_as_soon_as_its_pace_has_shown() {
    // Frames as they come, and pictures that are polled.
    for (apart, doubtful) in [(FRAME, 10), (10 * SECOND, 2)] {
        for in_second in [1_000, 1_000_000] {
            let mut clock = auto();
            let mut reading = |n: i64| {
                let uptime = HOUR + n * apart;
                (
                    uptime,
                    clock.read(stamp(uptime * in_second), START + n * apart),
                )
            };
            assert_eq!(reading(0).1.captured_us, START);
            for n in 1..doubtful {
                assert_eq!(reading(n).1, arrival(START + n * apart));
            }
            let (uptime, first) = reading(doubtful);
            assert_eq!(first, stepped(mapped(uptime, START - HOUR)));
            for n in doubtful + 1..300 {
                let (uptime, read) = reading(n);
                assert_eq!(read, mapped(uptime, START - HOUR));
            }
        }
    }
}

#[test]
fn microseconds_without_their_zeros_are_read_as_such_as_soon_as_that_has_shown() {
    for boot in [START - HOUR, 0] {
        let mut clock = auto();
        for now in (START..).step_by(99_871).take(600) {
            if now % (20 * SECOND) < 99_871 {
                clock.new_segment();
            }
            let (seconds, micros) = ((now - boot) / SECOND, (now - boot) % SECOND);
            let line = format!("X-Timestamp: {seconds}.{micros}");
            let read = clock.read(Stamp::read(&Headers::new(line.into())), now);
            assert!(read.captured_us.abs_diff(now) < SECOND as u64);
            assert!(
                now < START + 5 * SECOND || read.captured_us == now,
                "{read:?} at {now}"
            );
        }
    }
}

#[test]
fn milliseconds_of_uptime_are_no_date_when_they_look_like_one() {
    // After some 20 days; the arrivals are those of the moment at which the two are equal.
    let uptime = START / 1_000 - 10 * SECOND;
    let mut clock = auto();
    let readings =
        arrivals(START, 200).map(|now| clock.read(stamp((uptime + now - START) * 1_000), now));
    for (read, now) in readings.zip(arrivals(START, 200)).skip(10) {
        assert_eq!((read.kind, read.captured_us), (ClockKind::Mapped, now));
    }
}

#[test]
fn an_uptime_in_milliseconds_beside_a_wall_second_gives_its_fraction() {
    let mut clock = auto();
    for now in arrivals(START, 40) {
        let both = Stamp {
            stamp_us: Some((now - START + HOUR) * 1_000),
            wall_second_us: Some(now / SECOND * SECOND),
            ..Stamp::default()
        };
        let read = clock.read(both, now);
        assert_eq!(read.kind, ClockKind::Camera);
        assert!(
            now < START + 2 * SECOND || read.captured_us == now,
            "{read:?}"
        );
    }
}

#[test]
fn garbage_that_is_polled_soon_makes_no_more_segments() {
    let mut clock = auto();
    let mut random = 1i64;
    let readings = (0..100).map(|n| {
        random = random * 48_271 % 2_147_483_647;
        clock.read(stamp(random * 1_000), START + n * 20 * SECOND)
    });
    let readings: Vec<_> = readings.collect();
    assert!(readings.iter().filter(|read| read.stepped).count() <= 10);
    assert_eq!(readings[99].kind, ClockKind::Arrival);
}

#[test]
fn mode_camera_takes_the_stamp_as_it_is_and_mode_arrival_takes_none() {
    let mut trusting = Clock::new(TimestampMode::Camera, MAX_SKEW);
    let mut ignoring = Clock::new(TimestampMode::Arrival, MAX_SKEW);
    for now in arrivals(START, 100) {
        assert_eq!(trusting.read(stamp(HOUR), now), camera(HOUR, now));
        assert_eq!(trusting.read(Stamp::default(), now), arrival(now));
        assert_eq!(ignoring.read(stamp(now), now), arrival(now));
    }
    let now = START + HOUR;
    assert_eq!(
        trusting.read(stamp(5 * HOUR), now),
        stepped(camera(5 * HOUR, now))
    );
}

#[test]
fn garbage_near_the_arrival_soon_makes_no_more_segments() {
    let mut clock = auto();
    let mut random = 1i64;
    let readings = arrivals(START, 300).map(|now| {
        random = random * 48_271 % 2_147_483_647;
        clock.read(stamp(now + random % MAX_SKEW), now)
    });
    let readings: Vec<_> = readings.collect();
    assert!(readings.iter().all(|read| read.kind == ClockKind::Camera));
    assert!((2..=10).contains(&readings.iter().filter(|read| read.stepped).count()));
}

#[test]
fn a_skew_that_wavers_about_max_skew_soon_makes_no_more_segments() {
    let mut clock = auto();
    let skews = [MAX_SKEW, MAX_SKEW + 1].into_iter().cycle();
    let readings: Vec<_> = arrivals(START, 300)
        .zip(skews)
        .map(|(now, skew)| clock.read(stamp(now + skew), now))
        .collect();
    assert!((2..=10).contains(&readings.iter().filter(|read| read.stepped).count()));
    assert_eq!(readings[298].kind, ClockKind::Camera);
    assert_eq!(readings[299].kind, ClockKind::Arrival);
}

#[test]
fn a_shared_stamp_that_leaves_max_skew_changes_the_kind_once() {
    let mut clock = auto();
    let shared = START - MAX_SKEW + SECOND;
    clock.read(stamp(shared - SECOND), START - SECOND);
    let readings: Vec<_> = arrivals(START, 30)
        .map(|now| clock.read(stamp(shared), now))
        .collect();
    assert!(
        readings[..=10]
            .iter()
            .all(|read| read.kind == ClockKind::Camera)
    );
    assert!(
        readings[11..]
            .iter()
            .all(|read| read.kind == ClockKind::Mapped)
    );
    assert_eq!(readings.iter().filter(|read| read.stepped).count(), 1);
}

#[test]
fn a_leap_at_the_start_of_a_segment_is_told() {
    for base in [START, HOUR] {
        let mut clock = auto();
        clock.read(stamp(base), START);
        clock.new_segment();
        assert!(clock.read(stamp(base + 5 * SECOND), START + FRAME).stepped);
    }
}

#[test]
fn a_wall_second_may_be_a_second_further_off_than_a_stamp() {
    for (second, kind) in [
        (START - MAX_SKEW - SECOND, ClockKind::Camera),
        (START - MAX_SKEW - 2 * SECOND, ClockKind::Mapped),
    ] {
        let both = Stamp {
            stamp_us: Some(HOUR),
            wall_second_us: Some(second),
            ..Stamp::default()
        };
        assert_eq!(auto().read(both, START).kind, kind);
    }
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        START - 2 * MAX_SKEW..START + 2 * MAX_SKEW,
        0..HOUR,
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0)
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Frame(Stamp, i64),
    Reconnected,
    NewSegment,
}

fn any_event() -> impl Strategy<Value = Event> {
    let stamp = (
        proptest::option::weighted(0.9, any_time()),
        proptest::option::weighted(0.2, any_time()),
    )
        .prop_map(|(stamp_us, wall_second_us)| Stamp {
            stamp_us,
            wall_second_us,
            ..Stamp::default()
        });
    prop_oneof![
        20 => (stamp, any_time()).prop_map(|(stamp, received)| Event::Frame(stamp, received)),
        1 => Just(Event::Reconnected),
        1 => Just(Event::NewSegment),
    ]
}

fn check(stamp: Stamp, received_us: i64, read: &Reading) -> Result<(), TestCaseError> {
    let second = stamp.wall_second_us;
    // The stamp exactly, in one unit or another.
    let is_stamp = |given: i64| {
        let is = |unit: i64| stamp.stamp_us.map(|us| us / unit).or(second) == Some(given);
        [1, 1_000, 1_000_000].into_iter().any(is)
    };
    match read.kind {
        ClockKind::Camera => {
            let into_second = second.and_then(|second| read.captured_us.checked_sub(second));
            let in_second = into_second.is_some_and(|us| (0..SECOND).contains(&us));
            prop_assert!(in_second || is_stamp(read.captured_us));
            prop_assert_eq!(
                read.skew_us,
                Some(read.captured_us.saturating_sub(received_us))
            );
        }
        ClockKind::Mapped => {
            prop_assert!(is_stamp(read.captured_us - read.offset_us));
            prop_assert!((-60 * SECOND..=SECOND).contains(&(read.captured_us - received_us)));
        }
        ClockKind::Arrival => {
            prop_assert_eq!(*read, arrival(received_us));
        }
    }
    prop_assert!(read.kind == ClockKind::Mapped || read.offset_us == 0);
    Ok(())
}

#[test]
fn rtp_is_mapped_until_a_segment_begins_with_a_report_at_hand() {
    for mode in [TimestampMode::Auto, TimestampMode::Camera] {
        let mut clock = Clock::new(mode, MAX_SKEW);
        let now = |n: i64| START + n * 40_000;
        let rtp = |n: i64, has_report: bool| Stamp {
            stamp_us: has_report.then_some(now(n) - 70_000),
            media_us: Some(5 * HOUR + n * 40_000),
            ..Stamp::default()
        };
        for n in 0..20 {
            let reading = clock.read(rtp(n, n > 5), now(n));
            assert_eq!(
                (reading.kind, reading.captured_us),
                (ClockKind::Mapped, now(n))
            );
            assert!(!reading.stepped);
        }
        clock.new_segment();
        for n in 20..40 {
            let reading = clock.read(rtp(n, true), now(n));
            assert_eq!(
                (reading.kind, reading.captured_us),
                (ClockKind::Camera, now(n) - 70_000)
            );
            assert!(!reading.stepped || n == 20);
        }
    }
}

proptest! {
    #[test]
    fn any_stamps_at_any_times_give_readings_that_hold_what_they_promise(
        events in proptest::collection::vec(any_event(), 1..60),
        mode in prop_oneof![3 => Just(TimestampMode::Auto), 1 => Just(TimestampMode::Camera)],
        max_skew in prop_oneof![Just(MAX_SKEW), any::<i64>()],
    ) {
        let mut clock = Clock::new(mode, max_skew);
        let mut offset = None;
        for event in events {
            match event {
                Event::Reconnected => { clock.reconnected(); offset = None; }
                Event::NewSegment => { clock.new_segment(); offset = None; }
                Event::Frame(stamp, received) => {
                    let read = clock.read(stamp, received);
                    check(stamp, received, &read)?;
                    if read.kind == ClockKind::Mapped {
                        prop_assert!(read.stepped || offset.is_none_or(|offset| offset == read.offset_us));
                        offset = Some(read.offset_us);
                    }
                }
            }
        }
    }

    #[test]
    fn a_delayed_uptime_is_mapped_to_its_capture_time(
        delays in proptest::collection::vec(0..EARLIER_US, 1..200),
        boot in START - 10_000 * HOUR..START - HOUR,
    ) {
        let mut clock = auto();
        let first = delays[0];
        for (taken, delay) in arrivals(START, 200).zip(delays) {
            prop_assert_eq!(clock.read(stamp(taken - boot), taken + delay), mapped(taken - boot, boot + first));
        }
    }
}
