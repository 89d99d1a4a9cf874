//! A case: what the camera does, how it is configured, and what must come out besides the frames that it sent.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

pub use crate::support::camera::HEAD;
use crate::support::camera::{Camera, Connection, Journal, Script, Shot, script};
use crate::support::index::Gap;
use crate::support::jpeg::Jpeg;

/// The boundary that cases use unless they are about boundaries.
pub const BOUNDARY: &str = "camframe";

/// How many frames an ordinary case sends.
pub const FRAMES: usize = 7;

type Check = Arc<dyn Fn(&Journal, &[Gap]) -> Result<(), String> + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub struct Plan {
    /// What the camera does.
    pub script: Script,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether it listens on `::1`.
    pub v6: bool,
    /// The camera's URL from its address.
    pub url: Arc<dyn Fn(SocketAddr) -> String + Send + Sync>,
    /// Further keys.
    pub keys: Vec<String>,
    /// How many frames it must have come to send.
    pub frames: usize,
    /// Gap reasons that must appear.
    pub must: Vec<&'static str>,
    /// Gap reasons that may appear; `starting` always may.
    pub may: Vec<&'static str>,
    /// Further conditions.
    pub checks: Vec<Check>,
    /// What may show nowhere either, besides the secrets that its section holds.
    pub secrets: Vec<String>,
    /// A second server, which frames may come from too.
    pub companion: Option<Arc<Camera>>,
}

impl Plan {
    /// A camera that acts so; it is expected to send frames, and no gaps.
    pub fn new<F, E>(act: F) -> Self
    where
        F: Fn(Connection) -> E + Send + Sync + 'static,
        E: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self {
            script: script(act),
            tls: false,
            v6: false,
            url: Arc::new(|address| format!("http://{address}/video?channel=1")),
            keys: vec!["stall_timeout = \"60 s\"".to_owned()],
            frames: 1,
            must: Vec::new(),
            may: Vec::new(),
            checks: Vec::new(),
            secrets: Vec::new(),
            companion: None,
        }
    }

    /// Its section in the configuration.
    pub fn toml(&self, name: &str, camera: &Camera) -> String {
        format!(
            "[cameras.{name}]\nurl = {:?}\n{}\n\n",
            (self.url)(camera.address),
            self.keys.join("\n")
        )
    }

    /// With another key in its section.
    pub fn key(mut self, name: &str, value: &str) -> Self {
        self.keys
            .retain(|key| !key.starts_with(&format!("{name} =")));
        self.keys.push(format!("{name} = {value}"));
        self
    }

    /// With credentials.
    pub fn login(self, username: &str, password: &str) -> Self {
        self.key("username", &format!("{username:?}"))
            .key("password", &format!("{password:?}"))
    }

    /// With a URL of its own making.
    pub fn url(mut self, url: impl Fn(SocketAddr) -> String + Send + Sync + 'static) -> Self {
        self.url = Arc::new(url);
        self
    }

    /// Speaks TLS; the certificate is treated so.
    pub fn tls(mut self, setting: &str) -> Self {
        self.tls = true;
        self.url(|address| format!("https://{address}/video"))
            .key("tls", setting)
    }

    /// Must have come to send so many frames.
    pub fn frames(mut self, frames: usize) -> Self {
        self.frames = frames;
        self
    }

    /// These gap reasons must appear.
    pub fn must(mut self, reasons: &[&'static str]) -> Self {
        self.must.extend(reasons);
        self
    }

    /// These gap reasons may appear.
    pub fn may(mut self, reasons: &[&'static str]) -> Self {
        self.may.extend(reasons);
        self
    }

    /// With a further condition.
    pub fn check(
        mut self,
        check: impl Fn(&Journal, &[Gap]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Arc::new(check));
        self
    }

    /// Must have been connected to so often.
    pub fn connections(self, range: RangeInclusive<usize>) -> Self {
        self.check(move |journal, _| within("connections", journal.connected_us.len(), &range))
    }

    /// Must have been asked so often.
    pub fn requests(self, range: RangeInclusive<usize>) -> Self {
        self.check(move |journal, _| within("requests", journal.requests.len(), &range))
    }

    /// Tries must be at least so far apart.
    pub fn apart(self, milliseconds: i64) -> Self {
        self.check(move |journal, _| {
            let pauses = journal
                .connected_us
                .windows(2)
                .map(|pair| (pair[1] - pair[0]) / 1000);
            match pauses.clone().find(|&pause| pause < milliseconds) {
                Some(pause) => Err(format!(
                    "tries {pause} ms apart, expected at least {milliseconds} ms: {:?}",
                    pauses.collect::<Vec<_>>()
                )),
                None => Ok(()),
            }
        })
    }

    /// With pauses that grow: from half a second up, and so never more than a dozen tries in half a minute.
    pub fn backs_off(self) -> Self {
        self.connections(3..=14).apart(450)
    }
}

fn within(what: &str, count: usize, range: &RangeInclusive<usize>) -> Result<(), String> {
    match range.contains(&count) {
        true => Ok(()),
        false => Err(format!("{count} {what}, expected {range:?}")),
    }
}

/// A camera that answers its first connection with this head and then what `piece` makes of each picture, and closes. Later connections are
/// answered and stay silent.
pub fn stream(
    head: impl AsRef<[u8]>,
    piece: impl Fn(usize, Jpeg) -> (Vec<u8>, Shot) + Send + Sync + 'static,
) -> Plan {
    let shared = Arc::new((head.as_ref().to_vec(), piece));
    Plan::new(move |mut camera| {
        let shared = Arc::clone(&shared);
        async move {
            if camera.number > 0 {
                return idle(camera).await;
            }
            camera.request().await?;
            camera.send(&shared.0).await?;
            for number in 0..FRAMES {
                let (bytes, shot) = (shared.1)(number, camera.jpeg());
                camera.deliver(bytes, shot).await?;
                camera.wait(100).await;
            }
            Ok(())
        }
    })
    .frames(FRAMES)
    .may(&["disconnected"])
}

/// As [`stream`], of whole baseline pictures.
pub fn simple(
    head: impl AsRef<[u8]>,
    part: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Plan {
    stream(head, move |_, jpeg| {
        let bytes = jpeg.bytes();
        (part(&bytes), Shot::new(&bytes))
    })
}

/// As [`simple`] with an ordinary head.
pub fn parts(part: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Plan {
    simple(HEAD, part)
}

/// Answers and stays silent.
pub async fn idle(mut camera: Connection) -> io::Result<()> {
    camera.request().await?;
    camera.send(HEAD).await?;
    camera.hold().await
}

/// Sends so many ordinary parts, 100 ms apart.
pub async fn send_parts(camera: &mut Connection, count: usize) -> io::Result<()> {
    for _ in 0..count {
        let jpeg = camera.jpeg().bytes();
        camera.deliver(part(&jpeg), Shot::new(&jpeg)).await?;
        camera.wait(100).await;
    }
    Ok(())
}

/// Answers with a head and some ordinary parts, then stays silent.
pub async fn serve(camera: &mut Connection) -> io::Result<()> {
    camera.send(HEAD).await?;
    send_parts(camera, FRAMES).await?;
    camera.hold().await
}

/// An ordinary part: boundary, type, right length.
pub fn part(jpeg: &[u8]) -> Vec<u8> {
    part_with(&format!("Content-Length: {}\r\n", jpeg.len()), jpeg)
}

/// A part with a type and further header lines, each with its line end.
pub fn part_with(lines: &str, jpeg: &[u8]) -> Vec<u8> {
    part_after(
        &format!("--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n{lines}\r\n"),
        jpeg,
    )
}

/// What goes before the picture, the picture, a line end.
pub fn part_after(before: &str, jpeg: &[u8]) -> Vec<u8> {
    [before.as_bytes(), jpeg, b"\r\n"].concat()
}

/// A part without a length.
pub fn bare(jpeg: &[u8]) -> Vec<u8> {
    part_with("", jpeg)
}

/// A response head with this Content-Type, as written.
pub fn typed(content_type: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: camera\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n"
    )
}

/// A whole response with a length, connection kept.
pub fn response(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    [
        format!(
            "HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
        body,
    ]
    .concat()
}
