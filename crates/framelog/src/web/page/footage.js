// What the recorder says of a camera's footage, gaps and removals, and what that means at one moment. Draws nothing.

import { askJson, nowUs, pathOf } from './api.js';
import { span, timeBeside, why } from './words.js';

/** Footage, gaps and removals of a span, as they overlap it. */
export const footageOf = (camera, fromUs, toUs, signal) => askJson(pathOf(camera, 'footage', { from_us: fromUs, to_us: toUs }), signal);

/** A gap in words: reason and span. */
export function gapInWords(gap) {
  const when = gap.ended_us === null ? `since ${timeBeside(gap.started_us, nowUs())}` : span(gap.started_us, gap.ended_us);
  return `No footage ${when}: ${why(gap.reason, gap.detail)}`;
}

/** Removed footage in words. */
export function removalInWords(removal) {
  return `Removed ${span(removal.started_us, removal.ended_us)}: by the rule ${removal.rule}`;
}

/** Files next to each other are as far apart as two frames of a slow camera. */
const APART_US = 120e6;

/** Why there is no footage at a moment, in words; null if there is. */
export async function missingAt(camera, us, signal) {
  const { footage, gaps, removals } = await footageOf(camera, us - APART_US, us + APART_US, signal);
  const covers = (stretch) => stretch.started_us <= us && us <= (stretch.ended_us ?? Infinity);
  const gap = gaps.find(covers);
  if (gap) return gapInWords(gap);
  // What no gap is between is continuous.
  const isBefore = footage.some((stretch) => stretch.started_us <= us);
  const isBehind = footage.some((stretch) => us <= stretch.ended_us || (stretch.recording && us <= nowUs()));
  if (isBefore && isBehind) return null;
  const removal = removals.find(covers);
  if (removal) return removalInWords(removal);
  return us > nowUs() ? 'That moment is yet to come' : 'No footage of that moment';
}

/** Why two frames are apart: `(2.1 s, unreachable: …)`; null if nothing is missing between them. */
export async function holeBetween(camera, fromUs, toUs, signal) {
  const { gaps, removals } = await footageOf(camera, fromUs, toUs, signal);
  // A gap begins and ends with frames: one that only touches is none of this hole.
  const isBetween = (stretch) => stretch.started_us < toUs && (stretch.ended_us ?? Infinity) > fromUs;
  const gap = gaps.filter(isBetween).reduce((longest, gap) => (!longest || length(gap) > length(longest) ? gap : longest), null);
  if (gap) return why(gap.reason, gap.detail);
  return removals.some(isBetween) ? 'removed' : null;
}

const length = (gap) => (gap.ended_us ?? Infinity) - gap.started_us;

/** The capture time of the frame next to one, on (1) or back (-1); null if there is none. */
export async function neighbour(camera, us, direction, signal) {
  // Most are near; one in some minutes is some cameras' pace.
  for (const reachUs of [2e6, 120e6, 3600e6]) {
    const [fromUs, toUs] = direction > 0 ? [us, us + reachUs] : [us - reachUs, us];
    const found = await nearestOf(camera, us, direction, fromUs, toUs, signal);
    if (found !== null) return found;
  }
  return overTheGap(camera, us, direction, signal);
}

async function nearestOf(camera, us, direction, fromUs, toUs, signal) {
  for (;;) {
    const { frames, more } = await askJson(pathOf(camera, 'frames', { from_us: fromUs, to_us: toUs }), signal);
    const times = frames.map((frame) => frame.captured_us);
    if (direction > 0) {
      const next = times.find((time) => time > us);
      return next ?? null;
    }
    if (!more) return times.findLast((time) => time < us) ?? null;
    fromUs = times.at(-1) + 1;
  }
}

/** The footage beyond a hole begins or ends with a frame. */
async function overTheGap(camera, us, direction, signal) {
  const dayUs = 86400e6;
  for (let reachUs = dayUs; reachUs <= 400 * dayUs; reachUs *= 20) {
    const [fromUs, toUs] = direction > 0 ? [us + 1, us + reachUs] : [us - reachUs, us - 1];
    const { footage } = await footageOf(camera, fromUs, toUs, signal);
    if (direction > 0) {
      const next = footage.find((stretch) => stretch.started_us > us);
      if (next) return next.started_us;
    } else {
      const before = footage.findLast((stretch) => stretch.ended_us < us);
      if (before) return before.ended_us;
    }
  }
  return null;
}
