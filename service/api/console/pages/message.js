// A message's life: its state and why, the way that it took, and every attempt with what the service said.

import { html, useEffect } from '../html.js';
import { may, send, usePolled } from '../api.js';
import { States } from '../drawings/states.js';
import { STATES, duration, number, redrivable, time, title, words } from '../format.js';
import { Facts, Form, Id, PersonLink, Problem, State, Waiting, Zones } from '../parts.js';

const TOLD = {
  planned: (one) => `Planned, with the zone data ${one.tzdata}`,
  queued: () => 'Found due, and queued',
  claimed: (one) => `Claimed for sending${one.textVersion ? `, text version ${one.textVersion}` : ''}`,
  attempt: (one) => `Attempt ${one.number}: ${words(one.outcome)}`,
  recorded: (one) => `Outcome of attempt ${one.number} recorded`,
  redriven: () => 'Redriven by a person',
};

export function Message({ id }) {
  const { data, error, again } = usePolled(`messages/${id}`);
  const why = usePolled(data && `users/${data.userId}/explanation`, { every: 10_000 });
  // The answer for an earlier state is still shared.
  useEffect(() => why.data && why.again(), [data]);
  if (!data) return html`<${Waiting} title="Message" error=${error} />`;
  const explained = why.data?.days.find((one) => one.messageId === id);
  const redrive = async () => {
    await send('POST', `messages/${id}:redrive`);
    again();
  };
  return html`<div class="title">
      <h1>${title(data.occasion)} ${data.localYear}</h1>
      <${State} of=${explained?.held ? 'held' : data.status} />
      ${may('operate') && redrivable(data.status) && html`<${Form} act=${redrive} label="Redrive" />`}
    </div>
    <${Problem} error=${error} />
    <div class="columns">
      <section>
        <h2>Why it is where it is</h2>
        <p class="large">${explained?.why || `${data.status}: ${STATES[data.status]}.`}</p>
        ${data.reason && html`<p>Last word on record: <q><bdi>${data.reason}</bdi></q></p>`}
        <${States} message=${data} />
      </section>
      <section>
        <h2>Instant</h2>
        <${Zones} at=${data.sendAt} zone=${data.timezone} />
        <${Facts}
          of=${{
            Person: html`<${PersonLink} id=${data.userId} />`,
            Attempts: number(data.attempts),
            'Acts next': !data.endedAt && `${time(data.dueAt)} UTC`,
            Id: html`<${Id} of=${id} />`,
          }}
        />
      </section>
    </div>
    <section>
      <h2>Hop by hop, in UTC</h2>
      <${Hops} events=${data.timeline} />
    </section>`;
}

function Hops({ events }) {
  const at = (place) => Date.parse(events[Math.max(0, place)].at);
  // Milliseconds.
  const waits = events.map((_, place) => Math.max(0, at(place) - at(place - 1)));
  const longest = Math.log1p(Math.max(1000, ...waits));
  return html`<ol class="hops">${events.map(
    (one, place) =>
      html`<li key=${place} class=${one.event}>
        ${
          place > 0 &&
          html`<p class="wait">
            <svg width="120" height="6" aria-hidden="true"><rect width=${Math.max(2, (Math.log1p(waits[place]) / longest) * 120)} height="6" rx="3" /></svg>
            ${duration(waits[place] / 1000)}
          </p>`
        }
        <p>
          <time datetime=${one.at}>${time(one.at)}</time>
          <strong>${TOLD[one.event]?.(one) || title(one.event)}</strong>
          ${one.node && html`<span class="muted">on ${one.node}</span>`}
        </p>
        ${one.event === 'attempt' && html`<${Attempt} of=${one} />`}
        ${one.reason && html`<p class="said"><bdi>${one.reason}</bdi></p>`}
      </li>`,
  )}</ol>`;
}

// What the email service said.
export const Attempt = ({ of }) =>
  html`<p class="said">
    The service ${of.statusCode ? `answered ${of.statusCode}` : 'gave no answer'} after ${duration(of.durationSeconds)}.
    ${of.error && html` <q><bdi>${of.error}</bdi></q>`}${of.providerId && html` Its own id: <code>${of.providerId}</code>`}
  </p>`;
