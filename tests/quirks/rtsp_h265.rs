//! Section 7: H.265, where it is not as H.264.

use std::sync::Arc;

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{every_session_is_ended, once, usual};
use crate::support::digest::base64;
use crate::support::rtsp::{Coding, Encoder, SETS_H265, Stage, TICKS};

/// A camera that sends H.265, and does this once it has begun.
fn h265<F, E>(act: F) -> Plan
where
    F: Fn(Stage) -> E + Send + Sync + 'static,
    E: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let act = Arc::new(act);
    once(move |stage| {
        let act = Arc::clone(&act);
        async move {
            let mut stage = turned(stage);
            stage.begin().await?;
            act(stage).await
        }
    })
    .check(every_session_is_ended)
    .connections(1..=1)
}

/// The same camera with another encoder, and described so.
fn turned(mut stage: Stage) -> Stage {
    stage.encoder = Encoder::of(Coding::H265, stage.camera.random());
    let sdp = stage.encoder.sdp();
    stage.describe(sdp)
}

/// A camera that describes these of its parameter sets, and sends those.
fn described(named: &'static [(&'static str, usize)], sent: &'static [usize]) -> Plan {
    usual(move |stage| {
        let mut stage = turned(stage);
        stage.encoder.sets = sent.iter().map(|&at| SETS_H265[at].to_vec()).collect();
        let named = named
            .iter()
            .map(|&(name, at)| format!("{name}={};", base64(SETS_H265[at])));
        let line = format!("a=fmtp:96 {}\r\n", named.collect::<String>());
        let sdp = format!("{}{line}", stage.sdp);
        stage.describe(sdp)
    })
}

/// An aggregation packet's payload (RFC 7798 §4.4.2).
fn aggregate(units: &[Vec<u8>]) -> Vec<u8> {
    let sized = units.iter().flat_map(|unit| {
        let length = u16::try_from(unit.len()).expect("a small unit");
        [&length.to_be_bytes()[..], unit].concat()
    });
    [48 << 1, 1].into_iter().chain(sized).collect()
}

cases! {
    rtsp_h265_plain => usual(turned);
    rtsp_h265_without_markers => usual(|stage| {
        let mut stage = turned(stage);
        stage.encoder.markers = false;
        stage
    });
    row_95_h265_sets_in_the_description_alone => described(&[("sprop-vps", 0), ("sprop-sps", 1), ("sprop-pps", 2)], &[]);
    row_95_h265_no_video_parameter_set => described(&[], &[1, 2]);
    row_95_h265_sets_in_either_place => described(&[("sprop-sps", 1)], &[0, 2]);
    row_97_h265_sets_in_an_aggregate => h265(|mut stage| async move {
        for number in 0..2 * FRAMES {
            let slice = stage.encoder.slice(number % 5 == 0);
            let sets = if number % 5 == 0 { stage.encoder.sets.clone() } else { Vec::new() };
            let units = [sets.clone(), vec![slice.clone()]].concat();
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add(TICKS);
            let mut packets = Vec::new();
            if !sets.is_empty() {
                packets.push(stage.encoder.packet(&aggregate(&sets), false));
            }
            packets.extend(stage.encoder.packets(&[slice]));
            let shot = stage.encoder.shot(&units);
            stage.deliver((packets, shot)).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    rtsp_h265_clean_random_access => h265(|mut stage| async move {
        for number in 0..2 * FRAMES {
            let mut slice = stage.encoder.slice(number % 5 == 0);
            if number % 5 == 0 && number > 0 {
                slice[0] = 21 << 1; // CRA in place of IDR
            }
            let sets = if number % 5 == 0 { stage.encoder.sets.clone() } else { Vec::new() };
            let picture = stage.encoder.packed(&[sets, vec![slice]].concat());
            stage.deliver(picture).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES);
    rtsp_h265_lost_packet_costs_its_picture => h265(|mut stage| async move {
        stage.pictures(7).await?;
        let (mut packets, shot) = stage.encoder.picture(false);
        packets.remove(0);
        stage.deliver((packets, shot.torn())).await?;
        stage.pictures(2).await?;
        let (mut packets, shot) = stage.encoder.picture(true);
        packets.pop();
        stage.deliver((packets, shot.torn())).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(11 + FRAMES);
    rtsp_h265_temporal_layers => of_layers();
}

/// A camera every other picture of which is of a higher temporal layer, and not referred to (`TRAIL_N`).
fn of_layers() -> Plan {
    h265(|mut stage| async move {
        for number in 0..2 * FRAMES {
            let mut slice = stage.encoder.slice(number % 5 == 0);
            if number % 5 % 2 == 1 {
                (slice[0], slice[1]) = (0, 2);
            }
            let sets = if number % 5 == 0 {
                stage.encoder.sets.clone()
            } else {
                Vec::new()
            };
            let picture = stage.encoder.packed(&[sets, vec![slice]].concat());
            stage.deliver(picture).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    })
    .frames(2 * FRAMES)
}
