// The states of a message, with the way that one message took.

import { html } from '../html.js';
import { STATES } from '../format.js';

// Column and row of each state.
const PLACES = {
  scheduled: [0, 0],
  queued: [1, 0],
  sending: [2, 0],
  sent: [3, 0],
  retrying: [1.5, 1],
  failed: [3, 1],
  unknown: [3, 2],
  cancelled: [0, 1],
  expired: [0, 2],
};
// From, to, and the drawing of the way between them.
const WAYS = [
  ['scheduled', 'queued', 'M118 19h55'],
  ['queued', 'sending', 'M294 19h55'],
  ['sending', 'sent', 'M470 19h55'],
  ['sending', 'retrying', 'M396 36L354 61'],
  ['retrying', 'queued', 'M294 66L252 41'],
  ['sending', 'failed', 'M446 36V83H525'],
  ['sending', 'unknown', 'M426 36V147H525'],
  ['scheduled', 'cancelled', 'M42 36V61'],
  ['scheduled', 'expired', 'M16 36V125'],
];

// The states that a message has been in, by what is on record.
function taken(message) {
  const states = new Set(['scheduled', message.status]);
  for (const one of message.timeline) {
    if (one.event === 'queued') states.add('queued');
    if (one.event === 'claimed') states.add('queued').add('sending');
    if (one.event === 'attempt' && one.outcome !== 'accepted' && one.number < message.attempts) states.add('retrying');
  }
  return states;
}

export function States({ message }) {
  const been = taken(message);
  return html`<div class="scroll plain" tabindex="0" role="region" aria-label="The way of the message">
    <svg class="states" viewBox="0 0 648 166" width="648" height="166" role="img" aria-label=${`Was ${[...been].join(', ')}. Is ${message.status}.`}>
      <marker id="head" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z" /></marker>
      ${WAYS.map(
        ([one, other, way]) =>
          html`<path class="way ${been.has(one) && been.has(other) ? 'taken' : ''}" d=${way} marker-end="url(#head)" />`,
      )}
      ${Object.entries(PLACES).map(
        ([state, [x, y]]) =>
          html`<g class="${state} ${been.has(state) ? 'taken' : ''} ${state === message.status ? 'here' : ''}" transform="translate(${x * 176 + 2} ${y * 64 + 2})">
            <title>${STATES[state]}</title><rect width="116" height="34" rx="17" /><text x="58" y="21" text-anchor="middle">${state}</text></g>`,
      )}
    </svg>
  </div>`;
}
