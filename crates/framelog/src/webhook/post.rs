//! One POST to who is told, and what became of it. Not for trying again.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::event::Event;
use crate::config::{Tls, Webhook};
use crate::source::dial::{DialError, Stream};

/// Why it is not told. No variant says anything of the path or the token.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// There is no connection.
    #[error("{0}")]
    Dial(String),
    /// It broke off.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer in time")]
    Silent,
    /// Any answer but 2xx.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// Path or token can't be sent.
    #[error("url or token can't be sent: {0}")]
    Unsendable(String),
}

impl PostError {
    /// Whether the same may be taken later. Another request is what a client's error asks for (RFC 9110, section 15.5), but for three.
    pub fn passes(&self) -> bool {
        match self {
            Self::Dial(_) | Self::Broken(_) | Self::Silent => true,
            Self::Refused(code) => {
                code.is_server_error()
                    || [
                        StatusCode::REQUEST_TIMEOUT,
                        StatusCode::TOO_EARLY,
                        StatusCode::TOO_MANY_REQUESTS,
                    ]
                    .contains(code)
            }
            Self::Unsendable(_) => false,
        }
    }
}

/// The words of `dial` are about cameras.
impl From<DialError> for PostError {
    fn from(error: DialError) -> Self {
        Self::Dial(match error {
            DialError::Lookup { host, cause } => format!("{host} has no address: {cause}"),
            DialError::Connect { address, cause } => format!("{address}: {cause}"),
            DialError::Slow { host } => format!("no connection to {host} in time"),
            DialError::NoTls { host } => format!("no tls at {host} in time"),
            DialError::Certificate { cause, .. } => format!("the certificate was refused: {cause}"),
            // Of pinned certificates, which nobody configures for webhooks.
            error @ (DialError::Key { .. } | DialError::Impostor { .. }) => error.to_string(),
            DialError::Tls { host, cause } => format!("tls to {host} failed: {cause}"),
        })
    }
}

/// Sends it over a connection of its own. Redirects are not followed: the token is for this host.
///
/// # Errors
/// [`PostError`]; an answer's body is not read.
pub async fn post(to: &Webhook, event: &Event) -> Result<(), PostError> {
    let request = request(to, event)?;
    let stream = Stream::dial(&to.url, &Tls::Verify).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with this call.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let answer = sender.send_request(request).await?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(PostError::Refused(answer.status())),
    }
}

fn request(to: &Webhook, event: &Event) -> Result<Request<Full<Bytes>>, PostError> {
    let unsendable = |error: &dyn std::fmt::Display| PostError::Unsendable(error.to_string());
    let body = serde_json::to_vec(event).map_err(|error| unsendable(&error))?;
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(&to.url.target).map_err(|error| unsendable(&error))?;
    let headers = request.headers_mut();
    let host = HeaderValue::try_from(to.url.authority()).map_err(|error| unsendable(&error))?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(crate::USER_AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = &to.token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|error| unsendable(&error))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(request)
}
