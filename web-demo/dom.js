// Small helpers around the document.

export const byId = (id) => document.getElementById(id);

// element('p', { className: 'hint', dataset: { kind: 'x' } }, 'text', otherNode)
export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  const { dataset, attributes, ...rest } = properties;
  Object.assign(node, rest);
  Object.assign(node.dataset, dataset);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Written only when it changes: live regions are read out once per change.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// For numbers: nobody reads more than ten a second, and each costs a layout.
export const READABLE_MS = 100;

// Runs `draw` at most once a frame and once in `everyMs`, however often it is asked for.  Hidden pages get
// no frames: what is drawn is made from counts that went on, so nothing is missing afterwards.
export function framed(draw, everyMs = 0) {
  let isAsked = false;
  let drawnAt = -Infinity;
  const atNextFrame = () => requestAnimationFrame(() => {
    isAsked = false;
    drawnAt = performance.now();
    draw();
  });
  return () => {
    if (isAsked) return;
    isAsked = true;
    const early = drawnAt + everyMs - performance.now();
    if (early > 0) setTimeout(atNextFrame, early);
    else atNextFrame();
  };
}

// The clipboard is there on https and on this machine only; elsewhere the text is selected.
export async function copyText(node) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return false;
  }
}

// Buttons with data-copies="id of what is copied".
export function enableCopyButtons(root) {
  for (const button of root.querySelectorAll('button[data-copies]')) {
    const label = button.firstChild;
    const before = label.data;
    let timer = 0;
    button.addEventListener('click', async () => {
      label.data = await copyText(byId(button.dataset.copies)) ? 'Copied' : 'Press Ctrl-C';
      clearTimeout(timer);
      timer = setTimeout(() => { label.data = before; }, 2000);
    });
  }
}
