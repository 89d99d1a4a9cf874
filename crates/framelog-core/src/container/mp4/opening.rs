//! What a segment begins with: `ftyp`, `moov` without samples, `prft` for the first frame, and a checksum of it all. Not for frames.

use mp4_atom::{
    Atom as _, Codec as Entry, Decode as _, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry,
    Encode as _, FourCC, Hdlr, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd, Prft, Stbl, Stco, Stsd, Tkhd,
    Trak, Trex, Url, Vmhd,
};

use super::fragment::TRACK;
use super::timeline::{TIMESCALE, Timeline};
use super::{check, entry};
use crate::container::Bookend;
use crate::frame::{Codec, Frame, Parameters};

/// Brands of the file: movie fragments whose offsets count from the `moof` (`iso6`).
pub(super) const FTYP: &[u8] = b"\0\0\0\x1cftypiso6\0\0\0\0iso6isommp41";

const PRFT_LEN: usize = 28;
/// No opening is longer, bytes: the parameter sets in it are bounded.
const LEN_MAX: usize = 1 << 20;
/// Seconds from 1904, where the times of a movie begin, to 1970 (ISO/IEC 14496-12, 8.2.2.3).
const FROM_1904_S: i64 = 2_082_844_800;
/// Seconds from 1900, where NTP begins, to 1970 (RFC 5905, 6).
const FROM_1900_S: i64 = 2_208_988_800;

/// How to find and check it.
pub(super) const BOOKEND: Bookend = Bookend {
    begins: FTYP,
    edge: FTYP.len() + 8,
    len,
    is_whole,
};

/// Appends the opening of a segment that begins with this frame.
pub(super) fn write(first: &Frame, timeline: &Timeline, out: &mut Vec<u8>) {
    let start = out.len();
    let none = Parameters {
        width: 0,
        height: 0,
        sets: Vec::new(),
    };
    let parameters = first.parameters.as_deref().unwrap_or(&none);
    out.extend_from_slice(FTYP);
    let moov = Moov {
        trak: vec![trak(
            entry::write(first.codec, parameters),
            parameters,
            created_s(first.captured_us),
            timeline.delay_us().into(),
        )],
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: TRACK,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        ..movie(created_s(first.captured_us))
    };
    let prft = Prft {
        reference_track_id: TRACK,
        ntp_timestamp: ntp(first.captured_us),
        media_time: timeline.delay_us().into(),
        ..Prft::default()
    };
    // Only lengths that no box can have make these fail, and the sets are bounded.
    let _ = moov.encode(out);
    let _ = prft.encode(out);
    check::append_to(start, out);
}

/// A movie of one track, to be filled.
pub(super) fn movie(created_s: u64) -> Moov {
    Moov {
        mvhd: Mvhd {
            creation_time: created_s,
            modification_time: created_s,
            timescale: TIMESCALE,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK + 1,
            ..Mvhd::default()
        },
        ..Moov::default()
    }
}

/// The track, without samples; what is shown begins at `from_us` of it.
pub(super) fn trak(entry: Entry, parameters: &Parameters, created_s: u64, from_us: u64) -> Trak {
    let edit = ElstEntry {
        segment_duration: 0,
        media_time: Some(from_us),
        media_rate: 1.into(),
    };
    Trak {
        tkhd: Tkhd {
            creation_time: created_s,
            modification_time: created_s,
            track_id: TRACK,
            enabled: true,
            in_movie: true,
            width: parameters.width.into(),
            height: parameters.height.into(),
            ..Tkhd::default()
        },
        edts: (from_us > 0).then(|| Edts {
            elst: Some(Elst {
                entries: vec![edit],
            }),
        }),
        mdia: Mdia {
            mdhd: Mdhd {
                creation_time: created_s,
                modification_time: created_s,
                timescale: TIMESCALE,
                duration: 0,
                language: "und".to_owned(),
            },
            hdlr: Hdlr {
                handler: FourCC::new(b"vide"),
                name: "framelog".to_owned(),
            },
            minf: Minf {
                vmhd: Some(Vmhd::default()),
                dinf: Dinf {
                    dref: Dref {
                        entries: vec![DrefEntry::Url(Url::default())],
                    },
                },
                stbl: Stbl {
                    stsd: Stsd {
                        codecs: vec![entry],
                    },
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

/// A time as movies have it, seconds.
pub(super) fn created_s(us: i64) -> u64 {
    u64::try_from(us.div_euclid(1_000_000).saturating_add(FROM_1904_S)).unwrap_or(0)
}

/// The codec of the segment that these bytes open, and its parameters; `None` if they are not whole.
pub(super) fn parameters(opening: &[u8]) -> Option<(Codec, Parameters)> {
    if !is_whole(opening) {
        return None;
    }
    let moov = Moov::decode(&mut opening.get(FTYP.len()..)?).ok()?;
    let entries = &moov.trak.first()?.mdia.minf.stbl.stsd.codecs;
    entry::read(entries.first()?)
}

fn len(edge: &[u8]) -> Option<usize> {
    let header = edge.strip_prefix(FTYP)?;
    let (size, kind) = header.split_first_chunk()?;
    let moov = u32::from_be_bytes(*size) as usize;
    (kind == Moov::KIND.as_ref() && moov < LEN_MAX)
        .then_some(FTYP.len() + moov + PRFT_LEN + check::LEN)
}

fn is_whole(opening: &[u8]) -> bool {
    let edge = opening.get(..BOOKEND.edge).unwrap_or_default();
    len(edge) == Some(opening.len())
        && (opening.split_last_chunk()).is_some_and(|(before, last)| check::holds(last, before))
}

/// A time in 64-bit NTP format, such that its microseconds are exact; the era is lost, as in all such times.
fn ntp(us: i64) -> u64 {
    let seconds = us.div_euclid(1_000_000).wrapping_add(FROM_1900_S);
    let fraction = (us.rem_euclid(1_000_000).cast_unsigned() << 32).div_ceil(1_000_000);
    (seconds.cast_unsigned() << 32) | fraction
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ntp_times_are_exact(us in 0..4_000_000_000_000_000i64) {
            let ntp = ntp(us);
            let seconds = (us / 1_000_000 + FROM_1900_S) as u64 & 0xffff_ffff;
            prop_assert_eq!(ntp >> 32, seconds);
            prop_assert_eq!(((ntp & 0xffff_ffff) * 1_000_000) >> 32, us as u64 % 1_000_000);
        }

        #[test]
        fn any_time_and_any_bytes_will_do(us in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (ntp(us), created_s(us));
            let mut opening = FTYP.to_vec();
            opening.extend(bytes);
            prop_assert_eq!(parameters(&opening), None);
        }
    }

    #[test]
    fn the_brands_are_as_another_writer_has_them() {
        let brand = FourCC::new;
        let ftyp = mp4_atom::Ftyp {
            major_brand: brand(b"iso6"),
            minor_version: 0,
            compatible_brands: vec![brand(b"iso6"), brand(b"isom"), brand(b"mp41")],
        };
        let mut bytes = Vec::new();
        ftyp.encode(&mut bytes).unwrap();
        assert_eq!(bytes, FTYP);
    }
}
