//! The daemon: what starts in which order, what a changed configuration changes, what stops in which order. Sees all, decides nothing
//! about cameras.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framelog_core::gap::GapReason;
use framelog_store::{Error as StoreError, Gone, Options, Store, Uuid};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock_watch::ClockWatch;
use crate::config::{Config, Http, Storage, retention};
use crate::footage::watchers::Watchers;
use crate::readers::Readers;
use crate::reload::{Outcome, Reload, Requests};
use crate::service;
use crate::status::{self, Gap, NoStorage, Reason, Status};
use crate::wall;
use crate::web::Server;
use crate::webhook;

mod cameras;

use cameras::{Cameras, Changes};

/// How often it is checked that the index is still written (without it the daemon ends, for systemd to start it again), and that this
/// machine's clock was not set.
const CHECK: Duration = Duration::from_secs(5);

/// How often a storage directory that is not there is looked for.
const REOPEN_EVERY: Duration = Duration::from_secs(2);

/// What a running daemon can be told.
#[derive(Debug)]
pub enum Order {
    /// Record as this configuration says from now on, and say what that changed.
    Apply(Box<Config>, oneshot::Sender<Reload>),
    /// Stop, with everything written.
    Stop,
}

/// Why the daemon could not start, go on, or stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage directory or the index.
    #[error("{0}")]
    Store(#[from] framelog_store::Error),
    /// No thread for the cameras.
    #[error("can't start threads: {0}; allow its user or unit more of them (ulimit -u, TasksMax=)")]
    Threads(io::Error),
    /// The web server's address.
    #[error("can't listen on {address} ([http] listen): {source}; use a free port, or port 0")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// Records as `config` says, obeying `orders`, until one says stop or nobody can give any more. Who asks the web server for a reload is heard at
/// the other end of `reloads`.
///
/// When the storage directory vanishes, the cameras are left alone until it is back; when the index does, until there is another one.
///
/// # Errors
/// A configured address can't be listened on, the storage can't be opened at the start, or the last commit failed.
pub async fn record(
    mut config: Config,
    status: Arc<Status>,
    mut orders: mpsc::Receiver<Order>,
    reloads: Requests,
) -> Result<(), Error> {
    let readers = Readers::start().map_err(Error::Threads)?;
    status.starts(config.storage.path.clone());
    let _web = start_web(&config.http, &status, reloads).await?;
    let _telling = Beside::start(service::tell(Arc::clone(&status)));
    let webhook = config.webhook.clone();
    let _webhook = webhook.map(|to| Beside::start(webhook::tell(to, Arc::clone(&status))));
    let mut absence = Absence::default();
    loop {
        let Some(store) = open(&mut config, &mut absence, &status, &mut orders).await? else {
            tracing::info!("stopped");
            return Ok(());
        };
        let ended = serve(&store, &readers, &mut config, &status, &mut orders).await?;
        let uuid = store.uuid();
        status.set_index_cycles(None);
        let closed = store.close().await;
        log_totals(&status);
        let Ended::Gone(gone) = ended else {
            closed?;
            tracing::info!("stopped");
            return Ok(());
        };
        match closed {
            // The footage has what the index could not take.
            Ok(()) | Err(StoreError::DamagedIndex { .. } | StoreError::Index { .. }) => {}
            Err(error) => {
                tracing::error!(%error, "not everything could be written to the storage that is gone");
            }
        }
        status.forget_cameras();
        absence = Absence::of(uuid, gone);
    }
}

/// That there is no store, and what is known of what is missing.
#[derive(Debug, Default)]
struct Absence {
    /// Who recorded there until directory or index vanished, and why it is gone.
    vanished: Option<(Uuid, Gone)>,
    /// The last reason in the log.
    said: String,
    /// There was no room to begin.
    was_full: bool,
}

impl Absence {
    fn of(uuid: Uuid, gone: Gone) -> Self {
        Self {
            said: gone.to_string(),
            vanished: Some((uuid, gone)),
            was_full: false,
        }
    }

    /// What the gap since the last footage says, if not that nobody ran.
    fn away(&self) -> Option<Gone> {
        let found_full = || {
            Gone::Directory(
                "framelog was not running, and found the disk full when it started".to_owned(),
            )
        };
        let vanished = self.vanished.as_ref().map(|(_, gone)| gone.clone());
        vanished.or_else(|| self.was_full.then(found_full))
    }

    /// Whether to try again after this: what was there once, or is named by its uuid, is expected to come, and so is room.
    fn passes(&self, error: &StoreError, pinned: Option<Uuid>) -> bool {
        let is_elsewhere = matches!(
            error,
            StoreError::Absent { .. } | StoreError::Foreign { .. }
        );
        self.vanished.is_some() || pinned.is_some() && is_elsewhere || error.is_full()
    }

    /// Says why not, once for each reason, and shows it.
    fn tell(&mut self, error: &StoreError, config: &Config, status: &Status) {
        let is_full = error.is_full();
        let why = match (&self.vanished, error) {
            // That was said when it vanished, in better words.
            (Some((_, Gone::Directory(why))), StoreError::Absent { .. }) => why.clone(),
            _ if is_full => format!(
                "the disk at {} is full and no footage may go, because it is protected or there is none",
                config.storage.path.display()
            ),
            _ => error.to_string(),
        };
        let retry_s = REOPEN_EVERY.as_secs();
        let reason = reason_of(error);
        match reason {
            _ if why == self.said => {}
            Reason::Gap(_) => tracing::error!(
                retry_s,
                "{why}: nothing is recorded until there is room; free the disk of other things, let footage go with `framelog unprotect`, or use a larger disk"
            ),
            Reason::ReadOnly => tracing::error!(
                reason = why,
                retry_s,
                "the disk is read-only: nothing is recorded until it can be written; see dmesg for why, and mount it read-write"
            ),
            Reason::NoStorage | Reason::DiskFails => tracing::error!(
                reason = why,
                retry_s,
                "no storage: nothing is recorded until it is there"
            ),
        }
        self.said.clone_from(&why);
        self.was_full |= is_full;
        show(NoStorage { why, reason }, config, status);
    }
}

/// What is told of a storage directory that can't be opened.
fn reason_of(error: &StoreError) -> Reason {
    match error {
        _ if error.is_full() => GapReason::DiskFull.into(),
        _ if error.is_read_only() => Reason::ReadOnly,
        _ => Reason::NoStorage,
    }
}

/// Shows that no camera is recorded, and why.
fn show(no_storage: NoStorage, config: &Config, status: &Status) {
    for camera in config.cameras.iter().filter(|camera| camera.enabled) {
        let shown = status.camera(&camera.name);
        shown.expect_nothing(true);
        shown.set_gap(
            wall::now_us(),
            Some(Gap {
                reason: no_storage.reason,
                detail: no_storage.why.clone(),
            }),
        );
    }
    status.set_no_storage(Some(no_storage));
}

/// Opens the store, waiting for its directory if that is expected to come; `None` if it is time to stop.
async fn open(
    config: &mut Config,
    absence: &mut Absence,
    status: &Status,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<Option<Store>, Error> {
    loop {
        let pinned = config.storage.uuid;
        let uuid = absence.vanished.as_ref().map(|(uuid, _)| *uuid);
        let options = Options {
            uuid: uuid.or(pinned),
            away: absence.away(),
            layout: config.storage.layout,
            sync: config.storage.sync,
            rules: config.rules(),
            ..Options::new(config.storage.path.clone())
        };
        // A thread of its own: a disk that hangs must not keep us from orders.
        let runtime = tokio::runtime::Handle::current();
        let mut opening =
            tokio::task::spawn_blocking(move || runtime.block_on(Store::open(options)));
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                order = orders.recv() => match order {
                    Some(Order::Apply(new, answer)) => take_up_later(config, *new, answer),
                    _ => return Ok(None),
                },
            }
        };
        let error = match opened {
            Ok(Ok(store)) => {
                status.set_no_storage(None);
                return Ok(Some(store));
            }
            Ok(Err(error)) => error,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        if !absence.passes(&error, pinned) {
            return Err(error.into());
        }
        absence.tell(&error, config, status);
        tokio::select! {
            () = tokio::time::sleep(REOPEN_EVERY) => {}
            order = orders.recv() => match order {
                Some(Order::Apply(new, answer)) => take_up_later(config, *new, answer),
                _ => return Ok(None),
            },
        }
    }
}

/// While nothing is recorded, a changed configuration waits with the rest.
fn take_up_later(config: &mut Config, new: Config, answer: oneshot::Sender<Reload>) {
    let reload = Reload {
        rules: changed_rules(config, &new),
        restart: sections_for_a_restart(config, &new),
        ..Reload::now(Outcome::Waiting)
    };
    config.take_up(new);
    tracing::info!("configuration will be applied when the storage is there");
    // Who asked may have gone.
    let _ = answer.send(reload);
}

/// Why recording ended.
enum Ended {
    /// As ordered, or because the index has ended.
    Stopped,
    /// The store can't go on: why.
    Gone(Gone),
}

/// Records into this store until it is time to close it.
async fn serve(
    store: &Store,
    readers: &Readers,
    config: &mut Config,
    status: &Status,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<Ended, Error> {
    let mut cameras = Cameras::new(store, readers, status, config.storage.segment);
    let watchers = Watchers::default();
    status.opened(status::Recorder {
        uuid: store.uuid().to_string(),
        path: config.storage.path.clone(),
        since_us: wall::now_us(),
        watchers: watchers.clone(),
    });
    status.set_index_cycles(Some(store.index_cycles()));
    // What was read while the storage was being opened.
    store.set_rules(config.rules());
    if let Err(error) = cameras.apply(&config.cameras).await {
        watchers.end().await;
        return Err(error.into());
    }
    status.reload_waits_no_more();
    service::ready(status);
    tracing::info!(cameras = config.cameras.len(), path = %config.storage.path.display(), uuid = %store.uuid(), "started");

    let mut checks = tokio::time::interval(CHECK);
    let mut clock = ClockWatch::new();
    let mut is_ordered = false;
    while store.is_indexing() {
        let order = tokio::select! {
            order = orders.recv() => order,
            _ = checks.tick() => {
                if clock.look() {
                    status.count_clock_step();
                }
                status.set_limits(store.keeping(), config.rules());
                status.set_rows_waiting(store.rows_waiting());
                status.sample(std::time::Instant::now());
                continue;
            }
            _ = store.gone() => break,
        };
        let Some(Order::Apply(new, answer)) = order else {
            is_ordered = true;
            break;
        };
        // Who asked may have gone.
        let _ = answer.send(take_up(*new, config, store, &mut cameras).await);
    }
    let gone = store.why_gone().filter(|_| !is_ordered);
    match &gone {
        Some(gone) => {
            tell_gone(gone, config);
            status.set_no_storage(Some(NoStorage {
                why: gone.to_string(),
                reason: Reason::NoStorage,
            }));
        }
        None => {
            service::stopping();
            tracing::info!("stopping");
        }
    }
    tokio::join!(cameras.stop(), watchers.end());
    Ok(gone.map_or(Ended::Stopped, Ended::Gone))
}

/// Records as `new` says from now on.
async fn take_up(
    new: Config,
    config: &mut Config,
    store: &Store,
    cameras: &mut Cameras<'_>,
) -> Reload {
    let about = Reload {
        rules: changed_rules(config, &new),
        restart: sections_for_a_restart(config, &new),
        ..Reload::default()
    };
    store.set_rules(new.rules());
    let applied = cameras.apply(&new.cameras).await;
    config.take_up(new);
    match applied {
        Ok(Changes {
            added,
            removed,
            enabled,
            disabled,
            changed,
        }) => {
            tracing::info!(
                ?added,
                ?removed,
                ?enabled,
                ?disabled,
                ?changed,
                "configuration applied"
            );
            Reload {
                added,
                removed,
                enabled,
                disabled,
                changed,
                ..about.ended(Outcome::Applied)
            }
        }
        Err(error) => {
            tracing::error!(%error, "can't take up all cameras; reload again when the storage is well");
            Reload {
                problems: vec![error.to_string()],
                ..about.ended(Outcome::Failed)
            }
        }
    }
}

fn tell_gone(gone: &Gone, config: &Config) {
    let path = config.storage.path.display();
    match gone {
        Gone::Directory(why) => {
            tracing::error!(%path, "{why}: nothing is recorded until it is there again");
        }
        Gone::Index(why) => {
            tracing::error!(%path, "{why}: recording goes on with an index that is made anew from the footage");
        }
    }
}

/// What runs beside the recording; dropping it stops it.
struct Beside(JoinHandle<()>);

impl Beside {
    fn start(task: impl Future<Output = Infallible> + Send + 'static) -> Self {
        Self(tokio::spawn(async { match task.await {} }))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn start_web(
    http: &Http,
    status: &Arc<Status>,
    reloads: Requests,
) -> Result<Option<Beside>, Error> {
    let server = match Server::bind(http.listen).await {
        Ok(server) => server,
        Err(source) if http.must_listen => {
            return Err(Error::Listen {
                address: http.listen,
                source,
            });
        }
        Err(error) => {
            tracing::warn!(address = %http.listen, %error, "no web server; set [http] listen to a free port");
            return Ok(None);
        }
    };
    status.listens(server.address());
    tracing::info!(
        url = format_args!("http://{}", server.address()),
        "listening"
    );
    let serving = server.serve(Arc::clone(status), http.token.clone(), reloads);
    Ok(Some(Beside::start(serving)))
}

/// The sections that a restart only applies, which is said.
fn sections_for_a_restart(old: &Config, new: &Config) -> Vec<String> {
    let with_rules_of_new = Storage {
        retain: new.storage.retain,
        max_size: new.storage.max_size,
        min_free: new.storage.min_free,
        ..old.storage.clone()
    };
    let mut sections = Vec::new();
    for (section, is_changed) in [
        ("storage", with_rules_of_new != new.storage),
        ("http", old.http != new.http),
        ("webhook", old.webhook != new.webhook),
    ] {
        if is_changed {
            tracing::warn!(section, "section changed; restart framelog to apply it");
            sections.push(section.to_owned());
        }
    }
    sections
}

/// Which rules are others now, which is said: they may make footage go at once.
fn changed_rules(old: &Config, new: &Config) -> Vec<String> {
    let changes = retention::changes(&old.rules(), &new.rules());
    if !changes.is_empty() {
        tracing::info!("what footage may go has changed: {}", changes.join(", "));
    }
    changes
}

/// Says what became of every part: guarantee 1, at the end of the run.
fn log_totals(status: &Status) {
    for camera in status.snapshots(Instant::now()) {
        let (counts, counters) = (camera.counts, camera.stored);
        tracing::info!(
            camera = camera.name,
            parts = counters.parts,
            stored = counters.stored_frames,
            bytes = counters.stored_bytes,
            skipped_empty = counters.skipped_empty,
            skipped_not_picture = counters.skipped_not_picture,
            skipped_torn = counters.skipped_torn,
            skipped_too_large = counters.skipped_too_large,
            disk_slow = counters.dropped_disk_slow,
            disk_full = counters.dropped_disk_full,
            connections = counts.connections,
            panics = counts.panics,
            "totals"
        );
    }
}
