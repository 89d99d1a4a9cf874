// Which view the address asks for. Views show themselves; this only begins and ends them.

import * as address from './address.js';
import { CameraView } from './camera.js';
import { Overview } from './overview.js';

let view = null;
let shown; // the camera, or null for the overview

function route() {
  const { camera, atUs } = address.read();
  if (view && camera !== null && camera === shown) {
    view.goTo(atUs);
    return;
  }
  view?.close();
  const root = document.getElementById('view');
  root.className = camera === null ? 'overview' : 'camera';
  root.replaceChildren(document.getElementById(root.className).content.cloneNode(true));
  shown = camera;
  view = camera === null ? new Overview(root) : new CameraView(root, camera, atUs);
}

addEventListener('hashchange', route);
route();
