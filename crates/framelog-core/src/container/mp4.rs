//! `.mp4` for H.264 and H.265: fragmented MP4 (ISO/IEC 14496-12 and -15) that is written as the frames come, and that says enough of itself for
//! the index to be made of it again.
//!
//! ```text
//! ftyp, moov          brands; a track without samples, its parameter sets in avc1/avcC or hvc1/hvcC
//! prft                when the first frame was taken, UTC
//! uuid                checksum of the above
//! moof, uuid, mdat    a frame: its times for players, what framelog knows of it with a checksum, its bytes
//! …                   the next frame
//! uuid, mfra          once closed: where the keyframes are, and a checksum of that
//! ```
//!
//! A fragment a frame makes the file whole up to its last frame at every moment; it costs 165 bytes each.
//!
//! **Times.** A track counts microseconds, so that capture times are exact in it. A frame is shown when it was taken: decode time (`tfdt`) plus
//! composition offset (`trun`, signed). Decode times only go forward, by one microsecond at least, whatever the stamps do; the offset makes up for
//! it, as far as it reaches (half an hour). Pictures that change places (B-frames) must be decoded before they are due, so the whole track is
//! shown `delay` after it is decoded, and an edit list takes that away again. How much is needed is what the parameter sets say, or what an
//! earlier segment taught ([`Pace`]); while it is too little, offsets are negative, which loses nothing.
//!
//! **Durations.** How long a frame lasts is known when the next one comes, and a frame is written before that: within 250 ms, whatever its
//! pace. So `trun` has the interval before it, an estimate, and exact is what follows from the decode time of each fragment: it is what players go by.
//! Only the last frame's duration remains an estimate, as in any recording.
//!
//! **Seeking** works in players that read the fragments; `mfra` is for those that don't.

use crate::frame::{Codec, Frame, Parameters};

use super::{Format, Stored};

mod check;
mod closing;
mod entry;
mod fragment;
mod movie;
mod opening;
mod timeline;

pub use closing::Keyframes;
pub use fragment::{HEAD_LEN, START};
pub use movie::Movie;
pub use timeline::{Pace, Place};

use fragment::Fragment;
use timeline::Timeline;

/// How fragments lie in a file.
pub const FORMAT: Format = Format {
    start: START,
    tail: b"",
    head_max: HEAD_LEN,
    read_head: fragment::read_head,
    opening: Some(opening::BOOKEND),
    closing: Some(closing::BOOKEND),
};

/// How far the writing of a segment is: small, so that who writes can go back to where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    timeline: Timeline,
    /// Fragments so far.
    fragments: u32,
}

impl Position {
    /// Before the first frame, which this one will be.
    pub fn begin(first: &Frame, pace: Pace) -> Self {
        Self {
            timeline: Timeline::begin(first, pace),
            fragments: 0,
        }
    }

    /// Appends what goes before the payload of the next frame: if it is the first, with what opens the file. A payload of 4 GiB or more is none
    /// that a fragment can hold.
    pub fn write_head(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Place {
        if self.fragments == 0 {
            opening::write(frame, &self.timeline, out);
        }
        self.fragments = self.fragments.wrapping_add(1);
        let place = self.timeline.place(frame.captured_us);
        let fragment = Fragment {
            sequence: self.fragments,
            place,
            length: u32::try_from(frame.payload.len()).unwrap_or(u32::MAX),
            stored: Stored::from(frame),
        };
        fragment.write(frame.payload.digest(), out);
        place
    }

    /// What the next segment of the camera should know.
    pub fn pace(&self) -> Pace {
        self.timeline.pace()
    }

    /// Whether another segment would be better, as soon as there is a keyframe: pictures change places more than this one allows for.
    pub fn is_outgrown(&self) -> bool {
        self.timeline.is_outgrown()
    }
}

/// Codec and parameters, as what opens a file has them; `None` if it is not, to the last bit, what was written.
pub fn parameters(opening: &[u8]) -> Option<(Codec, Parameters)> {
    opening::parameters(opening)
}
