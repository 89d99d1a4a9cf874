//! Telling somebody else of changes: a camera is lost or back, the storage takes nothing or takes frames again. One way: the status is read, and
//! nothing that records ever waits for who is told. Not for deciding what is wrong: that is `status`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Webhook;
use crate::status::Status;
use crate::wall;

mod changes;
mod delivery;
mod event;
mod post;

use changes::Watch;
use delivery::{Patience, Queue, deliver};
use event::Event;

/// How often it is looked whether anything changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells of changes for as long as it is polled.
pub async fn tell(to: Webhook, status: Arc<Status>) -> Infallible {
    let queue = Queue::default();
    let (never, _) = tokio::join!(
        look(&status, &queue),
        deliver(&to, &queue, Patience::default())
    );
    never
}

async fn look(status: &Status, queue: &Queue) -> Infallible {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut watch = Watch::default();
    let mut number = 0_u64;
    loop {
        looks.tick().await;
        let now = Instant::now();
        for change in watch.look(&status.snapshots(now), status.no_storage().as_ref(), now) {
            number += 1;
            queue.push(Event::new(change, number, wall::now_us(), status), now);
        }
    }
}
