//! RTP time (32 bits, from anywhere, at any rate) as a [`Stamp`] for the [`Clock`](crate::clock::Clock). Not for whether a wall clock is
//! right: that is the clock's to judge.
//!
//! Two times come out. The **media time** counts microseconds from some start and is good for spacing: it goes on through wraps, and where
//! RTP time leaps or another sender begins, it goes on as the arrivals do. The **wall time** is the media time plus what the camera's sender
//! reports say the difference is, as long as they agree with one another.
//!
//! RTP time that runs at another rate than it should (camera-quirks row 92) is found by its arrivals. A network only ever delays, so that the
//! least delayed pictures of each second tell the rate. A network that falls behind looks the same for a while: what sender reports say counts
//! for more, and a stream that catches up was never slow.

mod reports;

use std::collections::VecDeque;

use super::opening::{EARLIER_US, First};
use super::rate::{Coarse, Point, Rate};
use crate::timestamp::Stamp;
use reports::{Report, Reports};

/// Where media time begins: far from 0, and from what could be a date.
const START_US: i64 = 86_400_000_000;
/// Media time that leaves this range begins again.
const MEDIA_RANGE_US: std::ops::Range<i64> = START_US / 2..400_000_000_000_000;
/// A picture can't come this much earlier than the least delayed one: RTP time leapt ahead. Less than what the clock takes for a step.
const AHEAD_US: i64 = 900_000;
/// By this part of the time the least delay of all may grow, as it does where a camera's clock is not quite ours.
const CREEP_PART: i64 = 5_000;
/// A pause that RTP time knows nothing of: not the jitter of a network.
const STILL_US: i64 = 900_000;
/// A picture comes no more than so much later than the least delayed one, however bad the network: RTP time leapt back.
const BEHIND_US: i64 = 55_000_000;
/// Pictures that are shown in another order than they are sent (B-frames) go back less than this.
const BACK_US: i64 = 900_000;
/// Media time that goes back by more was understood otherwise, which happens once.
const REORDERED_MAX_US: i64 = 500_000;
/// Nothing that came before a keyframe is shown behind it. Cameras that begin to count anew with each go back by a GOP, less a picture; others
/// jitter.
const KEYFRAME_BACK_US: i64 = 100_000;
/// How long the arrivals are looked at for the least delayed picture.
const WINDOW_US: i64 = 1_000_000;
/// How many such stretches are remembered.
const WINDOWS: usize = 30;
/// By so much the least delay must grow or fall before the rate is in doubt.
const DRIFT_US: i64 = 250_000;
/// Over how many stretches it must do so, each time.
const DRIFT_WINDOWS: usize = 3;
/// How many stretches back it must have begun to, all stretches aside: a network falls behind for some seconds, a clock does for good.
const DRIFT_SPAN: usize = 8;
/// So many stretches without a drift prove a rate.
const PROOF_WINDOWS: usize = 2;
/// For so long pictures that catch up show that a rate was changed in error.
const DOUBT_US: i64 = 30_000_000;
/// The RTP time of a report lies within so much of the pictures that come with it.
const REPORT_NEAR_US: u64 = 10_000_000;
/// 2001-01-01: before, a wall clock is not set (camera-quirks row 58).
const DATES_FROM_US: i64 = 978_307_200_000_000;
/// From 1900 (NTP) to 1970, seconds.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// See the module.
#[derive(Debug)]
pub(super) struct Timeline {
    nominal: Rate,
    rate: Rate,
    coarse: Coarse,
    last: Option<Last>,
    /// Another sender begins with the next picture.
    restarted: bool,
    /// Where the present stretch of media time begins.
    origin: Point,
    /// Arrival minus media time of the least delayed pictures, as of the last whole window.
    delay_us: i64,
    /// The same of the least delayed ones of all.
    floor_us: i64,
    /// By how much media time went back at most, from one picture to the next that is shown before it.
    reordered_us: i64,
    /// By how much the first picture came late.
    first_late_us: i64,
    /// The pictures are those that a server had kept: when they arrive says nothing of the rate.
    is_kept: bool,
    window: Option<Window>,
    /// The least delayed picture of each of the last windows.
    points: VecDeque<Point>,
    reports: Reports,
    early: Option<Early>,
    before: Option<Before>,
}

/// How RTP time was understood before its arrivals fell behind.
#[derive(Clone, Copy, Debug)]
struct Before {
    rate: Rate,
    origin: Point,
    delay_us: i64,
    changed_us: i64,
    /// By how much the picture came late at which that changed.
    late_us: i64,
}

impl Before {
    /// By how much later than the least delayed one a picture comes.
    fn late_us(&self, arrival: Point) -> i64 {
        let media_us = self
            .origin
            .us
            .saturating_add(self.rate.us(arrival.ticks - self.origin.ticks));
        arrival
            .us
            .saturating_sub(media_us)
            .saturating_sub(self.delay_us)
    }
}

/// The last picture.
#[derive(Clone, Copy, Debug)]
struct Last {
    rtp_time: u32,
    /// The same without wraps.
    ticks: i64,
    media_us: i64,
    received_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began_us: i64,
    least: Point,
    least_us: i64,
}

/// A sender report whose RTP time the next picture explains.
#[derive(Clone, Copy, Debug)]
struct Early {
    /// `None` if it is no date.
    wall_us: Option<i64>,
    rtp_time: u32,
    received_us: i64,
}

impl Timeline {
    /// A timeline of so many ticks in a second.
    pub(super) fn new(clock_hz: u32) -> Self {
        let nominal = Rate::nominal(clock_hz);
        Self {
            nominal,
            rate: nominal,
            coarse: Coarse::default(),
            last: None,
            restarted: false,
            origin: Point {
                ticks: 0,
                us: START_US,
            },
            delay_us: 0,
            floor_us: 0,
            reordered_us: 0,
            first_late_us: 0,
            is_kept: false,
            window: None,
            points: VecDeque::new(),
            reports: Reports::default(),
            early: None,
            before: None,
        }
    }

    /// Another sender begins: its RTP time has nothing to do with the one before.
    pub(super) fn restart(&mut self) {
        self.restarted = true;
        self.early = None;
        self.coarse = Coarse::default();
    }

    /// The pictures up to [`Self::go_live`] are those that a server had kept; the first came so much later than pictures usually do.
    pub(super) fn begin_late(&mut self, late_us: i64) {
        self.first_late_us = late_us;
        self.is_kept = true;
    }

    /// From now on pictures come as they are taken.
    pub(super) fn go_live(&mut self) {
        self.is_kept = false;
    }

    /// The rate that RTP time is taken to go at.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether this picture comes so much longer after the last than RTP time went on that a network held it back, or RTP time stood still.
    pub(super) fn is_behind(&self, rtp_time: u32, received_us: i64) -> bool {
        self.last.filter(|_| !self.restarted).is_some_and(|last| {
            let step_us = self.rate.us(self.unwrapped(rtp_time) - last.ticks);
            let passed_us = received_us.saturating_sub(last.received_us);
            passed_us.saturating_sub(step_us) >= STILL_US && step_us > 0
        })
    }

    /// The pictures behind a pause have shown how late the first of them came. If that is not why it comes so much later than those before the
    /// pause, RTP time stood still with the camera, which had other things to do (a settings change, its infrared filter): it goes on as the
    /// arrivals do.
    pub(super) fn go_on_behind_pause(&mut self, first: First) {
        let arrival = Point {
            ticks: self.unwrapped(first.rtp_time),
            us: first.received_us,
        };
        let late_us = self.delay_at(&arrival).saturating_sub(self.delay_us);
        if first.is_certain && late_us.saturating_sub(first.late_us) >= STILL_US {
            self.go_on_by_arrival(arrival, first.late_us);
        }
    }

    /// The stamp of a picture with this RTP time. To be called once for each picture, in order of arrival.
    pub(super) fn stamp(&mut self, rtp_time: u32, received_us: i64, keyframe: bool) -> Stamp {
        let arrival = Point {
            ticks: self.unwrapped(rtp_time),
            us: received_us,
        };
        if self.last.is_none() {
            self.delay_us = received_us
                .saturating_sub(START_US)
                .saturating_sub(self.first_late_us);
            self.floor_us = self.delay_us;
            self.begin_at(arrival.ticks, START_US);
        } else if self.restarted || !self.catches_up(arrival) && self.is_leap(arrival, keyframe) {
            self.go_on_by_arrival(arrival, 0);
        }
        if !self.is_kept {
            self.follow_rate(arrival);
        }
        let media_us = self.held_back(arrival);
        let before = self.last.replace(Last {
            rtp_time,
            ticks: arrival.ticks,
            media_us,
            received_us,
        });
        let after_us = before.map_or(0, |last| media_us.saturating_sub(last.media_us));
        if after_us >= -REORDERED_MAX_US {
            self.reordered_us = self.reordered_us.max(-after_us);
        }
        self.restarted = false;
        if let Some(early) = self.early.take() {
            self.place_report(early);
        }
        let late_us = match self.is_kept {
            true => self.delay_at(&arrival).saturating_sub(self.delay_us).max(0),
            false => 0,
        };
        Stamp {
            late_us,
            ..self.stamp_at(media_us, received_us, keyframe, after_us)
        }
    }

    /// Takes a sender report (RFC 3550 §6.4.1) that arrived at `received_us`. One that is not plausible is passed over.
    pub(super) fn report(&mut self, ntp: u64, rtp_time: u32, received_us: i64) {
        let early = Early {
            wall_us: wall_us(ntp),
            rtp_time,
            received_us,
        };
        // The first that is heard of a leap, of a pause in which RTP time stood still, or of another sender may be a report: the next picture tells.
        let is_beside = |last| self.beside_us(early, last).unsigned_abs() > AHEAD_US.unsigned_abs();
        if self.restarted || self.last.is_none_or(is_beside) {
            self.early = Some(early);
        } else {
            self.place_report(early);
        }
    }

    /// How far the report's RTP time is from where it would be expected after the last picture.
    fn distance_us(&self, report: Early) -> Option<u64> {
        let last = self.last?;
        let beside_us = self.beside_us(report, last);
        let passed_us = report.received_us.saturating_sub(last.received_us);
        let beside_last_us = beside_us.saturating_add(passed_us);
        Some(beside_us.unsigned_abs().min(beside_last_us.unsigned_abs()))
    }

    /// By how much it is ahead of that of a picture that would have come with the report.
    fn beside_us(&self, report: Early, last: Last) -> i64 {
        let media_us = self.media_at(self.unwrapped(report.rtp_time));
        let passed_us = report.received_us.saturating_sub(last.received_us);
        media_us
            .saturating_sub(last.media_us)
            .saturating_sub(passed_us)
    }

    fn place_report(&mut self, report: Early) {
        let is_near = self
            .distance_us(report)
            .is_some_and(|us| us <= REPORT_NEAR_US);
        let (Some(last), Some(wall_us), true) = (self.last, report.wall_us, is_near) else {
            return;
        };
        let ticks = self.unwrapped(report.rtp_time);
        self.reports.take(Report {
            ticks,
            wall_us,
            media_us: self.media_at(ticks),
            received_us: report.received_us,
            beside_us: self.beside_us(report, last),
        });
    }

    fn stamp_at(
        &mut self,
        media_us: i64,
        received_us: i64,
        keyframe: bool,
        after_us: i64,
    ) -> Stamp {
        // As the camera's clock has it.
        let came_us = received_us.saturating_add(self.reports.ahead_us());
        let wall_us = self
            .reports
            .difference(keyframe, after_us)
            .map(|difference_us| media_us.saturating_add(difference_us))
            .map(|wall_us| wall_us.min(came_us.saturating_add(EARLIER_US)));
        Stamp {
            stamp_us: wall_us.filter(|us| *us > 0),
            media_us: Some(media_us),
            ..Stamp::default()
        }
    }

    fn unwrapped(&self, rtp_time: u32) -> i64 {
        match self.last {
            Some(last) => {
                let step = rtp_time.wrapping_sub(last.rtp_time).cast_signed();
                last.ticks + i64::from(step)
            }
            None => i64::from(rtp_time),
        }
    }

    fn media_at(&self, ticks: i64) -> i64 {
        self.origin
            .us
            .saturating_add(self.rate.us(ticks - self.origin.ticks))
    }

    /// Whether RTP time did not go on as time did. A network delays pictures, and they come in bursts then; it never hurries them.
    fn is_leap(&self, arrival: Point, keyframe: bool) -> bool {
        let media_us = self.media_at(arrival.ticks);
        let late_us = self.delay_at(&arrival).saturating_sub(self.delay_us);
        let back_us = self
            .last
            .map_or(0, |last| last.media_us.saturating_sub(media_us));
        let back_max_us = if keyframe { KEYFRAME_BACK_US } else { BACK_US };
        !(-AHEAD_US..=BEHIND_US).contains(&late_us)
            || back_us > back_max_us
            || !MEDIA_RANGE_US.contains(&media_us)
    }

    /// The media time of a picture. None is taken after it came: where it comes earlier than the least delayed of all, RTP time runs fast, or those
    /// were all late, and media time waits for it. The wall time goes on: if those were late it is right. Where pictures have to wait for others
    /// that are shown behind them, those come earlier: by three steps back at most, in a pyramid of three.
    fn held_back(&mut self, arrival: Point) -> i64 {
        let media_us = self.media_at(arrival.ticks);
        let earlier_us = EARLIER_US.saturating_add(3 * self.reordered_us);
        let least_us = self.floor_us.saturating_sub(earlier_us);
        let latest_us = arrival.us.saturating_sub(least_us);
        let early_us = media_us.saturating_sub(latest_us);
        if early_us <= 0 {
            return media_us;
        }
        self.origin.us = self.origin.us.saturating_sub(early_us);
        self.delay_us = least_us;
        if let Some(window) = &mut self.window {
            window.least_us = least_us;
        }
        self.reports.media_was_held_back(early_us);
        latest_us
    }

    /// A new stretch of media time, as if this picture had come so much later than with the least delay.
    fn go_on_by_arrival(&mut self, arrival: Point, late_us: i64) {
        let delay_us = self.delay_us.saturating_add(late_us);
        let mut media_us = arrival.us.saturating_sub(delay_us);
        if !MEDIA_RANGE_US.contains(&media_us) {
            media_us = START_US;
            self.delay_us = arrival.us.saturating_sub(START_US);
            self.floor_us = self.delay_us;
        }
        self.begin_at(arrival.ticks, media_us);
        self.before = None;
        self.reports.forget_rate();
    }

    /// Whether the pictures come that a network or a recorder held back, where a clock was taken for slow; it is understood as before then.
    fn catches_up(&mut self, arrival: Point) -> bool {
        let Some(before) = self.before else {
            return false;
        };
        let late_us = before.late_us(arrival);
        let early_us = self.delay_us.saturating_sub(self.delay_at(&arrival));
        let is_doubtful = (0..DOUBT_US).contains(&arrival.us.saturating_sub(before.changed_us))
            && (-AHEAD_US..=BEHIND_US).contains(&late_us);
        if !is_doubtful {
            self.before = None;
            return false;
        }
        if late_us >= before.late_us / 2 && early_us <= AHEAD_US {
            return false;
        }
        self.rate = before.rate;
        self.delay_us = before.delay_us;
        self.begin_at(before.origin.ticks, before.origin.us);
        self.rebase_reports();
        self.coarse.prove();
        self.before = None;
        true
    }

    /// Another rate, from here on as if the picture had come with the delay of those before.
    fn change_rate(&mut self, rate: Rate, from: Point) {
        let mut before = self.before.unwrap_or(Before {
            rate: self.rate,
            origin: self.origin,
            delay_us: self.delay_us,
            changed_us: from.us,
            late_us: 0,
        });
        if self.before.is_none() {
            before.late_us = before.late_us(from);
        }
        self.rate = rate;
        self.begin_at(from.ticks, from.us.saturating_sub(self.delay_us));
        self.rebase_reports();
        self.before = (before.late_us > 0).then_some(before);
    }

    fn rebase_reports(&mut self) {
        let (origin, rate) = (self.origin, self.rate);
        self.reports
            .rebase(|ticks| origin.us.saturating_add(rate.us(ticks - origin.ticks)));
    }

    /// Whether the sender reports say that the rate is rather what it is taken for.
    fn is_denied(&self, rate: Rate) -> bool {
        let reported = self.reports.rate();
        reported.is_some_and(|reported| reported.is_nearer(self.rate, rate))
    }

    fn begin_at(&mut self, ticks: i64, media_us: i64) {
        self.origin = Point {
            ticks,
            us: media_us,
        };
        self.window = None;
        self.points.clear();
    }

    /// Notes an arrival, and takes the rate that the arrivals show.
    fn follow_rate(&mut self, arrival: Point) {
        if let Some(rate) = self.coarse.observe(arrival)
            && !rate.is_within(self.rate, 33)
            && !self.is_denied(rate)
        {
            self.change_rate(rate, arrival);
            return;
        }
        let delay_us = self.delay_at(&arrival);
        let fresh = Window {
            began_us: arrival.us,
            least: arrival,
            least_us: delay_us,
        };
        let window = self.window.get_or_insert(fresh);
        if (0..WINDOW_US).contains(&arrival.us.saturating_sub(window.began_us)) {
            if delay_us < window.least_us {
                window.least = arrival;
                window.least_us = delay_us;
            }
            return;
        }
        let ended = std::mem::replace(window, fresh);
        if self.points.len() == WINDOWS {
            self.points.pop_front();
        }
        self.points.push_back(ended.least);
        if let Some(rate) = self.changed_rate().filter(|rate| !self.is_denied(*rate)) {
            self.delay_us = self.least_delay_us();
            self.change_rate(rate, ended.least);
            return;
        }
        self.delay_us = self.least_delay_us();
        let grown_us = self.delay_us.saturating_sub(self.floor_us);
        self.floor_us = (self.floor_us).saturating_add(grown_us.clamp(0, WINDOW_US / CREEP_PART));
        if self.points.len() > PROOF_WINDOWS && self.drift_us(0).saturating_abs() < DRIFT_US {
            self.coarse.prove();
        }
    }

    /// The least delay over some windows back: not the very last ones alone, in which a network may have stood still.
    fn least_delay_us(&self) -> i64 {
        let delays = self.points.iter().map(|point| self.delay_at(point));
        delays.min().unwrap_or(self.delay_us)
    }

    fn delay_at(&self, point: &Point) -> i64 {
        point.us.saturating_sub(self.media_at(point.ticks))
    }

    /// By how much the least delay grew since so many windows from the first.
    fn drift_us(&self, from: usize) -> i64 {
        let delay_us = |point: Option<&Point>| point.map_or(0, |point| self.delay_at(point));
        delay_us(self.points.back()).saturating_sub(delay_us(self.points.get(from)))
    }

    /// The rate by the arrivals, if it is another one: the least delay grew or fell from window to window, over all of them or for long.
    fn changed_rate(&self) -> Option<Rate> {
        let later = self.points.len().saturating_sub(DRIFT_SPAN + 1);
        [0, later]
            .into_iter()
            .find_map(|from| self.drifted_rate(from))
    }

    fn drifted_rate(&self, from: usize) -> Option<Rate> {
        let (first, last) = (self.points.get(from)?, self.points.back()?);
        let drift_us = self.drift_us(from);
        let tail = self.points.len().checked_sub(DRIFT_WINDOWS + 1)?;
        let delays = self.points.range(tail..).map(|point| self.delay_at(point));
        let is_steady = delays.is_sorted_by(|before, after| match drift_us > 0 {
            true => before < after,
            false => before > after,
        });
        // As much in one half as in the other, about.
        let late_us = self.drift_us(usize::midpoint(from, self.points.len() - 1));
        let is_even =
            (drift_us.abs() / 4..=drift_us.abs() / 4 * 3).contains(&(late_us * drift_us.signum()));
        // Pictures that catch up come with less delay too, but not with less than before they fell behind.
        let is_new = self.drift_us(0).saturating_mul(drift_us.signum()) >= DRIFT_US;
        if drift_us.saturating_abs() < DRIFT_US || !is_new || !is_steady || !is_even {
            return None;
        }
        let rate = Rate::between(*first, *last)?;
        Some(if rate.is_within(self.nominal, 1) {
            self.nominal
        } else {
            rate
        })
    }
}

/// An NTP time (32.32 bits since 1900) in microseconds since the Unix epoch, if it is a date: from 2001 to 2036, when its seconds wrap. Some
/// cameras count the seconds from 1970: what would be before that is such a date, and its fraction, if that is below a million, the
/// microseconds of the same `timeval`.
fn wall_us(ntp: u64) -> Option<i64> {
    let field = i64::try_from(ntp >> 32).ok()?;
    let fraction = ntp & 0xFFFF_FFFF;
    let is_unix = field < NTP_TO_UNIX;
    let seconds = if is_unix { field } else { field - NTP_TO_UNIX };
    let micros = if is_unix && fraction < 1_000_000 {
        fraction
    } else {
        (fraction * 1_000_000 + (1 << 31)) >> 32
    };
    let wall_us = seconds * 1_000_000 + i64::try_from(micros).ok()?;
    (wall_us >= DATES_FROM_US).then_some(wall_us)
}

#[cfg(test)]
mod tests;
