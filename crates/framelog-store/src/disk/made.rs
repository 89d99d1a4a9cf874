//! Which files this run has made, for whoever must tell them from older ones whatever the clocks say. Not for what is in them.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Files that were made, while that is followed.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Shared by those who make a file, until its path is noted.
    making: RwLock<()>,
    /// `None` while nobody asks.
    paths: Mutex<Option<HashSet<String>>>,
}

impl Made {
    /// Notes from now on.
    pub fn follow(&self) {
        self.paths().get_or_insert_default();
    }

    /// Notes no more, and forgets all.
    pub fn end(&self) {
        *self.paths() = None;
    }

    /// Makes a file, and notes it.
    pub fn make(&self, path: &str, make: impl FnOnce() -> io::Result<File>) -> io::Result<File> {
        let _making = self.making.read().unwrap_or_else(PoisonError::into_inner);
        let file = make()?;
        if let Some(paths) = &mut *self.paths() {
            paths.insert(path.to_owned());
        }
        Ok(file)
    }

    /// What was made and is not forgotten: of the files that a directory listed before this call has, no own one is missing. Waits for those that
    /// are just being made.
    pub fn list(&self) -> HashSet<String> {
        let _nobody = self.making.write().unwrap_or_else(PoisonError::into_inner);
        self.paths().clone().unwrap_or_default()
    }

    /// Forgets a file: it can be told by other means.
    pub fn forget(&self, path: &str) {
        if let Some(paths) = &mut *self.paths() {
            paths.remove(path);
        }
    }

    fn paths(&self) -> MutexGuard<'_, Option<HashSet<String>>> {
        // Nothing panics while it is held.
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn file() -> io::Result<File> {
        File::open("/")
    }

    #[test]
    fn only_what_was_made_meanwhile_is_noted() {
        let made = Made::default();
        made.make("before", file).unwrap();
        made.follow();
        made.make("a", file).unwrap();
        made.make("b", file).unwrap();
        made.make("old", || Err(io::ErrorKind::AlreadyExists.into()))
            .unwrap_err();
        made.forget("a");
        assert_eq!(made.list(), ["b".to_owned()].into());
        made.end();
        made.make("after", file).unwrap();
        assert_eq!(made.list(), HashSet::new());
    }

    #[test]
    fn a_file_that_is_there_and_not_noted_yet_is_waited_for() {
        let made = Made::default();
        made.follow();
        let is_there = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                made.make("slow", || {
                    let file = file();
                    is_there.wait();
                    thread::sleep(std::time::Duration::from_millis(20));
                    file
                })
            });
            is_there.wait();
            assert_eq!(made.list(), ["slow".to_owned()].into());
        });
    }
}
