//! A sync failed: which frames the disk has is found out by reading them back, before their rows are written. Not for syncing.

use std::collections::BTreeMap;

use framelog_core::gap::GapReason;
use tokio::time::Instant;

use super::Index;
use crate::error::Error;
use crate::gaps::GapChange;
use crate::rows;
use crate::suspects::Verdict;

impl Index {
    /// A sync failed: the next one may succeed though the bytes are gone. Nothing is appended to what may have a hole, and its rows wait
    /// until the bytes have been read back.
    pub(super) fn suspect_all(&mut self) {
        self.sync_failed = Some(Instant::now());
        self.segment_ids.abandon_all();
        self.suspects.add_ahead(std::mem::take(&mut self.ahead));
        let mut by_segment: BTreeMap<i64, Vec<rows::Frame>> = BTreeMap::new();
        for frame in std::mem::take(&mut self.pending.frames) {
            self.accounts.index(frame.camera_id, -1);
            by_segment.entry(frame.segment_id).or_default().push(frame);
        }
        for (id, mut frames) in by_segment {
            match self.pending.segments.remove(&id) {
                Some(segment) => self.suspects.add(segment, &mut frames),
                // Frames are pending only together with their segment.
                None => {
                    for frame in &frames {
                        self.accounts.index(frame.camera_id, 1);
                    }
                    self.pending.frames.append(&mut frames);
                }
            }
        }
    }

    /// Finds out what the disk has of the frames whose sync failed: rows that waited become pending, those of lost frames are withdrawn.
    pub(super) async fn examine_suspects(&mut self) -> Result<(), Error> {
        if self.suspects.is_empty() {
            return Ok(());
        }
        let waiting = self.suspects.waiting();
        let ahead = self.suspects.ahead().load(&mut self.connection).await;
        let ahead = ahead.map_err(Error::index(&self.path, "read"))?;
        let disk = &self.disk;
        let verdicts = (disk.sync_all())
            .and_then(|()| Ok((Verdict::of(waiting, disk)?, Verdict::of(ahead, disk)?)));
        if verdicts.is_err() {
            self.sync_failed = Some(Instant::now());
        }
        let (waiting, ahead) = verdicts.map_err(Error::io(crate::layout::FOOTAGE, "synced"))?;
        for lost in &waiting.lost {
            self.budget.rows_done(lost.len());
            self.lose(lost);
        }
        for frame in &waiting.kept {
            self.accounts.index(frame.camera_id, 1);
        }
        self.pending.frames.extend(waiting.kept);
        for lost in ahead.lost {
            for frame in &lost {
                self.accounts.index(frame.camera_id, -1);
            }
            self.lose(&lost);
            let segment_id = lost.first().map_or(0, |frame| frame.segment_id);
            if let Some(segment) = self.pending.segments.get_mut(&segment_id) {
                segment.frames -= lost.len() as i64;
            }
            self.pending.withdrawn.extend(lost);
        }
        self.pending
            .segments
            .retain(|_, segment| segment.frames > 0);
        for segment in std::mem::take(&mut self.suspects).into_segments() {
            let Some(segment) = self.losses.correct(segment) else {
                continue;
            };
            self.pending.segments.insert(segment.id, segment);
        }
        Ok(())
    }

    /// Frames that stand next to each other in a segment are not on the disk: they count as dropped, and their span is a gap.
    fn lose(&mut self, frames: &[rows::Frame]) {
        let times = || frames.iter().map(|frame| frame.captured_us);
        let (Some(started_us), Some(ended_us), Some(first)) =
            (times().min(), times().max(), frames.first())
        else {
            return;
        };
        self.losses.add(first.segment_id, frames.len());
        let camera = self.cameras.get(&first.camera_id);
        if let Some(camera) = camera {
            let bytes = frames
                .iter()
                .map(|frame| frame.length.cast_unsigned())
                .sum();
            camera.count_lost(frames.len() as u64, bytes);
        }
        tracing::error!(
            camera = camera.map(|camera| &*camera.name),
            frames = frames.len(),
            "the disk has lost footage that it had taken, after a failed sync; check the disk (dmesg)"
        );
        let change = GapChange::Record {
            started_us,
            ended_us,
            reason: GapReason::DiskFull,
            detail: "the disk lost what it had taken: a sync failed".into(),
        };
        self.gaps
            .apply(first.camera_id, change, &mut self.pending.gaps);
    }
}
