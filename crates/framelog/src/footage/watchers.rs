//! Who reads the footage of a store while it is recorded to. Before the store closes they end, so that nobody holds a disk that is to be taken
//! away, and the index is one file without a log. Not for how many they may be.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// So long is waited for them: whoever reads longer waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those of one store. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    ending: CancellationToken,
    tracker: TaskTracker,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    ending: CancellationToken,
    _counted: TaskTrackerToken,
}

impl Watchers {
    /// One more; `None` once they are to end.
    pub fn enter(&self) -> Option<Watcher> {
        let watcher = Watcher {
            ending: self.ending.clone(),
            _counted: self.tracker.token(),
        };
        (!self.ending.is_cancelled()).then_some(watcher)
    }

    /// Tells all that they are to end, and waits until they have.
    pub async fn end(&self) {
        self.ending.cancel();
        self.tracker.close();
        // What they still hold then they hold.
        let _ = tokio::time::timeout(PATIENCE, self.tracker.wait()).await;
    }
}

impl Watcher {
    /// Waits until it is to end.
    pub async fn ending(&self) {
        self.ending.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_end_waits_for_who_reads_and_lets_nobody_in() {
        let watchers = Watchers::default();
        let watcher = watchers.enter().expect("nobody ends yet");
        let mut end = Box::pin(watchers.end());
        assert!(end.as_mut().now_or_never().is_none());
        watcher.ending().await;
        assert!(watchers.enter().is_none());
        drop(watcher);
        end.await;
    }
}
