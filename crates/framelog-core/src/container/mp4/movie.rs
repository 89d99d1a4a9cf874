//! A film: ordinary MP4 with all its tables in one `moov`, behind the pictures. What an export is, for players and editors. Not for segments: a
//! film is whole only at its end.

use mp4_atom::{
    Co64, Ctts, CttsEntry, Encode as _, Moov, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz,
    StszSamples, Stts, SttsEntry,
};

use super::entry;
use super::opening::{created_s, movie, trak};
use super::timeline::TIMESCALE;
use crate::frame::{Codec, Parameters};

/// Samples in a chunk: a player that seeks reads so many sizes.
const CHUNK: usize = 32;
/// A stamp that goes back farther than this is a clock that was set, microseconds: the film goes on, as if a frame later.
const BACK_MAX_US: i64 = 1_000_000;
const INTERVAL_US: i64 = 40_000;

const FTYP: &[u8] = b"\0\0\0\x18ftypisom\0\0\0\0isommp41";
/// Of `mdat` with a length of 64 bits, bytes.
const MDAT_HEADER: usize = 16;

/// A film as far as its pictures are written. Memory: 32 bytes a picture, and twice that at the end.
#[derive(Debug, Default)]
pub struct Movie {
    entries: Vec<(Codec, Parameters)>,
    samples: Vec<Sample>,
    /// Added to capture times, since a clock was set.
    ahead_us: i64,
    latest_us: Option<i64>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    shown_us: i64,
    length: u32,
    /// Number of its entry, from 1.
    entry: u32,
    keyframe: bool,
}

impl Movie {
    /// What the file begins with; the pictures follow, one right behind the other.
    pub fn opening() -> Vec<u8> {
        [FTYP, &Self::mdat_header(0)].concat()
    }

    /// The pictures that follow need these parameters. A film may have several: a player takes the new ones where they begin.
    pub fn need(&mut self, codec: Codec, parameters: &Parameters) {
        if self
            .entries
            .last()
            .is_none_or(|(_, last)| last != parameters)
        {
            self.entries.push((codec, parameters.clone()));
        }
    }

    /// The next picture, in the order of decoding; its bytes follow those of the one before.
    pub fn add(&mut self, captured_us: i64, length: u32, keyframe: bool) {
        let shown_us = captured_us.saturating_add(self.ahead_us);
        let shown_us = match self.latest_us {
            Some(latest_us) if shown_us < latest_us.saturating_sub(BACK_MAX_US) => {
                let next_us = latest_us.saturating_add(INTERVAL_US);
                self.ahead_us = next_us.saturating_sub(captured_us);
                next_us
            }
            _ => shown_us,
        };
        self.latest_us = self.latest_us.max(Some(shown_us));
        self.bytes += u64::from(length);
        self.samples.push(Sample {
            shown_us,
            length,
            entry: self.entries.len() as u32,
            keyframe,
        });
    }

    /// What to write behind the last picture, and what over the file's beginning.
    pub fn close(&self) -> (Vec<u8>, Vec<u8>) {
        let mut moov = Vec::new();
        // Only lengths that no box can have make it fail.
        let _ = self.moov().encode(&mut moov);
        (moov, [FTYP, &Self::mdat_header(self.bytes)].concat())
    }

    fn mdat_header(bytes: u64) -> [u8; MDAT_HEADER] {
        let mut header = *b"\0\0\0\x01mdat\0\0\0\0\0\0\0\0";
        let length = bytes.saturating_add(MDAT_HEADER as u64);
        for (to, from) in header.iter_mut().skip(8).zip(length.to_be_bytes()) {
            *to = from;
        }
        header
    }

    fn moov(&self) -> Moov {
        let times = self.times();
        let first_us = self.samples.iter().map(|sample| sample.shown_us).min();
        let created_s = created_s(first_us.unwrap_or_default().saturating_sub(self.ahead_us));
        let none = Parameters {
            width: 0,
            height: 0,
            sets: Vec::new(),
        };
        let (codec, parameters) = (self.entries.first())
            .map_or((Codec::Mjpeg, &none), |(codec, parameters)| {
                (*codec, parameters)
            });
        let mut trak = trak(
            entry::write(codec, parameters),
            parameters,
            created_s,
            times.delay,
        );
        let duration_us = times.duration.saturating_mul(u64::from(times.tick_us));
        trak.tkhd.duration = duration_us;
        trak.mdia.mdhd.timescale = TIMESCALE / times.tick_us;
        trak.mdia.mdhd.duration = times.duration + times.delay;
        if let Some(edits) = trak.edts.as_mut().and_then(|edts| edts.elst.as_mut()) {
            edits
                .entries
                .iter_mut()
                .for_each(|edit| edit.segment_duration = duration_us);
        }
        trak.mdia.minf.stbl = self.table(times.stts, times.ctts);
        let mut moov = movie(created_s);
        moov.mvhd.duration = duration_us;
        moov.trak = vec![trak];
        moov
    }

    /// When each sample is decoded and shown. They are decoded at the times at which samples are shown, in order, as much earlier as is needed.
    fn times(&self) -> Times {
        let mut decode: Vec<i64> = self.samples.iter().map(|sample| sample.shown_us).collect();
        decode.sort_unstable();
        let tick_us = tick_us(&decode);
        let ticks = |us: i64| us.div_euclid(i64::from(tick_us));
        decode.iter_mut().for_each(|us| *us = ticks(*us));
        let mut last = None;
        for at in &mut decode {
            *at = last.map_or(*at, |last: i64| (*at).max(last.saturating_add(1)));
            last = Some(*at);
        }
        let is_intra = self.samples.iter().all(|sample| sample.keyframe);
        // Pictures that stand for themselves are in order; of two with the same time, the second is shown a tick later.
        let shown = |(sample, decode): (&Sample, &i64)| match is_intra {
            true => *decode,
            false => ticks(sample.shown_us),
        };
        let late = |pair: (&Sample, &i64)| pair.1.saturating_sub(shown(pair)).max(0);
        let delay = self
            .samples
            .iter()
            .zip(&decode)
            .map(late)
            .max()
            .unwrap_or_default();
        let mut times = Times {
            tick_us,
            delay: delay.cast_unsigned(),
            ..Times::default()
        };
        let last = match decode.as_slice() {
            [.., before, last] => last.saturating_sub(*before),
            _ => INTERVAL_US,
        };
        let mut nexts = decode.iter().skip(1);
        for pair in self.samples.iter().zip(&decode) {
            let duration = nexts
                .next()
                .map_or(last, |next| next.saturating_sub(*pair.1));
            let duration = u32::try_from(duration).unwrap_or(u32::MAX);
            times.duration += u64::from(duration);
            let offset = shown(pair).saturating_sub(*pair.1).saturating_add(delay);
            times.push(duration, offset);
        }
        times
    }

    fn table(&self, stts: Stts, ctts: Ctts) -> Stbl {
        let mut stsc: Vec<StscEntry> = Vec::new();
        let mut co64 = Vec::new();
        let mut at = (FTYP.len() + MDAT_HEADER) as u64;
        for same in self.samples.chunk_by(|a, b| a.entry == b.entry) {
            for chunk in same.chunks(CHUNK) {
                let described = StscEntry {
                    first_chunk: co64.len() as u32 + 1,
                    samples_per_chunk: chunk.len() as u32,
                    sample_description_index: chunk.first().map_or(1, |sample| sample.entry),
                };
                let is_same = |last: &StscEntry| {
                    (last.samples_per_chunk, last.sample_description_index)
                        == (
                            described.samples_per_chunk,
                            described.sample_description_index,
                        )
                };
                if !stsc.last().is_some_and(is_same) {
                    stsc.push(described);
                }
                co64.push(at);
                at += chunk
                    .iter()
                    .map(|sample| u64::from(sample.length))
                    .sum::<u64>();
            }
        }
        let is_intra = self.samples.iter().all(|sample| sample.keyframe);
        let keyframes = (1..)
            .zip(&self.samples)
            .filter(|(_, sample)| sample.keyframe);
        let is_plain = ctts.entries.iter().all(|entry| entry.sample_offset == 0);
        let fits = u32::try_from(at).is_ok();
        Stbl {
            stsd: Stsd {
                codecs: (self.entries.iter())
                    .map(|(codec, parameters)| entry::write(*codec, parameters))
                    .collect(),
            },
            stts,
            ctts: (!is_plain).then_some(ctts),
            stss: (!is_intra).then(|| Stss {
                entries: keyframes.map(|(number, _)| number).collect(),
            }),
            stsc: Stsc { entries: stsc },
            stsz: Stsz {
                samples: StszSamples::Different {
                    sizes: self.samples.iter().map(|sample| sample.length).collect(),
                },
            },
            stco: fits.then(|| Stco {
                entries: co64.iter().map(|at| *at as u32).collect(),
            }),
            co64: (!fits).then_some(Co64 { entries: co64 }),
            ..Stbl::default()
        }
    }
}

/// A tick is a microsecond, or as much longer as the longest time between two pictures needs: that is a number of 32 bits, 71 minutes of
/// microseconds, and a film may have a night without pictures in it.
fn tick_us(sorted_us: &[i64]) -> u32 {
    let distances = sorted_us.windows(2).map(|pair| match pair {
        [before, next] => next.saturating_sub(*before),
        _ => 0,
    });
    let longest_us = distances.max().unwrap_or_default();
    let mut tick_us = 1;
    while longest_us / i64::from(tick_us) > i64::from(u32::MAX) && tick_us < TIMESCALE {
        tick_us *= 10;
    }
    tick_us
}

/// The times of a film's samples, in ticks.
#[derive(Default)]
struct Times {
    stts: Stts,
    ctts: Ctts,
    /// Length of a tick.
    tick_us: u32,
    /// How much later than decoded a sample is shown that is not out of order.
    delay: u64,
    duration: u64,
}

impl Times {
    fn push(&mut self, duration: u32, sample_offset: i64) {
        match self.stts.entries.last_mut() {
            Some(last) if last.sample_delta == duration => last.sample_count += 1,
            _ => self.stts.entries.push(SttsEntry {
                sample_count: 1,
                sample_delta: duration,
            }),
        }
        match self.ctts.entries.last_mut() {
            Some(last) if last.sample_offset == sample_offset => last.sample_count += 1,
            _ => self.ctts.entries.push(CttsEntry {
                sample_count: 1,
                sample_offset,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn none() -> Parameters {
        Parameters {
            width: 0,
            height: 0,
            sets: Vec::new(),
        }
    }

    fn movie_of(times: &[i64], is_keyframe: impl Fn(usize) -> bool) -> Movie {
        let mut movie = Movie::default();
        movie.need(Codec::H264, &none());
        for (n, us) in times.iter().enumerate() {
            movie.add(*us, 1, is_keyframe(n));
        }
        movie
    }

    /// Decode times and when each is shown, after the edit list.
    fn played(movie: &Movie) -> Vec<(i64, i64)> {
        let times = movie.times();
        let durations = times
            .stts
            .entries
            .iter()
            .flat_map(|entry| vec![i64::from(entry.sample_delta); entry.sample_count as usize]);
        let offsets = times
            .ctts
            .entries
            .iter()
            .flat_map(|entry| vec![entry.sample_offset; entry.sample_count as usize]);
        let mut decode = 0;
        let decoded = durations.map(move |us| {
            decode += us;
            decode - us
        });
        let delay = times.delay as i64;
        decoded
            .zip(offsets)
            .map(|(decode, offset)| (decode, decode + offset - delay))
            .collect()
    }

    #[test]
    fn a_night_without_pictures_lasts_as_long_in_the_film() {
        const HOUR_US: i64 = 3_600_000_000;
        for (gap_us, tick_us) in [(HOUR_US, 1), (2 * HOUR_US, 10), (30 * 24 * HOUR_US, 1_000)] {
            let movie = movie_of(&[0, 40_000, gap_us, gap_us + 40_000], |_| true);
            let times = movie.times();
            assert_eq!(times.tick_us, tick_us);
            let tick_us = i64::from(tick_us);
            let shown_us = played(&movie).into_iter().map(|(_, shown)| shown * tick_us);
            assert_eq!(
                shown_us.collect::<Vec<_>>(),
                [0, 40_000, gap_us, gap_us + 40_000]
            );
            let moov = movie.moov();
            let media = &moov.trak[0].mdia.mdhd;
            assert_eq!(i64::from(media.timescale) * tick_us, 1_000_000);
            let lasts_us = (gap_us + 80_000).cast_unsigned();
            assert_eq!(media.duration * tick_us.cast_unsigned(), lasts_us);
            assert_eq!(moov.mvhd.duration, lasts_us);
        }
    }

    proptest! {
        #[test]
        fn decoding_goes_forward_and_each_picture_is_shown_at_its_time(
            steps in prop::collection::vec(-900_000..2_000_000i64, 1..60),
        ) {
            let mut latest = 0;
            // Never farther back than pictures that change places.
            let times: Vec<i64> = steps.iter().map(|step| { let us = latest + step; latest = latest.max(us); us }).collect();
            let movie = movie_of(&times, |n| n == 0);
            let played = played(&movie);
            let first = times.iter().min().unwrap();
            let ahead = played.iter().zip(&times).map(|((_, shown), us)| shown - (us - first)).collect::<std::collections::BTreeSet<_>>();
            prop_assert_eq!(ahead.len(), 1, "the distances are the camera's");
            for two in played.windows(2) {
                prop_assert!(two[0].0 < two[1].0);
            }
            for (decode, shown) in played {
                prop_assert!(decode <= shown + movie.times().delay as i64);
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_turn_the_film_back() {
        let movie = movie_of(&[0, 40_000, 90_000_000, 5_000_000, 5_040_000], |_| true);
        let shown: Vec<i64> = played(&movie).into_iter().map(|(_, shown)| shown).collect();
        assert_eq!(shown, [0, 40_000, 90_000_000, 90_040_000, 90_080_000]);
    }

    #[test]
    fn jpegs_of_the_same_moment_are_a_microsecond_apart() {
        let shown: Vec<i64> = played(&movie_of(&[7, 7, 7, 50], |_| true))
            .into_iter()
            .map(|(_, shown)| shown)
            .collect();
        assert_eq!(shown, [0, 1, 2, 43]);
    }

    #[test]
    fn parameters_that_come_again_are_an_entry_again_and_those_that_stay_are_not() {
        let wide = Parameters { width: 9, ..none() };
        let mut movie = Movie::default();
        for parameters in [&none(), &none(), &wide, &none()] {
            movie.need(Codec::H264, parameters);
            movie.add(0, 1, true);
        }
        let table = movie.table(Stts::default(), Ctts::default());
        assert_eq!(table.stsd.codecs.len(), 3);
        let described: Vec<_> = table
            .stsc
            .entries
            .iter()
            .map(|entry| {
                (
                    entry.first_chunk,
                    entry.samples_per_chunk,
                    entry.sample_description_index,
                )
            })
            .collect();
        assert_eq!(described, [(1, 2, 1), (2, 1, 2), (3, 1, 3)]);
        let header = (FTYP.len() + MDAT_HEADER) as u32;
        assert_eq!(
            table.stco.unwrap().entries,
            [header, header + 2, header + 3]
        );
    }
}
