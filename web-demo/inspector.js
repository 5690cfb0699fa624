// The protocol as it passes: frames in and out, and what each would weigh in the three encodings.

import { byId, element, framed, READABLE_MS, setText } from './dom.js';
import { bytes, clockWithMilliseconds, count } from './format.js';
import { createMemory, describeFrame, isNoise, remember, withoutSecrets } from './frames.js';
import { encode } from './msgpack.js';
import { frameSizes } from './wire_size.js';

const ROWS = 100;
const NOISY = new Set(['demo:ledger', 'demo:load', 'demo:stats']);
const SHOWN_BYTES = 6000; // of one frame's text

export function showInspector(connection) {
  const list = byId('frames');
  const noise = byId('frames-noise');
  const memory = createMemory();
  const frames = []; // newest first
  const totals = { in: 0, out: 0, inBytes: 0, outBytes: 0 };
  let lastId = 0;
  let selected = null;
  let isFollowing = true;
  let isPaused = false;

  function row(frame) {
    const button = element('button', {
      type: 'button', className: 'frame', dataset: { id: frame.id, direction: frame.direction },
      attributes: { 'aria-pressed': String(frame === selected) },
    },
    element('span', { className: 'frame-way' }, frame.direction),
    element('span', { className: 'frame-text' }, frame.text),
    element('span', { className: 'frame-size' }, bytes(frame.size)),
    element('span', { className: 'frame-time' }, clockWithMilliseconds(new Date(frame.at))));
    return element('li', {}, button);
  }

  function bar(name, value, longest, isThis) {
    return element('div', { className: 'size', dataset: { current: isThis } },
      element('dt', {}, name, isThis ? element('span', { className: 'unseen' }, ', as it was sent') : null),
      element('dd', {},
        element('meter', { min: 0, max: longest, value, attributes: { 'aria-label': `${name}: ${value} bytes` } }),
        element('span', { className: 'size-value' }, `${count(value)} B`)));
  }

  function drawDetail() {
    byId('frame-empty').hidden = selected !== null;
    byId('frame-detail').hidden = selected === null;
    if (!selected) return;
    const sizes = frameSizes(selected, encode);
    const longest = Math.max(sizes.json, sizes.protobuf, sizes.msgpack);
    const way = selected.encoding === 'msgpack' ? 'msgpack' : 'json';
    byId('frame-sizes').replaceChildren(
      bar('JSON', sizes.json, longest, way === 'json'),
      bar('Protobuf', sizes.protobuf, longest, false),
      bar('MessagePack', sizes.msgpack, longest, way === 'msgpack'));
    const text = selected.messages.map((message) => JSON.stringify(withoutSecrets(message), null, 2)).join('\n');
    byId('frame-json').textContent = text.length > SHOWN_BYTES
      ? `${text.slice(0, SHOWN_BYTES)}\n… and ${count(text.length - SHOWN_BYTES)} characters more` : text;
    setText(byId('frame-title'), `${selected.direction === 'out' ? 'Sent' : 'Received'}: ${selected.text}`);
  }

  // Only what is new: at a high rate most frames are counted and not listed, and the list stays as it is.
  let drawnId = 0;
  function drawList() {
    const fresh = frames.filter(({ id }) => id > drawnId);
    if (fresh.length === 0) return;
    drawnId = fresh[0].id;
    list.prepend(...fresh.map(row));
    while (list.children.length > ROWS) list.lastChild.remove();
    byId('frames-empty').hidden = true;
  }

  const press = (frame, isPressed) =>
    list.querySelector(`[data-id="${frame?.id}"]`)?.setAttribute('aria-pressed', String(isPressed));

  let drawnSelection = null;
  const draw = framed(() => {
    setText(byId('frames-out'), `${count(totals.out)} out, ${bytes(totals.outBytes)}`);
    setText(byId('frames-in'), `${count(totals.in)} in, ${bytes(totals.inBytes)}`);
    if (!isPaused) drawList();
    if (drawnSelection !== selected) {
      press(drawnSelection, false);
      press(selected, true);
      drawnSelection = selected;
      drawDetail();
    }
  }, READABLE_MS);

  connection.on('frame', (frame) => {
    totals[frame.direction] += 1;
    totals[`${frame.direction}Bytes`] += frame.size;
    remember(memory, frame);
    if (isPaused || (!noise.checked && isNoise(frame.messages, NOISY, memory))) {
      draw();
      return;
    }
    lastId += 1;
    const kept = {
      ...frame, id: lastId, text: describeFrame(frame, memory), encoding: connection.encoding,
      messages: structuredClone(frame.messages), // the SDK goes on to rename what is in them
    };
    frames.unshift(kept);
    frames.length = Math.min(frames.length, ROWS);
    // Until somebody picks one, the last that is more than a ping.
    if (isFollowing && kept.size > 80) selected = kept;
    draw();
  });

  list.addEventListener('click', (event) => {
    const button = event.target.closest('.frame');
    if (!button) return;
    selected = frames.find(({ id }) => id === Number(button.dataset.id)) ?? selected;
    isFollowing = false;
    draw();
  });
  byId('frames-pause').addEventListener('click', (event) => {
    isPaused = !isPaused;
    isFollowing = !isPaused;
    event.currentTarget.setAttribute('aria-pressed', String(isPaused));
    draw();
  });
  byId('encoding').addEventListener('change', (event) => connection.useEncoding(event.target.value));
}
