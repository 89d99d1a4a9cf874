//! Section 2: multipart framing.

use std::sync::{Arc, Mutex};

use super::cases;
use super::plan::{
    FRAMES, HEAD, Plan, bare, idle, part, part_after, part_with, parts, simple, stream, typed,
};
use crate::support::camera::Shot;
use crate::support::jpeg::Jpeg;

/// A part whose delimiter line is this, with a right length.
fn delimited(line: &'static str) -> impl Fn(&[u8]) -> Vec<u8> {
    move |jpeg| {
        part_after(
            &format!(
                "{line}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                jpeg.len()
            ),
            jpeg,
        )
    }
}

/// As [`delimited`], without a length.
fn delimited_bare(line: &'static str) -> impl Fn(&[u8]) -> Vec<u8> {
    move |jpeg| part_after(&format!("{line}\r\nContent-Type: image/jpeg\r\n\r\n"), jpeg)
}

/// Parts with these lines about their length, which may be wrong.
fn length_lines(lines: impl Fn(usize) -> String + Send + Sync + 'static) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = jpeg.bytes();
        (
            part_with(&lines(bytes.len()), &bytes),
            Shot::new(&bytes).unsure(),
        )
    })
}

/// Parts whose length is wrong: `length` of the right one, as text.
fn lengths(length: impl Fn(usize) -> String + Send + Sync + 'static) -> Plan {
    length_lines(move |right| format!("Content-Length: {}\r\n", length(right)))
}

/// As [`lengths`], for longer than the stall timeout: frames must be found while the stream goes on, not at its end.
fn goes_on(length: impl Fn(usize) -> String + Send + Sync + 'static) -> Plan {
    let length = Arc::new(length);
    Plan::new(move |mut camera| {
        let length = Arc::clone(&length);
        async move {
            camera.request().await?;
            if camera.number > 0 && camera.sent() < 40 {
                camera.complain("the stream was given up");
            }
            if camera.number > 0 {
                camera.send(HEAD).await?;
                return camera.hold().await;
            }
            camera.send(HEAD).await?;
            for _ in 0..40 {
                let jpeg = camera.jpeg().bytes();
                let lines = format!("Content-Length: {}\r\n", length(jpeg.len()));
                camera
                    .deliver(part_with(&lines, &jpeg), Shot::new(&jpeg))
                    .await?;
                camera.wait(300).await;
            }
            camera.send("--camframe\r\n").await?;
            camera.hold().await
        }
    })
    .key("stall_timeout", "\"6 s\"")
    .frames(40)
    .may(&["stalled"])
}

/// Parts whose length covers this much of what follows, which may be stored with the picture or left out.
fn longer_within_line_end(by: usize) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let jpeg = jpeg.bytes();
        let lengthened = [&jpeg[..], &b"\r\n"[..by]].concat();
        (
            part_with(&format!("Content-Length: {}\r\n", jpeg.len() + by), &jpeg),
            Shot::new(&jpeg).or(&lengthened),
        )
    })
}

/// Every third part is passed through `spoil`; the picture in it may be lost, no other may.
fn spoilt(spoil: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Plan {
    stream(HEAD, move |number, jpeg| {
        let bytes = jpeg.bytes();
        match number % 3 {
            1 => (spoil(&bytes), Shot::new(&bytes).optional()),
            _ => (part(&bytes), Shot::new(&bytes)),
        }
    })
}

/// Something before each part.
fn preceded(before: &'static str) -> Plan {
    parts(move |jpeg| [before.as_bytes(), &part(jpeg)].concat())
}

/// Pictures with something in a comment, framed so.
fn commented(comment: &'static [u8], frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = jpeg.segment(0xfe, comment).bytes();
        (frame(&bytes), Shot::new(&bytes))
    })
}

/// Parts of two pictures each: one frame of both, or two frames.
fn two_frames_in_one_part() -> Plan {
    Plan::new(async |mut camera| {
        if camera.number > 0 {
            return idle(camera).await;
        }
        camera.request().await?;
        camera.send(HEAD).await?;
        for _ in 0..FRAMES {
            let (first, second) = (camera.jpeg().bytes(), camera.jpeg().bytes());
            let both = [&first[..], &second].concat();
            let shots = [Shot::new(&first).or(&both), Shot::new(&second).optional()];
            camera.deliver_all(part(&both), shots).await?;
            camera.wait(100).await;
        }
        Ok(())
    })
    .frames(FRAMES)
    .may(&["disconnected"])
}

/// Each part declares the length of the one before.
fn length_of_the_previous_frame() -> Plan {
    let previous = Mutex::new(300);
    stream(HEAD, move |number, jpeg| {
        let bytes = jpeg.entropy(120 + 60 * (number % 3)).bytes();
        let length = std::mem::replace(
            &mut *previous.lock().expect("nothing panics with it"),
            bytes.len(),
        );
        (
            part_with(&format!("Content-Length: {length}\r\n"), &bytes),
            Shot::new(&bytes).unsure(),
        )
    })
}

/// The text of a whole part, to be hidden in a comment.
const FAKE_PART: &[u8] =
    b"\r\n--camframe\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xd9\r\n--camframe\r\n";

const REPLACE: &str = "multipart/x-mixed-replace; boundary=";

fn boundary(parameter: &str) -> String {
    typed(&format!("{REPLACE}{parameter}"))
}

cases! {
    row_18_boundary_in_double_quotes => simple(boundary("\"camframe\""), part);
    row_18_boundary_in_single_quotes => simple(boundary("'camframe'"), part);
    row_18_boundary_in_quotes_without_lengths => simple(boundary("\"camframe\""), bare);
    row_18_boundary_quote_never_closed => simple(boundary("\"camframe"), part);
    row_18_boundary_with_blank_in_quotes => simple(boundary("\"cam frame\""), delimited("--cam frame"));
    row_19_dashes_are_in_the_parameter => simple(boundary("--camframe"), part);
    row_19_dashes_are_in_the_parameter_without_lengths => simple(boundary("--camframe"), bare);
    row_19_dashes_are_in_the_parameter_and_two_more_in_the_body => simple(boundary("--camframe"), delimited("----camframe"));
    row_19_dashes_are_in_the_parameter_and_two_more_in_the_body_bare => simple(boundary("--camframe"), delimited_bare("----camframe"));
    row_20_blank_before_the_equal_sign => simple(typed("multipart/x-mixed-replace; boundary =camframe"), bare);
    row_20_blanks_around_the_equal_sign => simple(typed("multipart/x-mixed-replace;boundary = camframe"), bare);
    row_20_trailing_blanks => simple(boundary("camframe   "), bare);
    row_20_trailing_semicolon => simple(boundary("camframe;"), bare);
    row_20_more_parameters => simple(boundary("camframe; charset=utf-8; foo=\"a;b\""), bare);
    row_20_other_parameter_first => simple(typed("multipart/x-mixed-replace; charset=utf-8; boundary=camframe"), bare);
    row_20_boundary_in_capitals => simple(typed("Multipart/X-Mixed-Replace;BOUNDARY=camframe"), bare);
    row_21_no_boundary_parameter => simple(typed("multipart/x-mixed-replace"), part);
    row_21_no_boundary_parameter_without_lengths => simple(typed("multipart/x-mixed-replace"), bare);
    row_21_empty_boundary_parameter => simple(typed("multipart/x-mixed-replace; boundary="), bare);
    row_22_body_has_another_boundary => simple(HEAD, delimited("--somethingelse"));
    row_22_body_has_another_boundary_without_lengths => simple(HEAD, delimited_bare("--somethingelse"));
    row_22_body_boundary_is_longer => simple(HEAD, delimited_bare("--camframe7f"));
    row_22_body_boundary_is_shorter => simple(HEAD, delimited_bare("--cam"));
    row_23_delimiter_without_dashes => simple(HEAD, delimited("camframe"));
    row_23_delimiter_without_dashes_without_lengths => simple(HEAD, delimited_bare("camframe"));
    row_24_no_lengths => parts(bare);
    row_24_no_lengths_big => stream(HEAD, |_, jpeg| {
        let bytes = jpeg.entropy(70_000).bytes();
        (bare(&bytes), Shot::new(&bytes))
    });
    row_24_no_lengths_after_lengths => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        (if number < 4 { part(&bytes) } else { bare(&bytes) }, Shot::new(&bytes))
    });
    row_25_length_in_other_letter_case => parts(|jpeg| part_with(&format!("CONTENT-length:{}\r\n", jpeg.len()), jpeg));
    row_26_no_type => parts(|jpeg| part_after(&format!("--camframe\r\nContent-Length: {}\r\n\r\n", jpeg.len()), jpeg));
    row_26_no_headers_at_all => parts(|jpeg| part_after("--camframe\r\n\r\n", jpeg));
    row_27_image_jpg => parts(|jpeg| part_after("--camframe\r\nContent-Type: image/jpg\r\n\r\n", jpeg));
    row_27_image_pjpeg => parts(|jpeg| part_after("--camframe\r\nContent-Type: image/pjpeg\r\n\r\n", jpeg));
    row_27_type_with_parameters => parts(|jpeg| part_after("--camframe\r\ncontent-type: image/jpeg;size=1234\r\n\r\n", jpeg));
    row_27_type_octet_stream => parts(|jpeg| part_after("--camframe\r\nContent-Type: application/octet-stream\r\n\r\n", jpeg));
    row_28_more_line_ends_before_the_boundary => preceded("\r\n\r\n");
    row_28_many_line_ends_before_the_boundary => preceded("\r\n\n\r\n\n\n\r\n\r\n");
    row_28_no_line_end_before_the_boundary => parts(|jpeg| {
        let mut bytes = part(jpeg);
        bytes.truncate(bytes.len() - 2);
        bytes
    });
    row_28_no_line_end_before_the_boundary_without_lengths => parts(|jpeg| {
        let mut bytes = bare(jpeg);
        bytes.truncate(bytes.len() - 2);
        bytes
    });
    row_29_two_boundary_lines => preceded("--camframe\r\n");
    row_29_two_boundary_lines_with_a_blank_one => preceded("--camframe\r\n\r\n");
    row_30_no_boundary_before_the_first_part => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        let whole = part(&bytes);
        (if number == 0 { whole["--camframe\r\n".len()..].to_vec() } else { whole }, Shot::new(&bytes))
    });
    row_30_no_boundary_before_the_first_part_without_lengths => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        let whole = bare(&bytes);
        (if number == 0 { whole["--camframe\r\n".len()..].to_vec() } else { whole }, Shot::new(&bytes))
    });
    row_30_boundary_after_each_part_like_tasmota => parts(|jpeg| {
        [format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len()).as_bytes(), jpeg, b"\r\n--camframe\r\n"].concat()
    });
    row_31_closing_delimiter_before_every_part => simple(boundary("data-boundary--"), delimited("--data-boundary--"));
    row_31_closing_delimiter_not_announced => simple(boundary("data-boundary"), delimited_bare("--data-boundary--"));
    row_31_closing_delimiter_with_a_blank => simple(boundary("video boundary--"), delimited("--video boundary--"));
    row_31_closing_delimiter_with_a_blank_without_lengths => simple(boundary("video boundary--"), delimited_bare("--video boundary--"));
    row_31_closing_delimiter_and_then_more => parts(|jpeg| [&part(jpeg)[..], b"--camframe--\r\n"].concat());
    row_32_no_line_end_after_the_boundary => parts(|jpeg| {
        part_after(&format!("--camframeContent-type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len()), jpeg)
    });
    row_32_no_line_end_after_the_boundary_without_lengths => parts(|jpeg| part_after("--camframeContent-type: image/jpeg\r\n\r\n", jpeg));
    row_33_length_one_too_many => longer_within_line_end(1);
    row_33_length_two_too_many => longer_within_line_end(2);
    row_33_length_three_too_many => lengths(|length| (length + 3).to_string());
    row_33_length_ten_too_many => lengths(|length| (length + 10).to_string());
    row_33_length_a_hundred_too_many => lengths(|length| (length + 100).to_string());
    row_33_length_over_the_next_frame => lengths(|length| (length + 1000).to_string());
    row_33_length_of_a_megabyte => lengths(|_| "1000000".to_owned());
    row_33_length_of_a_terabyte => lengths(|_| "1099511627776".to_owned());
    row_33_length_too_many_while_the_stream_goes_on => goes_on(|length| (length + 1_000_000).to_string());
    row_33_length_of_a_terabyte_while_the_stream_goes_on => goes_on(|_| "1099511627776".to_owned());
    row_33_length_too_many_once => spoilt(|jpeg| part_with(&format!("Content-Length: {}\r\n", jpeg.len() + 500), jpeg));
    row_34_length_one_too_few => lengths(|length| (length - 1).to_string());
    row_34_length_two_too_few => lengths(|length| (length - 2).to_string());
    row_34_length_ten_too_few => lengths(|length| (length - 10).to_string());
    row_34_length_half => lengths(|length| (length / 2).to_string());
    row_34_length_one => lengths(|_| "1".to_owned());
    row_34_length_in_the_header_segments => lengths(|_| "20".to_owned());
    row_35_length_zero => lengths(|_| "0".to_owned());
    row_35_length_negative => lengths(|_| "-1".to_owned());
    row_35_length_not_a_number => lengths(|_| "NaN".to_owned());
    row_35_length_empty => lengths(|_| String::new());
    row_35_length_twice_in_one_line => lengths(|length| format!("{length}, {length}"));
    row_35_length_past_63_bits => lengths(|_| "9223372036854775808".to_owned());
    row_35_length_past_64_bits => lengths(|length| format!("{}", (1_u128 << 64) + length as u128));
    row_35_length_of_400_digits => lengths(|_| "9".repeat(400));
    row_35_length_in_hex => lengths(|length| format!("{length:x}h"));
    row_35_length_in_hex_with_prefix => lengths(|length| format!("0x{length:x}"));
    row_35_length_with_a_unit => lengths(|length| format!("{length} bytes"));
    row_35_length_with_a_fraction => lengths(|length| format!("{length}.00"));
    row_36_two_lengths_the_last_is_right => length_lines(|length| format!("Content-Length: 5\r\nContent-Length: {length}\r\n"));
    row_36_two_lengths_the_first_is_right => length_lines(|length| format!("Content-Length: {length}\r\nContent-Length: 5\r\n"));
    row_36_two_lengths_neither_is_right => length_lines(|_| "Content-Length: 7\r\nContent-Length: 70000\r\n".to_owned());
    row_37_boundary_in_a_comment => commented(b"--camframe", part);
    row_37_boundary_in_a_comment_without_lengths => commented(b"--camframe", bare);
    row_37_boundary_line_in_a_comment => commented(b"\r\n--camframe\r\n", part);
    row_37_boundary_line_in_a_comment_without_lengths => commented(b"\r\n--camframe\r\n", bare);
    row_37_whole_part_in_a_comment => commented(FAKE_PART, part);
    row_37_whole_part_in_a_comment_without_lengths => commented(FAKE_PART, bare);
    row_38_text_parts_between => parts(|jpeg| [b"--camframe\r\nContent-Type: text/plain\r\n\r\nprogress 17%\r\n", &part(jpeg)[..]].concat());
    row_38_text_parts_between_without_lengths => parts(|jpeg| [b"--camframe\r\nContent-Type: text/plain\r\n\r\nprogress 17%\r\n", &bare(jpeg)[..]].concat());
    row_38_text_parts_between_without_delimiters => parts(|jpeg| {
        let text = "Content-Type: text/plain\r\n\r\nprogress 17%\r\n";
        part_after(&format!("{text}Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len()), jpeg)
    });
    row_39_xml_first_and_last => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        let xml = |state: &str| format!("--camframe\r\nContent-Type: text/xml\r\n\r\n<status><state>{state}</state><code>3</code></status>\r\n");
        let whole = match number {
            0 => [xml("started").as_bytes(), &part(&bytes)].concat(),
            6 => [&part(&bytes)[..], xml("closed").as_bytes()].concat(),
            _ => part(&bytes),
        };
        (whole, Shot::new(&bytes))
    });
    row_40_odd_and_long_headers => parts(|jpeg| {
        let lines = "Date: 01-01-2011 03:30:45 AM IO_00000000_PT_003_000\r\nX-Status: 0\r\nX-Tags: \r\nX-Flags: 0\r\nX-Puls-Pan: -17\r\n";
        part_with(&format!("{lines}X-Long: {}\r\nContent-Length: {}\r\n", "y".repeat(1500), jpeg.len()), jpeg)
    });
    row_40_headers_of_twelve_kibibytes => parts(|jpeg| part_with(&format!("X-Long: {}\r\n", "y".repeat(12_000)), jpeg));
    row_40_headers_over_the_limit_cost_their_part_only => spoilt(|jpeg| part_with(&format!("X-Long: {}\r\n", "y".repeat(20_000)), jpeg));
    row_42_next_headers_come_at_once => stream(format!("{HEAD}--camframe\r\nContent-Type: image/jpeg\r\nX-Timestamp: 1.5\r\n\r\n"), |_, jpeg| {
        let bytes = jpeg.bytes();
        ([&bytes[..], b"\r\n--camframe\r\nContent-Type: image/jpeg\r\nX-Timestamp: 1.5\r\n\r\n"].concat(), Shot::new(&bytes))
    });

    boundary_of_regexp_characters => simple(boundary("\"a.*+?[b](c)|$\\\\\""), delimited_bare("--a.*+?[b](c)|$\\"));
    boundary_of_seventy_characters => simple(
        boundary("0123456789012345678901234567890123456789012345678901234567890123456789"),
        delimited_bare("--0123456789012345678901234567890123456789012345678901234567890123456789"),
    );
    boundary_of_dashes => simple(boundary("---------------------------"), delimited_bare("-----------------------------"));
    boundary_of_one_character => simple(boundary("x"), delimited_bare("--x"));
    boundary_changes_from_part_to_part => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        let before = format!("--part{number}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", bytes.len());
        (part_after(&before, &bytes), Shot::new(&bytes))
    });
    boundary_changes_once => stream(HEAD, |number, jpeg| {
        let bytes = jpeg.bytes();
        let boundary = if number < 4 { "camframe" } else { "other" };
        (part_after(&format!("--{boundary}\r\nContent-Type: image/jpeg\r\n\r\n"), &bytes), Shot::new(&bytes))
    });
    boundary_line_garbled_now_and_then => spoilt(|jpeg| part_after("--c\x00mfrxme\r\nContent-Type: image/jpeg\r\n\r\n", jpeg));
    boundary_line_missing_now_and_then => spoilt(|jpeg| jpeg.to_vec());
    boundary_line_with_trailing_blanks => simple(HEAD, delimited_bare("--camframe \t"));
    boundary_line_with_leading_blank => simple(HEAD, delimited(" --camframe"));
    headers_garbled_now_and_then => spoilt(|jpeg| part_after("--camframe\r\n\x01\x02\u{e4} no header\r\nContent-Le", jpeg));
    header_folded => parts(|jpeg| part_with(&format!("X-Note: one\r\n two\r\n\tthree\r\nContent-Length: {}\r\n", jpeg.len()), jpeg));
    headers_after_a_blank_line => parts(|jpeg| part_after(&format!("--camframe\r\n\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len()), jpeg));
    no_blank_line_before_the_jpeg => parts(|jpeg| part_after("--camframe\r\nContent-Type: image/jpeg\r\n", jpeg));
    two_blank_lines_before_the_jpeg => parts(|jpeg| part_after("--camframe\r\nContent-Type: image/jpeg\r\n\r\n\r\n", jpeg));
    length_of_the_previous_frame => length_of_the_previous_frame();
    length_counts_the_headers_too => parts(|jpeg| part_with(&format!("Content-Length: {}\r\n", jpeg.len() + 60), jpeg));
    length_before_an_empty_name => parts(|jpeg| part_with(&format!(": nothing\r\nno colon at all\r\nContent-Length: {}\r\n", jpeg.len()), jpeg));
    two_frames_in_one_part => two_frames_in_one_part();
    line_feeds_only => simple(HEAD.replace("\r\n", "\n"), |jpeg| {
        [format!("--camframe\nContent-Type: image/jpeg\nContent-Length: {}\n\n", jpeg.len()).as_bytes(), jpeg, b"\n"].concat()
    });
    line_feeds_only_without_lengths => simple(HEAD.replace("\r\n", "\n"), |jpeg| [b"--camframe\nContent-Type: image/jpeg\n\n", jpeg, b"\n"].concat());
    carriage_returns_doubled => parts(|jpeg| part_after(&format!("--camframe\r\r\nContent-Type: image/jpeg\r\r\nContent-Length: {}\r\r\n\r\r\n", jpeg.len()), jpeg));
    byte_order_mark_before_the_first_boundary => simple(format!("{HEAD}\u{feff}"), bare);
    blank_lines_before_the_first_boundary => simple(format!("{HEAD}\r\n\r\n\r\n"), bare);
    preamble_before_the_first_boundary => simple(format!("{HEAD}This is a multipart message.\r\nIgnore it -- please.\r\n"), bare);
    web_page_before_the_first_boundary => simple(format!("{HEAD}<html><body>-- Welcome --</body></html>\r\n"), bare);
    torn_frame_before_the_first_boundary => simple([HEAD.as_bytes(), &Jpeg::new(3).bytes()[200..], b"\r\n"].concat(), bare);
}
