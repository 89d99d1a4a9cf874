//! A client in some fifty lines: connects to a camera and hands every frame to a function of yours.
//!
//!     cargo run -p framelog-core --example capture -- 192.168.0.50:80 '/?action=stream'
//!
//! Plain HTTP without a password. The daemon's source does the rest: TLS, Digest, redirects, heads that are no HTTP.

use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::time::SystemTime;

use bytes::Bytes;
use framelog_core::boundary::ContentType;
use framelog_core::chunked::Decoder;
use framelog_core::header::Headers;
use framelog_core::multipart::{Event, Limits, Parser, Part};

/// Yours: called for every frame.
fn on_frame(part: &Part) -> std::io::Result<()> {
    println!("{} bytes, whole: {}", part.payload.len(), part.complete);
    std::fs::write("frame.jpg", part.payload.to_vec())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, target] = arguments.as_slice() else {
        return Err("usage: capture HOST:PORT /PATH".into());
    };
    let mut camera = TcpStream::connect(address)?;
    write!(camera, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let head = read_head(&mut camera)?;
    let content_type = ContentType::read(head.get("content-type").unwrap_or_default());
    let mut chunks = head.get("transfer-encoding").map(|_| Decoder::new());
    let mut parser = Parser::new(content_type.boundary.as_deref(), Limits::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = camera.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut body = Bytes::copy_from_slice(&buffer[..length]);
        let now_us = i64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_micros())?;
        match &mut chunks {
            None => parser.push(body, now_us),
            Some(chunks) => {
                while let Some(data) = chunks.decode(&mut body)? {
                    parser.push(data, now_us);
                }
            }
        }
        while let Some(event) = parser.poll() {
            if let Event::Part(part) = event {
                on_frame(&part)?;
            }
        }
    }
}

/// The response's status and header lines.
fn read_head(camera: &mut TcpStream) -> Result<Headers, Error> {
    let mut head = Vec::new();
    while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") && head.len() < 64 << 10 {
        let mut byte = [0];
        camera.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(Headers::new(head.into()))
}
