//! Which storage directory a command reads: the one named, or the configuration's, if that is the one which the configuration means.

use std::path::{Path, PathBuf};

use framelog_store::{Error, Reader, may_begin, reindex_is_due, reindex_is_only_asked};

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
    /// If the directory is to be taken from the configuration, and that is wrong or means another one than is there.
    pub fn resolve(self, config: &Path) -> Result<(A, PathBuf), Failure> {
        // Nothing is read from another recorder's disk, nor written to it.
        let storage = match self.storage {
            Some(storage) => storage,
            None => {
                let (storage, errors) = Config::load_storage(config)
                    .map_err(|problems| Failure::configuration(&problems))?;
                for error in &errors {
                    eprintln!("framelog: warning: {error}");
                }
                may_begin(&storage.path, storage.uuid).map_err(for_reader)?;
                storage.path
            }
        };
        Ok((self.args, storage))
    }
}

/// What the store says, but for the remedy where who asks may not read: what belongs to the recorder's user is to stay so.
pub fn for_reader(error: Error) -> Failure {
    match error.denied() {
        Some(path) => Failure::failed(format!(
            "{}: this user may not read it; use sudo, or join the group that may read it",
            path.display()
        )),
        None => Failure::failed(error),
    }
}

/// Opens the index for reading; says if it may not know all footage, or will be another one soon.
///
/// # Errors
/// What the store says.
pub async fn open(storage: &Path) -> Result<Reader, Failure> {
    let reader = Reader::open(storage).await.map_err(for_reader)?;
    if reindex_is_only_asked(storage) {
        eprintln!("the index will be made anew at the recorder's next start, as was asked for");
    } else if reindex_is_due(storage) {
        eprintln!(
            "the index is being made anew, and may not know all footage yet; without a recorder that runs, `framelog reindex` goes on with it"
        );
    }
    Ok(reader)
}
