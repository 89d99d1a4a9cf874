//! Which storage directory a command reads: the one named, or the configuration's, if that is the one which the configuration means.

use std::path::{Path, PathBuf};

use framelog_store::{Reader, Uuid, identity, reindex_is_due};

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
                let (config, _) =
                    Config::load(config).map_err(|problems| Failure::configuration(&problems))?;
                let storage = config.storage;
                require(&storage.path, storage.uuid)?;
                storage.path
            }
        };
        Ok((self.args, storage))
    }
}

/// Nothing is read from another recorder's disk, nor written to it.
fn require(storage: &Path, uuid: Option<Uuid>) -> Result<(), Failure> {
    let Some(uuid) = uuid.map(|uuid| uuid.to_string()) else {
        return Ok(());
    };
    let found = identity::uuid(storage).map_err(Failure::failed)?;
    if found.as_ref() == Some(&uuid) {
        return Ok(());
    }
    let found = found.map_or("nothing".to_owned(), |found| format!("recorder {found}"));
    Err(Failure::failed(format!(
        "{}: {found} records here, not {uuid}, which storage.uuid names; mount the disk that belongs here, or name the directory with --storage",
        storage.display()
    )))
}

/// Opens the index for reading; says if it doesn't know all footage.
///
/// # Errors
/// What the store says.
pub async fn open(storage: &Path) -> Result<Reader, Failure> {
    let reader = Reader::open(storage).await.map_err(Failure::failed)?;
    if reindex_is_due(storage) {
        eprintln!(
            "the index is being made anew, and may not know all footage yet; without a recorder that runs, `framelog reindex` goes on with it"
        );
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_recorders_directory_is_left_alone_where_the_configuration_says_which_it_must_be() {
        let storage = tempfile::tempdir().unwrap();
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(require(storage.path(), None).is_ok());
        assert!(require(storage.path(), Some(ours)).is_err(), "not mounted");
        let identity = format!("uuid = \"{other}\"\n");
        std::fs::write(storage.path().join("recorder.toml"), identity).unwrap();
        assert!(require(storage.path(), Some(ours)).is_err());
        assert!(require(storage.path(), Some(other)).is_ok());
    }
}
