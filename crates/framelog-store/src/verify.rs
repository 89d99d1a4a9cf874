//! Index against footage, in both directions: what `framelog verify` does. Reads only, beside a running recorder or without one, and
//! puts nothing right.
//!
//! What is being written or removed at the moment is no finding: open segments are looked at up to the end that the index has for
//! them, and before anything is told the index is asked again. A run that was killed counts as one that goes on, for the next start
//! puts right what it left.

use std::collections::HashSet;
use std::path::Path;

use crate::error::Error;
use crate::layout::{self, SegmentName};
use crate::query::Reader;
use crate::{rows, wall};

mod finding;
mod footage;
mod pages;
mod segment;

pub use crate::scan::Depth;
pub use finding::{Finding, Place, Problem};

use footage::Listed;
use pages::Pages;
use segment::Indexed;

/// Frames that are held against their files at once: some megabytes of rows.
const FRAMES: usize = 20_000;
/// A segment that changes while it is looked at is looked at again so often.
const LOOKS_MAX: usize = 3;

/// What is looked at, and how closely.
#[derive(Clone, Debug)]
pub struct Scope {
    /// These cameras; all, and what is nobody's, if there is none.
    pub cameras: Vec<String>,
    /// Segments that overlap the span that begins here, microseconds since the Unix epoch.
    pub from_us: i64,
    /// The end of the span, excluded.
    pub to_us: i64,
    /// Heads only, or every byte.
    pub depth: Depth,
}

impl Default for Scope {
    /// Everything, heads only.
    fn default() -> Self {
        Self {
            cameras: Vec::new(),
            from_us: i64::MIN,
            to_us: i64::MAX,
            depth: Depth::Heads,
        }
    }
}

/// What was looked at so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cameras that have been begun.
    pub cameras: u64,
    /// Segments in the index.
    pub segments: u64,
    /// Frames in the index.
    pub frames: u64,
    /// Frames that there will be, as far as was known at the beginning.
    pub frames_due: u64,
    /// Bytes of those segments' files.
    pub bytes: u64,
    /// Things that are wrong.
    pub findings: u64,
    /// Files that are not framelog's.
    pub foreign: u64,
    /// Files with footage that the index, which is being made anew, doesn't know yet.
    pub awaited: u64,
}

/// What is told on the way.
#[derive(Clone, Debug)]
pub enum News {
    /// Something was found.
    Finding(Finding),
    /// So much has been looked at.
    Progress(Totals),
}

/// Holds the index against the footage, and tells what it finds as it finds it. Memory: the rows of some thousand frames, one segment's
/// frames, and the names in one directory.
///
/// # Errors
/// What `tell` returns, which ends it; [`Error::Index`] if the index can't be read, other than for damage that SQLite knows of.
pub async fn verify<E: From<Error>>(
    reader: &Reader,
    scope: &Scope,
    tell: impl FnMut(News) -> Result<(), E>,
) -> Result<Totals, E> {
    let verification = Verification {
        reader,
        pages: Pages::new(reader.pool.clone()),
        scope,
        tell,
        totals: Totals::default(),
        began_us: wall::now_us(),
    };
    verification.run().await
}

struct Verification<'a, T> {
    reader: &'a Reader,
    pages: Pages,
    scope: &'a Scope,
    tell: T,
    totals: Totals,
    began_us: i64,
}

impl<E: From<Error>, T: FnMut(News) -> Result<(), E>> Verification<'_, T> {
    async fn run(mut self) -> Result<Totals, E> {
        let complaints = self.read(self.pages.complaints().await)?;
        if !complaints.is_empty() {
            for detail in complaints {
                let place = Place {
                    path: Some(layout::INDEX.to_owned()),
                    ..Place::default()
                };
                let problem = Problem::DamagedIndex { detail };
                self.tell(Finding { place, problem })?;
            }
            return Ok(self.totals);
        }
        let mut cameras = self.read(self.pages.cameras().await)?;
        cameras.retain(|(_, name)| self.concerns(name));
        for (id, _) in &cameras {
            let frames = self.read(self.pages.frames_due(*id, self.span()).await)?;
            self.totals.frames_due += frames.unsigned_abs();
        }
        for (id, name) in &cameras {
            self.totals.cameras += 1;
            self.look_at_segments(*id, name).await?;
            self.look_for_strays(*id, name).await?;
        }
        if self.scope.cameras.is_empty() {
            self.look_for_lost_cameras().await?;
        }
        self.look_at_footage().await?;
        self.look_at_doomed().await?;
        Ok(self.totals)
    }

    /// Every segment of a camera, with its frames.
    async fn look_at_segments(&mut self, camera_id: i64, camera: &str) -> Result<(), E> {
        let mut after = i64::MIN;
        loop {
            let page = self.pages.segments(camera_id, self.span(), after).await;
            let page = self.read(page)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.id;
            let (mut batch, mut frames) = (Vec::new(), 0);
            for segment in page {
                let indexed = self.with_frames(camera, segment).await?;
                frames += indexed.frames.len();
                batch.push(indexed);
                if frames >= FRAMES {
                    self.look_at_batch(std::mem::take(&mut batch)).await?;
                    frames = 0;
                }
            }
            self.look_at_batch(batch).await?;
        }
    }

    async fn with_frames(&self, camera: &str, segment: rows::Segment) -> Result<Indexed, E> {
        Ok(Indexed {
            camera: camera.to_owned(),
            frames: self.read(self.pages.frames(&segment).await)?,
            segment,
        })
    }

    async fn look_at_batch(&mut self, batch: Vec<Indexed>) -> Result<(), E> {
        let (disk, depth) = (self.reader.disk.clone(), self.scope.depth);
        let looked = blocking(move || {
            let look = |indexed: Indexed| (indexed.findings(&disk, depth), indexed);
            batch.into_iter().map(look).collect::<Vec<_>>()
        })
        .await?;
        for (findings, indexed) in looked {
            self.totals.segments += 1;
            self.totals.frames += indexed.frames.len() as u64;
            self.totals.bytes += indexed.segment.bytes.unsigned_abs();
            for finding in self.settled(findings, indexed).await? {
                self.tell(finding)?;
            }
        }
        (self.tell)(News::Progress(self.totals))
    }

    /// What was found in a segment, unless that was only because it changed or went meanwhile.
    async fn settled(
        &self,
        mut findings: Vec<Finding>,
        mut indexed: Indexed,
    ) -> Result<Vec<Finding>, E> {
        for _ in 1..LOOKS_MAX {
            if findings.is_empty() {
                break;
            }
            let now = self.read(self.pages.segment(indexed.segment.id).await)?;
            let Some(now) = now else {
                return Ok(Vec::new());
            };
            if now == indexed.segment {
                break;
            }
            let again = self.with_frames(&indexed.camera, now).await?;
            let (disk, depth) = (self.reader.disk.clone(), self.scope.depth);
            (findings, indexed) = blocking(move || (again.findings(&disk, depth), again)).await?;
        }
        Ok(findings)
    }

    /// Rows of a camera's frames that no segment accounts for.
    async fn look_for_strays(&mut self, camera_id: i64, camera: &str) -> Result<(), E> {
        let (mut from_us, to_us) = self.span();
        while from_us < to_us {
            let page = self.pages.strays(camera_id, from_us, to_us).await;
            let (end_us, strays) = self.read(page)?;
            for stray in strays {
                let why = match (stray.is_known, stray.is_own) {
                    (false, _) => "which is not in the index",
                    (true, false) => "which is another camera's",
                    (true, true) => "which ends before or begins after them",
                };
                let place = Place {
                    camera: Some(camera.to_owned()),
                    captured_us: Some(stray.first_us),
                    ..Place::default()
                };
                let problem = Problem::Stray {
                    segment_id: stray.segment_id,
                    rows: stray.rows.unsigned_abs(),
                    why,
                };
                self.tell(Finding { place, problem })?;
            }
            from_us = end_us;
        }
        Ok(())
    }

    async fn look_for_lost_cameras(&mut self) -> Result<(), E> {
        for (camera_id, table, rows) in self.read(self.pages.unknown_cameras().await)? {
            let problem = Problem::NoCamera {
                camera_id,
                table,
                rows: rows.unsigned_abs(),
            };
            let place = Place::default();
            self.tell(Finding { place, problem })?;
        }
        Ok(())
    }

    /// Every file below `footage/`, for those that the index doesn't know.
    async fn look_at_footage(&mut self) -> Result<(), E> {
        let cameras = match self.scope.cameras.is_empty() {
            true => self.list(layout::FOOTAGE).await?,
            false => {
                let dir = |camera: &String| format!("{}/{camera}", layout::FOOTAGE);
                self.scope.cameras.iter().map(dir).collect()
            }
        };
        for camera in cameras {
            for day in self.list(&camera).await? {
                let paths = self.list(&day).await?;
                let unknown = footage::unknown(&self.pages, &paths).await;
                for path in self.read(unknown)? {
                    self.look_at_unknown(path).await?;
                }
                (self.tell)(News::Progress(self.totals))?;
            }
        }
        Ok(())
    }

    /// The sorted paths in a directory; none if it can't be listed, which is told.
    async fn list(&mut self, dir: &str) -> Result<Vec<String>, E> {
        let (disk, dir) = (self.reader.disk.clone(), dir.to_owned());
        match blocking(move || footage::list(&disk, &dir)).await? {
            Listed::Entries(paths) => Ok(paths),
            Listed::Finding(finding) => self.tell(finding).map(|()| Vec::new()),
        }
    }

    async fn look_at_unknown(&mut self, path: String) -> Result<(), E> {
        // In this order: of a run that is over by now every row is there when it is looked for, and so it is in an index that has been made anew.
        let is_partial = self.reader.is_being_made();
        let run = self.read(self.pages.last_run().await)?;
        let known = self.read(self.pages.known_paths(&path, &path).await)?;
        if !known.is_empty() {
            return Ok(());
        }
        let (disk, began_us, span) = (self.reader.disk.clone(), self.began_us, self.span());
        let finding = blocking(move || {
            let is_new = footage::may_be_new(&disk, &path, run, began_us);
            (!is_new).then(|| footage::finding(&disk, &path, span))
        })
        .await?;
        match finding.flatten() {
            Some(finding) if is_partial && finding.problem.is_adopted() => {
                self.totals.awaited += 1;
                Ok(())
            }
            Some(finding) => self.tell(finding),
            None => Ok(()),
        }
    }

    /// Files that should have been deleted. While a recorder runs, it is about to.
    async fn look_at_doomed(&mut self) -> Result<(), E> {
        let doomed = self.read(self.pages.doomed().await)?;
        let disk = self.reader.disk.clone();
        let still_there = blocking(move || {
            let is_there = |path: &String| disk.open_file(Path::new(path)).is_ok();
            doomed.into_iter().filter(is_there).collect::<Vec<_>>()
        })
        .await?;
        let run = self.read(self.pages.last_run().await)?;
        if run.is_some_and(|run| !run.is_over) {
            return Ok(());
        }
        let doomed: HashSet<String> = self.read(self.pages.doomed().await)?.into_iter().collect();
        for path in still_there {
            let name = SegmentName::parse(&path);
            let concerns = name.is_none_or(|name| self.concerns(&name.camera));
            if concerns && doomed.contains(&path) {
                self.tell(footage::at(&path, Problem::Doomed))?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, finding: Finding) -> Result<(), E> {
        if finding.problem.is_failure() {
            self.totals.findings += 1;
        } else {
            self.totals.foreign += 1;
        }
        (self.tell)(News::Finding(finding))
    }

    fn concerns(&self, camera: &str) -> bool {
        let cameras = &self.scope.cameras;
        cameras.is_empty() || cameras.iter().any(|name| name == camera)
    }

    fn span(&self) -> (i64, i64) {
        (self.scope.from_us, self.scope.to_us)
    }

    fn read<R>(&self, result: sqlx::Result<R>) -> Result<R, E> {
        result.map_err(|error| E::from(self.reader.failed()(error)))
    }
}

/// Runs what waits for the disk where it may wait.
async fn blocking<R: Send + 'static, E: From<Error>>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, E> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| {
        let panic = std::io::Error::other(panic);
        E::from(Error::io(layout::FOOTAGE, "read")(panic))
    })
}

#[cfg(test)]
mod tests;
