//! Writer threads: take what waits, append it to the segments, tell the index where it is. Not for when a segment ends (its
//! camera's task says so) nor for rows.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use framelog_core::container::mp4::Pace;
use framelog_core::frame::Frame;
use framelog_core::frozen::Frozen;
use framelog_core::gap::GapReason;
use tokio::sync::Notify;

use crate::budget::Budget;
use crate::camera::{Camera, Still};
use crate::changes::{Change, Changes, Written};
use crate::container::Container;
use crate::disk::Disk;
use crate::fingerprint::Fingerprint;
use crate::gaps::GapChange;
use crate::outage::Outage;
use crate::queue::{Command, Entry, Queue};
use crate::room::{self, Room};
use crate::segment::OpenSegment;
use crate::store::Layout;
use crate::suspects::SegmentIds;

/// More threads than this gain nothing: one fills a disk.
const THREADS_MAX: usize = 4;
/// So often room is made for the same frames, in case others take it first.
const ROOM_TRIES: usize = 5;
/// A failing disk is in the log this often.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What all writer threads share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub disk: Disk,
    pub layout: Layout,
    pub budget: Arc<Budget>,
    pub changes: Changes,
    /// Where to ask for room on a full disk.
    pub room: Arc<Room>,
    /// Raised when a write fails: is the disk still there?
    pub doubt: Arc<Notify>,
    pub segment_ids: Arc<SegmentIds>,
}

/// The writer threads. A camera's frames always go to the same one.
#[derive(Debug)]
pub(crate) struct Writers {
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts the threads.
    pub fn start(shared: &Shared) -> io::Result<Self> {
        let count = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX);
        let mut writers = Self {
            queues: Vec::new(),
            threads: Vec::new(),
        };
        for n in 0..count {
            let queue = Arc::new(Queue::default());
            let mut writer = Writer::new(shared.clone());
            writers.queues.push(queue.clone());
            let thread = thread::Builder::new()
                .name(format!("writer-{n}"))
                .spawn(move || {
                    while let Some(entries) = queue.take() {
                        writer.write(entries);
                    }
                    writer.end_all();
                })?;
            writers.threads.push(thread);
        }
        Ok(writers)
    }

    /// The queue of the thread that writes this camera's frames.
    pub fn queue(&self, camera_id: i64) -> Arc<Queue> {
        let n = usize::try_from(camera_id).unwrap_or(0) % self.queues.len();
        self.queues[n].clone()
    }

    /// Takes no more frames, writes those that wait, closes all segments. Blocking.
    pub fn finish(mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("writer thread panicked: frames were lost");
            }
        }
    }

    fn close(&self) {
        self.queues.iter().for_each(|queue| queue.close());
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.close();
    }
}

/// One thread's cameras.
#[derive(Debug)]
struct Writer {
    shared: Shared,
    recordings: HashMap<i64, Recording>,
    /// Scratch space for what goes before the payloads.
    heads: Vec<u8>,
    failures: Failures,
}

/// What is being written of one camera.
#[derive(Debug, Default)]
struct Recording {
    open: Option<OpenSegment>,
    /// The last write failed: a gap may be open.
    failed: bool,
    /// What the last segment taught about the next.
    pace: Pace,
    /// Whether its pictures are all the same.
    frozen: Frozen<Fingerprint>,
}

impl Writer {
    fn new(shared: Shared) -> Self {
        Self {
            shared,
            recordings: HashMap::new(),
            heads: Vec::new(),
            failures: Failures {
                outage: Outage::new(WARN_EVERY),
                dropped: 0,
            },
        }
    }

    /// Writes everything, camera by camera; buffers and their budget are free as soon as their camera is done.
    fn write(&mut self, mut entries: Vec<Entry>) {
        entries.sort_by_key(|entry| entry.camera.id); // stable: within a camera the order is that of arrival
        let mut changes = Vec::new();
        let mut entries = entries.into_iter().peekable();
        while let Some(first) = entries.next() {
            let camera = first.camera.clone();
            let mut commands = vec![first];
            while let Some(next) = entries.next_if(|next| next.camera.id == camera.id) {
                commands.push(next);
            }
            self.write_camera(&camera, &commands, &mut changes);
            let bytes = commands.iter().map(|entry| entry.bytes).sum();
            drop(commands);
            self.shared.budget.give_back(&camera.waiting_bytes, bytes);
        }
        changes
            .into_iter()
            .for_each(|change| self.shared.changes.send(change));
    }

    fn write_camera(&mut self, camera: &Camera, entries: &[Entry], changes: &mut Vec<Change>) {
        let recording = self.recordings.entry(camera.id).or_default();
        let mut run = Run {
            shared: &self.shared,
            camera,
            recording,
            heads: &mut self.heads,
            changes,
        };
        run.leave_deleted();
        let mut frames: Vec<&Frame> = Vec::new();
        for entry in entries {
            let ends = match &entry.command {
                Command::EndSegment => true,
                Command::Append { frame, new_segment } => {
                    *new_segment || !run.takes(frames.last(), frame)
                }
            };
            if ends {
                run.append(&frames, &mut self.failures);
                frames.clear();
                run.end_segment();
            }
            if let Command::Append { frame, .. } = &entry.command {
                frames.push(frame);
            }
        }
        run.append(&frames, &mut self.failures);
        recording.watch(camera, entries);
    }

    fn end_all(&mut self) {
        for recording in self.recordings.values_mut() {
            if let Some(change) = recording.end(&self.shared.disk) {
                self.shared.changes.send(change);
            }
        }
    }
}

impl Recording {
    /// Looks whether the pictures still change.
    fn watch(&mut self, camera: &Camera, entries: &[Entry]) {
        let now = Instant::now();
        for entry in entries {
            let Command::Append { frame, .. } = &entry.command else {
                continue;
            };
            let fingerprint = Fingerprint::of(frame.payload.digest());
            let since_us = self.frozen.observe(fingerprint, frame.received_us, now);
            match (camera.set_still(Still::Picture, since_us), since_us) {
                (None, Some(_)) => {
                    tracing::warn!(
                        camera = &*camera.name,
                        "camera sends the same picture again and again; restart it"
                    );
                }
                (Some(_), None) => {
                    tracing::info!(camera = &*camera.name, "camera's picture moves again")
                }
                _ => {}
            }
        }
    }

    /// Closes the open segment, if there is one.
    fn end(&mut self, disk: &Disk) -> Option<Change> {
        let mut segment = self.open.take()?;
        self.pace = segment.pace().unwrap_or(self.pace);
        let grew = segment.close(disk);
        (segment.row().frames > 0).then(|| {
            Change::Written(Written {
                segment: segment.row().clone(),
                frames: Vec::new(),
                file: grew.then(|| segment.file().clone()),
                grew,
            })
        })
    }
}

/// One camera's turn.
struct Run<'a> {
    shared: &'a Shared,
    camera: &'a Camera,
    recording: &'a mut Recording,
    heads: &'a mut Vec<u8>,
    changes: &'a mut Vec<Change>,
}

impl Run<'_> {
    /// Whether the frame goes into the same segment as the one before it in this turn, or into the open segment.
    fn takes(&self, before: Option<&&Frame>, frame: &Frame) -> bool {
        match (before, &self.recording.open) {
            (Some(before), open) => {
                let is_outgrown = open.as_ref().is_some_and(OpenSegment::is_outgrown);
                !Container::of(before.codec, self.shared.layout).holds_one()
                    && before.codec == frame.codec
                    && before.offset_us == frame.offset_us
                    && before.parameters == frame.parameters
                    && !(frame.keyframe && is_outgrown)
            }
            (None, Some(open)) => {
                open.takes(frame) && !self.shared.segment_ids.is_abandoned(open.row().id)
            }
            (None, None) => true, // nothing to end
        }
    }

    /// Goes on in a new segment if somebody has deleted the file of the open one. Its rows stay: `verify` and retention tell that it is gone.
    fn leave_deleted(&mut self) {
        let Some(deleted) = self
            .recording
            .open
            .as_ref()
            .filter(|open| open.is_deleted())
        else {
            return;
        };
        tracing::error!(
            camera = &*self.camera.name,
            path = &*deleted.row().path,
            frames = deleted.row().frames,
            "footage was deleted while it was recorded and is lost; recording goes on in a new file"
        );
        self.end_segment();
    }

    /// Appends frames that share a segment. A full disk is no loss yet: the rest goes on, in the same segment where that is possible, once
    /// older footage has made room.
    fn append(&mut self, frames: &[&Frame], failures: &mut Failures) {
        let shared = self.shared;
        let mut left = frames;
        let mut tries = 0;
        while let Some(&first) = left.first() {
            let writing = shared.room.writing();
            let appended = self.try_append(first, left);
            drop(writing);
            let Err((error, lost)) = appended else {
                self.camera.stores();
                failures.recovered();
                return;
            };
            left = lost;
            tries += 1;
            let bytes = left.iter().map(|frame| frame.payload.len() as u64).sum();
            let may_try =
                tries < ROOM_TRIES && room::is_full(&error) && self.shared.room.ask(bytes);
            if !may_try {
                self.lose(left, &error, failures);
                return;
            }
            if !(self.recording.open.as_ref()).is_some_and(OpenSegment::may_go_on) {
                self.end_segment();
            }
        }
    }

    /// Drops frames that can't be written, counted, with a gap.
    fn lose(&mut self, lost: &[&Frame], error: &io::Error, failures: &mut Failures) {
        self.camera
            .count_dropped(GapReason::DiskFull, lost.len() as u64);
        if let Some(first) = lost.first() {
            self.camera.loses(first.captured_us, error);
        }
        failures.warn(&self.camera.name, error, lost.len());
        self.shared.doubt.notify_one();
        self.end_segment();
        self.recording.failed = true;
        // Each time: the camera's own gaps may have ended the one before.
        if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
            self.change_gap(GapChange::Lost {
                started_us: first.captured_us,
                ended_us: last.captured_us,
                reason: GapReason::DiskFull,
                detail: format!("write failed: {error}").into(),
            });
        }
    }

    /// Appends the frames to the open segment or a new one; the frames that were lost, if any.
    fn try_append<'f>(
        &mut self,
        first: &Frame,
        frames: &'f [&'f Frame],
    ) -> Result<(), (io::Error, &'f [&'f Frame])> {
        let open = match self.recording.open.take() {
            Some(open) => open,
            None => self.create(first).map_err(|error| (error, frames))?,
        };
        let segment = self.recording.open.insert(open);
        let appended = segment.append(&self.shared.disk, frames, self.heads);
        let stored = appended.locations.len();
        let holds_one = Container::of(first.codec, self.shared.layout).holds_one();
        if holds_one && stored > 0 {
            segment.seal(&self.shared.disk, first);
        }
        if stored > 0 {
            let bytes = appended
                .locations
                .iter()
                .map(|location| location.length.cast_unsigned())
                .sum();
            self.camera.count_stored(stored as u64, bytes);
            self.shared.budget.rows_wait(stored);
            self.changes.push(Change::Written(Written {
                segment: segment.row().clone(),
                frames: appended.locations,
                file: (!holds_one).then(|| segment.file().clone()),
                grew: true,
            }));
            if std::mem::take(&mut self.recording.failed) {
                self.change_gap(GapChange::Close {
                    ended_us: first.captured_us,
                    only: Some(GapReason::DiskFull),
                });
            }
        }
        if holds_one {
            self.recording.open = None;
        }
        match appended.failure {
            Some(error) => Err((error, frames.get(stored..).unwrap_or_default())),
            None => Ok(()),
        }
    }

    fn create(&self, first: &Frame) -> io::Result<OpenSegment> {
        let id = self.shared.segment_ids.next();
        let camera = (self.camera.id, &*self.camera.name);
        let container = Container::of(first.codec, self.shared.layout);
        let pace = self.recording.pace;
        OpenSegment::create(&self.shared.disk, camera, id, container, pace, first)
    }

    fn end_segment(&mut self) {
        let ended = self.recording.end(&self.shared.disk);
        self.changes.extend(ended);
    }

    fn change_gap(&mut self, change: GapChange) {
        self.changes.push(Change::Gap {
            camera_id: self.camera.id,
            change,
        });
    }
}

/// Write errors in the log: the first at once, then one line an interval with what was lost since, and one when it is certainly over.
#[derive(Debug)]
struct Failures {
    outage: Outage,
    dropped: usize,
}

impl Failures {
    fn warn(&mut self, camera: &str, error: &io::Error, dropped: usize) {
        self.dropped += dropped;
        if self.outage.failed(Instant::now()) {
            let dropped = std::mem::take(&mut self.dropped);
            tracing::warn!(camera, %error, dropped, "footage could not be written");
        }
    }

    fn recovered(&mut self) {
        if self.outage.worked(Instant::now()) {
            let dropped = std::mem::take(&mut self.dropped);
            tracing::info!(dropped, "footage is written again");
        }
    }
}
