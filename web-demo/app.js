// Loads the page's parts.  When one is not there, such as a package that was not copied, it says so.

import { byId } from './dom.js';

try {
  const { start } = await import('./page.js');
  start();
} catch (error) {
  byId('status').dataset.state = 'broken';
  byId('state-name').textContent = 'Not working';
  byId('state-detail').textContent = 'A script of this page is missing.';
  byId('broken').hidden = false;
  byId('broken-reason').textContent = error.message;
}
