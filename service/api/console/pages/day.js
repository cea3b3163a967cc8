// Day: where 09:00 is now, what became of every greeting of the day, and what needs a person.

import { useEffect, useRef, useState } from '../vendor/hooks.mjs';
import { replace, to } from '../address.js';
import { usePolled } from '../api.js';
import { Forecast } from '../drawings/forecast.js';
import { PARTS, World, nineNow, usualTime } from '../drawings/world.js';
import { clock, count, day as dayText, duration, number, title, words } from '../format.js';
import { html } from '../html.js';
import { Empty, Waiting } from '../parts.js';

const DAY = 86_400_000;
// The sums of the day, and the states of the messages in each.
const SUMS = {
  planned: '',
  sent: 'sent',
  waiting: 'scheduled,queued',
  sending: 'sending',
  retrying: 'retrying',
  late: 'scheduled,queued',
  held: 'scheduled,queued,retrying',
  unknown: 'unknown',
  failed: 'failed',
  expired: 'expired',
};

// Business time now, which may run faster than the reader's clock: an answer says its instant and its rate.
function useNow(data) {
  const [, tick] = useState(0);
  const read = useRef({});
  if (data && read.current.of !== data) read.current = { of: data, at: performance.now() };
  useEffect(() => {
    const timer = setInterval(() => tick((one) => one + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return data && Date.parse(data.now) + (performance.now() - read.current.at) * data.rate;
}

export function Day({ query, today }) {
  const other = usePolled(query.date && `api/v1/day?date=${query.date}`);
  const { data, error } = query.date ? other : today;
  const forecast = usePolled('api/v1/forecast?hours=48', { every: 300_000 });
  const now = useNow(data);
  if (!data)
    return html`<h1>Day</h1>
      <${Waiting} error=${error} />`;
  const shift = (days) =>
    to('day', null, { date: new Date(Date.parse(data.date) + days * DAY).toISOString().slice(0, 10) });
  const sendAt = usualTime(data.cells);
  const nine = nineNow(data.cells, now, sendAt);
  return html` <div class="title">
      <h1>${dayText(data.date)}</h1>
      <nav aria-label="Days">
        <a class="button" href=${shift(-1)} aria-label="Day before">‹</a>
        <input
          type="date"
          aria-label="Date"
          value=${data.date}
          onChange=${(event) => event.target.value && replace(to('day', null, { date: event.target.value }))}
        />
        <a class="button" href=${shift(1)} aria-label="Day after">›</a><a class="button" href=${to('day')}>Today</a>
      </nav>
      <p class="clock">
        <b>${clock(now)}</b>${' '}
        UTC${nine.length > 0 && html`<small>${clock(sendAt * 60_000)} in ${nine.join(', ')}</small>`}
      </p>
    </div>
    <${Attention} of=${data.attention} />
    <dl class="sums">
      ${Object.entries(SUMS)
        .filter(([name]) => data.total[name] || name === 'planned' || name === 'sent')
        .map(
          ([name, status]) =>
            html`<div key=${name} class=${name}>
              <dt>${PARTS[name] || name}</dt>
              <dd>
                <a href=${to('messages', null, { status, from: data.from, to: data.to })}
                  >${number(data.total[name])}</a
                >
              </dd>
            </div>`,
        )}
    </dl>
    ${data.total.planned === 0 && html`<${Empty}>Nothing is planned for this day. Planning looks 48 hours ahead.</${Empty}>`}
    <${World} cells=${data.cells} from=${Date.parse(data.from)} to=${Date.parse(data.to)} now=${now} sendAt=${sendAt} />
    <section>
      <h2>The next 48 hours</h2>
      ${
        forecast.data
          ? html`<p class="muted">
                ${count(forecast.data.total, 'greeting')} to
                come${forecast.data.backlog.due > 0 && `, ${number(forecast.data.backlog.due)} of them due already`}.
              </p>
              <${Forecast} forecast=${forecast.data} />`
          : html`<${Waiting} error=${forecast.error} />`
      }
    </section>`;
}

// What needs a person, or that nothing does.
function Attention({ of }) {
  const list = (status) => to('messages', null, { status });
  const most = (value) => (value >= of.countedUpTo ? `${number(value)} or more` : number(value));
  const shown = [
    ...of.held.map((one) => [
      one.occasion ? `${title(one.occasion)} is held` : 'All sending is held',
      to('holds'),
      'warn',
    ]),
    of.unknown && [`${most(of.unknown)} unknown`, list('unknown'), 'bad'],
    of.failed && [`${most(of.failed)} failed`, list('failed'), 'bad'],
    of.expired && [`${most(of.expired)} expired`, list('expired'), 'bad'],
    of.overdue && [
      `${most(of.overdue)} overdue${of.overdueSince ? ` since ${clock(of.overdueSince)} UTC` : ''}`,
      list('scheduled,queued,retrying'),
      'warn',
    ],
    of.circuit &&
      of.circuit.state !== 'closed' && [
        `Email service: circuit ${words(of.circuit.state)}${of.circuit.reason ? `, ${of.circuit.reason}` : ''}`,
        to('nodes'),
        'bad',
      ],
    ...of.away.map((one) => [`${one.system} is away for ${duration(one.seconds)}`, to('nodes'), 'bad']),
    ...of.nodes.silent.map((node) => [`${node} is silent`, to('nodes'), 'warn']),
    ...of.nodes.died.map((node) => [`${node} died`, to('nodes'), 'warn']),
  ].filter(Boolean);
  return html`<ul class="attention" aria-label="Attention">
    ${shown.map(([text, address, kind]) => html`<li key=${text}><a class=${kind} href=${address}>${text}</a></li>`)}
    ${shown.length === 0 && html`<li class="well">Nothing needs you</li>`}
    <li><a href=${to('nodes')}>${count(of.nodes.living, 'node')}</a></li>
  </ul>`;
}
