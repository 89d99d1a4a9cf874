//! Whom `[webhook]` tells.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use serde_json::Value;

/// Reads one request; its head and its body.
pub fn read(stream: &mut TcpStream) -> (String, Value) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return (head.to_owned(), body);
        }
        let length = stream.read(&mut piece).expect("a request");
        assert!(length > 0, "{text}");
        read.extend_from_slice(&piece[..length]);
    }
}

/// A server that gives this answer to the first request and 200 to all others: its URL, and what it was asked, as it comes.
pub fn start(path: &str, first: &'static str) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answers = [first].into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let request = read(&mut stream);
            let status = answers.next().unwrap_or("200 OK");
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            // Who was told may have what it needs.
            let _ = stream.write_all(answer.as_bytes());
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}{path}"), asked)
}
