// Occasions: the texts in every language with the greeting beside them, the rules, and a test.

import { html, useState } from '../html.js';
import { go, to } from '../address.js';
import { may, send, usePolled } from '../api.js';
import { title, words } from '../format.js';
import { Button, Field, Form, Problem, State, Waiting, useEdit } from '../parts.js';
import { Attempt } from './message.js';

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
const filled = (text) => text?.replace(/\{\{|\}\}|\{(\w+)\}/g, (all, name) => (name ? SAMPLE[name] || all : all[0]));

export const Occasions = ({ id }) => (id ? html`<${One} code=${id} />` : html`<${List} />`);

function List() {
  const { data, error } = usePolled('occasions');
  const create = async ({ code }) => {
    const text = `Hey, {first_name}, it is your ${words(code)}`;
    await send('PUT', `occasions/${code}`, { text, active: false }, { 'If-None-Match': '*' }).catch((error) => {
      if (error.status === 412) Object.assign(error, { message: `There is an occasion ${code}.`, advice: null });
      throw error;
    });
    go('occasions', code);
  };
  if (!data) return html`<${Waiting} title="Occasions" error=${error} />`;
  return html`<h1>Occasions</h1>
    <${Problem} error=${error} />
    <ul class="cards">${data.items.map(
      ({ code, active, text, texts, sendAt, offsetDays, weekend }) =>
        html`<li key=${code} class="card">
          <h2><a data-row href=${to('occasions', code)}>${title(code)}</a></h2>
          <${State} of=${active ? 'sent' : 'cancelled'}>${active ? 'active' : 'not active'}<//>
          <blockquote><bdi>${filled(text)}</bdi></blockquote>
          <p class="muted">${[
            ...Object.keys(texts),
            sendAt,
            offsetDays && `${offsetDays} days from the date`,
            `at a weekend: ${WEEKEND.find(([name]) => name === weekend)[1]}`,
          ]
            .filter(Boolean)
            .join(', ')}</p>
        </li>`,
    )}</ul>
    ${
      may('operate') &&
      html`<section>
        <h2>A new occasion</h2>
        <${Form} act=${create} label="Create, not active">
          <${Field} label="Code" name="code" pattern="[a-z][a-z0-9_]*" required hint="Lower-case letters, digits and underscores, such as name_day. Users get a date for it." />
        <//>
      </section>`
    }`;
}

function One({ code }) {
  const [saved, set] = useState();
  const { data, error, etag, again } = usePolled(`occasions/${code}`, { quiet: true });
  if (!data) return html`<${Waiting} title=${title(code)} error=${error} />`;
  // A new version makes new fields: no person edits over a change that they have not seen.
  return html`<div class="title"><h1>${title(code)}</h1><a href=${to('occasions')}>All occasions</a></div>
    <p role="status" class=${saved && 'done'}>${saved}</p>
    <${Editor} key=${etag} one=${data} etag=${etag} again=${again} tell=${set} />
    ${may('operate') && html`<${Test} code=${code} />`}`;
}

function Editor({ one, etag, again, tell }) {
  const [texts, set] = useState({ '': one, ...one.texts });
  const [language, name] = useState('');
  const [save, note] = useEdit(`occasions/${one.code}`, one, etag);
  const change = (tag, text) => set({ ...texts, [tag]: { ...texts[tag], ...text } });
  const act = async ({ weekend, leapDay, sendAt, offsetDays, active }) => {
    tell('');
    const { '': base, ...others } = texts;
    await save({
      ...base,
      texts: others,
      weekend,
      leapDay: leapDay || null,
      sendAt: sendAt || null,
      offsetDays: Number(offsetDays),
      active: active === 'on',
    });
    tell('Saved');
    again();
  };
  // Adds the language. Else it would save everything.
  const enter = (event) => event.key === 'Enter' && (event.preventDefault(), change(language, {}));
  const still = !may('operate');
  return html`<${Form} act=${act} label=${!still && 'Save'}>
    <fieldset class="plain" disabled=${still}>
      ${Object.entries(texts).map(([tag, { subject, text, textWithoutYears }]) => {
        const typed = (part) => (value) => change(tag, { [part]: value || null });
        return html`<section key=${tag} class="text">
          <div class="fields">
            <h2>${tag || 'Default text'}</h2>
            <${Field} label="Subject" value=${subject} typed=${typed('subject')} />
            <${Field} label="Text" as="textarea" required value=${text} typed=${typed('text')} />
            ${(textWithoutYears || text?.includes('{years}')) && html`<${Field} label="Text where the year of the date is unknown" as="textarea" value=${textWithoutYears} typed=${typed('textWithoutYears')} />`}
            ${tag && !still && html`<p><${Button} kind="link" act=${() => set(({ [tag]: _, ...others }) => others)}>Remove ${tag}<//></p>`}
          </div>
          <div class="letter">
            <small class="muted">As Ada Lovelace gets it</small>
            <b><bdi>${filled(subject || one.subject)}</bdi></b>
            <p dir="auto">${filled(text)}</p>
          </div>
        </section>`;
      })}
      <p class="muted">You can use {first_name}, {last_name}, {full_name} and {years}.</p>
      ${
        !still &&
        html`<div class="actions">
          <${Field} label="Language" placeholder="de or pt-BR" value=${language} typed=${name} onKeyDown=${enter} />
          <${Button} act=${() => change(language, {})}>Add a language<//>
        </div>`
      }
      <div class="fields">
        <${Field} label="At a weekend" name="weekend" value=${one.weekend} options=${WEEKEND} />
        <${Field} label="29 February in other years" name="leapDay" value=${one.leapDay} options=${LEAP} />
        <${Field} label="Send at, local time" name="sendAt" value=${one.sendAt} placeholder="as the setting says" />
        <${Field} label="Days from the date" name="offsetDays" type="number" value=${one.offsetDays} />
      </div>
      <label class="check"><input type="checkbox" name="active" defaultChecked=${one.active} /> Active: greetings are sent for it</label>
      <p class="muted">Unsent greetings follow a change at once. Without the mark they are cancelled.</p>
      ${note}
    </fieldset>
  <//>`;
}

function Test({ code }) {
  const [result, set] = useState();
  const act = async (typed) => {
    set();
    set(await send('POST', `occasions/${code}:testSend`, { ...typed, years: 36, locale: typed.locale || null }));
  };
  return html`<section>
    <h2>Send a test</h2>
    <p class="muted">A greeting with made-up values, as saved, to your own address. It is not counted.</p>
    <${Form} act=${act} label="Send a test">
      <div class="fields">
        <${Field} label="To" name="to" type="email" required />
        <${Field} label="Language" name="locale" placeholder="de-AT" />
      </div>
    <//>
    ${result && html`<div class=${result.outcome === 'accepted' ? 'done' : 'problem'} role="status"><b>${title(result.outcome)}</b><${Attempt} of=${result} /></div>`}
  </section>`;
}
