use super::*;
use proptest::prelude::*;

fn mended(raw: &[u8]) -> Mended {
    mend(raw, false).unwrap().expect("a whole head")
}

fn head(raw: &[u8]) -> String {
    String::from_utf8_lossy(&mended(raw).head).replace("\r\n", "|")
}

#[test]
fn status_lines_of_all_kinds_are_understood() {
    for line in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1200 OK",
        "ICY 200 OK",
        "RTSP/1.0 200 OK",
        "http/1.1 200 OK",
        "HTTP/1 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.0   200   OK",
        "HTTP 200 OK",
        "HTTP/ 200 OK",
        "200 OK",
        "\r\n\r\nHTTP/1.1 200 OK",
        "\0\0HTTP/1.1 200 OK",
        "starting camera\r\nHTTP/1.1 200 OK",
        "\u{1}junkHTTP/1.1 200 OK",
        "Status: 200 OK",
    ] {
        assert_eq!(
            head(format!("{line}\r\nA: b\r\n\r\n").as_bytes()),
            "HTTP/1.1 200 OK|Connection: close|A: b||",
            "{line:?}"
        );
    }
    assert_eq!(
        head(b"HTTP/1.0 200\r\n\r\n"),
        "HTTP/1.1 200 |Connection: close||"
    );
    assert_eq!(
        head(b"HTTP/1.0 401Unauthorized\r\n\r\n"),
        "HTTP/1.1 401 Unauthorized|Connection: close||"
    );
}

#[test]
fn lines_may_end_in_any_way() {
    for raw in [
        "HTTP/1.0 200 OK\nA: b\nC: d\n\nbody",
        "HTTP/1.0 200 OK\rA: b\rC: d\r\rbody",
        "HTTP/1.0 200 OK\r\nA: b\r\nC: d\n\nbody",
        "HTTP/1.0 200 OK\nA: b\r\nC: d\r\n\nbody",
        "HTTP/1.0 200 OK\r\r\nA: b\r\r\nC: d\r\r\n\r\r\nbody",
        "HTTP/1.0 200 OK\rA: b\r\nC: d\r\n\rbody",
    ] {
        let found = mended(raw.as_bytes());
        assert_eq!(&raw.as_bytes()[found.body_at..], b"body", "{raw:?}");
        assert_eq!(found.fields, "A: b\r\nC: d\r\n", "{raw:?}");
    }
}

#[test]
fn fields_are_mended_or_passed_over() {
    let raw = b"HTTP/1.1 200 OK\r\nTue, 12 Jun 2012 01:56:34 GMT\r\nno colon\r\nContent-Type : multipart/mixed;\r\n\tboundary=x\r\nA:\0b\x01c\r\n: d\r\n\r\n";
    assert_eq!(
        head(raw),
        "HTTP/1.1 200 OK|Connection: close|Content-Type: multipart/mixed; boundary=x|A: b c||"
    );
}

#[test]
fn more_fields_than_a_parser_allows_are_cut_off() {
    let raw = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5000));
    assert_eq!(head(raw.as_bytes()).matches("A: b|").count(), FIELDS_MAX);
}

#[test]
fn a_body_without_a_head_is_all_body() {
    for raw in [
        &b"\xff\xd8\xff\xe0"[..],
        b"--x\r\n",
        b"\r\n--x",
        b"Content-Type: image/jpeg\r\n",
    ] {
        let found = mended(raw);
        assert_eq!((found.body_at, found.status_line.len()), (0, 0));
    }
}

#[test]
fn fields_without_a_status_line_are_a_head() {
    for raw in [
        "Server: boa\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\nbody",
        "Server: boa\nno colon\nContent-Type: image/jpeg\nContent-Length: 4\n\nbody",
    ] {
        let found = mended(raw.as_bytes());
        assert_eq!(
            found.head,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nServer: boa\r\nContent-Type: image/jpeg\r\n\r\n"
        );
        assert_eq!(&raw.as_bytes()[found.body_at..], b"body");
        assert_eq!(
            (
                found.content_length,
                found.status_line.len(),
                found.keep_alive
            ),
            (Some(4), 0, false)
        );
    }
    for raw in [
        "Free heap: 1234\r\n\r\n",
        "Heap: 1234\r\n\r\n",
        "Server: boa\r\nContent-Type: image/jpeg\r\n",
        "what\r\nContent-Type: image/jpeg\r\n\r\n",
    ] {
        assert_eq!(mend(raw.as_bytes(), false), Ok(None), "{raw:?}");
    }
    assert_eq!(
        head(b"Heap: 1234\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
        "HTTP/1.1 200 OK|Connection: close|A: b||"
    );
}

#[test]
fn a_body_without_an_empty_line_before_it_ends_the_head() {
    assert_eq!(mended(b"HTTP/1.0 200 OK\r\nA: b\r\n--x\r\n").body_at, 23);
    assert_eq!(
        mended(b"HTTP/1.0 200 OK\r\nA: b\r\n\xff\xd8\xff").fields,
        "A: b\r\n"
    );
}

#[test]
fn lengths_are_believed_only_if_they_agree() {
    let length = |fields: &str| {
        mended(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes()).content_length
    };
    assert_eq!(length("Content-Length: 12"), Some(12));
    assert_eq!(length("content-length:12\r\nContent-Length: 12"), Some(12));
    assert_eq!(length("Content-Length: 12, 12"), Some(12));
    assert_eq!(
        length("Content-Length: 12\r\nContent-Length: 13\r\nContent-Length: 13"),
        None
    );
    for bad in [
        "-1",
        "",
        "x",
        "1x",
        "+1",
        "99999999999999999999999",
        "18446744073709551615",
    ] {
        assert_eq!(length(&format!("Content-Length: {bad}")), None, "{bad}");
    }
}

#[test]
fn framing_is_read_and_kept_from_the_parser() {
    let found = mended(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: Chunked\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=8\r\n\r\n");
    assert!(found.chunked && found.keep_alive && found.fields.is_empty());
    assert!(mended(b"HTTP/1.1 200 OK\r\n\r\n").keep_alive);
    assert!(!mended(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").keep_alive);
    assert!(!mended(b"HTTP/1.0 200 OK\r\n\r\n").keep_alive);
}

#[test]
fn interim_heads_are_skipped_and_odd_codes_refused() {
    assert_eq!(
        head(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        "HTTP/1.1 200 OK|Connection: close||"
    );
    assert_eq!(
        mend(b"HTTP/1.1 99 What\r\n\r\n", false),
        Err(MendError::Status(99))
    );
    assert_eq!(
        mend(b"HTTP/1.1 1000 What\r\n\r\n", false),
        Err(MendError::Status(1000))
    );
    assert_eq!(
        mend(b"HTTP/1.1 99999999999999 What\r\n\r\n", false),
        Err(MendError::Status(u32::MAX))
    );
}

#[test]
fn what_is_not_http_is_refused_at_its_end_or_when_it_is_long() {
    assert_eq!(mend(b"SSH-2.0-OpenSSH_9.2\r\n", false), Ok(None));
    assert_eq!(
        mend(b"SSH-2.0-OpenSSH_9.2\r\n", true),
        Err(MendError::NotHttp)
    );
    assert_eq!(mend(&[b'x'; 8 << 10], false), Err(MendError::NotHttp));
    assert_eq!(
        mend(
            &[b"HTTP/1.1 200 OK\r\nA: ", &[b'x'; HEAD_BYTES_MAX][..]].concat(),
            false
        ),
        Err(MendError::TooLong)
    );
    assert_eq!(
        mend(&b"HTTP/1.1 100 C\r\n\r\n".repeat(5000), false),
        Err(MendError::TooLong)
    );
}

#[test]
fn a_head_that_the_end_cuts_off_counts_as_far_as_it_goes() {
    assert_eq!(mend(b"HTTP/1.1 503 Busy", false), Ok(None));
    let found = mend(b"HTTP/1.1 503 Busy\r\nRetry-After: 5", true)
        .unwrap()
        .unwrap();
    assert_eq!(found.fields, "Retry-After: 5\r\n");
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"HTTP/1.1 200 OK".to_vec()),
        Just(b"ICY 200".to_vec()),
        Just(b"HTTP/1.1 100 C\r\n\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"Content-Length: 5".to_vec()),
        Just(b"Server: boa\r\nContent-Type: x".to_vec()),
        Just(b" fold".to_vec()),
        Just(b"--b".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_mended_or_refused_and_the_body_lies_within(raw in pieces(), ended: bool) {
        if let Ok(Some(found)) = mend(&raw, ended) {
            prop_assert!(found.body_at <= raw.len());
            prop_assert!(found.head.starts_with(b"HTTP/1.1 ") && found.head.ends_with(b"\r\n\r\n"));
            prop_assert!(!found.head.contains(&0));
        }
    }

    #[test]
    fn a_head_in_pieces_is_mended_as_if_each_piece_were_looked_at(raw in pieces(), size in 1usize..9) {
        // Junk behind an interim head is told from a status line by what follows it.
        prop_assume!(memchr::memmem::find(&raw, b"100 C").is_none());
        let ends = (1..raw.len().div_ceil(size).max(1)).map(|count| (count * size, false)).chain([(raw.len(), true)]);
        let mut mender = Mender::default();
        let at_each = |(end, ended): (usize, bool)| mend(&raw[..end], ended);
        let now_and_then = |(end, ended): (usize, bool)| mender.mend(&raw[..end], ended);
        let is_done = |found: &Result<_, _>| *found != Ok(None);
        prop_assert_eq!(ends.clone().map(now_and_then).find(is_done), ends.map(at_each).find(is_done));
    }

    #[test]
    fn a_whole_head_is_mended_alike_with_any_body_behind_it(body in prop::collection::vec(any::<u8>(), 0..40)) {
        let raw = b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n";
        let found = mended(&[&raw[..], &body].concat());
        prop_assert_eq!(found, mended(raw));
    }
}
