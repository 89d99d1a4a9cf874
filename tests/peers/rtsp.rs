//! Other people's RTSP servers: what they sent in their connection, by a witness between, is what was stored.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Peer, free_port};
use crate::support::daemon::{Place, program};
use crate::support::index::Index;
use crate::support::media::assert_segments_play;
use crate::support::proxy::Proxy;
use crate::support::rtsp::{stored, units};

/// GStreamer's server, asking for credentials in this way; its port.
pub fn gstreamer(auth: &str) -> (Peer, u16) {
    let port = free_port();
    (gstreamer_at(port, auth), port)
}

/// The same on this port.
pub fn gstreamer_at(port: u16, auth: &str) -> Peer {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/gst_rtsp_server.py");
    let peer = Peer::start(
        Command::new("/usr/bin/python3")
            .arg(script)
            .args([&port.to_string(), auth]),
    );
    wait_for(port);
    peer
}

fn wait_for(port: u16) {
    let begin = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no server");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Records until there are so many frames, and stops.
fn record(url: &str, keys: &str, frames: usize) -> Place {
    let place = Place::new(&format!("[cameras.peer]\nurl = {url:?}\n{keys}"));
    let daemon = place.run();
    place.wait_for("frames of the peer", Duration::from_secs(90), |index| {
        (index.rows_of("peer").len() >= frames).then_some(())
    });
    let stopped = daemon.stop(Duration::from_secs(20));
    assert!(
        stopped.expect("a stop in time").success(),
        "{}",
        place.log()
    );
    place
}

/// Over TCP, with a witness: each picture from the first keyframe on is stored, once, byte for byte.
fn record_over_tcp(port: u16, path: &str, keys: &str) {
    let proxy = Proxy::start(port);
    let url = format!("rtsp://{}{path}", proxy.address);
    let place = record(&url, keys, 60);
    let heard = proxy.heard();
    assert!(
        heard
            .iter()
            .filter(|wire| !packets(wire).is_empty())
            .count()
            == 1,
        "more than one stream"
    );
    let sent: Vec<_> = heard.iter().flat_map(|wire| pictures(wire, path)).collect();
    let index = place.index().expect("an index");
    let frames: Vec<_> = index.frames_of("peer");
    let first = frames.first().expect("frames");
    let skipped = sent.iter().position(|sent| holds(&first.1, sent, path));
    let sent = &sent[skipped.expect("the first frame was sent")..];
    for (number, ((_, payload), sent)) in frames.iter().zip(sent).enumerate() {
        assert!(
            holds(payload, sent, path),
            "frame {number} is not what was sent"
        );
    }
    assert!(
        frames.len() <= sent.len() && frames.len() + 5 >= sent.len(),
        "{} frames stored, {} sent",
        frames.len(),
        sent.len()
    );
    assert_keyframes(&index, path);
    assert_plays(&place, &index);
}

/// Over UDP: nothing was torn, and the sequence has no holes that ffmpeg would complain about.
fn record_over_udp(port: u16, path: &str, keys: &str) {
    let url = format!("rtsp://127.0.0.1:{port}{path}");
    let place = record(&url, &format!("{keys}transport = \"udp\"\n"), 60);
    let index = place.index().expect("an index");
    assert_keyframes(&index, path);
    assert_plays(&place, &index);
}

/// The index calls a frame a keyframe exactly if it is one; there are others too, but for JPEG.
pub fn assert_keyframes(index: &Index, path: &str) {
    let mut others = 0;
    for (row, payload) in index.frames_of("peer") {
        let is_key = path == "/jpeg" || has_random_access_slice(&payload, path);
        assert_eq!(row.keyframe, is_key, "{row:?}");
        others += usize::from(!is_key);
    }
    assert_eq!(others == 0, path == "/jpeg", "{others} between keyframes");
}

/// Whether a stored access unit has a slice of an IDR (H.264) or IRAP (H.265) picture.
fn has_random_access_slice(access_unit: &[u8], path: &str) -> bool {
    units(access_unit).iter().any(|unit| match path {
        "/h265" => matches!(unit[0] >> 1 & 0x3f, 16..=23),
        _ => unit[0] & 0x1f == 5,
    })
}

fn assert_plays(place: &Place, index: &Index) {
    for account in index.accounts() {
        assert!(
            account.dropped == 0 && account.lost == 0,
            "{account:?}: {}",
            place.log()
        );
    }
    assert_segments_play(&place.storage(), index);
}

/// The packets of channel 0 in what a server said.
fn packets(wire: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        if rest[0] == b'$' && rest.len() >= 4 {
            let end = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            if rest.len() < end {
                break;
            }
            if rest[1] == 0 {
                packets.push(&rest[4..end]);
            }
            rest = &rest[end..];
            continue;
        }
        // An answer: its head, and as much body as it says.
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            break;
        };
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let length = head
            .split("content-length:")
            .nth(1)
            .and_then(|value| value.split("\r\n").next()?.trim().parse().ok())
            .unwrap_or(0);
        rest = rest.get(end + 4 + length..).unwrap_or_default();
    }
    packets
}

/// The pictures that the packets hold.
pub fn pictures(wire: &[u8], path: &str) -> Vec<Vec<u8>> {
    let mut picture = Picture::default();
    let packets = packets(wire).into_iter();
    packets
        .filter_map(|packet| picture.take(packet, path))
        .collect()
}

/// What has come of a picture.
#[derive(Default)]
pub struct Picture(Vec<Vec<u8>>);

impl Picture {
    /// Takes a packet; of the last, gives the picture: NAL units as they are stored, or the entropy-coded data of a JPEG.
    pub fn take(&mut self, packet: &[u8], path: &str) -> Option<Vec<u8>> {
        let payload = &packet[12..];
        match path {
            "/jpeg" => self.0.push(scan(payload).to_vec()),
            "/h265" => add_unit(&mut self.0, payload, payload[0] >> 1 & 0x3f == 49, 2),
            _ => add_unit(&mut self.0, payload, payload[0] & 0x1f == 28, 1),
        }
        let is_last = packet[1] & 0x80 != 0;
        is_last.then(|| {
            let parts = std::mem::take(&mut self.0);
            match path {
                "/jpeg" => parts.concat(),
                _ => stored(&parts),
            }
        })
    }
}

/// A NAL unit, or a fragment of one (RFC 6184 §5.8, RFC 7798 §4.4.3); `head` is how long its header is.
fn add_unit(units: &mut Vec<Vec<u8>>, payload: &[u8], is_fragment: bool, head: usize) {
    if !is_fragment {
        return units.push(payload.to_vec());
    }
    let fragment = payload[head];
    if fragment & 0x80 != 0 {
        let first = match head {
            1 => vec![payload[0] & 0xe0 | fragment & 0x1f],
            _ => vec![payload[0] & 0x81 | (fragment & 0x3f) << 1, payload[1]],
        };
        units.push(first);
    }
    let unit = units.last_mut().expect("a fragment follows its first");
    unit.extend(&payload[head + 1..]);
}

/// The entropy-coded data in a packet of JPEG (RFC 2435 §3.1); these servers send no restart markers.
fn scan(payload: &[u8]) -> &[u8] {
    let is_first = payload[1..4] == [0, 0, 0];
    let has_tables = is_first && payload[5] >= 128;
    let tables = match has_tables {
        true => 4 + usize::from(u16::from_be_bytes([payload[10], payload[11]])),
        false => 0,
    };
    &payload[8 + tables..]
}

/// Whether a frame is this picture: exactly, but that of a JPEG only the data is sent as it is stored.
pub fn holds(frame: &[u8], sent: &[u8], path: &str) -> bool {
    match path {
        "/jpeg" => {
            let sent = sent.strip_suffix(b"\xff\xd9").unwrap_or(sent);
            frame.starts_with(b"\xff\xd8")
                && frame
                    .strip_suffix(b"\xff\xd9")
                    .is_some_and(|frame| frame.ends_with(sent))
        }
        _ => frame == sent,
    }
}

/// As the server knows it.
pub const LOGIN: &str = "username = \"viewer\"\npassword = \"planted-look-1\"\n";

#[test]
fn gstreamer_jpeg_over_rtsp_is_recorded() {
    let (_peer, port) = gstreamer("none");
    record_over_tcp(port, "/jpeg", "");
}

#[test]
fn gstreamer_jpeg_over_udp_is_recorded() {
    let (_peer, port) = gstreamer("basic");
    record_over_udp(port, "/jpeg", LOGIN);
}

#[test]
fn gstreamer_h264_is_recorded() {
    let (_peer, port) = gstreamer("basic");
    record_over_tcp(port, "/h264", LOGIN);
}

#[test]
fn gstreamer_h265_is_recorded() {
    let (_peer, port) = gstreamer("digest");
    record_over_tcp(port, "/h265", LOGIN);
}

#[test]
fn gstreamer_h264_over_udp_is_recorded() {
    let (_peer, port) = gstreamer("digest");
    record_over_udp(port, "/h264", LOGIN);
}

#[test]
fn gstreamer_h265_over_udp_is_recorded() {
    let (_peer, port) = gstreamer("none");
    record_over_udp(port, "/h265", "");
}

/// What `probe` says of the address on standard output.
fn probed(address: &str) -> String {
    let output = program()
        .args(["probe", "--seconds", "6", address])
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn probe_says_what_a_server_of_rtsp_sends() {
    let (_peer, port) = gstreamer("none");
    // Of a bare address it finds the protocol and one of the well-known paths.
    for address in [
        format!("rtsp://127.0.0.1:{port}/h264"),
        format!("127.0.0.1:{port}"),
    ] {
        let said = probed(&address);
        for word in ["H.264", "640", "360", "fps", "every 30", "time of day"] {
            assert!(said.contains(word), "no {word} of {address}: {said}");
        }
        let stanza = &said[said.find("[cameras.").expect("a stanza")..];
        assert!(stanza.contains(&format!("\"rtsp://127.0.0.1:{port}/h264\"")));
        let checked = Place::new(stanza).command(&["check"]);
        assert!(checked.status.success(), "{checked:?}");
    }
    for (path, codec) in [("h265", "H.265"), ("jpeg", "JPEG")] {
        let said = probed(&format!("127.0.0.1:{port}/{path}"));
        assert!(said.contains(codec), "{said}");
    }
}

/// VLC's server sends datagrams only, whatever it is asked for.
#[test]
fn vlc_over_udp_is_recorded() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let film_path = directory.path().join("in.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .args(["testsrc2=size=640x480:rate=10", "-t", "60"])
        .args(["-c:v", "libx264", "-bf", "0", "-g", "20"])
        .arg(&film_path)
        .status();
    assert!(
        made.expect("ffmpeg is installed by scripts/setup-tests")
            .success()
    );
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777))
        .expect("our own directory");
    let port = free_port();
    let output = format!("#rtp{{sdp=rtsp://127.0.0.1:{port}/film}}");
    // VLC refuses to run as root.
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command
        .args(["cvlc", "-I", "dummy", "--rtsp-host", "127.0.0.1", "--loop"])
        .arg(&film_path)
        .args(["--sout-keep", "--sout", &output]);
    let _peer = Peer::start(
        command
            .env("HOME", directory.path())
            .current_dir(directory.path()),
    );
    wait_for(port);
    let place = record(&format!("rtsp://127.0.0.1:{port}/film"), "", 60);
    let index = place.index().expect("an index");
    assert_keyframes(&index, "/h264");
    assert_plays(&place, &index);
}
