// The overview: a card for each camera, those that fail first, with its newest picture. Asks only for what is seen, and for few pictures at once.

import * as address from './address.js';
import { ask, askJson, nowUs, pathOf } from './api.js';
import { draw, picture } from './picture.js';
import { tell } from './problems.js';
import { bytes, duration, state } from './words.js';

const STATUS_MS = 2000;
const PICTURE_MS = 2000;

/** Over all cards: a browser opens some six connections, and the status needs one too. */
const PICTURES_AT_ONCE = 4;

/** Pixels of a card's picture: hundreds of cards must not hold hundreds of large pictures. */
const WIDTH_MAX = 640;

/** As `framelog status` has them. */
const ORDER = ['down', 'missing', 'frozen', 'recording', 'disabled'];

const STORAGE = {
  disk_full: 'The disk is full',
  read_only: 'The disk is read-only, nothing is recorded until it can be written',
  disk_fails: "The disk can't be written",
  disk_slow: 'The disk is too slow',
  gone: 'No storage, nothing is recorded until it is there',
};

export class Overview {
  #parts;
  #cards = new Map();
  #timer;
  #isAsking = false;
  #closing = new AbortController();
  #turns = new Turns(PICTURES_AT_ONCE);
  #seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) this.#cardOf(target)?.see(isIntersecting);
  }, { rootMargin: '100px' });

  constructor(root) {
    this.#parts = Object.fromEntries([...root.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
    document.title = 'framelog';
    this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), STATUS_MS);
    document.addEventListener('visibilitychange', () => this.#refresh(), { signal: this.#closing.signal });
  }

  close() {
    this.#closing.abort();
    clearInterval(this.#timer);
    this.#seen.disconnect();
    for (const card of this.#cards.values()) card.close();
    tell('status', null);
  }

  async #refresh() {
    for (const card of this.#cards.values()) card.wake();
    if (document.hidden || this.#isAsking) return;
    this.#isAsking = true;
    try {
      this.#show(await askJson('/api/status', this.#closing.signal));
      tell('status', null);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      tell('status', error.message);
      for (const card of this.#cards.values()) card.showUnknown();
    } finally {
      this.#isAsking = false;
    }
  }

  #show({ storage, cameras }) {
    const failing = cameras.filter((camera) => camera.state === 'missing' || camera.state === 'down').length;
    const room = storage.room ? `, ${bytes(storage.room.free_bytes)} of ${bytes(storage.room.disk_bytes)} free` : '';
    const count = cameras.length === 1 ? '1 camera' : `${cameras.length} cameras`;
    this.#parts.summary.textContent = `${count}${failing ? `, ${failing} not recorded` : ''}${room}`;
    this.#parts.empty.hidden = cameras.length > 0;
    this.#warn(storage);
    const sorted = [...cameras].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.name.localeCompare(b.name, undefined, { numeric: true }));
    const gone = new Set(this.#cards.keys());
    for (const camera of sorted) {
      gone.delete(camera.name);
      if (!this.#cards.has(camera.name)) this.#add(camera.name);
      this.#cards.get(camera.name).show(camera);
    }
    for (const name of gone) this.#remove(name);
    this.#arrange(sorted.map((camera) => this.#cards.get(camera.name).element));
  }

  #warn(storage) {
    const unkept = (storage.unkept ?? []).map(({ rule, camera, detail }) => `${rule}${camera ? ` of ${camera}` : ''} can't be kept: ${detail}`);
    const words = [[STORAGE[storage.state], storage.detail].filter(Boolean).join(': '), ...unkept].filter(Boolean).join('; ');
    this.#parts.storage.textContent = words;
    this.#parts.storage.hidden = !words;
  }

  #add(name) {
    const card = new Card(name, this.#turns);
    this.#cards.set(name, card);
    this.#parts.cards.append(card.element);
    this.#seen.observe(card.element);
  }

  #remove(name) {
    const card = this.#cards.get(name);
    this.#seen.unobserve(card.element);
    card.close();
    card.element.remove();
    this.#cards.delete(name);
  }

  /** Moves only what is out of place, so that focus and scrolling stay. */
  #arrange(elements) {
    elements.forEach((element, at) => {
      const there = this.#parts.cards.children[at];
      if (there !== element) this.#parts.cards.insertBefore(element, there);
    });
  }

  #cardOf = (element) => this.#cards.get(element.dataset.camera);
}

class Card {
  #camera;
  #turns;
  #parts;
  #status = null;
  #isSeen = false;
  #isRunning = false;
  #shownUs = null;
  #closing = new AbortController();

  constructor(camera, turns) {
    this.#camera = camera;
    this.#turns = turns;
    const content = document.getElementById('card').content.cloneNode(true);
    this.element = content.firstElementChild;
    this.element.dataset.camera = camera;
    this.#parts = Object.fromEntries([...this.element.querySelectorAll('[data-part]')].map((part) => [part.dataset.part, part]));
    this.#parts.link.href = address.of(camera, null);
    this.#parts.name.textContent = camera;
    this.#parts.canvas.setAttribute('aria-label', `Newest picture of ${camera}`);
  }

  close() { this.#closing.abort(); }

  show(camera) {
    this.#status = camera;
    this.element.dataset.state = camera.state;
    this.#parts.state.textContent = state(camera, nowUs());
    const numbers = [];
    const comes = ['recording', 'frozen'].includes(camera.state);
    if (comes && camera.fps !== null) numbers.push(`${camera.fps.toFixed(1)} fps`);
    // How long ago that is by this clock means something only where none comes: rates are of some seconds, and clocks differ.
    if (!comes && camera.last_captured_us !== null) numbers.push(`last frame ${duration(nowUs() - camera.last_captured_us)} ago`);
    this.#parts.numbers.textContent = numbers.join(', ');
    this.wake();
  }

  /** What was told last may be true no more. */
  showUnknown() {
    this.element.dataset.state = 'disabled';
    this.#parts.state.textContent = 'unknown: the recorder does not answer';
    this.#parts.numbers.textContent = '';
  }

  see(isSeen) {
    this.#isSeen = isSeen;
    this.wake();
  }

  /** Begins to ask for pictures if they would be seen; it ends by itself when they aren't. */
  async wake() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { signal } = this.#closing;
    while (this.#isWanted()) {
      const began = performance.now();
      await this.#turns.take(async () => { if (this.#isWanted()) await this.#refresh(signal); });
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, PICTURE_MS - (performance.now() - began))));
    }
    this.#isRunning = false;
  }

  #isWanted() {
    // Of a camera that has sent nothing since, the newest picture is there already.
    const isNew = this.#shownUs === null || this.#status?.last_captured_us !== this.#shownUs;
    return this.#isSeen && isNew && !document.hidden && !this.#closing.signal.aborted;
  }

  async #refresh(signal) {
    try {
      const found = await picture(await ask(pathOf(this.#camera, 'frame'), signal), signal);
      if (found.image) draw(this.#parts.canvas, found.image, WIDTH_MAX);
      found.image?.close();
      this.#shownUs = found.us;
      this.#parts.canvas.dataset.us = found.us;
      this.#parts.instead.textContent = found.problem ?? '';
    } catch (error) {
      if (signal.aborted) return;
      // That the recorder doesn't answer, the status says for all.
      if (error.kind === 'none') this.#parts.instead.textContent = 'No footage yet';
      else if (error.kind !== 'offline') this.#parts.instead.textContent = error.message;
    }
  }
}

/** So many at once; the others wait in their order. */
class Turns {
  #free;
  #waiting = [];

  constructor(count) { this.#free = count; }

  async take(act) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      await act();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
