//! `framelog reload`: has the running recorder read its configuration again, and says what that changed. It is the recorder that reads the
//! file: this reads only where to ask.

use std::path::PathBuf;

use framelog_store::identity;

use super::{Failure, ask};
use crate::config::Config;
use crate::reload::{Outcome, Reload};

/// Waits for the recorder's answer.
///
/// # Errors
/// Code 2 if the file is wrong: nothing changed. Code 1 if no recorder answers, or the storage did not take it up, or not yet.
pub async fn run(config: PathBuf) -> Result<(), Failure> {
    let found = Config::load_without_cameras(&config).map_err(|problems| {
        if std::fs::File::open(&config).is_err() {
            return Failure::configuration(&problems);
        }
        // All of them: those of cameras too.
        let all = Config::load(&config).err().unwrap_or(problems);
        Failure::refused(&Reload::refused(&all))
    })?;
    let storage = &found.storage.path;
    let uuid = identity::uuid(storage).map_err(Failure::failed)?;
    let http = &found.http;
    let no_answer = |why| {
        Failure::failed(format!(
            "nothing changed: no recorder of {} answers at {}: {why}; start framelog, or restart it if [http] or [storage] path changed",
            storage.display(),
            http.listen
        ))
    };
    // First, whether it is the right one.
    ask::report(http, uuid.as_deref(), storage)
        .await
        .map_err(no_answer)?;
    let reload = ask::reload(http).await.map_err(no_answer)?;
    match reload.outcome {
        Outcome::Applied => {
            for line in reload.lines() {
                println!("{line}");
            }
            Ok(())
        }
        Outcome::Refused => Err(Failure::refused(&reload)),
        // What waits is not recorded yet as the file says.
        Outcome::Waiting | Outcome::Failed => Err(Failure {
            lines: reload.lines(),
            code: 1,
        }),
    }
}

impl Failure {
    /// The configuration is wrong, and nothing changed.
    fn refused(reload: &Reload) -> Self {
        Self {
            lines: reload.lines(),
            code: 2,
        }
    }
}
