// The next 48 hours: a bar for each hour, from the planner's own rules.

import { html } from '../html.js';
import { clock, count, number, shortDay } from '../format.js';
import { AsTable, useWidth } from '../parts.js';

const HOUR = 3_600_000;
const HEIGHT = 110;

const hour = (at) => Math.floor(Date.parse(at) / HOUR) * HOUR;

export function Forecast({ forecast }) {
  const [element, width] = useWidth();
  const totals = {};
  for (let at = hour(forecast.now); at < Date.parse(forecast.until); at += HOUR) totals[at] = 0;
  for (const { at, total } of forecast.minutes) if (hour(at) in totals) totals[hour(at)] += total;
  const hours = Object.entries(totals).map(([at, total]) => [Number(at), total]);
  const greatest = Math.max(1, ...Object.values(totals));
  const step = width / hours.length;
  return html`<figure class="forecast" ref=${element}>
    <svg width=${width} height=${HEIGHT + 34} role="img" aria-label=${`${count(forecast.total, 'greeting')} in the next 48 hours.`}>
      <text x="0" y="11">${number(greatest)} in an hour</text>
      <line x2=${width} y1="17" y2="17" />
      ${hours.map(([at, total], place) => {
        const size = total && Math.max(2, (total / greatest) * (HEIGHT - 18));
        const [x, time] = [place * step, new Date(at).getUTCHours()];
        return html`<g key=${at}>
          <rect class="bar" x=${x + 1} width=${Math.max(1, step - 2)} y=${HEIGHT - size} height=${size} rx="2"><title>${clock(at)} UTC: ${number(total)}</title></rect>
          ${time % (width < 640 ? 12 : 6) === 0 && html`<text x=${x} y=${HEIGHT + 15}>${clock(at)}</text>`}
          ${time === 0 && html`<text class="date" x=${x} y=${HEIGHT + 29}>${shortDay(at)}</text>`}
        </g>`;
      })}
      <line x2=${width} y1=${HEIGHT} y2=${HEIGHT} />
    </svg>
    <${AsTable}
      label="the hours"
      head=${['Hour (UTC)', 'Greetings']}
      rows=${hours.map(([at, total]) => [at, `${shortDay(at)} ${clock(at)}`, total])}
    />
  </figure>`;
}
