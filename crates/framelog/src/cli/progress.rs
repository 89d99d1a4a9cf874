//! How far a long command has come, for a person at a terminal; nothing is shown where standard error is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::words;

/// A bar over footage.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    from_us: i64,
}

impl Progress {
    /// A bar from one capture time to another.
    pub fn over(from_us: i64, to_us: i64) -> Self {
        Self {
            bar: bar(to_us.saturating_sub(from_us).unsigned_abs()),
            from_us,
        }
    }

    /// A bar over frames, whose number is told as they come.
    pub fn of_frames() -> Self {
        Self {
            bar: bar(0),
            from_us: 0,
        }
    }

    /// Everything up to this capture time is done.
    pub fn reach(&self, captured_us: i64, frames: u64, bytes: u64) {
        self.bar.set_position(
            captured_us
                .saturating_sub(self.from_us)
                .max(0)
                .unsigned_abs(),
        );
        self.tell(frames, bytes);
    }

    /// So many frames of so many are done.
    pub fn count(&self, frames: u64, due: u64, bytes: u64) {
        self.bar.set_length(due);
        self.bar.set_position(frames);
        self.tell(frames, bytes);
    }

    fn tell(&self, frames: u64, bytes: u64) {
        self.bar.set_message(format!(
            "{}, {}",
            words::count(frames, "frame"),
            words::bytes(bytes)
        ));
    }

    /// Writes a line to standard error without spoiling the bar.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Writes to standard output without spoiling the bar.
    pub fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left")
        .expect("the template is well formed");
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
