//! Where a writer thread that found the disk full asks for room, and waits; and what keeps all of them from space that is given up
//! for the index. Not for making room: that is `retention`.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard};

/// How long a writer waits for an answer. Its other cameras' frames wait as long.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a refusal nobody asks for so long.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Requests for room on the disk, and the answers.
#[derive(Debug, Default)]
pub(crate) struct Room {
    requests: Mutex<Requests>,
    answered: Condvar,
    asked: Notify,
    /// Shared by those who write footage, whole while space is given up that is not for footage.
    space: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct Requests {
    /// Bytes that nobody has taken on yet.
    wanted: u64,
    /// How many were made, and how many of them are answered.
    made: u64,
    answered: u64,
    /// The last answer.
    is_granted: bool,
    refused: Option<Instant>,
}

/// Requests that are being worked on, and the bytes that they want together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    made: u64,
    pub bytes: u64,
}

impl Room {
    /// Asks for room and waits for it: true if there is some now. Blocking, for 2 s at most; for 1 s after a refusal the answer
    /// is no at once.
    pub fn ask(&self, bytes: u64) -> bool {
        let mut requests = self.lock();
        if requests
            .refused
            .is_some_and(|refused| refused.elapsed() < REFUSED_FOR)
        {
            return false;
        }
        requests.wanted = requests.wanted.saturating_add(bytes.max(1));
        requests.made += 1;
        let mine = requests.made;
        self.asked.notify_one();
        let (mut requests, waited) = self
            .answered
            .wait_timeout_while(requests, PATIENCE, |requests| requests.answered < mine)
            .unwrap_or_else(PoisonError::into_inner);
        let is_granted = !waited.timed_out() && requests.is_granted;
        requests.refused = (!is_granted).then(Instant::now);
        is_granted
    }

    /// Held while footage is written, and not while room is asked for. Blocking: not on a thread of the runtime.
    pub fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.space.blocking_read()
    }

    /// Held while no footage may be written. `None` if a writer hangs on the disk for 2 s.
    pub async fn without_writers(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        let space = self.space.clone().write_owned();
        tokio::time::timeout(PATIENCE, space).await.ok()
    }

    /// Resolves when room is asked for.
    pub fn asked(&self) -> Notified<'_> {
        self.asked.notified()
    }

    /// Whether somebody waits for room and nobody has taken that on.
    pub fn is_asked(&self) -> bool {
        self.lock().wanted > 0
    }

    /// Takes on what is asked for: whoever does must answer.
    pub fn take(&self) -> Option<Request> {
        let mut requests = self.lock();
        let bytes = std::mem::take(&mut requests.wanted);
        let request = Request {
            made: requests.made,
            bytes,
        };
        (bytes > 0).then_some(request)
    }

    /// Answers a request: there is room now, or nothing may go.
    pub fn answer(&self, request: Request, is_granted: bool) {
        let mut requests = self.lock();
        requests.answered = request.made;
        requests.is_granted = is_granted;
        drop(requests);
        self.answered.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // Nothing panics while it is held.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Waits until so many have asked, and answers.
    fn answer(room: &Room, asking: u64, is_granted: bool) -> Request {
        while room.lock().made < asking {
            thread::yield_now();
        }
        let request = room.take().unwrap();
        room.answer(request, is_granted);
        request
    }

    #[test]
    fn all_who_wait_get_one_answer_to_the_sum_of_what_they_want() {
        let room = Arc::new(Room::default());
        let asking: Vec<_> = [5, 7]
            .map(|bytes| {
                let room = room.clone();
                thread::spawn(move || room.ask(bytes))
            })
            .into();
        assert_eq!(answer(&room, 2, true).bytes, 12);
        assert!(asking.into_iter().all(|thread| thread.join().unwrap()));
        assert_eq!(room.take(), None);
    }

    #[test]
    fn after_a_refusal_nobody_waits() {
        let room = Arc::new(Room::default());
        let asking = {
            let room = room.clone();
            thread::spawn(move || room.ask(1))
        };
        answer(&room, 1, false);
        assert!(!asking.join().unwrap());
        assert!(!room.ask(1));
        assert!(!room.is_asked(), "the second was not even heard");
    }

    #[tokio::test]
    async fn nobody_writes_while_space_is_given_up() {
        let room = Arc::new(Room::default());
        let held = room.without_writers().await;
        assert!(held.is_some());
        let writing = {
            let room = room.clone();
            thread::spawn(move || drop(room.writing()))
        };
        thread::sleep(Duration::from_millis(50));
        assert!(!writing.is_finished());
        drop(held);
        writing.join().unwrap();
    }
}
