// Plays a stream of JPEGs: reads a little ahead, and shows each frame at its time. Not for where in the footage, or what comes after its end: that is
// the player's.

import { Parts } from './multipart.js';
import { jpeg } from './picture.js';

const AHEAD_US = 2e6;
const AHEAD_FRAMES = 64;

/** After running dry it begins again with so much in hand, or after so long. */
const IN_HAND_US = 0.8e6;
const PATIENCE_MS = 1000;

/** Slow cameras run dry all the time: only a longer wait is told. */
const DRY_TOLD_MS = 3000;

/** Live pictures come in bursts: they are shown this late, and when more than that late some are left out. */
const LIVE_DELAY_US = 1e6;
const LIVE_LATE_US = 3e6;

const LIVE_FRAMES_MAX = 256;

/** Frames further apart than this may have a gap between them. */
const HOLE_US = 1.5e6;

export class Jpegs {
  #queue = [];
  #isLive;
  #speed;
  #listener;
  #lastReadUs = null;
  #shownUs = null;
  /** Media time `us` is shown at `ms`; null while there is nothing to show. */
  #anchor = null;
  #sinceMs = null; // when the first frame came after it ran dry
  #dryMs = null; // since when there is nothing
  #hasEnded = false;
  #isStopped = false;
  #isDrawing = false;
  #room = null;
  #reader;

  /** `listener`: `shown({us, clock, blob, image})`, `hole(fromUs, toUs)` that says why, `jumped(fromUs, toUs, why)`, `ranDry()`, `waiting(bool)`, `ended()`. */
  constructor(response, { isLive, speed, listener }) {
    this.#isLive = isLive;
    this.#speed = speed;
    this.#listener = listener;
    this.#reader = response.body.getReader();
    this.#read();
    requestAnimationFrame(this.#tick);
  }

  set speed(speed) {
    if (this.#anchor) this.#anchor = { us: this.#mediaUs(performance.now()), ms: performance.now() };
    this.#speed = speed;
  }

  stop() {
    this.#isStopped = true;
    this.#room?.();
    this.#reader.cancel().catch(() => {});
  }

  async #read() {
    const parts = new Parts();
    try {
      while (!this.#isStopped) {
        const { done, value } = await this.#reader.read();
        if (done) break;
        for (const frame of parts.take(value)) this.#push(frame);
        while (this.#isFull() && !this.#isStopped) await new Promise((resolve) => { this.#room = resolve; });
      }
    } catch {
      // Broken off: the player asks again from where this ends.
    }
    this.#hasEnded = true;
    this.#reader.cancel().catch(() => {});
  }

  #push(frame) {
    if (this.#lastReadUs !== null && frame.us - this.#lastReadUs > HOLE_US) {
      frame.why = null;
      this.#listener.hole(this.#lastReadUs, frame.us).then((why) => { frame.why = why; }, () => {});
    }
    this.#lastReadUs = frame.us;
    this.#queue.push(frame);
    // A page that draws nothing doesn't hold what is live either.
    if (this.#isLive && this.#queue.length > LIVE_FRAMES_MAX) this.#queue.shift();
  }

  #isFull() {
    // What is live is never left to wait: it would be ever later.
    if (this.#isLive || !this.#queue.length) return false;
    return this.#queue.length >= AHEAD_FRAMES || this.#lastReadUs - this.#queue[0].us > AHEAD_US;
  }

  #mediaUs = (ms) => this.#anchor.us + (ms - this.#anchor.ms) * 1000 * this.#speed;

  #tick = (ms) => {
    if (this.#isStopped) return;
    if (!this.#queue.length) {
      if (this.#hasEnded) {
        if (!this.#isDrawing) {
          this.#isStopped = true;
          this.#listener.ended();
          return;
        }
      } else {
        this.#runDry(ms);
      }
    } else if (this.#isReady(ms)) {
      this.#advance(ms);
    }
    requestAnimationFrame(this.#tick);
  };

  #runDry(ms) {
    this.#anchor = null;
    this.#sinceMs = null;
    if (this.#dryMs === null && this.#shownUs !== null) this.#listener.ranDry();
    this.#dryMs ??= ms;
    if (ms - this.#dryMs > DRY_TOLD_MS) this.#listener.waiting(true);
  }

  #isReady(ms) {
    if (this.#anchor) return true;
    this.#sinceMs ??= ms;
    const inHandUs = this.#lastReadUs - this.#queue[0].us;
    const isEnough = this.#hasEnded || inHandUs >= IN_HAND_US || this.#queue.length >= AHEAD_FRAMES || ms - this.#sinceMs >= PATIENCE_MS;
    if (!isEnough) return false;
    this.#anchor = { us: this.#queue[0].us, ms };
    this.#dryMs = null;
    this.#listener.waiting(false);
    return true;
  }

  #advance(ms) {
    if (this.#isLive && this.#lastReadUs - this.#mediaUs(ms) > LIVE_LATE_US) this.#anchor = { us: this.#lastReadUs - LIVE_DELAY_US, ms };
    const [next] = this.#queue;
    if (next.why && next.us > this.#mediaUs(ms)) {
      this.#listener.jumped(this.#shownUs ?? next.us, next.us, next.why);
      this.#anchor = { us: next.us, ms };
    }
    if (this.#isDrawing) return;
    const nowUs = this.#mediaUs(ms);
    let due = null;
    // What is late is dropped rather than shown late.
    while (this.#queue.length && this.#queue[0].us <= nowUs) due = this.#queue.shift();
    if (due) this.#show(due);
    this.#room?.();
  }

  async #show(frame) {
    this.#isDrawing = true;
    try {
      const image = await jpeg(frame.blob);
      if (!this.#isStopped) this.#listener.shown({ us: frame.us, clock: frame.clock, codec: 'mjpeg', blob: frame.blob, image });
      image.close();
    } catch {
      // A damaged frame is passed over: the next is a fraction of a second away.
    }
    this.#shownUs = frame.us;
    this.#isDrawing = false;
  }
}
