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
    let (mut all, mut goes) = (0, 0);
    for camera in reader.cameras().await? {
        let bytes = reader.removable_bytes(&camera, i64::MAX).await?;
        let too_old = match rules.retain_of(&camera) {
            Some(retain) => {
                let retain_us = i64::try_from(retain.as_micros()).unwrap_or(i64::MAX);
                let before_us = now_us.saturating_sub(retain_us);
                reader.removable_bytes(&camera, before_us).await?
            }
            None => 0,
        };
        let max_size = rules.max_size_of(&camera).unwrap_or(u64::MAX);
        all += bytes;
        goes += too_old.max(bytes.saturating_sub(max_size));
    }
    let too_much = all.saturating_sub(rules.max_size.unwrap_or(u64::MAX));
    Ok((goes.max(too_much), all))
}
