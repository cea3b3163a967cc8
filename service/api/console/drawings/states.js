// The states of a message, with the way that one message took.

import { STATES, words } from '../format.js';
import { html } from '../html.js';

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
const WAYS = [
  ['scheduled', 'queued'],
  ['queued', 'sending'],
  ['sending', 'sent'],
  ['sending', 'retrying'],
  ['retrying', 'queued'],
  ['sending', 'failed'],
  ['sending', 'unknown'],
  ['scheduled', 'cancelled'],
  ['scheduled', 'expired'],
];
const [ACROSS, DOWN, WIDTH, HEIGHT] = [176, 64, 116, 34];
const SIZE = [3 * ACROSS + WIDTH + 4, 2 * DOWN + HEIGHT + 4];

// The states that a message has been in, by what is on record.
export function taken(message) {
  const states = new Set(['scheduled', message.status]);
  for (const one of message.timeline) {
    if (one.event === 'queued') states.add('queued');
    if (one.event === 'claimed') states.add('queued').add('sending');
    if (one.event === 'attempt' && one.outcome !== 'accepted' && one.number < message.attempts) states.add('retrying');
  }
  return states;
}

const middle = (state) => [PLACES[state][0] * ACROSS + WIDTH / 2 + 2, PLACES[state][1] * DOWN + HEIGHT / 2 + 2];

function way(one, other) {
  const [[fromX, fromY], [toX, toY]] = [middle(one), middle(other)];
  if (fromY === toY) return `M${fromX + WIDTH / 2} ${fromY}H${toX - WIDTH / 2 - 5}`;
  if (fromX === toX)
    return `M${fromX - WIDTH / 2 + (other === 'expired' ? 14 : 40)} ${fromY + HEIGHT / 2}V${toY - HEIGHT / 2 - 5}`;
  if (one === 'retrying') return `M${fromX - 30} ${fromY - HEIGHT / 2}L${toX + 16} ${toY + HEIGHT / 2 + 5}`;
  if (other === 'retrying') return `M${fromX - 16} ${fromY + HEIGHT / 2}L${toX + 30} ${toY - HEIGHT / 2 - 5}`;
  return `M${fromX + (other === 'failed' ? 34 : 14)} ${fromY + HEIGHT / 2}V${toY}H${toX - WIDTH / 2 - 5}`;
}

export function States({ message }) {
  const been = taken(message);
  const label = `The way of the message: ${[...been].filter((state) => state !== message.status).join(', ')}, now ${message.status}.`;
  return html`<div class="scroll plain" tabindex="0" role="region" aria-label="The way of the message">
    <svg
      class="states"
      viewBox=${`0 0 ${SIZE.join(' ')}`}
      width=${SIZE[0]}
      height=${SIZE[1]}
      role="img"
      aria-label=${label}
    >
      <defs>
        <marker id="head" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" orient="auto">
          <path d="M0 0L6 3L0 6z" />
        </marker>
      </defs>
      ${WAYS.map(([one, other]) => html`<path key=${one + other} class=${been.has(one) && been.has(other) ? 'way taken' : 'way'} d=${way(one, other)} marker-end="url(#head)" />`)}
      ${Object.keys(PLACES).map((state) => {
        const [x, y] = middle(state);
        return html`<g
          key=${state}
          class=${`node ${state} ${been.has(state) ? 'taken' : ''} ${state === message.status ? 'here' : ''}`}
          ><title>${STATES[state]}</title>
          <rect x=${x - WIDTH / 2} y=${y - HEIGHT / 2} width=${WIDTH} height=${HEIGHT} rx="17" /><text
            x=${x}
            y=${y + 4}
            text-anchor="middle"
            >${words(state)}</text
          ></g
        >`;
      })}
    </svg>
  </div>`;
}
