// Day: where 09:00 is now, what became of every greeting of the day, and what needs a person.

import { html, useRef } from '../html.js';
import { replace, to } from '../address.js';
import { usePolled } from '../api.js';
import { Forecast } from '../drawings/forecast.js';
import { World, nineNow, usualTime } from '../drawings/world.js';
import { PLANNED, clock, count, day, duration, number, time, title, words } from '../format.js';
import { Field, Waiting, useSeconds } from '../parts.js';

// The sums of the day, and the states of the messages in each, if not of that name. What is unsent counts by its instant,
// too: which end of the span lies at how many milliseconds before now.
const SUMS = {
  planned: [PLANNED],
  sent: [],
  waiting: ['scheduled,queued', 'from', 60_000],
  sending: [],
  retrying: [],
  late: ['scheduled,queued', 'to', 60_000],
  held: ['scheduled,queued,retrying', 'to'],
  unknown: [],
  failed: [],
  expired: [],
};

// The list of the messages that a sum counts.
function listOf(name, { from, to: until, now, attention: { held } }) {
  const [status = name, end, age = 0] = SUMS[name];
  const at = new Date(Date.parse(now) - age).toISOString();
  return to('messages', null, {
    status,
    from,
    to: until,
    ...(end && at > from && at < until && { [end]: at }),
    // A hold may be of one occasion, and the list is of one or of all.
    occasion: name === 'held' && !held[1] && held[0]?.occasion,
  });
}

// Business time now, which may run faster than the reader's clock: an answer says its instant and its rate.
function useNow(data) {
  useSeconds();
  const read = useRef({});
  if (read.current.data !== data) read.current = { data, at: performance.now() };
  return data && Date.parse(data.now) + (performance.now() - read.current.at) * data.rate;
}

export function Day({ query, today }) {
  const other = usePolled(query.date && `day?date=${query.date}`);
  const { data, error } = query.date ? other : today;
  // Where time runs faster, a day is over soon.
  const forecast = usePolled('forecast?hours=48', { every: today.data?.rate > 1 ? 5_000 : 300_000 });
  const now = useNow(data);
  const date = [query.date, today.data?.date].find((one) => isFinite(Date.parse(one)));
  if (!date) return html`<${Waiting} title="Day" error=${error} />`;
  const near = (days) => {
    const at = new Date(Date.parse(date) + days * 86_400_000).toISOString();
    // The years are 1 to 9999. Any other begins with `0000` or a sign, and has no page.
    return at > '0001' && to('day', null, { date: at.slice(0, 10) });
  };
  const cells = data?.cells || [];
  const sendAt = usualTime(cells);
  const nine = nineNow(cells, now, sendAt);
  return html`<div class="title">
      <h1>${day(date)}</h1>
      <nav aria-label="Days">
        <a class="button" href=${near(-1)} aria-label="Day before">‹</a>
        <${Field} type="date" aria-label="Date" value=${date} set=${(date) => date && replace('day', null, { date })} />
        <a class="button" href=${near(1)} aria-label="Day after">›</a>
        <a class="button" href=${to('day')}>Today</a>
      </nav>
      ${data && html`<p class="clock"><b>${clock(now)}</b> UTC${nine && html`<small>${clock(sendAt * 60_000)} in ${nine}</small>`}</p>`}
    </div>
    ${data ? html`<${Figures} ...${{ data, now, sendAt }} />` : html`<${Waiting} error=${error} />`}
    <section>
      <h2>The next 48 hours</h2>
      ${
        forecast.data
          ? html`<p class="muted">
                ${count(forecast.data.total, 'greeting')} to come, ${number(forecast.data.backlog.due)} due already.
              </p>
              <${Forecast} forecast=${forecast.data} />`
          : html`<${Waiting} error=${forecast.error} />`
      }
    </section>`;
}

function Figures({ data, now, sendAt }) {
  const { cells, total, from, to: until } = data;
  return html`<${Attention} of=${data.attention} now=${data.now} />
    <dl class="sums">${Object.keys(SUMS).map(
      (name) =>
        (total[name] > 0 || ['planned', 'sent'].includes(name)) &&
        html`<div key=${name} class=${name}>
          <dt>${name}</dt>
          <dd><a href=${listOf(name, data)}>${number(total[name])}</a></dd>
        </div>`,
    )}</dl>
    ${!total.planned && html`<p class="empty">Nothing is planned for this day. Planning looks 48 hours ahead.</p>`}
    <${World} ...${{ cells, now, sendAt, from: Date.parse(from), until: Date.parse(until) }} />`;
}

// What needs a person, or that nothing does.
function Attention({ of, now }) {
  const { circuit, nodes, overdueSince, since } = of;
  const most = (name) => `${number(of[name])}${of[name] < of.countedUpTo ? '' : ' or more'} ${name}`;
  const shown = [
    ...of.held.map((one) => [`${one.occasion ? title(one.occasion) : 'All sending'} is held`, to('holds'), 'warn']),
    ...['unknown', 'failed', 'expired'].map(
      (name) => of[name] > 0 && [`${most(name)} in 7 days`, to('messages', null, { status: name, from: since }), 'bad'],
    ),
    of.overdue > 0 && [
      `${most('overdue')} since ${time(overdueSince)} UTC`,
      to('messages', null, {
        status: 'scheduled,queued,retrying',
        to: new Date(Date.parse(now) - 60_000).toISOString(),
      }),
      'warn',
    ],
    circuit &&
      circuit.state !== 'closed' && [
        `Email service: circuit ${words(circuit.state)}${circuit.reason ? `, ${circuit.reason}` : ''}`,
        to('nodes'),
        'bad',
      ],
    ...of.away.map((one) => [`${one.system} is away for ${duration(one.seconds)}`, to('nodes'), 'bad']),
    ...nodes.silent.map((node) => [`${node} is silent`, to('nodes'), 'warn']),
    ...nodes.died.map((node) => [`${node} died`, to('nodes'), 'warn']),
  ].filter(Boolean);
  return html`<ul class="attention" aria-label="Attention">
    ${shown.map(([text, address, kind]) => html`<li><a class=${kind} href=${address}>${text}</a></li>`)}
    ${!shown.length && html`<li class="well">Nothing needs you</li>`}
    <li><a href=${to('nodes')}>${count(nodes.living, 'node')}</a></li>
  </ul>`;
}
