//! Section 7: descriptions of odd making, transports that can't be had, and what a camera says unasked.

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{always, begun, every_session_is_ended, refuses, set_up_for, usual};
use crate::support::rtsp::{answer, sdp, sdp_h265};

/// A camera whose description is made into this.
fn written(write: fn(String) -> String) -> Plan {
    usual(move |stage| {
        let sdp = write(stage.sdp.clone());
        stage.describe(sdp)
    })
}

/// A camera that asks this in mid-stream, and is answered.
fn asks(request: &'static str) -> Plan {
    begun(move |mut stage| async move {
        stage.pictures(3).await?;
        stage.camera.send(request).await?;
        let reply = stage.request().await?;
        if !reply.head.starts_with("RTSP/1.0 ") || reply.field("cseq") != Some("77") {
            stage.camera.complain(format!("answered {}", reply.head));
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(3 + FRAMES)
    .connections(1..=1)
}

/// A camera that sends every request elsewhere.
fn elsewhere(status: &'static str, location: &'static str) -> Plan {
    always(move |mut stage| async move {
        loop {
            let request = stage.request().await?;
            let lines = match location {
                "" => String::new(),
                location => format!("Location: {location}\r\n"),
            };
            let bytes = answer(&request, status, &lines, "");
            stage.camera.send(bytes).await?;
        }
    })
    .frames(0)
    .must(&["bad_response"])
    .backs_off()
}

/// Many lines that nobody needs.
fn long(sdp: String) -> String {
    let noise: String = (0..400)
        .map(|n| format!("a=x-noise-{n}:{}\r\n", "y".repeat(100)))
        .collect();
    sdp.replace("t=0 0\r\n", &format!("t=0 0\r\n{noise}"))
}

cases! {
    row_94_description_ends_in_a_nul => written(|sdp| sdp + "\0");
    row_94_description_begins_with_a_mark_of_bytes => written(|sdp| format!("\u{feff}{sdp}"));
    row_94_description_of_40_kb => written(long);
    row_94_description_with_blank_lines_and_cr_alone => written(|sdp| sdp.replace("\r\n", "\r\r\n\r\n"));
    row_94_no_payload_types => written(|sdp| sdp.replace("m=video 0 RTP/AVP 96", "m=video 0 RTP/AVP"));
    row_94_two_codecs_of_which_the_second_is_sent => written(|sdp| {
        sdp.replace("m=video 0 RTP/AVP 96", "m=video 0 RTP/AVP 98 96") + "a=rtpmap:98 H265/90000\r\n"
    });
    row_94_described_as_the_other_codec => written(|sdp| sdp.replace("H264/90000", "H265/90000"));
    row_94_described_as_the_other_codec_without_sets => written(|sdp| {
        sdp.replace("H264/90000", "H265/90000").replace("sprop-parameter-sets", "x-nothing")
    });
    row_94_commas_between_payload_types => written(|sdp| sdp.replace("m=video 0 RTP/AVP 96", "m=video 0 RTP/AVP 97,96"));
    row_95_sets_under_another_medium => usual(|mut stage| {
        stage.encoder.sets.clear();
        let sdp = stage.sdp.replace("a=fmtp", "a=x-nothing");
        let fmtp = stage.sdp.lines().find(|line| line.starts_with("a=fmtp")).unwrap_or_default();
        let behind = format!("m=audio 0 RTP/AVP 8\r\na=control:track2\r\n{fmtp}\r\n");
        stage.describe(sdp + &behind)
    });
    rtsp_channels_where_datagrams_were_asked_for => usual(|stage| stage).key("transport", "\"udp\"");
    row_94_dollars_in_texts => usual(|stage| {
        let sdp = stage.sdp.replace("s=camera", "s=$\0\0\x04$$ $\x01\0\x10");
        stage.describe(sdp).say("OPTIONS", "Server: $\x01 $$ \r\nPublic: OPTIONS, GET_PARAMETER\r\n")
    });
    row_84_the_first_of_two_videos => set_up_for(written(|sdp| {
        sdp + "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:track2\r\n"
    }), "live/track1");
    row_84_videos_behind_sound_and_metadata => set_up_for(written(|_| {
        let video = sdp();
        let video = &video[video.find("m=video").unwrap_or_default()..];
        format!("v=0\r\nm=audio 0 RTP/AVP 8\r\na=control:track7\r\nm=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:track8\r\n{video}")
    }), "live/track1");
    row_87_transport_in_odd_letters => usual(|mut stage| {
        stage.channel = 6;
        stage.say("SETUP", "Transport: rtp/avp/tcp ; UNICAST ; Interleaved = 6 - 7 ; mode=\"PLAY\"\r\nSession: 4711\r\n")
    });
    row_87_one_channel_named => usual(|mut stage| {
        stage.channel = 2;
        stage.say("SETUP", "Transport: RTP/AVP/TCP;interleaved=2\r\nSession: 4711\r\n")
    });
    rtsp_multicast_only => refuses("SETUP", "461 Unsupported Transport").must(&["bad_response"]);
    rtsp_requires_what_is_not_known => refuses("SETUP", "551 Option Not Supported").must(&["bad_response"]);
    rtsp_use_proxy => elsewhere("305 Use Proxy", "");
    rtsp_moved_to_another_protocol => elsewhere("302 Moved Temporarily", "http://127.0.0.1:1/live");
    rtsp_moved_nowhere => elsewhere("301 Moved Permanently", "");
    rtsp_camera_announces => asks("ANNOUNCE rtsp://x/live RTSP/1.0\r\nCSeq: 77\r\nContent-Type: application/sdp\r\nContent-Length: 14\r\n\r\nv=0\r\ns=$\0\0\x04ab\r\n").check(every_session_is_ended);
    rtsp_camera_announces_another_codec => always(|mut stage| async move {
        stage.begin().await?;
        stage.pictures(3).await?;
        let body = sdp_h265();
        let head = format!("ANNOUNCE rtsp://x/live RTSP/1.0\r\nCSeq: 77\r\nContent-Length: {}\r\n\r\n", body.len());
        stage.camera.send(head + &body).await?;
        stage.request().await?;
        stage.end().await
    })
    .frames(6)
    .must(&["disconnected"])
    .check(every_session_is_ended)
    .connections(2..=120);
    rtsp_camera_sets_parameters => asks("SET_PARAMETER rtsp://x/live RTSP/1.0\r\nCSeq: 77\r\nContent-Type: text/parameters\r\nContent-Length: 12\r\n\r\nbarparam: x\n").check(every_session_is_ended);
    rtsp_camera_asks_what_is_not_known => asks("PLAY_NOTIFY rtsp://x/live RTSP/1.0\r\nCSeq: 77\r\nNotify-Reason: media-properties-update\r\n\r\n");
}
