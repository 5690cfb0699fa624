// Which of the things that happened, in which language.

import { byId, element, enableCopyButtons } from './dom.js';
import { snippets, titleOf } from './snippets.js';

const LANGUAGES = ['javascript', 'c', 'shell', 'redis'];
const KEPT = 5;

export function showSnippets(place) {
  const chooser = byId('snippet-action');
  const tabs = [...byId('snippet-tabs').querySelectorAll('[role="tab"]')];
  const code = byId('snippet-code');
  const note = byId('snippet-note');
  let actions = [{ kind: 'subscribe', channel: 'market:ticker' }];
  let current = actions[0];
  let language = LANGUAGES[0];

  function draw() {
    const { text, note: why } = snippets(current, place())[language];
    code.textContent = text ?? '';
    byId('snippet-box').hidden = !text;
    note.hidden = !why;
    note.textContent = why ?? '';
    byId('snippet-panel').setAttribute('aria-labelledby', `tab-${language}`);
    for (const tab of tabs) {
      const isCurrent = tab.dataset.language === language;
      tab.setAttribute('aria-selected', String(isCurrent));
      tab.tabIndex = isCurrent ? 0 : -1;
    }
  }

  function fill() {
    chooser.replaceChildren(...actions.map((action, index) =>
      element('option', { value: String(index), selected: action === current }, titleOf(action))));
  }

  chooser.addEventListener('change', () => {
    current = actions[Number(chooser.value)];
    draw();
  });
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener('click', () => {
      ({ language } = tab.dataset);
      draw();
    });
    tab.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      ({ language } = next.dataset);
      draw();
      next.focus();
    });
  }
  enableCopyButtons(byId('snippets'));
  fill();
  draw();
  return {
    happened(action) {
      const name = titleOf(action);
      actions = [action, ...actions.filter((other) => titleOf(other) !== name)].slice(0, KEPT);
      current = action;
      fill();
      draw();
    },
    // Without being what one sees first.
    noticed(action) {
      if (actions.some((other) => titleOf(other) === titleOf(action))) return;
      actions = [...actions, action].slice(0, KEPT);
      fill();
    },
    placeChanged: draw,
  };
}
