// Messages: filter, read, select by range, and send again what may be sent again.

import { html, useRef, useState } from '../html.js';
import { replace, search, to } from '../address.js';
import { may, send } from '../api.js';
import { STATES, city, count, number, redrivable, time, words } from '../format.js';
import { Button, Dialog, Field, Form, PersonLink, Problem, State, Table, Waiting, useOnce, usePages } from '../parts.js';

// A change of the filter makes a new list, in which nothing is selected.
export const Messages = ({ query }) =>
  html`<h1>Messages</h1><${Filters} query=${query} /><${List} key=${search(query)} query=${query} />`;

function List({ query }) {
  const [picked, pick] = useState(new Set());
  const [asked, ask] = useState();
  const [report, say] = useState();
  const list = usePages(`messages${search({ order: 'desc', ...query })}`, picked.size > 0);
  const { items, data, error } = list;
  const done = (text) => {
    ask();
    say(text);
    pick(new Set());
    list.again();
  };
  const ids = items.filter((one) => picked.has(one.id) && redrivable(one.status)).map((one) => one.id);
  const { order, ...filter } = query;
  return html`<div class="tools">
      <p role="status">
        <span>${report || (data && list.shown)}</span>
        ${list.rest(done)}
      </p>
      ${
        may('operate') &&
        html`<div>
          ${picked.size > 0 && html`<${Button} kind="main" disabled=${!ids.length} act=${() => ask([{ ids, status: 'failed,unknown,expired' }, 'that you selected'])}>Redrive ${number(ids.length)} selected<//>`}
          ${query.status?.split(',').every(redrivable) && html`<${Button} act=${() => ask([filter, inWords(query)])}>Redrive all that match…<//>`}
        </div>`
      }
    </div>
    ${data ? html`<${Problem} error=${error} /><${Rows} items=${items} picked=${picked} pick=${pick} />` : html`<${Waiting} error=${error} />`}
    ${list.more}
    ${asked && html`<${Redrive} filter=${asked[0]} taken=${asked[1]} close=${() => ask()} done=${done} />`}`;
}

function Filters({ query }) {
  const occasions = useOnce(() => send('GET', 'occasions')).data?.items || [];
  const set =
    (name, change = String) =>
    (value) =>
      replace('messages', null, { ...query, [name]: change(value.trim()) });
  const states = query.status?.split(',') || [];
  const toggle = (state) =>
    set('status')(
      Object.keys(STATES)
        .filter((one) => states.includes(one) !== (one === state))
        .join(),
    );
  const instant = (value) => /^\d{4}-/.test(value) ? new Date(`${value}Z`).toISOString() : '';
  const codes = new Set([...occasions.map((one) => one.code), query.occasion].filter(Boolean));
  return html`<div class="filters" role="group" aria-label="Filters">
    <fieldset>
      <legend>State</legend>
      ${Object.keys(STATES).map(
        (state) =>
          html`<label key=${state} class="pill"><input type="checkbox" checked=${states.includes(state)} onChange=${() => toggle(state)} /><${State} of=${state} /></label>`,
      )}
    </fieldset>
    <${Field} label="Occasion" value=${query.occasion} options=${[['', 'All'], ...[...codes].map((code) => [code, words(code)])]} set=${set('occasion')} />
    <${Field} label="From (UTC)" type="datetime-local" step="1" value=${query.from?.slice(0, 19)} set=${set('from', instant)} />
    <${Field} label="Before (UTC)" type="datetime-local" step="1" value=${query.to?.slice(0, 19)} set=${set('to', instant)} />
    <${Field} label="Person's id" value=${query.userId} set=${set('userId')} />
    <${Field} label="Zones" value=${query.timezone} placeholder="Europe/Paris" set=${set('timezone')} />
    <${Field} label="Order" value=${query.order} options=${[
      ['', 'Newest first'],
      ['asc', 'Oldest first'],
    ]} set=${set('order')} />
    <a class="button" href=${to('messages')}>Clear</a>
  </div>`;
}

// Without `pick` the rows are those of one person, and cannot be selected.
export function Rows({ items, picked, pick }) {
  const last = useRef();
  const toggle = (event, place) => {
    const set = new Set(picked);
    const act = set.has(items[place].id) ? 'delete' : 'add';
    const other = event.shiftKey ? (last.current ?? place) : place;
    const [first, end] = other < place ? [other, place] : [place, other];
    items.slice(first, end + 1).forEach((one) => set[act](one.id));
    last.current = place;
    pick(set);
  };
  const every = items.every((one) => picked?.has(one.id));
  const box = (label, checked, onClick) =>
    html`<input type="checkbox" aria-label=${label} checked=${checked} onClick=${onClick} />`;
  const head = [
    pick && box('Select all that are shown', every, () => pick(new Set(every ? [] : items.map((one) => one.id)))),
    'Instant (UTC)',
    'State',
    'Occasion',
    pick && 'Person',
    'Their time',
    'Attempts',
    'Why',
  ];
  const rows = items.map((one, place) => [
    one.id,
    pick && box(`Select the message of ${time(one.sendAt)}`, picked.has(one.id), (event) => toggle(event, place)),
    html`<a data-row href=${to('message', one.id)}><time datetime=${one.sendAt}>${time(one.sendAt)}</time></a>`,
    html`<${State} of=${one.status} />`,
    `${words(one.occasion)} ${one.localYear}`,
    pick && html`<${PersonLink} id=${one.userId} />`,
    html`${time(one.sendAt, one.timezone)} <span class="muted">${city(one.timezone)}</span>`,
    one.attempts,
    html`<bdi class="why">${one.reason || (one.endedAt && `at ${time(one.endedAt)}`)}</bdi>`,
  ]);
  return items.length
    ? html`<${Table} label="Messages" head=${head} rows=${rows} />`
    : html`<p class="empty">There is no such message.</p>`;
}

// The filter of a list in words.
const inWords = ({ status, occasion, from, to: until, timezone, userId, email }) =>
  [
    `that are ${status.replaceAll(',', ' or ')}`,
    `of ${occasion ? `the occasion ${words(occasion)}` : 'every occasion'}`,
    from ? `from ${time(from)} UTC` : 'from the beginning',
    until ? `before ${time(until)} UTC` : 'to the end',
    timezone && `in ${timezone.replaceAll(',', ' or ')}`,
    userId && 'of one person',
    email && `to ${email}`,
  ]
    .filter(Boolean)
    .join(', ');

// Counts first, says in words what it takes, and sends the same filter.
function Redrive({ filter, taken, close, done }) {
  const redrive = (dryRun) => send('POST', 'messages:redrive', { ...filter, dryRun });
  const { data, error } = useOnce(() => redrive(true));
  const act = async () => {
    const { redriven, remaining } = await redrive(false);
    done(`${count(redriven, 'message')} redriven.${remaining ? ` ${number(remaining)} remain: do it again.` : ''}`);
  };
  return html`<${Dialog} title="Redrive?" close=${close}>
    ${
      data
        ? html`<p class="large"><b>${count(data.matched, 'message')}</b> ${taken}.</p>
            <p>Each is due at once, at any time of day, with a fresh budget of attempts.</p>
            <${Form} act=${act} disabled=${!data.matched} label=${`Redrive ${number(data.matched)}`} cancel=${close} />`
        : html`<${Waiting} error=${error} />`
    }
  <//>`;
}
