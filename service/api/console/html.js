// Binds htm to preact: html`…` makes elements without a build step. No text ever becomes markup.

import { createElement } from './vendor/preact.mjs';
import htm from './vendor/htm.mjs';

export const html = htm.bind(createElement);
