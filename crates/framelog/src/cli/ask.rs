//! Asking the recorder that runs: one request to its web server. Not for what to do without an answer.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Http;
use crate::reload::Reload;
use crate::report::Report;

/// A recorder on this machine answers within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Cameras that changed say good-bye first. More than the recorder itself takes before it gives up.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(50);
/// A thousand cameras need a tenth of it; whatever else listens there may send for ever.
const ANSWER_MAX: u64 = 16 << 20;

/// Why there is no report.
#[derive(Debug)]
pub enum NoAnswer {
    /// The recorder chose a port, which only its log tells.
    NoPort,
    /// Nobody answered.
    Nobody(std::io::Error),
    /// It took too long.
    Late(Duration),
    /// It asks for another token than the configuration has.
    Refused,
    /// Something else answered, or another recorder.
    Foreign,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::NoPort => f.write_str("its port is 0, so not known here"),
            NoAnswer::Nobody(error) => write!(f, "{error}"),
            NoAnswer::Late(limit) => write!(f, "no answer within {} s", limit.as_secs()),
            NoAnswer::Refused => f.write_str(
                "it asks for a token that [http] token does not hold: restart it if that changed",
            ),
            NoAnswer::Foreign => f.write_str("something else answers there"),
        }
    }
}

/// The report of the recorder with this id or, while its storage directory is gone and the id with it, or can't be written, of the
/// one that records there.
pub async fn report(http: &Http, uuid: Option<&str>, storage: &Path) -> Result<Report, NoAnswer> {
    let answer = timeout(TIMEOUT, ask(http, "GET", "/api/status"))
        .await
        .map_err(|_| NoAnswer::Late(TIMEOUT))??;
    serde_json::from_slice(&answer)
        .ok()
        .filter(|report: &Report| {
            let is_gone = report.storage.state.takes_nothing();
            let is_same = uuid.is_some() && report.recorder.uuid.as_deref() == uuid;
            is_same || is_gone && report.storage.path == storage
        })
        .ok_or(NoAnswer::Foreign)
}

/// Has the recorder read its configuration again: what became of that.
pub async fn reload(http: &Http) -> Result<Reload, NoAnswer> {
    let answer = timeout(RELOAD_TIMEOUT, ask(http, "POST", "/api/reload"))
        .await
        .map_err(|_| NoAnswer::Late(RELOAD_TIMEOUT))??;
    serde_json::from_slice(&answer).map_err(|_| NoAnswer::Foreign)
}

/// The body of a good answer.
async fn ask(http: &Http, method: &str, path: &str) -> Result<Vec<u8>, NoAnswer> {
    if http.listen.port() == 0 {
        return Err(NoAnswer::NoPort);
    }
    let mut answer = fetch(http, method, path).await.map_err(NoAnswer::Nobody)?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or(NoAnswer::Foreign)?;
    match answer.split(|&byte| byte == b' ').nth(1) {
        Some(b"200") => Ok(answer.split_off(end + 4)),
        Some(b"401") => Err(NoAnswer::Refused),
        _ => Err(NoAnswer::Foreign),
    }
}

/// HTTP/1.0: the answer ends with the connection, and comes in one piece.
async fn fetch(http: &Http, method: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(http.listen).await?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n", http.listen);
    if let Some(token) = &http.token {
        request.push_str(&format!("Authorization: Bearer {}\r\n", token.expose()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::report::{Recorder, Source, Storage, StorageState};

    fn report(uuid: &str) -> Report {
        Report {
            source: Source::Recorder,
            recorder: Recorder {
                uuid: Some(uuid.to_owned()),
                ..Recorder::default()
            },
            storage: Storage {
                path: "/p".into(),
                state: StorageState::Ok,
                detail: None,
                unkept: Vec::new(),
                room: None,
            },
            cameras: Vec::new(),
        }
    }

    async fn report_of(listen: SocketAddr) -> Result<Report, NoAnswer> {
        let http = Http {
            listen,
            ..Http::default()
        };
        super::report(&http, Some("mine"), Path::new("/p")).await
    }

    /// What comes of a server that answers this.
    async fn asked(answer: String) -> Result<Report, NoAnswer> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        let asked = report_of(address).await;
        serving.abort();
        asked
    }

    #[tokio::test]
    async fn only_the_recorder_of_this_directory_is_believed() {
        let answer = |uuid: &str| {
            let json = serde_json::to_string(&report(uuid)).unwrap();
            format!("HTTP/1.0 200 OK\r\n\r\n{json}\n")
        };
        assert_eq!(asked(answer("mine")).await.unwrap(), report("mine"));
        for foreign in [
            answer("other"),
            answer("mine").replace("200 OK", "404 Not Found"),
            "HTTP/1.0 200 OK\r\n\r\n<html>".to_owned(),
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            String::new(),
        ] {
            let asked = asked(foreign.clone()).await;
            assert!(
                matches!(asked, Err(NoAnswer::Foreign | NoAnswer::Nobody(_))),
                "{foreign}"
            );
        }
    }

    #[tokio::test]
    async fn a_recorder_whose_storage_is_gone_is_known_by_its_path() {
        let answer = |path: &str, state| {
            let mut gone = report("another, as far as can be seen");
            gone.storage.path = path.into();
            gone.storage.state = state;
            let json = serde_json::to_string(&gone).unwrap();
            format!("HTTP/1.0 200 OK\r\n\r\n{json}\n")
        };
        let gone = asked(answer("/p", StorageState::Gone)).await.unwrap();
        assert!(gone.is_failing());
        for foreign in [
            answer("/q", StorageState::Gone),
            answer("/p", StorageState::Ok),
        ] {
            assert!(matches!(asked(foreign).await, Err(NoAnswer::Foreign)));
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_where_no_port_is_known() {
        let asked = report_of("127.0.0.1:0".parse().unwrap()).await;
        assert!(matches!(asked, Err(NoAnswer::NoPort)));
    }
}
