//! The index, for those who ask: opened for each, where nobody waits for the disk, and closed before the store is. Not for what is asked.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::StatusCode;
use framelog_store::{Error, Reader};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::answer::Refusal;
use super::room::Room;
use crate::footage::watchers::Watcher;
use crate::status::Status;

/// The index of what is recorded now.
#[derive(Clone, Debug)]
pub struct Index {
    status: Arc<Status>,
    /// What those who ask may take.
    pub room: Room,
}

impl Index {
    /// Of this recorder.
    pub fn of(status: Arc<Status>) -> Self {
        Self {
            status,
            room: Room::default(),
        }
    }

    /// Where it is now, and that somebody reads it.
    pub fn enter(&self) -> Result<(PathBuf, Watcher), Refusal> {
        if let Some(no_storage) = self.status.no_storage() {
            return Err(unavailable(no_storage.why));
        }
        let Some(recorder) = self.status.recorder() else {
            return Err(unavailable(
                "starting: the storage directory is being opened",
            ));
        };
        let watcher = recorder.watchers.enter().ok_or_else(closing)?;
        Ok((recorder.path, watcher))
    }

    /// Does some work with it. That ends early when who asked has gone, or the store closes.
    pub async fn read<T: Send + 'static, W: Future<Output = Result<T, Refusal>>>(
        &self,
        work: impl FnOnce(Reader) -> W + Send + 'static,
    ) -> Result<T, Refusal> {
        let (path, watcher) = self.enter()?;
        let seat = tokio::select! {
            seat = self.room.reader() => seat,
            () = watcher.ending() => return Err(closing()),
        };
        let Some(seat) = seat else {
            return Err(unavailable(
                "the disk or the network is too slow for all that is asked; ask again",
            ));
        };
        let gone = CancellationToken::new();
        let _asking = gone.clone().drop_guard();
        let runtime = Handle::current();
        let reading = spawn_blocking(move || {
            let _seat = seat;
            runtime.block_on(read(path, watcher, work, gone.cancelled()))
        });
        let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
        reading.await.map_err(failed)?
    }
}

/// Opens the index for some work, and closes it. Blocking. A disk that is taken away must not be held by a reader that is kept.
pub async fn read<T, W: Future<Output = Result<T, Refusal>>>(
    path: PathBuf,
    watcher: Watcher,
    work: impl FnOnce(Reader) -> W,
    gone: impl Future<Output = ()>,
) -> Result<T, Refusal> {
    let reader = Reader::open(&path).await.map_err(unreadable)?;
    let done = tokio::select! {
        done = work(reader.clone()) => done,
        () = watcher.ending() => Err(closing()),
        () = gone => Err(unavailable("nobody asks any more")),
    };
    reader.close().await;
    done
}

/// Not now; it may be later.
pub fn unavailable(why: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn closing() -> Refusal {
    unavailable("the recorder stops, or its storage directory has gone")
}

/// The index can't be read for this moment, or a frame's file is not as it was written, which only a person can mend.
pub fn unreadable(error: Error) -> Refusal {
    let code = match error {
        Error::Damaged { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(code, error.to_string())
}
