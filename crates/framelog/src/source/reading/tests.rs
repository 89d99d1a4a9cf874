use framelog_core::frame::Payload;

use super::*;

/// A Mobotix picture with a comment of so many bytes before the time.
fn picture(comment_bytes: usize) -> Vec<u8> {
    let comment = [&vec![b'#'; comment_bytes][..], b"\nTIT=1302498816.936\r\n"].concat();
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    let frame = [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
    let scan = [
        &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0][..],
        &[7; 100],
        b"\xff\xd9",
    ]
    .concat();
    [&b"\xff\xd8\xff\xfe"[..], &length, &comment, &frame, &scan].concat()
}

fn stamp(slices: &[&[u8]]) -> Option<i64> {
    let mut payload = Payload::default();
    for slice in slices {
        payload.push(Bytes::copy_from_slice(slice));
    }
    let part = Part {
        headers: Headers::default(),
        payload,
        offset: 0,
        received_us: 0,
        complete: true,
    };
    stamp_in_comment(&part).stamp_us
}

#[test]
fn the_time_in_a_comment_is_found_however_the_picture_was_cut() {
    let picture = picture(30);
    for cut in 0..picture.len() {
        let (before, after) = picture.split_at(cut);
        assert_eq!(
            stamp(&[before, after]),
            Some(1_302_498_816_936_000),
            "{cut}"
        );
    }
    let bytes: Vec<_> = picture.chunks(1).collect();
    assert_eq!(stamp(&bytes), Some(1_302_498_816_936_000));
}

#[test]
fn text_is_told_from_what_is_binary() {
    for text in [
        "<html>\r\n\tüber".as_bytes(),
        b"a",
        b"cut \xc3",
        "\u{feff}x".as_bytes(),
    ] {
        assert!(is_text(text), "{text:?}");
    }
    for binary in [
        &b""[..],
        b"\0\0\0\x01g",
        b"abcd\x01efgh",
        &[0xff; 99],
        b"\xd5",
    ] {
        assert!(!is_text(binary), "{binary:?}");
    }
}

#[test]
fn what_is_gathered_for_the_time_is_bounded() {
    let picture = picture(60_000);
    let pieces: Vec<_> = picture.chunks(1_000).collect();
    assert_eq!(stamp(&pieces), Some(1_302_498_816_936_000));
    let endless = [&b"\xff\xd8"[..], &b"\xff\xfe\xff\xff".repeat(40_000)].concat();
    let slices: Vec<_> = endless.chunks(1_000).map(Bytes::copy_from_slice).collect();
    assert_eq!(
        header_of(&slices).len(),
        HEADER_BYTES_MAX.next_multiple_of(1_000)
    );
}
