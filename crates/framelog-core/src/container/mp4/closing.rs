//! What a closed segment ends with: a checksum, and an `mfra` with the keyframes, for players that seek by it. A file is whole without it, as a
//! crash leaves it. Not for frames.

use mp4_atom::{Encode as _, FragmentInfo, Mfra, Mfro, Tfra};

use super::check;
use super::fragment::TRACK;
use crate::container::Bookend;

/// More keyframes than this are thinned out: who seeks needs no more, and the memory of an open segment is bounded.
const ENTRIES_MAX: usize = 2048;
/// Of `mfro`, which the file ends with, bytes.
const MFRO_LEN: usize = 16;
/// Of an `mfra` with as many entries, bytes, and more.
const LEN_MAX: usize = 64 << 10;

/// How to find and check it.
pub(super) const BOOKEND: Bookend = Bookend {
    begins: check::HEADER,
    edge: MFRO_LEN,
    len,
    is_whole,
};

/// Where the keyframes of a segment lie.
#[derive(Clone, Debug)]
pub struct Keyframes {
    entries: Vec<FragmentInfo>,
    /// Every so many are kept.
    every: usize,
    seen: usize,
}

impl Default for Keyframes {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            every: 1,
            seen: 0,
        }
    }
}

impl Keyframes {
    /// The next one: when it is shown, and where its fragment begins in the file.
    pub fn push(&mut self, time: u64, moof_offset: u64) {
        if self.seen.is_multiple_of(self.every) {
            if self.entries.len() == ENTRIES_MAX {
                let mut nth = 0..;
                self.entries
                    .retain(|_| nth.next().is_some_and(|n: usize| n.is_multiple_of(2)));
                self.every *= 2;
            }
            self.entries.push(FragmentInfo {
                time,
                moof_offset,
                traf_number: 1,
                trun_number: 1,
                sample_delta: 1,
            });
        }
        self.seen += 1;
    }

    /// What to write behind the last frame.
    pub fn close(&self) -> Vec<u8> {
        let mut mfra = Mfra {
            tfra: vec![Tfra {
                track_id: TRACK,
                entries: self.entries.clone(),
            }],
            mfro: Mfro::default(),
        };
        // Nothing here is too long for its box.
        let mut bytes = Vec::new();
        let _ = mfra.encode(&mut bytes);
        mfra.mfro.parent_size = bytes.len() as u32;
        bytes.clear();
        let _ = mfra.encode(&mut bytes);
        [&check::of(&bytes)[..], &bytes].concat()
    }
}

fn len(edge: &[u8]) -> Option<usize> {
    let size = edge.strip_prefix(b"\0\0\0\x10mfro\0\0\0\0")?;
    let size = u32::from_be_bytes(*size.first_chunk()?) as usize;
    (size <= LEN_MAX).then_some(check::LEN + size)
}

fn is_whole(closing: &[u8]) -> bool {
    (closing.split_first_chunk()).is_some_and(|(first, mfra)| check::holds(first, mfra))
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode as _;

    use super::*;

    fn closed(count: u64) -> Vec<u8> {
        let mut keyframes = Keyframes::default();
        (0..count).for_each(|n| keyframes.push(n * 2_000_000, n * 100_000));
        keyframes.close()
    }

    #[test]
    fn its_end_says_how_long_it_is() {
        for count in [0, 1, 60, 5000] {
            let bytes = closed(count);
            assert_eq!(len(&bytes[bytes.len() - MFRO_LEN..]), Some(bytes.len()));
            assert!(is_whole(&bytes));
            let mfra = Mfra::decode(&mut &bytes[check::LEN..]).unwrap();
            let entries = &mfra.tfra[0].entries;
            assert!(entries.len() as u64 == count || (1024..=2048).contains(&entries.len()));
        }
    }

    #[test]
    fn many_keyframes_are_thinned_out_evenly() {
        let bytes = closed(9001);
        assert!(bytes.len() < LEN_MAX);
        let mfra = Mfra::decode(&mut &bytes[check::LEN..]).unwrap();
        let entries = &mfra.tfra[0].entries;
        assert!(
            entries
                .windows(2)
                .all(|two| two[1].time - two[0].time == 8 * 2_000_000)
        );
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let bytes = closed(5);
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let seems = len(&flipped[flipped.len() - MFRO_LEN..]) == Some(flipped.len());
            assert!(!seems || !is_whole(&flipped), "{bit}");
        }
    }
}
