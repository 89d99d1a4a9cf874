// Plays a stream of H.264 or H.265: a fragmented MP4 that is fed to the browser's decoder a little ahead of what is shown. Not for where in the footage, or
// what comes after its end: that is the player's.

import { mediaType } from './mp4.js';
import { unshowable } from './picture.js';

const AHEAD_S = 4;
const BEHIND_S = 10;

/** A `moov` is some hundred bytes. */
const HEAD_MAX = 1 << 20;

const LOOK_MS = 100;
const DRY_TOLD_MS = 3000;

/** Live pictures come in bursts: they are shown this late, and when more than that late some are left out. */
const LIVE_DELAY_S = 1;
const LIVE_LATE_S = 3;

/** A hole that is longer is jumped over; a shorter one is a slow camera's pace, and waited for. */
const HOLE_S = 1.5;

/** Times in a film are rounded to its timescale. */
const ROUNDING_US = 2000;

export class Film {
  #video = document.createElement('video');
  #source = new MediaSource();
  #url = URL.createObjectURL(this.#source);
  #buffer = null;
  #reader;
  #codec;
  #startUs;
  #fromUs;
  #isLive;
  #speed;
  #listener;
  #hasBegun = false;
  #beganMs = performance.now();
  #hasEnded = false;
  #isStopped = false;
  #isDry = false;
  #dryMs = null;
  #jumpMs = null;
  #lastS = null; // where it was at the last look
  #room = null;
  #timer = setInterval(() => this.#look(), LOOK_MS);

  /** As `Jpegs`; also `failed(problem)`. */
  constructor(response, { isLive, speed, fromUs, listener }) {
    this.#codec = response.headers.get('X-Codec');
    this.#startUs = Number(response.headers.get('X-Captured-Us'));
    this.#fromUs = fromUs ?? this.#startUs;
    this.#isLive = isLive;
    this.#speed = speed;
    this.#listener = listener;
    this.#reader = response.body.getReader();
    Object.assign(this.#video, { muted: true, playsInline: true, src: this.#url });
    this.#video.addEventListener('error', () => this.#fail());
    this.#watch();
    this.#read();
  }

  set speed(speed) {
    this.#speed = speed;
    this.#video.playbackRate = speed;
  }

  stop() {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#room?.();
    this.#reader.cancel().catch(() => {});
    URL.revokeObjectURL(this.#url);
    this.#video.removeAttribute('src');
    this.#video.load();
  }

  async #read() {
    try {
      if (this.#source.readyState !== 'open') await new Promise((resolve) => this.#source.addEventListener('sourceopen', resolve, { once: true }));
      if (!await this.#readHead()) return;
      while (!this.#isStopped) {
        while (this.#isFull() && !this.#isStopped) await new Promise((resolve) => { this.#room = resolve; });
        const { done, value } = await this.#reader.read();
        if (done) break;
        await this.#append(value);
      }
    } catch {
      // Broken off: the player asks again from where this ends.
    }
    this.#hasEnded = true;
    if (this.#source.readyState === 'open' && !this.#buffer?.updating) this.#source.endOfStream();
  }

  async #readHead() {
    let head = new Uint8Array(0);
    let type = null;
    while (type === null && head.length < HEAD_MAX) {
      const { done, value } = await this.#reader.read();
      if (done) return true;
      const longer = new Uint8Array(head.length + value.length);
      longer.set(head);
      longer.set(value, head.length);
      head = longer;
      type = mediaType(head);
    }
    if (this.#isStopped) return false;
    if (type === null || !MediaSource.isTypeSupported(type)) {
      this.#fail();
      return false;
    }
    this.#buffer = this.#source.addSourceBuffer(type);
    await this.#append(head);
    return true;
  }

  async #append(bytes) {
    while (!this.#isStopped) {
      try {
        while (this.#buffer.updating) await this.#updated();
        const done = this.#updated();
        this.#buffer.appendBuffer(bytes);
        return await done;
      } catch (error) {
        if (error.name !== 'QuotaExceededError') throw error;
        await this.#forget(1);
        await new Promise((resolve) => { this.#room = resolve; });
      }
    }
  }

  #updated = () => new Promise((resolve) => this.#buffer.addEventListener('updateend', resolve, { once: true }));

  /** Of what has been shown, only the last seconds are kept. */
  async #forget(behindS) {
    const until = this.#video.currentTime - behindS;
    if (until <= 0 || !this.#buffer.buffered.length || this.#buffer.buffered.start(0) >= until) return;
    const done = this.#updated();
    this.#buffer.remove(0, until);
    await done;
  }

  #ranges() {
    const buffered = this.#buffer?.buffered;
    return Array.from({ length: buffered?.length ?? 0 }, (_, at) => [buffered.start(at), buffered.end(at)]);
  }

  #aheadS() {
    const at = this.#video.currentTime;
    return this.#ranges().reduce((sum, [start, end]) => sum + Math.max(0, end - Math.max(start, at)), 0);
  }

  #isFull() {
    return this.#hasBegun && this.#aheadS() > AHEAD_S * Math.max(1, this.#speed);
  }

  /** Looks ten times a second at what only shows from outside: holes, the end, being late. */
  #look() {
    if (this.#isStopped || !this.#buffer) {
      if (this.#hasEnded && !this.#isStopped) this.#end();
      return;
    }
    const ranges = this.#ranges();
    if (!this.#hasBegun) this.#begin(ranges);
    else this.#keepOn(ranges);
    this.#room?.();
  }

  #begin(ranges) {
    const target = Math.max(0, (this.#fromUs - this.#startUs) / 1e6);
    const last = ranges.at(-1)?.[1] ?? 0;
    const isEnough = this.#hasEnded || last > target + (this.#isLive ? LIVE_DELAY_S : 0) || (last > target && performance.now() - this.#beganMs > 2000);
    if (!ranges.length || !isEnough) {
      if (this.#hasEnded) this.#end();
      return;
    }
    this.#hasBegun = true;
    if (target > 0) this.#video.currentTime = target;
    this.#video.playbackRate = this.#speed;
    this.#video.play().catch(() => {});
  }

  #keepOn(ranges) {
    const at = this.#video.currentTime;
    const here = ranges.find(([start, end]) => start - 0.01 <= at && at <= end);
    const next = ranges.find(([start]) => start > at + 0.01);
    const last = ranges.at(-1)?.[1] ?? 0;
    const leftS = here ? here[1] - at : 0;
    // A decoder that puts pictures in order keeps the last ones back until more come.
    const isStuck = this.#video.readyState < 3 && at === this.#lastS;
    this.#lastS = at;
    const isAtEnd = leftS < 0.05 || isStuck;
    if (this.#isLive && last - at > LIVE_LATE_S) {
      this.#video.currentTime = last - LIVE_DELAY_S;
    } else if (next && isAtEnd && !this.#video.seeking) {
      this.#cross(at, next[0]);
    } else if (this.#hasEnded && !next && (isAtEnd || this.#video.ended)) {
      this.#end();
    } else {
      this.#jumpMs = null;
    }
    this.#noteDry(leftS < 0.02 && !next);
    if (at > BEHIND_S * 2 && !this.#buffer.updating && this.#source.readyState === 'open' && this.#room) this.#forget(BEHIND_S);
  }

  #cross(at, to) {
    if (to - at > HOLE_S) {
      const [fromUs, toUs] = [at, to].map((time) => this.#startUs + Math.round(time * 1e6));
      this.#video.currentTime = to;
      this.#listener.hole(fromUs, toUs).then((why) => { if (why) this.#listener.jumped(fromUs, toUs, why); }, () => {});
      return;
    }
    const now = performance.now();
    this.#jumpMs ??= now + ((to - at) * 1000) / this.#speed;
    if (now < this.#jumpMs) return;
    this.#jumpMs = null;
    this.#video.currentTime = to;
  }

  #noteDry(isDry) {
    const now = performance.now();
    if (isDry && !this.#isDry && !this.#hasEnded) this.#listener.ranDry();
    this.#isDry = isDry;
    this.#dryMs = isDry ? this.#dryMs ?? now : null;
    this.#listener.waiting(isDry && now - this.#dryMs > DRY_TOLD_MS);
  }

  #watch() {
    // The browser tells of each picture that it shows, and its time in the film.
    this.#video.requestVideoFrameCallback((_, { mediaTime }) => {
      if (this.#isStopped) return;
      const us = this.#startUs + Math.round(mediaTime * 1e6);
      // Those from the keyframe on are decoded only to get there.
      if (us >= this.#fromUs - ROUNDING_US) this.#listener.shown({ us, clock: null, codec: this.#codec, blob: null, image: this.#video });
      this.#watch();
    });
  }

  #end() {
    this.stop();
    this.#listener.ended();
  }

  #fail() {
    if (this.#isStopped) return;
    this.stop();
    this.#listener.failed(unshowable(this.#codec));
  }
}
