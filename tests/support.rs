//! What the whole-daemon tests share: a camera that follows a script, the recorder as a child process, what it left behind, and the
//! programs that look at it from outside.

pub mod account;
pub mod browser;
pub mod camera;
pub mod daemon;
pub mod digest;
pub mod elementary;
pub mod hook;
pub mod index;
pub mod jpeg;
pub mod media;
pub mod mount;
pub mod planted;
pub mod proxy;
pub mod rtsp;
pub mod tls;
pub mod wire;

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::ToSocketAddrs;
use tokio::runtime::Runtime;

/// The runtime of every server in this process.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
});

/// A port that is free, for the recorder to listen on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A listener at an address, whose port may be 0 for a free one, and where that is.
pub fn bound(address: impl ToSocketAddrs) -> (tokio::net::TcpListener, SocketAddr) {
    let listener = RUNTIME
        .block_on(tokio::net::TcpListener::bind(address))
        .expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    (listener, address)
}

/// Microseconds since the Unix epoch, now.
pub fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(since.as_micros()).expect("a clock before the year 290000")
}

/// `seconds.micros`, as X-Timestamp has it.
pub fn seconds(us: i64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
