//! A connection to a camera: name lookup, TCP, TLS, each within its time. Not for what is said over it.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Tls;
use crate::config::url::CameraUrl;
use crate::source::tls::{CertificateCheck, Fingerprint, KeyDoubt, Seen};

/// Limit on lookup, TCP and TLS together.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long a camera may take to close its side before we go on.
const CLOSE_TIME: Duration = Duration::from_millis(250);

/// How many bytes are read over while waiting for a camera to close.
const CLOSE_BYTES_MAX: u64 = 256 << 10;

/// Why there is no connection. Every case is `unreachable`.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("{host} has no address: {cause}; check the name in url")]
    Lookup {
        /// The host, as configured.
        host: String,
        /// The resolver's word.
        cause: io::Error,
    },
    /// No address took the connection.
    #[error("{address}: {cause}; check that the camera is on and url is right")]
    Connect {
        /// The last that was tried.
        address: SocketAddr,
        /// Why it failed.
        cause: io::Error,
    },
    /// The limit passed.
    #[error("no connection to {host} within {} s; check that the camera is on and url is right", CONNECT_TIME.as_secs())]
    Slow {
        /// The host, as configured.
        host: String,
    },
    /// The limit passed, and no TLS had been agreed upon.
    #[error("connected to {host}, but no tls there within {} s; check url's port, and whether it should be http:// or rtsp://", CONNECT_TIME.as_secs())]
    NoTls {
        /// The host, as configured.
        host: String,
    },
    /// The camera's certificate was refused.
    #[error(
        "the certificate was refused: {cause}; if it is the camera's own, pin it by its fingerprint (sha-256) {seen}"
    )]
    Certificate {
        /// Why.
        cause: rustls::Error,
        /// The one that the camera showed.
        seen: Fingerprint,
    },
    /// It showed the pinned certificate, of whose key nobody can tell whether it has it.
    #[error(
        "the certificate passed, but its key ({key}) could not be checked: {cause}; if it is the camera's own, tls = \"accept\" takes it"
    )]
    Key {
        /// What kind it is.
        key: String,
        /// Why.
        cause: io::Error,
    },
    /// It showed the pinned certificate, and doesn't have its key.
    #[error(
        "what answers at {host} shows the pinned certificate and does not have its key: somebody may be in between; find out who has that address"
    )]
    Impostor {
        /// The host, as configured.
        host: String,
    },
    /// TLS failed before or after the certificate.
    #[error(
        "tls to {host} failed: {cause}; cameras with TLS 1.0 or 1.1 only need http:// or rtsp://"
    )]
    Tls {
        /// The host, as configured.
        host: String,
        /// Why.
        cause: io::Error,
    },
}

/// An open connection, with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP, and how the certificate was checked: `verified`, `pinned` or `unverified`.
    Tls(Box<TlsStream<TcpStream>>, &'static str),
}

impl Stream {
    /// Connects to the URL's host, by all its addresses in turn, within 10 s.
    ///
    /// # Errors
    ///
    /// [`DialError`], after the last address.
    pub async fn dial(url: &CameraUrl, tls: &Tls) -> Result<Self, DialError> {
        let limit = Instant::now() + CONNECT_TIME;
        let host = || url.host.clone();
        let tcp = timeout_at(limit, connect(url, limit))
            .await
            .map_err(|_| DialError::Slow { host: host() })??;
        match url.scheme.is_secure() {
            false => Ok(Self::Plain(tcp)),
            true => timeout_at(limit, encrypt(tcp, url, tls))
                .await
                .map_err(|_| DialError::NoTls { host: host() })?,
        }
    }

    /// `verified`, `pinned` or `unverified`; `None` without TLS.
    pub fn tls(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(_, check) => Some(check),
        }
    }

    /// The connection below, with or without TLS on it.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls, _) => tls.get_ref().0,
        }
    }

    /// How much memory the system has at present for what comes and nobody has read, bytes: half of it and more is payload, as a rule. It
    /// grows with what is read, as far as `tcp_rmem` allows (tcp(7)). `None` where the system doesn't say.
    pub fn receive_buffer(&self) -> Option<u64> {
        let size = rustix::net::sockopt::socket_recv_buffer_size(self.tcp());
        size.ok().and_then(|size| size.try_into().ok())
    }

    /// Waits until something arrived, without a buffer to put it into. Only right when all that came before has been read.
    pub fn poll_arrived(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(cx)
    }

    /// Closes in order: says so, and gives the camera a moment to close too, because many serve one client only (row 81).
    pub async fn close(mut self) {
        let closing = async {
            self.shutdown().await?;
            let mut rest = self.take(CLOSE_BYTES_MAX);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // Whatever went wrong, the connection is gone after this.
        let _ = timeout(CLOSE_TIME, closing).await;
    }
}

/// Whether the URL's host has an address, looked up within 10 s.
///
/// # Errors
///
/// [`DialError::Lookup`] if not, [`DialError::Slow`].
pub async fn look_up(url: &CameraUrl) -> Result<(), DialError> {
    let found = timeout(CONNECT_TIME, addresses(url)).await;
    let host = || url.host.clone();
    (found.map_err(|_| DialError::Slow { host: host() })?).map(|_| ())
}

async fn addresses(url: &CameraUrl) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |cause| no_address(url, cause);
    if let Some(address) = zoned_address(url).map_err(failed)? {
        return Ok(vec![address]);
    }
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    Ok(found.map_err(failed)?.collect())
}

fn no_address(url: &CameraUrl, cause: io::Error) -> DialError {
    let host = url.host.clone();
    DialError::Lookup { host, cause }
}

/// Tries all addresses, each for its share of what is left until `limit`.
async fn connect(url: &CameraUrl, limit: Instant) -> Result<TcpStream, DialError> {
    let addresses = addresses(url).await?;
    let mut failed = no_address(url, io::ErrorKind::NotFound.into());
    for (index, &address) in addresses.iter().enumerate() {
        let share =
            limit.saturating_duration_since(Instant::now()) / (addresses.len() - index) as u32;
        let opened = timeout(share, TcpStream::connect(address)).await;
        match opened
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
        {
            Ok(tcp) => return Ok(tcp),
            Err(cause) => failed = DialError::Connect { address, cause },
        }
    }
    Err(failed)
}

/// The address of an IPv6 literal with a zone id (RFC 4007 §11: an interface's name or number); resolvers take zones only for some.
fn zoned_address(url: &CameraUrl) -> io::Result<Option<SocketAddr>> {
    let Some((address, zone)) = url.host.split_once('%') else {
        return Ok(None);
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Ok(None);
    };
    let scope = match zone.parse() {
        Ok(number) => number,
        Err(_) => {
            let socket = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            rustix::net::netdevice::name_to_index(&socket, zone)?
        }
    };
    Ok(Some(SocketAddrV6::new(address, url.port, 0, scope).into()))
}

async fn encrypt(tcp: TcpStream, url: &CameraUrl, tls: &Tls) -> Result<Stream, DialError> {
    let failed = |cause| DialError::Tls {
        host: url.host.clone(),
        cause,
    };
    let check = CertificateCheck::new(tls).await;
    let config = check
        .config()
        .map_err(|cause| failed(io::Error::other(cause)))?;
    let host = url.host.split('%').next().unwrap_or_default();
    let name =
        ServerName::try_from(host.to_owned()).map_err(|cause| failed(io::Error::other(cause)))?;
    match TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, tcp)
        .await
    {
        Ok(tls) => Ok(Stream::Tls(Box::new(tls), check.name())),
        Err(cause) => Err(match (refusal(&cause), check.seen()) {
            (Some(refused), Some(Seen { certificate, doubt })) => match doubt {
                None => DialError::Certificate {
                    cause: refused,
                    seen: certificate,
                },
                Some(KeyDoubt::Unchecked(key)) => DialError::Key { key, cause },
                Some(KeyDoubt::Foreign) => DialError::Impostor {
                    host: url.host.clone(),
                },
            },
            _ => failed(cause),
        }),
    }
}

/// The certificate's fault, if it was that.
fn refusal(error: &io::Error) -> Option<rustls::Error> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        error @ rustls::Error::InvalidCertificate(_) => Some(error.clone()),
        _ => None,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls, _) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls, _) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls, _) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls, _) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn receive_buffer_grows_with_what_is_read_if_the_system_lets_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap());
        let mut stream = Stream::Plain(connected.await.unwrap());
        let (mut camera, _) = listener.accept().unwrap();
        camera.set_nonblocking(true).unwrap();
        let before = stream.receive_buffer().unwrap();
        let mut piece = vec![0; 1 << 20];
        // What is full when it is read grows at once, unless the sender is slow.
        for _ in 0..100 {
            let mut waits = 0;
            while let Ok(sent) = camera.write(&piece) {
                waits += sent;
            }
            while waits > 0 {
                waits -= stream.read(&mut piece).await.unwrap();
            }
        }
        let setting =
            |name| fs::read_to_string(Path::new("/proc/sys/net/ipv4").join(name)).unwrap();
        let sizes = setting("tcp_rmem");
        let sizes = Vec::from_iter(sizes.split_whitespace().map(|n| n.parse::<u64>().unwrap()));
        let grows = sizes[2] > sizes[1] && setting("tcp_moderate_rcvbuf").trim() == "1";
        assert_eq!(before, sizes[1]);
        assert_eq!(stream.receive_buffer() > Some(before), grows);
    }
}
