//! The floor: what it costs to bring the bytes from the socket to a file, and nothing else. One thread, epoll, `recv`, `write`.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net;
use std::path::Path;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::load::Load;

const READ_BYTES: usize = 256 << 10;

/// Receives from all cameras at the port, each into a file of its own in `dir`, until it is ended.
pub fn run(port: u16, load: Load, dir: &Path) -> io::Result<()> {
    // These cameras need no more of RTSP than this.
    let request = match load.h264 {
        true => "PLAY rtsp://localhost/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        false => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for camera in 0..load.cameras {
        // Connected before it is made non-blocking.
        let mut stream = net::TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(camera), Interest::READABLE)?;
        let file = File::create(dir.join(format!("{camera:04}.bytes")))?;
        connections.push((stream, file));
    }
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let (stream, file) = &mut connections[event.token().0];
            drain(stream, file, &mut buffer)?;
        }
    }
}

/// Moves what is there. A read that does not fill the buffer has emptied the socket: no second one is needed to find that out.
fn drain(stream: &mut TcpStream, file: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match stream.read(buffer) {
            Ok(n) => {
                file.write_all(&buffer[..n])?;
                if n < buffer.len() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
