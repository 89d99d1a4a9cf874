//! Capture time from the camera's stamp and the arrival. Not for reading the stamp's text: that is `timestamp`.

mod anchor;
mod decimals;
mod second;
mod steps;
mod unit;

use crate::timestamp::Stamp;
use anchor::Anchor;
use decimals::Decimals;
use second::Second;
use steps::Steps;
use unit::Unit;

/// A clock that is set moves at least so far; network delays and whole-second stamps stay below.
const STEP_US: i64 = 1_000_000;
/// A network stall delays arrivals up to here; what is later has a clock that was set back.
const LATE_US: i64 = 60_000_000;
/// By so much the least delay of late may grow within a segment: a counter may run slower than time (camera-quirks row 92).
const BEHIND_US: i64 = 2_000_000;
/// For how long after a connection's first frame the offset may be improved within a segment, which then ends.
const START_TIME_US: i64 = 3_000_000;
/// By how much it must be worth it: networks delay frames by less.
const EARLIER_US: i64 = 200_000;
/// At most so often: old frames come in bursts.
const IMPROVED_PAUSE_US: i64 = 500_000;
/// How long a stamp may stand still: whole seconds do, and so do bursts that share one (camera-quirks row 60).
const STILL_US: u64 = 3_000_000;

/// Where a capture time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockKind {
    /// The camera's stamp, exactly.
    Camera,
    /// The camera's stamp plus an offset found from arrivals.
    Mapped,
    /// The time of arrival.
    Arrival,
}

impl ClockKind {
    /// The name, as stored and printed.
    pub fn name(self) -> &'static str {
        match self {
            ClockKind::Camera => "camera",
            ClockKind::Mapped => "mapped",
            ClockKind::Arrival => "arrival",
        }
    }

    /// The kind with this name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [ClockKind::Camera, ClockKind::Mapped, ClockKind::Arrival]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// How far to believe a camera's stamps: the setting `timestamps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampMode {
    /// Use them where they can be right, map them where only their spacing can, else the arrival.
    #[default]
    Auto,
    /// Use them as they are.
    Camera,
    /// Ignore them.
    Arrival,
}

/// When a frame was taken, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When the camera took the frame: microseconds since the Unix epoch, UTC.
    pub captured_us: i64,
    /// Where that comes from.
    pub kind: ClockKind,
    /// What was added to the stamp; 0 unless `kind` is `Mapped`. Constant between calls of [`Clock::new_segment`] unless `stepped`.
    pub offset_us: i64,
    /// The camera's clock jumped just before this frame, or what is trusted in it changed between `Camera` and `Mapped`
    /// within a segment: a new segment starts here. Single frames of kind `Arrival` in between don't count.
    pub stepped: bool,
    /// Camera clock minus ours, microseconds, where the stamp is a wall time.
    pub skew_us: Option<i64>,
}

/// One camera's clock, over one connection or many.
///
/// Invariants of a [`Reading`]: `Camera` is exactly the stamp, or lies within the wall second sent beside it; `Mapped` is
/// the stamp plus `offset_us`, at most 60 s before the arrival and 1 s after it; `Arrival` is the arrival. No stamp, not
/// even one at the ends of `i64`, makes it panic.
///
/// A stamp that was read as seconds and goes a thousand or a million times too fast counts in milli- or microseconds (ESP32 servers send
/// how long they have been up). That shows within a second, in which the arrival is used; from then on the stamp is the right part of itself.
///
/// Digits behind the point of a stamp that turn out to be a count without its zeros (`%d.%d` of a `timeval`) are read as one from then on, which is
/// after some seconds, if several stamps fall into one.
///
/// Stamps that would be mapped and go on by three quarters of time or less, for 30 s, are no times: the arrival is used for as long as they do.
///
/// The first frame of a connection may be old. What comes 200 ms earlier than a mapped offset says, within the first 3 s, gives a better one, and begins a
/// segment.
///
/// A stamp with a media time (RTP) is wall time only if it was so when the segment began: a camera's first sender report comes when frames
/// have been stored, and what they have in common must not change within a segment. Until then the media time is mapped.
///
/// A clock that has stepped more than ten times, and never was steady for 5 s in between, is not worth a segment for each step: until it has
/// been so its steps are not reported, and where it would be mapped the arrival is used.
///
/// ```
/// use framelog_core::clock::{Clock, ClockKind, TimestampMode};
/// use framelog_core::timestamp::Stamp;
///
/// let mut clock = Clock::new(TimestampMode::Auto, 600_000_000);
/// let uptime = Stamp { stamp_us: Some(184_659_604_338), ..Stamp::default() };
/// let reading = clock.read(uptime, 1_700_000_000_000_000);
/// assert_eq!((reading.kind, reading.captured_us), (ClockKind::Mapped, 1_700_000_000_000_000));
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    mode: TimestampMode,
    max_skew_us: i64,
    /// How the camera writes its stamps. It goes on doing so over a new connection.
    decimals: Decimals,
    track: Track,
}

/// What is known of the camera's clock since the connection began.
#[derive(Clone, Debug, Default)]
struct Track {
    unit: Unit,
    /// The wall clock of a camera that sends whole seconds.
    second: Second,
    last: Option<Last>,
    /// The least delay of late: arrival minus stamp.
    anchor: Option<Anchor>,
    steps: Steps,
    /// RTP: whether the stamps of this segment are taken for wall times.
    by_reports: Option<bool>,
    start: Option<Start>,
    /// What mapped stamps get in this segment.
    offset_us: Option<i64>,
    /// What the last frame of this segment that had a usable stamp was given.
    given: Option<Given>,
}

/// The first frames of a connection: the very first may be old, out of a buffer that had waited for someone to ask (ESP32 servers).
#[derive(Clone, Copy, Debug)]
struct Start {
    began_us: i64,
    /// When the offset was improved.
    improved_us: Option<i64>,
}

/// The last stamp.
#[derive(Clone, Copy, Debug)]
struct Last {
    stamp_us: i64,
    is_wall: bool,
    /// When it was new.
    since_us: i64,
    /// Whether another came before it.
    has_moved: bool,
}

/// What a stamp did since the one before it.
#[derive(Clone, Copy, Debug, Default)]
struct Motion {
    /// It stands still, and for longer than a good clock does.
    is_still: bool,
    went_back: bool,
    /// It was a wall time and is none now, or the reverse.
    kind_changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Camera,
    Mapped { offset_us: i64 },
}

impl Clock {
    /// A clock that believes stamps within `max_skew_us` of the arrival.
    pub fn new(mode: TimestampMode, max_skew_us: i64) -> Self {
        Self {
            mode,
            max_skew_us,
            decimals: Decimals::default(),
            track: Track::default(),
        }
    }

    /// The capture time of the frame whose last byte arrived at `received_us`. Call once for each frame, in order of arrival.
    pub fn read(&mut self, stamp: Stamp, received_us: i64) -> Reading {
        let stamp = self.as_meant(stamp);
        self.track.start.get_or_insert(Start {
            began_us: received_us,
            improved_us: None,
        });
        let media_us = stamp
            .media_us
            .filter(|_| !self.track.goes_by_reports(stamp));
        let reading = match (self.mode, media_us) {
            (TimestampMode::Arrival, _) => None,
            (_, Some(media_us)) => {
                self.read_media(media_us, received_us.saturating_sub(stamp.late_us))
            }
            (TimestampMode::Auto, None) => self.read_judged(stamp, received_us),
            (TimestampMode::Camera, None) => self.read_trusted(stamp, received_us),
        };
        reading.unwrap_or(Reading {
            captured_us: received_us,
            kind: ClockKind::Arrival,
            offset_us: 0,
            stepped: false,
            skew_us: None,
        })
    }

    /// A new connection begins: the camera may have been restarted.
    pub fn reconnected(&mut self) {
        self.track = Track::default();
    }

    /// A new segment begins with the next frame to be read: the offset may be improved now.
    ///
    /// Not to be called for the segment that a `stepped` reading begins; that one has begun with the frame already read.
    pub fn new_segment(&mut self) {
        self.track.offset_us = None;
        self.track.given = None;
        self.track.by_reports = None;
    }

    /// The stamp with what is behind its point read as the camera means it.
    fn as_meant(&mut self, stamp: Stamp) -> Stamp {
        let Some(read_us) = stamp.stamp_us else {
            return stamp;
        };
        if self.decimals.follow(read_us, stamp.written) {
            self.track.begin_anew();
        }
        Stamp {
            stamp_us: Some(self.decimals.apply(read_us, stamp.written)),
            ..stamp
        }
    }

    fn read_media(&mut self, media_us: i64, received_us: i64) -> Option<Reading> {
        let motion = self.track.follow(media_us, false, received_us);
        if motion.is_still {
            None
        } else {
            self.track.map(media_us, motion, received_us)
        }
    }

    fn read_trusted(&mut self, stamp: Stamp, received_us: i64) -> Option<Reading> {
        let stamp_us = match (stamp.stamp_us, stamp.wall_second_us) {
            (Some(boot_us), Some(second_us)) => self
                .track
                .second
                .read(boot_us, second_us)
                .unwrap_or(boot_us),
            (stamp_us, second_us) => stamp_us.or(second_us)?,
        };
        let motion = self.track.follow(stamp_us, true, received_us);
        Some(self.track.place(stamp_us, motion, received_us))
    }

    fn read_judged(&mut self, stamp: Stamp, received_us: i64) -> Option<Reading> {
        let stamp = Stamp {
            stamp_us: (stamp.stamp_us).map(|us| self.track.in_its_unit(us, received_us)),
            ..stamp
        };
        let (stamp_us, is_wall) = match self.fused(stamp, received_us) {
            Some(fused_us) => (fused_us, true),
            None => {
                let stamp_us = stamp.stamp_us.or(stamp.wall_second_us)?;
                (stamp_us, is_within(stamp_us, received_us, self.max_skew_us))
            }
        };
        let motion = self.track.follow(stamp_us, is_wall, received_us);
        if motion.is_still || !is_wall && self.track.unit.is_in_doubt() {
            None
        } else if is_wall {
            Some(self.track.place(stamp_us, motion, received_us))
        } else {
            // RTP is not in need of this: there reports and rates are looked at (`rtp::timeline`).
            if let Some(anchor) = &mut self.track.anchor {
                anchor.follow_slow_clock();
            }
            if self.track.is_astray() {
                self.track.observe(
                    received_us.saturating_sub(stamp_us),
                    false,
                    motion,
                    received_us,
                );
                return None;
            }
            if stamp.media_us.is_none() {
                self.track.improve_at_start(stamp_us, received_us);
            }
            self.track.map(stamp_us, motion, received_us)
        }
    }

    /// The time made of a stamp that counts from some start and the wall second beside it, if that is believable (row 55).
    fn fused(&mut self, stamp: Stamp, received_us: i64) -> Option<i64> {
        let second_us = stamp.wall_second_us?;
        is_within(
            second_us,
            received_us,
            self.max_skew_us.saturating_add(1_000_000),
        )
        .then(|| self.track.second.read(stamp.stamp_us?, second_us))?
    }
}

impl Track {
    /// Whether the wall time of this stamp is used; the first of a segment decides.
    fn goes_by_reports(&mut self, stamp: Stamp) -> bool {
        let has_wall = stamp.stamp_us.is_some();
        let by_reports = self.by_reports.get_or_insert(has_wall);
        *by_reports &= has_wall;
        *by_reports
    }

    /// The stamp in microseconds. Where it turns out that it was taken for another unit, nothing is left of what was learnt so, but how often
    /// it has stepped: garbage seems to have one unit or another now and then.
    fn in_its_unit(&mut self, stamp_us: i64, received_us: i64) -> i64 {
        if self.unit.follow(stamp_us, received_us) {
            self.begin_anew();
        }
        self.unit.apply(stamp_us)
    }

    /// The stamps so far were misread.
    fn begin_anew(&mut self) {
        *self = Self {
            unit: self.unit,
            start: self.start,
            steps: self.steps,
            given: self.given,
            ..Self::default()
        };
    }

    fn is_astray(&self) -> bool {
        self.anchor.is_some_and(|anchor| anchor.is_astray())
    }

    fn follow(&mut self, stamp_us: i64, is_wall: bool, received_us: i64) -> Motion {
        let Some(last) = self.last else {
            self.last = Some(Last {
                stamp_us,
                is_wall,
                since_us: received_us,
                has_moved: false,
            });
            return Motion::default();
        };
        let kind_changed = is_wall != last.is_wall;
        if stamp_us != last.stamp_us {
            self.last = Some(Last {
                stamp_us,
                is_wall,
                since_us: received_us,
                has_moved: true,
            });
            return Motion {
                is_still: false,
                went_back: stamp_us < last.stamp_us.saturating_sub(STEP_US),
                kind_changed,
            };
        }
        self.last = Some(Last { is_wall, ..last });
        let is_still =
            received_us.abs_diff(last.since_us) > STILL_US || (!is_wall && !last.has_moved);
        Motion {
            is_still,
            went_back: false,
            kind_changed,
        }
    }

    /// The reading for a stamp that is a wall time.
    fn place(&mut self, stamp_us: i64, motion: Motion, received_us: i64) -> Reading {
        let delay_us = received_us.saturating_sub(stamp_us);
        let went_ahead = self
            .anchor
            .is_some_and(|anchor| delay_us < anchor.least_us().saturating_sub(STEP_US));
        let jumped = motion.went_back || went_ahead;
        self.observe(delay_us, jumped, motion, received_us);
        let changed = self.give(Given::Camera);
        Reading {
            captured_us: stamp_us,
            kind: ClockKind::Camera,
            offset_us: 0,
            stepped: changed || (jumped && !self.steps.are_many()),
            skew_us: Some(stamp_us.saturating_sub(received_us)),
        }
    }

    /// What comes earlier than the offset says shows that those before were late; at the start nothing else has shown what is usual, and a whole
    /// segment would lie in the future.
    fn improve_at_start(&mut self, stamp_us: i64, received_us: i64) {
        let Some(start) = &mut self.start else {
            return;
        };
        let delay_us = received_us.saturating_sub(stamp_us);
        let is_start = (0..START_TIME_US).contains(&received_us.saturating_sub(start.began_us))
            && (start.improved_us)
                .is_none_or(|us| received_us.saturating_sub(us) >= IMPROVED_PAUSE_US);
        if is_start
            && let Some(offset_us) = &mut self.offset_us
            && delay_us < offset_us.saturating_sub(EARLIER_US)
            && delay_us > offset_us.saturating_sub(BEHIND_US)
        {
            *offset_us = delay_us;
            start.improved_us = Some(received_us);
        }
    }

    /// The reading for a stamp that is only good for its spacing; `None` if it isn't even that.
    fn map(&mut self, stamp_us: i64, motion: Motion, received_us: i64) -> Option<Reading> {
        let delay_us = received_us.checked_sub(stamp_us)?;
        let least_us = self.anchor.map_or(delay_us, |anchor| anchor.least_us());
        let base_us = self.offset_us.unwrap_or(least_us);
        let went_ahead = delay_us < base_us.saturating_sub(STEP_US);
        let fell_behind = delay_us > base_us.saturating_add(LATE_US)
            || delay_us.min(least_us) > base_us.saturating_add(BEHIND_US);
        let jumped = motion.went_back || went_ahead || fell_behind;
        self.observe(delay_us, jumped, motion, received_us);
        let offset_us = if jumped {
            delay_us
        } else {
            self.offset_us.unwrap_or(base_us.min(delay_us))
        };
        self.offset_us = Some(offset_us);
        if self.steps.are_many() {
            return None;
        }
        let captured_us = stamp_us.checked_add(offset_us)?;
        let changed = self.give(Given::Mapped { offset_us });
        Some(Reading {
            captured_us,
            kind: ClockKind::Mapped,
            offset_us,
            stepped: changed || jumped,
            skew_us: None,
        })
    }

    fn observe(&mut self, delay_us: i64, jumped: bool, motion: Motion, received_us: i64) {
        if jumped || motion.kind_changed {
            self.steps.note(received_us);
        } else {
            self.steps.note_steady(received_us);
        }
        match &mut self.anchor {
            Some(anchor) if jumped => anchor.restart(delay_us, received_us),
            Some(anchor) => anchor.observe(delay_us, received_us),
            anchor => *anchor = Some(Anchor::new(delay_us, received_us)),
        }
    }

    /// Notes what a frame is given; whether that is something else than the one before it in this segment had.
    fn give(&mut self, given: Given) -> bool {
        self.given
            .replace(given)
            .is_some_and(|before| before != given)
    }
}

fn is_within(stamp_us: i64, received_us: i64, max_skew_us: i64) -> bool {
    u64::try_from(max_skew_us).is_ok_and(|max| received_us.abs_diff(stamp_us) <= max)
}

#[cfg(test)]
mod tests;
