//! A proxy that keeps every byte which a server sends: the witness for servers that we did not write.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{RUNTIME, bound};

/// See the module. It stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Passes connections on to a port of this machine.
    pub fn start(port: u16) -> Self {
        let (listener, address) = bound("127.0.0.1:0");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let task = RUNTIME.spawn(accept(listener, port, Arc::clone(&heard)));
        Self {
            address,
            heard,
            task,
        }
    }

    /// What the server has sent so far, by connection.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().expect("nothing panics with it").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        let number = {
            let mut heard = heard.lock().expect("nothing panics with it");
            heard.push(Vec::new());
            heard.len() - 1
        };
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let requests = tokio::io::copy(&mut from_client, &mut to_server);
            let answers = async {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    heard.lock().expect("nothing panics with it")[number].extend(&buffer[..length]);
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            };
            // Whichever side ends first ends both.
            tokio::select! { _ = requests => {}, () = answers => {} }
        });
    }
}
