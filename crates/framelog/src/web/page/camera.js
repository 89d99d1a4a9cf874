// The view of one camera: joins the player, the timeline, the controls and the address. What each of them does is in its own file.

import * as address from './address.js';
import { ask, askJson, bodyOf, nowUs, pathOf } from './api.js';
import { footageOf } from './footage.js';
import { Player } from './player.js';
import { tell } from './problems.js';
import { Timeline } from './timeline.js';
import { token } from './token.js';
import { clock, dayOf, millisecondOf, secondOf, span, state, weekdayOf } from './words.js';

const STATUS_MS = 3000;

/** The address and what a screen reader is told change no more often than this while it plays. */
const ADDRESS_MS = 3000;
const NOTE_MS = 6000;
const TEN_SECONDS_US = 10e6;

export class CameraView {
  #camera;
  #parts;
  #player;
  #timeline;
  #status = null; // of this camera; undefined if the recorder has none of this name
  #isAsking = false;
  #statusTimer;
  #noteTimer = 0;
  #addressMs = -Infinity;
  #marks = { fromUs: null, toUs: null };
  #closing = new AbortController();

  constructor(root, camera, atUs) {
    this.#camera = camera;
    this.#parts = Object.fromEntries([...root.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
    this.#parts.name.textContent = camera;
    document.title = `${camera} – framelog`;
    this.#player = new Player(camera, this.#parts.canvas, {
      shown: (frame) => this.#shown(frame),
      changed: () => this.#changed(),
      note: (text) => this.#note(text),
      missing: (text) => this.#missing(text),
      problem: (text) => tell('player', text),
      nothing: () => this.#nothing(),
      waiting: (is) => { this.#parts.instead.textContent = is ? 'Waiting for pictures…' : ''; },
    });
    this.#timeline = new Timeline(this.#parts.track, (fromUs, toUs, signal) => footageOf(camera, fromUs, toUs, signal), {
      go: (us) => this.#go(us),
      viewed: (words) => { this.#parts.day.textContent = words; },
      told: (words) => { this.#parts.told.textContent = words; },
      problem: (error) => tell('timeline', error && error.kind !== 'none' ? error.message : null),
    });
    this.#connect();
    this.#refresh();
    this.#statusTimer = setInterval(() => this.#refresh(), STATUS_MS);
    if (atUs === null) this.#player.live();
    else this.#go(atUs);
  }

  close() {
    this.#closing.abort();
    clearInterval(this.#statusTimer);
    clearTimeout(this.#noteTimer);
    this.#player.close();
    this.#timeline.close();
    for (const part of ['player', 'timeline', 'status', 'unknown', 'save']) tell(part, null);
  }

  /** Another address of the same camera. */
  goTo(atUs) {
    if (atUs === null) this.#player.live();
    else this.#go(atUs);
  }

  #go(us) {
    this.#timeline.position(us, true);
    return this.#player.seek(us);
  }

  #connect() {
    const { signal } = this.#closing;
    const player = this.#player;
    const on = (part, event, act) => this.#parts[part].addEventListener(event, act, { signal });
    on('play', 'click', () => this.#toggle());
    on('back10', 'click', () => player.skip(-TEN_SECONDS_US));
    on('on10', 'click', () => player.skip(TEN_SECONDS_US));
    on('back1', 'click', () => player.step(-1));
    on('on1', 'click', () => player.step(1));
    on('live', 'click', () => player.live());
    on('speed', 'change', () => { player.speed = Number(this.#parts.speed.value); });
    on('day-back', 'click', () => this.#timeline.day(-1));
    on('day-on', 'click', () => this.#timeline.day(1));
    on('whole-day', 'click', () => this.#timeline.day());
    on('closer', 'click', () => this.#timeline.zoom(0.5));
    on('wider', 'click', () => this.#timeline.zoom(2));
    on('go', 'submit', (event) => {
      event.preventDefault();
      const ms = Date.parse(this.#parts.when.value);
      if (!Number.isNaN(ms)) this.#go(ms * 1000);
    });
    on('save-picture', 'click', () => this.#savePicture());
    on('mark-from', 'click', () => this.#mark('fromUs'));
    on('mark-to', 'click', () => this.#mark('toUs'));
    on('save-span', 'click', (event) => this.#saveSpan(event));
    document.addEventListener('keydown', (event) => this.#key(event), { signal });
    document.addEventListener('visibilitychange', () => (document.hidden ? player.suspend() : player.resume()), { signal });
  }

  #toggle() {
    if (!this.#player.isPlaying) {
      this.#player.play();
      return;
    }
    this.#player.pause();
    this.#keepAddress(true);
  }

  #key(event) {
    const isTaken = event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.('input, select, textarea, dialog');
    const presses = event.key === ' ' && event.target.closest?.('button, a');
    if (isTaken || presses) return;
    const act = {
      ' ': () => this.#toggle(),
      ArrowLeft: () => this.#player.skip(-TEN_SECONDS_US),
      ArrowRight: () => this.#player.skip(TEN_SECONDS_US),
      ',': () => this.#player.step(-1),
      '.': () => this.#player.step(1),
      l: () => this.#player.live(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // What the player tells

  #shown(frame) {
    const { us } = frame;
    this.#parts.time.textContent = `${weekdayOf(us)} ${millisecondOf(us)}`;
    this.#parts.time.dataset.us = us;
    this.#parts.clock.textContent = clock(frame.clock);
    this.#parts.instead.textContent = '';
    this.#timeline.position(us, !this.#player.isPlaying);
    this.#keepAddress(false);
  }

  #changed() {
    // The address is another view's already.
    if (this.#closing.signal.aborted) return;
    const { isPlaying, isLive, speed } = this.#player;
    this.#parts.play.textContent = isPlaying ? 'Pause' : 'Play';
    this.#parts.live.setAttribute('aria-pressed', isLive);
    this.#parts.speed.value = String(speed);
    if (isLive) this.#keepAddress(true);
  }

  #keepAddress(isNow) {
    const { isPlaying, isLive, shown } = this.#player;
    const ms = performance.now();
    if (isPlaying && !isNow && ms - this.#addressMs < ADDRESS_MS) return;
    this.#addressMs = ms;
    if (isLive) address.keep(address.of(this.#camera, null));
    if (!shown) return;
    if (!isLive) address.keep(address.of(this.#camera, shown.us, !isPlaying));
    this.#parts.time.dateTime = new Date(Math.floor(shown.us / 1000)).toISOString();
    this.#parts.canvas.setAttribute('aria-label', `Picture of ${this.#camera}, ${weekdayOf(shown.us)} ${secondOf(shown.us)}`);
    if (document.activeElement !== this.#parts.when) this.#parts.when.value = `${dayOf(shown.us)}T${secondOf(shown.us)}`;
  }

  #note(text) {
    clearTimeout(this.#noteTimer);
    this.#parts.note.textContent = text;
    this.#parts.note.hidden = !text;
    if (text) this.#noteTimer = setTimeout(() => this.#note(''), NOTE_MS);
  }

  #missing(text) {
    this.#parts.gap.textContent = text ?? '';
    this.#parts.gap.hidden = !text;
  }

  #nothing() {
    const isUnknown = this.#status === undefined;
    this.#parts.instead.textContent = isUnknown ? '' : 'No footage yet';
    if (isUnknown) this.#unknown();
  }

  // What the recorder says of the camera

  async #refresh() {
    if (document.hidden || this.#isAsking) return;
    this.#isAsking = true;
    try {
      const { cameras } = await askJson('/api/status', this.#closing.signal);
      const before = this.#status;
      this.#status = cameras.find((camera) => camera.name === this.#camera);
      tell('status', null);
      if (this.#status) {
        this.#parts.state.textContent = state(this.#status, nowUs());
        this.#parts.state.dataset.state = this.#status.state;
        if (before === undefined) tell('unknown', null);
      } else {
        this.#parts.state.textContent = 'not in the configuration';
        this.#parts.state.dataset.state = 'disabled';
        if (!this.#player.shown) this.#unknown();
      }
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      tell('status', error.message);
      this.#parts.state.textContent = 'unknown: the recorder does not answer';
      this.#parts.state.dataset.state = 'disabled';
    } finally {
      this.#isAsking = false;
    }
  }

  #unknown() {
    tell('unknown', `This recorder has no camera “${this.#camera}” and no footage of one: look in the overview for what there is.`);
  }

  // Saving

  #savePicture() {
    const { shown } = this.#player;
    if (!shown) return;
    const name = fileName(this.#camera, shown.us);
    if (shown.codec === 'mjpeg' && shown.blob) save(shown.blob, `${name}.jpg`);
    else if (shown.problem) save(shown.blob, `${name}.mp4`); // for a player that can show it
    else this.#parts.canvas.toBlob((blob) => save(blob, `${name}.png`), 'image/png');
  }

  #mark(which) {
    const { shown } = this.#player;
    if (!shown) return;
    this.#marks[which] = shown.us;
    let { fromUs, toUs } = this.#marks;
    if (fromUs !== null && toUs !== null && fromUs > toUs) {
      // What was marked last is meant.
      this.#marks[which === 'fromUs' ? 'toUs' : 'fromUs'] = null;
      ({ fromUs, toUs } = this.#marks);
    }
    this.#timeline.mark(fromUs, toUs);
    const isWhole = fromUs !== null && toUs !== null;
    this.#parts.marks.textContent = isWhole ? span(fromUs, toUs) : fromUs !== null ? `from ${secondOf(fromUs)}` : `to ${secondOf(toUs)}`;
    const link = this.#parts['save-span'];
    link.hidden = !isWhole;
    if (!isWhole) return;
    // The last frame belongs to it.
    link.title = `A film with each picture's own time, on the recorder: framelog export ${this.#camera} --from ${fromUs} --to ${toUs + 1} -o FILE.mp4`;
    link.href = pathOf(this.#camera, 'stream', { from_us: fromUs, to_us: toUs + 1 });
    link.download = `${fileName(this.#camera, fromUs)}.${shown.codec === 'mjpeg' ? 'mjpeg' : 'mp4'}`;
  }

  /** A link sends no token: with one the span is fetched here. */
  async #saveSpan(event) {
    if (token() === null) return;
    event.preventDefault();
    const link = event.currentTarget;
    const { href, download } = link;
    link.textContent = 'Saving…';
    try {
      const response = await ask(href, this.#closing.signal, null);
      save(await bodyOf(response, 'blob', this.#closing.signal), download);
      tell('save', null);
    } catch (error) {
      if (error.name !== 'AbortError') tell('save', `The span was not saved: ${error.message}`);
    }
    link.textContent = 'Save this span';
  }
}

/** `gate_2026-11-22_10-02-11.123`: a name that every file system takes. */
const fileName = (camera, us) => `${camera}_${dayOf(us)}_${millisecondOf(us).replaceAll(':', '-')}`;

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // It has been taken by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
