//! How much footage the rules of a file would let go at once: for who wrote GB and meant TB. Not for letting it go.

use std::path::Path;

use framelog_store::{Reader, Rules, wall};

use crate::cli::words;

/// Less than one part of so many goes as footage always does.
const SHARE: u64 = 20;

/// What there is to say of it.
pub async fn note(storage: &Path, rules: &Rules) -> Option<String> {
    // Without an index nothing can go; what else is wrong with it is said elsewhere.
    let reader = Reader::open(storage).await.ok()?;
    let (goes, all) = reader.removable(rules, wall::now_us()).await.ok()?;
    (goes > all / SHARE).then(|| {
        format!(
            "warning: retain and max_size remove {} of {} of footage as soon as the recorder goes by this file; framelog protect keeps some of it",
            words::bytes(goes),
            words::bytes(all)
        )
    })
}
