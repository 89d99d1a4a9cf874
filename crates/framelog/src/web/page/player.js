// Where in the footage of one camera we are, and what moves it: going to a moment, stepping, playing, live. Draws on one canvas. Not for buttons or
// timelines: those are told what happens.

import { ask, nowUs, pathOf } from './api.js';
import { Film } from './film.js';
import { holeBetween, missingAt, neighbour } from './footage.js';
import { Jpegs } from './jpegs.js';
import { draw, picture, unshowable } from './picture.js';
import { duration } from './words.js';

const RETRY_MS = 2000;

/** Where one going follows another, it is waited so long for a third. */
const SETTLE_MS = 100;

/** Frames further apart than this are told to be. */
const HOLE_US = 1.5e6;

/** Who plays so near to now has caught up with the recording. */
const NEAR_NOW_US = 10e6;

export class Player {
  #camera;
  #canvas;
  #listener;
  #going = new AbortController();
  #mode = 'paused';
  #suspended = null;
  /** Where it is going: `{us, thenPlays}`. */
  #target = null;
  #shown = null;
  #film = null;
  #speed = 1;
  #isStepping = false;

  /**
   * `listener`: `shown(frame)`, `changed()`, `note(text)` for a moment, `missing(text or null)` at the moment gone to, `problem(text or null)`,
   * `nothing()` when there is no footage at all,
   * `waiting(bool)` for pictures that don't come.
   */
  constructor(camera, canvas, listener) {
    this.#camera = camera;
    this.#canvas = canvas;
    this.#listener = listener;
  }

  get isPlaying() { return this.#mode !== 'paused'; }
  get isLive() { return this.#mode === 'live'; }

  /** The frame shown: `{us, clock, codec, blob, problem}`, or null; `problem` says why nothing can be seen of it. */
  get shown() { return this.#shown; }

  get speed() { return this.#speed; }
  set speed(speed) {
    this.#speed = speed;
    if (this.isLive) this.play();
    else if (this.#film) this.#film.speed = speed;
    this.#listener.changed();
  }

  close() { this.#stop('paused'); }

  /** Goes to a moment, and plays on from there if it was playing. */
  async seek(us, thenPlays = this.#target?.thenPlays ?? this.isPlaying) {
    const isAgain = this.#target !== null;
    const signal = this.#stop('paused');
    this.#target = { us, thenPlays };
    this.#listener.note('');
    // A key that is held goes far with few questions.
    if (isAgain) await sleep(SETTLE_MS, signal);
    await this.#until(signal, async () => {
      const [found, missing] = await Promise.all([this.#fetch(us, signal), missingAt(this.#camera, us, signal).catch(() => null)]);
      if (!this.#show(found, signal)) return;
      // Addresses have milliseconds: the first frame behind a gap is not in it.
      const isThere = Math.abs(found.us - us) < 1000;
      this.#listener.missing(missing && !isThere ? `${missing}. Shown is the nearest frame.` : null);
      this.#target = null;
      if (thenPlays) this.play();
    });
  }

  /** Ten seconds back, say. */
  skip(byUs) {
    const fromUs = this.#target?.us ?? this.#shown?.us;
    if (fromUs !== undefined) this.seek(fromUs + byUs);
  }

  /** One frame on (1) or back (-1). */
  async step(direction) {
    if (this.#isStepping || !this.#shown) return;
    this.#isStepping = true;
    const signal = this.#stop('paused');
    const from = this.#shown.us;
    try {
      await this.#until(signal, async () => {
        const us = await neighbour(this.#camera, from, direction, signal);
        if (us === null) {
          this.#listener.note(direction > 0 ? 'This is the newest frame' : 'This is the oldest frame');
          return;
        }
        if (!this.#show(await this.#fetch(us, signal), signal)) return;
        this.#listener.missing(null);
        this.#listener.note('');
        if (Math.abs(us - from) > HOLE_US) this.#noteHole(Math.min(us, from), Math.max(us, from), signal);
      });
    } finally {
      this.#isStepping = false;
    }
  }

  /** Plays on from the frame shown. */
  play() {
    if (this.#shown) this.#stream(this.#shown.us, 'playing');
  }

  pause() {
    this.#stop('paused');
    // Of a film only now all is known of the frame: its clock, and its exact time.
    if (this.#shown && !this.#shown.blob) this.seek(this.#shown.us, false);
  }

  /** Shows what is recorded now: the newest frame at once, then each that comes. */
  async live() {
    this.#speed = 1;
    const signal = this.#stop('live');
    this.#listener.note('');
    await this.#until(signal, async () => {
      this.#show(await this.#fetch(null, signal), signal);
      this.#listener.missing(null);
    });
    if (!signal.aborted && this.isLive) this.#stream(null, 'live');
  }

  /** A page that nobody sees plays nothing. */
  suspend() {
    if (!this.isPlaying) return;
    const mode = this.#mode;
    this.#stop(mode);
    this.#suspended = mode;
  }

  resume() {
    const mode = this.#suspended;
    this.#suspended = null;
    if (mode === 'live') this.live();
    if (mode === 'playing') this.play();
  }

  /** Ends whatever is going on; the signal is of what begins now. */
  #stop(mode = this.#mode) {
    this.#going.abort();
    this.#going = new AbortController();
    this.#film = null;
    this.#target = null;
    this.#suspended = null;
    this.#mode = mode;
    this.#listener.problem(null);
    this.#listener.changed();
    return this.#going.signal;
  }

  #fetch = async (us, signal) => picture(await ask(pathOf(this.#camera, 'frame', { at_us: us }), signal), signal);

  #show(frame, signal) {
    if (!signal.aborted) {
      if (frame.image) draw(this.#canvas, frame.image);
      // What is shown is this frame, even where nothing can be seen of it.
      else this.#canvas.getContext('2d').clearRect(0, 0, this.#canvas.width, this.#canvas.height);
      this.#shown = { us: frame.us, clock: frame.clock, codec: frame.codec, blob: frame.blob, problem: frame.problem ?? null };
      this.#listener.problem(this.#shown.problem);
      this.#listener.shown(this.#shown);
    }
    frame.image?.close?.();
    return !signal.aborted;
  }

  /** Does it, again and again while the recorder doesn't answer. Where there is nothing that is told, and taken for done. */
  async #until(signal, act) {
    while (!signal.aborted) {
      try {
        await act();
        if (!signal.aborted) this.#listener.problem(this.#shown?.problem ?? null);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!await this.#isWorthTrying(error, signal)) return;
      }
    }
  }

  async #isWorthTrying(error, signal) {
    if (error.kind === 'none') {
      this.#listener.nothing();
      return false;
    }
    this.#listener.problem(error.kind ? error.message : `This page failed: ${error.message}. Load it anew.`);
    if (error.kind !== 'offline' && error.kind !== 'busy') return false;
    await sleep(RETRY_MS, signal);
    return true;
  }

  async #stream(fromUs, mode) {
    const signal = this.#stop(mode);
    if (document.hidden) {
      this.#suspended = mode;
      return;
    }
    this.#listener.missing(null);
    const isLive = mode === 'live';
    while (!signal.aborted) {
      const lastUs = this.#shown?.us ?? null;
      try {
        const response = await ask(pathOf(this.#camera, 'stream', { from_us: fromUs }), signal, null);
        this.#listener.problem(null);
        this.#noteBegin(response, fromUs, signal);
        await this.#playOut(response, fromUs, isLive, signal);
        if (!isLive && this.#shown) fromUs = this.#shown.us + 1;
        if (this.#shown?.us === lastUs) await sleep(RETRY_MS, signal); // it ended at once
      } catch (error) {
        if (signal.aborted) return;
        if (error.kind === 'none' && isLive) {
          await sleep(RETRY_MS, signal);
        } else if (error.kind === 'none') {
          this.#stop('paused');
          this.#listener.note('Nothing newer is recorded');
        } else if (!await this.#isWorthTrying(error, signal)) {
          if (!signal.aborted) this.#pauseWith(error);
        }
      }
    }
  }

  #pauseWith(error) {
    this.#stop('paused');
    this.#listener.problem(error.message);
  }

  /** Plays one answer to its end. */
  #playOut(response, fromUs, isLive, signal) {
    const isFilm = (response.headers.get('Content-Type') ?? '').startsWith('video/');
    if (isFilm && !globalThis.MediaSource) return Promise.reject(unshowable(response.headers.get('X-Codec')));
    return new Promise((resolve, reject) => {
      const listener = {
        shown: (frame) => this.#show(frame, signal),
        hole: (from, to) => holeBetween(this.#camera, from, to, signal),
        jumped: (from, to, why) => this.#noteJump(from, to, why, signal),
        ranDry: () => { if (!isLive && this.#shown?.us > nowUs() - NEAR_NOW_US && !signal.aborted) this.#catchUp(); },
        waiting: (is) => { if (!signal.aborted) this.#listener.waiting(is); },
        ended: () => {
          listener.over();
          resolve();
        },
        failed: (problem) => {
          listener.over();
          reject(problem);
        },
      };
      if (signal.aborted) {
        resolve();
        return;
      }
      const film = new (isFilm ? Film : Jpegs)(response, { isLive, speed: this.#speed, fromUs, listener });
      this.#film = film;
      const stop = () => {
        film.stop();
        resolve();
      };
      signal.addEventListener('abort', stop);
      listener.over = () => signal.removeEventListener('abort', stop);
    });
  }

  /** Who has played up to now sees on what is recorded now. */
  #catchUp() {
    this.#speed = 1;
    this.#stream(null, 'live');
  }

  /** The first frame may be far behind the moment that was asked for. */
  #noteBegin(response, fromUs, signal) {
    const firstUs = Number(response.headers.get('X-Captured-Us'));
    if (fromUs !== null && firstUs - fromUs > HOLE_US) this.#noteHole(fromUs, firstUs, signal);
  }

  #noteHole(fromUs, toUs, signal) {
    holeBetween(this.#camera, fromUs, toUs, signal).then((why) => why && this.#noteJump(fromUs, toUs, why, signal), () => {});
  }

  #noteJump(fromUs, toUs, why, signal) {
    if (!signal.aborted) this.#listener.note(`Jumped over ${duration(toUs - fromUs)} without footage (${why})`);
  }
}

/** Ends early, without an error, when it is no longer of interest. */
function sleep(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
