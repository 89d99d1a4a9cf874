//! Section 3: what is within a part.

use super::cases;
use super::plan::{HEAD, Plan, bare, part, part_after, part_with, stream};
use crate::support::camera::Shot;
use crate::support::jpeg::{Jpeg, split_pictures};

/// Pictures of this kind, with a length.
fn pictures(kind: impl Fn(Jpeg) -> Jpeg + Send + Sync + 'static) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = kind(jpeg).bytes();
        (part(&bytes), Shot::new(&bytes))
    })
}

/// Pictures of this kind, without a length.
fn pictures_bare(kind: impl Fn(Jpeg) -> Jpeg + Send + Sync + 'static) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = kind(jpeg).bytes();
        (bare(&bytes), Shot::new(&bytes))
    })
}

/// Pictures with something behind them, which may be kept or trimmed.
fn padded(padding: &'static [u8], frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let kept = jpeg.clone().padding(padding).bytes();
        (frame(&kept), Shot::new(&kept).or(&jpeg.bytes()).unsure())
    })
}

/// Pictures of this kind that end without EOI; a boundary follows the last one too, or else it would be torn by the end of the stream.
fn endless(kind: fn(Jpeg) -> Jpeg, frame: fn(&[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = kind(jpeg).without_end().bytes();
        let mut wire = frame(&bytes);
        wire.extend(b"--camframe\r\n");
        (wire, Shot::new(&bytes).marked())
    })
}

/// Every third picture is cut at this share of its length, in parts made so from the whole and the cut one.
fn torn(percent: usize, frame: fn(&[u8], &[u8]) -> Vec<u8>) -> Plan {
    stream(HEAD, move |number, jpeg| {
        let whole = jpeg.bytes();
        let cut = &whole[..whole.len() * percent / 100];
        match number % 3 {
            1 => (frame(&whole, cut), Shot::new(cut).torn()),
            _ => (part(&whole), Shot::new(&whole)),
        }
    })
}

/// Parts without contents, and frames between them.
fn empty_parts(empty: &'static str) -> Plan {
    stream(HEAD, move |_, jpeg| {
        let bytes = jpeg.bytes();
        (
            [empty.as_bytes(), &part(&bytes)].concat(),
            Shot::new(&bytes),
        )
    })
}

/// Sends nothing but empty parts, often.
fn only_empty_parts() -> Plan {
    Plan::new(async |mut camera| {
        camera.request().await?;
        camera.send(HEAD).await?;
        super::plan::send_parts(&mut camera, 1).await?;
        loop {
            camera
                .send("--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n\r\n")
                .await?;
            camera.wait(200).await;
        }
    })
    .key("stall_timeout", "\"3 s\"")
    .must(&["stalled"])
    .may(&["not_video"])
    .connections(3..=14)
}

/// Pictures as they come from a real encoder.
fn real_pictures() -> Plan {
    let made = std::process::Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x240:rate=5",
            "-frames:v",
            "7",
        ])
        .args(["-c:v", "mjpeg", "-f", "image2pipe", "pipe:1"])
        .output()
        .expect("ffmpeg is installed by scripts/setup-tests");
    let pictures: Vec<_> = split_pictures(&made.stdout)
        .into_iter()
        .map(<[u8]>::to_vec)
        .collect();
    stream(HEAD, move |number, _| {
        (bare(&pictures[number]), Shot::new(&pictures[number]))
    })
}

/// A segment length whose two bytes are themselves a marker.
fn marker_like_length(low: u8) -> impl Fn(Jpeg) -> Jpeg {
    move |jpeg| {
        jpeg.segment(
            0xfe,
            &vec![0xd8; usize::from(u16::from_be_bytes([0xff, low])) - 2],
        )
    }
}

cases! {
    row_43_two_zeros_after_the_end => padded(b"\0\0", part);
    row_43_two_zeros_after_the_end_without_lengths => padded(b"\0\0", bare);
    row_43_ff_after_the_end => padded(b"\xff\xff\xff\xff\xff", part);
    row_43_ff_after_the_end_without_lengths => padded(b"\xff\xff\xff\xff\xff", bare);
    row_43_thousands_of_zeros => padded(&[0; 3000], part);
    row_43_thousands_of_zeros_without_lengths => padded(&[0; 3000], bare);
    row_43_old_buffer_contents => padded(b"\x12\x34\xff\xd9\xff\xda\x00\x08old picture data\xff\xd9\0\0", part);
    row_43_old_buffer_contents_without_lengths => padded(b"\x12\x34\xff\xd9\xff\xda\x00\x08old picture data\xff\xd9\0\0", bare);
    row_44_exif_thumbnail => pictures(Jpeg::exif_thumbnail);
    row_44_exif_thumbnail_without_lengths => pictures_bare(Jpeg::exif_thumbnail);
    row_44_markers_in_segments_without_lengths => pictures_bare(|jpeg| jpeg.segment(0xe5, b"\xff\xd9\xff\xd8\xff\xda\xff\xd9").segment(0xfe, b"\xff\xd9"));
    row_45_no_end => endless(|jpeg| jpeg, part);
    row_45_no_end_without_lengths => endless(|jpeg| jpeg, bare);
    row_45_no_end_progressive => endless(Jpeg::progressive, part);
    row_45_no_end_where_only_headers_come_between => stream(HEAD, |_, jpeg| {
        let bytes = jpeg.without_end().bytes();
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", bytes.len());
        (part_after(&head, &bytes), Shot::new(&bytes).marked())
    });
    row_46_no_huffman_tables => pictures(Jpeg::without_huffman_tables);
    row_46_no_huffman_tables_without_lengths => pictures_bare(Jpeg::without_huffman_tables);
    row_47_progressive => pictures(Jpeg::progressive);
    row_47_progressive_without_lengths => pictures_bare(Jpeg::progressive);
    row_48_empty_parts => empty_parts("--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n\r\n");
    row_48_empty_parts_without_lengths => empty_parts("--camframe\r\nContent-Type: image/jpeg\r\n\r\n\r\n");
    row_48_empty_parts_without_line_end => empty_parts("--camframe\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n");
    row_48_empty_parts_are_no_progress => only_empty_parts();
    row_49_cut_in_the_picture_data => torn(80, |_, cut| bare(cut));
    row_49_cut_in_the_picture_data_with_its_length => torn(80, |_, cut| part(cut));
    row_49_cut_in_the_picture_data_with_the_whole_length => torn(80, |whole, cut| part_with(&format!("Content-Length: {}\r\n", whole.len()), cut));
    row_49_cut_in_the_header_segments => torn(16, |_, cut| bare(cut));
    row_49_cut_in_the_header_segments_with_the_whole_length => torn(16, |whole, cut| part_with(&format!("Content-Length: {}\r\n", whole.len()), cut));
    row_49_cut_without_a_line_end => torn(60, |_, cut| {
        let mut bytes = bare(cut);
        bytes.truncate(bytes.len() - 2);
        bytes
    });
    row_49_cut_after_the_first_bytes => torn(1, |_, cut| bare(cut));
    row_50_size_changes => stream(HEAD, |number, jpeg| {
        let (width, height) = if number % 2 == 0 { (64, 48) } else { (1920, 1080) };
        let bytes = jpeg.pixels(width, height).bytes();
        (part(&bytes), Shot::new(&bytes))
    });
    row_79_data_in_a_comment => pictures_bare(|jpeg| jpeg.segment(0xfe, b"#:M1IMG\nVER=3.2\nTZN=EST\nFPS=12\n"));

    two_pictures_of_one_file_without_lengths => stream(HEAD, |number, jpeg| {
        let first = jpeg.segment(0xe2, b"MPF\0II*\0").bytes();
        let second = Jpeg::new(number as u64 + 1000).entropy(100_000).bytes();
        let both = [first, second].concat();
        (bare(&both), Shot::new(&both))
    });
    restart_markers => pictures(Jpeg::restarts);
    restart_markers_without_lengths => pictures_bare(Jpeg::restarts);
    fill_bytes_before_markers => pictures(Jpeg::fill_bytes);
    fill_bytes_before_markers_without_lengths => pictures_bare(Jpeg::fill_bytes);
    segment_length_that_looks_like_soi => pictures_bare(marker_like_length(0xd8));
    segment_length_that_looks_like_eoi => pictures_bare(marker_like_length(0xd9));
    every_kind_at_once_without_lengths => pictures_bare(|jpeg| jpeg.exif_thumbnail().progressive().restarts().fill_bytes());
    tiny_pictures => pictures(|jpeg| jpeg.entropy(1));
    tiny_pictures_without_lengths => pictures_bare(|jpeg| jpeg.entropy(1));
    pictures_of_a_megabyte => pictures(|jpeg| jpeg.entropy(1_200_000));
    pictures_of_a_megabyte_without_lengths => pictures_bare(|jpeg| jpeg.entropy(1_200_000));
    pictures_of_an_encoder => real_pictures();
}
