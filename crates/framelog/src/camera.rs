//! The supervisor: one task per camera, WHERE A RECONNECT IS DECIDED. It opens and closes gaps through the recorder.
//! Not for reading from a camera: a source does that once and says why it ended.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use framelog_core::gap::GapReason;
use futures_util::FutureExt as _;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Aborted};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::config::Camera;
use crate::readers::Reader;
use crate::recorder::{Recorder, Run};
use crate::source::memory::Memory;
use crate::source::{Ended, Source};

mod failure_log;
mod retry;

use failure_log::FailureLog;
use retry::{Retry, ends_well};

/// A camera's running task.
#[derive(Debug)]
pub struct Task {
    stop: AbortHandle,
    /// Ends with whether the camera was recording until now.
    handle: JoinHandle<bool>,
}

impl Task {
    /// Starts it on this thread.
    pub fn start(camera: Camera, recorder: Recorder, reader: &Reader) -> Self {
        let (stop, until) = AbortHandle::new_pair();
        // Of the highest level, so that whatever is logged at all says of which camera it is.
        let span = tracing::error_span!("camera", name = camera.name);
        let task = supervise(camera, recorder, reader.clone(), until).instrument(span);
        Self {
            stop,
            handle: reader.spawn(task),
        }
    }

    /// Asks it to end; returns at once.
    pub fn stop(&self) {
        self.stop.abort();
    }

    /// Waits until its connection is closed and its segment ended. Returns whether it was recording until then.
    pub async fn ended(self) -> bool {
        self.handle.await.unwrap_or(false)
    }
}

async fn supervise(
    camera: Camera,
    mut recorder: Recorder,
    reader: Reader,
    until: AbortRegistration,
) -> bool {
    if camera.enabled {
        let mut link = Link::default();
        let recording = keep_recording(&camera, &mut recorder, &reader, &mut link);
        let Err(Aborted) = Abortable::new(recording, until).await;
        // What had arrived is recorded, though what would confirm its length has not come.
        if let Some(source) = &mut link.source {
            let mut deliveries = Vec::new();
            source.settle(&mut deliveries);
            recorder.take(&mut deliveries);
        }
        link.close().await;
    }
    recorder.finish()
}

/// What there is of a connection, and what it leaves for the next.
#[derive(Default)]
struct Link {
    source: Option<Source>,
    memory: Memory,
}

impl Link {
    /// Ends the connection, in the camera's own way where that can be done.
    async fn close(&mut self) {
        if let Some(source) = &mut self.source {
            let closing = AssertUnwindSafe(source.close(&mut self.memory));
            // A panic has been told of before, and this is its end too.
            let _ = closing.catch_unwind().await;
        }
        self.source = None;
    }
}

/// Connects again and again.
async fn keep_recording(
    camera: &Camera,
    recorder: &mut Recorder,
    reader: &Reader,
    link: &mut Link,
) -> Infallible {
    let mut retry = Retry::new();
    let mut failures = FailureLog::new();
    loop {
        let began = Instant::now();
        recorder.begin_run();
        let connection = connect_once(camera, link, recorder, reader, &mut failures);
        let ended = unwound(connection).await;
        link.close().await; // before anything else, above all before the next
        let ended = match ended {
            Ok(ended) => ended,
            Err(ended) => {
                // It may be what caused the panic; the recorder begins its run anew by itself.
                link.memory = Memory::default();
                recorder.count_panic();
                ended
            }
        };
        let run = recorder.run();
        let pause = retry.pause(&ended, run, began.elapsed(), fastrand::u32(..));
        let now = Instant::now();
        let times = match ends_well(&ended, run) {
            true => failures.ended_well(now),
            false => failures.failed(now),
        };
        if let Some(times) = times {
            let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            report(&ended, run, retry.attempts(), times, retry_in_ms);
        }
        recorder.end_run(ended.reason, &ended.detail);
        tokio::time::sleep(pause).await;
    }
}

/// Catches a panic, which is a bug in framelog: it ends one connection of one camera, and nothing else.
async fn unwound(connection: impl Future<Output = Ended>) -> Result<Ended, Ended> {
    AssertUnwindSafe(connection)
        .catch_unwind()
        .await
        .map_err(|_| Ended {
            reason: GapReason::BadResponse,
            detail: "internal error".to_owned(),
            retry_after: None,
        })
}

/// One connection, from its beginning to its end, which is the value. It is left in `link` for the caller to close.
async fn connect_once(
    camera: &Camera,
    link: &mut Link,
    recorder: &mut Recorder,
    reader: &Reader,
    failures: &mut FailureLog,
) -> Ended {
    let Link { source, memory } = link;
    let source = match Source::open(source, camera, memory).await {
        Ok(source) => source,
        Err(ended) => return ended,
    };
    recorder.connected();
    let mut deliveries = Vec::new();
    loop {
        recorder.wait_for_room().await;
        let step = source.next(memory, &mut deliveries).await;
        let is_first = recorder.run().pictures == 0;
        recorder.take(&mut deliveries);
        // RTP's times go by arrivals too, at the latest until a sender report comes; and the kernel keeps few datagrams.
        if source.is_rtsp() || recorder.goes_by_arrival() {
            reader.goes_by_arrival();
        }
        if is_first && recorder.run().pictures > 0 {
            report_recovery(camera, failures);
        }
        if let Err(ended) = step {
            return ended;
        }
    }
}

fn report(ended: &Ended, run: Run, attempt: u32, times: u32, retry_in_ms: u64) {
    let (reason, detail, pictures) = (ended.reason.name(), &ended.detail, run.pictures);
    if ends_well(ended, run) {
        tracing::info!(reason, %detail, pictures, times, retry_in_ms, "connection ended");
    } else {
        tracing::warn!(reason, %detail, pictures, attempt, times, retry_in_ms, "connection ended");
    }
}

fn report_recovery(camera: &Camera, failures: &mut FailureLog) {
    if let Some(failures) = failures.recovered(Instant::now()) {
        tracing::info!(failures, url = %camera.url, "recording");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_ends_the_connection_and_nothing_else() {
        let ended = unwound(async { panic!("on purpose") }).await.unwrap_err();
        assert_eq!(
            (ended.reason, ended.detail.as_str()),
            (GapReason::BadResponse, "internal error")
        );
    }
}
