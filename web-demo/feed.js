// The list of events: newest first, at most 200 rows, drawn at most once a frame.
//
// An arriving event costs a slot in an array and two additions; everything else happens when the
// list is drawn.  Rows are made once and then move from the end to the front.  A draw that took
// long delays the next one, so that drawing never takes more than a quarter of the time: under a
// flood the list skips events, the counters do not.

const ROWS_MAX = 200;
const TEXT_MAX = 400;
const FIELDS_MAX = 8;
const BUSY_FACTOR = 3; // idle at least this many times as long as the last draw took
const RATE_WINDOW_MS = 2000;
const RATE_STEP_MS = 250;

const clockFormat = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hour12: false,
});
const numberFormat = new Intl.NumberFormat('en');

export function createFeed(elements) {
  const { list, empty, total, rate, note, pause, clear } = elements;
  let waiting = []; // not drawn yet, oldest first
  let count = 0;
  let isScheduled = false;
  let notBefore = 0;
  let isPaused = false;

  const schedule = () => {
    if (isScheduled) return;
    isScheduled = true;
    const delay = notBefore - performance.now();
    if (delay > 0) setTimeout(() => requestAnimationFrame(draw), delay);
    else requestAnimationFrame(draw);
  };

  const draw = () => {
    const begin = performance.now();
    isScheduled = false;
    total.textContent = numberFormat.format(count);
    if (!isPaused) drawRows();
    notBefore = begin + (performance.now() - begin) * (BUSY_FACTOR + 1);
  };

  const drawRows = () => {
    const fresh = waiting.slice(-ROWS_MAX).reverse();
    waiting = [];
    if (fresh.length === 0) return;
    const rows = document.createDocumentFragment();
    for (const event of fresh) {
      const row = list.childElementCount + rows.childElementCount < ROWS_MAX
        ? createRow() : list.lastElementChild;
      fillRow(row, event);
      rows.append(row);
    }
    list.prepend(rows);
    list.hidden = false;
    empty.hidden = true;
  };

  const showNote = () => {
    const hidden = isPaused ? Math.min(waiting.length, ROWS_MAX) : 0;
    note.textContent = isPaused
      ? `Paused: ${hidden === ROWS_MAX ? 'at least ' : ''}${hidden} more to show; counting goes on.`
      : `Newest first; the last ${ROWS_MAX} stay.`;
  };

  pause.addEventListener('click', () => {
    isPaused = !isPaused;
    pause.setAttribute('aria-pressed', String(isPaused));
    showNote();
    schedule();
  });
  clear.addEventListener('click', () => {
    list.replaceChildren();
    waiting = [];
    list.hidden = true;
    empty.hidden = false;
    showNote();
  });

  const samples = []; // [time, count] over the last RATE_WINDOW_MS
  setInterval(() => {
    const now = performance.now();
    samples.push([now, count]);
    while (samples.length > 2 && now - samples[0][0] > RATE_WINDOW_MS) samples.shift();
    const [since, before] = samples[0];
    const text = now > since ? formatRate((count - before) / (now - since) * 1000) : '0';
    if (rate.textContent !== text) rate.textContent = text;
    if (isPaused) showNote();
  }, RATE_STEP_MS);

  return {
    add(event) {
      count += 1;
      waiting.push({ ...event, number: count, at: Date.now() });
      // A hidden page draws no frames: what nobody will see is dropped here.
      if (waiting.length > 2 * ROWS_MAX) waiting = waiting.slice(-ROWS_MAX);
      schedule();
    },
  };
}

function formatRate(perSecond) {
  if (perSecond === 0) return '0';
  return perSecond < 10 ? perSecond.toFixed(1) : numberFormat.format(Math.round(perSecond));
}

function createRow() {
  const row = document.createElement('li');
  for (const name of ['number', 'time', 'channel', 'data']) {
    const cell = document.createElement(name === 'time' ? 'time' : 'span');
    cell.className = name;
    row.append(cell);
  }
  return row;
}

function fillRow(row, event) {
  const [number, time, channel, data] = row.children;
  number.textContent = numberFormat.format(event.number);
  time.textContent = clockFormat.format(event.at);
  channel.textContent = event.channel;
  row.classList.toggle('from-here', event.note !== undefined);
  const fields = flatFields(event.data);
  if (fields) data.replaceChildren(...fields.flatMap((field) => [createField(field), ' ']));
  else data.textContent = shorten(JSON.stringify(event.data) ?? 'nothing');
  if (event.note) {
    const note = document.createElement('span');
    note.className = 'note';
    note.textContent = event.note;
    data.append(note);
  }
}

// Small objects without objects inside read better as names and values than as JSON.
function flatFields(data) {
  if (data === null || typeof data !== 'object' || Array.isArray(data)) return null;
  const fields = Object.entries(data);
  const isFlat = fields.length > 0 && fields.length <= FIELDS_MAX &&
    fields.every(([, value]) => value === null || typeof value !== 'object');
  return isFlat ? fields : null;
}

function createField([name, value]) {
  const field = document.createElement('span');
  const key = document.createElement('span');
  const text = document.createElement('span');
  field.className = 'field';
  key.className = 'key';
  text.className = 'value';
  key.textContent = shorten(name);
  text.textContent = shorten(typeof value === 'string' ? value : JSON.stringify(value));
  field.append(key, ' ', text);
  return field;
}

function shorten(text) {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}
