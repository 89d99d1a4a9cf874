// Asks the recorder, with the token where it wants one, and says in one line why there is no answer. Not for what answers mean.

import { tokenAfter, token } from './token.js';

/** Why there is no answer. `kind`: `offline`, `none` (there is no such thing), `busy`, `refused`, or `unshowable`. */
export class Problem extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** The browser's clock is this far from the recorder's where both can be compared. */
let behindMs = 0;

/** What the recorder's clock says now. */
export const nowUs = () => (Date.now() + behindMs) * 1000;

/** The path of something of a camera. */
export function pathOf(camera, what, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) query.set(name, String(Math.round(value)));
  }
  return `/api/cameras/${encodeURIComponent(camera)}/${what}${query.toString() && `?${query}`}`;
}

/** Whoever says nothing for so long does not answer: a recorder that hangs, or a cable that is pulled. */
const PATIENCE_MS = 15000;

/**
 * The response, once it is a good one; else a `Problem`, or the `AbortError` of the signal. All of it must be there within `patienceMs`; null where it
 * never ends.
 */
export async function ask(path, signal, patienceMs = PATIENCE_MS) {
  for (;;) {
    const sent = token();
    const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
    let response;
    try {
      const limit = patienceMs === null ? signal : AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
      response = await fetch(path, { signal: limit, headers, cache: 'no-store' });
    } catch (error) {
      signal.throwIfAborted();
      throw new Problem('offline', 'The recorder does not answer. Does it run, and is this device on its network? Trying again.');
    }
    noteClock(response);
    if (response.ok) return response;
    if (response.status !== 401) throw await problemOf(response);
    await tokenAfter(sent, signal);
  }
}

/** The JSON of a good response. */
export async function askJson(path, signal) {
  return bodyOf(await ask(path, signal), 'json', signal);
}

/** A response's body, as `json` or `blob`. */
export async function bodyOf(response, kind, signal) {
  try {
    return await response[kind]();
  } catch {
    signal.throwIfAborted();
    throw new Problem('offline', 'The recorder broke off its answer. Trying again.');
  }
}

async function problemOf(response) {
  const said = await response.text().catch(() => '');
  const line = said.split('\n')[0].slice(0, 300) || `HTTP status ${response.status}`;
  switch (response.status) {
    case 404: return new Problem('none', line);
    case 503: return new Problem('busy', `The recorder can't answer now: ${line}`);
    default: return new Problem('refused', `The recorder refuses: ${line}`);
  }
}

/** `Date` has whole seconds: less than a few of difference are none. */
function noteClock(response) {
  const theirs = Date.parse(response.headers.get('Date') ?? '');
  if (Number.isNaN(theirs)) return;
  const difference = theirs - Date.now();
  behindMs = Math.abs(difference) > 5000 ? difference : 0;
}
