//! GStreamer's RTSP server in trouble: killed, frozen, another size in the middle, a network that loses, doubles and reorders. What came whole
//! is stored once, and the gaps say why.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::rtsp::{LOGIN, Picture, assert_keyframes, gstreamer, gstreamer_at, holds, pictures};
use crate::support::daemon::{Daemon, Place};
use crate::support::index::{Gap, Index};
use crate::support::media::{assert_decodes, assert_segments_play, probed_frames};
use crate::support::proxy::Proxy;
use crate::support::{RUNTIME, bound};

const LIMIT: Duration = Duration::from_secs(90);
/// What was sent last is on its way when the recorder stops.
const ON_THE_WAY: usize = 8;

fn place(url: &str, keys: &str) -> Place {
    Place::new(&format!(
        "[cameras.peer]\nurl = {url:?}\nstall_timeout = \"2 s\"\n{keys}"
    ))
}

/// Waits until there are so many frames more than now.
fn wait_for_more(place: &Place, frames: usize) {
    let count = |index: &Index| index.rows_of("peer").len();
    let before = place.index().map_or(0, |index| count(&index));
    place.wait_for("frames of the peer", LIMIT, |index| {
        (count(index) >= before + frames).then_some(())
    });
}

fn stop(daemon: Daemon, place: &Place) {
    let stopped = daemon.stop(Duration::from_secs(20));
    assert!(
        stopped.expect("a stop in time").success(),
        "{}",
        place.log()
    );
}

/// There is a gap with this reason, and others only where a reconnect makes them.
fn assert_gaps(place: &Place, needed: &str) {
    let gaps = place.index().expect("an index").gaps_of("peer");
    let explains = |gap: &Gap| match gap.reason.as_str() {
        "starting" | "unreachable" | "disconnected" => true,
        reason => reason == needed,
    };
    assert!(
        gaps.iter().any(|gap| gap.reason == needed) && gaps.iter().all(explains),
        "{gaps:#?}"
    );
}

/// Each connection's pictures that came whole, from the first that is stored on, and nothing else.
fn assert_holds(place: &Place, connections: &[Vec<Vec<u8>>], path: &str) {
    let index = place.index().expect("an index");
    assert_keyframes(&index, path);
    let frames = index.frames_of("peer");
    let mut frames = frames.iter().map(|(_, payload)| payload).peekable();
    for sent in connections {
        let Some(first) = frames.peek() else { break };
        let Some(at) = sent.iter().position(|picture| holds(first, picture, path)) else {
            // Ended before its first keyframe.
            continue;
        };
        let mut rest = sent[at..].iter().peekable();
        while rest
            .next_if(|picture| {
                frames
                    .next_if(|frame| holds(frame, picture, path))
                    .is_some()
            })
            .is_some()
        {}
        let lost = rest.count();
        assert!(
            lost <= ON_THE_WAY,
            "{lost} pictures of a connection are missing"
        );
    }
    let left = frames.count();
    assert!(
        left == 0,
        "{left} frames are none that were sent, or in another order"
    );
}

#[test]
fn gstreamer_killed_within_a_gop_is_recorded_again_when_it_is_back() {
    let (peer, port) = gstreamer("basic");
    let proxy = Proxy::start(port);
    let place = place(&format!("rtsp://{}/h264", proxy.address), LOGIN);
    let daemon = place.run();
    wait_for_more(&place, 40);
    drop(peer);
    let _peer = gstreamer_at(port, "basic");
    wait_for_more(&place, 40);
    stop(daemon, &place);
    let heard = proxy.heard();
    let sent: Vec<_> = heard.iter().map(|wire| pictures(wire, "/h264")).collect();
    assert_holds(&place, &sent, "/h264");
    assert_gaps(&place, "disconnected");
}

#[test]
fn gstreamer_that_freezes_has_stalled() {
    let (peer, port) = gstreamer("none");
    let proxy = Proxy::start(port);
    let place = place(&format!("rtsp://{}/h264", proxy.address), "");
    let daemon = place.run();
    wait_for_more(&place, 30);
    let pid = Pid::from_child(&peer.0);
    kill_process(pid, Signal::STOP).expect("the child is ours");
    place.wait_for("a stall", LIMIT, |index| {
        let gaps = index.gaps_of("peer");
        gaps.iter().any(|gap| gap.reason == "stalled").then_some(())
    });
    kill_process(pid, Signal::CONT).expect("the child is ours");
    wait_for_more(&place, 30);
    stop(daemon, &place);
    let heard = proxy.heard();
    let sent: Vec<_> = heard.iter().map(|wire| pictures(wire, "/h264")).collect();
    assert_holds(&place, &sent, "/h264");
    assert_gaps(&place, "stalled");
}

#[test]
fn gstreamer_that_changes_its_size_begins_a_segment_and_loses_nothing() {
    let (_peer, port) = gstreamer("none");
    let proxy = Proxy::start(port);
    let place = place(&format!("rtsp://{}/resized", proxy.address), "");
    let daemon = place.run();
    wait_for_more(&place, 120);
    stop(daemon, &place);
    let heard = proxy.heard();
    let sent: Vec<_> = heard.iter().map(|wire| pictures(wire, "/h264")).collect();
    assert_eq!(sent.iter().filter(|sent| !sent.is_empty()).count(), 1);
    assert_holds(&place, &sent, "/h264");
    let index = place.index().expect("an index");
    let segments = index.segments().expect("segments");
    assert!(segments.len() >= 3, "{segments:#?}");
    assert_segments_play(&place.storage(), &index);
    assert_gaps(&place, "starting");
}

/// A datagram of RTP that the server sent, and whether it got through.
type Seen = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

/// Passes on what is said over TCP, with ports of its own for the datagrams.
async fn relay(listener: TcpListener, port: u16, seen: Seen) -> std::io::Result<()> {
    let (mut client, _) = listener.accept().await?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    let (rtp, rtcp) = (
        UdpSocket::bind("127.0.0.1:0").await?,
        UdpSocket::bind("127.0.0.1:0").await?,
    );
    let own = format!("{}-{}", rtp.local_addr()?.port(), rtcp.local_addr()?.port());
    let mut theirs = String::new();
    let mut network = Network::default();
    let (mut asked, mut said) = ([0; 4096], [0; 4096]);
    let (mut media, mut report) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            length = client.read(&mut asked) => {
                let text = String::from_utf8_lossy(&asked[..length?]).into_owned();
                if text.is_empty() {
                    return Ok(());
                }
                if let Some(ports) = ports(&text, "client_port=") {
                    theirs = ports;
                }
                let text = text.replace(&format!("client_port={theirs}"), &format!("client_port={own}"));
                server.write_all(text.as_bytes()).await?;
            }
            length = server.read(&mut said) => {
                let text = String::from_utf8_lossy(&said[..length?]).into_owned();
                if text.is_empty() {
                    return Ok(());
                }
                let text = match ports(&text, "server_port=") {
                    Some(ports) => text
                        .replace(&format!("server_port={ports}"), &format!("server_port={own}"))
                        .replace(&format!("client_port={own}"), &format!("client_port={theirs}")),
                    None => text,
                };
                client.write_all(text.as_bytes()).await?;
            }
            came = rtp.recv_from(&mut media) => {
                let (length, from) = came?;
                let to = theirs.split('-').next().and_then(|port| port.parse().ok()).unwrap_or(0);
                // What the recorder sends only opens the way.
                if from.port() != to {
                    for packet in network.pass(&media[..length], &seen) {
                        rtp.send_to(&packet, ("127.0.0.1", to)).await?;
                    }
                }
            }
            came = rtcp.recv_from(&mut report) => {
                let (length, from) = came?;
                let to = theirs.split('-').nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
                if from.port() != to {
                    rtcp.send_to(&report[..length], ("127.0.0.1", to)).await?;
                }
            }
        }
    }
}

/// The value of a parameter of Transport.
fn ports(text: &str, name: &str) -> Option<String> {
    let value = text.split_once(name)?.1;
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '-');
    Some(value[..end.unwrap_or(value.len())].to_owned())
}

/// Loses, doubles and swaps packets.
#[derive(Default)]
struct Network {
    passed: usize,
    held: Option<Vec<u8>>,
}

impl Network {
    fn pass(&mut self, packet: &[u8], seen: &Seen) -> Vec<Vec<u8>> {
        self.passed += 1;
        let is_lost = self.passed > 30 && self.passed.is_multiple_of(37);
        let mut seen = seen.lock().expect("nothing panics with it");
        seen.push((packet.to_vec(), !is_lost));
        let mut out = Vec::new();
        if self.passed.is_multiple_of(13) && !is_lost {
            // The one before, if it still waits, is late enough.
            out.extend(self.held.replace(packet.to_vec()));
            return out;
        }
        if !is_lost {
            out.push(packet.to_vec());
        }
        if self.passed.is_multiple_of(11) {
            out.extend(out.clone());
        }
        out.extend(self.held.take());
        out
    }
}

/// Records over such a network: whole pictures are stored, torn ones counted, and nothing else.
fn record_over_a_bad_network(path: &str) -> Place {
    let (_peer, port) = gstreamer("none");
    let (listener, address) = bound("127.0.0.1:0");
    let seen = Seen::default();
    RUNTIME.spawn(relay(listener, port, Arc::clone(&seen)));
    let place = place(&format!("rtsp://{address}{path}"), "transport = \"udp\"\n");
    let daemon = place.run();
    wait_for_more(&place, 120);
    stop(daemon, &place);
    let seen = seen.lock().expect("nothing panics with it").clone();
    let (mut whole, mut torn, mut partly) = (Vec::new(), 0, 0);
    let (mut picture, mut came) = (Picture::default(), Vec::new());
    for (packet, passed) in &seen {
        came.push(*passed);
        if let Some(picture) = picture.take(packet, path) {
            match came.iter().all(|passed| *passed) {
                true => whole.push(picture),
                false => torn += 1,
            }
            partly += i64::from(came.contains(&true) && came.contains(&false));
            came.clear();
        }
    }
    assert!(torn > 0, "nothing was lost of {} packets", seen.len());
    assert_holds(&place, &[whole], path);
    assert_gaps(&place, "starting");
    let index = place.index().expect("an index");
    for account in index.accounts() {
        let stored = i64::try_from(index.rows_of("peer").len()).expect("some hundreds");
        assert_eq!((account.stored, account.dropped), (stored, 0));
        assert_eq!(account.parts, account.stored + account.skipped);
        // One of which nothing came nobody knows of; one may have begun when the recorder stopped.
        let counted = partly - ON_THE_WAY as i64..=torn + 1;
        assert!(
            counted.contains(&account.skipped),
            "{account:?}: {counted:?}"
        );
    }
    for segment in index.segments().expect("segments") {
        let probed = probed_frames(&place.storage().join(&segment.path));
        assert_eq!(i64::try_from(probed), Ok(segment.frames), "{segment:?}");
    }
    place
}

#[test]
fn network_that_loses_doubles_and_reorders_h264_costs_the_torn_pictures_alone() {
    record_over_a_bad_network("/h264");
}

#[test]
fn network_that_loses_doubles_and_reorders_h265_costs_the_torn_pictures_alone() {
    record_over_a_bad_network("/h265");
}

#[test]
fn network_that_loses_doubles_and_reorders_jpeg_costs_the_torn_pictures_alone() {
    let place = record_over_a_bad_network("/jpeg");
    // Of these none needs another.
    for segment in place
        .index()
        .expect("an index")
        .segments()
        .expect("segments")
    {
        assert_decodes(&place.storage().join(&segment.path));
    }
}
