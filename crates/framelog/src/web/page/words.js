// Times and states as people read them, in the browser's local time. Not for times that a program reads: those are in addresses.

const two = (number) => String(number).padStart(2, '0');

const date = (us) => new Date(Math.floor(us / 1000));

/** `2026-11-22` */
export function dayOf(us) {
  const at = date(us);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** `10:02:11` */
export function secondOf(us) {
  const at = date(us);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `10:02` */
export const minuteOf = (us) => secondOf(us).slice(0, 5);

/** `10:02:11.123` */
export const millisecondOf = (us) => `${secondOf(us)}.${String(date(us).getMilliseconds()).padStart(3, '0')}`;

/** `+01:00`, as it was or will be then. */
export function zoneOf(us) {
  const minutes = -date(us).getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes < 0 ? '-' : '+'}${two(hours)}:${two(rest)}`;
}

/** `Sun 2026-11-22`, the weekday in the browser's language. */
export function weekdayOf(us) {
  return `${date(us).toLocaleDateString(undefined, { weekday: 'short' })} ${dayOf(us)}`;
}

/** The two largest units: `1 h 02 min`, `4.2 s`, `35 ms`. */
export function duration(us) {
  const seconds = Math.max(0, us) / 1e6;
  if (seconds < 1) return `${Math.floor(seconds * 1000)} ms`;
  if (seconds < 60) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (seconds < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (seconds < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor(whole / 3600) % 24)} h`;
}

/** `10:02:11`, with the day where that is not the other one's. */
export const timeBeside = (us, otherUs) => (dayOf(us) === dayOf(otherUs) ? secondOf(us) : `${dayOf(us)} ${secondOf(us)}`);

/** `10:02:11 to 10:04:00 (1 min 49 s)`, with the days where they are two. */
export function span(fromUs, toUs) {
  return `${timeBeside(fromUs, toUs)} to ${timeBeside(toUs, fromUs)} (${duration(toUs - fromUs)})`;
}

/** `41 GB`, in powers of ten. */
export function bytes(count) {
  const names = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let at = 0;
  while (count >= 999.5 && at < names.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${count < 9.95 && at > 0 ? count.toFixed(1) : Math.round(count)} ${names[at]}`;
}

/** A gap's reason as words, with its detail. */
export function why(reason, detail) {
  return [reason?.replaceAll('_', ' '), detail].filter(Boolean).join(': ');
}

/** What a camera of /api/status is doing. */
export function state(camera, nowUs) {
  const since = camera.since_us === null ? '' : ` for ${duration(nowUs - camera.since_us)}`;
  switch (camera.state) {
    case 'recording': return 'recording';
    case 'missing': return `not recorded${since}: ${why(camera.reason, camera.detail) || 'no reason is known'}`;
    case 'frozen': return `the ${camera.frozen?.what ?? 'picture'} stands still${since}`;
    case 'disabled': return 'disabled in the configuration';
    default: return `no recorder runs${since}`;
  }
}

/** What `clock` of a frame means. */
export function clock(kind) {
  switch (kind) {
    case 'camera': return "by the camera's clock";
    case 'mapped': return "by the camera's clock, set right by the recorder's";
    case 'arrival': return 'as it arrived: the camera sends no time';
    default: return '';
  }
}
