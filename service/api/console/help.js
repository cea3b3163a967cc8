// The keys and the few settings of the console. They stay in this browser.

import { useState } from './vendor/hooks.mjs';
import { key } from './api.js';
import { VIEWER_ZONE } from './format.js';
import { html } from './html.js';
import { KEYS, keysOn, switchKeys } from './keyboard.js';
import { Choice, Dialog, Field } from './parts.js';

const THEME = 'heyday.theme';
const THEMES = [
  ['', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

export const applyTheme = () => {
  document.documentElement.dataset.theme = localStorage.getItem(THEME) || '';
};

export function HelpDialog({ me, close, signOut }) {
  const [on, set] = useState(keysOn());
  const choose = (event) => {
    localStorage.setItem(THEME, event.target.value);
    applyTheme();
  };
  return html`<${Dialog} title="Keys and settings" close=${close}>
    <dl class="keys">${KEYS.map(
      ([keys, does]) =>
        html`<div>
          <dt><kbd>${keys}</kbd></dt>
          <dd>${does}</dd>
        </div>`,
    )}</dl>
    <label class="check"><input type="checkbox" checked=${on} onChange=${(event) => {
      switchKeys(event.target.checked);
      set(event.target.checked);
    }} /> Keys are on</label>
    <${Field} label="Colours"><${Choice} options=${THEMES} value=${localStorage.getItem(THEME)} onChange=${choose} /></${Field}>
    <p class="muted">Your zone is ${VIEWER_ZONE}. Your key is ${me.name}, with the role ${me.role}.${' '}
      <a href="docs">The API</a> has everything that is shown here.</p>
    ${key.get() && html`<button type="button" onClick=${signOut}>Sign out</button>`}
  </${Dialog}>`;
}
