//! The server over real sockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::reload::Reload;
use crate::status::Recorder;

const TOKEN: &str = "0123456789abcdef";

/// A server that answers until it is dropped.
struct Serving {
    address: SocketAddr,
    task: tokio::task::JoinHandle<Infallible>,
    requests: mpsc::Receiver<oneshot::Sender<Reload>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Serving {
    async fn start(status: &Arc<Status>, token: Option<&str>) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address();
        let token = token.map(|token| Password::new(token.to_owned()));
        let (reloads, requests) = mpsc::channel(1);
        let task = tokio::spawn(server.serve(Arc::clone(status), token, reloads));
        Self {
            address,
            task,
            requests,
        }
    }

    async fn ask(&self, request: &str) -> String {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client
            .write_all(format!("{request}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut response = Vec::new();
        // A reset after the answer is no matter.
        let _ = client.read_to_end(&mut response).await;
        String::from_utf8(response).unwrap()
    }

    async fn code(&self, request: &str) -> u16 {
        let response = self.ask(request).await;
        let code = response.split(' ').nth(1);
        code.and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("{request}: {response}"))
    }
}

fn open(status: &Status) {
    status.opened(Recorder {
        uuid: String::new(),
        path: "/p".into(),
        since_us: 0,
        watchers: Default::default(),
    });
}

#[tokio::test]
async fn a_real_client_gets_an_answer_on_a_free_port() {
    let serving = Serving::start(&Arc::default(), None).await;
    let response = serving.ask("GET /healthz HTTP/1.0").await;
    assert!(response.starts_with("HTTP/1.0 200 OK\r\n"), "{response}");
    assert!(
        response.ends_with("{\"status\":\"ok\",\"cameras\":0,\"failing\":[]}\n"),
        "{response}"
    );
}

#[tokio::test]
async fn only_what_there_is_is_answered() {
    let status = Arc::default();
    let serving = Serving::start(&status, None).await;
    let code = async |request: &str| serving.code(&format!("{request} HTTP/1.0")).await;
    assert_eq!(code("GET /healthz").await, 200);
    assert_eq!(code("HEAD /healthz").await, 200);
    assert_eq!(code("POST /healthz").await, 405);
    assert_eq!(code("GET /api/status").await, 503, "nothing is open");
    open(&status);
    assert_eq!(code("GET /api/status").await, 200);
    assert_eq!(code("POST /api/status").await, 405);
    assert_eq!(code("GET /").await, 200);
    assert_eq!(code("GET /page/").await, 404);
    assert_eq!(code("GET /healthz/..").await, 404);
    let response = serving.ask("POST /api/status HTTP/1.0").await;
    assert!(
        response
            .to_ascii_lowercase()
            .contains("\r\nallow: get,head\r\n"),
        "{response}"
    );
    assert!(
        response.ends_with("\r\n\r\nuse the method that Allow names\n"),
        "{response}"
    );
}

#[tokio::test]
async fn with_a_token_only_health_is_told_to_all() {
    let status = Arc::default();
    open(&status);
    let serving = Serving::start(&status, Some(TOKEN)).await;
    assert_eq!(serving.code("GET /healthz HTTP/1.0").await, 200);
    let status = "GET /api/status HTTP/1.0";
    let with = |token: &str| format!("{status}\r\nAuthorization: Bearer {token}");
    let refused = serving.ask(status).await;
    assert!(refused.starts_with("HTTP/1.0 401 "), "{refused}");
    assert!(
        refused
            .to_ascii_lowercase()
            .contains("\r\nwww-authenticate: bearer\r\n"),
        "{refused}"
    );
    assert!(!refused.contains(TOKEN), "{refused}");
    assert_eq!(serving.code(&with("0123456789abcdeX")).await, 401);
    assert_eq!(serving.code(&with(TOKEN)).await, 200);
    assert_eq!(serving.code("GET /nothing HTTP/1.0").await, 404);
}

#[tokio::test]
async fn reload_is_asked_for_and_answered_and_not_for_web_pages() {
    let mut serving = Serving::start(&Arc::default(), Some(TOKEN)).await;
    let token = format!("Authorization: Bearer {TOKEN}");
    let post = "POST /api/reload HTTP/1.0";
    assert_eq!(serving.code(post).await, 401);
    let get = format!("GET /api/reload HTTP/1.0\r\n{token}");
    assert_eq!(serving.code(&get).await, 405);
    let page = format!("{post}\r\n{token}\r\nOrigin: http://evil.example");
    assert_eq!(serving.code(&page).await, 403);
    assert!(serving.requests.try_recv().is_err(), "nobody was asked");

    let mut requests = std::mem::replace(&mut serving.requests, mpsc::channel(1).1);
    let answering = tokio::spawn(async move {
        let answer = requests.recv().await.unwrap();
        answer.send(Reload::default()).unwrap();
    });
    let response = serving.ask(&format!("{post}\r\n{token}")).await;
    answering.await.unwrap();
    assert!(response.contains(r#""outcome":"applied""#), "{response}");
    let nobody = serving.code(&format!("{post}\r\n{token}")).await;
    assert_eq!(nobody, 503, "nobody reads a file");
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let serving = Serving::start(&Arc::default(), None).await;
    let field = format!("X: {}", "x".repeat(HEAD_MAX));
    let request = format!("GET /healthz HTTP/1.0\r\n{field}");
    assert_eq!(serving.code(&request).await, 431);
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let serving = Serving::start(&Arc::default(), None).await;
    let mut client = TcpStream::connect(serving.address).await.unwrap();
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nX: ")
        .await
        .unwrap();
    let mut end = Vec::new();
    let closing = tokio::time::timeout(HEAD_TIMEOUT * 3, client.read_to_end(&mut end));
    // With or without a reset.
    let _ = closing.await.expect("the connection is closed");
}

#[tokio::test]
async fn slow_clients_keep_nobody_out_and_are_few() {
    let serving = Serving::start(&Arc::default(), None).await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS_MAX * 3 {
        let mut client = TcpStream::connect(serving.address).await.unwrap();
        client.write_all(b"GET /heal").await.unwrap();
        slow.push(client);
    }
    assert_eq!(serving.code("GET /healthz HTTP/1.0").await, 200);
    let mut closed = 0;
    for mut client in slow.drain(..CONNECTIONS_MAX * 2) {
        // Closed, with or without a reset: a read ends.
        let mut end = Vec::new();
        let _ = client.read_to_end(&mut end).await;
        closed += usize::from(end.is_empty());
    }
    assert_eq!(closed, CONNECTIONS_MAX * 2, "the oldest were closed");
    assert_eq!(slow.len(), CONNECTIONS_MAX);
}
