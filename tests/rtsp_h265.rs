//! A camera that sends real H.265 in an odd way: what is stored is what it sent, and plays.

use std::sync::Arc;
use std::time::Duration;

use framelog_core::frame::{Codec, Frame};

use crate::support::camera::{Camera, Listen, Shot, script};
use crate::support::daemon::Place;
use crate::support::digest::base64;
use crate::support::elementary::frames;
use crate::support::media::assert_segments_play;
use crate::support::now_us;
use crate::support::rtsp::{Stage, stored, units};

const LIMIT: Duration = Duration::from_secs(60);

/// Records a camera that describes sequence and picture parameter sets, or sends them before each keyframe, but never a video parameter set.
fn record_without_a_video_parameter_set(described: bool) {
    let film: Arc<Vec<Frame>> = Arc::new(frames(Codec::H265, "320x180", 0, 50, now_us()));
    let count = film.len();
    let script = script(move |camera| {
        let film = Arc::clone(&film);
        async move {
            let parameters = film[0].parameters.as_ref().expect("H.265 has some");
            let sets: Vec<Vec<u8>> = parameters.sets[1..]
                .iter()
                .map(|set| set.to_vec())
                .collect();
            let said = match described {
                true => format!(
                    "a=fmtp:96 sprop-sps={};sprop-pps={}\r\n",
                    base64(&sets[0]),
                    base64(&sets[1])
                ),
                false => String::new(),
            };
            let sdp = format!(
                "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n{said}a=control:track1\r\n"
            );
            let mut stage = Stage::new(camera).describe(sdp);
            stage.encoder.packet_bytes = usize::from(u16::MAX) - 100;
            stage.begin().await?;
            for frame in film.iter() {
                let mut units = units(&frame.payload.to_vec());
                if frame.keyframe && !described {
                    units.splice(0..0, sets.clone());
                }
                let (packets, _) = stage.encoder.packed(&units);
                let shot = Shot::new(&stored(&units)).keyframe(frame.keyframe);
                stage.deliver((packets, shot)).await?;
                stage.camera.wait(40).await;
            }
            stage.end().await
        }
    });
    let camera = Camera::start(Listen::plainly(1), script);
    let place = Place::new(&format!(
        "[cameras.gate]\nurl = \"rtsp://{}/live\"\n",
        camera.address
    ));
    let daemon = place.run();
    place.wait_for("the film", LIMIT, |index| {
        (index.rows_of("gate").len() >= count).then_some(())
    });
    let stopped = daemon.stop(Duration::from_secs(20));
    assert!(
        stopped.expect("a stop in time").success(),
        "{}",
        place.log()
    );
    let index = place.index().expect("an index");
    let sent = camera.journal().sent;
    let stored = index.frames_of("gate");
    assert_eq!((stored.len(), sent.len()), (count, count));
    for ((row, payload), sent) in stored.iter().zip(&sent) {
        assert!(sent.shot.accepted.contains(payload), "{row:?}");
        assert_eq!(row.keyframe, sent.shot.keyframe, "{row:?}");
    }
    assert_segments_play(&place.storage(), &index);
}

#[test]
fn h265_described_without_a_video_parameter_set_is_recorded_and_plays() {
    record_without_a_video_parameter_set(true);
}

#[test]
fn h265_sent_without_a_video_parameter_set_is_recorded_and_plays() {
    record_without_a_video_parameter_set(false);
}
