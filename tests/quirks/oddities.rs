//! Of the kind of sections 2 to 4, but not in the list: parts, pictures and stamps that nobody has reported yet.

use super::cases;
use super::plan::{
    FRAMES, HEAD, Plan, bare, idle, part, part_after, part_with, parts, response, simple, stream,
    typed,
};
use crate::support::camera::{Clock, Shot};
use crate::support::jpeg::Jpeg;
use crate::support::{now_us, seconds};

/// SOI, this, some hundred bytes that mean nothing, EOI: what a lazy test source sends for a picture.
fn sham(begin: &[u8], seed: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed as u64);
    let noise: Vec<u8> = (0..700).map(|_| rng.u8(0..0xff)).collect();
    [b"\xff\xd8", begin, &noise, b"\xff\xd9"].concat()
}

/// Sham pictures, framed so.
fn shams(
    head: impl AsRef<[u8]>,
    begin: &'static [u8],
    frame: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Plan {
    stream(head, move |number, _| {
        let bytes = sham(begin, number + 1);
        (frame(&bytes), Shot::new(&bytes))
    })
}

/// Pictures of this kind, framed so.
fn kinds(kind: impl Fn(Jpeg) -> Jpeg + Send + Sync + 'static, frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = kind(jpeg).bytes();
        (frame(&bytes), Shot::new(&bytes))
    })
}

/// Pictures whose picture data hold this.
fn with_data(inside: &'static [u8], frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let mut bytes = jpeg.entropy(300).bytes();
        let at = bytes.len() - 100;
        // Not between an FF and its stuffed zero.
        let at = (at..).find(|&at| bytes[at - 1] != 0xff).unwrap_or(at);
        bytes.splice(at..at, inside.iter().copied());
        (frame(&bytes), Shot::new(&bytes))
    })
}

/// A picture with its frame header's marker changed to this.
fn of_process(marker: u8, frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let mut bytes = jpeg.bytes();
        let at = memchr::memmem::find(&bytes, b"\xff\xc0\x00").expect("a baseline picture");
        bytes[at + 1] = marker;
        (frame(&bytes), Shot::new(&bytes))
    })
}

/// Parts with this between them, and whether the last byte before a delimiter is a line end.
fn between(junk: &'static [u8], frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = jpeg.bytes();
        let kept = [&bytes, &b"\r\n"[..], junk].concat();
        let trimmed = kept.strip_suffix(b"\r\n").unwrap_or(&kept);
        (
            [&frame(&bytes)[..], junk].concat(),
            Shot::new(&bytes).or(&kept).or(trimmed),
        )
    })
}

/// Parts of this kind only, none of them a picture.
fn never_a_picture(part: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Plan {
    let part = std::sync::Arc::new(part);
    Plan::new(move |mut camera| {
        let part = std::sync::Arc::clone(&part);
        async move {
            camera.request().await?;
            camera.send(HEAD).await?;
            loop {
                let bytes = part(&camera.jpeg().bytes());
                camera.send(bytes).await?;
                camera.wait(200).await;
            }
        }
    })
    .key("stall_timeout", "\"3 s\"")
    .frames(0)
    .must(&["not_video"])
    .connections(3..=12)
}

/// A page where pictures are expected, over a connection that stays open.
fn page(text: &'static str) -> Plan {
    Plan::new(async |mut camera| {
        camera.request().await?;
        let head = "Content-Type: text/html\r\n";
        camera
            .send(response("200 OK", head, text.as_bytes()))
            .await?;
        camera.hold().await
    })
    .frames(0)
    .must(&["not_video"])
    .backs_off()
}

/// Several parts in one segment of TCP, delimiter of the next included.
fn glued(frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    Plan::new(move |mut camera| async move {
        if camera.number > 0 {
            return idle(camera).await;
        }
        camera.request().await?;
        let mut bytes = HEAD.as_bytes().to_vec();
        let pictures: Vec<_> = (0..FRAMES).map(|_| camera.jpeg().bytes()).collect();
        bytes.extend(pictures.iter().flat_map(|jpeg| frame(jpeg)));
        camera
            .deliver_all(bytes, pictures.iter().map(|jpeg| Shot::new(jpeg)))
            .await
    })
    .frames(FRAMES)
    .may(&["disconnected"])
}

/// A frame each so many milliseconds, for a recorder that waits so long for one.
fn steady(period_ms: u64, stall_timeout: &str, frames: usize, frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    Plan::new(move |mut camera| async move {
        camera.request().await?;
        camera.send(HEAD).await?;
        for _ in 0..100 {
            let jpeg = camera.jpeg().bytes();
            camera.deliver(frame(&jpeg), Shot::new(&jpeg)).await?;
            camera.wait(period_ms).await;
        }
        Ok(())
    })
    .key("stall_timeout", &format!("{stall_timeout:?}"))
    .frames(frames)
    .connections(1..=1)
}

/// Stamps made so from the right time and the frame's number, at 250 ms.
fn stamped(stamp: impl Fn(i64, usize) -> (String, Clock) + Send + Sync + 'static) -> Plan {
    let stamp = std::sync::Arc::new(stamp);
    Plan::new(move |mut camera| {
        let stamp = std::sync::Arc::clone(&stamp);
        async move {
            if camera.number > 0 {
                return idle(camera).await;
            }
            camera.request().await?;
            camera.send(HEAD).await?;
            for number in 0..24 {
                let (line, clock) = stamp(now_us(), number);
                let jpeg = camera.jpeg().bytes();
                let lines = format!("{line}\r\nContent-Length: {}\r\n", jpeg.len());
                camera
                    .deliver(part_with(&lines, &jpeg), Shot::new(&jpeg).at(clock))
                    .await?;
                camera.wait(250).await;
            }
            camera.send("--camframe\r\n").await?;
            camera.hold().await
        }
    })
    .frames(24)
    .may(&["clock_stepped"])
}

fn x_timestamp(us: i64) -> String {
    format!("X-Timestamp: {}", seconds(us))
}

/// A counter since boot that wraps at this many microseconds, in the middle of the case.
fn wraps_at(modulus_us: i64) -> Plan {
    let first_us = std::sync::OnceLock::new();
    stamped(move |now_us, number| {
        let first_us = *first_us.get_or_init(|| now_us);
        let stamp = (modulus_us - 3_000_000 + now_us - first_us) % modulus_us;
        let clock = if number == 0 {
            Clock::Any
        } else {
            Clock::Mapped(stamp)
        };
        (x_timestamp(stamp), clock)
    })
}

/// The camera's clock is so far off.
fn off_by(by_us: i64) -> Plan {
    stamped(move |now_us, _| {
        let stamp = now_us + by_us;
        let clock = match by_us.abs() < 600_000_000 {
            true => Clock::Camera(stamp),
            false => Clock::Mapped(stamp),
        };
        (x_timestamp(stamp), clock)
    })
}

const PICTURE_OF_3_MB: usize = 3_000_000;

cases! {
    sham_pictures => shams(HEAD, b"\x01\x02", part);
    sham_pictures_without_lengths => shams(HEAD, b"\x01\x02", bare);
    sham_pictures_with_an_app0_of_text => shams(HEAD, b"\xff\xe0 frame number one", part);
    sham_pictures_with_an_app0_of_text_without_lengths => shams(HEAD, b"\xff\xe0 frame number one", bare);
    sham_pictures_with_a_jfif_head => shams(HEAD, b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", part);
    sham_pictures_with_a_jfif_head_without_lengths => shams(HEAD, b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", bare);
    sham_pictures_with_a_scan => shams(HEAD, b"\xff\xda\x00\x02", part);
    sham_pictures_with_a_scan_without_lengths => shams(HEAD, b"\xff\xda\x00\x02", bare);
    sham_pictures_and_no_headers => shams(HEAD, b"\xff\xdb", |jpeg| part_after("--camframe\r\n\r\n", jpeg));
    sham_pictures_with_a_wrong_boundary => shams(typed("multipart/x-mixed-replace; boundary=nothing"), b"\xff\xe0", bare);
    sham_pictures_in_a_row => shams(typed("image/jpeg"), b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", <[u8]>::to_vec);
    sham_pictures_with_a_length_too_large => shams(HEAD, b"\xff\xe0 frame", |jpeg| part_with(&format!("Content-Length: {}\r\n", jpeg.len() + 40), jpeg));
    sham_pictures_with_a_length_too_small => stream(HEAD, |number, _| {
        let bytes = sham(b"\xff\xe0 frame", number + 1);
        (part_with(&format!("Content-Length: {}\r\n", bytes.len() - 40), &bytes), Shot::new(&bytes).unsure())
    });
    pictures_of_four_bytes => stream(HEAD, |_, _| (part(b"\xff\xd8\xff\xd9"), Shot::new(b"\xff\xd8\xff\xd9")));
    pictures_of_four_bytes_without_lengths => stream(HEAD, |_, _| (bare(b"\xff\xd8\xff\xd9"), Shot::new(b"\xff\xd8\xff\xd9")));
    pictures_of_three_megabytes => kinds(|jpeg| jpeg.entropy(PICTURE_OF_3_MB), part);
    pictures_of_three_megabytes_without_lengths => kinds(|jpeg| jpeg.entropy(PICTURE_OF_3_MB), bare);
    boundary_in_the_picture_data => with_data(b"--camframe", part);
    boundary_in_the_picture_data_without_lengths => with_data(b"--camframe", bare);
    boundary_line_in_the_picture_data_without_lengths => with_data(b"\r\n--camframe\r\n", bare);
    boundary_line_in_the_picture_data => with_data(b"\r\n--camframe\r\nContent-Type: image/jpeg\r\n\r\n", part);
    soi_stuffed_in_the_picture_data_without_lengths => with_data(b"\xff\x00\xd8\xff\x00\xd9", bare);
    segments_of_the_least_length => kinds(|jpeg| jpeg.segment(0xe3, b"").segment(0xfe, b"").segment(0xef, b""), bare);
    segments_of_the_greatest_length => kinds(|jpeg| jpeg.segment(0xe2, &[0xd9; 65533]).segment(0xe2, &[0xff; 65533]), bare);
    segments_of_the_greatest_length_with_lengths => kinds(|jpeg| jpeg.segment(0xe2, &[0xd9; 65533]), part);
    several_thumbnails => kinds(|jpeg| jpeg.exif_thumbnail().exif_thumbnail().segment(0xe2, b"MPF\0\xff\xd8\xff\xd9"), bare);
    thumbnail_in_a_thumbnail => kinds(|jpeg| {
        let inner = Jpeg::new(5).exif_thumbnail().bytes();
        jpeg.segment(0xe1, &inner)
    }, bare);
    lossless_pictures => of_process(0xc3, bare);
    arithmetic_pictures => of_process(0xc9, bare);
    extended_pictures => of_process(0xc1, part);
    hierarchical_pictures => of_process(0xc5, bare);
    picture_ends_twice => stream(HEAD, |_, jpeg| {
        let kept = jpeg.clone().padding(b"\xff\xd9").bytes();
        (part(&kept), Shot::new(&kept).or(&jpeg.bytes()))
    });
    picture_ends_twice_without_lengths => stream(HEAD, |_, jpeg| {
        let kept = jpeg.clone().padding(b"\xff\xd9").bytes();
        (bare(&kept), Shot::new(&kept).or(&jpeg.bytes()))
    });
    picture_ends_in_a_line_feed => stream(HEAD, |_, jpeg| {
        let kept = jpeg.clone().padding(b"\n").bytes();
        (part(&kept), Shot::new(&kept).or(&jpeg.bytes()))
    });
    junk_before_the_picture => parts(|jpeg| part_with(&format!("Content-Length: {}\r\n", jpeg.len() + 4), &[b"\0\0\0\x01", jpeg].concat()));
    line_ends_within_the_length_before_the_picture => parts(|jpeg| part_with(&format!("Content-Length: {}\r\n", jpeg.len() + 2), &[b"\r\n", jpeg].concat()));
    zeros_between_parts => between(b"\0\0\0", part);
    zeros_between_parts_without_lengths => between(b"\0\0\0", bare);
    zero_lines_between_parts => between(b"\0\0\r\n", part);
    zeros_between_parts_without_headers => between(b"\0\0\0", |jpeg| part_after("--camframe\r\n\r\n", jpeg));
    epilogue_after_every_part => between(b"--camframe--\r\nThis was a picture.\r\n", part);
    comment_lines_between_parts => between(b"# frame\r\n", part);
    byte_order_mark_before_every_part => between(b"\xef\xbb\xbf", part);
    multipart_in_a_part => parts(|jpeg| [
        &b"--camframe\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\nContent-Type: image/jpeg\r\n\r\n"[..],
        jpeg, b"\r\n--inner--\r\n",
    ].concat());
    boundary_line_with_a_number => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        (part_after(&format!("--camframe {number:05}\r\nContent-Type: image/jpeg\r\n\r\n"), &bytes), Shot::new(&bytes))
    });
    boundary_line_with_a_parameter => parts(|jpeg| part_after("--camframe; n=1\r\nContent-Type: image/jpeg\r\n\r\n", jpeg));
    boundary_line_in_capitals => parts(|jpeg| part_after("--CAMFRAME\r\nContent-Type: image/jpeg\r\n\r\n", jpeg));
    boundary_with_escaped_quotes => simple(typed(r#"multipart/x-mixed-replace; boundary="cam\"frame\"""#), |jpeg| part_after("--cam\"frame\"\r\nContent-Type: image/jpeg\r\n\r\n", jpeg));
    headers_of_fifteen_kibibytes => parts(|jpeg| part_with(&format!("{}Content-Length: {}\r\n", format!("X-Long: {}\r\n", "z".repeat(500)).repeat(30), jpeg.len()), jpeg));
    header_line_of_fifteen_kibibytes_without_length => parts(|jpeg| part_with(&format!("X-Long: {}\r\n", "z".repeat(15 << 10)), jpeg));
    header_folded_before_its_value => parts(|jpeg| part_with(&format!("Content-Length:\r\n {}\r\n", jpeg.len()), jpeg));
    headers_other_than_known => parts(|jpeg| part_after("--camframe\r\nX-Frame: 1\r\nX-Other: 2\r\n\r\n", jpeg));
    length_with_a_plus_sign => parts(|jpeg| part_with(&format!("Content-Length: +{}\r\n", jpeg.len()), jpeg));
    length_with_leading_zeros => parts(|jpeg| part_with(&format!("Content-Length: {:012}\r\n", jpeg.len()), jpeg));
    length_in_quotes => parts(|jpeg| part_with(&format!("Content-Length: \"{}\"\r\n", jpeg.len()), jpeg));
    length_with_an_equal_sign => parts(|jpeg| part_with(&format!("Content-Length= {}\r\n", jpeg.len()), jpeg));
    length_reaches_over_the_next_boundary => parts(|jpeg| part_with(&format!("Content-Length: {}\r\n", jpeg.len() + 14), jpeg));
    length_ends_at_the_thumbnail => stream(HEAD, |_, jpeg| {
        let bytes = jpeg.exif_thumbnail().bytes();
        let end = memchr::memmem::find(&bytes, b"\xff\xd9").expect("a thumbnail") + 2;
        (part_with(&format!("Content-Length: {end}\r\n"), &bytes), Shot::new(&bytes).unsure())
    });
    parts_of_png_only => never_a_picture(|_| part_after("--camframe\r\nContent-Type: image/png\r\nContent-Length: 12\r\n\r\n", b"\x89PNG\r\n\x1a\n\0\0\0\0"));
    parts_of_base64_only => never_a_picture(|_| part_after("--camframe\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n", b"/9j/4AAQSkZJRgABAQAAAQABAAD/2Q=="));
    parts_of_h264_only => never_a_picture(|_| part_after("--camframe\r\nContent-Type: video/h264\r\nContent-Length: 10\r\n\r\n", b"\0\0\0\x01\x67\x42\0\x1e\xff\xd8"));
    parts_of_png_between => parts(|jpeg| [&part_after("--camframe\r\nContent-Type: image/png\r\nContent-Length: 12\r\n\r\n", b"\x89PNG\r\n\x1a\n\0\0\0\0")[..], &part(jpeg)].concat());
    parts_glued => glued(part);
    parts_glued_without_lengths => glued(bare);
    login_page_with_lines_of_dashes => page("<html>\n<!-- one\n-->\n<!-- two\n-->\n<p>please log in</p>\n</html>\n");
    frames_each_three_seconds => steady(3000, "10 s", 8, part);
    frames_each_three_seconds_without_lengths => steady(3000, "10 s", 8, bare);
    frames_just_before_the_stall => steady(4000, "6 s", 6, part);

    stamp_counter_wraps_at_32_bits_of_milliseconds => wraps_at(4_294_967_296_000);
    stamp_counter_wraps_at_32_bits_of_microseconds => wraps_at(4_294_967_296);
    stamp_counter_wraps_at_31_bits_of_milliseconds => wraps_at(2_147_483_648_000);
    stamp_counter_wraps_after_twelve_hours => wraps_at(43_200_000_000);
    stamps_just_within_the_skew => off_by(595_000_000);
    stamps_just_within_the_skew_backward => off_by(-590_000_000);
    stamps_just_beyond_the_skew_backward => off_by(-610_000_000);
    stamps_a_day_fast => off_by(86_400_000_000);
    stamps_of_1999 => off_by(-852_000_000_000_000);
    stamps_swapped_in_pairs => stamped(|now_us, number| {
        let stamp = now_us + if number % 2 == 0 { 300_000 } else { 0 };
        (x_timestamp(stamp), Clock::Camera(stamp))
    });
    stamps_in_small_letters => stamped(|now_us, _| (format!("x-timestamp:{}", seconds(now_us)), Clock::Camera(now_us)));
    stamps_with_text_behind => stamped(|now_us, _| (format!("X-Timestamp: {} (synchronised)", seconds(now_us)), Clock::Any));
    stamps_zero_then_right => stamped(|now_us, number| match number {
        0..8 => (x_timestamp(0), Clock::Arrival),
        _ => (x_timestamp(now_us), Clock::Camera(now_us)),
    });
    stamps_right_then_zero_now_and_then => stamped(|now_us, number| match number % 5 {
        4 => (x_timestamp(0), Clock::Arrival),
        _ => (x_timestamp(now_us), Clock::Camera(now_us)),
    });
    stamps_of_a_snapshot_come_from_its_own_head_only => Plan::new(async |mut camera| loop {
        camera.request().await?;
        let jpeg = camera.jpeg().bytes();
        let lines = "Content-Type: image/jpeg\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nLast-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\n";
        camera.deliver(response("200 OK", lines, &jpeg), Shot::new(&jpeg).at(Clock::Arrival)).await?;
    }).key("poll_interval", "\"2 s\"").frames(10);
}
