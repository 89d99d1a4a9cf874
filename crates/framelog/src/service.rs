//! What the service manager is told (sd_notify(3)): that recording has begun, how it goes, and that it still goes. Without one, nothing. Not for
//! deciding what to do about any of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::status::Status;

mod progress;
mod summary;

use progress::Progress;

/// How often it is looked what there is to tell, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Nothing counts as stuck before this: so long may a disk take to wake up.
const STUCK_MIN: Duration = Duration::from_secs(10);

/// Recording has begun once: until then a reload is a part of the start.
static IS_READY: AtomicBool = AtomicBool::new(false);

/// Recording has begun; whoever looks at once should not read that it starts.
pub fn ready(status: &Status) {
    IS_READY.store(true, Relaxed);
    let summary = summary::of(status);
    notify(&[NotifyState::Ready, NotifyState::Status(&summary)]);
}

/// The configuration is read again, until [`reloaded`].
pub fn reloading() {
    if IS_READY.load(Relaxed)
        && let Ok(now) = NotifyState::monotonic_usec_now()
    {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// What was read is applied, or nothing is changed.
pub fn reloaded() {
    if IS_READY.load(Relaxed) {
        notify(&[NotifyState::Ready]);
    }
}

/// No frame is taken any more; what waits is written.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells how recording goes for as long as it is polled, and feeds the watchdog while frames reach the disk or are counted as lost by those who write:
/// who waits for a writer or the index that does nothing any more for half of `WatchdogSec=` is helped by a new start only.
pub async fn tell(status: Arc<Status>) -> Infallible {
    let watchdog = sd_notify::watchdog_enabled();
    let patience = watchdog.map_or(Duration::MAX, |most| (most / 2).max(STUCK_MIN));
    let period = watchdog.map_or(LOOK_EVERY, |most| LOOK_EVERY.min(most / 4));
    let mut looks = tokio::time::interval(period.max(Duration::from_millis(100)));
    let mut progress = Progress::default();
    let (mut said, mut was_stuck) = (String::new(), false);
    loop {
        looks.tick().await;
        let now = Instant::now();
        let summary = summary::of(&status);
        if summary != said {
            notify(&[NotifyState::Status(&summary)]);
            said = summary;
        }
        let stuck = progress.stuck(&status.snapshots(now), status.index_cycles(), now);
        let stuck = stuck.filter(|stuck| stuck.silent_for > patience);
        match &stuck {
            Some(stuck) if !was_stuck => tracing::error!(
                silent_s = stuck.silent_for.as_secs(),
                "{} is stuck: the watchdog will start framelog again; see dmesg for what the disk says",
                stuck.what
            ),
            None if watchdog.is_some() => notify(&[NotifyState::Watchdog]),
            _ => {}
        }
        was_stuck = stuck.is_some();
    }
}

/// A manager that can't be told is none that could be told so.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
