// The keys and the few settings of the console. They stay in this browser.

import { html } from './html.js';
import { key, me } from './api.js';
import { VIEWER_ZONE } from './format.js';
import { KEYS, keysOn, switchKeys } from './keyboard.js';
import { Button, Dialog, Facts, Field } from './parts.js';

const THEME = 'heyday.theme';
const THEMES = [
  ['', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

const theme = () => localStorage.getItem(THEME) || '';

export const applyTheme = () => {
  document.documentElement.dataset.theme = theme();
};

export function HelpDialog({ close, signOut }) {
  const choose = (value) => {
    localStorage.setItem(THEME, value);
    applyTheme();
  };
  return html`<${Dialog} title="Keys and settings" close=${close}>
    <${Facts} kind="keys" of=${KEYS} />
    <label class="check"><input type="checkbox" checked=${keysOn()} onChange=${(event) => switchKeys(event.target.checked)} /> Keys are on</label>
    <${Field} label="Colours" options=${THEMES} value=${theme()} set=${choose} />
    <p class="muted">Your zone is ${VIEWER_ZONE}. Your key is ${me.name}, with the role ${me.role}. <a href="docs">The API</a> has everything that is shown here.</p>
    ${key.get() && html`<${Button} act=${signOut}>Sign out<//>`}
  <//>`;
}
