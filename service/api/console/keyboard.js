// Keys of the console. Single letters can be switched off (WCAG 2.1.4), and never act during typing.

import { useEvent, useRef } from './html.js';
import { go } from './address.js';

const SWITCH = 'heyday.keys';
// Milliseconds in which the second key of `g d` counts.
const PAUSE = 1500;

export const KEYS = {
  'g then d, m, p, n, o, h': 'Go to Day, Messages, People, Nodes, Occasions, Holds',
  '/': 'Find a person',
  'j and k': 'Next and previous row',
  x: 'Select the row; with Shift, the range',
  Enter: 'Open the row',
  s: 'Stop sending',
  '?': 'Show this list',
  Esc: 'Close a dialog',
};

export const keysOn = () => localStorage.getItem(SWITCH) !== 'off';
export const switchKeys = (on) => localStorage.setItem(SWITCH, on ? 'on' : 'off');

const row = () => document.activeElement.closest('tr, li');

// Go to the link that opens the next row.
function step(by) {
  const all = [...document.querySelectorAll('a[data-row]')];
  const here = all.indexOf(row()?.querySelector('a[data-row]'));
  all[here < 0 ? 0 : here + by]?.focus();
}

export function useKeys({ help, stop }) {
  const led = useRef(0);
  useEvent('keydown', (event) => {
    if (!keysOn() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog')) return;
    if (event.target.closest('input:not([type=checkbox]), textarea, select')) return;
    const acts = {
      '?': help,
      s: stop,
      '/': () => {
        go('person');
        // Where the page is shown already.
        document.querySelector('[data-focus]')?.focus();
      },
      j: () => step(1),
      k: () => step(-1),
      x: () =>
        row()
          ?.querySelector('[type=checkbox]')
          ?.dispatchEvent(new MouseEvent('click', { cancelable: true, bubbles: true, shiftKey: event.shiftKey })),
      g: () => {
        led.current = Date.now();
      },
    };
    const key = event.key.toLowerCase();
    const page = Date.now() - led.current < PAUSE && document.querySelector(`nav a[href^='#/${CSS.escape(key)}']`);
    led.current = 0;
    const act = page ? () => page.click() : acts[key];
    if (!act) return;
    act();
    event.preventDefault();
  });
}
