// The token that the recorder may want: kept for this tab only, and asked for once however many requests wait for it.

const KEY = 'framelog-token';

let asking = null;

/** The token that is known, or null. */
export const token = () => sessionStorage.getItem(KEY);

/** Waits until there is another token than the one that was refused. */
export async function tokenAfter(refused, signal) {
  if (token() !== refused) return;
  asking ??= askPerson(refused !== null).finally(() => { asking = null; });
  await asking;
  signal?.throwIfAborted();
}

function askPerson(isSecondTime) {
  const dialog = document.getElementById('token');
  const form = dialog.querySelector('form');
  const field = form.elements.token;
  if (isSecondTime) dialog.querySelector('[data-part=why]').textContent = 'That token does not hold. It is the one that [http] token of the configuration names.';
  field.value = '';
  dialog.showModal();
  return new Promise((resolve) => {
    // Without a token there is nothing to show: the question stays.
    let isGiven = false;
    dialog.onclose = () => { if (!isGiven) dialog.showModal(); };
    form.onsubmit = (event) => {
      event.preventDefault();
      const given = field.value.trim();
      // What no header field can hold is no token.
      const isPossible = /^[\x21-\x7e]+$/.test(given);
      field.setCustomValidity(isPossible ? '' : 'A token has letters, digits and signs of ASCII, and no blanks.');
      if (!field.reportValidity()) return;
      isGiven = true;
      sessionStorage.setItem(KEY, given);
      dialog.close();
      resolve();
    };
    field.oninput = () => field.setCustomValidity('');
  });
}
