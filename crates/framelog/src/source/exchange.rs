//! One request and its response head over an open connection. Not for the body, which is read straight from the connection,
//! nor for what the status means.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use framelog_core::boundary::ContentType;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::USER_AGENT;
use crate::config::url::CameraUrl;
use crate::source::dial::Stream;
use crate::source::mend::{self, MendError, Mended, Mender};

/// From sending a request to the last byte of the response head, however the bytes trickle.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// Why there is no response head.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection ended before the first byte.
    #[error(
        "the camera closed the connection before it answered; check that url's port is the one for http"
    )]
    Closed,
    /// The connection broke within the head.
    #[error("the connection broke within the response head: {0}")]
    Broken(io::Error),
    /// So much time passed.
    #[error("connected, but no response head within {} s; the camera may serve one client only", .0.as_secs())]
    Silent(Duration),
    /// The answer could not be mended.
    #[error("{0}; check that url's port is the one for http")]
    Mend(#[from] MendError),
    /// The request or the mended head was refused.
    #[error("http failed: {0}")]
    Http(#[from] hyper::Error),
}

/// A response up to the end of its head.
#[derive(Debug)]
pub struct Answer {
    /// The connection, at the beginning of the body but for `early`.
    pub stream: Stream,
    /// The first bytes of the body, which came with the head.
    pub early: BytesMut,
    /// 200 to 999.
    pub status: StatusCode,
    /// All fields but those about framing.
    pub headers: HeaderMap,
    /// The head as bytes, and what it says about framing.
    pub mended: Mended,
}

impl Answer {
    /// Its Content-Type; empty if there is none.
    pub fn content_type(&self) -> ContentType {
        self.headers
            .get(header::CONTENT_TYPE)
            .map(|value| ContentType::read(value.as_bytes()))
            .unwrap_or_default()
    }

    /// Whether it can have no body, whatever its head says (RFC 9110 §15.3.5, §15.4.5).
    pub fn has_no_body(&self) -> bool {
        matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
    }
}

/// The request target as it goes over the wire: byte for byte, but for bytes that no request line may have.
pub fn wire_target(target: &str) -> PathAndQuery {
    let encoded = || {
        let encode = |byte: u8| match byte {
            0..=b' ' | 0x7f.. | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                format!("%{byte:02X}")
            }
            byte => char::from(byte).to_string(),
        };
        PathAndQuery::try_from(target.bytes().map(encode).collect::<String>())
    };
    PathAndQuery::try_from(target)
        .or_else(|_| encoded())
        .unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

/// A GET, as cameras understand it: no encoding offered (row 9 of the quirks), nothing about the connection.
pub fn get(
    url: &CameraUrl,
    target: PathAndQuery,
    authorization: Option<HeaderValue>,
) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from(target);
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::try_from(url.authority()) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("multipart/x-mixed-replace, image/jpeg, */*"),
    );
    if let Some(mut authorization) = authorization {
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
    }
    request
}

/// Sends a request and reads the response's head, all of it `within` that time.
///
/// # Errors
///
/// [`ExchangeError`]; the connection is closed then.
pub async fn exchange(
    stream: Stream,
    request: Request<Empty<Bytes>>,
    within: Duration,
) -> Result<Answer, ExchangeError> {
    timeout(within, exchange_untimed(stream, request))
        .await
        .unwrap_or(Err(ExchangeError::Silent(within)))
}

async fn exchange_untimed(
    stream: Stream,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, ExchangeError> {
    let (mut sender, mut connection) = http1::Builder::new()
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        // Some cameras look for `Authorization` in just these letters.
        .title_case_headers(true)
        .max_headers(mend::FIELDS_MAX + 8)
        .handshake(HeadOnly::new(stream))
        .await?;
    let response = {
        let mut sending = pin!(sender.send_request(request));
        let mut over = false;
        poll_fn(|cx| {
            if !over {
                over = connection.poll_without_shutdown(cx).is_ready();
            }
            sending.as_mut().poll(cx)
        })
        .await
    };
    let io = connection.into_parts().io;
    match (response, io.failure, io.mended) {
        (Ok(response), _, Some(mended)) => {
            let (head, _) = response.into_parts();
            let mut early = io.raw;
            drop(early.split_to(mended.body_at));
            Ok(Answer {
                stream: io.stream,
                early,
                status: head.status,
                headers: head.headers,
                mended,
            })
        }
        (_, Some(failure), _) => Err(failure),
        (Err(error), None, _) => Err(error.into()),
        (Ok(_), None, None) => Err(ExchangeError::Closed),
    }
}

/// A connection of which an HTTP parser sees no more than a mended response head.
struct HeadOnly {
    stream: Stream,
    raw: BytesMut,
    mender: Mender,
    mended: Option<Mended>,
    given: usize,
    asked: bool,
    waiting: Option<Waker>,
    failure: Option<ExchangeError>,
}

impl HeadOnly {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            raw: BytesMut::new(),
            mender: Mender::default(),
            mended: None,
            given: 0,
            asked: false,
            waiting: None,
            failure: None,
        }
    }

    /// Reads until the head is all there.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Mended, ExchangeError>> {
        let mut space = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            let ended = buf.filled().is_empty();
            self.raw.extend_from_slice(buf.filled());
            if ended && self.raw.is_empty() {
                return Poll::Ready(Err(ExchangeError::Closed));
            }
            match (self.mender.mend(&self.raw, ended)?, result) {
                (Some(mended), _) => return Poll::Ready(Ok(mended)),
                (None, Err(cause)) => return Poll::Ready(Err(ExchangeError::Broken(cause))),
                (None, Ok(())) if ended => {
                    return Poll::Ready(Err(ExchangeError::Broken(
                        io::ErrorKind::UnexpectedEof.into(),
                    )));
                }
                (None, Ok(())) => {}
            }
        }
    }
}

impl Read for HeadOnly {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // What comes before the request (row 73: no head at all) is no answer yet to an HTTP parser, but it is to us.
        if !self.asked {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.mended.is_none() {
            match ready!(self.poll_head(cx)) {
                Ok(mended) => self.mended = Some(mended),
                Err(failure) => {
                    self.failure = Some(failure);
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
            }
        }
        let head = self
            .mended
            .as_ref()
            .map(|mended| mended.head.slice(self.given..))
            .unwrap_or_default();
        let length = head.len().min(buf.remaining());
        if length == 0 {
            // The body is not for the parser. Nobody waits for it there.
            return Poll::Pending;
        }
        buf.put_slice(&head[..length]);
        self.given += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for HeadOnly {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        self.asked = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        // A camera that answers and closes without reading the request has answered all the same: reading tells.
        Poll::Ready(written.or(Ok(buf.len())))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
