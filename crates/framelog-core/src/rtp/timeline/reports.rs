//! Which sender reports are believed, and the wall time that they give. Not for whether that is near ours: that is the clock's to judge.
//!
//! A report is worth something if from one to the next its time went on as time did, by the media or by the arrivals: a clock whose seconds or
//! whole time stand still would pull the pictures back. The media is right when the network stands still, the arrivals are
//! when RTP time runs at another rate than it should.

use std::collections::VecDeque;

use super::super::rate::{Point, Rate};

/// A report may be off by so much from those before: real ones jitter by some 10 ms, and more where media time went on by an arrival.
const AGREES_US: i64 = 250_000;
/// And by this part of the time between: RTP time may run a few per cent wrong before that is found.
const AGREES_PART: i64 = 8;
/// But never by more: time in whole seconds comes in, seconds that stand still don't.
const AGREES_MOST_US: i64 = 900_000;
/// Reports are compared with the same one for so long. With the last one, a clock that stands still would agree each time.
const FOLLOW_US: i64 = 5_000_000;
/// Who learns what time it is sets its clock ahead by more than this. Broken clocks stand still, go back or creep.
const SET_AHEAD_US: i64 = 10_000_000;
/// A clock that changed otherwise must go on well for so long: for more than the second in which a fraction comes round.
const PROOF_US: i64 = 3_000_000;
/// And for so many reports.
const PROOF_REPORTS: u32 = 3;
/// So many times in a row it was neither as believed nor as in the report before: it is worth nothing.
const CONTRADICTIONS: u32 = 4;

/// The first reports may come as late as the first pictures, which a server had kept: they show by how much the clock is ahead only up to this.
const FIRST_LATE_US: i64 = 300_000;

/// What the camera's clock was set by, in one go, by the clock's own measure.
const STEP_US: i64 = 1_000_000;
/// What is less than that is added by this part of the time: RTP time that runs wrong by less is not found in any other way.
const SLEW_PART: i64 = 50;

/// Over what time, about, the reports tell a rate.
const PACE_US: i64 = 5_000_000;
/// And over what time at least.
const PACE_LEAST_US: i64 = 2_000_000;
/// Reports nearer to one another than this are not all remembered for that.
const PACE_STEP_US: i64 = 1_000_000;

/// A sender report: the camera's wall time, the media time of its RTP time, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) ticks: i64,
    pub(super) wall_us: i64,
    pub(super) media_us: i64,
    pub(super) received_us: i64,
    /// By how much its media time is ahead of that of a picture that would have come with it.
    pub(super) beside_us: i64,
}

impl Report {
    fn ahead_us(self) -> i64 {
        self.wall_us.saturating_sub(self.received_us).max(0)
    }
}

/// The reports of one connection.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// What is added to media time at present.
    used_us: Option<i64>,
    /// The same by the last report, if that is believed.
    offered_us: Option<i64>,
    believed: Option<Run>,
    /// Reports that contradict those, or that come when none are worth believing.
    doubted: Option<Run>,
    contradictions: u32,
    /// See [`Self::ahead_us`].
    ahead_us: i64,
    /// The last one believed.
    last: Option<Report>,
    /// The RTP and wall times of those before it.
    pace: VecDeque<Point>,
}

/// Reports that agree with one another.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The wall time of the first.
    began_us: i64,
    /// What the next is compared with.
    base: Report,
    reports: u32,
    /// By how much the least late of them was ahead.
    ahead_us: i64,
    /// It began as a clock does that is set.
    is_set: bool,
}

impl Reports {
    /// Takes a report, in order of arrival. The first is believed until others contradict it, for the next may be long in coming.
    pub(super) fn take(&mut self, report: Report) {
        self.offered_us = None;
        match (self.believed, self.doubted) {
            (Some(run), _) if run.agrees(report) => self.believe(run.followed_by(report), report),
            (None, None) => self.believe(Run::new(report, false), report),
            (_, Some(run)) if run.agrees(report) => {
                let run = run.followed_by(report);
                self.doubted = Some(run);
                if run.is_proved(report) {
                    self.believe(run, report);
                }
            }
            _ => self.contradicted_by(report),
        }
    }

    /// What to add to media time, for a picture that is `after_us` after the one before it. A step of the clock begins a segment, and waits for a
    /// keyframe, as that must. What is less is added by and by, so that no picture is put before one that was taken earlier: reports jitter, by a
    /// tenth of a second and more (thingino: raptor #32), and have whole seconds.
    pub(super) fn difference(&mut self, keyframe: bool, after_us: i64) -> Option<i64> {
        if keyframe && self.believed.is_none() {
            self.used_us = None;
        }
        self.used_us = match (self.used_us, self.offered_us) {
            (Some(used_us), Some(offered_us)) => {
                let missing_us = offered_us.saturating_sub(used_us);
                let most_us = after_us.max(0) / SLEW_PART;
                let is_step = missing_us.saturating_abs() >= STEP_US;
                // More ahead than they jitter puts nothing in another order.
                let is_ahead = missing_us > AGREES_US;
                Some(match keyframe {
                    true if is_step || is_ahead => offered_us,
                    false if is_step => used_us,
                    _ => used_us.saturating_add(missing_us.clamp(-most_us, most_us)),
                })
            }
            (used_us, offered_us) => used_us.or(offered_us),
        };
        self.used_us
    }

    /// By how much the camera's wall clock may be ahead of ours, by when reports came: none does before it was sent.
    pub(super) fn ahead_us(&self) -> i64 {
        self.ahead_us
    }

    /// Media time is earlier by so much from now on, and wall time as before.
    pub(super) fn media_was_held_back(&mut self, by_us: i64) {
        for difference_us in [&mut self.used_us, &mut self.offered_us] {
            *difference_us = difference_us.map(|us| us.saturating_add(by_us));
        }
        for run in [&mut self.believed, &mut self.doubted]
            .into_iter()
            .flatten()
        {
            run.base.media_us = run.base.media_us.saturating_sub(by_us);
        }
    }

    /// How long a tick is by the camera's wall clock, as the last reports that were believed have it.
    pub(super) fn rate(&self) -> Option<Rate> {
        let (first, last) = (self.pace.front()?, self.pace.back()?);
        let is_long = last.us.saturating_sub(first.us) >= PACE_LEAST_US;
        Rate::between(*first, *last).filter(|_| is_long)
    }

    /// Media time is counted otherwise from now on: `media_us` tells that of an RTP time.
    pub(super) fn rebase(&mut self, media_us: impl Fn(i64) -> i64) {
        let Some(last) = &mut self.last else { return };
        last.media_us = media_us(last.ticks);
        let difference_us = last.wall_us.saturating_sub(last.media_us);
        self.offered_us = Some(difference_us);
        self.used_us = self.used_us.map(|_| difference_us);
    }

    /// RTP time does not go on as before.
    pub(super) fn forget_rate(&mut self) {
        self.pace.clear();
        self.last = None;
    }

    fn note_pace(&mut self, report: Report) {
        let point = Point {
            ticks: report.ticks,
            us: report.wall_us,
        };
        let since = |before: &Point| point.us.saturating_sub(before.us);
        if self
            .pace
            .back()
            .is_none_or(|last| since(last) >= PACE_STEP_US)
        {
            self.pace.push_back(point);
        }
        while self
            .pace
            .get(1)
            .is_some_and(|second| since(second) >= PACE_US)
        {
            self.pace.pop_front();
        }
    }

    fn believe(&mut self, run: Run, report: Report) {
        self.believed = Some(run);
        self.doubted = None;
        self.contradictions = 0;
        self.note_pace(report);
        self.last = Some(report);
        self.ahead_us = run.clock_ahead_us();
        self.offered_us = Some(report.wall_us.saturating_sub(report.media_us));
    }

    fn contradicted_by(&mut self, report: Report) {
        self.forget_rate();
        let before = self.doubted.or(self.believed);
        let is_set = self.believed.is_some()
            && before.is_some_and(|run| run.ahead_us(report) > SET_AHEAD_US);
        self.doubted = Some(Run::new(report, is_set));
        self.contradictions = self.contradictions.saturating_add(1);
        if self.contradictions >= CONTRADICTIONS {
            self.believed = None;
        }
    }
}

impl Run {
    fn new(report: Report, is_set: bool) -> Self {
        Self {
            began_us: report.wall_us,
            base: report,
            reports: 1,
            ahead_us: report.ahead_us(),
            is_set,
        }
    }

    /// By how much more the wall time went on than time did: by the media or by the arrivals, whichever is nearer. The arrivals say nothing of a
    /// report whose RTP time does not go on, or not as that of the pictures does.
    fn ahead_us(&self, report: Report) -> i64 {
        let wall_us = report.wall_us.saturating_sub(self.base.wall_us);
        let media_us = report.media_us.saturating_sub(self.base.media_us);
        let by_media_us = wall_us.saturating_sub(media_us);
        let by_arrival_us = wall_us.saturating_sub(self.passed_us(report));
        let is_astray = report.ticks == self.base.ticks
            || report
                .beside_us
                .saturating_sub(self.base.beside_us)
                .saturating_abs()
                > self.most_us(report);
        if is_astray || by_media_us.unsigned_abs() <= by_arrival_us.unsigned_abs() {
            by_media_us
        } else {
            by_arrival_us
        }
    }

    fn passed_us(&self, report: Report) -> i64 {
        report.received_us.saturating_sub(self.base.received_us)
    }

    /// By so much a report that agrees may be off.
    fn most_us(&self, report: Report) -> i64 {
        let passed_us = self.passed_us(report).max(0);
        (AGREES_US + passed_us / AGREES_PART).min(AGREES_MOST_US)
    }

    fn agrees(&self, report: Report) -> bool {
        self.ahead_us(report).saturating_abs() <= self.most_us(report)
    }

    /// With a report that agrees.
    fn followed_by(mut self, report: Report) -> Self {
        self.reports = self.reports.saturating_add(1);
        self.ahead_us = self.ahead_us.max(report.ahead_us());
        if report.wall_us.saturating_sub(self.base.wall_us) >= FOLLOW_US {
            self.base = report;
        }
        self
    }

    /// See [`Reports::ahead_us`].
    fn clock_ahead_us(&self) -> i64 {
        match self.reports < PROOF_REPORTS {
            true => self.ahead_us.saturating_add(FIRST_LATE_US),
            false => self.ahead_us,
        }
    }

    fn is_proved(&self, last: Report) -> bool {
        self.is_set
            || (self.reports >= PROOF_REPORTS
                && last.wall_us.saturating_sub(self.began_us) >= PROOF_US)
    }
}

#[cfg(test)]
mod tests;
