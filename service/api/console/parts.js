// Small pieces that several pages show.

import { useEffect, useRef, useState } from './vendor/hooks.mjs';
import { to } from './address.js';
import { freshness, send } from './api.js';
import { VIEWER_ZONE, city, duration, fullTime, shortId, STATES, words } from './format.js';
import { html } from './html.js';

// A state in words and colour, never in colour alone.
export const State = ({ of }) => html`<span class=${`state ${of}`} title=${STATES[of]}>${words(of)}</span>`;

// One instant in all zones that matter, as a list.
export const Zones = ({ at, zone }) =>
  html`<dl class="zones">
    ${[...new Set(['UTC', zone, VIEWER_ZONE])].filter(Boolean).map(
      (one) =>
        html` <div>
          <dt>
            ${one === zone && one !== 'UTC' ? `Person, ${city(one)}` : one === 'UTC' ? 'UTC' : `You, ${city(one)}`}
          </dt>
          <dd>${fullTime(at, one)}</dd>
        </div>`,
    )}
  </dl>`;

// An error says what is the case, and what to do.
export const Problem = ({ error }) =>
  error &&
  html`<div class="problem" role="alert">
    <strong>${error.message}</strong> ${error.advice}
    ${
      error.errors?.length > 0 &&
      html`<ul>
        ${error.errors.map((one) => html`<li><b>${one.field}</b>: ${one.message}</li>`)}
      </ul>`
    }
    ${error.requestId && html`<small>Request ${error.requestId}</small>`}
  </div>`;

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

// What a page shows while it has nothing yet, and when it cannot have it.
export const Waiting = ({ error }) =>
  error ? html`<${Problem} error=${error} />` : html`<p class="empty" aria-busy="true">Reading…</p>`;

// Copies without the clipboard API where that is missing, as over plain HTTP.
export function Copy({ text, label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else {
      const field = document.createElement('textarea');
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand('copy');
      field.remove();
    }
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="quiet copy" aria-label=${`Copy ${label}`} onClick=${copy}>
    ${done ? 'Copied' : 'Copy'}
  </button>`;
}

export const Id = ({ of, label }) => html`<code class="id">${of}</code> <${Copy} text=${of} label=${label} />`;

export const PersonLink = ({ id }) => html`<a href=${to('person', id)} title=${id}><code>${shortId(id)}</code></a>`;

// Give the focus back once the page is drawn: to an element if it is still there, else to the page.
export const giveFocus = (element) =>
  requestAnimationFrame(() => (element?.isConnected ? element : document.getElementById('main'))?.focus());

// A modal dialog. Polling pauses while it is open, and the focus returns to where it was.
export function Dialog({ title, close, children }) {
  const dialog = useRef();
  useEffect(() => {
    const opener = document.activeElement;
    freshness.paused += 1;
    dialog.current.showModal();
    dialog.current.querySelector('[data-focus]')?.focus();
    return () => {
      freshness.paused -= 1;
      giveFocus(opener);
    };
  }, []);
  return html`<dialog
    ref=${dialog}
    aria-labelledby="dialog-title"
    onCancel=${(event) => {
      event.preventDefault();
      close();
    }}
  >
    <header>
      <h2 id="dialog-title">${title}</h2>
      <button type="button" class="quiet" onClick=${close} aria-label="Close">✕</button>
    </header>
    ${children}
  </dialog>`;
}

// A form that sends: it shows what was refused, and cannot be sent twice at once.
export function Form({ act, label, kind = 'main', cancel, disabled, children }) {
  const [state, set] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    if (state.busy) return;
    set({ busy: true });
    try {
      await act(Object.fromEntries(new FormData(event.target)));
      set({});
    } catch (error) {
      if (error.status === undefined) throw error;
      set({ error });
    }
  };
  return html`<form onSubmit=${submit}>
    ${children}<${Problem} error=${state.error} /> ${
      label &&
      html`<p class="actions">
        <button class=${kind} disabled=${disabled || state.busy}>${state.busy ? 'Sending…' : label}</button>
        ${cancel && html`<button type="button" class="quiet" onClick=${cancel}>Cancel</button>`}
      </p>`
    }
  </form>`;
}

export const Field = ({ label, hint, children, ...rest }) =>
  html`<label class="field"
    ><span>${label}</span> ${children || html`<input ...${rest} />`}${hint && html`<small>${hint}</small>`}</label
  >`;

export const Choice = ({ options, value, ...rest }) =>
  html`<select ...${rest}>
    ${options.map(([name, text]) => html`<option value=${name} selected=${name === (value || '')}>${text}</option>`)}
  </select>`;

// A table that scrolls by itself, also by keyboard. A heading `['Attempts', 'number']` is that of a column of numbers.
export const Table = ({ label, head, kind, children }) =>
  html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table class=${kind}>
      <thead>
        <tr>
          ${head.map((one) => html`<th scope="col" class=${Array.isArray(one) ? one[1] : ''}>${Array.isArray(one) ? one[0] : one}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${children}
      </tbody>
    </table>
  </div>`;

// Every drawing has a table behind it.
export const AsTable = ({
  head,
  rows,
  label = 'Show as a table',
}) => html`<details class="as-table"><summary>${label}</summary>
  <${Table} label="Table" head=${head}>${rows.map(
    (row) =>
      html`<tr>
        ${row.map((cell, place) => html`<td class=${typeof cell === 'number' ? 'number' : ''} key=${place}>${cell}</td>`)}
      </tr>`,
  )}</${Table}></details>`;

// Says in the banner that what is shown is old, and for how long. Goes away by itself.
export function Stale() {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!freshness.failed) return html`<div role="status" class="none"></div>`;
  return html`<div role="status" class="banner stale">
    The node does not answer, or cannot read its servers. You see what was known${' '}
    ${duration(Math.max(1, Math.round((now - freshness.answered) / 1000)))} ago. The console tries again every two
    seconds.
  </div>`;
}

// The width of an element in CSS pixels, so that drawings use the room that there is.
export function useWidth() {
  const element = useRef();
  const [width, set] = useState(0);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => set(Math.round(entry.contentRect.width)));
    watcher.observe(element.current);
    return () => watcher.disconnect();
  }, []);
  return [element, width];
}

// A further read that is not repeated, such as the pages after the first.
export function useOnce(read, on) {
  const [state, set] = useState({});
  useEffect(() => {
    let ended = false;
    read().then(
      (data) => ended || set({ data }),
      (error) => ended || set({ error }),
    );
    return () => {
      ended = true;
    };
  }, on);
  return state;
}

// Release a hold. Its button goes away with it.
export const release = async (id) => {
  await send('POST', `api/v1/holds/${id}:release`);
  giveFocus(null);
};
