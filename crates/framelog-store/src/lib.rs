//! Footage in dated directories, and its SQLite index. Everything that touches either is in this crate.
//!
//! What holds, at every moment:
//!
//! 1. **Bytes before rows.** A frame's row is committed only after its bytes were handed to the file; with `sync` up to
//!    1 s, only after they were synced to the disk.
//! 2. **Nothing is lost silently.** Each frame given to [`CameraLog::append`] is stored, or dropped and counted with a
//!    reason, and the span is a gap. A row of `accounts` counts as stored what `frames` has, in the same commit.
//! 3. **Order of arrival is kept.** Of two frames of a camera the later one has the greater (segment id, offset),
//!    whatever their stamps say; equal and backward stamps are stored like any other.
//! 4. **Footage is written once.** A segment's file is new when it is opened, only grows, and is never written again
//!    after it is closed; the one thing cut off is a frame of which only a part is there, because a write failed or nothing more may
//!    be written to the segment. While it is open it may end within a frame. It goes only as a whole.
//! 5. **One gap at a time.** A camera has at most one open gap, and `ended_us >= started_us` in every row.
//! 6. **Memory is bounded.** Frames wait in queues that are bounded in bytes, per camera and in all; locations that wait
//!    for the index are bounded in number. Past the bounds frames are dropped, and gaps folded into one.
//! 7. **Nobody waits for the index.** Writers hand locations over and go on; a slow or full index delays rows, never bytes.
//! 8. **Removal is whole.** Rows go before their files, and what a crash interrupts the next start finishes. What is protected
//!    stays; each removal has a receipt.
//! 9. **A full disk drops nothing while something may go.** A write that finds no room waits for it.
//! 10. **One recorder.** The directory is locked while a [`Store`] is open on it.
//! 11. **No name escapes.** A path is made of a checked camera name and a time, and stays below the storage directory.
//!
//! Absent on purpose: deciding when a segment ends or a camera is lost (the daemon does), and decoding anything.

mod accounts;
mod admission;
mod ahead;
mod blocks;
mod budget;
mod camera;
mod camera_log;
mod changes;
mod container;
mod direct;
mod dirty;
mod disk;
mod error;
mod fingerprint;
mod footage_dirs;
mod gaps;
mod guard;
mod held;
pub mod identity;
mod index;
mod integrity;
mod layout;
mod log_file;
mod lost_index;
mod mounts;
mod old_index;
mod outage;
mod overflow;
mod owner;
mod page_cache;
mod pending;
mod queue;
mod rebuild;
mod recording;
mod recovery;
mod refusal;
mod reserve;
mod retention;
mod room;
mod rows;
mod rules;
mod scan;
mod schema;
mod segment;
mod session;
mod store;
mod suspects;
mod transaction;
mod unindexed;
mod whole_file;
mod writer;

pub mod protection;
pub mod query;
pub mod verify;
pub mod wall;

pub use admission::{look as look_at_storage, may_begin};
pub use camera::{Counters, Losing, Still};
pub use camera_log::{CameraLog, Dropped};
pub use container::Layout;
pub use error::Error;
pub use guard::Gone;
pub use held::HOLD_MAX;
pub use layout::{FOOTAGE, INDEX};
pub use old_index::{Comparison, compare as compare_with_old_index, newest as newest_old_index};
pub use query::Reader;
pub use rebuild::{
    Progress, ask as ask_for_reindex, is_due as reindex_is_due,
    is_only_asked as reindex_is_only_asked,
};
pub use refusal::is_full;
pub use retention::Keeping;
pub use rules::{CameraRules, Rules, effective_min_free};
pub use store::{Options, Store};
pub use uuid::Uuid;
