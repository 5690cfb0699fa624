// Two lines over a minute.  The canvas takes its colours from the page; what it shows is in a table too.

import uPlot from './uplot.js';

import { byId, element } from './dom.js';
import { milliseconds } from './format.js';


export function createChart(root) {
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const size = () => ({ width: root.clientWidth, height: root.clientHeight });
  let plot = null;

  const axis = (extra) => ({
    stroke: () => colour('--muted'), font: '12px "Liberation Sans", Arial, sans-serif',
    grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false }, ...extra,
  });

  function build(data) {
    plot = new uPlot({
      ...size(),
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: [-60, 0] }, y: { range: (_, low, high) => [0, Math.max(5, high * 1.15)] } },
      axes: [
        axis({ values: (_, ticks) => ticks.map((tick) => (tick === 0 ? 'now' : `${tick} s`)), space: 60, size: 34, gap: 10, grid: { show: false } }),
        axis({ values: (_, ticks) => ticks.map((tick) => `${tick} ms`), size: 56, gap: 10, space: 40 }),
      ],
      series: [
        {},
        { stroke: () => colour('--series-b'), width: 1.5, dash: [5, 4], points: { show: false } },
        { stroke: () => colour('--series-a'), width: 2, points: { show: false } },
      ],
    }, data, root);
    // The picture is described by the figures beside it and by the table.
    plot.root.setAttribute('aria-hidden', 'true');
  }

  new ResizeObserver(() => plot?.setSize(size())).observe(root);
  const repaint = () => plot?.redraw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
  byId('theme').addEventListener('change', repaint);

  return {
    draw({ seconds, p50, p99 }) {
      const data = [seconds, p99, p50];
      if (plot) plot.setData(data);
      else build(data);
    },
  };
}

// The same for those who cannot see it: every tenth second.
export function fillTable(body, { seconds, p50, p99, count }) {
  const rows = [];
  for (let i = 8; i < seconds.length; i += 10) {
    rows.push(element('tr', {},
      element('th', { scope: 'row' }, `${-seconds[i]} s ago`),
      element('td', {}, p50[i] === null ? '–' : milliseconds(p50[i])),
      element('td', {}, p99[i] === null ? '–' : milliseconds(p99[i])),
      element('td', {}, count[i].toLocaleString('en'))));
  }
  body.replaceChildren(...rows);
}
