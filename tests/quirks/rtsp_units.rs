//! Section 7: how pictures are put into packets, in which order, and what else is said of their time.

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{always, begun};
use crate::support::camera::Clock;
use crate::support::now_us;
use crate::support::rtsp::{Encoder, PPS, SPROP, SPS, TICKS, interleaved, stored};

/// User data of no kind that is known, and a delimiter.
const SEI: &[u8] = b"\x06\x05\x01\xaa\x80";
const DELIMITER: &[u8] = b"\x09\xf0";
/// An hour of RTP time.
const HOUR: u32 = 3_600 * 90_000;

/// Units behind their lengths, with so many bytes before each length and behind it.
fn aggregate(head: &[u8], between: usize, units: &[Vec<u8>]) -> Vec<u8> {
    let sized = units.iter().flat_map(|unit| {
        let length = u16::try_from(unit.len()).expect("a small unit");
        [&length.to_be_bytes()[..], &vec![0; between], unit].concat()
    });
    head.iter().copied().chain(sized).collect()
}

/// The NAL units of the next picture.
fn units(encoder: &mut Encoder, number: usize) -> Vec<Vec<u8>> {
    let is_key = number.is_multiple_of(5);
    let sets = if is_key {
        vec![SPS.to_vec(), PPS.to_vec()]
    } else {
        Vec::new()
    };
    let slice = encoder.slice(is_key);
    [sets, vec![slice]].concat()
}

/// One picture after another, put into packets so: payloads, of which the last has the marker.
fn put(pack: fn(&[Vec<u8>]) -> Vec<Vec<u8>>) -> Plan {
    begun(move |mut stage| async move {
        for number in 0..2 * FRAMES {
            let units = units(&mut stage.encoder, number);
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
            let payloads = pack(&units);
            let last = payloads.len() - 1;
            let mut packets = Vec::new();
            for (at, payload) in payloads.iter().enumerate() {
                packets.push(stage.encoder.packet(payload, at == last));
            }
            let shot = stage.encoder.shot(&units);
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES)
}

/// A unit in two fragments, with so many bytes of a decoding order number in the first.
fn halves(unit: &[u8], kind: u8, first_has: usize) -> [Vec<u8>; 2] {
    let (first, second) = unit[1..].split_at(unit.len() / 2);
    let indicator = unit[0] & 0xe0;
    [
        [
            &[indicator | kind, unit[0] & 0x1f | 0x80][..],
            &vec![0; first_has],
            first,
        ]
        .concat(),
        [&[indicator | 28, unit[0] & 0x1f | 0x40][..], second].concat(),
    ]
}

/// Pictures whose RTP time is so many steps later than that of the one before; all are near the present.
fn stepping(steps: &'static [i64]) -> Plan {
    begun(move |mut stage| async move {
        let mut time = stage.encoder.rtp_time;
        for step in steps {
            time = time.wrapping_add(*step as u32);
            let (mut packets, shot) = stage.encoder.next();
            for packet in &mut packets {
                packet[4..8].copy_from_slice(&time.to_be_bytes());
            }
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(steps.len())
}

cases! {
    row_97_sets_in_an_aggregate_and_the_slice_in_fragments => put(|units| match units {
        [sets @ .., slice] if !sets.is_empty() => {
            let sets = [&[DELIMITER.to_vec()][..], sets].concat();
            let mut payloads = vec![aggregate(&[0x78], 0, &sets[1..])];
            payloads.extend(halves(slice, 28, 0));
            payloads
        }
        [slice] => vec![slice.clone()],
        _ => Vec::new(),
    });
    row_97_interleaved_mode => put(|units| match units {
        // STAP-B and FU-B (RFC 6184 §5.7.1, §5.8): in the order of decoding, whatever their numbers.
        [sets @ .., slice] if !sets.is_empty() => {
            let mut payloads = vec![aggregate(&[0x79, 0, 1], 0, sets)];
            payloads.extend(halves(slice, 29, 2));
            payloads
        }
        units => vec![aggregate(&[0x79, 0, 7], 0, units)],
    });
    row_97_units_with_times_of_their_own => put(|units| {
        // MTAP16 (§5.7.2): a number and a time before each unit.
        vec![aggregate(&[0x7a, 0, 1], 3, units)]
    });
    row_97_aggregate_longer_than_its_packet => begun(|mut stage| async move {
        stage.pictures(5).await?;
        let units = units(&mut stage.encoder, 0);
        let mut payload = aggregate(&[0x78], 0, &units);
        payload.truncate(payload.len() - 30);
        stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
        let packet = stage.encoder.packet(&payload, true);
        let shot = stage.encoder.shot(&units).torn();
        stage.deliver((vec![packet], shot)).await?;
        stage.pictures(2 * FRAMES).await?;
        stage.end().await
    })
    .frames(6 + 2 * FRAMES);
    rtsp_unit_of_more_than_64_kb => begun(|mut stage| async move {
        stage.pictures(2).await?;
        stage.encoder.packet_bytes = 1_400;
        let mut slice = stage.encoder.slice(true);
        slice.extend((0..70_000u32).map(|at| 4 + (at % 251) as u8));
        let picture = stage.encoder.packed(&[SPS.to_vec(), PPS.to_vec(), slice]);
        stage.deliver(picture).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(3 + FRAMES);
    rtsp_information_with_a_time_of_its_own => begun(|mut stage| async move {
        // It belongs to no picture, or to the next.
        for number in 0..2 * FRAMES {
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS / 2);
            let alone = stage.encoder.packet(SEI, true);
            stage.send(&[alone]).await?;
            let units = units(&mut stage.encoder, number);
            let (packets, shot) = stage.encoder.packed(&units);
            let with = stored(&[vec![SEI.to_vec()], units].concat());
            stage.deliver((packets, shot.or(&with))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    rtsp_delimiter_in_a_packet_of_its_own_with_a_marker => begun(|mut stage| async move {
        for number in 0..2 * FRAMES {
            let units = [vec![DELIMITER.to_vec()], units(&mut stage.encoder, number)].concat();
            let (mut packets, shot) = stage.encoder.packed(&units);
            packets[0][1] |= 0x80;
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    row_91_pictures_shown_in_another_order => begun(|mut stage| async move {
        // I P B B P B B …, as encoders with two B-frames send them.
        for number in 0..3 * FRAMES {
            let shown = match number % 3 {
                _ if number == 0 => 0,
                1 => number + 2,
                _ => number - 1,
            };
            let (mut packets, shot) = stage.encoder.next();
            let time = 70_000 + u32::try_from(shown).expect("a few") * TICKS;
            for packet in &mut packets {
                packet[4..8].copy_from_slice(&time.to_be_bytes());
            }
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(3 * FRAMES);
    row_91_time_leaps_ahead_by_hours => stepping(&[9_000, 9_000, 3 * HOUR as i64, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000]);
    row_91_time_leaps_back_by_hours => stepping(&[9_000, 9_000, -3 * HOUR as i64, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000]);
    row_91_time_leaps_and_comes_back => stepping(&[9_000, 9_000, 9_000, 2 * HOUR as i64, -2 * HOUR as i64, 9_000, 9_000, 9_000, 9_000, 9_000]);
    row_90_ssrc_changes_and_so_do_its_reports => begun(|mut stage| async move {
        for turn in 0..3 {
            if turn > 0 {
                stage.encoder = Encoder::new(99 + turn);
            }
            for number in 0..2 * FRAMES {
                if number % 4 == 0 {
                    let report = interleaved(1, &stage.encoder.report(now_us()));
                    stage.camera.send(report).await?;
                }
                let (packets, shot) = stage.encoder.next();
                stage.deliver((packets, shot)).await?;
                stage.camera.wait(100).await;
            }
        }
        stage.end().await
    })
    .frames(6 * FRAMES);
    row_93_reports_of_somebody_else => begun(|mut stage| async move {
        let mut other = Encoder::new(3);
        for _ in 0..2 * FRAMES {
            other.rtp_time = stage.encoder.rtp_time;
            let report = interleaved(1, &other.report(now_us() - 300_000_000));
            stage.camera.send(report).await?;
            let (packets, shot) = stage.encoder.next();
            stage.deliver((packets, shot.at(Clock::Near))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    row_95_sets_change_between_keyframes => begun(|mut stage| async move {
        // The next keyframe is the first that can need them.
        for number in 0..4 * FRAMES {
            let is_key = number % 5 == 0;
            let slice = stage.encoder.slice(is_key);
            let mut other = SPS.to_vec();
            other[3] = 0x1e;
            let sets = match number {
                0 => vec![SPS.to_vec(), PPS.to_vec()],
                7 => vec![other, PPS.to_vec()],
                _ => Vec::new(),
            };
            let picture = stage.encoder.packed(&[sets, vec![slice]].concat());
            stage.deliver(picture).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(4 * FRAMES);
    row_95_other_sets_in_the_description_after_a_reconnect => always(|mut stage| async move {
        stage.encoder.sets.clear();
        if stage.camera.number % 2 == 1 {
            let sdp = stage.sdp.replace(SPROP, "Z0LAHtkAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=");
            stage.sdp = sdp;
        }
        stage.begin().await?;
        stage.pictures(FRAMES).await?;
        if stage.camera.number < 3 {
            return stage.camera.reset();
        }
        stage.end().await
    })
    .frames(3 * FRAMES)
    .must(&["disconnected"])
    .connections(3..=5);
}
