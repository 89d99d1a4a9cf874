//! One client of a test camera: its request, and the answer. Not for what is in the pictures.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use framelog_core::header::Headers;
use framelog_core::timestamp::format_us;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Quirk, Scene, Stamps};
use crate::wall::now_us;

const BOUNDARY: &str = "testcam";
const REQUEST_BYTES_MAX: usize = 16 << 10;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const STALL_AFTER: Duration = Duration::from_secs(10);
const CLOSE_AFTER_FRAMES: u64 = 100;
const PAGE: &str = "<!doctype html><title>framelog test camera</title><img src=\"/stream\">\n";

/// Answers one request and closes the connection. `alone`: there is no other client.
pub(super) async fn answer(mut socket: TcpStream, scene: Arc<Scene>, alone: bool) {
    // A client that goes away is no error.
    let _ = try_answer(&mut socket, &scene, alone).await;
}

async fn try_answer(socket: &mut TcpStream, scene: &Scene, alone: bool) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let request = match tokio::time::timeout(REQUEST_TIMEOUT, read_request(socket)).await {
        Ok(Ok(Some(request))) => request,
        _ => return refuse(socket, "400 Bad Request", "").await,
    };
    if !is_allowed(&request, scene) {
        return refuse(
            socket,
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"testcam\"\r\n",
        )
        .await;
    }
    if !alone && scene.options.quirks.contains(&Quirk::OneClient) {
        return refuse(socket, "503 Service Unavailable", "Retry-After: 5\r\n").await;
    }
    match request.target.as_str() {
        "/stream" | "/?action=stream" | "/video" => stream(socket, scene).await,
        "/snapshot" | "/?action=snapshot" | "/snapshot.jpg" => snapshot(socket, scene).await,
        "/" => {
            send(
                socket,
                "200 OK",
                "Content-Type: text/html\r\n",
                PAGE.as_bytes(),
            )
            .await
        }
        _ => refuse(socket, "404 Not Found", "").await,
    }
}

/// What matters of a request.
struct Request {
    target: String,
    headers: Headers,
}

/// Reads a request's head; `None` if it is none.
async fn read_request(socket: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut head = BytesMut::new();
    loop {
        if socket.read_buf(&mut head).await? == 0 || head.len() > REQUEST_BYTES_MAX {
            return Ok(None);
        }
        let ended = head.windows(4).any(|end| end == b"\r\n\r\n")
            || head.windows(2).any(|end| end == b"\n\n");
        if ended {
            return Ok(parse_request(head.freeze()));
        }
    }
}

fn parse_request(head: Bytes) -> Option<Request> {
    let line_end = head.iter().position(|&byte| byte == b'\n')?;
    let line = std::str::from_utf8(&head[..line_end]).ok()?;
    let target = line
        .strip_prefix("GET ")?
        .split_whitespace()
        .next()?
        .to_owned();
    Some(Request {
        target,
        headers: Headers::new(head.slice(line_end + 1..)),
    })
}

fn is_allowed(request: &Request, scene: &Scene) -> bool {
    let Some(login) = &scene.options.login else {
        return true;
    };
    let wanted = http_auth::basic::encode_credentials(&login.username, login.password.expose());
    request.headers.get("authorization") == Some(wanted.as_bytes())
}

async fn refuse(socket: &mut TcpStream, status: &str, fields: &str) -> io::Result<()> {
    let fields = format!("Content-Type: text/plain\r\n{fields}");
    send(socket, status, &fields, format!("{status}\n").as_bytes()).await
}

/// Sends a whole answer with its length.
async fn send(socket: &mut TcpStream, status: &str, fields: &str, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "{}{fields}Content-Length: {}\r\n\r\n",
        head(status),
        body.len()
    );
    socket
        .write_all_buf(&mut Buf::chain(head.as_bytes(), body))
        .await?;
    socket.shutdown().await
}

fn head(status: &str) -> String {
    format!(
        "HTTP/1.0 {status}\r\nServer: framelog-testcam/{}\r\nConnection: close\r\nCache-Control: no-store\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

async fn snapshot(socket: &mut TcpStream, scene: &Scene) -> io::Result<()> {
    let fields = format!("Content-Type: image/jpeg\r\n{}", stamp_field(scene));
    send(socket, "200 OK", &fields, current_frame(scene)).await
}

async fn stream(socket: &mut TcpStream, scene: &Scene) -> io::Result<()> {
    let head = format!(
        "{}Content-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\n\r\n--{BOUNDARY}\r\n",
        head("200 OK")
    );
    socket.write_all(head.as_bytes()).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / scene.options.fps.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let connected = Instant::now();
    let has = |quirk| scene.options.quirks.contains(&quirk);
    for sent in 0_u64.. {
        if has(Quirk::Close) && sent == CLOSE_AFTER_FRAMES {
            break;
        }
        if has(Quirk::Stall) && connected.elapsed() > STALL_AFTER {
            return wait_for_close(socket).await;
        }
        ticks.tick().await;
        let jpeg = current_frame(scene);
        let head = part_head(scene, jpeg.len(), sent);
        let tail = format!("\r\n--{BOUNDARY}\r\n");
        socket
            .write_all_buf(&mut Buf::chain(head.as_bytes(), jpeg.as_ref()).chain(tail.as_bytes()))
            .await?;
    }
    socket.shutdown().await
}

/// Says nothing until the client goes.
async fn wait_for_close(socket: &mut TcpStream) -> io::Result<()> {
    let mut sink = [0; 256];
    while socket.read(&mut sink).await? > 0 {}
    Ok(())
}

fn part_head(scene: &Scene, length: usize, sent: u64) -> String {
    let quirks = &scene.options.quirks;
    let length = match sent % 2 {
        _ if quirks.contains(&Quirk::NoLength) => None,
        0 if quirks.contains(&Quirk::WrongLength) => Some(length + 700),
        1 if quirks.contains(&Quirk::WrongLength) => Some(length - 5),
        _ => Some(length),
    };
    let length = length
        .map(|length| format!("Content-Length: {length}\r\n"))
        .unwrap_or_default();
    format!(
        "Content-Type: image/jpeg\r\n{length}{}\r\n",
        stamp_field(scene)
    )
}

fn stamp_field(scene: &Scene) -> String {
    let stamp_us = match scene.options.stamps {
        Stamps::Wall => now_us(),
        Stamps::Uptime => i64::try_from(scene.started.elapsed().as_micros()).unwrap_or(i64::MAX),
        Stamps::Zero => 0,
        Stamps::None => return String::new(),
    };
    format!("X-Timestamp: {}\r\n", format_us(stamp_us))
}

/// The picture that all clients see now.
fn current_frame(scene: &Scene) -> &Bytes {
    let number = scene.started.elapsed().as_micros() * u128::from(scene.options.fps) / 1_000_000;
    let count = u128::try_from(scene.frames.len()).unwrap_or(1);
    &scene.frames[usize::try_from(number % count).expect("less than the number of frames")]
}

#[cfg(test)]
mod tests {
    use super::super::{Extent, Login, Options, Size, Testcam};
    use super::*;
    use crate::config::secret::Password;

    fn options() -> Options {
        Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            name: "gate".to_owned(),
            fps: 100,
            extent: Extent::Pixels(Size {
                width: 80,
                height: 48,
            }),
            stamps: Stamps::Uptime,
            login: None,
            quirks: Vec::new(),
        }
    }

    async fn ask(camera: &Testcam, request: &str, wanted: usize) -> String {
        let mut socket = TcpStream::connect(camera.address()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; wanted];
        let count = socket
            .read_exact(&mut answer)
            .await
            .map_or(0, |count| count);
        String::from_utf8_lossy(&answer[..count]).into_owned()
    }

    #[tokio::test]
    async fn the_stream_is_multipart_with_lengths_and_stamps() {
        let camera = Testcam::start(options()).await.unwrap();
        let answer = ask(&camera, "GET /stream HTTP/1.0\r\n\r\n", 4000).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("\r\n\r\n--testcam\r\nContent-Type: image/jpeg\r\nContent-Length: "),
            "{answer}"
        );
        assert!(answer.contains("\r\nX-Timestamp: 0."), "{answer}");
    }

    #[tokio::test]
    async fn without_the_password_there_is_no_picture() {
        let login = Login {
            username: "user".to_owned(),
            password: Password::new("secret".to_owned()),
        };
        let camera = Testcam::start(Options {
            login: Some(login),
            ..options()
        })
        .await
        .unwrap();
        let refused = ask(&camera, "GET /snapshot HTTP/1.0\r\n\r\n", 12).await;
        assert_eq!(refused, "HTTP/1.0 401");
        let given = ask(
            &camera,
            "GET /snapshot HTTP/1.0\r\nauthorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n",
            12,
        )
        .await;
        assert_eq!(given, "HTTP/1.0 200");
    }

    #[tokio::test]
    async fn a_pulled_plug_refuses_connections_until_it_is_back() {
        let camera = Testcam::start(options()).await.unwrap();
        let mut socket = TcpStream::connect(camera.address()).await.unwrap();
        camera.unplug();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(TcpStream::connect(camera.address()).await.is_err());
        camera.plug_in();
        let again = async {
            while TcpStream::connect(camera.address()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), again)
            .await
            .unwrap();
    }

    #[test]
    fn what_is_no_get_request_is_refused() {
        assert!(parse_request(Bytes::from_static(b"POST / HTTP/1.1\r\n\r\n")).is_none());
        assert!(parse_request(Bytes::from_static(b"GET \r\n\r\n")).is_none());
        assert_eq!(
            parse_request(Bytes::from_static(b"GET /a?b HTTP/1.1\nx: y\n\n"))
                .unwrap()
                .target,
            "/a?b"
        );
    }
}
