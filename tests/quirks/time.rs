//! Section 4: when a frame was taken, by what the camera says.

use std::sync::Arc;

use super::cases;
use super::plan::{FRAMES, HEAD, Plan, idle, part_with, response};
use crate::support::camera::{Clock, Shot};
use crate::support::wire::BYTEWISE;
use crate::support::{now_us, seconds};

/// The moment at which a frame is made.
#[derive(Clone, Copy)]
struct Moment {
    /// The frame's number.
    number: usize,
    /// The right time, microseconds.
    now_us: i64,
    /// Since the first frame, microseconds.
    elapsed_us: i64,
}

/// How many frames a case sends that needs some seconds, and how far apart they are.
const LONG: (usize, u64) = (24, 300);

/// A camera with these header lines in each part, and the time that must come of them.
fn stamped(lines: impl Fn(Moment) -> (String, Clock) + Send + Sync + 'static) -> Plan {
    stamped_for((FRAMES, 130), lines)
}

/// As [`stamped`], with so many frames so many milliseconds apart.
fn stamped_for(
    (frames, apart): (usize, u64),
    lines: impl Fn(Moment) -> (String, Clock) + Send + Sync + 'static,
) -> Plan {
    let lines = Arc::new(lines);
    Plan::new(move |mut camera| {
        let lines = Arc::clone(&lines);
        async move {
            if camera.number > 0 {
                return idle(camera).await;
            }
            camera.request().await?;
            camera.send(HEAD).await?;
            let start_us = now_us();
            for number in 0..frames {
                let now_us = now_us();
                let (lines, clock) = lines(Moment {
                    number,
                    now_us,
                    elapsed_us: now_us - start_us,
                });
                let jpeg = camera.jpeg().bytes();
                let bytes = part_with(&format!("{lines}Content-Length: {}\r\n", jpeg.len()), &jpeg);
                camera.deliver(bytes, Shot::new(&jpeg).at(clock)).await?;
                camera.wait(apart).await;
            }
            camera.send("--camframe\r\n").await?;
            camera.hold().await
        }
    })
    .frames(frames)
    .may(&["clock_stepped"])
}

fn line(value: impl std::fmt::Display) -> String {
    format!("X-Timestamp: {value}\r\n")
}

/// Every stamp is this text: no time at all.
fn useless(value: &'static str) -> Plan {
    stamped(move |_| (line(value), Clock::Arrival))
}

/// The right time, written so.
fn right(write: impl Fn(i64) -> String + Send + Sync + 'static) -> Plan {
    stamped(move |moment| (line(write(moment.now_us)), Clock::Camera(moment.now_us)))
}

/// The right time to the millisecond, written so.
fn right_ms(write: impl Fn(i64) -> String + Send + Sync + 'static) -> Plan {
    stamped(move |moment| {
        let ms = moment.now_us / 1000;
        (line(write(ms)), Clock::Camera(ms * 1000))
    })
}

/// The camera's clock is so far off, by number of frame: beyond `max_skew` it is mapped.
fn off(by_us: impl Fn(usize) -> i64 + Send + Sync + 'static) -> Plan {
    stamped_for(LONG, move |moment| {
        let stamp = moment.now_us + by_us(moment.number);
        let near = by_us(moment.number).abs() <= 600_000_000;
        (
            line(seconds(stamp)),
            if near {
                Clock::Camera(stamp)
            } else {
                Clock::Mapped(stamp)
            },
        )
    })
}

/// A camera whose clock begins here when it is switched on.
fn starting_at(begin_us: i64) -> Plan {
    stamped(move |moment| {
        let stamp = begin_us + moment.elapsed_us;
        (line(seconds(stamp)), Clock::Mapped(stamp))
    })
}

/// A count since boot in a finer unit than seconds, which shows within a second.
fn finer(in_second: i64) -> Plan {
    stamped_for(LONG, move |moment| {
        let count = 5_000 * in_second + moment.elapsed_us * in_second / 1_000_000;
        let clock = match moment.elapsed_us < 2_000_000 {
            true => Clock::Any,
            false => Clock::Mapped(count * (1_000_000 / in_second)),
        };
        (line(count), clock)
    })
}

fn rfc3339(us: i64, format: &str, zone_hours: i32) -> String {
    let zone = chrono::FixedOffset::east_opt(zone_hours * 3600).expect("a zone");
    let at = chrono::DateTime::from_timestamp_micros(us).expect("a time near now");
    at.with_timezone(&zone).format(format).to_string()
}

/// Frames that were held back and come at once, with one time for all.
fn burst() -> Plan {
    Plan::new(async |mut camera| {
        if camera.number > 0 {
            return idle(camera).await;
        }
        camera.request().await?;
        camera.send(HEAD).await?;
        let stamp = now_us() / 1000 * 1000;
        let pictures: Vec<_> = (0..FRAMES).map(|_| camera.jpeg().bytes()).collect();
        let bytes: Vec<_> = pictures
            .iter()
            .map(|jpeg| part_with(&line(seconds(stamp)), jpeg))
            .collect();
        let shots = pictures
            .iter()
            .map(|jpeg| Shot::new(jpeg).at(Clock::Camera(stamp)));
        // Between what goes byte by byte, the pictures come at once; else this is a camera whose stamp stands still.
        let padding = format!("X-Padding: {}\r\n", ".".repeat(BYTEWISE));
        let burst = [
            padding.as_bytes(),
            &bytes.concat(),
            b"--camframe\r\n",
            padding.as_bytes(),
        ];
        camera.deliver_all(burst.concat(), shots).await?;
        camera.hold().await
    })
    .frames(FRAMES)
}

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;
/// 2000-01-01.
const YEAR_2000_US: i64 = 946_684_800_000_000;

cases! {
    row_41_monotonic_times_beside_the_right_one => stamped(|moment| {
        let grab = seconds(moment.elapsed_us + 1_000_000);
        let lines = format!("X-UStreamer-Grab-Time: {grab}\r\nX-UStreamer-Encode-Begin-Time: {grab}\r\nX-UStreamer-Online: true\r\n");
        (format!("{}{lines}", line(seconds(moment.now_us))), Clock::Camera(moment.now_us))
    });
    row_51_zero_for_ever => useless("0.000000");
    row_51_zero_without_decimals => useless("0");
    row_52_seconds_since_boot => starting_at(184_659_604_338);
    row_52_seconds_since_boot_just_booted => starting_at(1_000_000);
    row_52_seconds_since_boot_and_a_reboot => stamped_for(LONG, |moment| {
        let stamp = match moment.number {
            0..10 => 5_000_000_000 + moment.elapsed_us,
            _ => 3_000_000 + moment.elapsed_us - 2_900_000,
        };
        (line(seconds(stamp)), Clock::Mapped(stamp))
    });
    row_52_whole_seconds_since_boot => stamped_for(LONG, |moment| {
        (line(5_000 + moment.elapsed_us / 1_000_000), if moment.elapsed_us < 1_000_000 { Clock::Any } else { Clock::Mapped((5_000 + moment.elapsed_us / 1_000_000) * 1_000_000) })
    });
    row_52_milliseconds_since_boot => finer(1_000);
    row_52_microseconds_since_boot => finer(1_000_000);
    row_53_milliseconds => right_ms(|ms| ms.to_string());
    row_53_milliseconds_with_a_fraction => right(|us| format!("{}.{:03}", us / 1000, us % 1000));
    row_53_decimal_comma => right(|us| seconds(us).replace('.', ","));
    row_54_x_time_is_the_date => stamped(|moment| {
        let ms = moment.now_us / 1000 * 1000;
        let lines = format!("X-Time: {}\r\nX-Timestamp: {}\r\n", rfc3339(ms, "%Y-%m-%dT%H:%M:%S%.3f%:z", 4), seconds(moment.elapsed_us));
        (lines, Clock::Camera(ms))
    });
    row_55_whole_seconds_beside_boot_time => stamped_for(LONG, |moment| {
        let second = moment.now_us / 1_000_000;
        let lines = format!("X-UtcTime:{second}\r\nX-Timestamp: {}\r\n", seconds(295_528_317_000 + moment.elapsed_us));
        (lines, Clock::CameraSecond(second * 1_000_000))
    });
    row_56_seconds_and_hundredths => stamped(|moment| {
        let hundredths = moment.now_us / 10_000;
        (format!("x-axis-dvr-frame-time: {}:{:02}\r\n", hundredths / 100, hundredths % 100), Clock::Camera(hundredths * 10_000))
    });
    row_57_local_date_without_a_zone => stamped(|moment| {
        let text = rfc3339(moment.now_us, "%d-%m-%Y %I:%M:%S %p", 0);
        (format!("Date: {text} IO_00000000_PT_003_000\r\n"), Clock::Arrival)
    });
    row_58_clock_starts_in_2000 => starting_at(YEAR_2000_US);
    row_58_clock_starts_in_1970 => starting_at(17_000_000);
    row_58_clock_starts_in_2000_and_becomes_good => stamped_for(LONG, |moment| match moment.number {
        0..10 => (line(seconds(YEAR_2000_US + moment.elapsed_us)), Clock::Mapped(YEAR_2000_US + moment.elapsed_us)),
        _ => (line(seconds(moment.now_us)), Clock::Camera(moment.now_us)),
    });
    row_59_wrong_zone => off(|_| 2 * HOUR_US);
    row_59_an_hour_forward => off(|number| if number < 12 { 0 } else { HOUR_US });
    row_59_an_hour_back => off(|number| if number < 12 { 0 } else { -HOUR_US });
    row_59_an_hour_forward_and_back => off(|number| if (8..16).contains(&number) { HOUR_US } else { 0 });
    row_59_seconds_forward => off(|number| if number < 12 { 0 } else { 5_000_000 });
    row_59_seconds_back => off(|number| if number < 12 { 0 } else { -5_000_000 });
    row_59_minutes_back_again_and_again => off(|number| -i64::try_from(number / 6).expect("few frames") * MINUTE_US);
    row_60_whole_seconds => stamped_for(LONG, |moment| (line(moment.now_us / 1_000_000), Clock::Camera(moment.now_us / 1_000_000 * 1_000_000)));
    row_60_one_time_for_a_burst => burst();
    row_82_minutes_slow => off(|_| -5 * MINUTE_US);
    row_82_minutes_fast => off(|_| 9 * MINUTE_US);
    row_82_just_beyond_the_skew => off(|_| 11 * MINUTE_US);
    row_82_max_skew_is_a_setting => stamped(|moment| {
        (line(seconds(moment.now_us - 2 * HOUR_US)), Clock::Camera(moment.now_us - 2 * HOUR_US))
    }).key("max_skew", "\"3 h\"");
    row_82_last_of_two_stamps => stamped(|moment| (format!("{}{}", line("1.5"), line(seconds(moment.now_us))), Clock::Camera(moment.now_us)));

    stamps_are_right => right(seconds);
    stamps_in_microseconds => right(|us| us.to_string());
    stamps_in_nanoseconds => right(|us| format!("{us}123"));
    stamps_with_nine_decimals => right(|us| format!("{}789", seconds(us)));
    stamps_with_three_decimals => right_ms(|ms| format!("{}.{:03}", ms / 1000, ms % 1000));
    stamps_in_rfc_3339 => right(|us| rfc3339(us, "%Y-%m-%dT%H:%M:%S%.6fZ", 0));
    stamps_in_rfc_3339_with_a_zone => right(|us| rfc3339(us, "%Y-%m-%dT%H:%M:%S%.6f%:z", -7));
    stamps_under_another_name => stamped(|moment| (format!("X-Frame-Timestamp: {}\r\n", seconds(moment.now_us)), Clock::Camera(moment.now_us)));
    stamps_in_milliseconds_under_another_name => stamped(|moment| {
        let ms = moment.now_us / 1000;
        (format!("X-Timestamp-Ms: {ms}\r\nX-Sent-Time: {}\r\n", ms / 1000), Clock::Camera(ms * 1000))
    });
    stamps_in_quotes => right(|us| format!("\"{}\"", seconds(us)));
    stamps_amid_blanks => right(|us| format!("  \t {}  ", seconds(us)));
    stamps_missing => stamped(|_| (String::new(), Clock::Arrival));
    stamps_empty => useless("");
    stamps_garbage => useless("yesterday, at noon");
    stamps_nan => useless("nan");
    stamps_infinite => useless("inf");
    stamps_of_400_digits => useless(concat!("17000000001700000000170000000017000000001700000000", "17000000001700000000170000000017000000001700000000"));
    stamps_of_26_digits => useless("92233720368547758080000000");
    stamps_negative => useless("-1.000000");
    stamps_in_hex => useless("0x65a1b2c3");
    stamps_local_without_a_zone => useless("2026-11-22 10:00:00");
    stamps_not_text => useless("\u{1}\u{2}\u{fe}");
    stamps_stand_still => stamped_for(LONG, |moment| (line("4711.170000"), if moment.number == 0 { Clock::Any } else { Clock::Arrival }));
    stamps_stand_still_then_are_right => stamped_for(LONG, |moment| match moment.number {
        0 => (line("4711.170000"), Clock::Any),
        1..10 => (line("4711.170000"), Clock::Arrival),
        _ => (line(seconds(moment.now_us)), Clock::Camera(moment.now_us)),
    });
    stamps_are_right_then_missing => stamped_for(LONG, |moment| match moment.number {
        10..20 => (String::new(), Clock::Arrival),
        _ => (line(seconds(moment.now_us)), Clock::Camera(moment.now_us)),
    });
    stamps_missing_in_every_other_part => stamped_for(LONG, |moment| match moment.number % 2 {
        0 => (line(seconds(moment.now_us)), Clock::Camera(moment.now_us)),
        _ => (String::new(), Clock::Arrival),
    });
    stamps_missing_between_those_since_boot => stamped_for(LONG, |moment| match moment.number % 3 {
        1 => (line("0.000000"), Clock::Arrival),
        _ => (line(seconds(5_000_000_000 + moment.elapsed_us)), Clock::Mapped(5_000_000_000 + moment.elapsed_us)),
    });
    stamps_far_in_the_future => stamped(|moment| {
        let stamp = 4_000_000_000_000_000 + moment.elapsed_us;
        (line(seconds(stamp)), Clock::Mapped(stamp))
    });
    stamps_trusted_by_setting => stamped(|moment| {
        let stamp = YEAR_2000_US + moment.elapsed_us;
        (line(seconds(stamp)), Clock::Camera(stamp))
    }).key("timestamps", "\"camera\"");
    stamps_ignored_by_setting => stamped(|moment| (line(seconds(moment.now_us)), Clock::Arrival)).key("timestamps", "\"arrival\"");
    stamps_of_snapshots => Plan::new(async |mut camera| loop {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        let stamp = now_us();
        let lines = format!("Content-Type: image/jpeg\r\n{}", line(seconds(stamp)));
        camera.deliver(response("200 OK", &lines, &jpeg), Shot::new(&jpeg).at(Clock::Camera(stamp))).await?;
    }).key("poll_interval", "\"2 s\"").frames(10).may(&["clock_stepped"]);
    stamps_while_the_network_stalls => stamped_for(LONG, {
        // Frames made while the network stood still come in one burst, with their own times.
        |moment| (line(seconds(moment.now_us - 4_000_000)), Clock::Camera(moment.now_us - 4_000_000))
    });
}
