// What each test's own script stands on: it drives the page as a person does, looks at what it shows, and says what it saw.

let said = Promise.resolve();

/** Tells the test, one thing after the other. What begins with `now` is only for when it fails. */
const say = (what) => { said = said.then(() => fetch(`/said?${encodeURIComponent(what)}`)); };

/** Waits until something is so; how long that may take the test says. */
async function until(what, found) {
  say(`now waiting until ${what}`);
  for (;;) {
    const it = found();
    if (it) return it;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const part = (name) => document.querySelector(`#view [data-part="${name}"]`);
const press = (key) => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

/** Capture time of the frame that is shown, or 0. */
const shownUs = () => Number(part('time')?.dataset.us ?? 0);

/** A moment as an address has it: local time and its zone. */
function local(us) {
  const at = new Date(us / 1000);
  const minutes = -at.getTimezoneOffset();
  const two = (number) => String(Math.floor(number)).padStart(2, '0');
  const zone = `${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  return new Date(at.getTime() + minutes * 60000).toISOString().replace('Z', zone);
}

/** The picture of a canvas: its colours, or nothing where nothing was drawn. */
function colours(canvas) {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data[3] === 255 ? data.join() : '';
}

addEventListener('error', (event) => say(`failed: ${event.message}`));
addEventListener('unhandledrejection', (event) => say(`failed: ${event.reason?.stack ?? event.reason}`));
addEventListener('securitypolicyviolation', (event) => say(`failed: the policy forbids ${event.violatedDirective} ${event.blockedURI}`));
