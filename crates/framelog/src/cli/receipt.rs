//! What a receipt for removed footage says, in words. Not for where it is said.

use framelog_store::query::RemovalRow;

use super::{time, words};

/// By which rule, how much, and when the last of it went.
pub fn text(removal: &RemovalRow, utc: bool) -> String {
    format!(
        "removed by {}: {}, {}, the last at {}",
        removal.rule,
        words::count(removal.frames.cast_unsigned(), "frame"),
        words::bytes(removal.bytes.cast_unsigned()),
        time::format(removal.removed_us, utc),
    )
}
