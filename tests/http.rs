//! The recorder's own web server: who may ask, and that nobody who asks harms the recording.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::account::assert_all_stored;
use crate::support::camera::{Camera, Listen, live};
use crate::support::daemon::{Daemon, Place};
use crate::support::{free_port, now_us};

const LIMIT: Duration = Duration::from_secs(20);
const TOKEN: &str = "correct-horse-battery-staple";

/// The first line and the body of what is answered.
fn ask(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream
        .write_all(format!("{request}\r\n\r\n").as_bytes())
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let line = head.lines().next().unwrap_or_default();
    (line.to_owned(), body.to_owned())
}

fn configure(place: &Place, http: &str, cameras: &str) {
    place.write_config(&format!(
        "[storage]\npath = {:?}\n\n[http]\n{http}\n\n{cameras}",
        place.storage()
    ));
}

fn wait_until_it_listens(place: &Place, port: u16) {
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < LIMIT, "{}", place.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn stop(place: &Place, daemon: Daemon) {
    let status = daemon
        .stop(Duration::from_secs(10))
        .expect("a stop in time");
    assert!(status.success(), "{}", place.log());
}

#[test]
fn network_is_listened_to_with_a_token_only() {
    let place = Place::new("");
    let port = free_port();
    configure(&place, &format!("listen = \"0.0.0.0:{port}\""), "");
    let output = place.command(&["run"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in ["http.listen", "no token", "token = {", "127.0.0.1"] {
        assert!(said.contains(word), "{word} is not said: {said}");
    }

    std::fs::write(place.path("token"), format!("{TOKEN}\n")).expect("a writable directory");
    let http = format!("listen = \"0.0.0.0:{port}\"\ntoken = {{ file = \"token\" }}");
    configure(&place, &http, "");
    let daemon = place.run();
    wait_until_it_listens(&place, port);
    let (line, _) = ask(port, "GET /healthz HTTP/1.0");
    assert_eq!(line, "HTTP/1.0 200 OK");
    for path in ["/api/status", "/metrics"] {
        let request = format!("GET {path} HTTP/1.0");
        let (line, _) = ask(port, &request);
        assert_eq!(line, "HTTP/1.0 401 Unauthorized", "{path}");
        let (line, _) = ask(port, &format!("{request}\r\nAuthorization: Bearer wrong"));
        assert_eq!(line, "HTTP/1.0 401 Unauthorized", "{path}");
    }
    place.wait_for("a storage directory", LIMIT, |_| Some(()));
    let with_token = format!("GET /api/status HTTP/1.0\r\nAuthorization: Bearer {TOKEN}");
    let begin = Instant::now();
    while ask(port, &with_token).0 != "HTTP/1.0 200 OK" {
        assert!(begin.elapsed() < LIMIT, "{}", place.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    // The command line reads the same token, and says so where it has another.
    let output = place.command(&["status", "--json"]);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains(r#""source":"recorder""#), "{output:?}");
    let old = http.replace("{ file = \"token\" }", "\"an-older-token-of-yours\"");
    configure(&place, &old, "");
    let output = place.command(&["status"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("[http] token does not hold"), "{said}");
    stop(&place, daemon);
    assert!(!place.log().contains(TOKEN), "{}", place.log());
}

#[test]
fn thousand_slow_clients_cost_no_frame() {
    let camera = Camera::start(Listen::plainly(21), live(20));
    let place = Place::new("");
    let port = free_port();
    let http = format!("listen = \"127.0.0.1:{port}\"");
    configure(&place, &http, &camera.section("gate", "/"));
    let daemon = place.run();
    wait_until_it_listens(&place, port);
    place.wait_for("frames", LIMIT, |index| {
        (!index.rows_of("gate").is_empty()).then_some(())
    });
    let before = place.index().expect("an index").rows_of("gate").len();
    let slow: Vec<TcpStream> = (0..1_000)
        .map(|_| {
            let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            // It may have been closed for a later one already.
            let _ = client.write_all(b"GET /api/sta");
            client
        })
        .collect();
    let (line, _) = ask(port, "GET /healthz HTTP/1.0");
    assert_eq!(line, "HTTP/1.0 200 OK");
    place.wait_for("more frames", LIMIT, |index| {
        (index.rows_of("gate").len() >= before + 100).then_some(())
    });
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .expect("the recorder runs")
        .count();
    assert!(sockets < 200, "{sockets} files are open");
    drop(slow);
    let until_us = now_us() - 300_000;
    stop(&place, daemon);
    let index = place.index().expect("an index");
    assert_all_stored("gate", &camera.journal(), &index, until_us);
    assert_eq!(camera.journal().connected_us.len(), 1);
}
