// Person: find a user, see why they were greeted or not, and change what is known. The only page with personal data.

import { html, useEffect, useState } from '../html.js';
import { go, replace, search, to } from '../address.js';
import { may, send, usePolled } from '../api.js';
import { VIEWER_ZONE, city, clock, count, fullTime, time, words } from '../format.js';
import { Button, Dialog, Facts, Field, Form, Id, State, Waiting, field, useEdit, useOnce } from '../parts.js';
import { Rows } from './messages.js';

const UUID = /^[0-9a-f-]{36}$/i;
// Milliseconds without a key before a search begins.
const TYPED = 300;
const REASONS = ['opt_out', 'bounce', 'complaint', 'manual'];
const SLOW = { every: 10_000 };

const nameOf = (user) => [user.firstName, user.lastName].filter(Boolean).join(' ');

export const Person = ({ id, query }) => (id ? html`<${One} id=${id} />` : html`<${Search} q=${query.q || ''} />`);

function Search({ q }) {
  const [text, set] = useState(q);
  const find = () => replace('person', null, { q: text.trim() });
  useEffect(() => {
    const timer = text !== q && setTimeout(find, TYPED);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => {
    if (!q) set('');
  }, [q]);
  const submit = (event) => {
    event.preventDefault();
    // A search finds no deleted person. An id of another system may look like one of heyday.
    const id = text.trim();
    if (UUID.test(id)) send('GET', `users/${id}/explanation`).then(() => go('person', id), find);
    else find();
  };
  return html`<h1>People</h1>
    <form role="search" class="search" onSubmit=${submit}>
      <${Field} label="Part of a name or an address, or an id" type="search" autocomplete="off" data-focus value=${text} typed=${set} />
    </form>
    ${q ? html`<${Found} key=${q} q=${q} />` : html`<p class="empty">You see why somebody was greeted, or why not.</p>`}`;
}

function Found({ q }) {
  const [users, add] = useState({});
  const read = async (path) => {
    const found = await send('GET', `users${path}`);
    add((before) => (found.items || [found]).reduce((all, one) => ({ ...all, [one.id]: one }), before));
    return found;
  };
  const list = (by, cursor) => read(search({ limit: 30, [by]: q, cursor }));
  const [next, goOn] = useState();
  // A page looks at a bounded number of users, so it may have none of them although there are more.
  const look = async (wanted = () => true) => {
    for (let pages = 20, cursor = next, page; pages-- && !page?.items.length && cursor !== null && wanted(); ) {
      page = await list('q', cursor);
      cursor = page.nextCursor;
      goOn(cursor);
    }
  };
  const { data, error } = useOnce(async (wanted) => {
    await Promise.all([
      list('externalId'),
      q.includes('@') && list('email'),
      UUID.test(q) && read(`/${q}`).catch((error) => error.status === 404 || Promise.reject(error)),
    ]);
    await look(wanted);
    return 1;
  });
  const items = Object.values(users);
  if (!data && !items.length) return html`<${Waiting} error=${error} />`;
  return html`<p role="status" class="muted">${count(items.length, 'person', 'people')}${next && ' so far'}</p>
    <ul class="people">${items.map(
      (one) =>
        html`<li key=${one.id}>
          <a data-row href=${to('person', one.id)}><bdi>${nameOf(one)}</bdi></a>
          <span class="muted"><bdi>${one.email}</bdi> · ${one.timezone}</span>
        </li>`,
    )}</ul>
    ${next && html`<p class="more"><${Button} act=${() => look()}>Search on<//></p>`}`;
}

function One({ id }) {
  const [dialog, show] = useState();
  const user = usePolled(`users/${id}`);
  const why = usePolled(`users/${id}/explanation`, SLOW);
  const messages = usePolled(`users/${id}/messages?order=desc&limit=20`, SLOW);
  const suppressed = usePolled(user.data && `suppressions?email=${encodeURIComponent(user.data.email)}`, SLOW);
  useEffect(() => user.error?.status === 404 && why.again(), [user.error]);
  const close = () => show();
  const done = () => {
    close();
    [user, why, messages, suppressed].forEach((one) => one.again());
  };
  const one = user.data;
  if (!one && !why.data?.deletedAt) return html`<${Waiting} title="Person" error=${user.error || why.error} />`;
  const Shown = dialog;
  return html`<div class="title">
      <h1><bdi>${one ? nameOf(one) : 'A deleted user'}</bdi></h1>
      ${
        one &&
        may('write') &&
        html`<nav aria-label="Actions">
          <${Button} act=${() => show(() => Edit)}>Edit<//>
          <${Button} act=${() => show(() => Suppress)}>Suppress<//>
          ${may('admin') && html`<${Button} kind="stop" act=${() => show(() => Erase)}>Erase<//>`}
        </nav>`
      }
    </div>
    ${
      one
        ? html`<${Facts}
            kind="wide"
            of=${{
              Address: html`<bdi>${one.email}</bdi>`,
              Zone: `${one.timezone}${why.data ? `, ${clock(why.data.now, one.timezone)} there now` : ''}`,
              Language: one.locale,
              Place: html`<bdi>${[one.locationCity, one.locationCountry].filter(Boolean).join(', ') || '–'}</bdi>`,
              ...Object.fromEntries(
                Object.keys(one)
                  .filter((name) => name.endsWith('Date'))
                  .map((name) => [field(name.slice(0, -4)), one[name]]),
              ),
              'Your id': one.externalId && html`<bdi>${one.externalId}</bdi>`,
              Id: html`<${Id} of=${id} />`,
            }}
          />`
        : html`<p class="empty">The user was deleted ${time(why.data.deletedAt)} UTC. The messages stay on record.</p>`
    }
    ${suppressed.data?.items.map(
      (entry) =>
        html`<div key=${entry.id} class="problem">
          <strong>The address gets nothing</strong>: ${words(entry.reason)}, since ${time(entry.createdAt)} UTC, from <bdi>${entry.source}</bdi>.
          ${may('write') && html` <${Button} kind="link" act=${() => send('DELETE', `suppressions/${entry.id}`).then(done)}>Remove the suppression<//>`}
        </div>`,
    )}
    <section>
      <h2>Greeted, or why not</h2>
      ${why.data ? html`<${Why} of=${why.data} />` : html`<${Waiting} error=${why.error} />`}
    </section>
    <section>
      <h2>Messages</h2>
      ${messages.data ? html`<${Rows} items=${messages.data.items} />` : html`<${Waiting} error=${messages.error} />`}
    </section>
    ${one && dialog && html`<${Shown} user=${one} etag=${user.etag} close=${close} done=${done} />`}`;
}

// The state that a day's line has the colour of, and its words.
function verdict({ status, held, leftOut, sendAt }, now) {
  const ahead = sendAt > now;
  if (status === 'sent') return ['sent', 'Greeted'];
  if (held) return ['held', 'Held'];
  if (leftOut === 'no_date') return ['cancelled', 'No date'];
  if (!leftOut) return ['sending', ahead ? 'Will be greeted' : 'On its way'];
  const kind = { unknown: 'unknown', failed: 'failed', too_late_to_send: 'failed' }[leftOut] || 'cancelled';
  return [kind, ahead ? 'Will not be greeted' : 'Not greeted'];
}

// One line for each year and occasion, the newest year first.
function Why({ of }) {
  return html`<ul class="verdicts">${of.days.toReversed().map((day) => {
    const [kind, text] = verdict(day, of.now);
    return html`<li key=${day.occasion + day.localYear}>
      <span class="when"><b>${day.localYear}</b> ${words(day.occasion)}</span>
      <${State} of=${kind}>${text}<//>
      <p>
        ${day.why} ${day.messageId && html`<a href=${to('message', day.messageId)}>Its life</a>`}
        ${day.sendAt && html`<small class="also">${fullTime(day.sendAt)} UTC${VIEWER_ZONE !== 'UTC' && `, ${fullTime(day.sendAt, VIEWER_ZONE)} in ${city(VIEWER_ZONE)}`}</small>`}
      </p>
    </li>`;
  })}</ul>`;
}

function Edit({ user, etag, close, done }) {
  const [save, note] = useEdit(`users/${user.id}`, user, etag);
  const act = async (form) => {
    await save(Object.fromEntries(Object.entries(form).map(([name, value]) => [name, value || null])));
    done();
  };
  return html`<${Dialog} title="Edit" close=${close}>
    <p class="muted">A change of the zone or of a date plans the greetings again, at once. Nobody is greeted twice in a year.</p>
    <${Form} act=${act} label="Save" cancel=${close}>
      <div class="fields">
        ${Object.keys(user)
          .filter((name) => !['id', 'createdAt', 'updatedAt'].includes(name))
          .map(
            (name) =>
              html`<${Field}
                key=${name}
                name=${name}
                label=${field(name)}
                value=${user[name]}
                required=${['firstName', 'email', 'timezone'].includes(name)}
                placeholder=${name.endsWith('Date') ? 'YYYY-MM-DD or --MM-DD' : ''}
              />`,
          )}
      </div>
      ${note}
    <//>
  <//>`;
}

function Suppress({ user, close, done }) {
  const act = async ({ reason, source }) => {
    await send('POST', 'suppressions', { email: user.email, reason, source: source || 'console' });
    done();
  };
  return html`<${Dialog} title="Suppress the address?" close=${close}>
    <p><bdi>${user.email}</bdi> gets nothing any more. What is unsent is cancelled, and removing the suppression does not bring it back.</p>
    <${Form} act=${act} label="Suppress" kind="stop" cancel=${close}>
      <${Field} label="Reason" name="reason" options=${REASONS.map((one) => [one, words(one)])} />
      <${Field} label="Where it comes from" name="source" placeholder="console" />
    <//>
  <//>`;
}

function Erase({ user, close }) {
  const [typed, set] = useState('');
  const act = async () => {
    await send('DELETE', `users/${user.id}?erase=true`);
    close();
    go('person');
  };
  return html`<${Dialog} title="Erase this person?" close=${close}>
    <p>Name, address, place and dates are removed for ever, and what is unsent is cancelled. The messages stay on record without them. This cannot be undone.</p>
    <${Form} act=${act} label="Erase for ever" kind="stop" disabled=${typed.trim() !== user.email} cancel=${close}>
      <${Field} label=${html`Type <b><bdi>${user.email}</bdi></b> to confirm`} autocomplete="off" data-focus value=${typed} typed=${set} />
    <//>
  <//>`;
}
