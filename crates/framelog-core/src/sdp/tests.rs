use super::*;
use proptest::prelude::*;

fn video(text: &str) -> Video {
    let description = Description::read(text.as_bytes());
    description.video().expect("no video found").clone()
}

#[test]
fn what_hikvision_says_is_read() {
    let description = Description::read(
        b"v=0\r\no=- 1109162014219182 0 IN IP4 0.0.0.0\r\ns=HIK Media Server V5.03.010\r\nc=IN IP4 0.0.0.0\r\nb=AS:2080\r\nt=0 0\r\n\
          a=control:*\r\na=range:npt=now-\r\nm=video 0 RTP/AVP 96\r\nb=AS:2048\r\na=recvonly\r\na=control:trackID=video\r\n\
          a=x-dimensions:1280,720\r\na=rtpmap:96 H264/90000\r\n\
          a=fmtp:96 profile-level-id=4D0014;packetization-mode=1;sprop-parameter-sets=Z2QAKqwsaoHgCJ+WbgoCCoAAAAMAgAAAD0IA,aO4xshsA\r\n\
          m=audio 0 RTP/AVP 104\r\na=control:trackID=audio\r\na=rtpmap:104 MPEG4-GENERIC/16000\r\n",
    );
    assert_eq!(description.control.as_deref(), Some("*"));
    assert_eq!(description.others, ["audio MPEG4-GENERIC"]);
    let video = description.video().unwrap();
    assert_eq!(
        (video.codec, video.payload_type, video.clock_hz),
        (Codec::H264, 96, 90_000)
    );
    assert_eq!(video.control.as_deref(), Some("trackID=video"));
    assert_eq!(video.size, Some((1280, 720)));
    assert_eq!(video.packetization_mode, Some(1));
    assert_eq!(video.parameter_sets[0][..4], [0x67, 0x64, 0x00, 0x2A]);
    assert_eq!(
        video.parameter_sets[1][..],
        [0x68, 0xEE, 0x31, 0xB2, 0x1B, 0x00]
    );
}

#[test]
fn lines_that_strict_parsers_refuse_are_passed_over() {
    for session in [
        "",
        "v=0\no=- -8959200248001175080 1 IN IP4 1.2.3.4\ns=\nt=0 0\n",
        "o=- 1.5 1 IN IP4\n",
        "o=[-2208991488 2208991488 IN IP4 10.255.1.119]\nc=IN \nb=RR:0\n",
        "o=- 1001 1 IN \nx\n=\n==\n\n\u{fffd}\n",
    ] {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("{session}m=video 0 RTP/AVP 105\nb=RR:0\na=rtpmap:105 H265/90000\n")
                .replace('\n', end);
            let video = video(&text);
            assert_eq!((video.codec, video.payload_type), (Codec::H265, 105));
        }
    }
}

#[test]
fn two_attributes_on_one_line_are_two() {
    let video = video(
        "m=video 0 RTP/AVP 96\na=control:track1 a=rtpmap:96 H264/90000 a=fmtp:96 sprop-parameter-sets=aO4=\n",
    );
    assert_eq!(video.control.as_deref(), Some("track1"));
    assert_eq!(video.codec, Codec::H264);
    assert_eq!(video.parameter_sets, [&[0x68, 0xEE][..]]);
}

#[test]
fn parameter_sets_are_taken_where_they_can_be() {
    let sets = |fmtp: &str| {
        video(&format!(
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:{fmtp}\n"
        ))
        .parameter_sets
        .iter()
        .map(|set| set.to_vec())
        .collect::<Vec<_>>()
    };
    let good = [vec![0x67, 0x42], vec![0x68, 0xEE]];
    for fmtp in [
        "96 sprop-parameter-sets=Z0I=,aO4=",
        "96 SPROP-Parameter-Sets = Z0I , aO4 ; packetization-mode=1",
        "96 packetization-mode=1;sprop-parameter-sets=\"Z0I,,aO4=\";",
        "96 sprop-parameter-sets=Z0J=,!!!,aO4=",
        "97 sprop-parameter-sets=Z0I=,aO4=",
        "sprop-parameter-sets=Z0I=,aO4=",
        "96 sprop-sps=Z0I=; sprop-pps=aO4=",
        "96 packetization-mode=1 sprop-parameter-sets=Z0I=,aO4= x=1",
        "96 packetization-mode=1;\r\n sprop-parameter-sets=Z0I=,aO4=",
        "96 packetization-mode=1;\n\tsprop-parameter-sets=Z0I=,\n aO4=",
    ] {
        assert_eq!(sets(fmtp), good, "{fmtp}");
    }
    assert_eq!(
        sets("96 sprop-parameter-sets=Z_8-,aP__"),
        [vec![0x67, 0xFF, 0x3E], vec![0x68, 0xFF, 0xFF]],
        "base64 for URLs"
    );
    for fmtp in [
        "96",
        "96 ",
        "96 sprop-parameter-sets",
        "96 sprop-parameter-sets=",
        "96 sprop-parameter-sets=,",
    ] {
        assert!(sets(fmtp).is_empty(), "{fmtp}");
    }
    assert_eq!(
        sets(&format!("96 sprop-parameter-sets={}", "aO4=,".repeat(5000))).len(),
        SETS_MAX
    );
}

#[test]
fn the_payload_type_is_the_one_that_can_be_recorded() {
    let found = video(
        "m=video 0 RTP/AVP 98 96 300 x\na=rtpmap:98 MPV4-ES/90000\na=rtpmap:96 h264/0\na=fmtp:98 config=1;sprop-parameter-sets=AAAA\n",
    );
    assert_eq!(
        (found.codec, found.payload_type, found.clock_hz),
        (Codec::H264, 96, 90_000)
    );
    assert!(found.parameter_sets.is_empty());
    assert_eq!(video("m=video 0 RTP/AVP 26\n").codec, Codec::Mjpeg);
    assert_eq!(
        video("m=video 0 RTP/AVP 97\na=rtpmap:97 JPEG\n").codec,
        Codec::Mjpeg
    );
    assert_eq!(
        video("m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1\n").codec,
        Codec::H264
    );
    assert_eq!(
        video("m=video 0 RTP/AVP 96\na=fmtp:96 sprop-vps=QAE=\n").codec,
        Codec::H265
    );
    assert_eq!(
        video("a=rtpmap:96 H265/1000\nm=video 0 RTP/AVP 96\n").clock_hz,
        1000
    );
    assert!(
        video("m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-max-don-diff=2\n")
            .has_don
    );
}

#[test]
fn the_encoding_is_found_where_it_was_put() {
    let h264 = |text: &str| {
        let found = video(text);
        assert_eq!(
            (found.codec, found.clock_hz),
            (Codec::H264, 90_000),
            "{text}"
        );
        found
    };
    let of_another =
        h264("m=video 0 RTP/AVP 96\na=rtpmap:97 H264/90000\na=fmtp:97 sprop-sps=Z0I=\n");
    assert_eq!(of_another.payload_type, 96);
    assert_eq!(of_another.parameter_sets.len(), 1);
    h264("m=video 0 RTP/AVP 96\na=rtpmap:96 H264 90000\n");
    h264("m=video RTP/AVP 96\na=rtpmap:96 H264/90000\n");
    for formats in ["", " 96,97", " 97, 96", " 96;"] {
        let found = h264(&format!(
            "m=video 0 RTP/AVP{formats}\na=rtpmap:96 H264/90000\n"
        ));
        assert_eq!(found.payload_type, 96, "{formats}");
    }
    let behind = h264(
        "m=video 0 RTP/AVP 96\na=control:a\nm=audio 0 RTP/AVP 8\na=rtpmap:8 PCMA/8000\na=rtpmap:96 H264/90000\n",
    );
    assert_eq!(behind.control.as_deref(), Some("a"));
    // Another medium's type is none of ours.
    let none = "m=video 0 RTP/AVP 96\nm=video 0 RTP/AVP 96\na=rtpmap:96 MPV4-ES/90000\n";
    assert_eq!(Description::read(none.as_bytes()).video(), None);
    let two = "m=video 0 RTP/AVP 98 96\na=rtpmap:97 H264/90000\n";
    assert_eq!(Description::read(two.as_bytes()).video(), None);
    let fixed = video("m=video 0 RTP/AVP 26\na=rtpmap:96 H264/90000\n");
    assert_eq!(fixed.codec, Codec::Mjpeg);
    let sound = "m=audio 0 RTP/AVP 96\na=rtpmap:97 H264/90000\n";
    assert_eq!(Description::read(sound.as_bytes()).video(), None);
}

#[test]
fn parameters_under_another_medium_are_found_by_their_payload_type() {
    let sound = "m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/16000\n";
    let found = |video: &str, behind: &str| {
        let text = format!("{video}{sound}{behind}");
        self::video(&text).parameter_sets
    };
    let h264 = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let sets = "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=aO4=\n";
    assert_eq!(found(h264, sets), [&[0x68, 0xEE][..]]);
    let own = format!("{h264}a=fmtp:96 sprop-parameter-sets=aO8=\n");
    assert_eq!(found(&own, sets), [&[0x68, 0xEF][..]], "its own come first");
    assert!(found(h264, &sets.replace("96", "97")).is_empty());
    let second = format!("m=video 0 RTP/AVP 96\n{sets}");
    assert!(found(h264, &second).is_empty(), "another medium's own");
}

#[test]
fn other_payload_types_are_alternatives_whatever_they_are_coded_in() {
    let others = |text: &str| {
        let others = video(text).alternatives;
        let named = others.iter().map(|other| (other.codec, other.payload_type));
        named.collect::<Vec<_>>()
    };
    assert_eq!(
        others(
            "m=video 0 RTP/AVP 97 96 98 99\na=rtpmap:97 H264/90000\na=rtpmap:96 H264/90000\na=rtpmap:98 H265/90000\na=rtpmap:99 rtx/90000\n"
        ),
        [(Codec::H264, 96), (Codec::H265, 98)]
    );
    assert_eq!(
        others("m=video 0 RTP/AVP 26 96\na=rtpmap:96 H264/90000\n"),
        [(Codec::H264, 96)]
    );
    let mapped = "m=video 0 RTP/AVP 96\na=rtpmap:97 H264/90000\n";
    assert_eq!(others(mapped), [(Codec::H264, 97)]);
    assert_eq!(
        others("m=video 0 RTP/AVP 96 96\na=rtpmap:96 H264/90000\n"),
        []
    );
}

#[test]
fn parameter_sets_tell_the_codec_whatever_it_is_called() {
    let fmtp = "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9kAoC/5cBEAAAMAAQAAAwAyDxgySA==,aMuDyyA=\n";
    let named = |name: &str| format!("m=video 0 RTP/AVP 96\na=rtpmap:96 {name}/90000\n{fmtp}");
    assert_eq!(video(&named("H265")).codec, Codec::H264);
    assert_eq!(video(&named("H264")).codec, Codec::H264);
}

#[test]
fn what_cannot_be_recorded_is_named() {
    let description = Description::read(
        b"m=video 0 RTP/AVP 33\nm=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\nm=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\nm=\n",
    );
    assert_eq!(
        description.others,
        [
            "video payload type 33",
            "video encrypted H264",
            "application vnd.onvif.metadata",
            ""
        ]
    );
    assert_eq!(description.video(), None);
}

#[test]
fn what_is_switched_off_comes_last() {
    let text = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=inactive\nm=video 0 RTP/AVP 26\n";
    assert_eq!(video(text).codec, Codec::Mjpeg);
    let text = "a=inactive\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:x\n";
    assert_eq!(video(text).control.as_deref(), Some("x"));
}

#[test]
fn the_size_is_read_in_each_way_of_saying_it() {
    let size = |attribute: &str| video(&format!("m=video 0 RTP/AVP 26\na={attribute}\n")).size;
    assert_eq!(size("x-dimensions: 704, 576"), Some((704, 576)));
    assert_eq!(size("framesize:26 2592-1944"), Some((2592, 1944)));
    assert_eq!(size("cliprect:0,0,480,640"), Some((640, 480)));
    assert_eq!(size("x-dimensions:0,0"), None);
    assert_eq!(size("x-dimensions:99999999,1"), None);
}

#[test]
fn what_is_read_is_bounded() {
    let many = "m=video 0 RTP/AVP 26\n".repeat(10_000);
    assert_eq!(Description::read(many.as_bytes()).videos.len(), MEDIA_MAX);
    let types = format!("m=video 0 RTP/AVP{}\n", " 98".repeat(20_000));
    let other = &Description::read(types.as_bytes()).others[0];
    assert!(other.len() <= 100);
    let late = format!("{}m=video 0 RTP/AVP 26\n", "x=\n".repeat(TEXT_BYTES_MAX));
    assert_eq!(Description::read(late.as_bytes()).video(), None);
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(words in prop::collection::vec(prop::sample::select(vec![
        "m=", "video", "a=", "rtpmap:", "96", " ", "H264", "/90000", "fmtp:", "sprop-parameter-sets=", ";", ",", "=", "\n", "\r", "control:", "é", "x-dimensions:", "26", "-1",
    ]), 0..60), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut text = words.concat().into_bytes();
        text.extend_from_slice(&bytes);
        let description = Description::read(&text);
        prop_assert!(description.videos.len() + description.others.len() <= MEDIA_MAX);
    }
}
