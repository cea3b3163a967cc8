// A message's life: its state and why, the way that it took, and every attempt with what the service said.

import { useState } from '../vendor/hooks.mjs';
import { may } from '../access.js';
import { send, usePolled } from '../api.js';
import { States } from '../drawings/states.js';
import { REDRIVABLE, STATES, duration, time, title, words } from '../format.js';
import { html } from '../html.js';
import { Form, Id, PersonLink, Problem, State, Waiting, Zones } from '../parts.js';

const TOLD = {
  planned: (one) => `Planned, with the zone data ${one.tzdata}`,
  queued: () => 'Found due, and queued',
  claimed: (one) => `Claimed for sending${one.textVersion ? `, text version ${one.textVersion}` : ''}`,
  attempt: (one) => `Attempt ${one.number}: ${words(one.outcome)}`,
  recorded: (one) => `Outcome of attempt ${one.number} recorded`,
  redriven: () => 'Redriven by a person',
};

const told = (one) => (TOLD[one.event] ? TOLD[one.event](one) : title(one.event));

export function Message({ id }) {
  const { data, error, again } = usePolled(`api/v1/messages/${id}`);
  const why = usePolled(data && `api/v1/users/${data.userId}/explanation`, { every: 10_000 });
  if (!data)
    return html`<h1>Message</h1>
      <${Waiting} error=${error} />`;
  const explained = why.data?.days.find((one) => one.messageId === id);
  const redrive = async () => {
    await send('POST', `api/v1/messages/${id}:redrive`);
    again();
  };
  return html` <div class="title">
      <h1>${title(data.occasion)} ${data.localYear}</h1>
      <${State} of=${data.status} />
      ${may('operate') && REDRIVABLE.includes(data.status) && html`<${Form} act=${redrive} label="Redrive" />`}
    </div>
    <${Problem} error=${error} />
    <div class="columns">
      <section>
        <h2>Why it is where it is</h2>
        <p class="large">${explained?.why || `${data.status}: ${STATES[data.status]}.`}</p>
        ${
          data.reason &&
          html`<p>
            The last word on record: <q><bdi>${data.reason}</bdi></q>
          </p>`
        }
        <${States} message=${data} />
      </section>
      <section>
        <h2>Instant</h2>
        <${Zones} at=${data.sendAt} zone=${data.timezone} />
        <dl class="facts">
          <div>
            <dt>Person</dt>
            <dd><${PersonLink} id=${data.userId} /></dd>
          </div>
          <div>
            <dt>Attempts spent</dt>
            <dd>${data.attempts}</dd>
          </div>
          ${
            !data.endedAt &&
            html`<div>
              <dt>Acts next</dt>
              <dd>${time(data.dueAt)} UTC</dd>
            </div>`
          }
          <div>
            <dt>Id</dt>
            <dd><${Id} of=${data.id} label="the id of the message" /></dd>
          </div>
        </dl>
      </section>
    </div>
    <section>
      <h2>Hop by hop</h2>
      <p class="muted">Times in UTC. The length of a wait is drawn compressed.</p>
      <${Hops} events=${data.timeline} />
    </section>`;
}

function Hops({ events }) {
  const waits = events.map((one, place) =>
    place ? Math.max(0, (Date.parse(one.at) - Date.parse(events[place - 1].at)) / 1000) : 0,
  );
  const longest = Math.log1p(Math.max(1, ...waits) * 1000);
  return html`<ol class="hops">
    ${events.map(
      (one, place) =>
        html`<li key=${place} class=${one.event}>
          ${
            place > 0 &&
            html`<p class="wait">
              <svg width="120" height="6" aria-hidden="true">
                <rect width=${Math.max(2, (Math.log1p(waits[place] * 1000) / longest) * 120)} height="6" rx="3" /></svg
              >${duration(waits[place])}
            </p>`
          }
          <p>
            <time datetime=${one.at}>${time(one.at)}</time
            ><strong>${told(one)}</strong>${one.node && html`<span class="muted">on ${one.node}</span>`}
          </p>
          ${one.event === 'attempt' && html`<${Attempt} of=${one} />`}
          ${one.reason && html`<p class="said"><bdi>${one.reason}</bdi></p>`}
        </li>`,
    )}
  </ol>`;
}

const Attempt = ({ of }) =>
  html`<p class="said">
    ${of.statusCode ? `The service answered ${of.statusCode}` : 'The service gave no answer'} after${' '}
    ${duration(of.durationSeconds)}.
    ${of.error && html` <q><bdi>${of.error}</bdi></q>`}${of.providerId && html` Its own id: <code>${of.providerId}</code>`}
  </p>`;
