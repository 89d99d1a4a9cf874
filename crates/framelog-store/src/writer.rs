//! Writer threads: take what waits, append it to the segments, tell the index where it is. Not for when a segment ends (its
//! camera's task says so) nor for rows.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::changes::Change;
use crate::held;
use crate::queue::{Command, Entry, Queue};
use crate::recording::{Failures, Recording, Run, Shared};

/// One thread fills a disk, and more of them wake up more often; so there is one for so many processors.
const PROCESSORS_PER_WRITER: usize = 2;
/// More gain nothing.
const THREADS_MAX: usize = 4;

/// The writer threads. A camera's frames always go to the same one.
#[derive(Debug)]
pub(crate) struct Writers {
    queues: Vec<Arc<Queue>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts the threads.
    pub fn start(shared: &Shared) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let count = (processors / PROCESSORS_PER_WRITER).clamp(1, THREADS_MAX);
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
                    let mut entries = Vec::new();
                    while queue.take(writer.due(), &mut entries) {
                        writer.write(entries.drain(..));
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
    /// When frames came at the earliest, and of which camera, the oldest first: those that wait, and in between some that have been written.
    line: VecDeque<(Instant, i64)>,
    /// Bytes of payloads that wait.
    held_bytes: u64,
    /// Scratch space for what goes before the payloads.
    heads: Vec<u8>,
    failures: Failures,
}

impl Writer {
    fn new(shared: Shared) -> Self {
        Self {
            shared,
            recordings: HashMap::new(),
            line: VecDeque::new(),
            held_bytes: 0,
            heads: Vec::new(),
            failures: Failures::new(),
        }
    }

    /// When something must be written, whether or not more comes.
    fn due(&mut self) -> Option<Instant> {
        while let Some(&(came, camera_id)) = self.line.front() {
            if self.waits(came, camera_id) {
                return Some(held::due(came));
            }
            self.line.pop_front();
        }
        None
    }

    /// Whether the frame that came then has not been written yet.
    fn waits(&self, came: Instant, camera_id: i64) -> bool {
        let recording = self.recordings.get(&camera_id);
        let since = recording.and_then(|recording| recording.held.since());
        since.is_some_and(|since| since <= came)
    }

    /// Takes what came, and writes camera by camera what fills a block or is due; buffers and their budget are free as soon as their camera
    /// is done.
    fn write(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let now = Instant::now();
        // A clock that began later than that has seen nothing wait: what it has seen may go.
        let since = now.checked_sub(held::wait(self.held_bytes)).unwrap_or(now);
        let mut changes = Vec::new();
        let mut camera_ids = Vec::new();
        for entry in entries {
            let camera_id = entry.camera_id;
            if let Command::Append { .. } = entry.command {
                // Of one thread's cameras almost always the last.
                let place = self.line.partition_point(|(came, _)| *came <= entry.came);
                self.line.insert(place, (entry.came, camera_id));
            }
            camera_ids.push(camera_id);
            (self.recordings.entry(camera_id))
                .or_insert_with(|| Recording::new(entry.camera.clone()));
            self.turn(camera_id, &mut changes, |run| run.take(entry));
        }
        camera_ids.sort_unstable();
        camera_ids.dedup();
        for camera_id in camera_ids {
            self.turn(camera_id, &mut changes, |run| run.write_some(since));
        }
        while let Some(camera_id) = self.next_waiting(since) {
            self.turn(camera_id, &mut changes, |run| run.write_some(since));
        }
        self.send(changes);
    }

    /// Whose frame has waited since then or longer, if anyone's has.
    fn next_waiting(&mut self, since: Instant) -> Option<i64> {
        while let Some((came, camera_id)) = self.line.pop_front_if(|(came, _)| *came <= since) {
            if self.waits(came, camera_id) {
                return Some(camera_id);
            }
        }
        None
    }

    fn end_all(&mut self) {
        let mut changes = Vec::new();
        for camera_id in self.recordings.keys().copied().collect::<Vec<_>>() {
            self.turn(camera_id, &mut changes, |run| run.end_segment());
        }
        self.send(changes);
    }

    /// A camera's turn, of which something came before.
    fn turn(&mut self, camera_id: i64, changes: &mut Vec<Change>, work: impl FnOnce(&mut Run<'_>)) {
        let Some(recording) = self.recordings.get_mut(&camera_id) else {
            return;
        };
        let before = recording.held.bytes();
        let mut run = Run {
            shared: &self.shared,
            recording,
            heads: &mut self.heads,
            failures: &mut self.failures,
            changes,
        };
        work(&mut run);
        self.held_bytes = self.held_bytes - before + run.recording.held.bytes();
    }

    fn send(&self, changes: Vec<Change>) {
        changes
            .into_iter()
            .for_each(|change| self.shared.changes.send(change));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use framelog_core::clock::ClockKind;
    use framelog_core::frame::{Codec, Frame};
    use rustix::io::Errno;

    use super::*;
    use crate::budget::{Budget, Limits};
    use crate::camera::Camera;
    use crate::changes::Changes;
    use crate::container::Layout;
    use crate::disk::Disk;
    use crate::disk::faults::Fault;
    use crate::suspects::SegmentIds;

    const BYTES: u64 = 1_000;
    const STEP: Duration = Duration::from_millis(60);
    /// Frames come so much after the test begins, however long its thread is kept from going on.
    const SLACK: Duration = Duration::from_millis(300);

    fn writer(dir: &std::path::Path) -> Writer {
        Writer::new(Shared {
            disk: Disk::open(dir).unwrap(),
            layout: Layout::Segments,
            budget: Arc::new(Budget::new(Limits::default())),
            changes: Changes::channel().0,
            room: Arc::default(),
            doubt: Arc::default(),
            segment_ids: Arc::new(SegmentIds::new(1)),
            syncs: Arc::default(),
        })
    }

    fn frame(camera: &Arc<Camera>, came: Instant) -> Entry {
        let frame = Frame {
            payload: Bytes::from(vec![7; BYTES as usize]).into(),
            codec: Codec::Mjpeg,
            parameters: None,
            captured_us: 1_795_341_600_000_000,
            received_us: 1_795_341_600_000_000,
            clock: ClockKind::Arrival,
            offset_us: 0,
            keyframe: true,
            complete: true,
        };
        Entry {
            camera: camera.clone(),
            camera_id: camera.id,
            command: Command::Append {
                frame,
                new_segment: false,
            },
            came,
            bytes: 0,
        }
    }

    /// As the thread does when nothing more comes.
    fn wait_and_write(writer: &mut Writer) {
        while let Some(due) = writer.due() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            writer.write(Vec::new());
        }
    }

    #[test]
    fn what_waits_is_written_when_it_is_due_though_its_camera_falls_silent() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let camera = |id, name: &str| Arc::new(Camera::new(id, name.into(), None));
        let (gate, yard) = (camera(1, "gate"), camera(2, "yard"));
        let stored = |camera: &Camera| camera.counters().stored_frames;
        let first = Instant::now() + SLACK;
        writer.write(vec![frame(&gate, first), frame(&gate, first + STEP)]);
        assert_eq!((stored(&gate), writer.held_bytes), (0, 2 * BYTES));
        assert_eq!(writer.due(), Some(held::due(first)));
        // Of this one nothing is known yet, so it doesn't wait, nor make others go.
        writer.write(vec![frame(&yard, first)]);
        assert_eq!((stored(&gate), stored(&yard)), (0, 1));
        wait_and_write(&mut writer);
        assert_eq!((stored(&gate), stored(&yard)), (2, 1));
        assert_eq!((writer.held_bytes, writer.line.len()), (0, 0));
    }

    #[test]
    fn what_came_first_is_due_first_though_another_thread_gave_it_later() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let camera = |id, name: &str| Arc::new(Camera::new(id, name.into(), None));
        let (gate, yard) = (camera(1, "gate"), camera(2, "yard"));
        let first = Instant::now() + SLACK;
        let [second, third] = [1, 2].map(|steps| first + steps * STEP);
        // So that none of them is the only one known.
        writer.write([frame(&gate, first - STEP), frame(&yard, first - STEP)]);
        writer.write([frame(&gate, second), frame(&yard, first)]);
        writer.write([frame(&gate, third)]);
        assert_eq!(writer.due(), Some(held::due(first)));
        let order: Vec<Instant> = writer.line.iter().map(|(came, _)| *came).collect();
        assert_eq!(order, [first, second, third]);
        wait_and_write(&mut writer);
        assert_eq!(writer.held_bytes, 0);
    }

    #[test]
    fn what_waits_when_a_segment_ends_does_not_go_into_a_file_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let gate = Arc::new(Camera::new(1, "gate".into(), None));
        let first = Instant::now();
        writer.write([frame(&gate, first)]);
        let path = |writer: &Writer| {
            let open = writer.recordings.get(&1).unwrap().open.as_ref().unwrap();
            dir.path().join(&*open.row().path)
        };
        let gone = path(&writer);
        std::fs::remove_file(&gone).unwrap();
        writer.write([frame(&gate, first + STEP)]);
        writer.end_all();
        // It has the name that has become free.
        assert!(std::fs::metadata(&gone).unwrap().len() > BYTES);
    }

    #[test]
    fn cameras_whose_entries_alternate_keep_each_their_order_and_their_segments() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let camera = |id, name: &str| Arc::new(Camera::new(id, name.into(), None));
        let cameras = [camera(2, "gate"), camera(1, "yard")];
        let now = Instant::now();
        // Frames 1 and 2, the end of a segment, and frame 3, of each in turn.
        let nth = |n: i64| {
            cameras.iter().map(move |camera| {
                let mut entry = frame(camera, now);
                match &mut entry.command {
                    _ if n == 0 => entry.command = Command::EndSegment,
                    Command::Append { frame, .. } => frame.captured_us += n,
                    Command::EndSegment => {}
                }
                entry
            })
        };
        let (changes, mut reported) = Changes::channel();
        writer.shared.changes = changes;
        writer.write([1, 2, 0, 3].into_iter().flat_map(nth));
        writer.end_all();
        let mut segments: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        while let Some(change) = reported.try_recv() {
            let Change::Written(written) = change else {
                panic!("{change:?}");
            };
            for location in written.frames {
                let place = (location.segment_id, location.captured_us % 10);
                segments.entry(location.camera_id).or_default().push(place);
            }
        }
        for camera in &cameras {
            let [first, second, third] = segments[&camera.id][..] else {
                panic!("{segments:?}");
            };
            assert_eq!((first.1, second.1, third.1), (1, 2, 3));
            assert!(first.0 == second.0 && second.0 != third.0, "{segments:?}");
        }
        assert_eq!(writer.held_bytes, 0);
    }

    #[test]
    fn what_could_not_be_written_waits_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let gate = Arc::new(Camera::new(1, "gate".into(), None));
        let first = Instant::now() + SLACK;
        writer.write(vec![frame(&gate, first), frame(&gate, first + STEP)]);
        let faults = &writer.shared.disk.faults;
        faults.plan(0, u64::MAX, Fault::Fails(Errno::IO));
        wait_and_write(&mut writer);
        let counters = gate.counters();
        assert_eq!((counters.stored_frames, counters.dropped_disk_full), (0, 2));
        assert_eq!((writer.held_bytes, writer.line.len()), (0, 0));
    }
}
