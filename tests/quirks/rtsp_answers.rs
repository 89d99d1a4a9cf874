//! Section 7: answers that are late, odd, or none, and what is made of them.

use super::cases;
use super::plan::{FRAMES, Plan};
use super::rtsp::{always, begun, every_session_is_ended, once, refuses, set_up_for, usual};
use crate::support::camera::Request;
use crate::support::now_us;
use crate::support::rtsp::{answer, interleaved};

/// A camera that hangs up where an answer to this is due.
fn hangs_up_at(method: &'static str) -> Plan {
    always(move |mut stage| async move {
        loop {
            let request = stage.request().await?;
            if request.method() == method {
                return Ok(());
            }
            stage.accept(&request).await?;
        }
    })
    .frames(0)
    .must(&["disconnected"])
    .backs_off()
}

/// A camera that says nothing where an answer to this is due, but for the end of a session.
fn silent_at(method: &'static str) -> Plan {
    always(move |mut stage| async move {
        loop {
            let request = stage.request().await?;
            if request.method() != method {
                stage.accept(&request).await?;
            }
        }
    })
    .frames(0)
    .must(&["stalled"])
    .connections(2..=4)
}

/// A camera that describes its medium so.
fn controlled(line: &'static str) -> Plan {
    usual(move |stage| {
        let sdp = stage.sdp.replace("a=control:track1", line);
        stage.describe(sdp)
    })
}

/// A camera whose answers are written so.
fn rewritten(write: fn(String) -> String) -> Plan {
    once(move |mut stage| async move {
        for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"] {
            let request = stage.expect(method).await?;
            let text = String::from_utf8_lossy(&stage.acceptance(&request)).into_owned();
            stage.camera.send(write(text)).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .check(every_session_is_ended)
    .connections(1..=1)
}

/// With a Content-Length that is off by so much.
fn resized(text: &str, by: isize) -> String {
    let Some((before, after)) = text.split_once("Content-Length: ") else {
        return text.to_owned();
    };
    let (length, after) = after.split_once("\r\n").unwrap_or((after, ""));
    let length: isize = length.parse().unwrap_or(0);
    format!("{before}Content-Length: {}\r\n{after}", length + by)
}

/// Everything behind SETUP names the session so.
fn session_is(plan: Plan, id: &'static str) -> Plan {
    plan.check(move |journal, _| {
        let mut behind = journal
            .requests
            .iter()
            .skip_while(|request| request.method() != "SETUP")
            .skip(1);
        match behind.find(|request: &&Request| request.field("session") != Some(id)) {
            Some(request) => Err(format!("not of session {id}: {}", request.head)),
            None => Ok(()),
        }
    })
}

cases! {
    rtsp_hangs_up_before_options => always(|mut stage| async move {
        let request = stage.request().await?;
        if request.method() == "OPTIONS" {
            return Ok(());
        }
        stage.accept(&request).await?;
        for method in ["SETUP", "PLAY"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .must(&["disconnected"])
    .check(every_session_is_ended)
    .connections(2..=2);
    rtsp_hangs_up_before_describe => hangs_up_at("DESCRIBE");
    rtsp_hangs_up_before_setup => hangs_up_at("SETUP");
    rtsp_hangs_up_before_play => hangs_up_at("PLAY");
    rtsp_silent_at_describe => silent_at("DESCRIBE");
    rtsp_silent_at_play => silent_at("PLAY").check(every_session_is_ended);
    rtsp_retry_after => always(|mut stage| async move {
        let request = stage.request().await?;
        let bytes = answer(&request, "503 Service Unavailable", "Retry-After: 300\r\n", "");
        stage.camera.send(bytes).await?;
        let request = stage.request().await?;
        let bytes = answer(&request, "503 Service Unavailable", "Retry-After: 300\r\n", "");
        stage.camera.send(bytes).await?;
        stage.camera.hold().await
    })
    .frames(0)
    .must(&["busy"])
    .connections(1..=1);
    rtsp_session_unknown => refuses("PLAY", "454 Session Not Found").must(&["bad_response"]);
    rtsp_internal_error => refuses("SETUP", "500 Internal Server Error").must(&["bad_response"]);
    rtsp_forbidden => always(|mut stage| async move {
        loop {
            let request = stage.request().await?;
            let bytes = answer(&request, "403 Forbidden", "", "");
            stage.camera.send(bytes).await?;
        }
    })
    .frames(0)
    .must(&["unauthorized"])
    .connections(1..=4);
    rtsp_unknown_codec_alone => super::rtsp::offers("v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\na=control:track1\r\n").must(&["not_video"]);
    rtsp_session_lives_for_nought => usual(|stage| stage.say("SETUP", "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711;timeout=0\r\n"));
    rtsp_session_oddly_spaced => session_is(begun_of("Session:   4711 ; timeout = 2 ; x\r\n"), "4711");
    rtsp_session_named_in_odd_letters => session_is(begun_of("Session: a-b_c.d+e$f=;timeout=2\r\n"), "a-b_c.d+e$f=");
    rtsp_play_answered_late => once(|mut stage| async move {
        for method in ["OPTIONS", "DESCRIBE", "SETUP"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        let play = stage.expect("PLAY").await?;
        stage.pictures(FRAMES).await?;
        stage.accept(&play).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(2 * FRAMES)
    .check(every_session_is_ended);
    row_87_high_channels => usual(|mut stage| {
        stage.channel = 200;
        stage.say("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=200-201\r\nSession: 4711\r\n")
    });
    row_87_channels_the_wrong_way_round => usual(|mut stage| {
        stage.channel = 1;
        stage.say("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=1-0\r\nSession: 4711\r\n")
    });
    row_87_channels_other_than_those_said => begun(|mut stage| async move {
        stage.camera.wait(1_500).await;
        stage.channel = 2;
        // Until it is clear that nothing comes where it should.
        stage.pictures(2).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
    row_84_control_is_a_star => set_up_for(controlled("a=control:*"), "/live");
    row_84_control_with_a_query => set_up_for(controlled("a=control:track1?user=a&b=c/d"), "live/track1?user=a&b=c/d");
    row_84_control_is_a_query => set_up_for(controlled("a=control:?ctype=video"), "/live?ctype=video");
    row_84_control_begins_with_a_slash => set_up_for(controlled("a=control:/track1"), "live/track1");
    row_83_relative_base => set_up_for(usual(|stage| {
        stage.say("DESCRIBE", "Content-Type: application/sdp\r\nContent-Base: /stream0/\r\n")
    }), "live/track1");
    row_83_base_with_its_scheme_twice => set_up_for(usual(|stage| {
        stage.say("DESCRIBE", "Content-Type: application/sdp\r\nContent-Base: rtsp://rtsp://127.0.0.1:554/stream0/\r\n")
    }), "stream0/track1");
    row_83_empty_base => set_up_for(usual(|stage| {
        stage.say("DESCRIBE", "Content-Type: application/sdp\r\nContent-Base: \r\n")
    }), "live/track1");
    row_85_rtp_info_of_another_stream => usual(|stage| stage.say("PLAY", "Session: 4711\r\nRTP-Info: url=rtsp://10.0.0.9/x;seq=65535;rtptime=4294967295\r\nRange: npt=now-\r\nScale: 1.0\r\n"));
    row_98_never_answered => once(|stage| async move {
        let lines = "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711;timeout=2\r\n";
        let mut stage = stage.say("SETUP", lines);
        stage.begin().await?;
        for _ in 0..4 {
            stage.pictures(3).await?;
            stage.request().await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(12 + FRAMES)
    .check(every_session_is_ended)
    .connections(1..=1);
    row_98_refused_and_asked_otherwise_at_once => once(|stage| async move {
        let lines = "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711;timeout=3\r\n";
        let mut stage = stage.say("OPTIONS", "Public: OPTIONS, GET_PARAMETER\r\n").say("SETUP", lines);
        stage.begin().await?;
        stage.pictures(3).await?;
        let refused = stage.expect("GET_PARAMETER").await?;
        let asked_us = now_us();
        stage.camera.send(answer(&refused, "501 Not Implemented", "", "")).await?;
        let request = stage.expect("OPTIONS").await?;
        // Not when it would have been asked again: this session is over then.
        if now_us() - asked_us > 1_200_000 {
            return Ok(());
        }
        stage.accept(&request).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(3 + FRAMES)
    .check(every_session_is_ended)
    .connections(1..=1);
    row_98_refused_with_the_number_before => once(|stage| async move {
        let lines = "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711;timeout=2\r\n";
        let mut stage = stage.say("SETUP", lines);
        stage.begin().await?;
        stage.pictures(3).await?;
        let request = stage.expect("GET_PARAMETER").await?;
        let number: u32 = request.field("cseq").and_then(|it| it.parse().ok()).unwrap_or(0);
        let before = number.saturating_sub(1);
        stage.camera.send(format!("RTSP/1.0 400 Bad Request\r\nCSeq: {before}\r\n\r\n")).await?;
        let request = stage.expect("OPTIONS").await?;
        stage.accept(&request).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(3 + FRAMES)
    .check(every_session_is_ended)
    .connections(1..=1);
    row_98_answered_with_a_length_and_no_body => once(|stage| async move {
        let lines = "Transport: RTP/AVP/TCP;interleaved=0-1\r\nSession: 4711;timeout=2\r\n";
        let mut stage = stage.say("SETUP", lines);
        stage.begin().await?;
        for _ in 0..4 {
            stage.pictures(3).await?;
            let request = stage.request().await?;
            let number = request.field("cseq").unwrap_or_default().to_owned();
            stage.camera.send(format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\nContent-Length: 50\r\n\r\n")).await?;
        }
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .frames(12 + FRAMES)
    .check(every_session_is_ended)
    .connections(1..=1);
    rtsp_answers_all_have_the_first_number => rewritten(|text| {
        let number = text.find("CSeq: ").map_or(0, |at| at + "CSeq: ".len());
        let end = text[number..].find('\r').map_or(text.len(), |length| number + length);
        format!("{}1{}", &text[..number], &text[end..])
    });
    rtsp_answers_without_a_number => rewritten(|text| text.replace("CSeq:", "X-Nothing:"));
    rtsp_answers_with_a_number_from_nowhere => rewritten(|text| text.replace("CSeq: ", "CSeq: 99"));
    rtsp_names_in_small_letters => rewritten(|text| text.replace("CSeq", "cseq").replace("Session", "session").replace("Transport", "transport").replace("Content-Length", "content-length"));
    rtsp_no_blank_behind_the_colon => rewritten(|text| text.replace(": ", ":"));
    rtsp_continue_first => rewritten(|text| {
        let number = text.lines().find(|line| line.starts_with("CSeq")).unwrap_or_default().to_owned();
        format!("RTSP/1.0 100 Continue\r\n{number}\r\n\r\n{text}")
    });
    rtsp_low_on_storage_space => rewritten(|text| text.replace("200 OK", "250 Low on Storage Space"));
    rtsp_of_another_version => rewritten(|text| text.replace("RTSP/1.0", "RTSP/2.0"));
    rtsp_status_without_words => rewritten(|text| text.replace("200 OK", "200"));
    rtsp_status_in_odd_letters => rewritten(|text| text.replace("RTSP/1.0 200 OK", "rtsp/1.0   200   ok"));
    rtsp_line_ends_before_answers => rewritten(|text| format!("\r\n\n\r\n{text}"));
    rtsp_field_on_two_lines => rewritten(|text| text.replace("Session: 4711;", "Session: 4711;\r\n\t"));
    rtsp_length_of_nought_everywhere => rewritten(|text| match text.contains("Content-Length") {
        true => text,
        false => text.replacen("CSeq", "Content-Length: 0\r\nCSeq", 1),
    });
    rtsp_no_session_named => usual(|stage| {
        stage.say("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").say("PLAY", "")
    });
    rtsp_description_without_a_length => rewritten(|text| text.replace("Content-Length", "X-Length"));
    rtsp_description_without_a_length_that_is_called_something_else => rewritten(|text| {
        text.replace("Content-Length", "X-Length").replace("application/sdp", "text/plain")
    });
    rtsp_description_longer_than_its_length => rewritten(|text| resized(&text, -2));
    rtsp_description_shorter_than_its_length => rewritten(|text| resized(&text, 2));
    rtsp_empty_frames_between_packets => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            stage.camera.send(b"$\0\0\0$\x01\0\0").await?;
            stage.pictures(1).await?;
        }
        stage.end().await
    });
    rtsp_reports_among_the_packets => begun(|mut stage| async move {
        for _ in 0..FRAMES {
            let report = stage.encoder.report(now_us());
            stage.camera.send(interleaved(0, &report)).await?;
            stage.pictures(1).await?;
        }
        stage.end().await
    });
    row_86_answer_and_packet_in_one => once(|mut stage| async move {
        for method in ["OPTIONS", "DESCRIBE", "SETUP"] {
            let request = stage.expect(method).await?;
            stage.accept(&request).await?;
        }
        let play = stage.expect("PLAY").await?;
        let (packets, shot) = stage.encoder.next();
        let behind: Vec<u8> = packets.iter().flat_map(|packet| interleaved(0, packet)).collect();
        let bytes = [stage.acceptance(&play), behind].concat();
        stage.camera.deliver(bytes, shot).await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    });
}

/// A camera whose answer to SETUP has this line, and that must be asked to keep the session.
fn begun_of(line: &'static str) -> Plan {
    once(move |stage| async move {
        let lines = format!("Transport: RTP/AVP/TCP;interleaved=0-1\r\n{line}");
        let mut stage = stage.say("SETUP", &lines).say("PLAY", "");
        stage.begin().await?;
        stage.pictures(FRAMES).await?;
        stage.expect("GET_PARAMETER").await?;
        stage.pictures(FRAMES).await?;
        stage.end().await
    })
    .check(every_session_is_ended)
    .connections(1..=1)
}
