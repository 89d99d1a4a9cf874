// The timeline: footage, gaps and removals of a stretch of time, and where we are in it. Zooms and pans by itself, and asks for what it needs; where to go
// is for others to do.

import { nowUs } from './api.js';
import { gapInWords, removalInWords } from './footage.js';
import { duration, minuteOf, secondOf, span, weekdayOf } from './words.js';

const SECOND = 1e6;
const SPAN_MIN = 60 * SECOND;
const SPAN_MAX = 25 * 3600 * SECOND; // the longest day there is

/** Distances of ticks, in seconds; the first that leaves room for its labels is taken. */
const TICKS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600];
const TICK_PX = 70;

/** What is nearer to each other than this is drawn as one. */
const TOGETHER_PX = 2;
const GAP_PX_MIN = 3;
const SHARE_MIN = 0.2;

/** A pointer that moved less has clicked. */
const CLICK_PX = 4;

const LOAD_AFTER_MS = 150;
const GROW_MS = 4000;

export class Timeline {
  #track;
  #load;
  #listener;
  #view;
  #loaded = null; // {fromUs, toUs, footage, gaps, removals}
  #loading = null;
  #loadTimer = 0;
  #growTimer;
  #positionUs = null;
  #marks = [null, null];
  #layer = part('div', 'layer');
  #cursor = part('div', 'cursor');
  #isDrawn = false;
  #pressed = null;
  #resized = new ResizeObserver(() => this.#redraw());

  /** `load(fromUs, toUs, signal)` gives footage, gaps and removals. `listener`: `go(us)`, `viewed(words)`, `told(words)`, `problem(error or null)`. */
  constructor(track, load, listener) {
    this.#track = track;
    this.#load = load;
    this.#listener = listener;
    this.#cursor.tabIndex = 0;
    this.#cursor.setAttribute('role', 'slider');
    this.#cursor.setAttribute('aria-label', 'Position');
    track.append(this.#layer, this.#cursor);
    track.addEventListener('wheel', this.#wheel, { passive: false });
    track.addEventListener('pointerdown', this.#down);
    track.addEventListener('pointermove', this.#move);
    track.addEventListener('pointerup', this.#up);
    track.addEventListener('pointercancel', () => { this.#pressed = null; });
    track.addEventListener('pointerleave', () => { if (!this.#pressed) this.#listener.told(''); });
    this.#resized.observe(track);
    this.#growTimer = setInterval(() => this.#grow(), GROW_MS);
    this.#view = dayAround(nowUs());
    this.#want();
  }

  close() {
    clearInterval(this.#growTimer);
    clearTimeout(this.#loadTimer);
    this.#loading?.abort();
    this.#resized.disconnect();
  }

  /** Where we are. `reveals`: it is made visible; otherwise only followed where it was visible before. */
  position(us, reveals) {
    const wasVisible = this.#positionUs !== null && this.#has(this.#positionUs);
    this.#positionUs = us;
    if (!this.#has(us) && (reveals || wasVisible)) this.#reveal(us);
    else this.#place();
  }

  /** From and to of the span to save; null where there is none. */
  mark(fromUs, toUs) {
    this.#marks = [fromUs, toUs];
    this.#redraw();
  }

  /** In (less than 1) or out, around the position if it is visible. */
  zoom(factor, aroundUs = null) {
    const { fromUs, toUs } = this.#view;
    const visible = this.#positionUs !== null && this.#has(this.#positionUs) ? this.#positionUs : (fromUs + toUs) / 2;
    const around = aroundUs ?? visible;
    const length = Math.min(SPAN_MAX, Math.max(SPAN_MIN, (toUs - fromUs) * factor));
    const share = (around - fromUs) / (toUs - fromUs);
    this.#show(around - share * length, around + (1 - share) * length);
  }

  /** The whole day in the middle of what is shown, or so many days from it. */
  day(by = 0) {
    const { fromUs, toUs } = this.#view;
    const middle = new Date((fromUs + toUs) / 2000);
    middle.setDate(middle.getDate() + by);
    const day = dayAround(middle.getTime() * 1000);
    this.#show(day.fromUs, day.toUs);
  }

  #reveal(us) {
    const length = this.#view.toUs - this.#view.fromUs;
    if (length > 20 * 3600 * SECOND) {
      const day = dayAround(us);
      this.#show(day.fromUs, day.toUs);
    } else {
      this.#show(us - length / 5, us + (length * 4) / 5);
    }
  }

  #has = (us) => this.#view.fromUs <= us && us <= this.#view.toUs;

  #show(fromUs, toUs) {
    this.#view = { fromUs: Math.round(fromUs), toUs: Math.round(toUs) };
    this.#redraw();
    this.#want();
  }

  /** Asks for what is shown and as much again on both sides, once the view has come to rest. */
  #want(isForced = false) {
    const { fromUs, toUs } = this.#view;
    const isThere = this.#loaded && this.#loaded.fromUs <= fromUs && toUs <= this.#loaded.toUs;
    if (isThere && !isForced) return;
    clearTimeout(this.#loadTimer);
    this.#loadTimer = setTimeout(() => this.#fetch(), isForced ? 0 : LOAD_AFTER_MS);
  }

  async #fetch() {
    this.#loading?.abort();
    const loading = this.#loading = new AbortController();
    const { signal } = loading;
    const length = this.#view.toUs - this.#view.fromUs;
    const [fromUs, toUs] = [this.#view.fromUs - length, this.#view.toUs + length];
    try {
      const found = await this.#load(fromUs, toUs, signal);
      if (signal.aborted) return;
      this.#loaded = { ...found, fromUs, toUs };
      this.#listener.problem(null);
      this.#redraw();
    } catch (error) {
      // What is shown of now is asked for again soon anyway.
      if (!signal.aborted) {
        this.#listener.problem(error);
        this.#loadTimer = setTimeout(() => this.#fetch(), GROW_MS);
      }
    } finally {
      if (this.#loading === loading) this.#loading = null;
    }
  }

  #grow() {
    if (document.hidden || this.#loading) return;
    if (this.#has(nowUs())) this.#want(true);
    else this.#want();
  }

  // Drawing

  #redraw() {
    if (this.#isDrawn) return;
    this.#isDrawn = true;
    requestAnimationFrame(() => {
      this.#isDrawn = false;
      this.#draw();
    });
  }

  #usPerPx = () => (this.#view.toUs - this.#view.fromUs) / Math.max(1, this.#track.clientWidth);

  #draw() {
    const now = nowUs();
    const { footage = [], gaps = [], removals = [] } = this.#loaded ?? {};
    const focused = document.activeElement?.dataset?.gap;
    const pieces = [];
    for (const removal of this.#together(removals)) pieces.push(this.#bar('removed', removal));
    for (const stretch of this.#together(footage.map((one) => (one.recording ? { ...one, ended_us: Math.max(one.ended_us, now - SECOND) } : one)))) pieces.push(this.#bar('footage', stretch));
    for (const gap of this.#together(gaps)) pieces.push(this.#gap(gap));
    if (this.#has(now)) pieces.push(this.#bar('future', { started_us: now, ended_us: this.#view.toUs }));
    pieces.push(...this.#ticks(), ...this.#marked());
    this.#layer.replaceChildren(...pieces);
    if (focused) this.#layer.querySelector(`[data-gap="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.#place();
    this.#listener.viewed(this.#inWords());
  }

  /** Those in view; what can't be told apart at this zoom is one. */
  #together(stretches) {
    const { fromUs, toUs } = this.#view;
    const nearUs = this.#usPerPx() * TOGETHER_PX;
    const found = [];
    for (const one of stretches) {
      const endUs = one.ended_us ?? Math.max(nowUs(), one.started_us);
      if (endUs < fromUs || one.started_us > toUs) continue;
      const last = found.at(-1);
      if (last && one.started_us - last.ended_us < nearUs) {
        last.ended_us = Math.max(last.ended_us, endUs);
        last.all.push(one);
      } else {
        found.push({ started_us: one.started_us, ended_us: endUs, all: [one] });
      }
    }
    return found;
  }

  #bar(kind, { started_us: fromUs, ended_us: toUs, all }) {
    const bar = part('div', kind);
    this.#put(bar, fromUs, toUs);
    if (kind === 'removed') this.#tells(bar, all.length === 1 ? removalInWords(all[0]) : `Removed in ${all.length} parts, ${span(fromUs, toUs)}`);
    return bar;
  }

  #gap({ started_us: fromUs, ended_us: toUs, all }) {
    const gap = part('button', 'gap');
    const missingUs = all.reduce((sum, one) => sum + (one.ended_us ?? nowUs()) - one.started_us, 0);
    const words = all.length === 1 ? gapInWords(all[0]) : `${all.length} gaps, ${duration(missingUs)} in all, ${span(fromUs, toUs)}: ${reasons(all)}`;
    gap.dataset.gap = fromUs;
    gap.setAttribute('aria-label', words);
    this.#put(gap, fromUs, toUs);
    gap.style.minWidth = `${GAP_PX_MIN}px`;
    // Of many short ones that are drawn as one the height says how much is missing: there is footage between them.
    if (all.length > 1) gap.style.height = `calc(var(--bar) * ${Math.max(SHARE_MIN, Math.min(1, missingUs / (toUs - fromUs)))})`;
    this.#tells(gap, words);
    // With a pointer it is where that is that counts.
    gap.addEventListener('click', (event) => { if (event.detail === 0) this.#listener.go(fromUs); });
    return gap;
  }

  #tells(element, words) {
    element.dataset.words = words;
    element.addEventListener('focus', () => this.#listener.told(words));
    element.addEventListener('blur', () => this.#listener.told(''));
  }

  #ticks() {
    const stepUs = SECOND * (TICKS.find((seconds) => (seconds * SECOND) / this.#usPerPx() >= TICK_PX) ?? TICKS.at(-1));
    const pieces = [];
    const { fromUs, toUs } = this.#view;
    // From local midnight on, so that hours are whole ones.
    const midnight = dayAround(fromUs).fromUs;
    for (let us = midnight + Math.ceil((fromUs - midnight) / stepUs) * stepUs; us <= toUs; us += stepUs) {
      const tick = part('span', 'tick');
      tick.textContent = stepUs < 60 * SECOND ? secondOf(us) : minuteOf(us);
      tick.style.left = this.#percent(us);
      pieces.push(tick);
    }
    return pieces;
  }

  #marked() {
    const [fromUs, toUs] = this.#marks;
    if (fromUs !== null && toUs !== null) return [this.#bar('marked', { started_us: fromUs, ended_us: toUs })];
    return [fromUs, toUs].filter((us) => us !== null).map((us) => this.#bar('marked', { started_us: us, ended_us: us }));
  }

  #place() {
    const us = this.#positionUs;
    this.#cursor.hidden = us === null || !this.#has(us);
    if (us === null) return;
    this.#cursor.style.left = this.#percent(us);
    this.#cursor.setAttribute('aria-valuemin', this.#view.fromUs);
    this.#cursor.setAttribute('aria-valuemax', this.#view.toUs);
    this.#cursor.setAttribute('aria-valuenow', us);
    this.#cursor.setAttribute('aria-valuetext', secondOf(us));
  }

  #put(element, fromUs, toUs) {
    const [from, to] = [Math.max(fromUs, this.#view.fromUs), Math.min(toUs, this.#view.toUs)];
    element.style.left = this.#percent(from);
    element.style.width = `${(100 * Math.max(0, to - from)) / (this.#view.toUs - this.#view.fromUs)}%`;
  }

  #percent = (us) => `${(100 * (us - this.#view.fromUs)) / (this.#view.toUs - this.#view.fromUs)}%`;

  #inWords() {
    const { fromUs, toUs } = this.#view;
    const day = dayAround((fromUs + toUs) / 2);
    const name = weekdayOf((fromUs + toUs) / 2);
    return fromUs === day.fromUs && toUs === day.toUs ? name : `${name}, ${duration(toUs - fromUs)}`;
  }

  // Pointer and wheel

  #at(event) {
    const { left, width } = this.#track.getBoundingClientRect();
    return this.#view.fromUs + ((event.clientX - left) / Math.max(1, width)) * (this.#view.toUs - this.#view.fromUs);
  }

  #wheel = (event) => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.deltaX || event.deltaY) * this.#usPerPx();
      this.#show(this.#view.fromUs + by, this.#view.toUs + by);
    } else if (event.deltaY) {
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#at(event));
    }
  };

  #down = (event) => {
    if (event.button !== 0) return;
    this.#pressed = { x: event.clientX, view: this.#view, isPan: false };
    this.#track.setPointerCapture(event.pointerId);
  };

  #move = (event) => {
    const pressed = this.#pressed;
    if (!pressed) {
      const words = event.target.dataset?.words;
      const at = this.#at(event);
      this.#listener.told(words ? `${secondOf(at)} · ${words}` : secondOf(at));
      return;
    }
    const moved = event.clientX - pressed.x;
    pressed.isPan ||= Math.abs(moved) >= CLICK_PX;
    if (pressed.isPan) {
      const by = moved * this.#usPerPx();
      this.#show(pressed.view.fromUs - by, pressed.view.toUs - by);
    }
  };

  #up = (event) => {
    const pressed = this.#pressed;
    this.#pressed = null;
    if (pressed && !pressed.isPan) this.#listener.go(Math.round(this.#at(event)));
  };
}

/** The local day of a moment, from midnight to midnight. */
function dayAround(us) {
  const midnight = new Date(us / 1000);
  midnight.setHours(0, 0, 0, 0);
  const next = new Date(midnight);
  next.setDate(next.getDate() + 1);
  return { fromUs: midnight.getTime() * 1000, toUs: next.getTime() * 1000 };
}

function reasons(gaps) {
  return [...new Set(gaps.map((gap) => gap.reason.replaceAll('_', ' ')))].join(', ');
}

function part(element, kind) {
  const made = document.createElement(element);
  made.className = kind;
  if (element === 'button') made.type = 'button';
  return made;
}
