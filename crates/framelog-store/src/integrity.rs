//! Whether the index is a sound database: read through in the background, soon after a start and once a day, because a damaged page
//! that recording doesn't touch would be found by whoever needs it. Not for whether rows and footage agree: that is `verify`.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use tokio::sync::watch;

use crate::guard::{Gone, Guard};
use crate::lost_index::{self, Mark};
use crate::rebuild::Progress;
use crate::refusal;
use crate::schema::connect_beside;

const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// SQLite asks after so many pages or steps whether to go on.
const STEPS: i32 = 500;
/// It works for so long, then rests this many times as long: who records comes first.
const WORK: Duration = Duration::from_millis(5);
const RESTS: u32 = 3;

/// Checks the index again and again until `stop` says true or is dropped, or damage is found: then has it made anew. A reader beside the
/// writer: nobody waits for it, but the log that SQLite writes ahead grows until a check is through.
pub(crate) async fn watch(
    guard: Guard,
    rebuilt: Option<watch::Receiver<Progress>>,
    mut stop: watch::Receiver<bool>,
) {
    let rebuilt = async {
        if let Some(mut rebuilt) = rebuilt {
            // Its sender is dropped when it is over, whatever became of it.
            let _ = rebuilt.wait_for(|progress| progress.done).await;
        }
    };
    tokio::select! {
        () = rebuilt => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    loop {
        let (index, began) = (guard.index(), Instant::now());
        let checked = check(&index, stop.clone()).await;
        if is_over(&stop) {
            return;
        }
        let of_guard = guard.clone();
        // What was opened may not be the index.
        if let Ok(Err(gone)) = tokio::task::spawn_blocking(move || of_guard.check()).await {
            return guard.tell(gone);
        }
        match checked {
            Ok(None) => {
                tracing::info!(path = %index.display(), seconds = began.elapsed().as_secs(), "index checked: sound");
            }
            Ok(Some(damage)) => return condemn(&guard, &damage),
            Err(error) => {
                tracing::warn!(path = %index.display(), %error, "index could not be checked; if that stays so, check the disk (dmesg)");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Has the index made anew.
fn condemn(guard: &Guard, damage: &str) {
    let index = guard.index();
    let storage = index.parent().unwrap_or(Path::new(""));
    if let Err(error) = lost_index::set_mark(storage, &Mark::Asked) {
        tracing::error!(%error, "the index is damaged, and can't be marked to be made anew; run `framelog reindex` with the recorder stopped");
        return;
    }
    guard.tell(Gone::Index(format!(
        "{} is damaged ({damage})",
        index.display()
    )));
}

/// The first thing that SQLite finds wrong with its file, if anything.
async fn check(index: &Path, stop: watch::Receiver<bool>) -> sqlx::Result<Option<String>> {
    let mut connection = connect_beside(index).await?;
    let mut woke = Instant::now();
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS, move || {
            let worked = woke.elapsed();
            if worked >= WORK {
                // A thread of its own.
                std::thread::sleep(worked.min(10 * WORK) * RESTS);
                woke = Instant::now();
            }
            !is_over(&stop)
        });
    let found = sqlx::query_scalar::<_, String>("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await;
    let found = match found {
        Ok(line) if line == "ok" => None,
        Ok(line) => Some(line.replace('\n', " ")),
        Err(error) if refusal::is_damage(&error) => Some(error.to_string()),
        Err(error) => return Err(error),
    };
    connection.close().await?;
    Ok(found)
}

fn is_over(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
