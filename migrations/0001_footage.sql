-- The index of one storage directory, version 1. The interface is docs/schema.md; this file is applied once and never edited.
-- Times are microseconds since the Unix epoch, UTC. The comments inside the statements stay in the database: `.schema` shows them.

PRAGMA user_version = 1;

CREATE TABLE recorder (
    one         INTEGER PRIMARY KEY CHECK (one = 1),  -- a table of one row
    uuid        TEXT NOT NULL,     -- as in recorder.toml: with it, ids are unique beyond this box
    created_us  INTEGER NOT NULL   -- when this index was made
) STRICT;

CREATE TABLE sessions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    version     TEXT NOT NULL,     -- of the program
    started_us  INTEGER NOT NULL,  -- the recorder opened the directory
    alive_us    INTEGER NOT NULL,  -- it was certainly running then: refreshed with every commit, at least every 5 s
    ended_us    INTEGER            -- it was stopped; null while it runs, and for ever if it was killed
) STRICT;

CREATE TABLE cameras (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,  -- as configured: [a-z0-9][a-z0-9_-]{0,63}
    added_us    INTEGER NOT NULL,      -- first seen in the configuration
    removed_us  INTEGER                -- no longer in it since then; null while it is
) STRICT;

CREATE TABLE segments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- grows in the order in which segments began
    camera_id   INTEGER NOT NULL REFERENCES cameras (id),
    path        TEXT NOT NULL UNIQUE,  -- of the file, relative to the storage directory
    codec       TEXT NOT NULL,         -- 'mjpeg'
    started_us  INTEGER NOT NULL,      -- earliest capture time in it
    ended_us    INTEGER NOT NULL,      -- latest capture time in it so far
    frames      INTEGER NOT NULL,      -- rows in `frames` so far
    bytes       INTEGER NOT NULL,      -- of the file, up to the end of its last indexed frame
    state       TEXT NOT NULL CHECK (state IN ('open', 'closed')),  -- open: still being written
    offset_us   INTEGER NOT NULL       -- captured_us minus the camera's own stamp; 0 unless the clock is `mapped`
) STRICT;

-- Segments of a camera by time, and (with the id that every index ends in) in the order in which they began.
CREATE INDEX segments_by_time ON segments (camera_id, started_us);
CREATE INDEX segments_by_camera ON segments (camera_id);
-- The longest segment of a camera bounds how far before a span the first segment that overlaps it can begin.
CREATE INDEX segments_by_span ON segments (camera_id, ended_us - started_us) WHERE state = 'closed';
CREATE INDEX segments_open ON segments (camera_id) WHERE state = 'open';

-- A row a frame, clustered by camera and capture time. Segment and offset both grow in the order of arrival, so the key
-- admits equal and backward stamps and keeps that order. Small: flags is 0 (no byte on disk) for the commonest frame.
CREATE TABLE frames (
    camera_id   INTEGER NOT NULL REFERENCES cameras (id),
    captured_us INTEGER NOT NULL,  -- when the camera took it
    segment_id  INTEGER NOT NULL REFERENCES segments (id),
    offset      INTEGER NOT NULL,  -- of the payload in the segment's file, bytes
    length      INTEGER NOT NULL,  -- of the payload, bytes
    flags       INTEGER NOT NULL,  -- & 3: clock, 0 camera, 1 mapped, 2 arrival; & 4: torn (no EOI); & 8: not a keyframe
    lag_us      INTEGER NOT NULL,  -- received_us - captured_us
    PRIMARY KEY (camera_id, captured_us, segment_id, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    camera_id   INTEGER NOT NULL REFERENCES cameras (id),
    started_us  INTEGER NOT NULL,
    ended_us    INTEGER CHECK (ended_us >= started_us),  -- null while it is open
    reason      TEXT NOT NULL CHECK (reason IN ('starting', 'unreachable', 'unauthorized', 'busy', 'not_video',
                    'bad_response', 'stalled', 'disconnected', 'disk_full', 'disk_slow', 'clock_stepped', 'disabled',
                    'recorder_down')),
    detail      TEXT NOT NULL      -- in words, for people
) STRICT;

CREATE INDEX gaps_by_time ON gaps (camera_id, started_us, ended_us);
CREATE INDEX gaps_open ON gaps (camera_id) WHERE ended_us IS NULL;

-- For people: a row a frame, with everything that is needed to find its bytes.
CREATE VIEW footage AS
SELECT c.name AS camera,
       strftime('%Y-%m-%dT%H:%M:%S', (f.captured_us - (f.captured_us % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
           || printf('.%06dZ', (f.captured_us % 1000000 + 1000000) % 1000000) AS captured,  -- RFC 3339; null outside the years 0 to 9999
       f.captured_us,
       f.captured_us + f.lag_us AS received_us,
       CASE f.flags & 3 WHEN 0 THEN 'camera' WHEN 1 THEN 'mapped' ELSE 'arrival' END AS clock,
       s.codec,
       f.flags & 8 = 0 AS keyframe,
       f.flags & 4 = 0 AS complete,
       s.path,
       f.offset,
       f.length
FROM frames f
JOIN cameras c ON c.id = f.camera_id
JOIN segments s ON s.id = f.segment_id;
