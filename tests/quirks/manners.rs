//! Of the kind of sections 1, 5 and 6, but not in the list: answers, connections and refusals that nobody has reported yet.

use std::sync::Arc;

use super::cases;
use super::plan::{
    FRAMES, HEAD, Plan, bare, idle, part, response, send_parts, serve, simple, typed,
};
use crate::support::camera::{Camera, Connection, Journal, Listen, Shot, script};
use crate::support::index::Gap;
use crate::support::jpeg::Jpeg;

/// Answers everything with this, and closes.
fn always(answer: impl Into<Vec<u8>>) -> Plan {
    let answer = Arc::new(answer.into());
    Plan::new(move |mut camera| {
        let answer = Arc::clone(&answer);
        async move {
            camera.request().await?;
            camera.send(&*answer).await
        }
    })
    .frames(0)
}

/// Snapshots: `answer` makes the response; the connection is kept open whatever it says.
fn snapshots(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Plan {
    snapshots_of(|jpeg| jpeg, Shot::new, answer)
}

/// As [`snapshots`], of pictures of this kind, stored so.
fn snapshots_of(
    kind: impl Fn(Jpeg) -> Jpeg + Send + Sync + 'static,
    shot: impl Fn(&[u8]) -> Shot + Send + Sync + 'static,
    answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Plan {
    let shared = Arc::new((kind, shot, answer));
    Plan::new(move |mut camera| {
        let shared = Arc::clone(&shared);
        async move {
            loop {
                camera.request().await?;
                let jpeg = (shared.0)(camera.jpeg()).bytes();
                camera.deliver((shared.2)(&jpeg), (shared.1)(&jpeg)).await?;
            }
        }
    })
    .key("poll_interval", "\"2 s\"")
    .key("stall_timeout", "\"15 s\"")
    .frames(6)
}

/// As [`snapshots`], closing behind each picture.
fn snapshots_closed(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Plan {
    snapshots_closed_of(Shot::new, answer)
}

/// The same, stored so.
fn snapshots_closed_of(
    shot: impl Fn(&[u8]) -> Shot + Send + Sync + 'static,
    answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Plan {
    let shared = Arc::new((shot, answer));
    Plan::new(move |mut camera| {
        let shared = Arc::clone(&shared);
        async move {
            camera.request().await?;
            let jpeg = camera.jpeg().bytes();
            camera.deliver((shared.1)(&jpeg), (shared.0)(&jpeg)).await
        }
    })
    .key("poll_interval", "\"2 s\"")
    .frames(10)
}

/// A snapshot whose announced length is so.
fn of_length(length: usize, lines: &str, jpeg: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n{lines}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), jpeg].concat()
}

/// Refuses the first request with 503 and this Retry-After, then serves; the second try must come within these milliseconds.
fn retry_after(value: &str, range: std::ops::RangeInclusive<i64>) -> Plan {
    let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
    Plan::new(move |mut camera| {
        let answer = answer.clone();
        async move {
            camera.request().await?;
            match camera.number {
                0 => camera.send(answer).await,
                _ => serve(&mut camera).await,
            }
        }
    })
    .frames(FRAMES)
    .must(&["busy"])
    .check(move |journal, _| match journal.connected_us[..] {
        [first, second, ..] if range.contains(&((second - first) / 1000)) => Ok(()),
        _ => Err(format!(
            "tries at {:?}, expected {range:?} ms",
            journal.connected_us
        )),
    })
}

/// Never asks again within the run.
fn retry_after_long(value: &str) -> Plan {
    always(format!(
        "HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
    ))
    .must(&["busy"])
    .connections(1..=1)
}

/// Redirects to the stream on another port, with this before its address in the Location.
fn redirects_to_another_port(before: &'static str) -> Plan {
    let companion = Arc::new(Camera::start(
        Listen::plainly(91),
        script(async |mut camera: Connection| {
            camera.request().await?;
            serve(&mut camera).await
        }),
    ));
    let address = companion.address;
    let mut plan = always(response(
        "302 Found",
        &format!("Location: {before}{address}/live?token=Secret-token-91\r\n"),
        b"",
    ))
    .frames(FRAMES)
    .connections(1..=1);
    plan.companion = Some(companion);
    plan
}

/// Snapshots, of which each third is this instead.
fn snapshots_missed(answer: impl Into<Vec<u8>>) -> Plan {
    let answer = Arc::new(answer.into());
    Plan::new(move |mut camera| {
        let answer = Arc::clone(&answer);
        async move {
            let mut asked = 0;
            loop {
                camera.request().await?;
                asked += 1;
                if asked % 3 == 0 {
                    camera.send(&*answer).await?;
                    continue;
                }
                let jpeg = camera.jpeg().bytes();
                let picture = response("200 OK", "Content-Type: image/jpeg\r\n", &jpeg);
                camera.deliver(picture, Shot::new(&jpeg)).await?;
            }
        }
    })
    .key("poll_interval", "\"1 s\"")
    .frames(10)
}

/// After the first of such answers it is known that each is one picture.
fn one_disconnection(_: &Journal, gaps: &[Gap]) -> Result<(), String> {
    let gaps = gaps.iter().filter(|gap| gap.reason == "disconnected");
    match gaps.count() {
        1 => Ok(()),
        count => Err(format!("{count} gaps of disconnection, expected one")),
    }
}

const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xd3\xd5\x4d\x4e\xcc\x4d\x2b\x4a\xcc\x4d\xe5\xe5\x02\x12\x34\x56\x78\x10\0\0\0";

cases! {
    early_hints_first => simple(format!("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n{HEAD}"), part);
    two_interim_heads_first => simple(format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{HEAD}"), part);
    body_that_is_gzip => always([b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\nContent-Encoding: gzip\r\n\r\n", GZIP].concat())
        .may(&["not_video", "bad_response"]).backs_off();
    snapshot_that_is_gzip => always(response("200 OK", "Content-Type: image/jpeg\r\nContent-Encoding: gzip\r\n", GZIP))
        .may(&["not_video", "bad_response"]).connections(2..=14);
    http_2_settings => always(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x40\0\0\0\x06\0\0\x40\0".to_vec()).must(&["bad_response"]).backs_off();
    alert_of_tls_to_plain_http => {
        let mut plan = Plan::new(async |mut camera| { camera.request().await?; Ok(()) }).frames(0)
            .may(&["bad_response", "disconnected", "unreachable"]).connections(3..=14);
        plan.tls = true;
        plan
    };
    plain_answer_to_tls => always("HTTP/1.1 400 Bad Request\r\n\r\n").url(|address| format!("https://{address}/")).key("tls", "\"accept\"").must(&["unreachable"]).connections(2..=14);
    answers_tls_with_plain_http => Plan::new(async |mut camera| {
        camera.send("HTTP/1.1 400 Client sent an HTTP request to an HTTPS server\r\n\r\n").await?;
        camera.hold().await
    }).url(|address| format!("https://{address}/")).key("tls", "\"accept\"").frames(0).must(&["unreachable"]).connections(2..=14);
    resets_at_once => Plan::new(async |camera| camera.reset()).frames(0).may(&["unreachable", "disconnected"]).backs_off();
    resets_after_the_head => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(HEAD).await?;
        camera.reset()
    }).frames(0).may(&["not_video", "disconnected"]).backs_off();
    answers_before_it_is_asked => Plan::new(async |mut camera| {
        if camera.number > 0 { return idle(camera).await; }
        camera.send(HEAD).await?;
        send_parts(&mut camera, FRAMES).await?;
        camera.hold().await
    }).frames(FRAMES).connections(1..=1);
    half_a_head_then_silence => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send("HTTP/1.1 200 OK\r\nContent-Ty").await?;
        camera.hold().await
    }).frames(0).must(&["stalled"]).connections(2..=5);
    head_after_12_s => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.wait(12_000).await;
        if camera.number != 1 { return idle(camera).await; }
        camera.send(HEAD).await?;
        send_parts(&mut camera, FRAMES).await?;
        camera.hold().await
    }).frames(FRAMES).must(&["stalled"]).connections(2..=2);
    half_a_head_then_closed => always("HTTP/1.1 200 OK\r\nContent-Ty").may(&["bad_response", "disconnected", "not_video"]).backs_off();
    chunk_size_of_garbage => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        for _ in 0..3 {
            let jpeg = camera.jpeg().bytes();
            let bytes = bare(&jpeg);
            let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
            camera.deliver(chunk, Shot::new(&jpeg)).await?;
        }
        camera.send("zzz\r\nnot a chunk").await?;
        camera.hold().await
    }).frames(6).must(&["bad_response"]);
    chunk_trailers => simple("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n", |jpeg| {
        let bytes = bare(jpeg);
        [format!("{:x};ext\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
    });
    length_of_a_multipart_of_one_part_each => Plan::new(async |mut camera| {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        let body = [&part(&jpeg)[..], b"--camframe--\r\n"].concat();
        camera.deliver(response("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=camframe\r\nConnection: close\r\n", &body), Shot::new(&jpeg)).await?;
        camera.wait(300).await;
        Ok(())
    }).frames(10).must(&["disconnected"]).connections(10..=40).check(one_disconnection);

    snapshots_http_1_0_keep_alive => snapshots(|jpeg| [format!("HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nConnection: Keep-Alive\r\nContent-Length: {}\r\n\r\n", jpeg.len()).as_bytes(), jpeg].concat()).connections(1..=1).requests(10..=19);
    snapshots_without_length_kept_open => snapshots(|jpeg| [b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", jpeg].concat()).requests(6..=19);
    snapshots_announced_as_closed_but_kept_open => snapshots(|jpeg| response("200 OK", "Content-Type: image/jpeg\r\nConnection: close\r\n", jpeg)).requests(6..=19);
    snapshots_chunked_without_a_last_chunk => snapshots(|jpeg| {
        [format!("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", jpeg.len()).as_bytes(), jpeg, b"\r\n"].concat()
    }).requests(6..=19);
    snapshots_with_two_lengths => snapshots_closed(|jpeg| of_length(jpeg.len(), "Content-Length: 5\r\n", jpeg)).requests(10..=19);
    snapshots_torn_once => Plan::new(async |mut camera| loop {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        if camera.sent() == 2 {
            let cut = &jpeg[..jpeg.len() / 2];
            camera.deliver(of_length(jpeg.len(), "", cut), Shot::new(cut).torn()).await?;
            return Ok(());
        }
        camera.deliver(of_length(jpeg.len(), "", &jpeg), Shot::new(&jpeg)).await?;
    }).key("poll_interval", "\"2 s\"").frames(8).may(&["disconnected"]);
    snapshots_of_length_too_large_kept_open => snapshots(|jpeg| of_length(jpeg.len() + 100, "", jpeg)).requests(6..=19);
    snapshots_of_length_too_large => snapshots_closed(|jpeg| of_length(jpeg.len() + 100, "", jpeg)).requests(10..=19);
    snapshots_of_length_too_small => snapshots_closed_of(|jpeg| Shot::new(jpeg).unsure(), |jpeg| of_length(jpeg.len() - 100, "", jpeg)).requests(10..=19);
    snapshots_of_length_two_too_small_kept_open => snapshots_of(|jpeg| jpeg, |jpeg| Shot::new(jpeg).unsure(), |jpeg| of_length(jpeg.len() - 2, "", jpeg)).requests(6..=19);
    snapshots_behind_line_ends => snapshots(|jpeg| response("200 OK", "Content-Type: image/jpeg\r\n", &[b"\r\n", jpeg].concat())).requests(10..=19);
    snapshots_with_line_ends_behind => snapshots(|jpeg| [&response("200 OK", "Content-Type: image/jpeg\r\n", jpeg)[..], b"\r\n"].concat()).requests(10..=19);
    snapshots_without_an_end => snapshots_of(Jpeg::without_end, |jpeg| Shot::new(jpeg).marked(), |jpeg| response("200 OK", "Content-Type: image/jpeg\r\n", jpeg)).requests(10..=19);
    snapshots_with_something_behind_up_to_the_close => snapshots_closed_of(|jpeg| Shot::new(&[jpeg, b"\0VENDOR\x01"].concat()).unsure(), |jpeg| {
        [b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", jpeg, b"\0VENDOR\x01"].concat()
    });
    snapshots_padded => {
        const ZEROS: &[u8] = &[0; 100];
        snapshots_of(|jpeg| jpeg.padding(ZEROS), |kept| Shot::new(kept).or(&kept[..kept.len() - 100]), |jpeg| response("200 OK", "Content-Type: image/jpeg\r\n", jpeg)).requests(10..=19)
    };
    snapshots_that_are_sham => snapshots_of(|_| Jpeg::new(1), |_| Shot::new(b"\xff\xd8 not really \xff\xd9"), |_| response("200 OK", "Content-Type: image/jpeg\r\n", b"\xff\xd8 not really \xff\xd9")).requests(10..=19);
    snapshots_that_are_sham_without_length => snapshots_closed(|jpeg| [b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", jpeg].concat()).requests(10..=19);
    snapshots_of_a_megabyte => snapshots_of(|jpeg| jpeg.entropy(1_500_000), Shot::new, |jpeg| response("200 OK", "Content-Type: image/jpeg\r\n", jpeg)).requests(6..=19);
    snapshots_of_no_type => snapshots(|jpeg| response("200 OK", "", jpeg)).requests(10..=19);
    snapshots_in_a_multipart_type => snapshots_closed(|jpeg| response("200 OK", "Content-Type: multipart/x-mixed-replace; boundary=camframe\r\nConnection: close\r\n", jpeg)).may(&["disconnected"]);
    snapshots_of_which_some_are_empty => snapshots_missed(response("200 OK", "Content-Type: image/jpeg\r\n", b"")).connections(1..=1);
    snapshots_of_which_some_are_no_content => snapshots_missed("HTTP/1.1 204 No Content\r\n\r\n").connections(1..=1);
    snapshots_of_which_some_are_not_modified => snapshots_missed("HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n").connections(1..=1);
    not_modified_for_ever => always("HTTP/1.1 304 Not Modified\r\n\r\n").must(&["not_video"]).backs_off();
    snapshots_of_which_some_are_pages => snapshots_missed(response("200 OK", "Content-Type: text/html\r\n", b"<html>busy</html>")).connections(1..=1);
    snapshots_of_which_some_are_refused => snapshots_missed(response("503 Service Unavailable", "Content-Type: application/xml\r\n", b"<statusString>Device Busy</statusString>")).must(&["busy"]);
    snapshots_of_which_some_fail => snapshots_missed(response("500 Internal Server Error", "", b"")).must(&["bad_response"]);

    retry_after_in_the_past => retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 450..=3_000);
    retry_after_negative => retry_after("-30", 450..=3_000);
    retry_after_a_date_of_a_clock_that_is_off => retry_after("Sat, 01 Jan 2000 00:00:08 GMT\r\nDate: Sat, 01 Jan 2000 00:00:02 GMT", 5_900..=12_000);
    retry_after_zero => retry_after("0", 450..=3_000);
    retry_after_of_words => retry_after("soon", 450..=3_000);
    retry_after_with_a_fraction => retry_after("6.5", 6_400..=12_000);
    retry_after_with_a_unit => retry_after("6 seconds", 5_900..=12_000);
    retry_after_in_quotes => retry_after("\"6\"", 5_900..=12_000);
    retry_after_too_large_for_64_bits => retry_after_long("99999999999999999999999");
    retry_after_of_a_century => retry_after_long("3155760000");
    retry_after_a_date_of_rfc_850 => retry_after_long("Sunday, 06-Nov-49 08:49:37 GMT");
    retry_after_a_date_far_off => retry_after_long("Fri, 31 Dec 2100 23:59:59 GMT");
    retry_after_of_another_status => {
        always("HTTP/1.1 500 Oops\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n").must(&["bad_response"]).connections(1..=1)
    };
    redirect_to_another_port => redirects_to_another_port("http://");
    redirect_without_a_scheme => redirects_to_another_port("//");
    redirect_with_credentials => {
        let mut plan = redirects_to_another_port("http://eve:Secret-redirect-91@");
        plan.secrets.push("Secret-redirect-91".to_owned());
        plan.secrets.push("Secret-token-91".to_owned());
        plan
    };
    page_with_a_long_line => always(response("200 OK", "Content-Type: image/jpeg\r\n", &[b'A'; 40_000])).must(&["not_video"]).connections(2..=14);
    stream_turns_into_a_page => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(HEAD).await?;
        send_parts(&mut camera, 3).await?;
        camera.send("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<html>gone</html>").await
    }).frames(6).must(&["disconnected"]);
    octet_stream_of_parts_with_a_length => simple("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\n", part);
    type_with_garbage => simple(typed("\u{1}\u{2}; boundary=camframe"), bare);
}
