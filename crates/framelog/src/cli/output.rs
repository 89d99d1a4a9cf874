//! Standard output, whose reader may go away: that ends a command well. Not for messages to a person, which go to standard error.

use std::io;

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
