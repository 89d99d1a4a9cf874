//! A page in a browser, driven by a script: a proxy before the recorder puts the script into the page, and hears what it says.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::support::browser::Browser;

/// How long a script may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const DRIVER: &str = include_str!("driver.js");

/// The page, and who listens to its script. The browser is closed when dropped.
#[derive(Debug)]
pub struct Stage {
    heard: Receiver<String>,
    _browser: Browser,
}

impl Stage {
    /// Shows the page of the recorder on this port, at an address such as `#/gate`; `None` where there is no browser.
    pub fn show(port: u16, address: &str, script: &str, profile: &Path) -> Option<Self> {
        let (said, heard) = channel();
        // What a module awaits at its top can't be caught within it.
        let driver = format!(
            "{DRIVER}\n(async () => {{\n{script}\n}})().catch((error) => say(`failed: ${{error.stack}}`));\n"
        );
        let url = serve(port, driver, said);
        let browser = Browser::show(&format!("{url}{address}"), profile)?;
        Some(Self {
            heard,
            _browser: browser,
        })
    }

    /// The next thing that the script has to say.
    pub fn heard(&self) -> String {
        let (begin, mut notes) = (Instant::now(), Vec::new());
        loop {
            let left = LIMIT.saturating_sub(begin.elapsed());
            let Ok(said) = self.heard.recv_timeout(left) else {
                panic!("the page says nothing; it was {notes:?}");
            };
            match said.strip_prefix("now ") {
                Some(note) => notes.push(note.to_owned()),
                None if said.starts_with("failed") => panic!("{said}; it was {notes:?}"),
                None => return said,
            }
        }
    }

    /// The next thing, as JSON.
    pub fn heard_json(&self) -> serde_json::Value {
        let said = self.heard();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

/// Passes on to the recorder whatever is none of the script's.
fn serve(port: u16, driver: String, said: Sender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (driver, said) = (driver.clone(), said.clone());
            // A browser that hangs up has what it wanted.
            std::thread::spawn(move || answer(stream, port, &driver, &said));
        }
    });
    format!("http://{address}/")
}

fn answer(
    mut browser: TcpStream,
    port: u16,
    driver: &str,
    said: &Sender<String>,
) -> io::Result<()> {
    let head = read_head(&mut browser)?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    match target.split_once('?') {
        Some(("/said", what)) => {
            // It fails only when the test has ended.
            let _ = said.send(decoded(what));
            write_whole(&mut browser, "text/plain", "")
        }
        _ if target == "/driver.js" => write_whole(&mut browser, "text/javascript", driver),
        _ => {
            let mut recorder = TcpStream::connect(("127.0.0.1", port))?;
            recorder.write_all(with_one_request(&head).as_bytes())?;
            if target == "/" {
                return with_the_driver(recorder, browser);
            }
            pass_on(recorder, browser)
        }
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The same request, after whose answer the connection ends.
fn with_one_request(head: &str) -> String {
    let lines = head.trim_end().lines();
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let lines: String = kept.map(|line| format!("{line}\r\n")).collect();
    format!("{lines}Connection: close\r\n\r\n")
}

/// Until either side has had enough: a recorder must notice that the browser is gone.
fn pass_on(mut recorder: TcpStream, mut browser: TcpStream) -> io::Result<()> {
    let (mut from, to) = (browser.try_clone()?, recorder.try_clone()?);
    std::thread::spawn(move || {
        // The browser sends nothing more: this is its end.
        let _ = from.read(&mut [0]);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    io::copy(&mut recorder, &mut browser)?;
    browser.shutdown(std::net::Shutdown::Both)
}

fn with_the_driver(mut recorder: TcpStream, mut browser: TcpStream) -> io::Result<()> {
    let head = read_head(&mut recorder)?;
    let mut page = String::new();
    recorder.read_to_string(&mut page)?;
    let page = page.replace(
        "</head>",
        "<script type=\"module\" src=\"/driver.js\"></script></head>",
    );
    let kept = head
        .trim_end()
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    let lines: String = kept.map(|line| format!("{line}\r\n")).collect();
    browser.write_all(format!("{lines}Content-Length: {}\r\n\r\n{page}", page.len()).as_bytes())
}

fn write_whole(browser: &mut TcpStream, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        browser,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// What `encodeURIComponent` made of a text.
fn decoded(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
