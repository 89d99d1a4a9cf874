// The one line at the top that says what is wrong. Each part of the page has its own entry, and takes it back when all is well.

const told = new Map();

/** Says it, or with null that it is over. */
export function tell(part, message) {
  if (message) told.set(part, message);
  else told.delete(part);
  const line = document.getElementById('problem');
  const [first = ''] = told.values();
  if (line.textContent !== first) line.textContent = first;
  line.hidden = !first;
}
