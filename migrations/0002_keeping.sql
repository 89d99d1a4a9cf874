-- The index, version 2: what is needed to let footage go, to keep it, and to account for it. The interface is docs/schema.md;
-- this file is applied once and never edited.

PRAGMA user_version = 2;

-- How often the last run synced: above 1 s a power cut may leave rows of so much time without their bytes. Null before the first run.
ALTER TABLE recorder ADD COLUMN sync_us INTEGER;

-- Arrival of its last frame: what "oldest" and "older than" mean, because a camera's own clock may say anything.
ALTER TABLE segments ADD COLUMN received_us INTEGER NOT NULL DEFAULT 0;
UPDATE segments SET received_us = ended_us;
-- 1: found to overlap a row of protections, so that it need not be looked at again before that row is gone.
ALTER TABLE segments ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;

-- What may go, oldest first, of all cameras and of one.
CREATE INDEX segments_by_age ON segments (received_us) WHERE state = 'closed' AND protected = 0;
CREATE INDEX segments_by_age_of_camera ON segments (camera_id, received_us) WHERE state = 'closed' AND protected = 0;

-- Footage that outlives every rule: each segment of the camera that overlaps the span.
CREATE TABLE protections (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id   INTEGER NOT NULL REFERENCES cameras (id),
    started_us  INTEGER NOT NULL,
    ended_us    INTEGER NOT NULL CHECK (ended_us >= started_us),
    note        TEXT NOT NULL,     -- why, in words, for people
    added_us    INTEGER NOT NULL
) STRICT;

CREATE INDEX protections_by_time ON protections (camera_id, started_us, ended_us);

-- Why footage is gone: a receipt for what a rule removed of a camera. Removals by the same rule within an hour share one.
CREATE TABLE removals (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id   INTEGER NOT NULL REFERENCES cameras (id),
    started_us  INTEGER NOT NULL,  -- earliest capture time in what was removed
    ended_us    INTEGER NOT NULL,  -- latest
    segments    INTEGER NOT NULL,
    frames      INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    rule        TEXT NOT NULL CHECK (rule IN ('retain', 'max_size', 'min_free', 'disk_full', 'missing')),
    removed_us  INTEGER NOT NULL   -- when the last of it was
) STRICT;

CREATE INDEX removals_by_time ON removals (camera_id, started_us, ended_us);

-- Files whose rows are gone and which are deleted next: a crash in between leaves nothing behind.
CREATE TABLE doomed (
    path        TEXT PRIMARY KEY   -- relative to the storage directory
) STRICT, WITHOUT ROWID;

-- What became of everything that a camera sent during a session:
-- parts = stored + skipped_* + disk_slow + disk_full + lost, once the session is over.
CREATE TABLE accounts (
    session_id          INTEGER NOT NULL REFERENCES sessions (id),
    camera_id           INTEGER NOT NULL REFERENCES cameras (id),
    parts               INTEGER NOT NULL,  -- everything that came where a picture could be
    stored              INTEGER NOT NULL,  -- frames whose rows are in the index
    skipped_empty       INTEGER NOT NULL,  -- no payload
    skipped_not_picture INTEGER NOT NULL,  -- something else
    skipped_torn        INTEGER NOT NULL,  -- cut off
    skipped_too_large   INTEGER NOT NULL,  -- over the limits
    disk_slow           INTEGER NOT NULL,  -- dropped: the disk took too long
    disk_full           INTEGER NOT NULL,  -- dropped: the disk took no more
    lost                INTEGER NOT NULL,  -- on their way when the recorder was killed
    PRIMARY KEY (session_id, camera_id)
) STRICT, WITHOUT ROWID;
