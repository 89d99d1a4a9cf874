//! The source against real sockets on loopback: one scripted camera a test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use framelog_core::gap::GapReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Tls;
use crate::config::secret::Password;
use crate::source::dial::Stream;
use crate::source::exchange::{self, ExchangeError};
use crate::source::reading::SNAPSHOT_SILENCE;

/// A camera that answers the n-th request, over whatever connection, with the n-th script, and then goes on with the same connection
/// or closes it.
struct Script {
    address: SocketAddr,
    requests: tokio::sync::mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
    open_max: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Then {
    Keep,
    Close,
    Hang,
    Reset,
    /// Sends that a little later.
    More(&'static [u8]),
    /// Sends that when nobody waits for it any more.
    Late(&'static [u8]),
}

type Step = (Vec<u8>, Then);

impl Script {
    async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
        let (connections, open_max) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, max) = (connections.clone(), open_max.clone());
        tokio::spawn(async move {
            let open = Arc::new(AtomicUsize::new(0));
            let steps = Arc::new(tokio::sync::Mutex::new(steps.into_iter()));
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                max.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let (open, steps, sender) = (open.clone(), steps.clone(), sender.clone());
                tokio::spawn(async move {
                    let _ = play(stream, steps, sender).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            requests,
            connections,
            open_max,
        }
    }

    fn camera(&self) -> Camera {
        camera(&format!("http://{}/video?channel=1", self.address))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn request(&mut self) -> String {
        self.requests.try_recv().unwrap()
    }
}

async fn play(
    mut stream: TcpStream,
    steps: Arc<tokio::sync::Mutex<std::vec::IntoIter<Step>>>,
    sender: tokio::sync::mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
        let Some((answer, then)) = steps.lock().await.next() else {
            return Ok(());
        };
        stream.write_all(&answer).await?;
        match then {
            Then::Keep => {}
            Then::Close => return stream.shutdown().await,
            Then::Hang => while stream.read_u8().await.is_ok() {},
            Then::Reset => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                return stream.set_zero_linger();
            }
            Then::Late(rest) => {
                tokio::time::sleep(SNAPSHOT_SILENCE + Duration::from_millis(300)).await;
                stream.write_all(rest).await?;
            }
            Then::More(rest) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.write_all(rest).await?;
            }
        }
    }
}

fn camera(url: &str) -> Camera {
    Camera {
        stall_timeout: Duration::from_millis(400),
        poll_interval: Duration::from_millis(20),
        ..Camera::new("test", CameraUrl::parse(url).unwrap().0)
    }
}

fn with_password(mut camera: Camera) -> Camera {
    camera.username = Some("admin".to_owned());
    camera.password = Some(Password::new("s3cret!".to_owned()));
    camera
}

/// A small JPEG that is whole: one component, one scan, no restart markers.
fn jpeg(mark: u8) -> Vec<u8> {
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', mark];
    jpeg.extend([0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
    jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    jpeg.extend([mark & 0x7f; 300]);
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

fn part(mark: u8) -> Vec<u8> {
    let jpeg = jpeg(mark);
    let head = format!(
        "--b\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: 1700000000.{mark:06}\r\n\r\n",
        jpeg.len()
    );
    [head.as_bytes(), &jpeg, b"\r\n"].concat()
}

fn stream(head: &str, marks: &[u8]) -> Vec<u8> {
    let parts: Vec<u8> = marks.iter().flat_map(|mark| part(*mark)).collect();
    [
        format!("{head}\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n").as_bytes(),
        &parts,
    ]
    .concat()
}

fn snapshot(extra: &str, mark: u8) -> Vec<u8> {
    let jpeg = jpeg(mark);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n{extra}\r\n",
        jpeg.len()
    );
    [head.as_bytes(), &jpeg].concat()
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// Reads to the end; the pictures' marks, and the end.
async fn run(camera: &Camera, memory: &mut Memory) -> (Vec<u8>, Ended) {
    let mut out = Vec::new();
    let ended = run_until(camera, memory, &mut out, usize::MAX).await;
    (marks(&out), ended.expect("an end"))
}

async fn run_until(
    camera: &Camera,
    memory: &mut Memory,
    out: &mut Vec<Delivery>,
    pictures: usize,
) -> Option<Ended> {
    let mut source = match HttpSource::connect(camera, memory).await {
        Ok(source) => source,
        Err(ended) => return Some(ended),
    };
    while marks(out).len() < pictures {
        if let Err(ended) = source.next(memory, out).await {
            return Some(ended);
        }
    }
    None
}

fn marks(out: &[Delivery]) -> Vec<u8> {
    let mark = |delivery: &Delivery| match delivery {
        Delivery::Picture(picture) => {
            let bytes = picture.payload.to_vec();
            assert_eq!(bytes, jpeg(bytes[7]), "byte for byte");
            Some(bytes[7])
        }
        Delivery::Skipped(_) => None,
    };
    out.iter().filter_map(mark).collect()
}

async fn run_steps(steps: Vec<Step>) -> (Vec<u8>, Ended, Script) {
    let script = Script::start(steps).await;
    let (marks, ended) = run(&script.camera(), &mut Memory::default()).await;
    (marks, ended, script)
}

#[tokio::test]
async fn a_stream_is_read_to_its_end() {
    let (marks, ended, mut script) =
        run_steps(vec![(stream("HTTP/1.0 200 OK", &[1, 2, 3]), Then::Close)]).await;
    assert_eq!(
        (marks, ended.reason),
        (vec![1, 2, 3], GapReason::Disconnected)
    );
    let request = script.request();
    assert!(
        request.starts_with("GET /video?channel=1 HTTP/1.1\r\nHost: 127.0.0.1:"),
        "{request}"
    );
    assert!(
        request.contains("\r\nUser-Agent: framelog/")
            && !request.to_lowercase().contains("encoding"),
        "{request}"
    );
}

#[tokio::test]
async fn sloppy_heads_are_mended() {
    for head in [
        "ICY 200 OK",
        "http/1.1 200",
        "RTSP/1.0 200 OK",
        "\r\nHTTP/2.0  200 OK",
        "HTTP/1.1200 OK",
        "Server: boa",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: -1\r\nContent-Length: 7\r\nno colon\r\nA:\0",
    ] {
        let (marks, ended, _) = run_steps(vec![(stream(head, &[1, 2]), Then::Close)]).await;
        assert_eq!(
            (marks, ended.reason),
            (vec![1, 2], GapReason::Disconnected),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_body_without_a_head_is_read() {
    for body in [part(1), jpeg(1)] {
        let (marks, _, _) = run_steps(vec![(body, Then::Close)]).await;
        assert_eq!(marks, [1]);
    }
}

#[tokio::test]
async fn chunks_are_taken_off_under_any_version() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        "HTTP/1.0 200 OK\r\ntransfer-encoding:Chunked",
    ] {
        let body = [part(1), part(2)].concat();
        let mut answer = stream(head, &[]);
        for chunk in body.chunks(100) {
            answer.extend(
                [
                    format!("{:X};x=y\r\n", chunk.len()).as_bytes(),
                    chunk,
                    b"\r\n",
                ]
                .concat(),
            );
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        let (marks, ended, _) = run_steps(vec![(answer, Then::Hang)]).await;
        assert_eq!((marks, ended.reason), (vec![1, 2], GapReason::Disconnected));
    }
}

#[tokio::test]
async fn the_length_of_a_multipart_response_is_ignored() {
    let (marks, _, _) = run_steps(vec![(
        stream("HTTP/1.1 200 OK\r\nContent-Length: 400", &[1, 2, 3]),
        Then::Close,
    )])
    .await;
    assert_eq!(marks, [1, 2, 3]);
}

#[tokio::test]
async fn snapshots_are_polled_over_one_connection() {
    let steps = vec![
        (snapshot("X-Timestamp: 1700000000.5\r\n", 1), Then::Keep),
        (snapshot("", 2), Then::Keep),
        (snapshot("", 3), Then::Keep),
        (
            text("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n"),
            Then::Close,
        ),
    ];
    let script = Script::start(steps).await;
    let mut out = Vec::new();
    let ended = run_until(
        &script.camera(),
        &mut Memory::default(),
        &mut out,
        usize::MAX,
    )
    .await
    .unwrap();
    assert_eq!(
        (marks(&out), ended.reason, ended.retry_after),
        (vec![1, 2, 3], GapReason::Busy, Some(Duration::from_secs(7)))
    );
    assert_eq!(script.connections(), 1);
    let Delivery::Picture(first) = &out[0] else {
        panic!()
    };
    assert_eq!(first.stamp.stamp_us, Some(1_700_000_000_500_000));
}

#[tokio::test]
async fn a_snapshot_that_closes_is_asked_for_again_one_connection_at_a_time() {
    let closing = |mark| {
        [
            &b"HTTP/1.0 200 OK\r\nContent-Type: image/jpg\r\n\r\n"[..],
            &jpeg(mark),
        ]
        .concat()
    };
    let steps = vec![
        (closing(1), Then::Close),
        (closing(2), Then::Close),
        (text("HTTP/1.0 500 No\r\n\r\n"), Then::Close),
    ];
    let (marks, ended, script) = run_steps(steps).await;
    assert_eq!((marks, ended.reason), (vec![1, 2], GapReason::BadResponse));
    assert_eq!(
        (script.connections(), script.open_max.load(Ordering::SeqCst)),
        (3, 1)
    );
}

/// The pictures of such responses to the first requests, and how often the camera was asked until the connection ended.
async fn snapshots(responses: Vec<Step>) -> (Vec<u8>, usize) {
    let count = responses.len();
    let end = (text("HTTP/1.0 500 No\r\n\r\n"), Then::Close);
    let mut script = Script::start([responses, vec![end]].concat()).await;
    let mut camera = script.camera();
    camera.stall_timeout = Duration::from_secs(5);
    let (marks, ended) = run(&camera, &mut Memory::default()).await;
    assert_eq!(ended.reason, GapReason::BadResponse, "{}", ended.detail);
    (0..=count).for_each(|_| assert!(script.request().starts_with("GET ")));
    (marks, count)
}

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

#[tokio::test]
async fn something_before_a_snapshot_or_behind_it_does_not_end_the_polling() {
    let image = "Content-Type: image/jpeg";
    for before in [
        &b"\xef\xbb\xbf"[..],
        b"\0",
        b"<b>Notice</b>: Undefined index in /srv/snap.php on line 3\n",
        b"Content-Type: image/jpeg\r\n\r\n",
    ] {
        let body = |mark| [before, &jpeg(mark)].concat();
        let closed = |mark| (response(image, &body(mark)), Then::Close);
        let announced = |mark| {
            let head = format!("{image}\r\nContent-Length: {}", body(mark).len());
            (response(&head, &body(mark)), Then::Keep)
        };
        let (marks, _) = snapshots(vec![closed(1), announced(2), closed(3)]).await;
        assert_eq!(marks, [1, 2, 3], "{before:?}");
    }
    // Another picture, of which nothing is said.
    let both = [jpeg(1), jpeg(2)].concat();
    let (marks, _) = snapshots(vec![(response(image, &both), Then::Close); 2]).await;
    assert_eq!(marks, [1, 2, 1, 2]);
}

#[tokio::test]
async fn connection_that_is_reset_behind_a_snapshot_does_not_end_the_polling() {
    let reset = |mark| {
        (
            response("Content-Type: image/jpeg", &jpeg(mark)),
            Then::Reset,
        )
    };
    let (marks, _) = snapshots(vec![reset(1), reset(2)]).await;
    assert_eq!(marks, [1, 2]);
}

#[tokio::test]
async fn a_length_of_nothing_in_front_of_pictures_is_not_believed() {
    for length in [0, 1] {
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {length}");
        let closed = |mark| (response(&head, &jpeg(mark)), Then::Close);
        let (marks, _) = snapshots(vec![closed(1), closed(2)]).await;
        assert_eq!(marks, [1, 2], "{length}");
        let head = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}");
        let parts = [part(1), part(2), part(3)].concat();
        let (marks, ended, _) = run_steps(vec![(response(&head, &parts), Then::Close)]).await;
        assert_eq!(
            (marks, ended.reason),
            (vec![1, 2, 3], GapReason::Disconnected)
        );
    }
}

#[tokio::test]
async fn a_picture_behind_a_length_of_nothing_may_take_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let camera = Camera {
        stall_timeout: Duration::from_secs(5),
        ..camera(&url)
    };
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1000]).await.unwrap() > 0);
        let head = response("Content-Type: image/jpeg\r\nContent-Length: 0", b"");
        stream.write_all(&head).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        stream.write_all(&jpeg(1)).await.unwrap();
    };
    let (mut memory, mut out) = (Memory::default(), Vec::new());
    let reading = run_until(&camera, &mut memory, &mut out, 1);
    let (ended, ()) = tokio::join!(reading, serving);
    assert_eq!((marks(&out), ended), (vec![1], None));
}

#[tokio::test]
async fn parts_that_fill_the_announced_length_are_all_there_is() {
    let body = |mark| [part(mark), b"--b--\r\n".to_vec()].concat();
    let kept = |mark| {
        let body = body(mark);
        let head = format!(
            "Content-Type: multipart/x-mixed-replace; boundary=b\r\nContent-Length: {}",
            body.len()
        );
        (response(&head, &body), Then::Keep)
    };
    let (marks, _) = snapshots(vec![kept(1), kept(2)]).await;
    assert_eq!(marks, [1, 2]);
}

#[tokio::test]
async fn answers_of_one_part_each_are_polled_from_the_second_on() {
    let closed = |marks: &[u8]| (stream("HTTP/1.1 200 OK", marks), Then::Close);
    let answers = [&[1][..], &[2], &[3], &[4, 5], &[6], &[7]];
    let script = Script::start(answers.map(closed).to_vec()).await;
    let (camera, mut memory) = (script.camera(), Memory::default());
    for (expected, was_polled) in [(&[1][..], false), (&[2, 3, 4, 5], true), (&[6], false)] {
        let mut source = HttpSource::connect(&camera, &mut memory).await.unwrap();
        let (mut out, mut polled) = (Vec::new(), false);
        let ended = loop {
            match source.next(&mut memory, &mut out).await {
                Ok(()) => polled |= source.is_polled(),
                Err(ended) => break ended,
            }
        };
        assert_eq!((&marks(&out)[..], polled), (expected, was_polled));
        assert_eq!(ended.reason, GapReason::Disconnected);
        assert!(!source.is_polled(), "after a stream");
    }
}

#[tokio::test]
async fn a_stream_that_ends_within_its_second_part_is_none_of_one_part() {
    let mut torn = stream("HTTP/1.1 200 OK", &[1, 2]);
    torn.truncate(torn.len() - 50);
    let script = Script::start(vec![(torn, Then::Close); 3]).await;
    let mut memory = Memory::default();
    for _ in 0..3 {
        let (marks, ended) = run(&script.camera(), &mut memory).await;
        assert_eq!((marks, ended.reason), (vec![1], GapReason::Disconnected));
    }
}

#[tokio::test]
async fn a_status_that_says_that_there_is_no_new_picture_is_no_failure() {
    for status in [
        "204 No Content\r\n\r\n",
        "304 Not Modified\r\n\r\n",
        "304 Not Modified\r\nContent-Length: 5000\r\n\r\n",
        "202 Accepted\r\nContent-Length: 0\r\n\r\n",
        "202 Accepted\r\nContent-Length: 4\r\n\r\nwait",
    ] {
        let none = (text(&format!("HTTP/1.1 {status}")), Then::Keep);
        let picture = |mark| (snapshot("", mark), Then::Keep);
        let (marks, _) = snapshots(vec![picture(1), none.clone(), none.clone(), picture(2)]).await;
        assert_eq!(marks, [1, 2], "{status}");

        // Where none comes at all that is told.
        for first in [vec![], vec![picture(1)]] {
            let (_, ended, _) = run_steps([first, vec![none.clone(); 50]].concat()).await;
            let is_told = [GapReason::Stalled, GapReason::NotVideo].contains(&ended.reason);
            assert!(is_told && ended.detail.contains("picture"), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_picture_among_good_ones_is_a_poll_that_is_missed() {
    let half = &jpeg(9)[..200];
    for (answer, then) in [
        (response("Content-Length: 0", b""), Then::Keep),
        (response("Content-Length: 0", b""), Then::Close),
        (response("Content-Type: image/jpeg", b""), Then::Close),
        (
            response("Content-Type: text/html\r\nContent-Length: 4", b"busy"),
            Then::Keep,
        ),
        (
            response("Content-Type: text/html", &[b'x'; 100_000]),
            Then::Hang,
        ),
        (response("Content-Type: image/jpeg", half), Then::Close),
        (response("Content-Type: image/jpeg", half), Then::Reset),
    ] {
        let picture = |mark| (snapshot("", mark), Then::Keep);
        let (marks, _) = snapshots(vec![picture(1), (answer, then), picture(2)]).await;
        assert_eq!(marks, [1, 2]);
    }
}

#[tokio::test]
async fn a_picture_that_comes_too_late_for_its_poll_does_not_end_the_polling() {
    let late: &'static [u8] = jpeg(9).leak();
    let missed = response("Content-Type: image/jpeg\r\nContent-Length: 0", b"");
    let script = Script::start(vec![
        (snapshot("", 1), Then::Keep),
        (missed, Then::Late(late)),
        (snapshot("", 2), Then::Keep),
    ])
    .await;
    let camera = Camera {
        stall_timeout: Duration::from_secs(20),
        poll_interval: Duration::from_secs(2),
        ..script.camera()
    };
    let (mut memory, mut out) = (Memory::default(), Vec::new());
    let ended = run_until(&camera, &mut memory, &mut out, 2).await;
    assert_eq!((marks(&out), ended), (vec![1, 2], None));
    assert_eq!(script.connections(), 2);
}

#[tokio::test]
async fn text_is_logged_once_for_all_polls() {
    let page = [
        b"--b\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbusy\r\n".to_vec(),
        part(1),
        b"--b--\r\n".to_vec(),
    ]
    .concat();
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=b";
    let head = format!("{kind}\r\nContent-Length: {}", page.len());
    let answer = (response(&head, &page), Then::Keep);
    let script = Script::start(vec![answer; 2]).await;
    let camera = Camera {
        stall_timeout: Duration::from_secs(20),
        ..script.camera()
    };
    let lines = Lines::default();
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || written.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (mut memory, mut out) = (Memory::default(), Vec::new());
    run_until(&camera, &mut memory, &mut out, 2).await;
    assert_eq!(marks(&out), [1, 1]);
    let lines = lines.0.lock().unwrap();
    let text = String::from_utf8_lossy(&lines);
    assert_eq!(text.matches("camera sent text").count(), 1, "{text}");
}

/// What is logged.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How a camera ends that answers with one picture and then with a page each time, and how often it is asked. It stalls after 400 ms.
async fn only_pages_after_a_snapshot(poll_interval: Duration) -> (Ended, usize) {
    let page = response("Content-Type: text/html", b"busy");
    let pages = vec![(page, Then::Close); 200];
    let script = Script::start([vec![(snapshot("", 1), Then::Keep)], pages].concat()).await;
    let camera = Camera {
        poll_interval,
        ..script.camera()
    };
    let (marks, ended) = run(&camera, &mut Memory::default()).await;
    assert_eq!(marks, [1]);
    (ended, script.requests.len())
}

#[tokio::test]
async fn polls_are_missed_until_the_stall() {
    let (ended, asked) = only_pages_after_a_snapshot(Duration::from_millis(50)).await;
    assert_eq!(ended.reason, GapReason::NotVideo, "{}", ended.detail);
    assert!((3..=12).contains(&asked), "{asked}");
}

#[tokio::test]
async fn no_poll_is_missed_where_the_next_is_later_than_the_stall() {
    let (ended, asked) = only_pages_after_a_snapshot(Duration::from_millis(500)).await;
    assert_eq!((ended.reason, asked), (GapReason::NotVideo, 2));
}

#[tokio::test]
async fn what_is_called_chunked_and_is_not_is_read_whenever_it_comes() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = [part(1), part(2), b"--b".to_vec()].concat();
    for before in ["", "\r\n"] {
        let body: &'static [u8] = [before.as_bytes(), &body].concat().leak();
        for step in [
            (text(head), Then::More(body)),
            ([head.as_bytes(), body].concat(), Then::Hang),
        ] {
            let (marks, _, _) = run_steps(vec![step]).await;
            assert_eq!(marks, [1, 2]);
        }
    }
}

#[tokio::test]
async fn a_chunked_body_is_known_as_one_however_it_is_cut() {
    let body = [part(1), part(2), b"--b".to_vec()].concat();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = [
        format!("{:x}\r\n", body.len()).as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    for cut in 1..8 {
        let (first, rest) = chunked.split_at(cut);
        let step = (
            [head.as_bytes(), first].concat(),
            Then::More(rest.to_vec().leak()),
        );
        let (marks, _, _) = run_steps(vec![step]).await;
        assert_eq!(marks, [1, 2], "{cut}");
    }
}

/// In chunks of so many bytes, and the last one.
fn chunks(body: &[u8], bytes: usize) -> Vec<u8> {
    let chunk = |data: &[u8]| [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
    [
        body.chunks(bytes).flat_map(chunk).collect(),
        b"0\r\n\r\n".to_vec(),
    ]
    .concat()
}

#[tokio::test]
async fn chunks_that_nobody_declared_are_taken_off_however_they_are_cut() {
    let body = [part(1), part(2), b"--b".to_vec()].concat();
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=b";
    for bytes in [1, 37, 1_000] {
        let once = chunks(&body, bytes);
        for (head, body) in [
            (kind.to_owned(), once.clone()),
            (
                format!("{kind}\r\nTransfer-Encoding: chunked"),
                chunks(&once, 100),
            ),
            (
                format!("{kind}\r\nTransfer-Encoding: chunked"),
                chunks(&once, 3),
            ),
        ] {
            for cut in [0, 1, 2, 5, 50, 500] {
                let (first, rest) = body.split_at(cut);
                let step = (response(&head, first), Then::More(rest.to_vec().leak()));
                let (marks, ended, _) = run_steps(vec![step]).await;
                assert_eq!(marks, [1, 2], "{head}, {bytes}, {cut}: {}", ended.detail);
                assert_eq!(
                    ended.detail.split(": ").last().unwrap(),
                    "the response ended after 2 pictures"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_came_before_chunks_that_can_t_be_followed_is_kept() {
    let declared =
        "Content-Type: multipart/x-mixed-replace; boundary=b\r\nTransfer-Encoding: chunked";
    let whole = chunks(&[part(1), part(2)].concat(), 1_000);
    let garbled = [whole.strip_suffix(b"0\r\n\r\n").unwrap(), b"zzz\r\n"].concat();
    let (marks, ended, _) = run_steps(vec![(response(declared, &garbled), Then::Hang)]).await;
    assert_eq!((marks, ended.reason), (vec![1, 2], GapReason::BadResponse));
    // The only words of a camera may be digits.
    let answer = (response(declared, &chunks(b"dead", 4)), Then::Hang);
    let (_, ended, _) = run_steps(vec![answer]).await;
    assert!(
        ended.detail.contains("begins with \"dead\""),
        "{}",
        ended.detail
    );
}

#[tokio::test]
async fn snapshots_in_chunks_that_nobody_declared_are_polled_over_one_connection() {
    let picture = |mark| response("Content-Type: image/jpeg", &chunks(&jpeg(mark), 100));
    let steps = vec![
        (picture(1), Then::Keep),
        (picture(2), Then::Keep),
        (text("HTTP/1.1 500 No\r\n\r\n"), Then::Close),
    ];
    let (marks, _, script) = run_steps(steps).await;
    assert_eq!((marks, script.connections()), (vec![1, 2], 1));
}

#[tokio::test]
async fn a_redirect_holds_for_one_picture_unless_it_is_for_good() {
    let to = |status: &str, location: &str| {
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n");
        (text(&head), Then::Keep)
    };
    let picture = |mark| (snapshot("", mark), Then::Keep);
    let steps = vec![
        to("302 Found", "/img0001.jpg"),
        picture(1),
        to("307 Temporary Redirect", "/img?ticket=2"),
        picture(2),
        to("301 Moved Permanently", "/snap"),
        picture(3),
        picture(4),
        (text("HTTP/1.0 500 No\r\n\r\n"), Then::Close),
    ];
    let mut script = Script::start(steps).await;
    let (marks, _) = run(&script.camera(), &mut Memory::default()).await;
    assert_eq!(marks, [1, 2, 3, 4]);
    let asked: Vec<String> = (0..8)
        .map(|_| script.request().split(' ').nth(1).unwrap().to_owned())
        .collect();
    let home = "/video?channel=1";
    assert_eq!(
        asked,
        [
            home,
            "/img0001.jpg",
            home,
            "/img?ticket=2",
            home,
            "/snap",
            "/snap",
            "/snap"
        ]
    );
}

#[tokio::test]
async fn a_kept_connection_that_was_given_up_before_the_request_came_is_replaced_silently() {
    let timed_out = text("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    for given_up in [Vec::new(), timed_out] {
        let steps = vec![
            (snapshot("", 1), Then::Keep),
            (given_up, Then::Close),
            (snapshot("", 2), Then::Keep),
            (text("HTTP/1.1 404 No\r\n\r\n"), Then::Close),
        ];
        let (marks, ended, script) = run_steps(steps).await;
        assert_eq!((marks, ended.reason), (vec![1, 2], GapReason::BadResponse));
        assert_eq!(script.connections(), 2);
    }
}

#[tokio::test]
async fn pictures_after_the_announced_one_are_a_sequence() {
    let steps = vec![([snapshot("", 1), jpeg(2), jpeg(3)].concat(), Then::Close)];
    let (marks, ended, script) = run_steps(steps).await;
    assert_eq!(
        (marks, ended.reason, script.connections()),
        (vec![1, 2, 3], GapReason::Disconnected, 1)
    );
}

#[tokio::test]
async fn line_ends_without_end_behind_a_snapshot_end_its_connection() {
    let answer = [snapshot("", 1), b"\r\n".repeat(1 << 20)].concat();
    let script = Script::start(vec![(answer, Then::Hang)]).await;
    let camera = Camera {
        poll_interval: Duration::from_secs(3600),
        ..script.camera()
    };
    let mut memory = Memory::default();
    let mut source = HttpSource::connect(&camera, &mut memory).await.unwrap();
    let mut out = Vec::new();
    while !matches!(source.state, State::Waiting(_)) {
        source.next(&mut memory, &mut out).await.unwrap();
    }
    assert_eq!(marks(&out), [1]);
    let State::Waiting(waiting) = &mut source.state else {
        panic!()
    };
    let _ = timeout_at(Instant::now() + Duration::from_secs(2), waiting.listen()).await;
    assert!(waiting.body.is_none() && waiting.beginning.is_empty());
}

#[tokio::test]
async fn a_camera_that_floods_gives_others_their_turn() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let flood = std::thread::spawn(move || {
        let (mut camera, _) = listener.accept().unwrap();
        let fields = "X-Field: abcdefghijklmnop\r\n".repeat(2_000);
        let head = stream("HTTP/1.0 200 OK", &[1]);
        std::io::Write::write_all(&mut camera, &head).unwrap();
        while std::io::Write::write_all(&mut camera, fields.as_bytes()).is_ok() {}
    });
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let camera = Camera {
        stall_timeout: Duration::from_secs(3600),
        ..camera(&url)
    };
    let mut memory = Memory::default();
    let mut source = HttpSource::connect(&camera, &mut memory).await.unwrap();
    let (mut out, mut last, mut without_turn, mut most) = (Vec::new(), 0, 0, 0);
    for _ in 0..200 {
        source.next(&mut memory, &mut out).await.unwrap();
        let now = turns.load(Ordering::SeqCst);
        without_turn = if now == last { without_turn + 1 } else { 0 };
        (last, most) = (now, most.max(without_turn));
    }
    assert!(most <= 2, "{most} rounds on end");
    drop(source);
    flood.join().unwrap();
}

#[tokio::test]
async fn an_error_in_place_of_a_snapshot_is_not_video() {
    let json = r#"[{"cmd":"Snap","error":{"detail":"please login first s3cret!"}}]"#;
    for (kind, then) in [("image/jpeg", Then::Keep), ("text/html", Then::Close)] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        );
        let script = Script::start(vec![(text(&answer), then)]).await;
        let (_, ended) = run(&with_password(script.camera()), &mut Memory::default()).await;
        assert_eq!(ended.reason, GapReason::NotVideo);
        assert!(
            ended.detail.contains("please login first ***") && !ended.detail.contains("s3cret"),
            "{}",
            ended.detail
        );
    }
    let (_, ended, _) = run_steps(vec![(text("HTTP/1.1 200 OK\r\n\r\n"), Then::Close)]).await;
    assert_eq!(ended.reason, GapReason::NotVideo);
}

#[tokio::test]
async fn a_multipart_that_can_have_no_body_is_told_at_once() {
    let multipart = "Content-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";
    for status in ["304 Not Modified", "204 No Content"] {
        let answer = text(&format!("HTTP/1.1 {status}\r\n{multipart}"));
        let script = Script::start(vec![(answer.clone(), Then::Hang)]).await;
        let mut camera = script.camera();
        camera.stall_timeout = Duration::from_secs(10);
        let began = Instant::now();
        let (_, ended) = run(&camera, &mut Memory::default()).await;
        assert_eq!(ended.reason, GapReason::NotVideo);
        assert!(ended.detail.contains("is empty"), "{}", ended.detail);
        assert!(began.elapsed() < Duration::from_secs(5), "{status}");
        // It may say so, and send pictures all the same.
        let pictures = stream(&format!("HTTP/1.1 {status}"), &[1, 2]);
        let script = Script::start(vec![(pictures, Then::Close)]).await;
        let (marks, _) = run(&script.camera(), &mut Memory::default()).await;
        assert_eq!(marks, [1, 2], "{status}");
    }
}

#[tokio::test]
async fn text_that_may_be_the_size_of_a_chunk_is_told_when_the_stall_comes() {
    for answer in [
        "",
        "Content-Type: image/jpeg\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let answer = text(&format!("HTTP/1.1 200 OK\r\n{answer}\r\ndeadbeef"));
        let script = Script::start(vec![(answer, Then::Hang)]).await;
        let mut camera = script.camera();
        camera.stall_timeout = Duration::from_secs(1);
        let (_, ended) = run(&camera, &mut Memory::default()).await;
        assert_eq!(ended.reason, GapReason::NotVideo, "{}", ended.detail);
        assert!(ended.detail.contains("\"deadbeef\""), "{}", ended.detail);
    }
}

#[tokio::test]
async fn what_comes_in_place_of_pictures_is_told_without_its_bytes() {
    let video = b"\0\0\0\x01gd\0\x1f\xac\xd9\x40\xa0\x2f\xf9";
    let parts = |head: &str| [format!("--b\r\n{head}\r\n").as_bytes(), video, b"\r\n"].concat();
    let multipart = "Content-Type: multipart/x-mixed-replace; boundary=b";
    for (head, body, told) in [
        (
            multipart,
            parts("Content-Type: video/h264\r\n").repeat(3),
            "its parts are \"video/h264\", not JPEG;",
        ),
        (
            multipart,
            parts("Content-Type: image/jpeg\r\n"),
            "begins with \"--b\\r\\nContent-Type: image/jpeg\";",
        ),
        (
            "Content-Type: image/bmp",
            [b"BM", video.as_slice()].concat(),
            "is \"image/bmp\", not JPEG;",
        ),
        (
            multipart,
            parts("Content-Type: image/png\r\n").repeat(3),
            "its parts are \"image/png\", not JPEG;",
        ),
        (
            "Content-Type: video/mp4",
            video.to_vec(),
            "is \"video/mp4\", not JPEG;",
        ),
        (
            "Content-Type: image/jpeg",
            video.to_vec(),
            "begins with the bytes [00, 00, 00, 01, 67, 64, 00, 1f];",
        ),
        (
            multipart,
            video.to_vec(),
            "begins with the bytes [00, 00, 00, 01, 67, 64, 00, 1f];",
        ),
    ] {
        let (_, ended, _) = run_steps(vec![(response(head, &body), Then::Close)]).await;
        assert_eq!(ended.reason, GapReason::NotVideo);
        assert!(ended.detail.contains(told), "{}", ended.detail);
    }
}

#[tokio::test]
async fn types_are_told_without_secrets_and_not_at_any_length() {
    let video = b"\0\0\0\x01gd\0\x1f\xac\xd9\x40\xa0\x2f\xf9";
    let kind = format!("Content-Type: video/S3CRET!{}", "x".repeat(5_000));
    let part = [format!("--b\r\n{kind}\r\n\r\n").as_bytes(), video, b"\r\n"].concat();
    let multipart = "Content-Type: multipart/x-mixed-replace; boundary=b";
    for (head, body, told) in [
        (multipart, part.repeat(3), "its parts are \"video/***xxx"),
        (kind.as_str(), video.to_vec(), "is \"video/***xxx"),
    ] {
        let script = Script::start(vec![(response(head, &body), Then::Close)]).await;
        let camera = with_password(script.camera());
        let (_, ended) = run(&camera, &mut Memory::default()).await;
        assert!(ended.detail.contains(told), "{}", ended.detail);
        assert!(ended.detail.len() < 300, "{}", ended.detail);
    }
}

#[tokio::test]
async fn a_page_without_end_is_not_video() {
    let page = [
        &b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"[..],
        &b"<p>hello</p>\n".repeat(10_000),
    ]
    .concat();
    let (_, ended, _) = run_steps(vec![(page, Then::Hang)]).await;
    assert_eq!(ended.reason, GapReason::NotVideo);
    assert!(ended.detail.contains("<p>hello</p>"), "{}", ended.detail);
}

#[tokio::test]
async fn silence_is_a_stall_and_empty_parts_are_no_progress() {
    let (marks, ended, _) = run_steps(vec![(stream("HTTP/1.1 200 OK", &[1]), Then::Hang)]).await;
    assert_eq!((marks, ended.reason), (vec![1], GapReason::Stalled));
    let empty = [
        stream("HTTP/1.1 200 OK", &[]),
        b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n\r\n".repeat(20),
    ]
    .concat();
    let (_, ended, _) = run_steps(vec![(empty, Then::Hang)]).await;
    assert_eq!(ended.reason, GapReason::NotVideo);
    let (_, ended, _) = run_steps(vec![(stream("HTTP/1.1 200 OK", &[]), Then::Hang)]).await;
    assert_eq!(ended.reason, GapReason::Stalled);
}

#[tokio::test]
async fn a_head_that_trickles_is_silence() {
    let script = Script::start(vec![(text("HTTP/1.1 200 OK\r\nX: "), Then::Hang)]).await;
    let url = script.camera().url;
    let stream = Stream::dial(&url, &Tls::Verify).await.unwrap();
    let request = exchange::get(&url, exchange::wire_target(&url.target), None);
    let ended = exchange::exchange(stream, request, Duration::from_millis(50)).await;
    assert!(matches!(ended, Err(ExchangeError::Silent(_))), "{ended:?}");
}

#[tokio::test]
async fn statuses_have_their_reasons() {
    for (status, reason) in [
        ("401 No", GapReason::Unauthorized),
        ("403 No", GapReason::Unauthorized),
        ("406 Privacy", GapReason::Busy),
        ("429 Slow", GapReason::Busy),
        ("503 Busy", GapReason::Busy),
        ("404 None", GapReason::BadResponse),
        ("500 Oops", GapReason::BadResponse),
        ("302 Found", GapReason::BadResponse),
        ("99 What", GapReason::BadResponse),
        ("204 Nothing", GapReason::NotVideo),
    ] {
        let (_, ended, _) = run_steps(vec![(
            text(&format!("HTTP/1.1 {status}\r\n\r\n")),
            Then::Close,
        )])
        .await;
        assert_eq!(ended.reason, reason, "{status}: {}", ended.detail);
    }
    let no_path = text("HTTP/1.1 404 None\r\n\r\n");
    let (_, ended, _) = run_steps(vec![(no_path, Then::Close)]).await;
    let told = "answered \"HTTP/1.1 404 None\": check the path in url";
    assert!(ended.detail.ends_with(told), "{}", ended.detail);
    let (_, ended, _) = run_steps(vec![(Vec::new(), Then::Close)]).await;
    assert_eq!(ended.reason, GapReason::Disconnected);
    assert!(
        ended
            .detail
            .contains("closed the connection before it answered"),
        "{}",
        ended.detail
    );
    let (_, ended, _) = run_steps(vec![(text("SSH-2.0-x\r\n"), Then::Close)]).await;
    assert_eq!(ended.reason, GapReason::BadResponse);
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for url in [url.as_str(), "http://camera.invalid/"] {
        let (_, ended) = run(&camera(url), &mut Memory::default()).await;
        assert_eq!(ended.reason, GapReason::Unreachable, "{}", ended.detail);
    }
}

const DIGEST: &str = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"cam\" nonce=\"";

fn challenge(nonce: &str, extra: &str) -> Vec<u8> {
    text(&format!(
        "{DIGEST}{nonce}\", qop=\"auth\", algorithm=md5\r\nContent-Length: 2\r\n{extra}\r\nno"
    ))
}

#[tokio::test]
async fn a_challenge_is_answered_and_remembered() {
    let steps = vec![
        (challenge("n1", ""), Then::Keep),
        (stream("HTTP/1.1 200 OK", &[1]), Then::Close),
        (stream("HTTP/1.1 200 OK", &[2, 3]), Then::Close),
    ];
    let mut script = Script::start(steps).await;
    let mut memory = Memory::default();
    let camera = with_password(script.camera());
    assert_eq!(run(&camera, &mut memory).await.0, [1]);
    assert_eq!(run(&camera, &mut memory).await.0, [2, 3]);
    assert_eq!(script.connections(), 2);
    assert!(!script.request().contains("Authorization"));
    let second = script.request();
    assert!(
        second.contains("Authorization: Digest username=\"admin\"")
            && second.contains("nonce=\"n1\""),
        "{second}"
    );
    assert!(
        second.contains("uri=\"/video?channel=1\"") && second.contains("nc=00000001"),
        "{second}"
    );
    assert!(script.request().contains("nc=00000002"));
    assert!(!format!("{memory:?}").contains("s3cret"));
}

#[tokio::test]
async fn no_use_of_a_nonce_has_the_count_of_another() {
    let counts = |script: &mut Script| -> Vec<u8> {
        let requests = std::iter::from_fn(|| script.requests.try_recv().ok());
        let count =
            |request: String| Some(request.split_once("nc=0000000")?.1.as_bytes()[0] - b'0');
        requests.filter_map(count).collect()
    };
    // A request that is sent again because its connection was given up may have come all the same.
    let steps = vec![
        (challenge("n", ""), Then::Keep),
        (snapshot("", 1), Then::Keep),
        (Vec::new(), Then::Close),
        (snapshot("", 2), Then::Keep),
        (text("HTTP/1.1 404 No\r\n\r\n"), Then::Close),
    ];
    let mut script = Script::start(steps).await;
    run(&with_password(script.camera()), &mut Memory::default()).await;
    assert_eq!(counts(&mut script), [1, 2, 3, 4]);

    // Two hashes, one nonce.
    let both = challenge(
        "n",
        "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n",
    );
    let steps = vec![
        (both.clone(), Then::Keep),
        (both, Then::Keep),
        (snapshot("", 1), Then::Keep),
    ];
    let mut script = Script::start(steps).await;
    let camera = with_password(script.camera());
    let (mut memory, mut out) = (Memory::default(), Vec::new());
    let ended = run_until(&camera, &mut memory, &mut out, 1).await;
    assert_eq!((marks(&out), ended), (vec![1], None));
    assert_eq!(counts(&mut script), [1, 2]);
}

#[tokio::test]
async fn a_challenge_under_another_status_is_answered_once() {
    for status in ["403 Forbidden", "407 No"] {
        let asked = text(&format!(
            "HTTP/1.1 {status}\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"n\"\r\nContent-Length: 0\r\n\r\n"
        ));
        let steps = vec![
            (asked.clone(), Then::Keep),
            (stream("HTTP/1.1 200 OK", &[1]), Then::Close),
        ];
        let script = Script::start(steps).await;
        let camera = with_password(script.camera());
        assert_eq!(
            run(&camera, &mut Memory::default()).await.0,
            [1],
            "{status}"
        );

        let script = Script::start(vec![(asked, Then::Keep); 9]).await;
        let camera = with_password(script.camera());
        let (_, ended) = run(&camera, &mut Memory::default()).await;
        assert_eq!(
            (ended.reason, script.requests.len()),
            (GapReason::Unauthorized, 2),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_403_that_asks_for_nothing_is_answered_by_basic_once() {
    answered_by_basic_once("403 Forbidden", "check username, and what it may see").await;
}

#[tokio::test]
async fn a_401_that_asks_for_nothing_is_answered_by_basic_once() {
    answered_by_basic_once("401 No", "it refused username and password").await;
}

async fn answered_by_basic_once(status: &str, told: &str) {
    let asked = text(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    let steps = vec![
        (asked.clone(), Then::Keep),
        (stream("HTTP/1.1 200 OK", &[1]), Then::Close),
    ];
    let mut script = Script::start(steps).await;
    let camera = with_password(script.camera());
    assert_eq!(run(&camera, &mut Memory::default()).await.0, [1]);
    assert!(!script.request().contains("Authorization"));
    assert!(script.request().contains("Authorization: Basic "));

    // What was not asked for is not sent at once again after it was refused.
    let mut script = Script::start(vec![(asked.clone(), Then::Keep); 4]).await;
    let camera = with_password(script.camera());
    let mut memory = Memory::default();
    for _ in 0..2 {
        run(&camera, &mut memory).await;
        assert!(!script.request().contains("Authorization"));
        assert!(script.request().contains("Authorization: Basic "));
    }

    // Not behind a Digest answer either: the password would be tried once more, and in the clear.
    for first in [asked.clone(), challenge("n", "")] {
        let steps = [
            vec![(first, Then::Keep)],
            vec![(asked.clone(), Then::Keep); 9],
        ];
        let script = Script::start(steps.concat()).await;
        let camera = with_password(script.camera());
        let (_, ended) = run(&camera, &mut Memory::default()).await;
        assert_eq!(
            (ended.reason, script.requests.len()),
            (GapReason::Unauthorized, 2)
        );
        assert!(ended.detail.contains(told), "{}", ended.detail);
    }
}

#[tokio::test]
async fn who_once_asked_for_a_digest_never_gets_the_password_in_the_clear() {
    let bare = text("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
    let steps = [
        vec![(challenge("n", ""), Then::Keep)],
        vec![(bare, Then::Keep); 9],
    ];
    let mut script = Script::start(steps.concat()).await;
    let camera = with_password(script.camera());
    let mut memory = Memory::default();
    for _ in 0..3 {
        let (_, ended) = run(&camera, &mut memory).await;
        assert_eq!(ended.reason, GapReason::Unauthorized);
    }
    assert_eq!(script.requests.len(), 4);
    for _ in 0..4 {
        assert!(!script.request().contains("Basic"));
    }
}

#[tokio::test]
async fn a_challenge_that_can_t_be_read_is_told_as_it_came() {
    let asked = "HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=\"cam, nonce=\"n\"\r\n\r\n";
    let script = Script::start(vec![(text(asked), Then::Close)]).await;
    let (_, ended) = run(&with_password(script.camera()), &mut Memory::default()).await;
    assert!(
        ended
            .detail
            .ends_with("asks for neither Basic nor a Digest that is known here (\"Digest realm=\"cam, nonce=\"n\"\")"),
        "{}",
        ended.detail
    );
}

#[tokio::test]
async fn a_stale_nonce_is_answered_once_more_and_no_further() {
    let steps = vec![
        (challenge("n1", "Connection: close\r\n"), Then::Close),
        (challenge("n2", "Connection: close\r\n"), Then::Close),
        (stream("HTTP/1.1 200 OK", &[1]), Then::Close),
    ];
    let script = Script::start(steps).await;
    assert_eq!(
        run(&with_password(script.camera()), &mut Memory::default())
            .await
            .0,
        [1]
    );
    assert_eq!(
        (script.connections(), script.open_max.load(Ordering::SeqCst)),
        (3, 1)
    );

    let mut script = Script::start(
        (0..9)
            .map(|n| (challenge(&format!("n{n}"), ""), Then::Keep))
            .collect(),
    )
    .await;
    let (_, ended) = run(&with_password(script.camera()), &mut Memory::default()).await;
    assert_eq!(ended.reason, GapReason::Unauthorized);
    assert!(!ended.detail.contains("s3cret"));
    let requests = std::iter::from_fn(|| script.requests.try_recv().ok()).count();
    assert_eq!(requests, 3);

    let mut script = Script::start(
        (0..9)
            .map(|_| (challenge("same", ""), Then::Keep))
            .collect(),
    )
    .await;
    run(&with_password(script.camera()), &mut Memory::default()).await;
    assert_eq!(
        std::iter::from_fn(|| script.requests.try_recv().ok()).count(),
        2
    );
}

#[tokio::test]
async fn a_refusal_of_credentials_that_worked_is_busy_twice_and_then_unauthorized() {
    let mut steps = vec![
        (challenge("n", ""), Then::Keep),
        (stream("HTTP/1.1 200 OK", &[1]), Then::Close),
    ];
    steps.extend((0..20).map(|_| (challenge("n", "Connection: close\r\n"), Then::Close)));
    let script = Script::start(steps).await;
    let mut memory = Memory::default();
    let camera = with_password(script.camera());
    let mut reasons = Vec::new();
    for _ in 0..4 {
        reasons.push(run(&camera, &mut memory).await.1.reason);
    }
    assert_eq!(
        reasons,
        [
            GapReason::Disconnected,
            GapReason::Busy,
            GapReason::Busy,
            GapReason::Unauthorized
        ]
    );
}

#[tokio::test]
async fn redirects_are_followed_but_loops_end() {
    let to = |location: &str| {
        (
            text(&format!(
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            )),
            Then::Keep,
        )
    };
    let mut script = Script::start(vec![
        to("other stream?a=b"),
        to("/third"),
        (stream("HTTP/1.1 200 OK", &[1]), Then::Close),
    ])
    .await;
    assert_eq!(run(&script.camera(), &mut Memory::default()).await.0, [1]);
    assert_eq!(script.connections(), 1);
    script.request();
    assert!(
        script
            .request()
            .starts_with("GET /other%20stream?a=b HTTP/1.1\r\n")
    );

    let (_, ended, _) = run_steps((0..30).map(|_| to("/again")).collect()).await;
    assert_eq!(ended.reason, GapReason::BadResponse);
    let (_, ended, script) = run_steps((0..30).map(|n| to(&format!("/{n}"))).collect()).await;
    assert_eq!(
        (ended.reason, script.requests.len()),
        (GapReason::BadResponse, 11)
    );
}

#[tokio::test]
async fn a_loop_for_the_sake_of_a_cookie_is_told() {
    let again =
        "HTTP/1.1 302 Found\r\nLocation: /video\r\nSet-Cookie: id=1\r\nContent-Length: 0\r\n\r\n";
    let (_, ended, _) = run_steps(vec![(text(again), Then::Keep); 9]).await;
    assert_eq!(ended.reason, GapReason::BadResponse);
    assert!(
        ended.detail.contains("it sets a cookie"),
        "{}",
        ended.detail
    );
}

#[tokio::test]
async fn credentials_never_follow_a_redirect_to_another_host() {
    let mut stranger = Script::start(vec![(challenge("n", ""), Then::Keep)]).await;
    let location = format!("http://{}/x?token=abc", stranger.address);
    let moved = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let home = Script::start(vec![
        (challenge("m", ""), Then::Keep),
        (text(&moved), Then::Keep),
    ])
    .await;
    let (_, ended) = run(&with_password(home.camera()), &mut Memory::default()).await;
    assert_eq!(ended.reason, GapReason::Unauthorized);
    assert!(!ended.detail.contains("abc"), "{}", ended.detail);
    assert!(!stranger.request().contains("Authorization"));
}

#[tokio::test]
async fn a_403_that_asks_for_nothing_gets_no_credentials_behind_a_redirect_to_another_host() {
    let refused = text("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let mut stranger = Script::start(vec![(refused, Then::Keep); 2]).await;
    let location = format!("http://{}/x", stranger.address);
    let moved = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let home = Script::start(vec![(text(&moved), Then::Keep)]).await;
    let (_, ended) = run(&with_password(home.camera()), &mut Memory::default()).await;
    assert_eq!(ended.reason, GapReason::Unauthorized);
    assert!(!stranger.request().contains("Authorization"));
    assert_eq!(stranger.requests.len(), 0, "it was asked once");
}

#[tokio::test]
async fn a_sequence_may_begin_late_and_in_pieces() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut camera = camera(&format!("http://{}/", listener.local_addr().unwrap()));
    camera.poll_interval = Duration::from_secs(60);
    let mut memory = Memory::default();
    let mut out = Vec::new();
    let connecting = HttpSource::connect(&camera, &mut memory);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1000]).await.unwrap() > 0);
        stream.write_all(&snapshot("", 1)).await.unwrap();
        stream
    };
    let (source, mut stream) = tokio::join!(connecting, serving);
    let mut source = source.unwrap();
    while marks(&out).is_empty() {
        source.next(&mut memory, &mut out).await.unwrap();
    }
    let next = jpeg(2);
    stream.write_all(b"\r\n\xff").await.unwrap();
    assert!(
        tokio::time::timeout(
            Duration::from_millis(30),
            source.next(&mut memory, &mut out)
        )
        .await
        .is_err()
    );
    stream.write_all(&next[1..]).await.unwrap();
    drop(stream);
    while source.next(&mut memory, &mut out).await.is_ok() {}
    assert_eq!(marks(&out), [1, 2]);
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_picture_is_disconnected() {
    let mut torn = stream("HTTP/1.1 200 OK", &[1, 2]);
    torn.truncate(torn.len() - 50);
    let (marks, ended, _) = run_steps(vec![(torn, Then::Close)]).await;
    assert_eq!((marks, ended.reason), (vec![1], GapReason::Disconnected));
}

/// A camera with a certificate of its own, which sends one picture to each who asks. The certificate's fingerprint too.
async fn tls_camera() -> (String, [u8; 32]) {
    use sha2::Digest;
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let fingerprint = sha2::Sha256::digest(&certificate).into();
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(crate::source::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut tls) = acceptor.accept(tcp).await {
                let _ = tls.write_all(&stream("HTTP/1.1 200 OK", &[1, 2])).await;
                let _ = tls.shutdown().await;
            }
        }
    });
    (url, fingerprint)
}

#[tokio::test]
async fn certificates_are_verified_pinned_or_accepted() {
    let (url, fingerprint) = tls_camera().await;
    let with = |tls| Camera {
        tls,
        ..camera(&url)
    };
    for tls in [Tls::Accept, Tls::Pin(fingerprint)] {
        assert_eq!(run(&with(tls), &mut Memory::default()).await.0, [1, 2]);
    }
    for tls in [Tls::Verify, Tls::Pin([7; 32])] {
        let (_, ended) = run(&with(tls), &mut Memory::default()).await;
        let hex: String = fingerprint
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(ended.reason, GapReason::Unreachable);
        assert!(ended.detail.contains(&hex), "{}", ended.detail);
    }
    let source = HttpSource::connect(&with(Tls::Pin(fingerprint)), &mut Memory::default())
        .await
        .unwrap();
    assert_eq!(source.head().tls, Some("pinned"));
}

#[tokio::test]
async fn ipv6_is_dialled_and_named_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let camera = camera(&format!("http://[::1]:{port}/"));
    let mut memory = Memory::default();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 1000];
        let length = stream.read(&mut request).await.unwrap();
        request.truncate(length);
        stream
            .write_all(&super::tests::stream("HTTP/1.1 200 OK", &[1]))
            .await
            .unwrap();
        String::from_utf8(request).unwrap()
    };
    let (request, (marks, _)) = tokio::join!(serving, run(&camera, &mut memory));
    assert_eq!(marks, [1]);
    assert!(
        request.contains(&format!("Host: [::1]:{port}\r\n")),
        "{request}"
    );
}

#[tokio::test]
async fn the_head_is_told_for_people() {
    let script = Script::start(vec![(
        stream("ICY 200 OK\r\nServer: cam\x1b[31m", &[1]),
        Then::Close,
    )])
    .await;
    let source = HttpSource::connect(&script.camera(), &mut Memory::default())
        .await
        .unwrap();
    let head = source.head();
    assert_eq!(
        (head.status_line.as_str(), head.framing.as_str()),
        ("ICY 200 OK", "until close")
    );
    assert_eq!(
        (head.boundary.as_deref(), head.auth, head.tls),
        (Some("b"), None, None)
    );
    assert_eq!(head.server.as_deref(), Some("cam [31m"));
}

#[tokio::test]

async fn a_picture_without_length_is_delivered_when_the_camera_falls_quiet() {
    for length in [None, Some(5000)] {
        let mut body =
            text("HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n");
        if let Some(length) = length {
            body.extend(text(&format!("Content-Length: {length}\r\n")));
        }
        body.extend(text("\r\n"));
        body.extend(jpeg(7));
        let script = Script::start(vec![(body, Then::Hang)]).await;
        let mut out = Vec::new();
        let ended = run_until(&script.camera(), &mut Memory::default(), &mut out, 1).await;
        assert_eq!((marks(&out), ended), (vec![7], None), "{length:?}");
    }
}

#[tokio::test]
async fn the_time_is_read_from_a_comment_where_no_header_has_it() {
    let mut picture = jpeg(1);
    let comment = b"\xff\xfe\x00\x1b#:MX\nTIT=1302498816.936\r\n";
    picture.splice(8..8, comment.iter().copied());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        picture.len()
    );
    let script = Script::start(vec![([head.as_bytes(), &picture].concat(), Then::Hang)]).await;
    let (mut memory, mut out) = (Memory::default(), Vec::new());
    let mut source = HttpSource::connect(&script.camera(), &mut memory)
        .await
        .unwrap();
    while out.is_empty() {
        source.next(&mut memory, &mut out).await.unwrap();
    }
    let [Delivery::Picture(picture)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(picture.stamp.stamp_us, Some(1_302_498_816_936_000));
}

#[tokio::test]
async fn torn_snapshots_don_t_put_off_the_stall() {
    let torn = [
        &b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n"[..],
        &jpeg(1)[..9],
    ]
    .concat();
    let (marks, ended, script) =
        run_steps((0..200).map(|_| (torn.clone(), Then::Keep)).collect()).await;
    assert_eq!(
        (marks, ended.reason, script.connections()),
        (vec![], GapReason::NotVideo, 1)
    );
}
