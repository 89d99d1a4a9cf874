//! Section 7: RTSP and RTP, over TCP. Pictures are H.264.

use std::io;
use std::sync::Arc;

use super::cases;
use super::plan::{FRAMES, Plan};
use crate::support::camera::{Clock, Journal};
use crate::support::index::Gap;
use crate::support::now_us;
use crate::support::rtsp::{PPS, SPROP, SPS, Stage, TICKS, answer, interleaved, sdp};

/// A camera that acts so on each connection.
pub fn always<F, E>(act: F) -> Plan
where
    F: Fn(Stage) -> E + Send + Sync + 'static,
    E: Future<Output = io::Result<()>> + Send + 'static,
{
    Plan::new(move |camera| act(Stage::new(camera))).url(|address| format!("rtsp://{address}/live"))
}

/// A camera that acts so on its first connection; on later ones it begins as usual, and stays silent.
pub fn once<F, E>(act: F) -> Plan
where
    F: Fn(Stage) -> E + Send + Sync + 'static,
    E: Future<Output = io::Result<()>> + Send + 'static,
{
    let act = Arc::new(act);
    always(move |mut stage| {
        let act = Arc::clone(&act);
        async move {
            if stage.camera.number > 0 {
                stage.begin().await?;
                return stage.end().await;
            }
            act(stage).await
        }
    })
    .frames(FRAMES)
}

/// A camera of some oddity that begins, sends some pictures, and stays silent.
pub fn usual(odd: impl Fn(Stage) -> Stage + Send + Sync + 'static) -> Plan {
    let odd = Arc::new(odd);
    once(move |stage| {
        let mut stage = odd(stage);
        async move {
            stage.begin().await?;
            stage.pictures(FRAMES).await?;
            stage.end().await
        }
    })
    .check(every_session_is_ended)
    .connections(1..=1)
}

/// As [`usual`], but for what it does once it has begun.
pub fn begun<F, E>(act: F) -> Plan
where
    F: Fn(Stage) -> E + Send + Sync + 'static,
    E: Future<Output = io::Result<()>> + Send + 'static,
{
    let act = Arc::new(act);
    once(move |mut stage| {
        let act = Arc::clone(&act);
        async move {
            stage.begin().await?;
            act(stage).await
        }
    })
    .check(every_session_is_ended)
}

/// Sessions come one after the other, and each has its TEARDOWN.
pub fn every_session_is_ended(journal: &Journal, _: &[Gap]) -> Result<(), String> {
    let mut is_open = false;
    let mut before = "";
    for request in &journal.requests {
        match request.method() {
            // The same one again, with credentials, is no other.
            "PLAY" if is_open && before != "PLAY" => {
                return Err("a session begins before the last has ended".to_owned());
            }
            "PLAY" => is_open = true,
            "TEARDOWN" => is_open = false,
            _ => {}
        }
        before = request.method();
    }
    if is_open {
        Err("no TEARDOWN".to_owned())
    } else {
        Ok(())
    }
}

/// SETUP must be for this target.
pub fn set_up_for(plan: Plan, target: &'static str) -> Plan {
    plan.check(move |journal, _| {
        let found = journal
            .requests
            .iter()
            .find(|request| request.method() == "SETUP");
        match found.map(|request| {
            request
                .target()
                .split_once("/")
                .unwrap_or_default()
                .1
                .split_once('/')
                .unwrap_or_default()
                .1
        }) {
            Some(found) if found.ends_with(target) => Ok(()),
            found => Err(format!("SETUP for {found:?}, expected …{target}")),
        }
    })
}

/// There must have been a request of this method, in the stream.
fn asked(plan: Plan, method: &'static str) -> Plan {
    plan.check(move |journal, _| {
        let mut after_play = journal
            .requests
            .iter()
            .skip_while(|request| request.method() != "PLAY")
            .skip(1);
        match after_play.any(|request| request.method() == method) {
            true => Ok(()),
            false => Err(format!("no {method} after PLAY")),
        }
    })
}

/// A camera that answers this request so, and everything before it as usual.
pub fn refuses(method: &'static str, status: &'static str) -> Plan {
    always(move |mut stage| async move {
        loop {
            let request = stage.request().await?;
            if request.method() == method {
                let bytes = answer(&request, status, "", "");
                stage.camera.send(bytes).await?;
            } else {
                stage.accept(&request).await?;
            }
        }
    })
    .frames(0)
    .backs_off()
}

/// A camera that describes this and nothing else.
pub fn offers(sdp: &'static str) -> Plan {
    always(move |stage| async move { stage.describe(sdp).end().await })
        .frames(0)
        .backs_off()
}

/// A camera with this session's timeout and these methods, that answers what keeps the session alive with this status.
fn kept_alive(public: &'static str, status: &'static str) -> Plan {
    once(move |stage| async move {
        let lines = "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711;timeout=2\r\n";
        let mut stage = stage.say("OPTIONS", public).say("SETUP", lines);
        stage.begin().await?;
        for _ in 0..4 {
            stage.pictures(3).await?;
            let request = stage.request().await?;
            let bytes = answer(&request, status, "", "");
            stage.camera.send(bytes).await?;
        }
        stage.end().await
    })
    .frames(12)
    .check(every_session_is_ended)
    .connections(1..=1)
}

/// A TCP setup, answered with this Transport.
fn transport(line: &'static str) -> Plan {
    usual(move |stage| stage.say("SETUP", &format!("{line}Session: 4711\r\n")))
}

cases! {
    rtsp_plain => usual(|stage| stage);
    rtsp_heads_end_in_lf => once(|mut stage| async move {
        for _ in 0..4 {
            let request = stage.request().await?;
            let text = String::from_utf8_lossy(&stage.acceptance(&request)).replace("\r\n", "\n");
            stage.camera.send(text).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    row_83_base_without_scheme => set_up_for(usual(|stage| {
        stage.say("DESCRIBE", "Content-Type: application/sdp\r\nContent-Base: 127.0.0.1:554/stream0/\r\n")
    }), "live/track1");
    row_83_base_without_slash => set_up_for(usual(|stage| {
        stage.say("DESCRIBE", "Content-Type: application/sdp\r\nContent-Base: rtsp://127.0.0.1:554/stream0\r\n")
    }), "stream0/track1");
    row_84_control_behind_a_query => set_up_for(usual(|stage| stage).url(|address| format!("rtsp://{address}/live?ch=1&sub=0")), "live?ch=1&sub=0/track1");
    row_84_absolute_control => set_up_for(usual(|stage| {
        let sdp = stage.sdp.replace("a=control:track1", "a=control:rtsp://10.0.0.1/other/track9");
        stage.describe(sdp)
    }), "other/track9");
    row_84_no_control => set_up_for(usual(|stage| {
        let sdp = stage.sdp.replace("a=control:track1\r\n", "");
        stage.describe(sdp)
    }), "/live");
    row_85_odd_rtp_info => usual(|stage| stage.say("PLAY", "RTP-Info: seq=0;rtptime=0;ssrc=x,url=,;;\r\n"));
    row_86_packets_before_the_answer_to_play => once(|mut stage| async move {
        for method in ["OPTIONS", "DESCRIBE", "SETUP"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        let play = stage.expect("PLAY").await?;
        let (packets, shot) = stage.encoder.next();
        let early: Vec<u8> = packets.iter().flat_map(|packet| interleaved(0, packet)).collect();
        let bytes = [early, stage.acceptance(&play)].concat();
        stage.camera.deliver(bytes, shot.optional()).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    row_86_answer_within_a_picture => once(|stage| async move {
        let mut stage = stage.say("SETUP", "Session: 4711;timeout=2\r\n");
        stage.begin().await?;
        stage.pictures(3).await?;
        let request = stage.request().await?;
        let (packets, shot) = stage.encoder.picture(true);
        let (first, rest) = packets.split_at(2);
        stage.send(first).await?;
        let bytes = stage.acceptance(&request);
        stage.camera.send(bytes).await?;
        stage.deliver((rest.to_vec(), shot)).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    row_87_other_channels => usual(|mut stage| {
        stage.channel = 4;
        stage.say("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\r\nSession: 4711\r\n")
    });
    row_87_no_transport => transport("");
    row_87_transport_without_channels => transport("Transport: RTP/AVP/TCP;unicast\r\n");
    row_87_transport_without_tcp => transport("Transport: RTP/AVP;unicast;mode=play;destination=1.2.3.4\r\n");
    row_88_old_session_on_the_connection => once(|mut stage| async move {
        let mut old = crate::support::rtsp::Encoder::new(5);
        let mut stale = move || -> Vec<u8> {
            let (packets, _) = old.next();
            packets.iter().flat_map(|packet| interleaved(0, packet)).collect()
        };
        for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"] {
            stage.camera.send(stale()).await?;
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        for _ in 0..FRAMES {
            stage.camera.send(stale()).await?;
            stage.pictures(1).await?;
        }
        stage.end().await
    });
    row_89_teardown_after_a_stall => always(|mut stage| async move {
        stage.begin().await?;
        stage.pictures(3).await?;
        stage.end().await
    })
    .key("stall_timeout", "\"2 s\"")
    .frames(6)
    .must(&["stalled"])
    .connections(2..=12)
    .check(every_session_is_ended);
    row_90_other_ssrc_than_announced => transport("Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00000001\r\n");
    row_90_ssrc_changes => begun(|mut stage| async move {
        stage.pictures(5).await?;
        stage.encoder = crate::support::rtsp::Encoder::new(17);
        stage.pictures(30).await?;
        stage.end().await
    })
    .frames(35);
    row_91_time_goes_back_and_jumps => begun(|mut stage| async move {
        for step in [0i32, 2, -3, 1, 50, -40, 1000, 0, -2000, 0, 3] {
            stage.encoder.rtp_time = stage.encoder.rtp_time.wrapping_add_signed(step * TICKS as i32);
            stage.pictures(1).await?;
        }
        stage.end().await
    });
    row_93_report_before_the_first_picture => begun(|mut stage| async move {
        let (told_us, told) = ((now_us() / 1_000_000 - 60) * 1_000_000, stage.encoder.rtp_time);
        let report = interleaved(1, &stage.encoder.report(told_us));
        stage.camera.send(report).await?;
        for _ in 0..FRAMES {
            let (packets, shot) = stage.encoder.next();
            let since = i64::from(stage.encoder.rtp_time.wrapping_sub(told));
            stage.deliver((packets, shot.at(Clock::Camera(told_us + since / 90 * 1000)))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    row_94_sloppy_description => usual(|stage| stage.describe(format!(
        "v=0\no=- -1 0.5 IN\nb=RR:0\nnonsense\nt=\nm=audio 0 RTP/AVP 0\na=control:track0\nm=video 0 RTP/AVP 96\n\
         a=rtpmap:96 H264/90000 a=fmtp:96 packetization-mode=1; sprop-parameter-sets={SPROP}\na=control:track1\n"
    )));
    row_95_no_sets_in_the_description => usual(|stage| stage.describe(sdp().replace(&format!(";sprop-parameter-sets={SPROP}"), "")));
    row_95_sets_in_the_description_alone => usual(|mut stage| {
        stage.encoder.sets.clear();
        stage
    });
    row_96_no_markers => usual(|mut stage| {
        stage.encoder.markers = false;
        stage
    });
    row_97_start_codes_in_packets => begun(|mut stage| async move {
        for number in 0..FRAMES {
            let slice = stage.encoder.slice(number == 0);
            let units = if number == 0 { vec![SPS.to_vec(), PPS.to_vec(), slice] } else { vec![slice] };
            let joined = units.join(&b"\0\0\0\x01"[..]);
            let (packets, _) = stage.encoder.packed(&[joined]);
            stage.deliver((packets, stage.encoder.shot(&units))).await?;
            stage.camera.wait(100).await;
        }
        stage.end().await
    });
    row_98_get_parameter => asked(kept_alive("Public: OPTIONS, GET_PARAMETER\r\n", "200 OK"), "GET_PARAMETER");
    row_98_set_parameter => asked(kept_alive("Public: OPTIONS, SET_PARAMETER\r\n", "200 OK"), "SET_PARAMETER");
    row_98_no_public => asked(kept_alive("", "200 OK"), "OPTIONS");
    row_98_get_parameter_refused => asked(kept_alive("Public: OPTIONS, GET_PARAMETER\r\n", "451 Parameter Not Understood"), "OPTIONS");
    row_98_every_method_refused => kept_alive("Public: OPTIONS\r\n", "400 Bad Request");
    row_98_session_forgotten => always(|stage| async move {
        let mut stage = stage.say("PLAY", "Session: 4711;timeout=2\r\n");
        stage.begin().await?;
        stage.pictures(5).await?;
        let request = stage.request().await?;
        let bytes = answer(&request, "454 Session Not Found", "", "");
        stage.camera.send(bytes).await?;
        stage.end().await
    })
    .frames(10)
    .must(&["disconnected"])
    .connections(2..=120);
    row_100_not_enough_bandwidth => refuses("SETUP", "453 Not Enough Bandwidth").must(&["busy"]);
    row_100_other_payload_types => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            stage.encoder.payload_type = 97;
            let other = stage.encoder.packet(b"metadata", true);
            stage.encoder.payload_type = 96;
            stage.send(&[other]).await?;
            stage.pictures(1).await?;
        }
        stage.end().await
    });
    rtsp_service_unavailable => refuses("DESCRIBE", "503 Service Unavailable").must(&["busy"]);
    rtsp_not_found => refuses("DESCRIBE", "404 Not Found").must(&["bad_response"]);
    rtsp_play_refused_still_ends_the_session => refuses("PLAY", "500 Internal Server Error").must(&["bad_response"]).check(|journal, _| {
        let count = |method| journal.requests.iter().filter(|request| request.method() == method).count();
        match (count("SETUP"), count("TEARDOWN")) {
            (setups, teardowns) if setups == teardowns => Ok(()),
            counts => Err(format!("SETUP, TEARDOWN: {counts:?}")),
        }
    });
    rtsp_options_refused => once(|mut stage| async move {
        let request = stage.expect("OPTIONS").await?;
        let bytes = answer(&request, "501 Not Implemented", "", "");
        stage.camera.send(bytes).await?;
        for method in ["DESCRIBE", "SETUP", "PLAY"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_options_want_a_login_and_say_no_more => once(|mut stage| async move {
        let request = stage.expect("OPTIONS").await?;
        let bytes = answer(&request, "401 Unauthorized", "", "");
        stage.camera.send(bytes).await?;
        for method in ["DESCRIBE", "SETUP", "PLAY"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_plays_the_medium_alone => once(|mut stage| async move {
        for method in ["OPTIONS", "DESCRIBE", "SETUP"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        loop {
            let request = stage.expect("PLAY").await?;
            if request.target().ends_with("/track1") {
                stage.accept(&request).await?;
                break;
            }
            let bytes = answer(&request, "451 Parameter Not Understood", "", "");
            stage.camera.send(bytes).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_no_description => offers("").must(&["not_video"]);
    rtsp_audio_alone => offers("v=0\r\nm=audio 0 RTP/AVP 0\r\na=control:track0\r\n").must(&["not_video"]);
    rtsp_spoken_to_a_web_server => always(|mut stage| async move {
        stage.request().await?;
        stage.camera.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nBad").await
    })
    .frames(0)
    .must(&["bad_response"])
    .backs_off();
    rtsp_camera_asks => begun(|mut stage| async move {
        stage.pictures(3).await?;
        stage.camera.send("OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: 9\r\n\r\n").await?;
        let reply = stage.request().await?;
        if !reply.head.starts_with("RTSP/1.0 200") || reply.field("cseq") != Some("9") {
            stage.camera.complain(format!("OPTIONS was answered {}", reply.head));
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_camera_ends_the_session => always(|mut stage| async move {
        stage.begin().await?;
        stage.pictures(3).await?;
        stage.camera.send("TEARDOWN rtsp://x/ RTSP/1.0\r\nCSeq: 9\r\n\r\n").await?;
        stage.request().await?;
        stage.camera.hold().await
    })
    .frames(6)
    .must(&["disconnected"])
    .connections(2..=120);
    rtsp_part_of_a_packet_is_missing => begun(|mut stage| async move {
        stage.pictures(2).await?;
        let (packets, shot) = stage.encoder.picture(false);
        let torn = interleaved(0, &packets[0]);
        let bytes = [&torn[..torn.len() / 2], &packets[1..].iter().flat_map(|packet| interleaved(0, packet)).collect::<Vec<u8>>()].concat();
        stage.camera.deliver(bytes, shot.torn()).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_junk_between_packets => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            stage.camera.send(b"$$\x80junk \r\n$").await?;
            stage.pictures(1).await?;
        }
        stage.end().await
    });
    rtsp_lost_packet_costs_its_picture => begun(|mut stage| async move {
        stage.pictures(2).await?;
        let (mut packets, shot) = stage.encoder.picture(true);
        packets.remove(3);
        stage.deliver((packets, shot.torn())).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    rtsp_reset_within_a_picture => always(|mut stage| async move {
        stage.begin().await?;
        stage.pictures(5).await?;
        let (packets, shot) = stage.encoder.picture(true);
        stage.deliver((packets[..2].to_vec(), shot.torn())).await?;
        stage.camera.reset()
    })
    .frames(12)
    .must(&["disconnected"])
    .connections(2..=120);
    rtsp_endless_head => always(|mut stage| async move {
        stage.request().await?;
        stage.camera.send("RTSP/1.0 200 OK\r\n").await?;
        loop {
            stage.camera.send([b'x'; 4096]).await?;
        }
    })
    .frames(0)
    .must(&["bad_response"])
    .backs_off();
    rtsp_moved => always(|mut stage| async move {
        let request = stage.request().await?;
        if request.target().ends_with("/live") {
            let lines = format!("Location: {}moved\r\n", request.target());
            let bytes = answer(&request, "302 Moved Temporarily", &lines, "");
            stage.camera.send(bytes).await?;
            return stage.camera.hold().await;
        }
        stage.accept(&request).await?;
        for method in ["DESCRIBE", "SETUP", "PLAY"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        if stage.camera.number == 1 {
            stage.pictures(FRAMES).await?;
        }
        stage.end().await
    })
    .frames(FRAMES)
    .check(every_session_is_ended);
    rtsp_over_tls => usual(|stage| stage)
        .tls("\"accept\"")
        .url(|address| format!("rtsps://{address}/live"));
}
