// Person: find somebody, see why they were greeted or not, and change what is known. The only page with personal data.

import { useEffect, useState } from '../vendor/hooks.mjs';
import { may } from '../access.js';
import { go, replace, to } from '../address.js';
import { call, send, usePolled } from '../api.js';
import { VIEWER_ZONE, city, clock, count, fullTime, time, title, words } from '../format.js';
import { html } from '../html.js';
import { Dialog, Empty, Field, Form, Id, Problem, Waiting, useOnce, Choice } from '../parts.js';
import { Rows } from './messages.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const TYPED = 300; // milliseconds without a key before a search begins
const REASONS = ['opt_out', 'bounce', 'complaint', 'manual'];

// Names of fields as words.
const field = (name) => title(name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));
const nameOf = (user) => [user.firstName, user.lastName].filter(Boolean).join(' ');

export const Person = ({ id, query }) => (id ? html`<${One} id=${id} />` : html`<${Search} q=${query.q || ''} />`);

function Search({ q }) {
  const [text, set] = useState(q);
  useEffect(() => {
    if (text === q) return undefined;
    const timer = setTimeout(() => replace(to('person', null, { q: text })), TYPED);
    return () => clearTimeout(timer);
  }, [text]);
  const submit = (event) => {
    event.preventDefault();
    if (UUID.test(text.trim())) go(to('person', text.trim()));
    else replace(to('person', null, { q: text }));
  };
  return html`<h1>People</h1>
    <form role="search" class="search" onSubmit=${submit}>
      <${Field}
        label="Part of a name or an address, or an id"
        type="search"
        autocomplete="off"
        data-focus
        value=${text}
        onInput=${(event) => set(event.target.value)}
      />
    </form>
    ${q.trim() ? html`<${Found} key=${q} q=${q.trim()} />` : html`<${Empty}>Type to find somebody. You see why they were greeted, or why not.</${Empty}>`}`;
}

const find = async (q) => {
  const by = UUID.test(q) ? [] : [`externalId=${encodeURIComponent(q)}`];
  const lists = await Promise.all(
    [`q=${encodeURIComponent(q)}`, ...by].map((one) => send('GET', `api/v1/users?limit=30&${one}`)),
  );
  return {
    items: [...new Map(lists.flatMap((list) => list.items).map((one) => [one.id, one])).values()],
    more: lists[0].nextCursor,
  };
};

function Found({ q }) {
  const { data, error } = useOnce(() => find(q), []);
  if (!data) return html`<${Waiting} error=${error} />`;
  return html`<p role="status" class="muted">
      ${data.more ? `The first ${count(data.items.length, 'person', 'people')}; there are more` : count(data.items.length, 'person', 'people')}
    </p>
    ${
      data.items.length > 0 &&
      html`<ul class="people">
        ${data.items.map(
          (one) =>
            html`<li key=${one.id}>
              <a data-row href=${to('person', one.id)}><bdi>${nameOf(one)}</bdi></a>
              <span class="muted"><bdi>${one.email}</bdi> · ${one.timezone}</span>
            </li>`,
        )}
      </ul>`
    }`;
}

function One({ id }) {
  const [dialog, show] = useState(null);
  const user = usePolled(`api/v1/users/${id}`, { every: 5_000 });
  const why = usePolled(`api/v1/users/${id}/explanation`, { every: 5_000 });
  const messages = usePolled(`api/v1/users/${id}/messages?order=desc&limit=20`, { every: 5_000 });
  const suppressed = usePolled(user.data && `api/v1/suppressions?email=${encodeURIComponent(user.data.email)}`, {
    every: 10_000,
  });
  const done = () => {
    show(null);
    [user, why, messages, suppressed].forEach((one) => one.again());
  };
  const close = () => show(null);
  if (!user.data && !why.data)
    return html`<h1>Person</h1>
      <${Waiting} error=${user.error || why.error} />`;
  const one = user.data;
  return html`<div class="title">
      <h1><bdi>${one ? nameOf(one) : 'A deleted user'}</bdi></h1>
      ${
        one &&
        may('write') &&
        html`<nav aria-label="Actions">
          <button type="button" onClick=${() => show('edit')}>Edit</button>
          <button type="button" onClick=${() => show('suppress')}>Suppress</button>
          ${may('admin') && html`<button type="button" class="stop" onClick=${() => show('erase')}>Erase</button>`}
        </nav>`
      }
    </div>
    ${
      one
        ? html`<dl class="facts wide">
            <div>
              <dt>Address</dt>
              <dd><bdi>${one.email}</bdi></dd>
            </div>
            <div>
              <dt>Zone</dt>
              <dd>${one.timezone}, ${why.data ? clock(why.data.now, one.timezone) : ''} there now</dd>
            </div>
            ${
              one.locale &&
              html`<div>
                <dt>Language</dt>
                <dd>${one.locale}</dd>
              </div>`
            }
            ${
              (one.locationCity || one.locationCountry) &&
              html`<div>
                <dt>Place</dt>
                <dd><bdi>${[one.locationCity, one.locationCountry].filter(Boolean).join(', ')}</bdi></dd>
              </div>`
            }
            ${Object.keys(one)
              .filter((name) => name.endsWith('Date') && one[name])
              .map(
                (name) =>
                  html`<div key=${name}>
                    <dt>${field(name.slice(0, -4))}</dt>
                    <dd>${one[name]}</dd>
                  </div>`,
              )}
            ${
              one.externalId &&
              html`<div>
                <dt>Your id</dt>
                <dd><bdi>${one.externalId}</bdi></dd>
              </div>`
            }
            <div>
              <dt>Id</dt>
              <dd><${Id} of=${one.id} label="the id of the person" /></dd>
            </div>
          </dl>`
        : html`<${Empty}>The user was deleted ${time(why.data.deletedAt)} UTC. The messages stay on record.</${Empty}>`
    }
    ${(suppressed.data?.items || []).map((entry) => html`<${Suppressed} key=${entry.id} entry=${entry} done=${done} />`)}
    <section>
      <h2>Greeted, or why not</h2>
      ${why.data ? html`<${Why} of=${why.data} />` : html`<${Waiting} error=${why.error} />`}
    </section>
    <section>
      <h2>Messages</h2>
      ${messages.data ? html`<${Rows} items=${messages.data.items} person=${false} />` : html`<${Waiting} error=${messages.error} />`}
    </section>
    ${dialog === 'edit' && html`<${Edit} user=${one} etag=${user.etag} close=${close} done=${done} />`}
    ${dialog === 'suppress' && html`<${Suppress} user=${one} close=${close} done=${done} />`}
    ${dialog === 'erase' && html`<${Erase} user=${one} close=${close} />`}`;
}

// One line for each year and occasion, the newest year first.
function Why({ of }) {
  const verdict = (day) =>
    day.status === 'sent'
      ? ['sent', 'Greeted']
      : day.held
        ? ['held', 'Held']
        : day.leftOut === 'no_date'
          ? ['cancelled', 'No date']
          : day.leftOut
            ? [
                day.leftOut === 'unknown'
                  ? 'unknown'
                  : ['failed', 'too_late_to_send'].includes(day.leftOut)
                    ? 'failed'
                    : 'cancelled',
                day.sendAt > of.now ? 'Will not be greeted' : 'Not greeted',
              ]
            : ['sending', day.sendAt > of.now ? 'Will be greeted' : 'On its way'];
  const days = [...of.days].sort(
    (one, other) => other.localYear - one.localYear || one.occasion.localeCompare(other.occasion),
  );
  return html`<ul class="verdicts">
    ${days.map((day) => {
      const [kind, text] = verdict(day);
      return html`<li key=${day.occasion + day.localYear}>
        <span class="when"><b>${day.localYear}</b> ${words(day.occasion)}</span
        ><span class=${`state ${kind}`}>${text}</span>
        <p>
          ${day.why} ${day.messageId && html`<a href=${to('message', day.messageId)}>Its life</a>`}
          ${day.sendAt && html`<small class="also">${fullTime(day.sendAt)} UTC${VIEWER_ZONE !== 'UTC' && `, ${fullTime(day.sendAt, VIEWER_ZONE)} in ${city(VIEWER_ZONE)}`}</small>`}
        </p>
      </li>`;
    })}
  </ul>`;
}

function Suppressed({ entry, done }) {
  const [error, fail] = useState(null);
  const lift = () => send('DELETE', `api/v1/suppressions/${entry.id}`).then(done, fail);
  return html`<div class="problem">
    <strong>The address gets nothing</strong>: ${words(entry.reason)}, since ${time(entry.createdAt)} UTC, from${' '}
    <bdi>${entry.source}</bdi>.
    ${may('write') && html` <button type="button" class="link" onClick=${lift}>Remove the suppression</button>`}<${Problem}
      error=${error}
    />
  </div>`;
}

function Edit({ user, etag, close, done }) {
  const fields = Object.keys(user).filter((name) => !['id', 'createdAt', 'updatedAt'].includes(name));
  const needed = ['firstName', 'email', 'timezone'];
  const act = async (form) => {
    const changed = fields.filter((name) => form[name] !== (user[name] ?? ''));
    await call(`api/v1/users/${user.id}`, {
      method: 'PATCH',
      etag,
      headers: { 'Content-Type': 'application/merge-patch+json' },
      body: Object.fromEntries(changed.map((name) => [name, form[name] === '' ? null : form[name]])),
    });
    done();
  };
  return html`<${Dialog} title="Edit" close=${close}>
    <p class="muted">
      A change of the zone or of a date plans the greetings again, at once. Nobody is greeted twice in a year.
    </p>
    <${Form} act=${act} label="Save" cancel=${close}><div class="fields">
      ${fields.map(
        (name) =>
          html`<${Field}
            key=${name}
            name=${name}
            dir="auto"
            label=${field(name)}
            value=${user[name] ?? ''}
            required=${needed.includes(name)}
            placeholder=${name.endsWith('Date') ? 'YYYY-MM-DD or --MM-DD' : ''}
          />`,
      )}</div></${Form}></${Dialog}>`;
}

function Suppress({ user, close, done }) {
  const act = async (form) => {
    await send('POST', 'api/v1/suppressions', {
      email: user.email,
      reason: form.reason,
      source: form.source || 'console',
    });
    done();
  };
  return html`<${Dialog} title="Suppress the address?" close=${close}>
    <p><bdi>${user.email}</bdi> gets nothing any more.</p>
    <p>What is unsent is cancelled, and removing the suppression does not bring it back.</p>
    <${Form} act=${act} label="Suppress" kind="stop" cancel=${close}>
      <${Field} label="Reason"><${Choice} name="reason" options=${REASONS.map((one) => [one, words(one)])} value="opt_out" /></${Field}>
      <${Field} label="Where it comes from" name="source" placeholder="console" /></${Form}></${Dialog}>`;
}

function Erase({ user, close }) {
  const [typed, set] = useState('');
  const act = async () => {
    await send('DELETE', `api/v1/users/${user.id}?erase=true`);
    close();
    go(to('person'));
  };
  return html`<${Dialog} title="Erase this person?" close=${close}>
    <p>Name, address, place and dates are removed for ever, and what is unsent is cancelled.</p>
    <p>The messages stay on record without them. This cannot be undone.</p>
    <${Form} act=${act} label="Erase for ever" kind="stop" disabled=${typed.trim() !== user.email} cancel=${close}>
      <${Field}
        label=${html`Type <b><bdi>${user.email}</bdi></b> to confirm`}
        autocomplete="off"
        data-focus
        value=${typed}
        onInput=${(event) => set(event.target.value)}
      />
    </${Form}>
  </${Dialog}>`;
}
