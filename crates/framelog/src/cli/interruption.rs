//! Signals that end a command which has something to clear away first. Not for other commands: those may end at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::{fs, io};

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;

const ENDING: [SignalKind; 3] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::terminate(),
];

/// What shells add to the number of a signal that ended a program.
const BY_SIGNAL: u8 = 128;

/// Whether such a signal has come.
#[derive(Debug)]
pub struct Interruption {
    /// The exit code that goes with it; 0 before.
    code: Arc<AtomicU8>,
}

impl Interruption {
    /// From now on signals end nothing, but are told by [`Self::check`]; those that are ignored (`nohup`) stay so.
    ///
    /// # Errors
    /// If the system lets nobody listen.
    pub fn listen() -> io::Result<Self> {
        let code = Arc::new(AtomicU8::new(0));
        // Without /proc there is no saying.
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        for kind in ENDING {
            let number = kind.as_raw_value();
            if ignored >> (number - 1) & 1 == 1 {
                continue;
            }
            let mut signals = signal(kind)?;
            let code = Arc::clone(&code);
            tokio::spawn(async move {
                signals.recv().await;
                code.store(BY_SIGNAL | number as u8, Ordering::Relaxed);
            });
        }
        Ok(Self { code })
    }

    /// # Errors
    /// If a signal has come. Who sent it knows why: nothing is said.
    pub fn check(&self) -> Result<(), Failure> {
        match self.code.load(Ordering::Relaxed) {
            0 => Ok(()),
            code => Err(Failure {
                lines: Vec::new(),
                code,
            }),
        }
    }
}

/// The signals that this process ignores, the first in the lowest bit: proc_pid_status(5).
fn ignored(status: &str) -> u64 {
    let mask = (status.lines()).find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_signal_is_told_with_the_code_that_shells_give_it() {
        let interruption = Interruption::listen().unwrap();
        assert_eq!(interruption.check(), Ok(()));
        kill_process(getpid(), Signal::TERM).unwrap();
        while interruption.check().is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(interruption.check().unwrap_err().code, 143);
    }

    #[test]
    fn ignored_signals_are_read_from_what_the_kernel_says() {
        let status = "Name:\tframelog\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), 0x1001);
        assert_eq!(ignored("SigIgn:\tmany"), 0);
    }
}
