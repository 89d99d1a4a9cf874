//! Which storage directory a command reads: the one named, or the configuration's.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::Config;

/// A command's arguments and the storage directory that it reads.
#[derive(Clone, Debug, clap::Args)]
pub struct Stored<A: clap::Args> {
    #[command(flatten)]
    pub args: A,
    /// The storage directory, in place of the configuration's
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
}

impl<A: clap::Args> Stored<A> {
    /// The arguments and the directory.
    ///
    /// # Errors
    /// If the directory is to be taken from the configuration and that is wrong.
    pub fn resolve(self, config: &Path) -> Result<(A, PathBuf), Failure> {
        let storage = match self.storage {
            Some(storage) => storage,
            None => {
                Config::load(config)
                    .map_err(|problems| Failure::configuration(&problems))?
                    .0
                    .storage
                    .path
            }
        };
        Ok((self.args, storage))
    }
}
