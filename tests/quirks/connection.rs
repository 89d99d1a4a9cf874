//! Section 5: how connections begin, stall and end.

use super::cases;
use super::plan::{FRAMES, HEAD, Plan, idle, part, send_parts, serve, stream};
use crate::support::camera::Shot;
use crate::support::jpeg::Jpeg;
use crate::support::tls::IDENTITY;

/// Nothing answers at this URL.
fn nobody(url: &'static str) -> Plan {
    Plan::new(async |_| Ok(()))
        .url(move |_| url.to_owned())
        .frames(0)
        .must(&["unreachable"])
        .connections(0..=0)
}

/// After some frames this, again and again, and no frame any more: a stall.
fn stalls(now_and_then: &'static [u8]) -> Plan {
    Plan::new(move |mut camera| async move {
        camera.request().await?;
        camera.send(HEAD).await?;
        send_parts(&mut camera, 4).await?;
        loop {
            camera.send(now_and_then).await?;
            camera.wait(150).await;
        }
    })
    .key("stall_timeout", "\"3 s\"")
    .frames(12)
    .must(&["stalled"])
    .connections(3..=12)
    .check(stall_begins_at_the_last_frame)
}

/// A gap reaches back to the last frame, not to the moment at which the stall was noticed.
fn stall_begins_at_the_last_frame(
    journal: &crate::support::camera::Journal,
    gaps: &[crate::support::index::Gap],
) -> Result<(), String> {
    let near = |at_us: i64| {
        journal
            .sent
            .iter()
            .any(|sent| (sent.to_us - at_us).abs() < 1_000_000)
    };
    match gaps
        .iter()
        .find(|gap| gap.reason == "stalled" && !near(gap.started_us))
    {
        Some(gap) => Err(format!("a stall that begins far from any frame: {gap:?}")),
        None => Ok(()),
    }
}

/// TLS with this setting, and a recorder that connects.
fn over_tls(setting: &str) -> Plan {
    Plan::new(async |mut camera| {
        camera.request().await?;
        serve(&mut camera).await
    })
    .tls(setting)
    .frames(FRAMES)
    .connections(1..=1)
}

/// TLS with this setting, and a recorder that must not connect.
fn not_over_tls(setting: &str) -> Plan {
    Plan::new(async |mut camera| {
        let request = camera.request().await?;
        camera.complain(format!(
            "asked over a connection it should not trust: {}",
            request.head
        ));
        Ok(())
    })
    .tls(setting)
    .frames(0)
    .must(&["unreachable"])
    .backs_off()
}

fn fingerprint(text: &str) -> String {
    format!("{{ fingerprint = {text:?} }}")
}

/// On `::1`, at this URL.
fn over_ipv6(host: &'static str) -> Plan {
    let mut plan = Plan::new(async |mut camera| {
        let request = camera.request().await?;
        if !request
            .field("host")
            .is_some_and(|host| host.starts_with("[::1]:"))
        {
            camera.complain(format!(
                "Host is {:?}, expected [::1] and the port",
                request.field("host")
            ));
        }
        serve(&mut camera).await
    })
    .url(move |address| format!("http://{host}:{}/video", address.port()))
    .frames(FRAMES)
    .connections(1..=1);
    plan.v6 = true;
    plan
}

/// Does this with the first connection, then serves.
fn resets_in_mid_frame() -> Plan {
    Plan::new(async |mut camera| {
        camera.request().await?;
        if camera.number > 0 {
            return serve(&mut camera).await;
        }
        camera.send(HEAD).await?;
        send_parts(&mut camera, FRAMES).await?;
        let jpeg = camera.jpeg().bytes();
        let cut = &jpeg[..200];
        let head = format!(
            "--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            jpeg.len()
        );
        camera
            .deliver([head.as_bytes(), cut].concat(), Shot::new(cut).torn())
            .await?;
        camera.wait(300).await;
        camera.reset()
    })
    .frames(2 * FRAMES + 1)
    .must(&["disconnected"])
    .connections(2..=2)
    .check(|journal, _| {
        let broken_us = journal.sent[FRAMES].to_us;
        match journal.connected_us[..] {
            [_, second] if second - broken_us < 3_000_000 => Ok(()),
            _ => Err(format!(
                "not taken up again at once: broken {broken_us}, {:?}",
                journal.connected_us
            )),
        }
    })
}

/// Closes after so many frames, until so many have been sent.
fn closes_after(frames: usize, in_all: usize) -> Plan {
    Plan::new(move |mut camera| async move {
        if camera.sent() >= in_all {
            return idle(camera).await;
        }
        camera.request().await?;
        camera.send(HEAD).await?;
        send_parts(&mut camera, frames).await
    })
    .frames(in_all)
    .must(&["disconnected"])
}

cases! {
    row_61_silent_after_some_frames => stalls(b"");
    row_61_half_a_frame_then_silent => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(HEAD).await?;
        send_parts(&mut camera, 4).await?;
        let jpeg = camera.jpeg().bytes();
        let cut = &jpeg[..jpeg.len() / 2];
        let before = b"--camframe\r\nContent-Type: image/jpeg\r\n\r\n";
        camera.deliver([&before[..], cut].concat(), Shot::new(cut).torn()).await?;
        camera.hold().await
    }).key("stall_timeout", "\"3 s\"").frames(12).must(&["stalled"]).connections(3..=12);
    row_62_drip_of_a_frame => stalls(b"x");
    row_62_drip_of_line_ends => stalls(b"\r\n");
    row_62_drip_of_header_lines => stalls(b"X-Alive: 1\r\n");
    row_62_drip_of_text_parts => stalls(b"--camframe\r\nContent-Type: text/plain\r\n\r\nalive\r\n");
    row_62_drip_of_boundaries => stalls(b"--camframe\r\n");
    row_63_reset_in_mid_frame => resets_in_mid_frame();
    row_63_reset_before_the_head => Plan::new(async |mut camera| {
        camera.request().await?;
        match camera.number {
            0..2 => camera.reset(),
            _ => serve(&mut camera).await,
        }
    }).frames(FRAMES).may(&["bad_response", "disconnected", "unreachable"]).connections(3..=3).apart(450);
    row_64_closes_after_every_five_frames => closes_after(5, 60);
    row_64_closes_after_every_frame => closes_after(1, 12);
    row_64_closes_after_the_head => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(HEAD).await
    }).frames(0).must(&["not_video"]).backs_off();
    row_64_closes_without_an_answer => Plan::new(async |mut camera| {
        camera.request().await?;
        Ok(())
    }).frames(0).must(&["disconnected"]).backs_off();
    row_64_closes_at_once => Plan::new(async |_| Ok(())).frames(0).must(&["disconnected"]).may(&["unreachable"]).backs_off();
    row_65_same_frame_again_and_again => stream(HEAD, |number, _| {
        let jpeg = Jpeg::new(number as u64 / 4).bytes();
        (part(&jpeg), Shot::new(&jpeg))
    });
    row_76_self_signed_accepted => over_tls("\"accept\"");
    row_76_self_signed_pinned => over_tls(&fingerprint(&IDENTITY.fingerprint));
    row_76_self_signed_pinned_in_small_letters => over_tls(&fingerprint(&IDENTITY.fingerprint.to_lowercase()));
    row_76_self_signed_refused => not_over_tls("\"verify\"");
    row_76_another_certificate_than_pinned => not_over_tls(&fingerprint(&["00"; 32].join(":")));
    row_76_no_tls_at_all => Plan::new(async |mut camera| {
        camera.hold().await
    }).url(|address| format!("https://{address}/")).frames(0).must(&["unreachable"]).key("tls", "\"accept\"");
    row_77_ipv6_literal => over_ipv6("[::1]");
    row_77_ipv6_literal_with_a_zone => over_ipv6("[::1%25lo]");
    row_81_takes_connections_and_says_nothing => Plan::new(async |mut camera| camera.hold().await)
        .frames(0).must(&["stalled"]).connections(2..=6);
    row_81_answers_and_sends_nothing => Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(HEAD).await?;
        camera.hold().await
    }).frames(0).key("stall_timeout", "\"3 s\"").may(&["stalled", "not_video"]).connections(3..=10);
    row_81_second_client_hangs => Plan::new(async |mut camera| {
        camera.request().await?;
        match camera.number {
            1 => camera.hold().await,
            _ => {
                camera.send(HEAD).await?;
                send_parts(&mut camera, FRAMES).await
            }
        }
    }).frames(2 * FRAMES).must(&["stalled"]).may(&["disconnected"]);

    nobody_listens => nobody("http://127.0.0.1:1/video");
    name_that_nobody_knows => nobody("http://camera.invalid/video");
    ends_with_a_half_closed_connection => closes_after(20, 40);
}
