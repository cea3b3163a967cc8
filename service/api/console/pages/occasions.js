// Occasions: the texts in every language with the greeting beside them, the rules, and a test.

import { useState } from '../vendor/hooks.mjs';
import { may } from '../access.js';
import { go, to } from '../address.js';
import { call, send, usePolled } from '../api.js';
import { duration, title, words } from '../format.js';
import { html } from '../html.js';
import { Choice, Empty, Field, Form, Problem, Waiting } from '../parts.js';

const WEEKEND = [
  ['keep', 'Greet on that day'],
  ['before', 'The Friday before'],
  ['after', 'The Monday after'],
];
const LEAP = [
  ['', 'As the setting says'],
  ['feb28', '28 February'],
  ['mar1', '1 March'],
  ['skip', 'Skip the year'],
];
const SAMPLE = { first_name: 'Ada', last_name: 'Lovelace', full_name: 'Ada Lovelace', years: '36' };

// How a text that is not saved yet will read. The node renders what is saved, and refuses what cannot be rendered.
const filled = (text) =>
  (text || '').replace(/\{\{|\}\}|\{(\w+)\}/g, (all, name) => (name ? SAMPLE[name] || all : all[0]));

export const Occasions = ({ id }) => (id ? html`<${One} code=${id} />` : html`<${List} />`);

function List() {
  const { data, error } = usePolled('api/v1/occasions', { every: 5_000 });
  const create = ({ code }) =>
    send(
      'PUT',
      `api/v1/occasions/${encodeURIComponent(code)}`,
      { text: `Hey, {first_name}, it is your ${words(code)}`, active: false },
      { headers: { 'If-None-Match': '*' } },
    ).then(() => go(to('occasions', code)));
  if (!data)
    return html`<h1>Occasions</h1>
      <${Waiting} error=${error} />`;
  return html`<h1>Occasions</h1>
    <${Problem} error=${error} />
    <ul class="cards">
      ${data.items.map(
        (one) =>
          html`<li key=${one.code} class="card">
            <h2><a data-row href=${to('occasions', one.code)}>${title(one.code)}</a></h2>
            <p class="state ${one.active ? 'sent' : 'cancelled'}">${one.active ? 'active' : 'not active'}</p>
            <blockquote><bdi>${filled(one.text)}</bdi></blockquote>
            <p class="muted">
              ${Object.keys(one.texts).length ? `Also in ${Object.keys(one.texts).join(', ')}. ` : ''}${one.sendAt ? `At ${one.sendAt}. ` : ''}${one.offsetDays ? `${one.offsetDays} days from the date. ` : ''}${WEEKEND.find(([name]) => name === one.weekend)[1]},
              at a weekend.
            </p>
          </li>`,
      )}
    </ul>
    ${
      may('operate') &&
      html`<section>
      <h2>A new occasion</h2>
      <${Form} act=${create} label="Create, not active">
        <${Field}
          label="Code"
          name="code"
          pattern="[a-z][a-z0-9_]*"
          required
          hint="Lower-case letters, digits and underscores, such as name_day. Users get a date for it."
        />
      </${Form}>
    </section>`
    }`;
}

function One({ code }) {
  const read = usePolled(`api/v1/occasions/${code}`, { quiet: true });
  if (!read.data)
    return html`<h1>${title(code)}</h1>
      <${Waiting} error=${read.error} />`;
  // A new version makes new fields: nobody edits over a change that they have not seen.
  return html`<div class="title">
      <h1>${title(code)}</h1>
      <a href=${to('occasions')}>All occasions</a>
    </div>
    <${Editor} key=${read.data.updatedAt} one=${read.data} etag=${read.etag} again=${read.again} /><${Test}
      one=${read.data}
    />`;
}

function Editor({ one, etag, again }) {
  const [texts, set] = useState([
    ['', { subject: one.subject, text: one.text, textWithoutYears: one.textWithoutYears }],
    ...Object.entries(one.texts),
  ]);
  const [language, name] = useState('');
  const change = (place, part) => (event) =>
    set(
      texts.map((entry, at) =>
        at === place ? [entry[0], { ...entry[1], [part]: event.target.value || null }] : entry,
      ),
    );
  const add = () => {
    if (language && !texts.some(([known]) => known === language))
      set([...texts, [language, { subject: null, text: '', textWithoutYears: null }]]);
    name('');
  };
  const remove = (place) => () => set(texts.filter((entry, at) => at !== place));
  const act = async (form) => {
    const [[, base], ...others] = texts;
    await call(`api/v1/occasions/${one.code}`, {
      method: 'PATCH',
      etag,
      headers: { 'Content-Type': 'application/merge-patch+json' },
      body: {
        ...base,
        texts: Object.fromEntries(others),
        weekend: form.weekend,
        leapDay: form.leapDay || null,
        sendAt: form.sendAt || null,
        offsetDays: Number(form.offsetDays),
        active: form.active === 'on',
      },
    });
    again();
  };
  const still = !may('operate');
  return html`<${Form} act=${act} label=${!still && 'Save'}>
    <fieldset class="plain" disabled=${still}>
      ${texts.map(
        ([tag, text], place) => html`<section key=${tag} class="text">
          <div class="fields">
            <h2>${tag || 'Default text'}</h2>
            <${Field} label="Subject" value=${text.subject || ''} onInput=${change(place, 'subject')} dir="auto" />
            <${Field} label="Text">
              <textarea dir="auto" required value=${text.text} onInput=${change(place, 'text')}></textarea>
            </${Field}>
            ${
              (text.textWithoutYears || text.text?.includes('{years}')) &&
              html`
              <${Field} label="Text where the year of the date is unknown">
                <textarea dir="auto" value=${text.textWithoutYears || ''} onInput=${change(place, 'textWithoutYears')}></textarea>
              </${Field}>`
            }
            ${tag && !still && html`<p><button type="button" class="link" onClick=${remove(place)}>Remove ${tag}</button></p>`}
          </div>
          <${Letter} subject=${text.subject || one.subject} text=${text.text} />
        </section>`,
      )}
      <p class="muted">You can use {first_name}, {last_name}, {full_name} and {years}.</p>
      ${
        !still &&
        html`<p class="actions">
          <input
            aria-label="Language tag, such as de or pt-BR"
            placeholder="de or pt-BR"
            value=${language}
            onInput=${(event) => name(event.target.value.trim())}
          />
          <button type="button" onClick=${add}>Add a language</button>
        </p>`
      }
      <div class="fields">
        <${Field} label="At a weekend"><${Choice} name="weekend" value=${one.weekend} options=${WEEKEND} /></${Field}>
        <${Field} label="29 February in other years"><${Choice} name="leapDay" value=${one.leapDay} options=${LEAP} /></${Field}>
        <${Field} label="Local time" name="sendAt" value=${one.sendAt || ''} placeholder="as the setting says" />
        <${Field} label="Days from the date" name="offsetDays" type="number" value=${one.offsetDays} />
      </div>
      <label class="check"><input type="checkbox" name="active" checked=${one.active} /> Active: greetings are sent for it</label>
      <p class="muted">What is unsent follows a change, at once. Taking the mark away cancels what is unsent.</p>
    </fieldset>
  </${Form}>`;
}

const Letter = ({ subject, text }) =>
  html`<div class="letter">
    <small class="muted">As Ada Lovelace gets it</small>
    <b><bdi>${filled(subject)}</bdi></b>
    <p dir="auto">${filled(text)}</p>
  </div>`;

function Test({ one }) {
  const [result, set] = useState(null);
  const act = async (form) =>
    set(
      await send('POST', `api/v1/occasions/${one.code}:testSend`, {
        to: form.to,
        ...(form.locale && { locale: form.locale }),
      }),
    );
  if (!may('operate')) return null;
  return html`<section>
    <h2>Send a test</h2>
    <p class="muted">One greeting with made-up values, as it is saved, to an address of yours. It counts for nobody.</p>
    <${Form} act=${act} label="Send a test">
      <div class="fields">
        <${Field} label="To" name="to" type="email" required />
        <${Field} label="Language" name="locale" placeholder="de-AT" />
      </div>
    </${Form}>
    ${result && html`<p class="done" role="status">${outcomeOf(result)}</p>`}
  </section>`;
}

function outcomeOf(result) {
  const outcome = result.outcome === 'accepted' ? 'The service accepted it' : `Not accepted: ${words(result.outcome)}`;
  const status = result.statusCode ? `, ${result.statusCode}` : '';
  return `${outcome}${status}, after ${duration(result.durationSeconds)}. ${result.error || ''}`;
}
