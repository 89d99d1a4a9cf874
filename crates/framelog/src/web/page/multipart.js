// Cuts the recorder's multipart/x-mixed-replace into frames: bytes in, frames out. Only for what the recorder sends: every part has a length.

const decoder = new TextDecoder('latin1');

/** More than a head ever has: what comes is something else. */
const HEAD_MAX = 16384;

export class Parts {
  #held = new Uint8Array(0);

  /** Takes bytes; yields `{us, clock, blob}` for each frame that is whole now. */
  *take(bytes) {
    this.#held = joined(this.#held, bytes);
    let at = 0;
    for (;;) {
      const end = endOfHead(this.#held, at);
      if (end < 0) {
        if (this.#held.length - at > HEAD_MAX) throw new Error('no multipart');
        break;
      }
      const head = decoder.decode(this.#held.subarray(at, end));
      const length = Number(field(head, 'content-length'));
      if (!Number.isSafeInteger(length)) throw new Error('a part without a length');
      if (this.#held.length < end + length) break;
      const payload = this.#held.slice(end, end + length);
      at = end + length;
      yield {
        us: microseconds(field(head, 'x-timestamp')),
        clock: field(head, 'x-clock'),
        blob: new Blob([payload], { type: 'image/jpeg' }),
      };
    }
    this.#held = this.#held.slice(at);
  }
}

function joined(first, second) {
  if (!first.length) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Behind the empty line, or -1. The delimiter before a head, and the line end before that, are read as lines of it. */
function endOfHead(bytes, from) {
  // The line end behind the payload before is no empty line.
  while (bytes[from] === 13 || bytes[from] === 10) from += 1;
  const last = Math.min(bytes.length - 3, from + HEAD_MAX);
  for (let at = from; at < last; at += 1) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at + 4;
  }
  return -1;
}

function field(head, name) {
  const line = head.split('\r\n').find((text) => text.toLowerCase().startsWith(`${name}:`));
  return line ? line.slice(name.length + 1).trim() : null;
}

/** `1700000000.123456` without the loss that a fraction would suffer. */
function microseconds(text) {
  const [seconds, fraction = ''] = (text ?? '').split('.');
  return Number(seconds) * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6));
}
