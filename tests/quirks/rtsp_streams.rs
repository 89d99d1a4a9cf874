//! Section 7: streams whose parameter sets, units, packets or numbers are odd.

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{begun, every_session_is_ended, usual};
use crate::support::now_us;
use crate::support::rtsp::{PPS, SPROP, SPS, Stage, TICKS, interleaved};

/// A camera that describes its parameter sets so.
fn described(sets: &'static str) -> Plan {
    usual(move |mut stage| {
        stage.encoder.sets.clear();
        let sdp = stage.sdp.replace(SPROP, sets);
        stage.describe(sdp)
    })
}

/// A camera that does this to each picture's packets.
fn dressed(dress: fn(usize, Vec<Vec<u8>>) -> Vec<Vec<u8>>) -> Plan {
    begun(move |mut stage| async move {
        for number in 0..2 * FRAMES {
            let (packets, shot) = stage.encoder.next();
            stage.deliver((dress(number, packets), shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES)
}

/// A camera whose sequence numbers leap by so much in the middle of a GOP.
fn leaps(step: u16) -> Plan {
    begun(move |mut stage| async move {
        stage.pictures(FRAMES).await?;
        stage.encoder.sequence = stage.encoder.sequence.wrapping_add(step);
        stage.pictures(2 * FRAMES).await?;
        stage.end().await
    })
    .frames(3 * FRAMES)
}

/// Reports so far apart, of a camera whose RTP clock counts `of` in a hundred of what it should.
fn reported(of: u32, every: usize) -> Plan {
    begun(move |mut stage| async move {
        let (begin_us, begin) = (now_us(), stage.encoder.rtp_time);
        for number in 0..80 {
            let (mut packets, shot) = stage.encoder.next();
            let ticks = stage.encoder.rtp_time.wrapping_sub(begin);
            let rtp_time = begin.wrapping_add(ticks / 100 * of);
            for packet in &mut packets {
                packet[4..8].copy_from_slice(&rtp_time.to_be_bytes());
            }
            if number % every == 0 {
                let mut report = stage
                    .encoder
                    .report(begin_us + i64::from(ticks) / 90 * 1000);
                report[16..20].copy_from_slice(&rtp_time.to_be_bytes());
                stage.camera.send(interleaved(1, &report)).await?;
            }
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(80)
}

/// As [`Stage::pictures`], but they may be left out: they can't be shown.
async fn unshown(stage: &mut Stage, count: usize) -> std::io::Result<()> {
    for _ in 0..count {
        let (packets, shot) = stage.encoder.next();
        stage.deliver((packets, shot.optional())).await?;
        stage.camera.wait(100).await;
    }
    Ok(())
}

cases! {
    row_95_sets_before_the_third_keyframe_alone => begun(|mut stage| async move {
        let sets = std::mem::take(&mut stage.encoder.sets);
        unshown(&mut stage, 10).await?;
        stage.encoder.sets = sets;
        stage.pictures(5).await?;
        stage.encoder.sets.clear();
        stage.pictures(10).await?;
        stage.end().await
    })
    .frames(25);
    row_95_first_set_in_the_description_second_in_the_stream => usual(|mut stage| {
        stage.encoder.sets = vec![PPS.to_vec()];
        let sdp = stage.sdp.replace(SPROP, "Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==");
        stage.describe(sdp)
    });
    row_95_sets_in_the_stream_in_wrong_order => usual(|mut stage| {
        stage.encoder.sets = vec![PPS.to_vec(), SPS.to_vec()];
        let sdp = stage.sdp.replace(SPROP, "");
        stage.describe(sdp)
    });
    row_95_sets_between_keyframes => begun(|mut stage| async move {
        for number in 0..3 * FRAMES {
            let is_key = number % 5 == 0;
            let slice = stage.encoder.slice(is_key);
            let sets = if number % 5 == 3 || number == 0 { vec![SPS.to_vec(), PPS.to_vec()] } else { Vec::new() };
            let picture = stage.encoder.packed(&[sets, vec![slice]].concat());
            stage.deliver(picture).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(3 * FRAMES);
    row_95_wrong_sets_in_the_description => usual(|stage| {
        let sdp = stage.sdp.replace(SPROP, "Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aM4xsg==");
        stage.describe(sdp)
    });
    row_95_sets_with_commas_and_blanks => described(" ,Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA== , aMuDyyA= ,, ");
    row_95_sets_without_padding => described("Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA,aMuDyyA");
    row_95_sets_beside_what_is_no_base64 => described("!!!,Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,%%,aMuDyyA=");
    row_95_sets_with_start_codes => described("AAAAAWdCwB/ZAKAv+XARAAADAAEAAAMAMg8YMkg=,AAAAAWjLg8sg");
    row_95_what_is_no_base64_alone => usual(|stage| {
        let sdp = stage.sdp.replace(SPROP, "&&&,###");
        stage.describe(sdp)
    });
    row_96_a_marker_on_every_packet => dressed(|_, mut packets| {
        packets.iter_mut().for_each(|packet| packet[1] |= 0x80);
        packets
    });
    row_96_a_marker_on_the_first_packet_alone => dressed(|_, mut packets| {
        for (at, packet) in packets.iter_mut().enumerate() {
            packet[1] = packet[1] & 0x7f | if at == 0 { 0x80 } else { 0 };
        }
        packets
    });
    row_96_markers_on_parameter_sets => dressed(|number, mut packets| {
        let sets = if number % 5 == 0 { 2 } else { 0 };
        packets.iter_mut().take(sets).for_each(|packet| packet[1] |= 0x80);
        packets
    });
    row_96_sets_have_the_time_of_the_picture_before => begun(|mut stage| async move {
        let mut before = stage.encoder.rtp_time;
        for number in 0..3 * FRAMES {
            let (mut packets, shot) = stage.encoder.next();
            if number % 5 == 0 {
                packets.iter_mut().take(2).for_each(|packet| packet[4..8].copy_from_slice(&before.to_be_bytes()));
            }
            before = stage.encoder.rtp_time;
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(3 * FRAMES);
    row_96_two_pictures_of_one_time => begun(|mut stage| async move {
        for number in 0..2 * FRAMES {
            let (mut packets, shot) = stage.encoder.next();
            let time = (number / 2) as u32 * 2 * TICKS;
            packets.iter_mut().for_each(|packet| packet[4..8].copy_from_slice(&time.to_be_bytes()));
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    row_96_two_pictures_of_one_time_without_markers => begun(|mut stage| async move {
        stage.encoder.markers = false;
        for number in 0..2 * FRAMES {
            let slice = stage.encoder.slice(number % 5 == 0);
            let sets = if number % 5 == 0 { vec![SPS.to_vec(), PPS.to_vec()] } else { Vec::new() };
            let (mut packets, shot) = stage.encoder.packed(&[vec![b"\x09\xf0".to_vec()], sets, vec![slice]].concat());
            let time = (number / 2) as u32 * 2 * TICKS;
            packets.iter_mut().for_each(|packet| packet[4..8].copy_from_slice(&time.to_be_bytes()));
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    row_97_empty_units_in_an_aggregate => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            let units = [SPS.to_vec(), PPS.to_vec(), stage.encoder.slice(true)];
            let sized = units.iter().flat_map(|unit| [&[0, 0][..], &u16::try_from(unit.len()).unwrap_or(0).to_be_bytes(), unit].concat());
            let aggregate: Vec<u8> = [0x78].into_iter().chain(sized).chain([0, 0]).collect();
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
            let packet = stage.encoder.packet(&aggregate, true);
            stage.deliver((vec![packet], stage.encoder.shot(&units))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    rtsp_empty_packets => dressed(|_, packets| {
        // A packet of its own sequence number that carries nothing would be a loss here; padding alone is none.
        packets.into_iter().map(|mut packet| {
            packet[0] |= 0x20;
            packet.extend([0; 254]);
            packet.push(255);
            packet
        }).collect()
    });
    rtsp_contributing_sources => dressed(|_, packets| {
        packets.into_iter().map(|packet| {
            let mut dressed = [&packet[..12], b"\0\0\0\x07\0\0\0\x08", &packet[12..]].concat();
            dressed[0] |= 2;
            dressed
        }).collect()
    });
    rtsp_unit_in_one_fragment => begun(|mut stage| async move {
        for number in 0..FRAMES {
            let slice = stage.encoder.slice(number == 0);
            let units = if number == 0 { vec![SPS.to_vec(), PPS.to_vec(), slice] } else { vec![slice] };
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
            let last = units.len() - 1;
            let mut packets = Vec::new();
            for (at, unit) in units.iter().enumerate() {
                let payload = [&[unit[0] & 0xe0 | 28, unit[0] & 0x1f | 0xc0][..], &unit[1..]].concat();
                packets.push(stage.encoder.packet(&payload, at == last));
            }
            stage.deliver((packets, stage.encoder.shot(&units))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    rtsp_first_fragment_never_sent => begun(|mut stage| async move {
        stage.pictures(5).await?;
        let (mut packets, shot) = stage.encoder.picture(true);
        packets.remove(2);
        // As if nothing were missing.
        for packet in packets.iter_mut().skip(2) {
            let sequence = u16::from_be_bytes([packet[2], packet[3]]).wrapping_sub(1);
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        }
        stage.encoder.sequence = stage.encoder.sequence.wrapping_sub(1);
        stage.deliver((packets, shot.torn())).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_last_fragment_never_sent => begun(|mut stage| async move {
        stage.pictures(5).await?;
        let (mut packets, shot) = stage.encoder.picture(true);
        packets.pop();
        stage.encoder.sequence = stage.encoder.sequence.wrapping_sub(1);
        stage.deliver((packets, shot.torn())).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_sequence_leaps_ahead => leaps(30_000);
    rtsp_sequence_leaps_back => leaps(30_000u16.wrapping_neg());
    rtsp_sequence_leaps_back_a_little => leaps(100u16.wrapping_neg());
    rtsp_sequence_wraps => usual(|mut stage| {
        stage.encoder.sequence = 65_530;
        stage
    });
    row_90_ssrc_alone_changes => begun(|mut stage| async move {
        stage.pictures(FRAMES).await?;
        stage.encoder.ssrc ^= 0x55;
        stage.pictures(30).await?;
        stage.end().await
    })
    .frames(FRAMES + 30);
    row_91_time_wraps_between_keyframes => begun(|mut stage| async move {
        stage.encoder.rtp_time = 0u32.wrapping_sub(3 * TICKS);
        stage.pictures(3 * FRAMES).await?;
        stage.end().await
    })
    .frames(3 * FRAMES);
    row_92_time_runs_slow_and_reports_are_right => reported(60, 10);
    row_92_time_runs_fast_and_reports_are_right => reported(140, 10);
    row_93_farewell_in_mid_stream => begun(|mut stage| async move {
        stage.pictures(3).await?;
        let bye = [&b"\x81\xcb\0\x01"[..], &stage.encoder.ssrc.to_be_bytes()].concat();
        stage.camera.send(interleaved(1, &bye)).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .check(every_session_is_ended);
}
