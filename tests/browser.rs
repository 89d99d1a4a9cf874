//! Films in a browser: a `<video>` of headless Chromium plays them to their end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use framelog_core::frame::Codec;

use crate::h26x::{S, T, export, footage, recorded, segments};
use crate::support::browser::Browser;

/// How long a film of some seconds may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// It says at `/said` how playing went: at once, because nobody looks.
const PAGE: &str = r#"<!doctype html>
<video id="film" muted autoplay src="/film.mp4"></video>
<script>
const film = document.getElementById("film");
film.defaultPlaybackRate = film.playbackRate = 4;
const say = what => fetch(`/said?${what}`);
film.onended = () => say(`ended,${film.currentTime},${film.duration},${film.videoWidth},${film.videoHeight}`);
film.onerror = () => say(`error,${film.error.code},${film.error.message}`);
</script>
"#;

/// Serves the page and a film on a port of its own, and passes on what the page says.
fn serve(film: Vec<u8>, said: Sender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (film, said) = (film.clone(), said.clone());
            // A browser that hangs up has what it wanted.
            std::thread::spawn(move || answer(stream, &film, &said));
        }
    });
    format!("http://{address}/")
}

fn answer(mut stream: TcpStream, film: &[u8], said: &Sender<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    let (kind, body): (&str, &[u8]) = match target.split_once('?') {
        Some(("/said", what)) => {
            // It fails only when the test has ended.
            let _ = said.send(what.to_owned());
            ("text/plain", b"")
        }
        _ if target == "/film.mp4" => ("video/mp4", film),
        _ => ("text/html", PAGE.as_bytes()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

/// Plays a film of so many seconds.
fn assert_plays(film: &Path, seconds: f64, profile: &Path) {
    let (said, heard) = channel();
    let url = serve(std::fs::read(film).expect("a film"), said);
    let Some(_browser) = Browser::show(&url, profile) else {
        return;
    };
    let heard = heard.recv_timeout(LIMIT).expect("the page says something");
    let mut words = heard.split(',');
    assert_eq!(words.next(), Some("ended"), "{}: {heard}", film.display());
    let numbers: Vec<f64> = words.map(|word| word.parse().expect("a number")).collect();
    let [at, duration, width, height] = numbers[..] else {
        panic!("{heard}");
    };
    assert!(
        (at - duration).abs() < 0.1,
        "it ended before its end: {heard}"
    );
    assert!((duration - seconds).abs() < 0.1, "not {seconds} s: {heard}");
    assert_eq!((width, height), (320.0, 180.0));
}

#[test]
fn chromium_plays_an_export_and_a_segment_of_h264_to_their_ends() {
    for b_frames in [0, 2] {
        let place = recorded(&footage(Codec::H264, b_frames));
        let film: PathBuf = place.path("out.mp4");
        export(&place, T, T + 4 * S, &film);
        assert_plays(&film, 4.0, &place.path("chromium-export"));
        assert_plays(&segments(&place)[0], 2.0, &place.path("chromium-segment"));
    }
}
