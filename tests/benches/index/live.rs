//! Cameras that are really recorded, beside what is measured or to be measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use framelog_core::clock::ClockKind;
use framelog_core::frame::{Codec, Frame};
use framelog_store::{CameraLog, Store};

use crate::Fallible;
use crate::timed::Timed;

const PERIOD: Duration = Duration::from_millis(100);

/// Cameras that are recorded meanwhile, on a thread of their own.
pub struct Live {
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Timed>,
}

impl Live {
    /// Begins to record so many cameras at 10 fps.
    pub fn start(store: &Store, cameras: usize, frame_bytes: usize) -> Fallible<Self> {
        let mut logs = Vec::new();
        for n in 0..cameras {
            logs.push(store.camera(&format!("live-{n}"))?);
        }
        let ends = Arc::<AtomicBool>::default();
        let thread = std::thread::spawn({
            let ends = ends.clone();
            move || record(&logs, frame_bytes, &ends)
        });
        Ok(Self { ends, thread })
    }

    /// How long each append took.
    pub fn stop(self) -> Timed {
        self.ends.store(true, Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn record(logs: &[CameraLog], frame_bytes: usize, ends: &AtomicBool) -> Timed {
    let picture = Bytes::from(vec![7; frame_bytes]);
    let mut timed = Timed::default();
    let mut next = Instant::now();
    while !ends.load(Relaxed) {
        for log in logs {
            let captured_us = now_us();
            let frame = Frame {
                payload: picture.clone().into(),
                codec: Codec::Mjpeg,
                parameters: None,
                captured_us,
                received_us: captured_us,
                clock: ClockKind::Camera,
                offset_us: 0,
                keyframe: true,
                complete: true,
            };
            let began = Instant::now();
            let appended = log.append(frame, false);
            timed.0.push(began.elapsed());
            if let Err(dropped) = appended {
                eprintln!("{dropped}");
            }
        }
        next += PERIOD;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    timed
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}
