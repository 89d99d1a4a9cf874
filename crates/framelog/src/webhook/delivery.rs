//! Events on their way: in order, each until it is taken or too old, and never more than so many. Not for what they say.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use framelog_core::backoff::Backoff;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::event::Event;
use super::post::{PostError, post};
use crate::config::Webhook;

/// So many wait at most; for a further one the oldest is dropped.
const WAITING_MAX: usize = 256;

/// How long what is tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Connection and answer of one try.
    pub answer: Duration,
    /// The least pause between two tries.
    pub first: Duration,
    /// The bound that pauses grow up to.
    pub longest: Duration,
    /// Older events are given up after a try.
    pub age_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            age_max: Duration::from_secs(3600),
        }
    }
}

/// Events that wait, with when they came.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<(Event, Instant)>,
    /// Dropped or given up since one was taken.
    missed: u64,
}

impl Queue {
    /// Puts one behind the others, at once.
    pub fn push(&self, event: Event, now: Instant) {
        let mut waiting = self.lock();
        if waiting.events.len() >= WAITING_MAX {
            waiting.events.pop_front();
            waiting.missed += 1;
        }
        waiting.events.push_back((event, now));
        drop(waiting);
        self.came.notify_one();
    }

    /// The oldest, which stays until it is done with.
    async fn oldest(&self) -> (Event, Instant) {
        loop {
            if let Some((event, since)) = self.lock().first() {
                return (event, since);
            }
            self.came.notified().await;
        }
    }

    /// It is told, or given up. Meanwhile it may have been dropped.
    fn done(&self, event: &Event, is_told: bool) {
        let mut waiting = self.lock();
        if is_told {
            waiting.missed = waiting.missed.saturating_sub(event.missed);
        }
        let is_first = waiting
            .events
            .front()
            .is_some_and(|(first, _)| first.id == event.id);
        match (is_first, is_told) {
            (true, _) => {
                waiting.events.pop_front();
                waiting.missed += u64::from(!is_told);
            }
            // Counted when it was dropped.
            (false, true) => waiting.missed = waiting.missed.saturating_sub(1),
            (false, false) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Whole between statements.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn first(&self) -> Option<(Event, Instant)> {
        let (event, since) = self.events.front()?;
        let event = Event {
            missed: self.missed,
            ..event.clone()
        };
        Some((event, *since))
    }
}

/// Sends what the queue holds, one after the other, for as long as it is polled. Log lines: when it begins to fail, each event that is given up, and
/// when it works again.
pub async fn deliver(to: &Webhook, queue: &Queue, patience: Patience) -> Infallible {
    let mut backoff = Backoff::new(patience.first, patience.longest);
    loop {
        let (event, since) = queue.oldest().await;
        let posted = timeout(patience.answer, post(to, &event)).await;
        let Err(error) = posted.unwrap_or(Err(PostError::Silent)) else {
            if backoff.attempts() > 0 {
                tracing::info!(to = to.shown(), "webhook is taken again");
            }
            backoff.reset();
            queue.done(&event, true);
            continue;
        };
        if !error.passes() || since.elapsed() > patience.age_max {
            tracing::warn!(to = to.shown(), event = event.event, camera = event.camera, %error, "webhook was not told");
            queue.done(&event, false);
            if !error.passes() {
                continue;
            }
        } else if backoff.attempts() == 0 {
            tracing::warn!(to = to.shown(), %error, "webhook is not taken; it is tried again for an hour");
        }
        tokio::time::sleep(backoff.next_delay(fastrand::u32(..))).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::secret::Password;
    use crate::config::url::CameraUrl;
    use crate::status::Status;
    use crate::webhook::changes::Change;

    const PATIENCE: Patience = Patience {
        answer: Duration::from_millis(300),
        first: Duration::from_millis(10),
        longest: Duration::from_millis(20),
        age_max: Duration::from_secs(3600),
    };

    fn event(number: u64) -> Event {
        let change = Change::CameraBack(format!("camera-{number}"));
        Event::new(change, number, 0, &Status::default())
    }

    /// Reads one request: its head and its body.
    async fn request(stream: &mut TcpStream) -> (String, serde_json::Value) {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                return (head.to_owned(), body);
            }
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{text}");
        }
    }

    /// What a server does with the next request.
    #[derive(Clone, Copy)]
    enum Does {
        Answers(&'static str),
        Hangs,
        HangsUp,
    }

    /// Delivers so many events to a server that does this, and returns what it was asked, by camera and count of missed.
    async fn delivered(events: u64, patience: Patience, script: &[Does]) -> Vec<(String, u64)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?key=1", listener.local_addr().unwrap());
        let to = Webhook {
            url: CameraUrl::parse(&url).unwrap().0,
            token: Some(Password::new("sesame".to_owned())),
            token_source: None,
        };
        let queue = Queue::default();
        for number in 0..events {
            queue.push(event(number), Instant::now());
        }
        let serving = async {
            let (mut asked, mut held) = (Vec::new(), Vec::new());
            for does in script {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (head, body) = request(&mut stream).await;
                assert!(head.starts_with("POST /hook?key=1 HTTP/1.1\r\n"), "{head}");
                assert!(head.contains("authorization: Bearer sesame"), "{head}");
                assert!(head.contains("content-type: application/json"), "{head}");
                let camera = body["camera"].as_str().unwrap().to_owned();
                asked.push((camera, body["missed"].as_u64().unwrap()));
                match does {
                    Does::Answers(status) => {
                        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    Does::HangsUp => {}
                    Does::Hangs => held.push(stream),
                }
            }
            asked
        };
        tokio::select! {
            asked = serving => asked,
            _ = deliver(&to, &queue, patience) => unreachable!("it never ends"),
        }
    }

    fn asked(cameras: &[(u64, u64)]) -> Vec<(String, u64)> {
        let named = cameras.iter();
        named
            .map(|(camera, missed)| (format!("camera-{camera}"), *missed))
            .collect()
    }

    #[tokio::test]
    async fn what_fails_hangs_or_breaks_is_told_again_in_order() {
        use Does::{Answers, Hangs, HangsUp};
        let script = [
            Answers("503 Service Unavailable"),
            Hangs,
            HangsUp,
            Answers("429 Too Many Requests"),
            Answers("204 No Content"),
            Answers("200 OK"),
        ];
        assert_eq!(
            delivered(2, PATIENCE, &script).await,
            asked(&[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (1, 0)])
        );
    }

    #[tokio::test]
    async fn what_is_refused_or_too_old_is_given_up_and_counted() {
        use Does::Answers;
        let refused = [
            Answers("403 Forbidden"),
            Answers("302 Found"),
            Answers("200 OK"),
            Answers("200 OK"),
        ];
        assert_eq!(
            delivered(4, PATIENCE, &refused).await,
            asked(&[(0, 0), (1, 1), (2, 2), (3, 0)])
        );
        let patience = Patience {
            age_max: Duration::ZERO,
            ..PATIENCE
        };
        let broken = [Answers("500 Internal Server Error"), Answers("200 OK")];
        assert_eq!(
            delivered(2, patience, &broken).await,
            asked(&[(0, 0), (1, 1)])
        );
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_says_how_many_it_dropped() {
        let queue = Queue::default();
        let more = 10;
        for number in 0..WAITING_MAX as u64 + more {
            queue.push(event(number), Instant::now());
        }
        let (first, _) = queue.oldest().await;
        assert_eq!(first.missed, more);
        assert_eq!(first.camera.as_deref(), Some("camera-10"));
        // Dropped while it is being told: told all the same.
        queue.push(event(1000), Instant::now());
        queue.done(&first, true);
        let (next, _) = queue.oldest().await;
        assert_eq!(
            (next.camera.as_deref(), next.missed),
            (Some("camera-11"), 0)
        );
        assert_eq!(queue.lock().events.len(), WAITING_MAX);
    }
}
