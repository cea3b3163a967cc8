// Binds htm to preact: html`…` makes elements without a build step, and no text ever becomes markup. Hands on the hooks.

import { createElement } from './vendor/preact.mjs';
import { useLayoutEffect as useEffect } from './vendor/hooks.mjs';
import htm from './vendor/htm.mjs';

export * from './vendor/hooks.mjs';
// Effects are part of the drawing: what is seen hears the next key.
export { useEffect };

export const html = htm.bind(createElement);

// Hear the events of one type that reach the window.
export const useEvent = (type, act) =>
  useEffect(() => {
    addEventListener(type, act);
    return () => removeEventListener(type, act);
  });
