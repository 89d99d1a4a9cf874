//! `.mkv` for Motion JPEG: Matroska (RFC 9559) with each picture's own time, to the microsecond. What an export is. Not for segments, and not for
//! pictures that depend on others: those are better off in `mp4`.

/// Nanoseconds of a tick: times are microseconds.
const TICK_NS: u64 = 1000;
/// A place to seek to is kept this often, microseconds.
const CUE_US: u64 = 1_000_000;
/// A length of eight bytes that says nothing yet (RFC 8794, 6.2).
const UNKNOWN: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Ids of elements (RFC 8794, 11.2; RFC 9559, 5.1).
mod id {
    pub(super) const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
    pub(super) const DOC_TYPE: &[u8] = &[0x42, 0x82];
    pub(super) const DOC_TYPE_VERSION: &[u8] = &[0x42, 0x87];
    pub(super) const DOC_TYPE_READ_VERSION: &[u8] = &[0x42, 0x85];
    pub(super) const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
    pub(super) const SEEK_HEAD: &[u8] = &[0x11, 0x4d, 0x9b, 0x74];
    pub(super) const SEEK: &[u8] = &[0x4d, 0xbb];
    pub(super) const SEEK_ID: &[u8] = &[0x53, 0xab];
    pub(super) const SEEK_POSITION: &[u8] = &[0x53, 0xac];
    pub(super) const INFO: &[u8] = &[0x15, 0x49, 0xa9, 0x66];
    pub(super) const TIMESTAMP_SCALE: &[u8] = &[0x2a, 0xd7, 0xb1];
    pub(super) const DURATION: &[u8] = &[0x44, 0x89];
    pub(super) const DATE_UTC: &[u8] = &[0x44, 0x61];
    pub(super) const MUXING_APP: &[u8] = &[0x4d, 0x80];
    pub(super) const WRITING_APP: &[u8] = &[0x57, 0x41];
    pub(super) const TRACKS: &[u8] = &[0x16, 0x54, 0xae, 0x6b];
    pub(super) const TRACK_ENTRY: &[u8] = &[0xae];
    pub(super) const TRACK_NUMBER: &[u8] = &[0xd7];
    pub(super) const TRACK_UID: &[u8] = &[0x73, 0xc5];
    pub(super) const TRACK_TYPE: &[u8] = &[0x83];
    pub(super) const FLAG_LACING: &[u8] = &[0x9c];
    pub(super) const CODEC_ID: &[u8] = &[0x86];
    pub(super) const VIDEO: &[u8] = &[0xe0];
    pub(super) const PIXEL_WIDTH: &[u8] = &[0xb0];
    pub(super) const PIXEL_HEIGHT: &[u8] = &[0xba];
    pub(super) const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
    pub(super) const TIMESTAMP: &[u8] = &[0xe7];
    pub(super) const SIMPLE_BLOCK: &[u8] = &[0xa3];
    pub(super) const CUES: &[u8] = &[0x1c, 0x53, 0xbb, 0x6b];
    pub(super) const CUE_POINT: &[u8] = &[0xbb];
    pub(super) const CUE_TIME: &[u8] = &[0xb3];
    pub(super) const CUE_TRACK_POSITIONS: &[u8] = &[0xb7];
    pub(super) const CUE_TRACK: &[u8] = &[0xf7];
    pub(super) const CUE_CLUSTER_POSITION: &[u8] = &[0xf1];
}

/// A film as far as it is written.
#[derive(Debug)]
pub struct Film {
    width: u16,
    height: u16,
    first_us: i64,
    last_us: u64,
    interval_us: u64,
    /// Where the next bytes go in the segment, from its first element on.
    at: u64,
    cues: Vec<(u64, u64)>,
}

impl Film {
    /// A film that begins then, with pictures of this size.
    pub fn new(width: u16, height: u16, first_us: i64) -> Self {
        Self {
            width,
            height,
            first_us,
            last_us: 0,
            interval_us: 0,
            at: 0,
            cues: Vec::new(),
        }
    }

    /// What the file begins with.
    pub fn open(&mut self) -> Vec<u8> {
        let elements = self.elements(0);
        self.at = elements.len() as u64;
        [before_segment(UNKNOWN), elements].concat()
    }

    /// What goes before the next picture. One that goes back in time is shown a microsecond after the last.
    pub fn head(&mut self, captured_us: i64, length: usize) -> Vec<u8> {
        let us = captured_us
            .saturating_sub(self.first_us)
            .max(0)
            .cast_unsigned();
        let us = match self.cues.is_empty() {
            true => us,
            false => us.max(self.last_us + 1),
        };
        self.interval_us = us - self.last_us;
        self.last_us = us;
        if self
            .cues
            .last()
            .is_none_or(|(last_us, _)| us - last_us >= CUE_US)
        {
            self.cues.push((us, self.at));
        }
        let timestamp = number(id::TIMESTAMP, us);
        // Track 1, at the cluster's own time, a keyframe.
        let block = [0x81, 0, 0, 0x80];
        let block_len = (block.len() + length) as u64;
        let cluster_len = timestamp.len() as u64 + id::SIMPLE_BLOCK.len() as u64 + 8 + block_len;
        let head = [
            id::CLUSTER,
            &size(cluster_len),
            &timestamp,
            id::SIMPLE_BLOCK,
            &size(block_len),
            &block,
        ]
        .concat();
        self.at += (head.len() + length) as u64;
        head
    }

    /// What to write behind the last picture, and what over the file's beginning.
    pub fn close(&self) -> (Vec<u8>, Vec<u8>) {
        let points: Vec<u8> = (self.cues.iter())
            .flat_map(|(us, at)| {
                let place = [
                    number(id::CUE_TRACK, 1),
                    number(id::CUE_CLUSTER_POSITION, *at),
                ]
                .concat();
                let point = [
                    number(id::CUE_TIME, *us),
                    element(id::CUE_TRACK_POSITIONS, &place),
                ]
                .concat();
                element(id::CUE_POINT, &point)
            })
            .collect();
        let cues = element(id::CUES, &points);
        let length = size(self.at + cues.len() as u64);
        (
            cues,
            [before_segment(length), self.elements(self.at)].concat(),
        )
    }

    /// What stands before the clusters: always as long, whatever is known.
    fn elements(&self, cues_at: u64) -> Vec<u8> {
        let seek = [
            element(id::SEEK_ID, id::CUES),
            number(id::SEEK_POSITION, cues_at),
        ]
        .concat();
        let duration = (self.last_us + self.interval_us) as f64;
        // Nanoseconds from 2001 (RFC 8794, 7.6).
        let date = (self.first_us.saturating_sub(978_307_200_000_000)).saturating_mul(1000);
        let info = [
            number(id::TIMESTAMP_SCALE, TICK_NS),
            element(id::DURATION, &duration.to_be_bytes()),
            element(id::DATE_UTC, &date.to_be_bytes()),
            element(id::MUXING_APP, b"framelog"),
            element(id::WRITING_APP, b"framelog"),
        ];
        let video = [
            number(id::PIXEL_WIDTH, self.width.into()),
            number(id::PIXEL_HEIGHT, self.height.into()),
        ];
        let track = [
            number(id::TRACK_NUMBER, 1),
            number(id::TRACK_UID, 1),
            number(id::TRACK_TYPE, 1),
            number(id::FLAG_LACING, 0),
            element(id::CODEC_ID, b"V_MJPEG"),
            element(id::VIDEO, &video.concat()),
        ];
        [
            element(id::SEEK_HEAD, &element(id::SEEK, &seek)),
            element(id::INFO, &info.concat()),
            element(id::TRACKS, &element(id::TRACK_ENTRY, &track.concat())),
        ]
        .concat()
    }
}

fn before_segment(length: [u8; 8]) -> Vec<u8> {
    let head = [
        element(id::DOC_TYPE, b"matroska"),
        number(id::DOC_TYPE_VERSION, 4),
        number(id::DOC_TYPE_READ_VERSION, 2),
    ];
    [&element(id::EBML, &head.concat())[..], id::SEGMENT, &length].concat()
}

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &size(body.len() as u64), body].concat()
}

/// Always eight bytes, so that what is written over it is as long.
fn number(id: &[u8], number: u64) -> Vec<u8> {
    element(id, &number.to_be_bytes())
}

/// A length in eight bytes (RFC 8794, 4.1).
fn size(length: u64) -> [u8; 8] {
    (length | 1 << 56).to_be_bytes()
}
