//! Section 1: the HTTP response.

use std::io;
use std::sync::Arc;

use super::cases;
use super::plan::{
    FRAMES, HEAD, Plan, bare, idle, part, parts, response, send_parts, serve, simple, stream, typed,
};
use crate::support::camera::{Camera, Connection, Listen, Shot, script};
use crate::support::jpeg::has_soi;

/// A chunk, with the line end that this camera writes and its way of writing the size.
fn chunk(bytes: &[u8], size: &str, line_end: &str) -> Vec<u8> {
    [
        size.as_bytes(),
        line_end.as_bytes(),
        bytes,
        line_end.as_bytes(),
    ]
    .concat()
}

/// A chunked stream whose parts are cut into chunks of `length` bytes.
fn chunked(
    head: &str,
    length: usize,
    size: impl Fn(usize) -> String + Send + Sync + 'static,
    line_end: &'static str,
) -> Plan {
    simple(head, move |jpeg| {
        bare(jpeg)
            .chunks(length)
            .flat_map(|bytes| chunk(bytes, &size(bytes.len()), line_end))
            .collect()
    })
}

fn hex(length: usize) -> String {
    format!("{length:x}")
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A response whose head begins with this status line.
fn status_line(line: &str) -> Plan {
    parts_after(&format!(
        "{line}\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\n\r\n"
    ))
}

fn parts_after(head: &str) -> Plan {
    simple(head, part)
}

/// A head with further lines.
fn lines(lines: &str) -> Plan {
    parts_after(&format!(
        "HTTP/1.1 200 OK\r\n{lines}Content-Type: multipart/x-mixed-replace; boundary=camframe\r\n\r\n"
    ))
}

/// Pictures without anything between them.
fn sequence(head: &str) -> Plan {
    simple(head, <[u8]>::to_vec)
}

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

/// A snapshot URL: `answer` makes the response of each picture; the connection is kept.
fn snapshots(answer: impl Fn(usize, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> Plan {
    let answer = Arc::new(answer);
    Plan::new(move |mut camera| {
        let answer = Arc::clone(&answer);
        async move {
            loop {
                camera.request().await?;
                let jpeg = camera.jpeg().bytes();
                let response = answer(camera.sent(), &jpeg);
                camera.deliver(response, Shot::new(&jpeg)).await?;
            }
        }
    })
    .key("poll_interval", "\"2 s\"")
    .frames(10)
}

/// Refuses the first request with this, then serves.
fn refuses_once(answer: &'static str) -> Plan {
    Plan::new(move |mut camera| async move {
        camera.request().await?;
        match camera.number {
            0 => camera.send(answer).await,
            _ => serve(&mut camera).await,
        }
    })
    .frames(FRAMES)
}

/// The second try must come so long after the first, in milliseconds.
fn second_try_after(plan: Plan, range: std::ops::RangeInclusive<i64>) -> Plan {
    plan.check(move |journal, _| {
        let [first, second, ..] = journal.connected_us[..] else {
            return Err("no second try".to_owned());
        };
        let pause = (second - first) / 1000;
        range
            .contains(&pause)
            .then_some(())
            .ok_or_else(|| format!("tried again after {pause} ms, expected {range:?}"))
    })
}

/// Redirects with this status and Location; the stream is at `/live/stream?channel=1`.
fn redirects(status: &'static str, location: &'static str) -> Plan {
    Plan::new(move |mut camera| async move {
        loop {
            let request = camera.request().await?;
            if request.target() == "/live/stream?channel=1" {
                return serve(&mut camera).await;
            }
            camera
                .send(response(
                    status,
                    &format!("Location: {location}\r\n"),
                    b"moved",
                ))
                .await?;
        }
    })
    .url(|address| format!("http://{address}/live/start"))
    .frames(FRAMES)
    .connections(1..=2)
}

/// A camera that redirects to another server, which must not be shown the credentials.
fn redirects_elsewhere() -> Plan {
    let companion = Arc::new(Camera::start(
        Listen::plainly(77),
        script(async |mut camera: Connection| {
            let request = camera.request().await?;
            if request.field("authorization").is_some() {
                camera.complain("credentials were sent to another origin");
            }
            serve(&mut camera).await
        }),
    ));
    let url = companion.url("/stream");
    let mut plan = Plan::new(move |mut camera| {
        let url = url.clone();
        async move {
            let request = camera.request().await?;
            if request.field("authorization").is_none() {
                camera
                    .send(response(
                        "401 Unauthorized",
                        "WWW-Authenticate: Basic realm=\"x\"\r\n",
                        b"",
                    ))
                    .await?;
                camera.request().await?;
            }
            camera
                .send(response("302 Found", &format!("Location: {url}\r\n"), b""))
                .await
        }
    })
    .login("admin", "stays-at-home-1")
    .frames(FRAMES);
    plan.companion = Some(companion);
    plan
}

/// A camera that redirects to its own HTTPS side.
fn redirects_to_https() -> Plan {
    let listen = Listen {
        tls: true,
        ..Listen::plainly(78)
    };
    let companion = Arc::new(Camera::start(
        listen,
        script(async |mut camera: Connection| {
            camera.request().await?;
            serve(&mut camera).await
        }),
    ));
    let address = companion.address;
    let mut plan = always(response(
        "301 Moved Permanently",
        &format!("Location: https://{address}/video\r\n"),
        b"",
    ))
    .key("tls", "\"accept\"")
    .frames(FRAMES)
    .connections(1..=1);
    plan.companion = Some(companion);
    plan
}

/// A redirect that leads nowhere.
fn misdirects(location: &str) -> Plan {
    always(response("302 Found", location, b""))
        .must(&["bad_response"])
        .backs_off()
}

/// A redirect to itself. Each try is several connections, as the camera closes each.
fn redirects_in_a_loop() -> Plan {
    always(response("302 Found", "Location: /video?channel=1\r\n", b""))
        .must(&["bad_response"])
        .connections(4..=60)
}

/// JVC without boundaries: the length of the first picture, then pictures for ever.
fn jvc_sequence() -> Plan {
    Plan::new(async |mut camera| {
        if camera.number > 0 {
            return idle(camera).await;
        }
        camera.request().await?;
        for number in 0..FRAMES {
            let jpeg = camera.jpeg().bytes();
            let head = format!(
                "HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                jpeg.len()
            );
            let bytes = if number == 0 {
                [head.as_bytes(), &jpeg].concat()
            } else {
                jpeg.clone()
            };
            camera.deliver(bytes, Shot::new(&jpeg)).await?;
            camera.wait(100).await;
        }
        Ok(())
    })
    .key("poll_interval", "\"20 s\"")
    .frames(FRAMES)
    .may(&["disconnected"])
}

/// Never ends its head.
fn endless(line: &'static str) -> Plan {
    Plan::new(move |mut camera| async move {
        camera.request().await?;
        camera.send("HTTP/1.1 200 OK\r\n").await?;
        loop {
            camera.send(line).await?;
            camera.wait(5).await;
        }
    })
    .frames(0)
    .may(&["bad_response", "stalled", "not_video"])
    .connections(2..=14)
    .check(
        |_, gaps| match gaps.iter().any(|gap| gap.reason != "starting") {
            true => Ok(()),
            false => Err("no gap with a reason".to_owned()),
        },
    )
}

/// The last picture is cut off by the close.
fn last_picture_torn() -> Plan {
    stream(HEAD, |number, jpeg| {
        let whole = jpeg.bytes();
        let cut = &whole[..200];
        match number {
            6 => (
                [b"--camframe\r\nContent-Type: image/jpeg\r\n\r\n", cut].concat(),
                Shot::new(cut).torn(),
            ),
            _ => (bare(&whole), Shot::new(&whole)),
        }
    })
}

/// Closes a kept connection without notice after every second answer.
async fn close_without_notice(mut camera: Connection) -> io::Result<()> {
    for _ in 0..2 {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        debug_assert!(has_soi(&jpeg));
        let answer = response(
            "200 OK",
            "Content-Type: image/jpeg\r\nConnection: keep-alive\r\nKeep-Alive: timeout=8, max=98\r\n",
            &jpeg,
        );
        camera.deliver(answer, Shot::new(&jpeg)).await?;
    }
    // The next request has been read, and the answer is a close.
    camera.request().await?;
    Ok(())
}

cases! {
    row_1_no_length_until_close => parts(bare);
    row_1_last_picture_torn_by_the_close => last_picture_torn();
    row_1_snapshot_without_length => Plan::new(async |mut camera| {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        camera.deliver([b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", &jpeg[..]].concat(), Shot::new(&jpeg)).await
    }).key("poll_interval", "\"2 s\"").frames(10).connections(10..=19);
    row_2_multipart_mixed => parts_after(&typed("multipart/mixed; boundary=camframe"));
    row_2_multipart_mixed_released => parts_after(&typed("multipart/x-mixed-released; boundary=camframe"));
    row_2_multipart_in_capitals => parts_after(&typed("MULTIPART/X-MIXED-REPLACE; BOUNDARY=camframe"));
    row_2_octet_stream => parts_after(&typed("application/octet-stream"));
    row_2_octet_stream_without_lengths => simple(typed("application/octet-stream"), bare);
    row_2_octet_stream_of_bare_pictures => sequence(&typed("application/octet-stream"));
    row_2_type_that_nobody_knows => parts_after(&typed("video/x-motion-jpeg"));
    row_3_line_feeds_only => parts_after(&HEAD.replace("\r\n", "\n"));
    row_3_empty_line_is_a_line_feed => parts_after(&HEAD.replace("\r\n\r\n", "\r\n\n"));
    row_3_empty_line_alone_has_a_carriage_return => parts_after("HTTP/1.0 200 OK\nContent-Type: multipart/x-mixed-replace; boundary=camframe\n\r\n");
    row_3_part_heads_mixed => parts(|jpeg| [b"--camframe\nContent-Type: image/jpeg\r\nX-Other: 1\n\r\n", jpeg, b"\r\n"].concat());
    row_3_part_heads_with_empty_line_feed => parts(|jpeg| [b"--camframe\r\nContent-Type: image/jpeg\r\n\n", jpeg, b"\r\n"].concat());
    row_4_no_blank_after_the_colon => parts_after("HTTP/1.0 200 OK\r\nContent-type:multipart/x-mixed-replace;boundary=camframe\r\n\r\n");
    row_4_blank_before_the_colon => parts_after("HTTP/1.0 200 OK\r\nCONTENT-TYPE : multipart/x-mixed-replace;boundary=camframe\r\n\r\n");
    row_5_line_without_a_name => lines("Tue, 12 Jun 2012 01:56:34 GMT\r\n");
    row_5_line_without_a_colon => lines("Pragma no-cache\r\n");
    row_5_line_with_an_empty_name => lines(": nothing\r\n");
    row_6_no_type_multipart => parts_after("HTTP/1.0 200 OK\r\nServer: ffmpeg\r\n\r\n");
    row_6_no_type_pictures => sequence("HTTP/1.0 200 OK\r\nServer: ffmpeg\r\n\r\n");
    row_6_no_headers_at_all => parts_after("HTTP/1.0 200 OK\r\n\r\n");
    row_7_length_of_9999999 => lines("Content-Length: 9999999\r\nConnection: keep-alive\r\n");
    row_7_length_smaller_than_the_stream => lines("Content-Length: 1000\r\n");
    row_7_length_zero => lines("Content-Length: 0\r\n");
    row_7_length_negative => lines("Content-Length: -1\r\n");
    row_7_lengths_that_differ => lines("Content-Length: 5\r\nContent-Length: 6\r\n");
    row_8_chunk_for_each_part => chunked(CHUNKED, 1 << 20, hex, "\r\n");
    row_8_chunk_borders_anywhere => chunked(CHUNKED, 37, hex, "\r\n");
    row_8_chunks_of_one_byte => chunked(CHUNKED, 1, hex, "\r\n");
    row_8_chunks_with_extensions => chunked(CHUNKED, 100, |length| format!("{length:X};name=\"va;lue\""), "\r\n");
    row_8_chunks_with_leading_zeros_and_blanks => chunked(CHUNKED, 100, |length| format!("0000{length:x}  "), "\r\n");
    row_8_chunks_with_line_feeds => chunked(CHUNKED, 100, hex, "\n");
    row_8_chunked_under_http_1_0 => chunked(&CHUNKED.replace("HTTP/1.1", "HTTP/1.0"), 100, hex, "\r\n");
    row_8_chunked_in_other_letter_case => chunked(&CHUNKED.replace("Transfer-Encoding: chunked", "transfer-encoding:Chunked"), 100, hex, "\r\n");
    row_8_chunked_beside_a_length => chunked(&CHUNKED.replace("Transfer", "Content-Length: 17\r\nTransfer"), 100, hex, "\r\n");
    row_8_chunks_that_nobody_declares => chunked(HEAD, 100, hex, "\r\n");
    row_8_chunks_in_chunks => simple(CHUNKED, |jpeg| {
        let once: Vec<u8> = bare(jpeg).chunks(100).flat_map(|bytes| chunk(bytes, &hex(bytes.len()), "\r\n")).collect();
        once.chunks(77).flat_map(|bytes| chunk(bytes, &hex(bytes.len()), "\r\n")).collect()
    });
    row_8_last_chunk_and_trailer => chunked_with_an_end();
    row_9_labelled_gzip_but_plain => lines("Content-Encoding: gzip\r\n");
    row_10_login_page => always(response("200 OK", "Content-Type: text/html\r\n", b"<html><title>Login</title>please log in</html>")).must(&["not_video"]).backs_off();
    row_10_login_page_without_length => always("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>please log in</html>").must(&["not_video"]).backs_off();
    row_10_empty_body => always("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\nContent-Length: 0\r\n\r\n").must(&["not_video"]).backs_off();
    row_10_no_content => always("HTTP/1.1 204 No Content\r\n\r\n").must(&["not_video"]).may(&["bad_response"]).backs_off();
    row_10_labelled_html_but_pictures => parts_after(&typed("text/html"));
    row_11_error_instead_of_a_picture => always(response("200 OK", "Content-Type: image/jpeg\r\n",
        br#"[{"cmd":"Snap","code":1,"error":{"rspCode":-6,"detail":"please login first"}}]"#)).must(&["not_video"]).connections(2..=14);
    row_11_error_instead_of_a_picture_now_and_then => Plan::new(async |mut camera| loop {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        if camera.sent() == 3 && camera.number == 0 {
            camera.send(response("200 OK", "Content-Type: image/jpeg\r\n", b"[{\"error\":{\"detail\":\"busy\"}}]")).await?;
            return Ok(());
        }
        camera.deliver(response("200 OK", "Content-Type: image/jpeg\r\n", &jpeg), Shot::new(&jpeg)).await?;
    }).key("poll_interval", "\"2 s\"").frames(8);
    row_12_busy => always("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: 9\r\n\r\n<XML />\r\n").must(&["busy"]).backs_off();
    row_12_busy_in_seconds => second_try_after(refuses_once("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 8\r\nContent-Length: 0\r\n\r\n").must(&["busy"]), 7_900..=16_000);
    row_12_busy_for_long => always("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n").must(&["busy"]).connections(1..=1);
    row_12_busy_until_a_date => Plan::new(async |mut camera| {
        camera.request().await?;
        if camera.number > 0 {
            return serve(&mut camera).await;
        }
        camera.send(format!("HTTP/1.1 503 Busy\r\nRetry-After: {}\r\nContent-Length: 0\r\n\r\n", imf_date(10))).await
    }).frames(FRAMES).must(&["busy"]).apart(8_500);
    row_12_privacy_mode => always("HTTP/1.1 406 Not Acceptable\r\nContent-Length: 0\r\n\r\n").must(&["busy"]).backs_off();
    row_12_too_many_requests => always("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n").must(&["busy"]).backs_off();
    row_13_redirect_absolute_path => redirects("302 Found", "/live/stream?channel=1");
    row_13_redirect_relative_path => redirects("301 Moved Permanently", "stream?channel=1");
    row_13_redirect_with_dots => redirects("307 Temporary Redirect", "../live/./stream?channel=1");
    row_13_redirect_see_other => redirects("303 See Other", "/live/stream?channel=1#top");
    row_13_redirect_permanent => redirects("308 Permanent Redirect", "/live/stream?channel=1");
    row_13_redirect_to_https => redirects_to_https();
    row_13_redirect_elsewhere_keeps_credentials_home => redirects_elsewhere();
    row_13_redirect_loop => redirects_in_a_loop();
    row_13_redirect_without_location => misdirects("");
    row_13_redirect_to_another_scheme => misdirects("Location: ftp://127.0.0.1/x\r\n");
    row_14_snapshots => snapshots(|_, jpeg| response("200 OK", "Content-Type: image/jpeg\r\n", jpeg)).requests(10..=19).connections(1..=1);
    row_14_snapshots_one_connection_each => Plan::new(async |mut camera| {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        camera.deliver(response("200 OK", "Content-Type: image/jpeg\r\nConnection: close\r\n", &jpeg), Shot::new(&jpeg)).await
    }).key("poll_interval", "\"2 s\"").frames(10).connections(10..=19);
    row_14_snapshots_labelled_image_jpg => snapshots(|_, jpeg| response("200 OK", "Content-Type: image/jpg\r\n", jpeg)).requests(10..=19);
    row_14_snapshots_chunked => snapshots(|_, jpeg| {
        [b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk(jpeg, &hex(jpeg.len()), "\r\n")[..], b"0\r\n\r\n"].concat()
    }).requests(10..=19);
    row_15_snapshots_keep_alive => snapshots(|_, jpeg| {
        response("200 OK", "Content-Type: image/jpeg\r\nConnection: keep-alive\r\nKeep-Alive: timeout=8, max=98\r\n", jpeg)
    }).connections(1..=1);
    row_15_closed_without_notice => Plan::new(close_without_notice).key("poll_interval", "\"2 s\"").frames(10).requests(12..=30);
    row_16_length_of_the_first_then_a_sequence => jvc_sequence();
    row_17_blocks_of_fifty_bytes => simple(typed("multipart/x-mixed-replace; boundary=nothing"), |jpeg| {
        [format!("mjpeg {:<44}", "000123412345").as_bytes(), jpeg].concat()
    });
    row_73_icy => status_line("ICY 200 OK");
    row_73_no_head_boundary => parts_after("");
    row_73_no_head_boundary_without_lengths => simple("", bare);
    row_73_no_head_pictures => sequence("");

    status_line_without_reason => status_line("HTTP/1.1 200");
    status_line_with_two_blanks => status_line("HTTP/1.1  200 OK");
    status_line_version_1 => status_line("HTTP/1 200 OK");
    status_line_version_1_2 => status_line("HTTP/1.2 200 OK");
    status_line_of_rtsp => status_line("RTSP/1.0 200 OK");
    status_line_in_lower_case => status_line("http/1.1 200 ok");
    status_line_after_blank_lines => status_line("\r\n\r\nHTTP/1.1 200 OK");
    status_line_in_latin_1 => parts_after_bytes(b"HTTP/1.0 200 D'accord, \xe9videmment\r\nContent-Type: multipart/x-mixed-replace; boundary=camframe\r\n\r\n");
    type_twice => lines("Content-Type: multipart/x-mixed-replace; boundary=camframe\r\n");
    type_folded => parts_after("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;\r\n boundary=camframe\r\n\r\n");
    head_with_control_bytes => lines("X-Odd: a\x01b\x7f\r\n");
    head_with_a_zero_byte => lines("X-Odd: a\0b\r\n");
    head_with_bad_names => lines("X Odd Name: 1\r\n(odd): 2\r\n");
    head_of_150_lines => lines(&"X-Line: value\r\n".repeat(150));
    head_of_sixteen_kibibytes => lines(&format!("Set-Cookie: {}\r\n", "c".repeat(16_000)));
    pictures_without_separators => sequence(&typed("image/jpeg"));
    pictures_separated_by_line_ends => simple(typed("image/jpeg"), |jpeg| [jpeg, b"\r\n\r\n"].concat());
    continue_first => parts_after(&format!("HTTP/1.1 100 Continue\r\n\r\n{HEAD}"));
    continue_for_ever => endless("\r\nHTTP/1.1 100 Continue\r\n");
    head_that_never_ends => endless("X-Line: and another\r\n");
    head_that_never_ends_its_line => endless("and another word ");
    not_found => always("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").must(&["bad_response"]).backs_off();
    server_error => always("HTTP/1.1 500 Internal Server Error\r\n\r\noops").must(&["bad_response"]).backs_off();
    status_of_no_kind => always("HTTP/1.1 999 Whatever\r\nContent-Length: 0\r\n\r\n").must(&["bad_response"]).backs_off();
    another_protocol => always("SSH-2.0-dropbear_2019.78\r\n").may(&["bad_response", "not_video"]).backs_off();
    head_comes_slowly => Plan::new(async |mut camera| {
        camera.request().await?;
        for piece in HEAD.as_bytes().chunks(20) {
            camera.send(piece).await?;
            camera.wait(250).await;
        }
        send_parts(&mut camera, FRAMES).await?;
        camera.hold().await
    }).frames(FRAMES).connections(1..=1);
    error_body_never_ends => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send("HTTP/1.1 500 Internal Server Error\r\n\r\n").await?;
        loop {
            camera.send([b'x'; 1000]).await?;
            camera.wait(20).await;
        }
    }).frames(0).must(&["bad_response"]).connections(3..=14);
    web_page_never_ends => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").await?;
        loop {
            camera.send([b'x'; 1000]).await?;
            camera.wait(5).await;
        }
    }).frames(0).key("stall_timeout", "\"5 s\"").must(&["not_video"]).connections(2..=14);
}

fn parts_after_bytes(head: &'static [u8]) -> Plan {
    simple(head, part)
}

/// A chunked stream that ends as it should, with a trailer.
fn chunked_with_an_end() -> Plan {
    Plan::new(async |mut camera| {
        camera.request().await?;
        if camera.number > 0 {
            camera.send(HEAD).await?;
            return camera.hold().await;
        }
        camera.send(CHUNKED).await?;
        for _ in 0..FRAMES {
            let jpeg = camera.jpeg().bytes();
            let bytes = bare(&jpeg);
            camera
                .deliver(chunk(&bytes, &hex(bytes.len()), "\r\n"), Shot::new(&jpeg))
                .await?;
            camera.wait(50).await;
        }
        camera.send("0\r\nX-Trailer: 1\r\n\r\n").await?;
        camera.hold().await
    })
    .frames(FRAMES)
    .may(&["disconnected"])
    .connections(2..=2)
}

/// The time in so many seconds, as HTTP writes it.
fn imf_date(in_seconds: i64) -> String {
    let at =
        chrono::DateTime::from_timestamp_micros(crate::support::now_us() + in_seconds * 1_000_000)
            .expect("a time near now");
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
