//! `framelog reindex`: the index made anew from the footage. How is the store's.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use framelog_store::{
    Comparison, Error, FOOTAGE, Options, Store, ask_for_reindex, compare_with_old_index,
    newest_old_index, reindex_is_due,
};

use super::progress::Progress;
use super::{Failure, words};

/// Rows are committed as fast as they come: nothing is being recorded.
const SYNC: Duration = Duration::from_millis(10);

/// Arguments of `framelog reindex`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Leave it to the recorder: it does so at its next start, and records meanwhile
    #[arg(long)]
    at_start: bool,
}

/// Makes the index anew; the old one stays beside it under another name.
///
/// # Errors
/// There is no footage, a recorder runs there, or what the store says.
pub async fn run(args: Args, storage: &Path) -> Result<(), Failure> {
    require_footage(storage)?;
    if args.at_start {
        ask_for_reindex(storage).map_err(Failure::failed)?;
        println!("the index is made anew at the recorder's next start: systemctl restart framelog");
        return Ok(());
    }
    let (known, goes_on) = (newest_old_index(storage), reindex_is_due(storage));
    let began = Instant::now();
    let store = Store::open(Options {
        reindex: true,
        sync: SYNC,
        ..Options::new(storage.to_owned())
    })
    .await
    .map_err(explain)?;
    let progress = follow(&store).await;
    let finished = store.close().await;
    finished.map_err(Failure::failed)?;
    if !progress.whole {
        return Err(Failure::failed(
            "the index could not be made anew to its end, for the reason given above; the next try goes on with it",
        ));
    }
    println!(
        "reindexed {}, {}, {} in {}",
        words::count(progress.files, "file"),
        words::count(progress.frames, "frame"),
        words::bytes(progress.bytes),
        words::duration(i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX)),
    );
    // One that was set aside before has nothing to do with this, unless this goes on with what was begun then.
    if let Some(old) =
        newest_old_index(storage).filter(|aside| goes_on || known.as_ref() != Some(aside))
    {
        let compared = compare_with_old_index(storage, &old).await;
        println!("the old index is {}: {}", old.display(), lost(compared));
    }
    Ok(())
}

fn require_footage(storage: &Path) -> Result<(), Failure> {
    let footage = storage.join(FOOTAGE);
    let why = match std::fs::metadata(&footage) {
        Ok(found) if found.is_dir() => return Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            format!("{}: {error}; use sudo", footage.display())
        }
        _ => format!(
            "{}: there is no footage; check storage.path, or name the directory with --storage",
            storage.display()
        ),
    };
    Err(Failure::failed(why))
}

/// What the new index has not of what the old one had, in words.
fn lost(compared: Result<Comparison, Error>) -> String {
    let Ok(compared) = compared else {
        return "it can't be read, so whether it had more than the footage isn't known".to_owned();
    };
    let in_segments = |frames: i64, segments: i64| {
        format!(
            "{} in {}",
            words::count(frames.cast_unsigned(), "frame"),
            words::count(segments.cast_unsigned(), "file")
        )
    };
    let had = in_segments(compared.old_frames, compared.old_segments);
    let has = in_segments(compared.frames, compared.segments);
    match (compared.lost_frames, compared.lost_segments) {
        (0, 0) => format!("it had {had}, the new one has {has}: nothing of it is lost"),
        (frames, segments) => format!(
            "it had {had}, the new one has {has}: {} of the old index {} not in the footage, {segments} of its files {} gone",
            words::count(frames.cast_unsigned(), "frame"),
            if frames == 1 { "is" } else { "are" },
            if segments == 1 { "is" } else { "are" },
        ),
    }
}

async fn follow(store: &Store) -> framelog_store::Progress {
    let Some(mut rebuilding) = store.rebuilding() else {
        return framelog_store::Progress::default();
    };
    let mut bar: Option<Progress> = None;
    loop {
        let now = *rebuilding.borrow_and_update();
        let files = i64::try_from(now.files).unwrap_or(i64::MAX);
        if files > 0 {
            bar.get_or_insert_with(|| Progress::over(0, files)).reach(
                i64::try_from(now.files_done).unwrap_or(i64::MAX),
                now.frames,
                now.bytes,
            );
        }
        if now.done || rebuilding.changed().await.is_err() {
            if let Some(bar) = bar {
                bar.finish();
            }
            return now;
        }
    }
}

fn explain(error: Error) -> Failure {
    match error {
        Error::Locked { path } => Failure::failed(format!(
            "{}: a recorder is running here; stop it first, or use --at-start and restart it: it records meanwhile",
            path.display()
        )),
        other => Failure::failed(other),
    }
}
