// The shell: who is asking, the way between pages, what is held, and the button that stops everything.

import { render } from './vendor/preact.mjs';
import { useCallback, useEffect, useRef, useState } from './vendor/hooks.mjs';
import { may, setRole } from './access.js';
import { to, useAddress } from './address.js';
import { key, send, usePolled } from './api.js';
import { Held, StopDialog } from './holding.js';
import { HelpDialog, applyTheme } from './help.js';
import { html } from './html.js';
import { useKeys } from './keyboard.js';
import { Field, Form, Stale, Waiting } from './parts.js';
import { Day } from './pages/day.js';
import { Messages } from './pages/messages.js';
import { Message } from './pages/message.js';
import { Person } from './pages/person.js';
import { Nodes } from './pages/nodes.js';
import { Occasions } from './pages/occasions.js';
import { Holds } from './pages/holds.js';

const PAGES = {
  day: [Day, 'Day'],
  messages: [Messages, 'Messages'],
  person: [Person, 'People'],
  nodes: [Nodes, 'Nodes'],
  occasions: [Occasions, 'Occasions'],
  holds: [Holds, 'Holds'],
  message: [Message, null],
};

function SignIn({ signedIn }) {
  const act = async ({ secret }) => {
    key.set(secret.trim());
    try {
      signedIn(await send('GET', 'api/v1/me'));
    } catch (error) {
      key.set('');
      throw error;
    }
  };
  const main = useRef();
  useEffect(() => main.current.querySelector('[data-focus]').focus(), []);
  return html`<main class="sign-in" ref=${main}><h1>heyday</h1>
    <p>Sign in with a key from <code>HEYDAY_API_KEYS</code>. It stays in this tab, and goes when you close it.</p>
    <${Form} act=${act} label="Sign in"><${Field} label="API key" name="secret" type="password" autocomplete="off" required data-focus /></${Form}></main>`;
}

function Shell({ me, signOut }) {
  const address = useAddress();
  const [dialog, show] = useState(null);
  const close = useCallback(() => show(null), []);
  const help = useCallback(() => show('help'), []);
  const stop = useCallback(() => may('operate') && show('stop'), []);
  useKeys({ help, stop });
  const today = usePolled('api/v1/day'); // one look for the shell and the page
  const [Page, title] = PAGES[address.page] || PAGES.day;
  const main = useRef();
  const arrived = useRef(false);
  useEffect(() => {
    document.title = `${title || 'Message'} · heyday`;
    // The focus follows to the new page: to its search field, or to what stays while the page is read.
    const field = main.current.querySelector('[data-focus]');
    if (field || arrived.current) (field || main.current).focus({ preventScroll: true });
    if (arrived.current) scrollTo(0, 0);
    arrived.current = true;
  }, [address.page, address.id]);
  return html` <a
      class="skip"
      href="#main"
      onClick=${(event) => {
        event.preventDefault();
        main.current.focus();
      }}
      >Skip to the page</a
    >
    <header class="bar">
      <a class="brand" href=${to('day')}><span class="sun" aria-hidden="true"></span>heyday</a>
      <nav aria-label="Pages">
        ${Object.entries(PAGES).map(
          ([name, [, text]]) =>
            text &&
            html` <a key=${name} href=${to(name)} aria-current=${address.page === name ? 'page' : null}>${text}</a>`,
        )}
      </nav>
      <span class="who" title="Name and role of your key">${me.name} · ${me.role}</span>
      <button type="button" class="quiet" onClick=${help} aria-label="Keys and settings">?</button>
      ${may('operate') && html`<button type="button" class="stop" onClick=${stop}>Stop sending</button>`}
    </header>
    <${Stale} />
    <${Held} today=${today} />
    <main id="main" ref=${main} tabindex="-1" class="page">
      <${Page} key=${`${address.page}/${address.id || ''}`} ...${address} today=${today} />
    </main>
    ${
      dialog === 'stop' &&
      html`<${StopDialog}
        close=${close}
        done=${() => {
          close();
          today.again();
        }}
      />`
    }
    ${dialog === 'help' && html`<${HelpDialog} me=${me} close=${close} signOut=${signOut} />`}`;
}

function Console() {
  const [me, set] = useState(null);
  const [error, fail] = useState(null);
  const ask = () =>
    send('GET', 'api/v1/me').then(
      (found) => {
        fail(null);
        signedIn(found);
      },
      (problem) => {
        fail(problem);
        if (problem.status !== 401) setTimeout(ask, 2000);
      },
    );
  const signedIn = (found) => {
    setRole(found.role);
    set(found);
  };
  const signOut = () => {
    key.set('');
    fail({ status: 401 });
    set(null);
  };
  useEffect(() => {
    ask();
    const out = () => {
      fail({ status: 401 });
      set(null);
    };
    addEventListener('signed-out', out);
    return () => removeEventListener('signed-out', out);
  }, []);
  if (me) return html`<${Shell} me=${me} signOut=${signOut} />`;
  if (error?.status === 401) return html`<${SignIn} signedIn=${signedIn} />`;
  return html`<header class="bar">
      <strong class="brand"><span class="sun" aria-hidden="true"></span>heyday</strong>
    </header>
    <main class="page"><${Waiting} error=${error} /></main>`;
}

applyTheme();
const root = document.getElementById('console');
root.replaceChildren();
render(html`<${Console} />`, root);
