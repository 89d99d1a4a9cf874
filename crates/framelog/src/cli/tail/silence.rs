//! That no frames come: it is said once why, as far as that can be seen, and ends where none can come any more. Not for waiting itself.

use std::path::Path;
use std::time::{Duration, Instant};

use framelog_store::query::GapRow;
use framelog_store::{Reader, identity};

use crate::cli::{Failure, time, words};
use crate::config::Config;

/// Looked for a reason after so long without a frame, and again after so long.
const LOOK_AFTER: Duration = Duration::from_secs(3);

/// The time since the last frame.
#[derive(Debug)]
pub struct Silence<'a> {
    camera: &'a str,
    storage: &'a Path,
    config: &'a Path,
    /// Since the last frame, or the last look.
    since: Instant,
    /// What was said of it.
    told: Option<String>,
}

impl<'a> Silence<'a> {
    /// From now on.
    pub fn begin(camera: &'a str, storage: &'a Path, config: &'a Path) -> Self {
        Self {
            camera,
            storage,
            config,
            since: Instant::now(),
            told: None,
        }
    }

    /// A frame has come.
    pub fn is_broken(&mut self) {
        self.since = Instant::now();
        self.told = None;
    }

    /// None has. Says why on standard error if that is seen, and was not said.
    ///
    /// # Errors
    /// If none can come.
    pub async fn lasts(&mut self, reader: &Reader) -> Result<(), Failure> {
        if self.since.elapsed() < LOOK_AFTER {
            return Ok(());
        }
        self.since = Instant::now();
        let is_recording = identity::is_recording(self.storage).unwrap_or(true);
        if self.is_removed(reader, is_recording).await {
            return Err(Failure::failed(format!(
                "{}: no frames will come: the camera is not in {} any more",
                self.camera,
                self.config.display()
            )));
        }
        let why = self.why(reader, is_recording).await;
        if let Some(why) = why.filter(|why| self.told.as_ref() != Some(why)) {
            eprintln!("framelog: waiting: {why}");
            self.told = Some(why);
        }
        Ok(())
    }

    /// Whether the configuration of this directory doesn't name the camera. One that can't be read says nothing, and a recorder goes on with what
    /// it said before, until it reads it again.
    async fn is_removed(&self, reader: &Reader, is_recording: bool) -> bool {
        let is_named = Config::load_names(self.config).map_or(true, |(storage, names)| {
            storage.path != self.storage || names.iter().any(|name| name == self.camera)
        });
        !is_named && (!is_recording || reader.is_removed(self.camera).await.unwrap_or(false))
    }

    async fn why(&self, reader: &Reader, is_recording: bool) -> Option<String> {
        let storage = self.storage.display();
        if reader.is_gone() {
            return Some(format!("{storage}: the index is not there any more"));
        }
        if !is_recording {
            return Some(format!("no recorder runs on {storage}"));
        }
        // Those that have no end.
        let open = reader.gaps(Some(self.camera), i64::MAX, i64::MAX).await;
        open.ok()?.last().map(in_words)
    }
}

fn in_words(gap: &GapRow) -> String {
    let detail = match gap.detail.as_str() {
        "" => String::new(),
        detail => format!(" ({})", words::plain(detail)),
    };
    format!(
        "{}: nothing is recorded since {}: {}{detail}",
        gap.camera,
        time::format(gap.started_us, false),
        gap.reason
    )
}
