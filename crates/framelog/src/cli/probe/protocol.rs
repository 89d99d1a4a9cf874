//! Which protocol a port speaks, where a person named the port and not the protocol. Not for what is behind it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::config::Tls;
use crate::config::url::CameraUrl;
use crate::source::dial::Stream;

/// A server that says nothing for so long is none of RTSP.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// What an answer over RTSP begins with (RFC 2326, section 7.1).
const ANSWER: &[u8] = b"RTSP/";

/// Whether there is a server of RTSP: asked for its methods, which no server wants a login for (RFC 2326, section 10.1), it answers in
/// RTSP. The connection is closed again.
pub(super) async fn is_rtsp(url: &CameraUrl) -> bool {
    let Ok(mut stream) = Stream::dial(url, &Tls::Verify).await else {
        return false;
    };
    let answered = timeout(ANSWER_TIME, answers(&mut stream, url)).await;
    stream.close().await;
    answered.unwrap_or(false)
}

async fn answers(stream: &mut Stream, url: &CameraUrl) -> bool {
    let ask = format!(
        "OPTIONS rtsp://{}/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: framelog\r\n\r\n",
        url.authority()
    );
    let mut begin = [0; ANSWER.len()];
    stream.write_all(ask.as_bytes()).await.is_ok()
        && stream.read_exact(&mut begin).await.is_ok()
        && begin.eq_ignore_ascii_case(ANSWER)
}
