//! Section 7: what packets carry, and what time they say it is.

use std::time::Duration;

use tokio::time::sleep;

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{always, begun, every_session_is_ended, usual};
use crate::support::camera::Clock;
use crate::support::now_us;
use crate::support::rtsp::{Encoder, PPS, SPS, Stage, TICKS, interleaved};

/// Seconds from the epoch of NTP to that of Unix.
const NTP_EPOCH: u32 = 2_208_988_800;

/// The same parameter set, for a decoder of another level.
fn other_level() -> Vec<u8> {
    let mut sps = SPS.to_vec();
    sps[3] = 0x1e;
    sps
}

/// The next pictures' RTP times are what this makes of the time of the one before.
fn timed(first: u32, next: fn(u32) -> u32) -> Plan {
    begun(move |mut stage| async move {
        let mut time = first;
        for _ in 0..FRAMES {
            let (mut packets, shot) = stage.encoder.next();
            for packet in &mut packets {
                packet[4..8].copy_from_slice(&time.to_be_bytes());
            }
            time = next(time);
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
}

/// Sender reports that say this NTP time, in whole seconds, before each picture. None of it is believed, but RTP time is.
fn reported(seconds: fn() -> u32) -> Plan {
    begun(move |mut stage| async move {
        for _ in 0..FRAMES {
            let mut report = stage.encoder.report(now_us());
            report[8..12].copy_from_slice(&seconds().to_be_bytes());
            stage.camera.send(interleaved(1, &report)).await?;
            let (packets, shot) = stage.encoder.next();
            stage.deliver((packets, shot.at(Clock::Near))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
}

/// One picture of these NAL units after another.
fn pictures(units: fn(&mut Encoder, bool) -> Vec<Vec<u8>>) -> Plan {
    begun(move |mut stage| async move {
        for number in 0..FRAMES {
            let units = units(&mut stage.encoder, number % 5 == 0);
            let picture = stage.encoder.packed(&units);
            stage.deliver(picture).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
}

/// Sends parts of a NAL unit that never ends.
async fn never_end(mut stage: Stage, part: &[u8]) -> std::io::Result<()> {
    stage.begin().await?;
    stage.pictures(3).await?;
    let unit = [part, &[7; 1_400]].concat();
    loop {
        let packets: Vec<_> = (0..64)
            .map(|_| stage.encoder.packet(&unit, false))
            .collect();
        stage.send(&packets).await?;
        // 9 MB/s: not all that the processor can.
        sleep(Duration::from_millis(10)).await;
    }
}

cases! {
    row_95_sets_change => begun(|mut stage| async move {
        stage.pictures(5).await?;
        stage.encoder.sets[0] = other_level();
        stage.pictures(5).await?;
        stage.encoder.sets[0] = SPS.to_vec();
        stage.pictures(5).await?;
        stage.end().await
    })
    .frames(15)
    .check(every_session_is_ended);
    row_95_sets_change_to_nonsense => begun(|mut stage| async move {
        stage.pictures(5).await?;
        stage.encoder.sets = vec![vec![0x67], vec![0x68]];
        stage.pictures(5).await?;
        stage.encoder.sets = vec![SPS.to_vec(), PPS.to_vec()];
        stage.pictures(5).await?;
        stage.end().await
    })
    .frames(15);
    row_95_sets_with_every_picture => pictures(|encoder, is_key| {
        vec![SPS.to_vec(), PPS.to_vec(), encoder.slice(is_key)]
    });
    row_96_delimiters_and_filler => pictures(|encoder, is_key| {
        let sets = if is_key { vec![SPS.to_vec(), PPS.to_vec()] } else { Vec::new() };
        [vec![b"\x09\xf0".to_vec()], sets, vec![b"\x06\x05\x01\xaa\x80".to_vec(), encoder.slice(is_key), b"\x0c\xff\xff\x80".to_vec()]].concat()
    });
    row_96_delimiters_before_each_slice => pictures(|encoder, is_key| {
        let delimiter = b"\x09\xf0".to_vec();
        let sets = if is_key { vec![SPS.to_vec(), PPS.to_vec()] } else { Vec::new() };
        let mut second = encoder.slice(is_key);
        second[1] = 0x40; // does not begin at the first macroblock
        [sets, vec![delimiter.clone(), encoder.slice(is_key), delimiter, second]].concat()
    });
    row_96_pictures_of_two_slices_without_markers => begun(|mut stage| async move {
        stage.encoder.markers = false;
        for number in 0..FRAMES {
            let is_key = number % 5 == 0;
            let mut second = stage.encoder.slice(is_key);
            second[1] = 0x40; // does not begin at the first macroblock
            let sets = if is_key { vec![SPS.to_vec(), PPS.to_vec()] } else { Vec::new() };
            let picture = stage.encoder.slice(is_key);
            let picture = stage.encoder.packed(&[sets, vec![picture, second]].concat());
            stage.deliver(picture).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    row_97_everything_in_one_packet => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            let units = [SPS.to_vec(), PPS.to_vec(), stage.encoder.slice(true)];
            let sized = units.iter().flat_map(|unit| [&u16::try_from(unit.len()).unwrap_or(0).to_be_bytes()[..], unit].concat());
            let aggregate: Vec<u8> = [0x78].into_iter().chain(sized).collect(); // STAP-A (RFC 6184 §5.7.1)
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
            let packet = stage.encoder.packet(&aggregate, true);
            stage.deliver((vec![packet], stage.encoder.shot(&units))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    rtsp_every_packet_twice => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            let (packets, shot) = stage.encoder.next();
            let twice = packets.into_iter().flat_map(|packet| [packet.clone(), packet]).collect();
            stage.deliver((twice, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    rtsp_begins_between_keyframes => always(|mut stage| async move {
        stage.begin().await?;
        for _ in 0..3 {
            let (packets, shot) = stage.encoder.picture(false);
            stage.deliver((packets, shot.optional())).await?;
            stage.camera.wait(100).await;
        }
        stage.pictures(4).await?;
        stage.camera.reset()
    })
    .frames(8)
    .must(&["disconnected"])
    .connections(2..=120);
    rtsp_padding_and_extensions => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            let (packets, shot) = stage.encoder.next();
            let dressed = |packet: Vec<u8>| {
                let extension: &[u8] = b"\xbe\xde\x00\x01\x10\xff\x00\x00"; // RFC 8285 §4.2
                let mut dressed = [&packet[..12], extension, &packet[12..], b"\0\0\0\x04"].concat();
                dressed[0] |= 0x30;
                dressed
            };
            stage.deliver((packets.into_iter().map(dressed).collect(), shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    rtsp_endless_unit => always(|stage| never_end(stage, b"\x7c\x05")).frames(0).may(&["bad_response", "stalled", "disconnected"]).connections(1..=120);
    rtsp_endless_picture => always(|stage| never_end(stage, b"\x41\x40")).frames(0).may(&["bad_response", "stalled", "disconnected"]).connections(1..=120);
    row_91_time_wraps => timed(u32::MAX - 3 * TICKS, |time| time.wrapping_add(TICKS));
    row_91_time_stands_still => timed(77, |time| time);
    row_91_time_is_nought => timed(0, |_| 0);
    row_91_time_begins_anew_with_each_keyframe => timed(0, |time| (time + TICKS) % (5 * TICKS));
    row_92_time_runs_slow => timed(1 << 20, |time| time + TICKS * 21 / 25);
    row_92_time_runs_fast => timed(1 << 20, |time| time + TICKS * 30 / 25);
    row_92_time_runs_backwards => timed(1 << 30, |time| time - TICKS);
    row_92_time_in_milliseconds => timed(5, |time| time + 100);
    row_93_report_in_unix_time => begun(|mut stage| async move {
        let (told_s, told) = (now_us() / 1_000_000 - 60, stage.encoder.rtp_time);
        let mut report = stage.encoder.report(told_s * 1_000_000);
        report[8..12].copy_from_slice(&u32::try_from(told_s).unwrap_or(0).to_be_bytes());
        stage.camera.send(interleaved(1, &report)).await?;
        for _ in 0..FRAMES {
            let (packets, shot) = stage.encoder.next();
            let since = i64::from(stage.encoder.rtp_time.wrapping_sub(told));
            let at = Clock::Camera(told_s * 1_000_000 + since / 90 * 1000);
            stage.deliver((packets, shot.at(at))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    row_93_report_of_1900 => reported(|| 0);
    row_93_report_of_1970 => reported(|| NTP_EPOCH + 12);
    row_93_report_of_2036 => reported(|| u32::MAX);
    row_93_report_that_never_changes => reported(|| NTP_EPOCH + 1_600_000_000);
    row_93_no_report => usual(|stage| stage);
}
