//! Failures on purpose: every call on footage asks here first. Only in tests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

/// What a call does in place of what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails.
    Fails(Errno),
    /// It writes half of what it was given. Calls that don't write are left alone.
    Short,
    /// It takes so long, and is then done.
    Slow(Duration),
}

/// What shall fail; shared by all clones of a [`super::Disk`].
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// Bytes that can be written before the disk is full.
    pub room: Arc<AtomicUsize>,
    /// The file system seems to be no larger than this, bytes.
    pub total: Arc<AtomicU64>,
    /// Whether syncs fail.
    pub sync_fails: Arc<AtomicBool>,
    /// Whether files can't be removed.
    pub remove_fails: Arc<AtomicBool>,
    /// A sync that fails loses the bytes of its file from here on, as a kernel does that drops pages it could not write.
    pub sync_loses_from: Arc<AtomicU64>,
    /// Syncs that failed by `sync_fails`.
    pub failed_syncs: Arc<AtomicU64>,
    /// Calls made so far; the first is number 1.
    pub calls: Arc<AtomicU64>,
    /// How far the kernel was told to forget a file, of the file where that was the most, bytes.
    pub forgotten: Arc<AtomicU64>,
    plan: Arc<Mutex<Option<Plan>>>,
}

/// Calls number `first` to `last` meet the fault.
#[derive(Clone, Copy, Debug)]
struct Plan {
    first: u64,
    last: u64,
    fault: Fault,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            room: Arc::new(AtomicUsize::new(usize::MAX)),
            total: Arc::new(AtomicU64::new(u64::MAX)),
            sync_fails: Arc::default(),
            remove_fails: Arc::default(),
            sync_loses_from: Arc::new(AtomicU64::new(u64::MAX)),
            failed_syncs: Arc::default(),
            calls: Arc::default(),
            forgotten: Arc::default(),
            plan: Arc::default(),
        }
    }
}

impl Faults {
    /// Calls number `first` to `last` meet the fault.
    pub fn plan(&self, first: u64, last: u64, fault: Fault) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Plan { first, last, fault });
    }

    /// All is well from now on.
    pub fn end(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.room.store(usize::MAX, SeqCst);
        self.sync_fails.store(false, SeqCst);
    }

    fn next(&self) -> Option<Fault> {
        let number = self.calls.fetch_add(1, SeqCst) + 1;
        let plan = *self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = plan
            .filter(|plan| (plan.first..=plan.last).contains(&number))?
            .fault;
        if let Fault::Slow(delay) = fault {
            thread::sleep(delay);
        }
        Some(fault)
    }

    /// A call that doesn't write.
    pub fn call(&self) -> io::Result<()> {
        match self.next() {
            Some(Fault::Fails(errno)) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    /// The kernel is told to forget a file up to there.
    pub fn forgotten(&self, end: u64) -> io::Result<()> {
        self.call()?;
        self.forgotten.fetch_max(end, SeqCst);
        Ok(())
    }

    /// A call that would write `wanted` bytes: `Some(less)` if it can only write so many.
    pub fn write(&self, wanted: usize) -> io::Result<Option<usize>> {
        match self.next() {
            Some(Fault::Fails(errno)) => return Err(errno.into()),
            Some(Fault::Short) if wanted > 1 => return Ok(Some(wanted / 2)),
            _ => {}
        }
        match self.room.load(SeqCst) {
            usize::MAX => Ok(None),
            0 => Err(Errno::NOSPC.into()),
            room if room < wanted => {
                self.room.store(0, SeqCst);
                Ok(Some(room))
            }
            room => {
                self.room.store(room - wanted, SeqCst);
                Ok(None)
            }
        }
    }

    /// A file is removed: a full disk has room again for what was in it, if that was footage (which alone was counted).
    pub fn removing(&self, root: &File, path: &str) -> io::Result<()> {
        self.call()?;
        if self.remove_fails.load(SeqCst) {
            return Err(Errno::ACCESS.into());
        }
        let stat = rustix::fs::statat(root, path, rustix::fs::AtFlags::empty());
        if self.room.load(SeqCst) != usize::MAX && path.starts_with(crate::layout::FOOTAGE) {
            let bytes = stat.map_or(0, |stat| stat.st_size);
            self.room.fetch_add(bytes as usize, SeqCst);
        }
        Ok(())
    }

    /// A sync, of one file or of all.
    pub fn sync(&self, file: Option<&File>) -> io::Result<()> {
        self.call()?;
        if !self.sync_fails.load(SeqCst) {
            return Ok(());
        }
        let from = self.sync_loses_from.load(SeqCst);
        if let Some(file) = file
            && let Some(lost) = file.metadata()?.len().checked_sub(from)
        {
            file.write_all_at(&vec![0; lost as usize], from)?;
        }
        self.failed_syncs.fetch_add(1, SeqCst);
        Err(Errno::IO.into())
    }
}
