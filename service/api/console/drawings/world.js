// The day around the world: UTC across, a row for each offset, and the instant of 09:00 sweeping over them from east to west.

import { html } from '../html.js';
import { to } from '../address.js';
import { PLANNED, city, clock, number, offset as offsetText, words } from '../format.js';
import { AsTable, useWidth } from '../parts.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ROW = 21;
const HEAD = 34;

// The counts that a cell can have, in the order in which they are drawn.
const PARTS = ['sent', 'sending', 'waiting', 'held', 'retrying', 'late', 'unknown', 'failed', 'expired'];
const LISTED = ['planned', ...PARTS, 'cancelled'];

// Greetings of one instant and offset are one bar, for all occasions.
function barsOf(cells) {
  const bars = {};
  for (const { offsetMinutes: offset, at, ...cell } of cells.filter((one) => one.planned)) {
    const bar = (bars[`${at} ${offset}`] ||= { at: Date.parse(at), offset, zones: [], planned: 0 });
    bar.zones = [...new Set([...bar.zones, ...cell.timezones])];
    for (const part of ['planned', ...PARTS]) bar[part] = (bar[part] || 0) + cell[part];
  }
  return Object.values(bars);
}

const cities = (zones) => zones.map(city).join(', ');

const sentence = (bar) =>
  `${clock(bar.at)} UTC, ${offsetText(bar.offset)}, ${cities(bar.zones.slice(0, 3))}: ${PARTS.filter(
    (part) => bar[part],
  )
    .map((part) => `${number(bar[part])} ${part}`)
    .join(', ')}`;

// The offset in which it is `minutes` o'clock at an instant: up to two, as the date line divides the world.
function offsetsAt(now, minutes) {
  const east = minutes - (Math.floor(now / MINUTE) % 1440);
  return [east - 1440, east, east + 1440].filter((one) => one >= -660 && one <= 840);
}

export function World({ cells, from, until, now, sendAt }) {
  const [element, width] = useWidth();
  const bars = barsOf(cells);
  // Every whole hour has a row, so that the slope of 09:00 is straight; half hours have one where users live by them.
  const rows = [
    ...new Set([...bars.map((bar) => bar.offset), ...Array.from({ length: 26 }, (_, row) => row * 60 - 660)]),
  ].sort((one, other) => other - one);
  const narrow = width < 640;
  const left = narrow ? 54 : 168;
  const room = Math.max(60, width - left - (narrow ? 34 : 60));
  // Pixels for a millisecond.
  const scale = room / (until - from);
  const x = (at) => left + (at - from) * scale;
  const y = (row) => HEAD + row * ROW;
  const height = y(rows.length) + 6;
  const greatest = Math.max(...bars.map((bar) => bar.planned));
  const zones = Object.fromEntries(bars.map((bar) => [bar.offset, cities(bar.zones.slice(0, 2))]));
  const every = HOUR * (narrow ? 6 : 3);
  const hours = Array.from({ length: DAY / every + 1 }, (_, hour) => from + hour * every);
  return html`<figure class="world" ref=${element}>
    ${
      width > 0 &&
      html`<svg width=${width} height=${height} role="group" aria-label="Greetings by offset and time">
      ${rows.map(
        // Night lies over the hours from 18:00 to 06:00 of the row's own clocks.
        (offset, row) => html`<g key=${offset} class=${zones[offset] ? '' : 'nobody'}>
          <path class="daylight" d="M${left} ${y(row) + ROW / 2}h${room}" />
          <path class="night" d="M${left} ${y(row) + ROW / 2}h${room}" stroke-dasharray=${12 * HOUR * scale} stroke-dashoffset=${((from + offset * MINUTE - 18 * HOUR) * scale) % (DAY * scale)} />
          <text y=${y(row) + 14} class="offset">${offsetText(offset)}</text>
          ${!narrow && html`<text x="54" y=${y(row) + 14}>${(zones[offset] || '').slice(0, 17)}</text>`}
        </g>`,
      )}
      ${hours.map(
        (at) => html`<g key=${at} class="hour">
          <path d="M${x(at)} ${HEAD - 5}V${height - 6}" />
          <text x=${x(at)} y=${HEAD - 11} text-anchor="middle">${clock(at)}</text>
        </g>`,
      )}
      ${[-1, 0, 1].map((day) => {
        const points = rows.map((offset, row) => [x(from + day * DAY + (sendAt - offset) * MINUTE), y(row) + ROW / 2]);
        return html`<polyline class="sweep" points=${points.filter(([at]) => at >= left && at < left + room).join(' ')} />`;
      })}
      ${bars.map(
        (bar) => html`<${Bar}
          key=${bar.at + bar.offset}
          bar=${bar}
          x=${x(bar.at)}
          y=${y(rows.indexOf(bar.offset))}
          width=${10 + (narrow ? 24 : 54) * Math.sqrt(bar.planned / greatest)}
          right=${left + room + (narrow ? 30 : 56)}
        />`,
      )}
      ${
        now >= from &&
        now < until &&
        html`<g class="now" style=${{ transform: `translateX(${x(now)}px)` }}>
          <path d="M0 ${HEAD - 5}V${height - 6}" />
          <text y="11" text-anchor="middle">${clock(now)} UTC</text>
          ${offsetsAt(now, sendAt).map((offset, side) => {
            const row = rows.findIndex((one) => one <= offset);
            const place = row - (row && (offset - rows[row]) / (rows[row - 1] - rows[row]));
            return html`<circle key=${side} class="sun" r="7" style=${{ transform: `translateY(${y(place) + ROW / 2}px)` }} />`;
          })}
        </g>`
      }
    </svg>`
    }
    <figcaption class="legend">
      ${PARTS.map((part) => html`<span key=${part}><i class=${part}></i>${part}</span>`)}
      <span><i class="sun"></i>where it is ${clock(sendAt * MINUTE)}</span>
    </figcaption>
    <${AsTable}
      label="the day"
      head=${['UTC', 'Offset', 'Zones', 'Occasion', ...LISTED]}
      rows=${cells.map((cell, place) => [place, clock(cell.at), offsetText(cell.offsetMinutes), cities(cell.timezones), words(cell.occasion), ...LISTED.map((part) => cell[part])])}
    />
  </figure>`;
}

function Bar({ bar, x, y, width, right }) {
  // At the edge it grows to the left.
  const turned = x + width > right;
  const left = turned ? x - width : x;
  let start = left;
  const begun = bar.planned > bar.waiting && bar.waiting;
  const address = to('messages', null, {
    status: PLANNED,
    from: new Date(bar.at).toISOString(),
    to: new Date(bar.at + 1000).toISOString(),
    timezone: bar.zones.join(),
  });
  return html`<a class="cell" href=${address} aria-label=${sentence(bar)}>
    <title>${sentence(bar)}</title>
    <rect class="frame" x=${left} y=${y + 3} width=${width} height=${ROW - 7} rx="3" />
    ${PARTS.map((part) => {
      const share = (bar[part] / bar.planned) * width;
      start += share;
      return (
        share > 0 &&
        html`<rect key=${part} class="part ${part}" x=${start - share} y=${y + 3} width=${share} height=${ROW - 7} rx="2" />`
      );
    })}
    <text x=${turned ? left - 5 : x + width + 5} y=${y + 14} text-anchor=${turned ? 'end' : 'start'}>${begun ? `${number(bar.sent)}/` : ''}${number(bar.planned)}</text>
  </a>`;
}

// Where it is 09:00 now, in words.
export function nineNow(cells, now, sendAt) {
  const near = offsetsAt(now, sendAt).flatMap((offset) =>
    cells.filter((cell) => Math.abs(cell.offsetMinutes - offset) < 30),
  );
  return cities([...new Set(near.flatMap((cell) => cell.timezones))].slice(0, 3));
}

// The time of day at which most greetings are due, in minutes.
export function usualTime(cells) {
  const planned = {};
  for (const cell of cells) {
    const minutes = (Date.parse(cell.at) / MINUTE + cell.offsetMinutes) % 1440;
    planned[minutes] = (planned[minutes] || 0) + cell.planned;
  }
  return Number(Object.keys(planned).sort((one, other) => planned[other] - planned[one])[0] || 540);
}
