// Holds and audit: what is stopped, by whom and why, and who did what.

import { html } from '../html.js';
import { replace, search, to } from '../address.js';
import { may, usePolled } from '../api.js';
import { fullTime as time, shortId, title, words } from '../format.js';
import { Field, Problem, Release, State, Table, Waiting, usePages } from '../parts.js';

const ACTIONS = [
  'hold.created',
  'hold.released',
  'limit.changed',
  'limit.removed',
  'occasion.created',
  'occasion.changed',
  'occasion.deleted',
  'occasion.test_sent',
  'suppression.added',
  'suppression.removed',
  'messages.redriven',
  'messages.mended',
  'user.deleted',
  'user.erased',
  'job.run',
  'database.adopted',
  'year.pruned',
];
const PAGES = { message: 'message', user: 'person', occasion: 'occasions' };

const action = (name) => words(name.replace('.', ': '));

export function Holds({ query, today }) {
  const { data, error, again } = usePolled('holds?all=true&limit=50');
  const done = () => {
    again();
    today.again();
  };
  return html`<h1>Holds and audit</h1>
    <section>
      <h2>Holds</h2>
      ${
        data
          ? html`<${Problem} error=${error} />
              <${Table}
                label="Holds"
                head=${['What', 'State', 'Since (UTC)', 'By', 'Reason', 'Until (UTC)']}
                rows=${data.items.map((one) => [
                  one.id,
                  one.occasion ? title(one.occasion) : 'Everything',
                  html`<${State} of=${one.active ? 'held' : 'cancelled'}>${one.active ? 'held' : 'ended'}<//>`,
                  time(one.createdAt),
                  one.author,
                  html`<bdi class="why">${one.reason}</bdi>`,
                  html`${one.releasedAt ? `${time(one.releasedAt)} by ${one.releasedBy}` : one.until ? time(one.until) : 'released'} ${one.active && html`<${Release} id=${one.id} done=${done} />`}`,
                ])}
              />
              ${!data.items.length && html`<p class="empty">Nothing has been held.</p>`}`
          : html`<${Waiting} error=${error} />`
      }
    </section>
    <section>
      <h2>Audit log</h2>
      ${may('admin') ? html`<${Audit} query=${query} />` : html`<p class="empty">A key with the role admin reads the audit log.</p>`}
    </section>`;
}

function Audit({ query }) {
  const { data, items, error, more, rest } = usePages(`audit${search(query)}`);
  const change = (name) => (value) => replace('holds', null, { ...query, [name]: value });
  return html`<div class="filters">
      <${Field} label="Action" value=${query.action} options=${[['', 'All'], ...ACTIONS.map((one) => [one, action(one)])]} set=${change('action')} />
      <${Field} label="Key" value=${query.key} set=${change('key')} />
    </div>
    ${
      data
        ? html`<${Problem} error=${error} />
            <${Table}
              label="Audit log"
              head=${['When (UTC)', 'Who', 'Did what', 'To', 'Request']}
              rows=${items.map((one) => [
                one.id,
                time(one.at),
                html`${one.key}${one.osUser && ` (${one.osUser})`} <small class="muted">${one.role}</small>`,
                action(one.action),
                subject(one),
                html`<code>${one.requestId && shortId(one.requestId)}</code>`,
              ])}
            />
            ${rest()}${more}`
        : html`<${Waiting} error=${error} />`
    }`;
}

function subject({ subjectKind, subjectId }) {
  const text = `${subjectKind} ${subjectId.length > 20 ? shortId(subjectId) : subjectId}`;
  return PAGES[subjectKind] ? html`<a href=${to(PAGES[subjectKind], subjectId)}>${text}</a>` : text;
}
