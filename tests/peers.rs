//! Other people's servers, over real sockets: what they sent, by a witness between, is what was stored; and other programs can read it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::daemon::Place;
use crate::support::index::Index;
use crate::support::media::assert_segments_play;
use crate::support::proxy::Proxy;

mod rtsp;
mod rtsp_trouble;

/// A server, killed when dropped.
struct Peer(Child);

impl Peer {
    fn start(command: &mut Command) -> Self {
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(started.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; scripts/setup-tests installs it")
        }))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// A film for servers that want one.
fn film(at: &Path) {
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x480:rate=10",
            "-t",
            "20",
            "-c:v",
            "mjpeg",
        ])
        .arg(at)
        .status()
        .expect("ffmpeg is installed by scripts/setup-tests");
    assert!(made.success());
}

/// Takes the chunk layer off, if there is one; the head too.
fn body(wire: &[u8]) -> Vec<u8> {
    let Some(end) = wire
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .filter(|_| wire.starts_with(b"HTTP/"))
    else {
        return wire.to_vec();
    };
    let (head, mut rest) = (
        String::from_utf8_lossy(&wire[..end]).to_ascii_lowercase(),
        &wire[end + 4..],
    );
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    while let Some(line_end) = rest.windows(2).position(|window| window == b"\r\n") {
        let digits = String::from_utf8_lossy(&rest[..line_end]);
        let length = usize::from_str_radix(digits.trim(), 16).expect("a chunk's size");
        let begin = line_end + 2;
        body.extend(&rest[begin..rest.len().min(begin + length)]);
        rest = &rest[rest.len().min(begin + length + 2)..];
    }
    body
}

/// The pictures in a body, found without headers or lengths: from SOI to the first EOI, as these encoders write no thumbnails.
fn pictures(body: &[u8]) -> Vec<Vec<u8>> {
    let find = |from: usize, what: &[u8]| {
        body[from..]
            .windows(what.len())
            .position(|window| window == what)
            .map(|at| from + at)
    };
    let mut pictures = Vec::new();
    let mut from = 0;
    while let Some(begin) = find(from, b"\xff\xd8\xff") {
        let Some(end) = find(begin, b"\xff\xd9") else {
            break;
        };
        pictures.push(body[begin..end + 2].to_vec());
        from = end + 2;
    }
    pictures
}

/// Records what a server on this port sends until there are so many frames, stops, and compares.
fn record(port: u16, target: &str, frames: usize) {
    let proxy = Proxy::start(port);
    let place = Place::new(&format!(
        "[cameras.peer]\nurl = \"http://{}{target}\"\n",
        proxy.address
    ));
    let daemon = place.run();
    place.wait_for("frames of the peer", Duration::from_secs(40), |index| {
        (index.rows_of("peer").len() >= frames).then_some(())
    });
    assert!(
        daemon
            .stop(Duration::from_secs(10))
            .expect("a stop in time")
            .success(),
        "{}",
        place.log()
    );
    let index = place.index().expect("an index");
    let sent: Vec<_> = proxy
        .heard()
        .iter()
        .flat_map(|wire| pictures(&body(wire)))
        .collect();
    assert_stored(&sent, &index);
    assert_segments_play(&place.storage(), &index);
}

/// Every picture in order, padding behind it kept or not; only the last few, on their way at the stop, may be missing.
fn assert_stored(sent: &[Vec<u8>], index: &Index) {
    let stored = index.frames_of("peer");
    for (number, ((_, payload), picture)) in stored.iter().zip(sent).enumerate() {
        assert!(
            payload.starts_with(picture),
            "frame {number} is not the picture that was sent"
        );
        let padding = &payload[picture.len()..];
        assert!(
            !padding.windows(2).any(|window| window == b"--"),
            "frame {number} has more than padding behind it"
        );
    }
    assert!(
        stored.len() <= sent.len(),
        "{} frames stored, {} sent",
        stored.len(),
        sent.len()
    );
    assert!(
        stored.len() + 5 >= sent.len(),
        "{} frames stored, {} sent",
        stored.len(),
        sent.len()
    );
}

fn ffmpeg(port: u16, options: &[&str]) -> Peer {
    Peer::start(
        Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-nostdin",
                "-re",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=640x480:rate=10",
                "-c:v",
                "mjpeg",
                "-f",
                "mpjpeg",
            ])
            .args(options)
            .args(["-listen", "1", &format!("http://127.0.0.1:{port}/stream")]),
    )
}

#[test]
fn ffmpeg_without_a_boundary_in_its_type_is_recorded() {
    let port = free_port();
    let _peer = ffmpeg(port, &[]);
    record(port, "/stream", 30);
}

#[test]
fn ffmpeg_with_a_boundary_is_recorded() {
    let port = free_port();
    let _peer = ffmpeg(
        port,
        &[
            "-boundary_tag",
            "fl",
            "-content_type",
            "multipart/x-mixed-replace;boundary=fl",
        ],
    );
    record(port, "/stream", 30);
}

#[test]
fn ustreamer_is_recorded() {
    let port = free_port();
    let _peer = Peer::start(Command::new("ustreamer").args([
        "-s",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-d",
        "/dev/nonexistent",
    ]));
    record(port, "/stream", 4);
}

#[test]
fn ustreamer_with_advance_headers_is_recorded() {
    let port = free_port();
    let _peer = Peer::start(Command::new("ustreamer").args([
        "-s",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-d",
        "/dev/nonexistent",
    ]));
    record(port, "/stream?extra_headers=1&advance_headers=1", 4);
}

#[test]
fn motion_is_recorded() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let at = directory.path();
    film(&at.join("in.avi"));
    let config = format!(
        "daemon off\nwebcontrol_port 0\nstream_port {port}\nstream_localhost on\nstream_maxrate 10\nframerate 10\npicture_output off\n\
         movie_output off\ntarget_dir {0}\nnetcam_url file://{0}/in.avi\n",
        at.display()
    );
    std::fs::write(at.join("motion.conf"), config).expect("a writable temporary directory");
    let _peer = Peer::start(
        Command::new("motion")
            .args(["-n", "-c"])
            .arg(at.join("motion.conf"))
            .current_dir(at),
    );
    record(port, "/", 20);
}

#[test]
fn vlc_is_recorded() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let film_path = directory.path().join("in.avi");
    film(&film_path);
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777))
        .expect("our own directory");
    let output = format!(
        "#standard{{access=http{{mime=multipart/x-mixed-replace;boundary=7b3cc56e5f51db803f790dad720ed50a}},mux=mpjpeg,dst=127.0.0.1:{port}/stream}}"
    );
    // VLC refuses to run as root.
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command
        .args(["cvlc", "-I", "dummy", "--http-host", "127.0.0.1", "--loop"])
        .arg(&film_path)
        .args(["--sout-keep", "--sout", &output]);
    let _peer = Peer::start(
        command
            .env("HOME", directory.path())
            .current_dir(directory.path()),
    );
    record(port, "/stream", 20);
}

#[test]
fn gstreamer_without_a_head_is_recorded() {
    let port = free_port();
    let _peer = Peer::start(
        Command::new("gst-launch-1.0")
            .args("-q videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=480,framerate=10/1 ! jpegenc".split(' '))
            .args("! multipartmux boundary=gstb ! tcpserversink host=127.0.0.1".split(' '))
            .arg(format!("port={port}")),
    );
    record(port, "/", 30);
}
