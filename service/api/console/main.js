// The shell: who is asking, the way between pages, what is held, and the button that stops everything.

import { render } from './vendor/preact.mjs';
import { html, useEffect, useEvent, useRef, useState } from './html.js';
import { to, useAddress } from './address.js';
import { key, may, me, send, usePolled } from './api.js';
import { Held, StopDialog } from './holding.js';
import { HelpDialog, applyTheme } from './help.js';
import { useKeys } from './keyboard.js';
import { Button, Dialog, Field, Form, Stale, Waiting, keepFocus, useOnce } from './parts.js';
import { Day } from './pages/day.js';
import { Messages } from './pages/messages.js';
import { Message } from './pages/message.js';
import { Person } from './pages/person.js';
import { Nodes } from './pages/nodes.js';
import { Occasions } from './pages/occasions.js';
import { Holds } from './pages/holds.js';

const PAGES = {
  __proto__: null,
  day: [Day, 'Day'],
  messages: [Messages, 'Messages'],
  person: [Person, 'People'],
  nodes: [Nodes, 'Nodes'],
  occasions: [Occasions, 'Occasions'],
  holds: [Holds, 'Holds'],
  message: [Message],
};

function SignIn({ ask }) {
  const act = ({ secret }) => {
    // A header cannot have others, and no key is right without them.
    key.set(secret.trim().replace(/[^ -~\x80-\xff]/g, '?'));
    return ask();
  };
  const asked = useRef();
  useEffect(() => asked.current.querySelector('input').focus(), []);
  return html`<div ref=${asked}>
    <p>Sign in with a key from <code>HEYDAY_API_KEYS</code>. It stays in this tab, and goes when you close it.</p>
    <${Form} act=${act} label="Sign in"><${Field} label="API key" name="secret" type="password" autocomplete="off" required /><//>
  </div>`;
}

function Shell({ signOut }) {
  const { page, id, query } = useAddress();
  const [dialog, show] = useState();
  const close = () => show();
  const help = () => show('help');
  const stop = () => may('operate') && show('stop');
  useKeys({ help, stop });
  // One look for the shell and the page.
  const today = usePolled('day');
  const [Page, title = 'Message'] = PAGES[page] || PAGES.day;
  const main = useRef();
  const arrived = useRef();
  useEffect(() => {
    document.title = `${title} · heyday`;
    // The focus follows to the new page: to its search field, or to what stays while the page is read.
    const field = main.current.querySelector('[data-focus]');
    if (field || arrived.current) (field || main.current).focus({ preventScroll: true });
    if (arrived.current) scrollTo(0, 0);
    arrived.current = true;
  }, [page, id]);
  const done = () => {
    close();
    today.again();
  };
  return html`<header class="bar">
      <${Button} kind="skip" act=${() => main.current.focus()}>Skip to the page<//>
      <a class="brand" href=${to('day')}><span class="sun" aria-hidden="true"></span>heyday</a>
      <nav aria-label="Pages">${Object.entries(PAGES).map(
        ([name, [, text]]) =>
          text && html`<a key=${name} href=${to(name)} aria-current=${page === name ? 'page' : null}>${text}</a>`,
      )}</nav>
      <span class="who" title="Name and role of your key">${me.name} · ${me.role}</span>
      <${Button} kind="quiet" act=${help} aria-label="Keys and settings">?<//>
      ${may('operate') && html`<${Button} kind="stop" act=${stop}>Stop sending<//>`}
    </header>
    <${Stale} />
    <${Held} today=${today} />
    <main id="main" ref=${main} tabindex="-1" class="page"><${Page} key=${page + id} id=${id} query=${query} today=${today} /></main>
    ${dialog === 'stop' && html`<${StopDialog} close=${close} done=${done} />`}
    ${dialog === 'help' && html`<${HelpDialog} close=${close} signOut=${signOut} />`}`;
}

function Console() {
  const [known, set] = useState();
  const [ended, end] = useState();
  const ask = async () => {
    set(Object.assign(me, await send('GET', 'me')));
    end(false);
  };
  const { error } = useOnce(ask);
  useEvent('signed-out', () => (known ? end(true) : set(false)));
  const signOut = () => {
    key.set('');
    end(false);
    set(false);
  };
  // What is being typed stays behind the dialog when a key ends.
  if (known) return html`<${Shell} signOut=${signOut} />${ended && html`<${Dialog} title="Your key is not valid any more" close=${signOut}><${SignIn} ask=${ask} /><//>`}`;
  if (known === false) return html`<main class="sign-in"><h1>heyday</h1><${SignIn} ask=${ask} /></main>`;
  return html`<header class="bar"><strong class="brand">heyday</strong></header>
    <main class="page"><${Waiting} error=${error} /></main>`;
}

applyTheme();
keepFocus();
render(html`<${Console} />`, document.getElementById('console'));
