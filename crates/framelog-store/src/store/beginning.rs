//! How a session begins, whatever the last one and the disk have left: room is made for it, and a damaged index is made anew. Not for what
//! is done in a session.

use std::path::Path;
use std::time::Duration;

use sqlx::Connection as _;

use crate::disk::Disk;
use crate::error::Error;
use crate::reserve::Reserve;
use crate::retention::{Retention, Victim, first_aid};
use crate::rules::Rules;
use crate::session::{self, Session};
use crate::{layout, protection, rebuild, wall};

/// Begins a session, and learns what footage there is. Damage that only shows there is met like any other.
pub(super) async fn begin_keeping(
    storage: &Path,
    disk: &Disk,
    sync: Duration,
    rules: Rules,
) -> Result<(Session, Retention), Error> {
    let try_begin = async || {
        let (mut session, gone) = begin(storage, disk, sync).await?;
        let mut retention = Retention::new(disk.clone(), rules.clone());
        if let Err(error) = protection::check(storage) {
            tracing::error!(%error, "no footage is removed until the list of what is protected can be read");
            retention.rest();
        }
        let begun = retention
            .begin(&mut session.connection, &gone, wall::now_us())
            .await;
        if let Err(source) = begun {
            // Before its files get other names: see `session`.
            let _ = session.connection.close().await;
            return Err(Error::index(storage.join(layout::INDEX), "read")(source));
        }
        Ok((session, retention))
    };
    match try_begin().await {
        Err(error @ Error::Index { .. }) if error.is_damage() => {
            tracing::error!(%error, "the index is made anew");
            rebuild::ask(storage)?;
            try_begin().await
        }
        begun => begun,
    }
}

/// Begins a session. Even that takes room: on a full disk the reserve is given up for it and, if that is not enough, the oldest
/// footage, whose files are gone then.
async fn begin(
    storage: &Path,
    disk: &Disk,
    sync: Duration,
) -> Result<(Session, Vec<Victim>), Error> {
    let begin = || session::begin(storage, disk, sync, wall::now_us());
    let mut begun = begin().await;
    if begun.as_ref().is_err_and(Error::is_full) && Reserve::new(disk).give_up() {
        begun = begin().await;
    }
    let mut gone = Vec::new();
    if begun.as_ref().is_err_and(Error::is_full) {
        match first_aid::make_room(storage, disk).await {
            Ok(made) => gone = made,
            Err(error) => tracing::error!(%error, "no room could be made for the index"),
        }
        if !gone.is_empty() {
            begun = begin().await;
        }
    }
    Ok((begun?, gone))
}
