-- The index, version 3: a month of a camera is added up without looking at its segments' own rows. The interface is docs/schema.md; this
-- file is applied once and never edited.

PRAGMA user_version = 3;

-- All that is added up, in an index of closed segments only: the numbers of an open one change with every commit. `state` is the same for
-- all, but without it SQLite would look it up.
CREATE INDEX segments_closed_by_time ON segments (camera_id, started_us, ended_us, frames, bytes, state) WHERE state = 'closed';
