//! NAL units to access units (H.264 §7.4.1.2.3, H.265 §7.4.2.4.4). Not for how the units travel.
//!
//! An access unit ends with a packet's marker, once markers have shown that they are right, and else where the first slice of the next one
//! shows it. What stands before a slice (delimiters, parameter sets, information) belongs to it, whatever its marker and RTP time say
//! (camera-quirks row 96). An access unit from which packets are missing is never handed out; so that this is seen where its very first packets are missing, one behind
//! a loss must begin with a delimiter, with the first of the parameter sets or as those before did, and a stream does not begin with one.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::budget::Budget;
use super::markers::Markers;
use super::{Made, Picture, SkipReason};
use crate::frame::{Codec, Parameters, Payload};
use crate::nal::parameters::ParameterSets;
use crate::nal::{Kind, Slice, first_set, kind, unit_type};

/// The most that is held of what stands before a first slice, in bytes. Real cameras send some hundreds.
const LEAD_BYTES_MAX: usize = 1 << 20;
/// So many pictures at least from which decoding becomes right by and by, or may be right, come without a keyframe before they count as some.
const GRADUAL_MIN: u32 = 2;
/// What a slice of a payload takes itself, about.
const SLICE_BYTES: usize = 64;

/// The types of the units before the first slice.
type Opening = SmallVec<[u8; 8]>;

/// See the module.
#[derive(Debug)]
pub(super) struct Assembly {
    codec: Codec,
    sets: ParameterSets,
    /// Those of the last keyframe that was handed out.
    parameters: Option<Arc<Parameters>>,
    markers: Markers,
    unit: Unit,
    /// Behind the slices of `unit`; it belongs to the next access unit if that begins with the next slice.
    lead: Vec<Lead>,
    lead_bytes: usize,
    /// Packets were missing, and what came behind has not been looked at.
    after_loss: bool,
    /// How whole access units began: others, and keyframes.
    openings: [Option<Opening>; 2],
    last: Last,
    /// Pictures from which decoding becomes right by and by, or may be right, since the last keyframe.
    gradual: u32,
    /// How many of these there were before a keyframe, at most.
    gradual_max: u32,
    /// A keyframe that is said to be one has come.
    has_keyframes: bool,
}

#[derive(Debug)]
struct Lead {
    nal: Payload,
    kind: Kind,
    rtp_time: u32,
    received_us: i64,
}

/// The last access unit that ended.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    rtp_time: Option<u32>,
    /// What the last whole ones were: others, and keyframes.
    whole: [Whole; 2],
    /// It ended because nothing came for a while.
    settled: bool,
    /// Once, one that had ended so went on.
    settled_too_early: bool,
}

/// What there was of a whole access unit.
#[derive(Clone, Copy, Debug, Default)]
struct Whole {
    slices: usize,
    marked: bool,
}

/// An access unit that has begun.
#[derive(Debug, Default)]
struct Unit {
    payload: Payload,
    budget: Budget,
    opening: Opening,
    slices: usize,
    /// Of its first slice, or else of what came first.
    rtp_time: u32,
    /// When its last unit arrived.
    received_us: i64,
    keyframe: bool,
    /// A keyframe that nothing says is one: it begins as others do.
    is_unsaid: bool,
    /// See [`Kind::Information`].
    recovery_frames: Option<u32>,
    /// What it needs, as of its first slice.
    parameters: Option<Parameters>,
    marked: bool,
    /// A slice before the last had no marker.
    was_unmarked: bool,
    /// Packets were missing before it.
    suspect: bool,
    /// It begins with a delimiter, before which a unit has nothing.
    delimited: bool,
    broken: Option<SkipReason>,
}

impl Unit {
    /// 1 for keyframes, 0 for others: what these are like.
    fn sort(&self) -> usize {
        usize::from(self.keyframe && !self.is_unsaid)
    }

    fn is_empty(&self) -> bool {
        self.payload.is_empty() && self.broken.is_none()
    }

    fn push(&mut self, nal: Payload) {
        let len = u32::try_from(nal.len()).unwrap_or(u32::MAX);
        if !self.budget.takes(nal.len() + 4, nal.slices().len() + 1) {
            self.broken.get_or_insert(SkipReason::TooLarge);
        }
        if self.broken.is_some() {
            self.payload = Payload::default();
            return;
        }
        self.payload
            .push(Bytes::copy_from_slice(&len.to_be_bytes()));
        for slice in nal.slices() {
            self.payload.push(slice.clone());
        }
    }
}

impl Assembly {
    pub(super) fn new(codec: Codec, described_sets: &[Bytes]) -> Self {
        let mut sets = ParameterSets::new(codec);
        sets.describe(described_sets);
        Self {
            codec,
            sets,
            parameters: None,
            markers: Markers::default(),
            unit: Unit::default(),
            lead: Vec::new(),
            lead_bytes: 0,
            after_loss: false,
            openings: [None, None],
            last: Last::default(),
            gradual: 0,
            gradual_max: GRADUAL_MIN,
            has_keyframes: false,
        }
    }

    /// Packets are missing. `torn`: the RTP time of the NAL unit of which they are, if one had begun; `next`: of what comes behind them.
    pub(super) fn lose(&mut self, torn: Option<u32>, next: Option<u32>, made: &mut Vec<Made>) {
        // Some cameras mark each slice: until that is known, what has the same time belongs to it.
        let goes_on = next == Some(self.unit.rtp_time) && !self.markers.are_trusted();
        let is_marked_end = self.unit.marked && self.markers.may_be_right() && !goes_on;
        if self.unit.slices > 0 && (is_marked_end || self.next_has_begun()) {
            self.end(made);
            self.adopt_lead();
        }
        // What is left are delimiters of slices that are missing.
        self.lead.clear();
        self.lead_bytes = 0;
        if let Some(rtp_time) = torn.filter(|_| self.unit.is_empty()) {
            self.unit.rtp_time = rtp_time;
        }
        if torn.is_some() || !self.unit.is_empty() {
            self.unit.broken.get_or_insert(SkipReason::Torn);
        }
        self.after_loss = true;
    }

    /// A packet comes.
    pub(super) fn begin_packet(&mut self, rtp_time: u32, made: &mut Vec<Made>) {
        if self.unit.broken.is_some() && self.unit.rtp_time != rtp_time && self.lead.is_empty() {
            self.end(made);
        }
        let after_loss = std::mem::take(&mut self.after_loss);
        self.unit.suspect |= after_loss && self.unit.is_empty();
    }

    /// What the packet holds is not whole.
    pub(super) fn spoil(&mut self, broken: SkipReason, rtp_time: u32) {
        if self.unit.is_empty() {
            self.unit.rtp_time = rtp_time;
        }
        self.unit.broken.get_or_insert(broken);
    }

    pub(super) fn take(
        &mut self,
        nal: Payload,
        rtp_time: u32,
        received_us: i64,
        made: &mut Vec<Made>,
    ) {
        let kind = kind(self.codec, &nal);
        if matches!(kind, Kind::Set(_)) {
            self.sets.observe(&nal);
        }
        match kind {
            Kind::Slice(slice) => self.take_slice(nal, slice, rtp_time, received_us, made),
            Kind::Delimiter | Kind::Set(_) | Kind::Information { .. } if self.unit.slices > 0 => {
                self.lead_bytes += nal.len() + nal.slices().len() * SLICE_BYTES;
                let lead = Lead {
                    nal,
                    kind,
                    rtp_time,
                    received_us,
                };
                if self.lead_bytes <= LEAD_BYTES_MAX {
                    self.lead.push(lead);
                } else {
                    self.unit.broken.get_or_insert(SkipReason::TooLarge);
                    self.lead.clear();
                }
            }
            _ => self.put(Lead {
                nal,
                kind,
                rtp_time,
                received_us,
            }),
        }
    }

    /// The packet whose units were taken last has its marker set.
    pub(super) fn mark(&mut self, made: &mut Vec<Made>) {
        if !self.lead.is_empty() || (self.unit.slices == 0 && self.unit.broken.is_none()) {
            return;
        }
        self.unit.marked = true;
        self.markers.note();
        let is_torn = self.unit.broken.is_some() && self.markers.may_be_right();
        if self.markers.are_trusted() || is_torn {
            self.end(made);
        }
    }

    /// What the access unit that has begun has taken of what it may.
    pub(super) fn budget(&self) -> Budget {
        self.unit.budget
    }

    /// Whether markers tell where pictures end, as far as is known.
    pub(super) fn has_good_markers(&self) -> bool {
        self.markers.may_be_right()
    }

    /// Whether [`Self::settle`] would hand something out, after a `long` silence or a short one. In a short one the first marker of all is not believed:
    /// it may be that of a slice.
    pub(super) fn holds_picture(&self, long: bool) -> bool {
        let has_ended = if self.markers.are_expected() {
            let is_proved = self.unit.was_unmarked || self.markers.have_been_right();
            self.unit.marked && (is_proved || long)
        } else {
            // Without markers only the ones before tell how many slices there are.
            let usual = self.last.whole[self.unit.sort()].slices;
            (1..=self.unit.slices).contains(&usual) && !self.last.settled_too_early
        };
        self.unit.slices > 0 && self.unit.broken.is_none() && has_ended
    }

    /// Nothing has come for a while.
    pub(super) fn settle(&mut self, long: bool, made: &mut Vec<Made>) {
        if self.holds_picture(long) {
            self.end(made);
            self.last.settled = true;
            self.adopt_lead();
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, made: &mut Vec<Made>) {
        let has_ended = self.holds_picture(false) || self.next_has_begun();
        if !has_ended && self.unit.slices > 0 {
            self.unit.broken.get_or_insert(SkipReason::Torn);
        }
        if self.unit.slices > 0 || self.unit.broken.is_some() {
            self.end(made);
        }
        self.unit = Unit::default();
        self.lead.clear();
    }

    fn take_slice(
        &mut self,
        nal: Payload,
        slice: Slice,
        rtp_time: u32,
        received_us: i64,
        made: &mut Vec<Made>,
    ) {
        if self.unit.slices > 0 && slice.is_first {
            self.end_before_next(made);
            self.adopt_lead();
        } else if self.unit.slices > 0 && rtp_time != self.unit.rtp_time && self.next_has_begun() {
            // Cameras drop first slices before they number them.
            self.end_before_next(made);
            self.adopt_lead();
            self.begin_in_the_middle(rtp_time);
        } else if self.unit.slices > 0 {
            if self.unit.marked {
                self.markers.was_wrong();
                self.unit.marked = false;
            } else {
                self.unit.was_unmarked = true;
            }
            self.adopt_lead();
        } else if !slice.is_first {
            self.begin_in_the_middle(rtp_time);
        }
        if self.unit.slices == 0 {
            self.unit.rtp_time = rtp_time;
            self.unit.keyframe = self.is_keyframe(slice);
            if self.unit.keyframe {
                self.unit.parameters = self.sets.parameters(slice.pps_id);
            }
        }
        self.unit.slices += 1;
        self.unit.received_us = received_us;
        self.unit.push(nal);
    }

    /// Whether decoding may begin with the unit that this slice begins. Where it becomes right only by and by that is better than nothing: cameras
    /// that refresh their pictures a stripe at a time send no keyframe, or none behind the first. Others only ever send pictures that need no
    /// other, and don't say that one may begin there.
    fn is_keyframe(&mut self, slice: Slice) -> bool {
        let recovery_frames = self.unit.recovery_frames;
        if slice.is_random_access || (slice.is_intra && recovery_frames == Some(0)) {
            self.gradual_max = self.gradual_max.max(self.gradual);
            self.gradual = 0;
            self.has_keyframes = true;
            return true;
        }
        let may_begin =
            recovery_frames.map_or(slice.is_intra && !self.has_keyframes, |frames| frames > 0);
        if may_begin {
            self.unit.is_unsaid = recovery_frames.is_none();
            self.gradual = self.gradual.saturating_add(1);
            return self.gradual > self.gradual_max;
        }
        false
    }

    /// An access unit without its first slice: packets are missing, or the one before it had not ended.
    fn begin_in_the_middle(&mut self, rtp_time: u32) {
        let is_clean = !self.unit.suspect && self.unit.broken.is_none();
        if is_clean && self.last.rtp_time == Some(rtp_time) {
            if self.last.settled {
                self.last.settled_too_early = true;
            } else {
                self.markers.was_wrong();
            }
        }
        self.unit.broken.get_or_insert(SkipReason::Torn);
    }

    /// The unit has ended, as what comes next shows.
    fn end_before_next(&mut self, made: &mut Vec<Made>) {
        // Not before a keyframe has come: often they alone have several slices, and these may have markers each.
        let has_begun = self.unit.keyframe || self.parameters.is_some();
        if self.unit.marked && has_begun {
            self.markers.was_right();
        }
        if !self.unit.marked && self.unit.broken.is_none() && has_begun {
            match self.lacks_slices() {
                true => self.unit.broken = Some(SkipReason::Torn),
                false => self.markers.was_missing(),
            }
        }
        self.end(made);
    }

    /// Whether a unit without a marker, which the one before had, has fewer slices too: the last were dropped before they were numbered.
    fn lacks_slices(&self) -> bool {
        let before = self.last.whole[self.unit.sort()];
        before.marked && self.unit.slices < before.slices && self.markers.are_expected()
    }

    /// Whether what stands behind the slices is of the next access unit. Some cameras have a delimiter before each slice.
    fn next_has_begun(&self) -> bool {
        let is_between_slices =
            |lead: &Lead| lead.kind == Kind::Delimiter && lead.rtp_time == self.unit.rtp_time;
        !self.lead.iter().all(is_between_slices)
    }

    fn adopt_lead(&mut self) {
        self.lead_bytes = 0;
        for lead in std::mem::take(&mut self.lead) {
            self.put(lead);
        }
    }

    /// Adds what is no slice.
    fn put(&mut self, lead: Lead) {
        let unit = &mut self.unit;
        unit.delimited |= unit.is_empty() && lead.kind == Kind::Delimiter;
        if unit.slices == 0 {
            unit.rtp_time = lead.rtp_time;
            if unit.opening.len() < unit.opening.inline_size() {
                let beginning = lead.nal.slices().first().map_or(&[][..], |slice| slice);
                unit.opening.extend(unit_type(self.codec, beginning));
            }
        }
        unit.received_us = lead.received_us;
        if let Kind::Information { recovery_frames } = lead.kind {
            unit.recovery_frames = unit.recovery_frames.or(recovery_frames);
        }
        unit.push(lead.nal);
    }

    /// Hands out the unit, or says why not.
    fn end(&mut self, made: &mut Vec<Made>) {
        let unit = std::mem::take(&mut self.unit);
        self.last.rtp_time = Some(unit.rtp_time);
        if unit.broken.is_none() {
            self.last.whole[unit.sort()] = Whole {
                slices: unit.slices,
                marked: unit.marked,
            };
        }
        self.last.settled = false;
        made.push(match self.checked(unit) {
            Ok(picture) => Made::Picture(picture),
            Err(reason) => Made::Skipped(reason),
        });
    }

    fn checked(&mut self, unit: Unit) -> Result<Picture, SkipReason> {
        if let Some(broken) = unit.broken {
            return Err(broken);
        }
        let opening = &mut self.openings[unit.sort()];
        // It may have more units before its slices than others: information now and then, parameter sets twice.
        let is_as_before = |before: &Opening| unit.opening.starts_with(before);
        let is_whole = unit.delimited
            || unit
                .opening
                .first()
                .is_some_and(|first| first_set(self.codec) == Some(*first))
            || opening.as_ref().map_or(unit.sort() == 0, is_as_before);
        if unit.suspect && !is_whole {
            return Err(SkipReason::Torn);
        }
        if let Some(parameters) = unit.parameters
            && self.parameters.as_deref() != Some(&parameters)
        {
            self.parameters = Some(Arc::new(parameters));
        }
        let parameters = self.parameters.clone().ok_or(SkipReason::Early)?;
        if !unit.suspect {
            *opening = Some(unit.opening);
        }
        Ok(Picture {
            payload: unit.payload,
            keyframe: unit.keyframe,
            parameters: Some(parameters),
            rtp_time: unit.rtp_time,
            received_us: unit.received_us,
        })
    }
}
