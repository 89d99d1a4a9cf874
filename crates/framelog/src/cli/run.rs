//! `framelog run`: the daemon under its signals. What it does is `crate::run`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::Failure;
use crate::config::{Config, Problem};
use crate::logging;
use crate::run::{Order, record};

/// `framelog run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file, in place of --config
    #[arg(value_name = "CONFIG")]
    file: Option<PathBuf>,
}

/// Records until a signal says stop.
///
/// # Errors
/// The configuration is wrong; or what [`record`] says.
pub async fn run(args: Args, config: PathBuf) -> Result<(), Failure> {
    let file = args.file.unwrap_or(config);
    logging::start().map_err(Failure::usage)?;
    let (config, warnings) = Config::load(&file).map_err(|p| Failure::configuration(&p))?;
    log_warnings(&warnings);
    let signals =
        Signals::listen().map_err(|e| Failure::failed(format!("can't listen for signals: {e}")))?;
    let (orders, received) = mpsc::channel(1);
    tokio::spawn(signals.obey(file, orders));
    record(config, Arc::default(), received)
        .await
        .map_err(Failure::failed)
}

struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Makes orders of signals. After the first that says stop, the second stops at once.
    async fn obey(mut self, file: PathBuf, orders: mpsc::Sender<Order>) {
        while self.is_reload().await {
            if let Some(config) = reload(&file)
                && orders.send(Order::Apply(Box::new(config))).await.is_err()
            {
                return;
            }
        }
        // Not awaited: a reload in progress must not keep the second signal from being heard.
        let stop = orders.send(Order::Stop);
        tokio::pin!(stop);
        let mut is_sent = false;
        loop {
            tokio::select! {
                _ = &mut stop, if !is_sent => is_sent = true,
                is_reload = self.is_reload() => if !is_reload { break },
            }
        }
        tracing::warn!("stopped at once; frames of the last moments may be lost");
        std::process::exit(1);
    }

    /// Waits for a signal: `true` to reload, `false` to stop.
    async fn is_reload(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.reload.recv() => true,
        }
    }
}

/// Reads the file again; `None` if it has errors, which are logged.
fn reload(file: &Path) -> Option<Config> {
    match Config::load(file) {
        Ok((config, warnings)) => {
            log_warnings(&warnings);
            Some(config)
        }
        Err(problems) => {
            for problem in problems {
                tracing::error!(%problem, "configuration is wrong; nothing changed");
            }
            None
        }
    }
}

fn log_warnings(warnings: &[Problem]) {
    for problem in warnings {
        tracing::warn!(%problem, "configuration is doubtful");
    }
}
