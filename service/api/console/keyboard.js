// Keys of the console. Single letters can be switched off (WCAG 2.1.4), and never act while somebody types.

import { useEffect } from './vendor/hooks.mjs';
import { go, to } from './address.js';

const SWITCH = 'heyday.keys';
const PAGES = { d: 'day', m: 'messages', p: 'person', n: 'nodes', o: 'occasions', h: 'holds' };
const PAUSE = 1500; // milliseconds in which the second key of `g d` counts

export const KEYS = [
  ['g then d, m, p, n, o, h', 'Go to Day, Messages, People, Nodes, Occasions, Holds'],
  ['/', 'Find a person'],
  ['j and k', 'Next and previous row'],
  ['x', 'Select the row; with Shift, the range'],
  ['Enter', 'Open the row'],
  ['s', 'Stop sending'],
  ['?', 'Show this list'],
  ['Esc', 'Close a dialog'],
];

export const keysOn = () => localStorage.getItem(SWITCH) !== 'off';
export const switchKeys = (on) => (on ? localStorage.removeItem(SWITCH) : localStorage.setItem(SWITCH, 'off'));

const typing = (target) => target.closest('input:not([type=checkbox]), textarea, select, dialog, [contenteditable]');

// The links that open the rows of the page, in order.
const rows = () => [...document.querySelectorAll('a[data-row]')];

function step(by) {
  const all = rows();
  const here = document.activeElement.closest('tr, li')?.querySelector('a[data-row]');
  const place = all.indexOf(here);
  all[Math.min(all.length - 1, Math.max(0, place < 0 ? 0 : place + by))]?.focus();
}

export function useKeys({ help, stop }) {
  useEffect(() => {
    let led = 0;
    const pressed = (event) => {
      if (!keysOn() || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const second = Date.now() - led < PAUSE;
      led = 0;
      if (second && PAGES[key]) go(to(PAGES[key]));
      else if (key === 'g') led = Date.now();
      else if (key === '?') help();
      else if (key === 's') stop();
      else if (key === '/') go(to('person'));
      else if (key === 'j' || key === 'k') step(key === 'j' ? 1 : -1);
      else if (key === 'x')
        document.activeElement
          .closest('tr')
          ?.querySelector('input[type=checkbox]')
          ?.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [help, stop]);
}
