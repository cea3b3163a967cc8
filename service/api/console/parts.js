// Small pieces that several pages show.

import { html, useEffect, useRef, useState } from './html.js';
import { to } from './address.js';
import { EVERY, call, freshness, may, send, usePolled } from './api.js';
import { STATES, VIEWER_ZONE, city, count, duration, fullTime, number, shortId, title, words } from './format.js';

// A state in words and colour, never in colour alone.
export const State = ({ of, children }) =>
  html`<span class="state ${of}" title=${STATES[of]}>${children || words(of)}</span>`;

// Names and what they are. A name without a value is left out.
export const Facts = ({ of, kind = '' }) =>
  html`<dl class="facts ${kind}">${Object.entries(of).map(
    ([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl>`;

// One instant in all zones that matter.
export const Zones = ({ at, zone }) =>
  html`<${Facts} of=${{
    UTC: fullTime(at),
    [`Person, ${city(zone)}`]: zone !== 'UTC' && fullTime(at, zone),
    [`You, ${city(VIEWER_ZONE)}`]: !['UTC', zone].includes(VIEWER_ZONE) && fullTime(at, VIEWER_ZONE),
  }} />`;

// An error says what is the case, and what to do.
export const Problem = ({ error }) =>
  error &&
  html`<div class="problem" role="alert">
    <strong>${error.message}</strong> ${error.advice}
    <ul>${error.errors?.map((one) => html`<li><b>${one.field && `${field(one.field)}: `}</b>${one.message}</li>`)}</ul>
    ${error.requestId && html`<small>Request ${error.requestId}</small>`}
  </div>`;

// What a page shows while it has nothing yet, and when it cannot have it.
export const Waiting = ({ title, error }) => html`
  ${title && html`<h1>${title}</h1>`}
  ${error ? html`<${Problem} error=${error} />` : html`<p class="empty" aria-busy="true">Reading…</p>`}`;

// Runs what a person asks for, once at a time. Returns [run, busy, error].
function useAct(act) {
  const [{ busy, error }, set] = useState({});
  const run = async (...given) => {
    if (busy) return;
    set({ busy: true });
    try {
      await act(...given);
      set({});
    } catch (error) {
      set({ error });
      if (error.status === undefined) throw error;
    }
  };
  return [run, busy, error];
}

// A button that says beside it what was refused.
export function Button({ act, kind, children, ...rest }) {
  const [run, , error] = useAct(act);
  return html`<button type="button" class=${kind} onClick=${run} ...${rest}>${children}</button><${Problem} error=${error} />`;
}

// A form that sends: it shows what was refused, and cannot be sent twice at once.
export function Form({ act, label, kind = 'main', cancel, disabled, children }) {
  const [run, busy, error] = useAct((event) => act(Object.fromEntries(new FormData(event.target))));
  const submit = (event) => {
    event.preventDefault();
    run(event);
  };
  return html`<form onSubmit=${submit}>
    ${children}<${Problem} error=${error} />
    ${
      label &&
      html`<p class="actions">
        <button class=${kind} disabled=${disabled}>${busy ? 'Sending…' : label}</button>
        ${cancel && html`<${Button} kind="quiet" act=${cancel}>Cancel<//>`}
      </p>`
    }
  </form>`;
}

const heard = (act) => act && ((event) => act(event.target.value));

// A field with its label. `set` hears a value that is chosen, `typed` hears each key. Without `typed`, what is typed stays
// until it is chosen or its form is sent, also when the page is drawn again.
export function Field({ label, hint, as = 'input', options, value = '', set, typed, ...rest }) {
  const input = useRef();
  useEffect(() => {
    // Not at once: a date has no focus for a moment when it goes on to its next part.
    const put = () => input.current === document.activeElement || Object.assign(input.current || {}, { value });
    if (set) requestAnimationFrame(put);
  }, [value]);
  const listen = { onChange: heard(set), onInput: heard(typed), ...rest };
  const kept = { ref: input, ...(typed ? { value } : !set && { defaultValue: value }) };
  return html`<label class="field">${label && html`<span>${label}</span>`} ${
    options
      ? html`<select ...${listen}>${options.map(
          ([name, text]) => html`<option value=${name} selected=${name === (value || '')}>${text}</option>`,
        )}</select>`
      : html`<${as} dir="auto" ...${kept} ...${listen} />`
  }${hint && html`<small>${hint}</small>`}</label>`;
}

const text = (value) => (value && typeof value === 'object' ? JSON.stringify(value) : `${value ?? ''}`);

// What the reader made of `was`, and what others made of it where the reader changed nothing. Objects are merged by name.
const merged = (mine, was, theirs) =>
  mine && typeof mine === 'object'
    ? Object.fromEntries(
        Object.keys({ ...theirs, ...mine })
          .map((name) => [name, (text(mine[name]) === text(was[name]) ? theirs : mine)[name]])
          .filter(([, one]) => one),
      )
    : mine;

// The name of a field as words.
export const field = (name) => title(name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`));

// Save what was changed of one thing, and nothing else of it. When someone else was faster, what is typed stays, and what
// they changed is shown. Saving again keeps theirs where the reader changed nothing.
export function useEdit(path, was, etag) {
  const [now, set] = useState();
  const changed = (one) =>
    Object.keys(one).filter((name) => text(one[name]) !== text(was[name]) && !['updatedAt', 'textVersion'].includes(name));
  const save = async (typed) => {
    const theirs = now?.data || was;
    const changes = Object.fromEntries(
      changed(typed).map((name) => [name, merged(typed[name], was[name], theirs[name])]),
    );
    try {
      await send('PATCH', path, changes, { 'If-Match': now?.etag || etag });
    } catch (error) {
      if (error.status === 412) set(await call('GET', path));
      throw error;
    }
  };
  const note =
    now &&
    html`<p class="problem">${changed(now.data).map(
      (name) => html`<b>${field(name)}</b> is now “<bdi>${text(now.data[name])}</bdi>”. `,
    )}Save again to keep your changes, and theirs where you changed nothing.</p>`;
  return [save, note];
}

// Copies without the clipboard API, which is missing over plain HTTP.
export function Id({ of }) {
  const [done, set] = useState();
  const code = useRef();
  const copy = () => {
    getSelection().selectAllChildren(code.current);
    set(document.execCommand('copy'));
    setTimeout(set, 1500);
  };
  return html`<code ref=${code}>${of}</code> <${Button} kind="quiet copy" aria-label="Copy the id" act=${copy}>Copy<//> <small role="status">${done && 'Copied'}</small>`;
}

export const PersonLink = ({ id }) => html`<a href=${to('person', id)} title=${id}><code>${shortId(id)}</code></a>`;

// When what has the focus goes away, such as a button that ends what it is for, the page gets the focus.
export function keepFocus() {
  let last = document.body;
  addEventListener('focusin', (event) => {
    last = event.target;
  });
  const look = () => last.isConnected || document.getElementById('main')?.focus({ preventScroll: true });
  new MutationObserver(() => requestAnimationFrame(look)).observe(document, { childList: true, subtree: true });
}

// A node reads the holds four times a second.
export const known = () => new Promise((act) => setTimeout(act, 300));

// Ends a hold.
export const Release = ({ id, done }) => {
  const act = async () => {
    await send('POST', `holds/${id}:release`);
    await known();
    done();
  };
  return may('operate') && html`<${Button} act=${act}>Release<//>`;
};

// A modal dialog. Polling pauses while it is open, and the focus returns to where it was.
export function Dialog({ title, close, children }) {
  const dialog = useRef();
  useEffect(() => {
    const shown = dialog.current;
    freshness.paused += 1;
    shown.showModal();
    shown.querySelector('[data-focus]')?.focus();
    return () => {
      freshness.paused -= 1;
      // The browser gives the focus back.
      shown.close();
    };
  }, []);
  return html`<dialog ref=${dialog} aria-label=${title} onCancel=${close}>
    <header>
      <h2>${title}</h2>
      <${Button} kind="quiet" act=${close} aria-label="Close">✕<//>
    </header>
    ${children}
  </dialog>`;
}

// A table that scrolls by itself, also by keyboard. A row is a list of cells with its key in front, and cells that are
// undefined are left out, as are their headings.
export const Table = ({ label, head, rows, kind }) =>
  html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table class=${kind}>
    <thead><tr>${head.map((one, place) => one && html`<th scope="col" class=${typeof rows[0]?.[place + 1]}>${one}</th>`)}</tr></thead>
    <tbody>${rows.map(
      ([key, ...cells]) =>
        html`<tr key=${key}>${cells.map(
          (cell) =>
            cell !== undefined && html`<td class=${typeof cell}>${typeof cell === 'number' ? number(cell) : cell}</td>`,
        )}</tr>`,
    )}</tbody>
  </table></div>`;

// Every drawing has a table behind it.
export const AsTable = ({ label, ...table }) =>
  html`<details class="as-table"><summary>Show ${label} as a table</summary><${Table} label=${label} ...${table} /></details>`;

const LIMIT = 50;

// A list that is polled, with the pages that the reader adds. While they are there, nothing moves under the reader.
export function usePages(path, quiet) {
  const [added, set] = useState({});
  const here = added.path === path && added;
  const list = `${path}${path.includes('?') ? '&' : '?'}limit=${LIMIT}`;
  const resting = quiet || here;
  const first = usePolled(list, { quiet: resting });
  const { items = [], nextCursor } = here || first.data || {};
  const add = async () => {
    const page = await send('GET', `${list}&cursor=${nextCursor}`);
    set({ ...page, path, items: [...items, ...page.items] });
  };
  const again = () => {
    set({});
    first.again();
  };
  return {
    ...first,
    items,
    rest: (act = again) => resting && html`<${Button} kind="link" act=${() => act()}>The list rests while you read it. Go on<//>`,
    shown:
      first.data?.total >= items.length
        ? `${number(items.length)} of ${count(first.data.total, 'message')}`
        : nextCursor
          ? `The first ${number(items.length)}; there are more`
          : count(items.length, 'message'),
    more: nextCursor && html`<p class="more"><${Button} act=${add}>Show ${LIMIT} more<//></p>`,
    again,
  };
}

// Draw again every second.
export function useSeconds() {
  const [, tick] = useState();
  useEffect(() => {
    const timer = setInterval(() => tick({}), 1000);
    return () => clearInterval(timer);
  }, []);
}

// Says in the banner that what is shown is old, and for how long. Goes away by itself.
export function Stale() {
  useSeconds();
  return html`<div role="status" class="banner stale">${
    freshness.failed > 0 &&
    html`The node does not answer, or cannot read its servers. You see what was known <span role="timer">${duration(
      Math.round((Date.now() - freshness.answered) / 1000) || 1,
    )}</span> ago. The console tries again every two seconds.`
  }</div>`;
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

// Read once, such as what a dialog asks, and again while no node answers. `read` can ask whether it is still wanted.
export function useOnce(read) {
  const [state, set] = useState({});
  useEffect(() => {
    let look = () =>
      read(() => look).then(
        (data) => set({ data }),
        (error) => {
          set({ error });
          if (error.passes) setTimeout(() => look?.(), EVERY);
        },
      );
    look();
    return () => {
      look = null;
    };
  }, []);
  return state;
}
