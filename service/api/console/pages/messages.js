// Messages: filter, read, select by range, and send again what may be sent again.

import { useEffect, useRef, useState } from '../vendor/hooks.mjs';
import { may } from '../access.js';
import { replace, to } from '../address.js';
import { send, usePolled } from '../api.js';
import { REDRIVABLE, STATES, city, count, number, time, words } from '../format.js';
import { html } from '../html.js';
import { Choice, Dialog, Empty, Field, Form, PersonLink, Problem, State, Table, Waiting, useOnce } from '../parts.js';

const LIMIT = 50;
const FILTERS = ['status', 'occasion', 'from', 'to', 'timezone', 'userId', 'email'];

const path = (query, cursor) => {
  const given = { order: 'desc', ...query, limit: LIMIT, ...(cursor && { cursor }) };
  return `api/v1/messages?${new URLSearchParams(given)}`;
};

export function Messages({ query }) {
  const [picked, pick] = useState(new Set());
  const [further, setFurther] = useState({ items: [] });
  const [dialog, show] = useState(null);
  const [report, say] = useState('');
  const filter = JSON.stringify(query);
  useEffect(() => {
    setFurther({ items: [] });
    pick(new Set());
    say('');
  }, [filter]);
  // While rows are selected, or pages have been added, nothing moves under the reader.
  const resting = picked.size > 0 || further.items.length > 0;
  const first = usePolled(path(query), { quiet: resting });
  const occasions = useOnce(() => send('GET', 'api/v1/occasions'), []);
  const items = [...(first.data?.items || []), ...further.items];
  const next = further.items.length ? further.next : first.data?.nextCursor;
  const more = async () => {
    try {
      const page = await send('GET', path(query, next));
      setFurther({ items: [...further.items, ...page.items], next: page.nextCursor });
    } catch (error) {
      setFurther({ ...further, error });
    }
  };
  const done = (text) => {
    show(null);
    say(text);
    pick(new Set());
    setFurther({ items: [] });
    first.again();
  };
  const chosen = items.filter((one) => picked.has(one.id) && REDRIVABLE.includes(one.status));
  const redrivePicked = () =>
    show({ filter: { status: REDRIVABLE.join(), ids: chosen.map((one) => one.id) }, taken: 'that you selected' });
  const redriveAll = () =>
    show({
      filter: Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]])),
      taken: inWords(query),
    });
  return html` <h1>Messages</h1>
    <${Filters} query=${query} occasions=${occasions.data?.items || []} />
    <div class="tools">
      <p role="status">
        <span>${report || shown(items, first.data, next)}</span>
        ${resting && html`<button type="button" class="link" onClick=${() => done('')}>The list rests while you read it. Go on</button>`}
      </p>
      ${
        may('operate') &&
        html`<div>
          ${picked.size > 0 && html`<button type="button" class="main" disabled=${!chosen.length} onClick=${redrivePicked}>Redrive ${number(chosen.length)} selected</button>`}
          ${query.status?.split(',').every((one) => REDRIVABLE.includes(one)) && html`<button type="button" onClick=${redriveAll}>Redrive all that match…</button>`}
        </div>`
      }
    </div>
    <${Problem} error=${first.error || further.error} />
    ${first.data ? html`<${Rows} items=${items} picked=${picked} pick=${pick} />` : !first.error && html`<${Waiting} />`}
    ${next && html`<p class="more"><button type="button" onClick=${more}>Show ${LIMIT} more</button></p>`}
    ${dialog && html`<${Redrive} ...${dialog} close=${() => show(null)} done=${done} />`}`;
}

const shown = (items, data, next) => {
  if (!data) return '';
  if (data.total !== undefined && data.total >= items.length)
    return `${number(items.length)} of ${count(data.total, 'message')}`;
  return next ? `The first ${number(items.length)}; there are more` : count(items.length, 'message');
};

function Filters({ query, occasions }) {
  const states = new Set((query.status || '').split(',').filter(Boolean));
  const set = (change) => replace(to('messages', null, { ...query, ...change }));
  const toggle = (state) => {
    if (!states.delete(state)) states.add(state);
    set({
      status: Object.keys(STATES)
        .filter((one) => states.has(one))
        .join(','),
    });
  };
  const instant = (name) => (event) =>
    set({ [name]: event.target.value && new Date(`${event.target.value}Z`).toISOString() });
  const codes = new Set([...occasions.map((one) => one.code), ...(query.occasion ? [query.occasion] : [])]);
  const choices = [['', 'All'], ...[...codes].map((code) => [code, words(code)])];
  return html`<form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    <fieldset><legend>State</legend>${Object.keys(STATES).map(
      (state) =>
        html` <label key=${state} class="pill" title=${STATES[state]}
          ><input type="checkbox" checked=${states.has(state)} onChange=${() => toggle(state)} /><span
            class=${`state ${state}`}
            >${state}</span
          ></label
        >`,
    )}</fieldset>
    <${Field} label="Occasion">
      <${Choice} value=${query.occasion} options=${choices} onChange=${(event) => set({ occasion: event.target.value })} />
    </${Field}>
    <${Field} label="From (UTC)" type="datetime-local" step="1" value=${query.from?.slice(0, 19)} onChange=${instant('from')} />
    <${Field} label="Before (UTC)" type="datetime-local" step="1" value=${query.to?.slice(0, 19)} onChange=${instant('to')} />
    <${Field} label="Person's id" value=${query.userId || ''} onChange=${(event) => set({ userId: event.target.value.trim() })} />
    <${Field} label="Zones" value=${query.timezone || ''} placeholder="Europe/Paris" onChange=${(event) => set({ timezone: event.target.value.trim() })} />
    <${Field} label="Order"><${Choice} value=${query.order || 'desc'} options=${[
      ['desc', 'Newest first'],
      ['asc', 'Oldest first'],
    ]} onChange=${(event) => set({ order: event.target.value })} /></${Field}>
    <a class="button" href=${to('messages')}>Clear</a></form>`;
}

export function Rows({ items, picked, pick, person = true }) {
  const last = useRef(null);
  if (!items.length)
    return html`<${Empty}>${person ? html`No message matches. <a href=${to('messages')}>Show all</a>` : 'There is no message yet.'}</${Empty}>`;
  const toggle = (event, place) => {
    const on = !picked.has(items[place].id);
    const [first, end] =
      event.shiftKey && last.current !== null
        ? [last.current, place].sort((one, other) => one - other)
        : [place, place];
    const set = new Set(picked);
    items.slice(first, end + 1).forEach((one) => (on ? set.add(one.id) : set.delete(one.id)));
    last.current = place;
    pick(set);
  };
  const every = items.every((one) => picked?.has(one.id));
  const all = html`<input
    type="checkbox"
    aria-label="Select all that are shown"
    checked=${every}
    onChange=${() => pick(new Set(every ? [] : items.map((one) => one.id)))}
  />`;
  const head = [
    pick && all,
    'Instant (UTC)',
    'State',
    'Occasion',
    person && 'Person',
    'Their time',
    ['Attempts', 'number'],
    'Why',
  ];
  return html`<${Table} label="Messages" head=${head.filter(Boolean)}>
    ${items.map(
      (one, place) =>
        html`<tr key=${one.id} class=${picked?.has(one.id) ? 'picked' : ''}>
          ${pick && html`<td><input type="checkbox" aria-label=${`Select the message of ${time(one.sendAt)}`} checked=${picked.has(one.id)} onClick=${(event) => toggle(event, place)} /></td>`}
          <td>
            <a data-row href=${to('message', one.id)}><time datetime=${one.sendAt}>${time(one.sendAt)}</time></a>
          </td>
          <td><${State} of=${one.status} /></td>
          <td>${words(one.occasion)} ${one.localYear}</td>
          ${person && html`<td><${PersonLink} id=${one.userId} /></td>`}
          <td>${time(one.sendAt, one.timezone)} <span class="muted">${city(one.timezone)}</span></td>
          <td class="number">${one.attempts}</td>
          <td class="why">${one.reason || (one.endedAt && `at ${time(one.endedAt)}`)}</td>
        </tr>`,
    )}</${Table}>`;
}

// The filter of a list in words.
const inWords = (query) =>
  [
    `that are ${query.status.split(',').join(' or ')}`,
    query.occasion ? `of the occasion ${words(query.occasion)}` : 'of every occasion',
    query.from ? `from ${time(query.from)} UTC` : 'from the beginning',
    query.to ? `before ${time(query.to)} UTC` : 'to the end',
    query.timezone && `in ${query.timezone.split(',').join(' or ')}`,
    query.userId && 'of one person',
    query.email && `to ${query.email}`,
  ]
    .filter(Boolean)
    .join(', ');

// Counts first, says in words what it takes, and sends the same filter.
function Redrive({ filter, taken, close, done }) {
  const { data, error } = useOnce(() => send('POST', 'api/v1/messages:redrive', { ...filter, dryRun: true }), []);
  const act = async () => {
    const { redriven, remaining } = await send('POST', 'api/v1/messages:redrive', filter);
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
  </${Dialog}>`;
}
