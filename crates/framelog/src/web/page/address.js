// The part of the address behind `#`: which camera, and which moment of it, in local time with its zone. An address can be sent to somebody.

import { dayOf, millisecondOf, secondOf, zoneOf } from './words.js';

/** A day, or a time of it; without a zone it is local time. */
const MOMENT = /^\d{4}-\d\d-\d\d(T.+)?$/;

/** `{camera, atUs}`; `camera` is null for the overview, `atUs` for what is recorded now. */
export function read() {
  const [, camera = '', moment = ''] = decodeURIComponentOrNot(location.hash.slice(1)).split('/');
  const [isMoment, time] = MOMENT.exec(moment) ?? [null];
  // A day alone would be taken for one of UTC.
  const ms = isMoment ? Date.parse(time ? moment : `${moment}T00:00`) : NaN;
  return { camera: camera || null, atUs: Number.isNaN(ms) ? null : ms * 1000 };
}

/** The address of a camera at this moment, exactly or to the second. */
export function of(camera, atUs, exactly = false) {
  const path = `#/${encodeURIComponent(camera)}`;
  if (atUs === null) return path;
  return `${path}/${dayOf(atUs)}T${exactly ? millisecondOf(atUs) : secondOf(atUs)}${zoneOf(atUs)}`;
}

/** Makes it the address of this page, without a step in the history. */
export function keep(address) {
  if (location.hash !== address) history.replaceState(null, '', address);
}

function decodeURIComponentOrNot(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
