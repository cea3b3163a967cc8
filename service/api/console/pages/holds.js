// Holds and audit: what is stopped, by whom and why, and who did what.

import { useState } from '../vendor/hooks.mjs';
import { may } from '../access.js';
import { replace, to } from '../address.js';
import { send, usePolled } from '../api.js';
import { shortId, time, title, words } from '../format.js';
import { html } from '../html.js';
import { Choice, Empty, Field, Problem, Table, Waiting, release } from '../parts.js';

const ACTIONS = [
  'hold.created',
  'hold.released',
  'occasion.created',
  'occasion.changed',
  'occasion.deleted',
  'occasion.test_sent',
  'suppression.added',
  'suppression.removed',
  'messages.redriven',
  'user.erased',
  'job.run',
  'database.adopted',
  'year.pruned',
];
const CHOICES = [['', 'All'], ...ACTIONS.map((one) => [one, words(one.replace('.', ': '))])];
const LINKS = { message: 'message', user: 'person', occasion: 'occasions' };

export function Holds({ query, today }) {
  const holds = usePolled('api/v1/holds?all=true&limit=50', { every: 5_000 });
  const [error, fail] = useState(null);
  const letGo = (id) =>
    release(id).then(() => {
      holds.again();
      today.again();
    }, fail);
  const items = holds.data?.items || [];
  return html`<h1>Holds and audit</h1>
    <section>
      <h2>Holds</h2>
      <${Problem} error=${error} /> ${
        !holds.data
          ? html`<${Waiting} error=${holds.error} />`
          : !items.length
            ? html`<${Empty}>Nothing has been held. “Stop sending” holds everything, or one occasion, on every node.</${Empty}>`
            : html`
      <${Table} label="Holds" head=${['What', 'State', 'Since (UTC)', 'By', 'Reason', 'Until']}>
        ${items.map(
          (one) =>
            html`<tr key=${one.id}>
              <td>${one.occasion ? title(one.occasion) : 'Everything'}</td>
              <td>
                ${one.active ? html`<span class="state held">held</span>` : html`<span class="state cancelled">ended</span>`}
              </td>
              <td>${time(one.createdAt)}</td>
              <td>${one.author}</td>
              <td class="why"><bdi>${one.reason}</bdi></td>
              <td>
                ${
                  one.active
                    ? html`${one.until ? time(one.until) : 'released'}
                      ${may('operate') && html`<button type="button" onClick=${() => letGo(one.id)}>Release</button>`}`
                    : one.releasedAt
                      ? `${time(one.releasedAt)} by ${one.releasedBy}`
                      : time(one.until)
                }
              </td>
            </tr>`,
        )}</${Table}>`
      }
    </section>
    ${may('admin') ? html`<${Audit} query=${query} />` : html`<section><h2>Audit</h2><${Empty}>A key with the role admin reads the audit log.</${Empty}></section>`}`;
}

function Audit({ query }) {
  const [further, set] = useState({ of: '', items: [] });
  const filter = new URLSearchParams({ ...query, limit: 50 }).toString();
  const added = further.of === filter ? further : { items: [] };
  const first = usePolled(`api/v1/audit?${filter}`, { every: 5_000, quiet: added.items.length > 0 });
  const change = (name) => (event) => replace(to('holds', null, { ...query, [name]: event.target.value }));
  const items = [...(first.data?.items || []), ...added.items];
  const next = added.items.length ? added.next : first.data?.nextCursor;
  const more = async () => {
    const page = await send('GET', `api/v1/audit?${filter}&cursor=${next}`);
    set({ of: filter, items: [...added.items, ...page.items], next: page.nextCursor });
  };
  return html`<section><h2>Audit: who did what</h2>
    <form class="filters" aria-label="Filters of the audit log" onSubmit=${(event) => event.preventDefault()}>
      <${Field} label="Action"><${Choice} value=${query.action} options=${CHOICES} onChange=${change('action')} /></${Field}>
      <${Field} label="Key" value=${query.key || ''} onChange=${change('key')} />
    </form>
    ${
      !first.data
        ? html`<${Waiting} error=${first.error} />`
        : !items.length
          ? html`<${Empty}>Nothing on record.</${Empty}>`
          : html`
    <${Table} label="Audit log" head=${['When (UTC)', 'Who', 'Did what', 'To', 'Request']}>
      ${items.map(
        (one) =>
          html`<tr key=${one.id}>
            <td>${time(one.at)}</td>
            <td>${one.key}${one.osUser ? ` (${one.osUser})` : ''} <small class="muted">${one.role}</small></td>
            <td>${words(one.action.replace('.', ': '))}</td>
            <td><${Subject} of=${one} /></td>
            <td><code>${one.requestId ? shortId(one.requestId) : ''}</code></td>
          </tr>`,
      )}</${Table}>
    ${next && html`<p class="more"><button type="button" onClick=${more}>Show 50 more</button></p>`}`
    }</section>`;
}

function Subject({ of }) {
  const named = of.subjectId.length > 20 ? shortId(of.subjectId) : of.subjectId;
  return LINKS[of.subjectKind]
    ? html`<a href=${to(LINKS[of.subjectKind], of.subjectId)}>${of.subjectKind} <code>${named}</code></a>`
    : html`${of.subjectKind} ${named}`;
}
