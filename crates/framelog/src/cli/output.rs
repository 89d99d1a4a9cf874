//! Standard output, whose reader may go away: that ends a command well. Not for messages to a person, which go to standard error.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Failure;

/// Why a command stops before its end.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads any more (`framelog find | head`).
    Closed,
    /// It failed.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

impl From<framelog_store::Error> for Stop {
    fn from(error: framelog_store::Error) -> Self {
        Stop::Failed(Failure::failed(error))
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::Closed,
            _ => Stop::Failed(Failure::failed(format!("standard output: {error}"))),
        }
    }
}

/// The end of a command: a reader that went away is none of its business.
///
/// # Errors
/// If it failed otherwise.
pub fn ended(result: Result<(), Stop>) -> Result<(), Failure> {
    match result {
        Ok(()) | Err(Stop::Closed) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Whether nobody reads standard output any more, which a command that has nothing to write would not notice.
pub fn is_closed() -> bool {
    let stdout = io::stdout();
    // Errors are told without being asked for.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // A signal or an odd kind of output is no reader that went away: writing will tell.
    poll(&mut watched, Some(&at_once)).is_ok()
        && watched
            .iter()
            .any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}
