// One frame from the recorder, ready to be drawn: a JPEG as it is, of H.264 and H.265 the last picture of a short film. Plays nothing.

import { Problem, bodyOf } from './api.js';
import { lastDecodedS, mediaType } from './mp4.js';

/**
 * `{us, receivedUs, clock, codec, blob, image, problem}` of an answer to `frame`. Whoever gets it closes `image`; where that is null, `problem` says why
 * there is nothing to be seen.
 */
export async function picture(response, signal) {
  const header = (name) => response.headers.get(name);
  const blob = await bodyOf(response, 'blob', signal);
  const codec = header('X-Codec') ?? '';
  const isFilm = (header('Content-Type') ?? '').startsWith('video/');
  const frame = { us: Number(header('X-Captured-Us')), receivedUs: Number(header('X-Received-Us')), clock: header('X-Clock'), codec, blob };
  try {
    return { ...frame, image: isFilm ? await lastPicture(blob, codec) : await jpeg(blob), problem: null };
  } catch (error) {
    if (error.kind !== 'unshowable') throw error;
    return { ...frame, image: null, problem: error.message };
  }
}

/** A JPEG as an image; torn ones may be none. */
export async function jpeg(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    throw new Problem('unshowable', "This frame can't be shown: the camera sent it damaged.");
  }
}

/** Draws an image, the canvas taking its shape, and its size up to that width. */
export function draw(canvas, image, widthMax = Infinity) {
  const [fullWidth, fullHeight] = [image.videoWidth ?? image.width, image.videoHeight ?? image.height];
  const width = Math.min(fullWidth, widthMax);
  const height = Math.round((fullHeight * width) / fullWidth);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext('2d').drawImage(image, 0, 0, width, height);
}

/** What to say where the browser has no decoder. */
export function unshowable(codec) {
  const name = { h264: 'H.264', h265: 'H.265' }[codec] ?? codec;
  return new Problem('unshowable', `This browser can't show ${name}. Save the span and play it elsewhere, or use another browser.`);
}

/** The picture that a film was made for: the last one that is decoded. */
async function lastPicture(blob, codec) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const type = mediaType(bytes);
  const video = document.createElement('video');
  if (!type || !video.canPlayType(type)) throw unshowable(codec);
  const url = URL.createObjectURL(blob);
  try {
    const at = lastDecodedS(bytes);
    const loaded = happens(video, 'loadeddata');
    const presented = presents(video, at);
    Object.assign(video, { muted: true, playsInline: true, preload: 'auto', src: url });
    await loaded;
    if (at > SAME_S) video.currentTime = at + SAME_S / 2;
    await presented;
    return await createImageBitmap(video);
  } catch {
    throw unshowable(codec);
  } finally {
    URL.revokeObjectURL(url);
    video.removeAttribute('src');
    video.load();
  }
}

/** Times that differ by less are of the same picture. */
const SAME_S = 0.001;

/** A browser that doesn't say when a picture is there has it by then. */
const PRESENTED_MS = 5000;

/** Waits until this picture is there to be drawn: `seeked` comes before that. */
function presents(video, at) {
  return new Promise((resolve, reject) => {
    video.addEventListener('error', () => reject(video.error), { once: true });
    const look = () => video.requestVideoFrameCallback((_, { mediaTime }) => {
      if (Math.abs(mediaTime - at) < SAME_S) resolve();
      else look();
    });
    look();
    setTimeout(resolve, PRESENTED_MS);
  });
}

/** Waits for an event; an `error` ends the waiting. */
function happens(video, event) {
  return new Promise((resolve, reject) => {
    video.addEventListener(event, resolve, { once: true });
    video.addEventListener('error', () => reject(video.error), { once: true });
  });
}
