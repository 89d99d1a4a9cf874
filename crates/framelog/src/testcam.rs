//! A camera made of software: a real HTTP server with real moving pictures, for trying things out, for tests and for measuring.
//!
//! It speaks as mjpg-streamer and ustreamer do (HTTP/1.0, a body that ends with the connection, `X-Timestamp`), and on request as worse
//! cameras do. Not a copy of any camera: whole catalogues of misbehaviour are for the tests.

mod font;
mod picture;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::config::secret::Password;

pub use picture::{DrawError, Extent, Size};

/// What the stamps of the pictures are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Stamps {
    /// The time of day, as ustreamer sends it.
    #[default]
    Wall,
    /// Seconds since the camera was started, as V4L2 gives them (camera quirk 52).
    Uptime,
    /// `0.000000` for ever (camera quirk 51).
    Zero,
    /// None.
    None,
}

/// How the camera misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Quirk {
    /// Parts without Content-Length (camera quirk 24).
    NoLength,
    /// A Content-Length that is too large or too small, in turns (33, 34).
    WrongLength,
    /// Pictures without Huffman tables, as UVC cameras send them (46).
    NoHuffman,
    /// After 10 s nothing comes any more, but the connection stays (61).
    Stall,
    /// The connection ends after 100 pictures (64).
    Close,
    /// A second client is sent away with 503 and Retry-After (12).
    OneClient,
}

/// User name and password that the camera asks for (Basic).
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Password,
}

/// How the camera behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Drawn into its pictures.
    pub name: String,
    /// Pictures a second, 1 to 1000.
    pub fps: u32,
    /// How large they are.
    pub extent: Extent,
    /// What their stamps are.
    pub stamps: Stamps,
    /// Who may look; everybody if `None`.
    pub login: Option<Login>,
    /// How it misbehaves.
    pub quirks: Vec<Quirk>,
}

/// Why a test camera did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is not ours, or taken.
    #[error("cannot listen on {listen}: {error}; choose another address or port")]
    Listen {
        /// As asked for.
        listen: SocketAddr,
        /// The cause.
        #[source]
        error: io::Error,
    },
    /// There are no pictures.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

/// What all connections share.
#[derive(Debug)]
struct Scene {
    options: Options,
    frames: Vec<Bytes>,
    started: Instant,
}

/// A running test camera. It ends when this is dropped.
#[derive(Debug)]
pub struct Testcam {
    address: SocketAddr,
    plugged_in: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Testcam {
    /// Draws the pictures and starts to listen.
    ///
    /// # Errors
    /// If the address cannot be listened on, or pictures of the wanted size cannot be made.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let listen = options.listen;
        let failed = |error| StartError::Listen { listen, error };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut frames = picture::draw_loop(&options.name, options.extent)?;
        if options.quirks.contains(&Quirk::NoHuffman) {
            frames = frames
                .iter()
                .map(|jpeg| picture::without_huffman_tables(jpeg))
                .collect();
        }
        let scene = Arc::new(Scene {
            options,
            frames,
            started: Instant::now(),
        });
        let (plugged_in, plug) = watch::channel(true);
        let task = tokio::spawn(serve(listener, address, scene, plug));
        Ok(Self {
            address,
            plugged_in,
            task,
        })
    }

    /// Where it listens, with the port that it got: for those who speak to it by hand.
    #[cfg(test)]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its stream.
    pub fn url(&self) -> String {
        format!("http://{}/stream", self.address)
    }

    /// Pulls the plug: connections end and new ones are refused.
    pub fn unplug(&self) {
        self.plugged_in.send_replace(false);
    }

    /// Puts the plug back in: it listens again at the same address.
    pub fn plug_in(&self) {
        self.plugged_in.send_replace(true);
    }
}

impl Drop for Testcam {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves while plugged in; ends when the [`Testcam`] is dropped or the address was taken by another.
async fn serve(
    first: TcpListener,
    address: SocketAddr,
    scene: Arc<Scene>,
    mut plug: watch::Receiver<bool>,
) {
    let mut listener = Some(first);
    loop {
        let listening = match listener.take() {
            Some(listener) => listener,
            None => match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%address, %error, "test camera cannot listen again");
                    return;
                }
            },
        };
        tokio::select! {
            () = accept(listening, &scene) => {}
            _ = plug.wait_for(|&plugged_in| !plugged_in) => {}
        }
        if plug.wait_for(|&plugged_in| plugged_in).await.is_err() {
            return;
        }
    }
}

/// Serves every client. Dropping the future drops the listener and all connections.
async fn accept(listener: TcpListener, scene: &Arc<Scene>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let alone = connections.is_empty();
                    connections.spawn(server::answer(socket, Arc::clone(scene), alone));
                }
                Err(error) => {
                    tracing::warn!(%error, "test camera cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
