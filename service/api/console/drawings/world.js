// The day around the world: UTC across, a row for each offset, and the instant of 09:00 sweeping over them from east to west.

import { to } from '../address.js';
import { city, clock, number, offset as offsetText, words } from '../format.js';
import { html } from '../html.js';
import { AsTable, useWidth } from '../parts.js';

const HOUR = 3_600_000;
const MINUTE = 60_000;
const NINE = 9 * 60; // minutes
const ROW = 21;
const HEAD = 34;

// The counts that a cell can have, in the order in which they are drawn, and in words.
export const PARTS = {
  sent: 'sent',
  sending: 'sending',
  waiting: 'waiting',
  held: 'held',
  retrying: 'retrying',
  late: 'late',
  unknown: 'unknown',
  failed: 'failed',
  expired: 'expired',
};
const LISTED = ['planned', ...Object.keys(PARTS), 'cancelled'];

// Greetings of one instant and offset are one bar, whatever their occasions.
function bars(cells) {
  const found = new Map();
  for (const cell of cells) {
    const name = `${cell.at} ${cell.offsetMinutes}`;
    const bar = found.get(name) || {
      at: Date.parse(cell.at),
      offset: cell.offsetMinutes,
      zones: new Set(),
      parts: {},
      planned: 0,
    };
    cell.timezones.forEach((zone) => bar.zones.add(zone));
    bar.planned += cell.planned;
    for (const part in PARTS) bar.parts[part] = (bar.parts[part] || 0) + cell[part];
    found.set(name, bar);
  }
  return [...found.values()].filter((bar) => bar.planned > 0);
}

// Every whole hour has a row, so that the slope of 09:00 is straight; half hours have one where somebody lives by them.
function rowsOf(all) {
  const offsets = new Set(all.map((bar) => bar.offset));
  for (let hour = -11; hour <= 14; hour += 1) offsets.add(hour * 60);
  return [...offsets].sort((one, other) => other - one);
}

// The rows between which an offset lies, as a distance from the first.
function place(rows, offset) {
  const below = rows.findIndex((row) => row <= offset);
  if (below <= 0) return below === 0 && rows[0] === offset ? 0 : null;
  return below - 1 + (rows[below - 1] - offset) / (rows[below - 1] - rows[below]);
}

const sentence = (bar) => {
  const parts = Object.entries(PARTS)
    .filter(([part]) => bar.parts[part])
    .map(([part, text]) => `${number(bar.parts[part])} ${text}`);
  return `${clock(bar.at)} UTC, ${offsetText(bar.offset)}, ${[...bar.zones].slice(0, 3).map(city).join(', ')}${bar.zones.size > 3 ? ' and others' : ''}: ${parts.join(', ')}`;
};

// The offset in which it is `minutes` o'clock at an instant: up to two, as the date line divides the world.
const offsetsAt = (now, minutes) => {
  const east = minutes - (Math.floor(now / MINUTE) % 1440);
  return [east - 1440, east, east + 1440].filter((one) => one >= -12 * 60 && one <= 14 * 60);
};

export function World({ cells, from, to: until, now, sendAt }) {
  const [element, width] = useWidth();
  const all = bars(cells);
  const rows = rowsOf(all);
  const narrow = width < 640;
  const left = narrow ? 54 : 168;
  const room = Math.max(60, width - left - (narrow ? 34 : 60));
  const x = (at) => left + ((at - from) / (until - from)) * room;
  const y = (row) => HEAD + row * ROW;
  const height = HEAD + rows.length * ROW + 6;
  const greatest = Math.max(1, ...all.map((bar) => bar.planned));
  const named = new Map(all.map((bar) => [bar.offset, [...bar.zones].map(city)]));
  const hours = [];
  for (let at = Math.ceil(from / HOUR) * HOUR; at <= until; at += HOUR * (narrow ? 6 : 3)) hours.push(at);
  return html`<figure class="world" ref=${element}>
    ${
      width > 0 &&
      html`<svg
        width=${width}
        height=${height}
        role="group"
        aria-label="Greetings by offset and time. The table below has the figures."
      >
        ${rows.map(
          (offset, row) =>
            html`<g key=${offset} class=${named.has(offset) ? 'row' : 'row nobody'}>
              <${Nights} ...${{ offset, from, until, x, top: y(row) }} />
              <text x="0" y=${y(row) + 14} class="offset">${offsetText(offset)}</text>
              ${!narrow && html`<text x="54" y=${y(row) + 14} class="city">${shortened(named.get(offset))}</text>`}
            </g>`,
        )}
        ${hours.map(
          (at) =>
            html`<g key=${at} class="hour"
              ><line x1=${x(at)} x2=${x(at)} y1=${HEAD - 5} y2=${height - 6} />
              <text x=${x(at)} y=${HEAD - 11} text-anchor="middle">${clock(at)}</text></g
            >`,
        )}
        <${Sweep} ...${{ rows, from, until, x, y, sendAt }} />
        ${all.map(
          (bar) =>
            html`<${Bar}
              key=${`${bar.at} ${bar.offset}`}
              bar=${bar}
              x=${x(bar.at)}
              y=${y(rows.indexOf(bar.offset))}
              width=${10 + ((narrow ? 34 : 64) - 10) * Math.sqrt(bar.planned / greatest)}
              right=${left + room + (narrow ? 30 : 56)}
            />`,
        )}
        ${now >= from && now < until && html`<${Now} ...${{ now, rows, x, y, height, sendAt }} />`}
      </svg>`
    }
    <figcaption class="legend">
      ${Object.entries(PARTS).map(([part, text]) => html`<span key=${part}><i class=${part}></i>${text}</span>`)}
      <span><i class="sun"></i>where it is ${clock(sendAt * MINUTE)}</span>
    </figcaption>
    <${AsTable}
      label="Show the day as a table"
      head=${['UTC', 'Offset', 'Zones', 'Occasion', ...LISTED]}
      rows=${cells.map((cell) => [clock(cell.at), offsetText(cell.offsetMinutes), cell.timezones.map(city).join(', '), words(cell.occasion), ...LISTED.map((part) => cell[part])])}
    />
  </figure>`;
}

const shortened = (names = []) => {
  const text = names.slice(0, 2).join(', ');
  return text.length > 17 ? `${text.slice(0, 16)}…` : text;
};

// Night lies over the hours from 18:00 to 06:00 of the row's own clocks.
function Nights({ offset, from, until, x, top }) {
  const shift = offset * MINUTE;
  const nights = [];
  for (
    let dusk = Math.floor((from + shift) / (24 * HOUR)) * 24 * HOUR - 6 * HOUR;
    dusk < until + shift;
    dusk += 24 * HOUR
  ) {
    const [start, end] = [Math.max(from, dusk - shift), Math.min(until, dusk + 12 * HOUR - shift)];
    if (end > start)
      nights.push(
        html`<rect key=${dusk} class="night" x=${x(start)} width=${x(end) - x(start)} y=${top} height=${ROW - 1} />`,
      );
  }
  return [html`<rect class="daylight" x=${x(from)} width=${x(until) - x(from)} y=${top} height=${ROW - 1} />`, nights];
}

// The line of 09:00 over all rows.
function Sweep({ rows, from, until, x, y, sendAt }) {
  const lines = [];
  for (
    let midnight = Math.floor(from / (24 * HOUR)) * 24 * HOUR - 24 * HOUR;
    midnight < until + 24 * HOUR;
    midnight += 24 * HOUR
  ) {
    const points = rows
      .map((offset, row) => [midnight + (sendAt - offset) * MINUTE, y(row) + ROW / 2])
      .filter(([at]) => at >= from && at < until)
      .map(([at, top]) => `${x(at).toFixed(1)},${top}`);
    if (points.length > 1) lines.push(html`<polyline key=${midnight} class="sweep" points=${points.join(' ')} />`);
  }
  return lines;
}

function Bar({ bar, x, y, width, right }) {
  const turned = x + width > right; // at the edge it grows to the left
  let start = turned ? x - width : x;
  const ended = bar.planned - bar.parts.waiting;
  const label =
    ended === 0 || ended === bar.planned ? number(bar.planned) : `${number(bar.parts.sent)}/${number(bar.planned)}`;
  const address = to('messages', null, {
    from: new Date(bar.at).toISOString(),
    to: new Date(bar.at + 1000).toISOString(),
    timezone: [...bar.zones].join(),
  });
  return html`<a class="cell" href=${address} aria-label=${sentence(bar)}
    ><title>${sentence(bar)}</title>
    <rect class="frame" x=${start} y=${y + 3} width=${width} height=${ROW - 7} rx="3" />
    ${Object.keys(PARTS)
      .filter((part) => bar.parts[part])
      .map((part) => {
        const share = (bar.parts[part] / bar.planned) * width;
        start += share;
        return html`<rect
          key=${part}
          class=${`part ${part}`}
          x=${start - share}
          y=${y + 3}
          width=${share}
          height=${ROW - 7}
          rx=${share > 6 ? 2 : 0}
        />`;
      })}
    <text x=${turned ? x - width - 5 : x + width + 5} y=${y + 14} text-anchor=${turned ? 'end' : 'start'}
      >${label}</text
    ></a
  >`;
}

// Now: a line over all rows, and the sun where 09:00 is.
function Now({ now, rows, x, y, height, sendAt }) {
  return html`<g class="now" style=${{ transform: `translateX(${x(now).toFixed(1)}px)` }}
    ><line y1=${HEAD - 5} y2=${height - 6} />
    <text y="11" text-anchor="middle">${clock(now)} UTC</text>
    ${offsetsAt(now, sendAt).map((offset, side) => {
      const row = place(rows, offset);
      return (
        row !== null &&
        html`<circle
          key=${side}
          class="sun"
          r="7"
          style=${{ transform: `translateY(${(y(row) + ROW / 2).toFixed(1)}px)` }}
        />`
      );
    })}</g
  >`;
}

// Where it is 09:00 now, in words.
export function nineNow(cells, now, sendAt) {
  const near = offsetsAt(now, sendAt).flatMap((offset) =>
    cells.filter((cell) => Math.abs(cell.offsetMinutes - offset) < 30),
  );
  return [...new Set(near.flatMap((cell) => cell.timezones.map(city)))].slice(0, 3);
}

// The time of day at which most greetings are due, in minutes.
export function usualTime(cells) {
  const planned = {};
  for (const cell of cells) {
    const minutes = (Math.floor(Date.parse(cell.at) / MINUTE) + cell.offsetMinutes) % 1440;
    planned[minutes] = (planned[minutes] || 0) + cell.planned;
  }
  return Number(Object.keys(planned).sort((one, other) => planned[other] - planned[one])[0] || NINE);
}
