//! The supervisor: one task per camera, WHERE A RECONNECT IS DECIDED. It opens and closes gaps through the recorder.
//! Not for reading from a camera: a source does that once and says why it ended.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use framelog_core::gap::GapReason;
use futures_util::FutureExt as _;
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::config::Camera;
use crate::readers::{ROUND_MAX_BY_ARRIVAL, ROUND_MAX_UNCONFIRMED, Reader, RoundLimit};
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
    stop: CancellationToken,
    reader: Reader,
    /// Ends with whether the camera was recording until now.
    handle: JoinHandle<bool>,
}

impl Task {
    /// Starts it on this thread.
    pub fn start(camera: Camera, recorder: Recorder, reader: &Reader) -> Self {
        let stop = CancellationToken::new();
        // Of the highest level, so that whatever is logged at all says of which camera it is.
        let span = tracing::error_span!("camera", name = camera.name);
        let task = supervise(camera, recorder, reader.clone(), stop.clone()).instrument(span);
        let handle = reader.spawn(task);
        reader.wake();
        Self {
            stop,
            reader: reader.clone(),
            handle,
        }
    }

    /// Asks it to end; returns at once.
    pub fn stop(&self) {
        self.stop.cancel();
        self.reader.wake();
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
    stop: CancellationToken,
) -> bool {
    if camera.enabled {
        let mut link = Link::default();
        stop.run_until_cancelled(keep_recording(&camera, &mut recorder, &reader, &mut link))
            .await;
        link.take_the_rest(&mut recorder, &reader).await;
        reader.hurry(link.close()).await;
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
    /// What had arrived is recorded, though what would confirm its length has not come.
    async fn take_the_rest(&mut self, recorder: &mut Recorder, reader: &Reader) {
        let Some(source) = &mut self.source else {
            return;
        };
        // Only then does the runtime know of what arrived while others were read.
        yield_now().await;
        let mut deliveries = Vec::new();
        let next = AssertUnwindSafe(source.next(&mut self.memory, &mut deliveries));
        // Whether it ends with that, or fails, makes no difference any more.
        let _ = next.catch_unwind().now_or_never();
        source.settle(&mut deliveries);
        recorder.take(&mut deliveries, reader.earliest());
    }

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
        let is_polled = link.source.as_ref().is_some_and(Source::is_polled);
        reader.hurry(link.close()).await; // before anything else, above all before the next
        let (ended, is_polled) = match ended {
            Ok(ended) => (ended, is_polled),
            Err(ended) => {
                // It may be what caused the panic; the recorder begins its run anew by itself.
                link.memory = Memory::default();
                recorder.count_panic();
                // Whatever was asked for, it is a failure of ours, and may well be the same each time.
                (ended, false)
            }
        };
        let run = recorder.run();
        let pause = retry.pause(&ended, run, is_polled, began.elapsed(), fastrand::u32(..));
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
        // Even one of nothing waits for the next round.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Catches a panic, which is a bug in framelog: it ends one connection of one camera, and nothing else.
async fn unwound(connection: impl Future<Output = Ended>) -> Result<Ended, Ended> {
    AssertUnwindSafe(connection)
        .catch_unwind()
        .await
        .map_err(|_| Ended::new(GapReason::BadResponse, "internal error"))
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
    let opening = Source::open(source, camera, memory);
    let source = match reader.hurry(opening).await {
        Ok(source) => source,
        Err(ended) => return ended,
    };
    recorder.connected();
    let mut limit = Some(reader.limit_rounds(ROUND_MAX_BY_ARRIVAL));
    let mut intake = reader.intake(source.receive_buffer());
    let mut deliveries = Vec::new();
    let mut awaits_keyframe = false;
    loop {
        recorder.wait_for_room().await;
        let step = source.next(memory, &mut deliveries).await;
        let is_first = recorder.run().pictures == 0;
        let earliest = reader.took(source.received(), || source.receive_buffer(), &mut intake);
        recorder.take(&mut deliveries, earliest);
        let is_urgent =
            recorder.run().pictures == 0 || recorder.goes_by_arrival() || source.asks_often();
        let max = match is_urgent {
            true => Some(ROUND_MAX_BY_ARRIVAL),
            false => source.seeks_end().then_some(ROUND_MAX_UNCONFIRMED),
        };
        if max != limit.as_ref().map(RoundLimit::max) {
            limit = max.map(|max| reader.limit_rounds(max));
        }
        if is_first && recorder.run().pictures > 0 {
            report_recovery(camera, failures);
        }
        if is_first && !awaits_keyframe && source.awaits_keyframe() {
            awaits_keyframe = true;
            recorder.show_awaiting_keyframe();
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
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::Duration;

    use framelog_store::{Options, Store};

    use super::*;
    use crate::config::url::CameraUrl;
    use crate::readers::Readers;
    use crate::status::Status;

    #[tokio::test]
    async fn panic_ends_the_connection_and_nothing_else() {
        let ended = unwound(async { panic!("on purpose") }).await.unwrap_err();
        assert_eq!(
            (ended.reason, ended.detail.as_str()),
            (GapReason::BadResponse, "internal error")
        );
    }

    /// A runtime that is busy with other cameras until then, and has not heard of what arrived.
    #[tokio::test]
    async fn what_had_arrived_when_a_camera_is_stopped_is_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path().to_owned()))
            .await
            .unwrap();
        let log = store.camera("gate").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let camera = Camera::new("gate", CameraUrl::parse(&url).unwrap().0);
        let recorder = Recorder::new(
            &camera,
            Duration::from_secs(60),
            log.clone(),
            Status::default().camera("gate"),
            false,
            crate::wall::now_us(),
        );
        let readers = Readers::start().unwrap();
        let stop = CancellationToken::new();
        let task = supervise(camera, recorder, readers.of(0).clone(), stop.clone());
        let task = tokio::spawn(task);
        let serving = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
        let mut stream = serving.await.unwrap();
        let head =
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";
        stream.write_all(head).unwrap();
        let part = [
            &b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\n"[..],
            b"\xff\xd8\xff\xd9\r\n",
        ]
        .concat();
        stream.write_all(&part).unwrap();
        while log.counters().parts < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // From here on nothing is awaited: the runtime does nothing.
        stream.write_all(&part).unwrap();
        stop.cancel();
        assert!(task.await.unwrap(), "it was recording");
        assert_eq!(log.counters().parts, 2);
    }
}
