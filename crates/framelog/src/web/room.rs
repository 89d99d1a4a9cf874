//! How much memory and how many threads those who watch may take, whatever they ask for and however slowly they read. Not for connections: those
//! are counted in `web`.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{JSON, Refusal, of_kind};

/// So many streams at a time.
pub const STREAMS_MAX: usize = 16;

/// So many other requests that are being answered; more wait.
const READERS_MAX: usize = 8;

/// So long they wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// So much footage is in memory for all who watch, bytes: more than the largest frame.
pub const BYTES_MAX: u32 = 64 << 20;

/// Shared by all who watch.
#[derive(Clone, Debug)]
pub struct Room {
    bytes: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(BYTES_MAX as usize)),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }
}

/// Room for something that is about to be read.
#[derive(Debug)]
pub struct Taken {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Waits until there is room for so many bytes, or for all that there may be.
    pub async fn take(&self, bytes: u64) -> Taken {
        let bytes = u32::try_from(bytes).map_or(BYTES_MAX, |bytes| bytes.min(BYTES_MAX));
        let permit = self.bytes.clone().acquire_many_owned(bytes).await;
        // It fails only where it was closed, which it never is.
        let _permit = permit.ok();
        Taken { _permit }
    }

    /// An object, which takes room until it has been sent.
    pub async fn json(&self, told: &impl Serialize) -> Result<Response, Refusal> {
        let mut bytes = serde_json::to_vec(told)
            .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        bytes.push(b'\n');
        let room = self.take(bytes.len() as u64).await;
        Ok(of_kind(StatusCode::OK, JSON, room.by(bytes)))
    }

    /// Waits until one more may read; `None` if that takes too long.
    pub async fn reader(&self) -> Option<OwnedSemaphorePermit> {
        let seat = self.readers.clone().acquire_owned();
        tokio::time::timeout(PATIENCE, seat).await.ok()?.ok()
    }

    /// A stream more; `None` if there are too many.
    pub fn stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }
}

impl Taken {
    /// These bytes, which take the room until the last of them has been sent.
    pub fn by(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

struct Held {
    bytes: Vec<u8>,
    _room: Taken,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn footage_takes_room_until_it_has_been_sent() {
        let room = Room::default();
        let all = room.take(u64::MAX).await.by(vec![1, 2, 3]);
        let rest = all.slice(2..);
        drop(all);
        assert!(room.take(1).now_or_never().is_none(), "a part is held");
        drop(rest);
        assert!(room.take(1).now_or_never().is_some());
    }

    #[test]
    fn streams_are_few() {
        let room = Room::default();
        let mut streams: Vec<_> = (0..STREAMS_MAX).map(|_| room.stream()).collect();
        assert!(streams.iter().all(Option::is_some));
        assert!(room.stream().is_none());
        streams.pop();
        assert!(room.stream().is_some());
    }
}
