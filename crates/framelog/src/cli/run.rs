//! `framelog run`: the daemon under its signals. What it does is `crate::run`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use framelog_store::identity;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::cli::Failure;
use crate::config::{Config, Problem};
use crate::logging;
use crate::reload::Reload;
use crate::run::{Order, record};
use crate::service;
use crate::status::Status;

/// So many may wait for a reload; further ones are turned away.
const RELOADS_MAX: usize = 8;

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
    tokio::spawn(logging::tell_of_lines_left_out());
    let (config, warnings) = Config::load(&file).map_err(|p| Failure::configuration(&p))?;
    log_warnings(&warnings);
    refuse_second(&config.storage.path)?;
    let signals =
        Signals::listen().map_err(|e| Failure::failed(format!("can't listen for signals: {e}")))?;
    let status = Arc::<Status>::default();
    let (orders, received) = mpsc::channel(1);
    let (reloads, asked) = mpsc::channel(RELOADS_MAX);
    let keeper = Keeper {
        file,
        orders,
        status: Arc::clone(&status),
    };
    tokio::spawn(signals.obey(keeper, asked));
    record(config, status, received, reloads)
        .await
        .map_err(Failure::failed)
}

/// Of two recorders on a directory the second one would be told only that its port is taken.
fn refuse_second(storage: &Path) -> Result<(), Failure> {
    match identity::is_recording(storage) {
        Ok(true) => Err(Failure::failed(framelog_store::Error::Locked {
            path: storage.to_owned(),
        })),
        // What can't be looked at can't be opened either, and that says why.
        _ => Ok(()),
    }
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

    /// Makes orders of signals and of what is asked for. After the first that says stop, the second stops at once.
    async fn obey(mut self, keeper: Keeper, mut asked: mpsc::Receiver<oneshot::Sender<Reload>>) {
        loop {
            let answer = tokio::select! {
                is_reload = self.is_reload() => match is_reload {
                    true => None,
                    false => break,
                },
                Some(answer) = asked.recv() => Some(answer),
            };
            keeper.reload(answer).await;
        }
        // Not awaited: a reload in progress must not keep the second signal from being heard.
        let stop = keeper.orders.send(Order::Stop);
        tokio::pin!(stop);
        let mut is_sent = false;
        loop {
            tokio::select! {
                _ = &mut stop, if !is_sent => is_sent = true,
                is_reload = self.is_reload() => if !is_reload { break },
            }
        }
        tracing::warn!("stopped at once; frames of the last moments may be lost");
        logging::end();
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

/// Who reads the configuration file, and knows which it is.
struct Keeper {
    file: PathBuf,
    orders: mpsc::Sender<Order>,
    status: Arc<Status>,
}

impl Keeper {
    /// Reads the file again. What became of it is told to who asked, if anybody did, to the service manager and to the status, once it is known.
    async fn reload(&self, asked: Option<oneshot::Sender<Reload>>) {
        service::reloading();
        let (answer, applied) = oneshot::channel();
        let (refused, warnings) = match Config::load(&self.file) {
            Ok((config, warnings)) => {
                log_warnings(&warnings);
                // Fails when nobody records any more; then nobody answers either.
                let _ = self
                    .orders
                    .send(Order::Apply(Box::new(config), answer))
                    .await;
                (None, warnings)
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(%problem, "configuration is wrong; nothing changed");
                }
                (Some(Reload::refused(&problems)), Vec::new())
            }
        };
        let status = Arc::clone(&self.status);
        // Beside: while cameras say good-bye, signals must be heard.
        tokio::spawn(async move {
            let reload = match refused {
                Some(refused) => refused,
                None => match applied.await {
                    Ok(applied) => applied.doubting(&warnings),
                    Err(_) => return,
                },
            };
            status.set_reload(reload.clone());
            service::reloaded();
            if let Some(asked) = asked {
                // Who asked may have gone.
                let _ = asked.send(reload);
            }
        });
    }
}

fn log_warnings(warnings: &[Problem]) {
    for problem in warnings {
        tracing::warn!(%problem, "configuration is doubtful");
    }
}
