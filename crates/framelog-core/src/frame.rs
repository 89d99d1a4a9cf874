//! A frame: what everything downstream of the parser carries. Not for how it was received or where it is stored.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::clock::ClockKind;
use crate::digest::Digest;

/// The bytes of one picture, as slices of the buffers they were received in.
///
/// Cloning and slicing share the buffers; nothing here copies a byte except [`Payload::to_vec`].
#[derive(Clone, Debug, Default)]
pub struct Payload {
    slices: SmallVec<[Bytes; 3]>,
    len: usize,
    digest: OnceLock<Digest>,
}

impl Payload {
    /// Appends a slice behind what is there.
    pub fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.len += slice.len();
            self.slices.push(slice);
            self.digest = OnceLock::new();
        }
    }

    /// Number of bytes in all slices.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices, in order; none is empty.
    pub fn slices(&self) -> &[Bytes] {
        &self.slices
    }

    /// Its checksums. The first call reads all bytes, which is cheapest while they are in the processor's cache.
    pub fn digest(&self) -> Digest {
        *(self.digest).get_or_init(|| Digest::of(self.slices.iter().map(AsRef::as_ref)))
    }

    /// All bytes in one piece: a copy.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices.concat()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let mut payload = Self::default();
        payload.push(bytes);
        payload
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && self
                .slices
                .iter()
                .flatten()
                .eq(other.slices.iter().flatten())
    }
}

impl Eq for Payload {}

/// How a picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Motion JPEG: every frame a JPEG of its own.
    Mjpeg,
    /// H.264 (ITU-T H.264, ISO/IEC 14496-10).
    H264,
    /// H.265 (ITU-T H.265, ISO/IEC 23008-2).
    H265,
}

impl Codec {
    /// The codec of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Codec::Mjpeg, Codec::H264, Codec::H265]
            .into_iter()
            .find(|codec| codec.name() == name)
    }

    /// The name that the index and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Mjpeg => "mjpeg",
            Codec::H264 => "h264",
            Codec::H265 => "h265",
        }
    }
}

/// What a decoder must know before the first picture of a stream, as its parameter sets say it. Constant within a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Of the picture as it is shown, in pixels.
    pub width: u16,
    /// Of the picture as it is shown, in pixels.
    pub height: u16,
    /// The parameter sets as NAL units, without start codes: SPS, PPS for H.264; VPS, SPS, PPS for H.265, the VPS made of the SPS where
    /// the camera sends none. There may be several PPS.
    pub sets: Vec<Bytes>,
}

/// One picture of one camera, with its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The picture: for JPEG byte for byte as the camera sent it; for H.264 and H.265 the NAL units of an access unit, each as the camera
    /// sent it behind its length in four bytes, big-endian (ISO/IEC 14496-15).
    pub payload: Payload,
    /// How it is coded.
    pub codec: Codec,
    /// What decoding it needs; `None` for JPEG, which carries everything itself.
    pub parameters: Option<Arc<Parameters>>,
    /// When the camera took it: microseconds since the Unix epoch, UTC.
    pub captured_us: i64,
    /// When its last byte arrived here: microseconds since the Unix epoch, UTC.
    pub received_us: i64,
    /// Where `captured_us` comes from.
    pub clock: ClockKind,
    /// What was added to the camera's stamp to get `captured_us`, in microseconds; 0 unless `clock` is `Mapped`.
    /// Constant within a segment.
    pub offset_us: i64,
    /// Whether it can be shown without another frame. Always true for JPEG.
    pub keyframe: bool,
    /// Whether the picture is whole; false for a JPEG without its end (EOI).
    pub complete: bool,
}
