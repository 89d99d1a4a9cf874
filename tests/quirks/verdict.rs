//! What the recorder stored against what the camera sent: frames, times, gaps, manners.

use std::collections::HashMap;
use std::time::Duration;

use super::Outcome;
use crate::support::camera::{Clock, Journal, Request, Sent};
use crate::support::index::Row;

/// How late the recorder may notice a byte, on a busy machine, in microseconds.
const LATE_US: i64 = 5_000_000;
/// Of a camera that is silent for so long within a frame, as a busy machine makes it, the recorder may believe a length that is too small: it waits
/// for 200 ms.
const SILENT: Duration = Duration::from_millis(150);
/// How much earlier than its sending a frame may have been received: clocks are read at both ends.
const EARLY_US: i64 = 5_000;

/// All that is wrong; nothing if the case has passed.
pub fn verdict(outcome: &Outcome) -> Vec<String> {
    let mut complaints = outcome.journal.complaints.clone();
    let mut sent = sent(&outcome.journal);
    let finished = |sent: &[Sent]| sent.iter().filter(|sent| sent.to_us < i64::MAX).count();
    if let Some(companion) = &outcome.plan.companion {
        let journal = companion.journal();
        sent.extend(self::sent(&journal));
        complaints.extend(journal.complaints);
    }
    sent.sort_by_key(|sent| sent.from_us);
    for late in sent.iter_mut().filter(|sent| sent.to_us > outcome.due_us) {
        late.shot.optional = true;
    }
    if finished(&sent) < outcome.plan.frames {
        complaints.push(format!(
            "the camera came to send {} frames, expected {}",
            finished(&sent),
            outcome.plan.frames
        ));
    }
    complaints.extend(judge_frames(&sent, outcome));
    complaints.extend(judge_gaps(outcome));
    complaints.extend(judge_manners(outcome));
    complaints.extend(
        outcome
            .plan
            .checks
            .iter()
            .filter_map(|check| check(&outcome.journal, &outcome.gaps).err()),
    );
    complaints
}

/// All frames that the recorder may have.
fn sent(journal: &Journal) -> Vec<Sent> {
    let unfinished = journal.unfinished.values().flatten();
    journal.sent.iter().chain(unfinished).cloned().collect()
}

/// Whether these bytes are right for the frame.
fn accepts(sent: &Sent, payload: &[u8]) -> bool {
    let mut accepted = sent.shot.accepted.iter();
    accepted.any(|bytes| bytes == payload || may_be_cut(sent) && bytes.starts_with(payload))
}

/// Whether the camera fell silent where that may be taken for the frame's end: it may be stored up to there, or left out as torn.
fn may_be_cut(sent: &Sent) -> bool {
    sent.shot.unsure && sent.stalled >= SILENT
}

fn judge_frames(sent: &[Sent], outcome: &Outcome) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut offsets = HashMap::new();
    let mut next = 0;
    for (row, payload) in &outcome.rows {
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => {
                complaints.push(format!("{} at {}: {error}", row.path, row.offset));
                continue;
            }
        };
        let Some(skipped) = sent[next..].iter().position(|sent| accepts(sent, payload)) else {
            complaints.push(format!(
                "after frame {next}: stored {} that the camera never sent as a frame (or not here)",
                sketch(payload)
            ));
            continue;
        };
        complaints.extend(missing(sent, next..next + skipped));
        next += skipped;
        complaints.extend(
            judge_row(&sent[next], row, &mut offsets)
                .into_iter()
                .map(|complaint| format!("frame {next}: {complaint}")),
        );
        next += 1;
    }
    complaints.extend(missing(sent, next..sent.len()));
    complaints
}

fn missing(sent: &[Sent], range: std::ops::Range<usize>) -> Option<String> {
    let missing: Vec<_> = range
        .filter(|&number| !sent[number].shot.optional && !may_be_cut(&sent[number]))
        .collect();
    (!missing.is_empty()).then(|| format!("missing frames {missing:?} of {}", sent.len()))
}

fn sketch(payload: &[u8]) -> String {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    format!(
        "{} bytes {}…{}",
        payload.len(),
        hex(&payload[..payload.len().min(8)]),
        hex(&payload[payload.len().saturating_sub(8)..])
    )
}

fn judge_row(sent: &Sent, row: &Row, offsets: &mut HashMap<String, i64>) -> Vec<String> {
    let mut complaints = Vec::new();
    let complete = sent.shot.complete.filter(|_| !may_be_cut(sent));
    if complete.is_some_and(|complete| complete != row.complete) {
        complaints.push(format!("complete is {}", row.complete));
    }
    if row.keyframe != sent.shot.keyframe {
        complaints.push(format!("keyframe is {}", row.keyframe));
    }
    if row.received_us < sent.from_us - EARLY_US
        || row.received_us > sent.to_us.saturating_add(LATE_US)
    {
        complaints.push(format!(
            "received {} us after it was sent",
            row.received_us - sent.to_us
        ));
    }
    let kind = match sent.shot.clock {
        Clock::Any | Clock::Now => &row.clock,
        Clock::Camera(_) | Clock::CameraSecond(_) => "camera",
        Clock::Mapped(_) | Clock::Near => "mapped",
        Clock::Arrival => "arrival",
    };
    if row.clock != kind {
        complaints.push(format!(
            "clock is {}, expected {:?}",
            row.clock, sent.shot.clock
        ));
        return complaints;
    }
    let captured = row.captured_us;
    let is_near =
        || captured > sent.from_us - LATE_US && captured < sent.to_us.saturating_add(LATE_US);
    let right = match sent.shot.clock {
        Clock::Any => true,
        Clock::Camera(stamp) => captured == stamp,
        Clock::CameraSecond(second) => (second..second + 1_000_000).contains(&captured),
        Clock::Arrival => captured == row.received_us,
        Clock::Mapped(stamp) => {
            let offset = *offsets.entry(row.path.clone()).or_insert(captured - stamp);
            captured - stamp == offset && is_near()
        }
        Clock::Near | Clock::Now => is_near(),
    };
    if !right {
        complaints.push(format!(
            "captured {captured} us, received {} us, expected {:?}",
            row.received_us, sent.shot.clock
        ));
    }
    complaints
}

fn judge_gaps(outcome: &Outcome) -> Vec<String> {
    let plan = &outcome.plan;
    let found = |reason: &&&'static str| outcome.gaps.iter().any(|gap| gap.reason == ***reason);
    let absent = plan
        .must
        .iter()
        .filter(|reason| !found(reason))
        .map(|reason| format!("no gap {reason}"));
    let allowed = |reason: &str| {
        reason == "starting" || plan.must.contains(&reason) || plan.may.contains(&reason)
    };
    let foreign = outcome
        .gaps
        .iter()
        .filter(|gap| !allowed(&gap.reason))
        .map(|gap| format!("a gap {}: {}", gap.reason, gap.detail));
    let backward = outcome
        .gaps
        .iter()
        .filter(|gap| gap.ended_us.is_none_or(|end| end < gap.started_us));
    let backward = backward
        .map(|gap| format!("after the stop a gap that is open or ends before it begins: {gap:?}"));
    absent.chain(foreign).chain(backward).collect()
}

fn judge_manners(outcome: &Outcome) -> Vec<String> {
    let journal = &outcome.journal;
    let mut complaints = Vec::new();
    if journal.most_open > 1 {
        complaints.push(format!("{} connections open at once", journal.most_open));
    }
    if journal.connected_us.len() > 120 {
        complaints.push(format!(
            "{} connections in half a minute",
            journal.connected_us.len()
        ));
    }
    if let Some(request) = journal.requests.iter().find(|request| {
        request
            .field("accept-encoding")
            .is_some_and(|coding| coding != "identity")
    }) {
        complaints.push(format!("offers a coding: {}", request.head));
    }
    let is_http = |request: &&Request| request.head.contains(" HTTP/");
    if journal
        .requests
        .iter()
        .filter(is_http)
        .any(|request| request.field("host").is_none())
    {
        complaints.push("a request without Host".to_owned());
    }
    complaints
}
