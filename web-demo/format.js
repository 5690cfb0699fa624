// Numbers, money and times in words.  Pure.

const grouped = new Intl.NumberFormat('en');
const currencies = new Map();

export const count = (value) => grouped.format(value);

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function milliseconds(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
}

export function bytes(value) {
  if (value < 1000) return `${value} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let scaled = value;
  let unit = -1;
  do {
    scaled /= 1000;
    unit += 1;
  } while (scaled >= 999.5 && unit < units.length - 1);
  return `${scaled < 99.5 ? scaled.toFixed(1) : Math.round(scaled)} ${units[unit]}`;
}

// Whole numbers of the smallest unit; how many digits that has is the currency's affair.
export function money({ amount_minor: minor, currency }) {
  if (!currencies.has(currency)) {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency });
    currencies.set(currency,
      { format, scale: 10 ** format.resolvedOptions().maximumFractionDigits });
  }
  const { format, scale } = currencies.get(currency);
  return format.format(minor / scale);
}

const digits = (value, length = 2) => String(value).padStart(length, '0');

// By hand: toLocaleTimeString takes a hundred times as long.
export function clock(date) {
  return `${digits(date.getHours())}:${digits(date.getMinutes())}:${digits(date.getSeconds())}`;
}

export function clockWithMilliseconds(date) {
  return `${clock(date)}.${digits(date.getMilliseconds(), 3)}`;
}

export function ago(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 3) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

// "00-<trace>-<span>-<flags>" → the trace id, or null.
export function traceId(traceparent) {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent ?? '');
  return match ? match[1] : null;
}
