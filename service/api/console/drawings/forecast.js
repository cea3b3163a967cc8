// The next 48 hours: a bar for each hour, from the planner's own rules.

import { clock, count, number, shortDay } from '../format.js';
import { html } from '../html.js';
import { AsTable, useWidth } from '../parts.js';

const HOUR = 3_600_000;
const HEIGHT = 110;

export function hoursOf(forecast) {
  const first = Math.floor(Date.parse(forecast.now) / HOUR) * HOUR;
  const hours = Array.from({ length: Math.ceil((Date.parse(forecast.until) - first) / HOUR) }, (_, place) => ({
    at: first + place * HOUR,
    total: 0,
  }));
  for (const minute of forecast.minutes) {
    const hour = hours[Math.floor((Date.parse(minute.at) - first) / HOUR)];
    if (hour) hour.total += minute.total;
  }
  return hours;
}

export function Forecast({ forecast }) {
  const [element, width] = useWidth();
  const hours = hoursOf(forecast);
  const greatest = Math.max(1, ...hours.map((hour) => hour.total));
  const step = width / hours.length;
  return html`<figure class="forecast" ref=${element}>
    <svg
      width=${width}
      height=${HEIGHT + 34}
      role="img"
      aria-label=${`${count(forecast.total, 'greeting')} in the next 48 hours. The table below has each hour.`}
    >
      <text class="scale" x="0" y="11">${number(greatest)} in an hour</text>
      <line class="scale" x1="0" x2=${width} y1="17" y2="17" />
      ${hours.map((hour, place) => {
        const size = hour.total && Math.max(2, (hour.total / greatest) * (HEIGHT - 18));
        const labelled = new Date(hour.at).getUTCHours() % (width < 640 ? 12 : 6) === 0;
        return html`<g key=${hour.at}
          ><rect
            class="bar"
            x=${place * step + 1}
            width=${Math.max(1, step - 2)}
            y=${HEIGHT - size}
            height=${size}
            rx="2"
            ><title>${`${clock(hour.at)} UTC: ${number(hour.total)}`}</title></rect
          >
          ${labelled && html`<text x=${place * step} y=${HEIGHT + 15}>${clock(hour.at)}</text>`}
          ${labelled && new Date(hour.at).getUTCHours() === 0 && html`<text class="date" x=${place * step} y=${HEIGHT + 29}>${shortDay(hour.at)}</text>`}</g
        >`;
      })}
      <line class="ground" x1="0" x2=${width} y1=${HEIGHT} y2=${HEIGHT} />
    </svg>
    <${AsTable}
      label="Show the hours as a table"
      head=${['Hour (UTC)', 'Greetings']}
      rows=${hours.map((hour) => [`${shortDay(hour.at)} ${clock(hour.at)}`, hour.total])}
    />
  </figure>`;
}
