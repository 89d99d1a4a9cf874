//! How much footage the rules of a file would let go at once: for who wrote GB and meant TB. Not for letting it go.

use std::path::Path;

use framelog_store::{Error, Reader, Rules, wall};

use crate::cli::words;

/// Less than one part of so many goes as footage always does.
const SHARE: u64 = 20;

/// What there is to say of it.
pub async fn note(storage: &Path, rules: &Rules) -> Option<String> {
    // Without an index nothing can go; what else is wrong with it is said elsewhere.
    let (goes, all) = removed(storage, rules).await.ok()?;
    (goes > all / SHARE).then(|| {
        format!(
            "warning: retain and max_size remove {} of {} of footage as soon as the recorder goes by this file; framelog protect keeps some of it",
            words::bytes(goes),
            words::bytes(all)
        )
    })
}

/// Bytes that go, of how many.
async fn removed(storage: &Path, rules: &Rules) -> Result<(u64, u64), Error> {
    let reader = Reader::open(storage).await?;
    let now_us = wall::now_us();
    let (mut all, mut may_go, mut goes) = (0, 0, 0);
    for camera in reader.cameras().await? {
        let retain_us =
            (rules.retain_of(&camera)).and_then(|retain| i64::try_from(retain.as_micros()).ok());
        let before_us = retain_us.map_or(i64::MIN, |us| now_us.saturating_sub(us));
        let found = reader.removable(&camera, before_us).await?;
        let max_size = rules.max_size_of(&camera).unwrap_or(u64::MAX);
        let too_much = found.all_bytes.saturating_sub(max_size).min(found.bytes);
        all += found.all_bytes;
        may_go += found.bytes;
        goes += found.old_bytes.max(too_much);
    }
    let max_size = rules.max_size.unwrap_or(u64::MAX);
    let too_much = all.saturating_sub(max_size).min(may_go);
    Ok((goes.max(too_much), all))
}
