// Stopping: the banner while something is held, and the dialog that holds everything or one occasion.

import { useState } from './vendor/hooks.mjs';
import { may } from './access.js';
import { send } from './api.js';
import { time, words } from './format.js';
import { html } from './html.js';
import { Choice, Dialog, Field, Form, Problem, release, useOnce } from './parts.js';

const LENGTHS = [
  ['', 'Until somebody releases it'],
  ['15m', '15 minutes'],
  ['1h', '1 hour'],
  ['4h', '4 hours'],
  ['1d', '1 day'],
];

export function Held({ today }) {
  const [error, fail] = useState(null);
  const letGo = (id) => release(id).then(today.again, fail);
  return (today.data?.attention.held || []).map(
    (hold) =>
      html`<div key=${hold.id} class="banner held" role="status">
        <strong>${hold.occasion ? `${words(hold.occasion)} is held` : 'All sending is held'}</strong>
        <span
          >since ${time(hold.since)} UTC by ${hold.author}${hold.until && `, until ${time(hold.until)} UTC`}:${' '}
          ${hold.reason}</span
        >
        ${may('operate') && html`<button type="button" onClick=${() => letGo(hold.id)}>Release</button>`}
        <${Problem} error=${error} />
      </div>`,
  );
}

export function StopDialog({ close, done }) {
  const occasions = useOnce(() => send('GET', 'api/v1/occasions'), []);
  const act = async (form) => {
    await send('POST', 'api/v1/holds', {
      reason: form.reason,
      occasion: form.occasion || null,
      ...(form.for && { for: form.for }),
    });
    done();
  };
  const choices = (occasions.data?.items || []).map((one) => [one.code, `Only ${words(one.code)}`]);
  return html`<${Dialog} title="Stop sending" close=${close}>
    <p>No call to the email service begins later than one second after this, on any node. Nothing is lost: what is due waits, and leaves once when you release it.</p>
    <${Form} act=${act} label="Stop sending" kind="stop" cancel=${close}>
      <${Field} label="Reason" name="reason" required maxlength="300" data-focus hint="Everybody who finds sending held reads it." />
      <${Field} label="What"><${Choice} name="occasion" options=${[['', 'Everything'], ...choices]} /></${Field}>
      <${Field} label="For how long"><${Choice} name="for" options=${LENGTHS} /></${Field}>
    </${Form}></${Dialog}>`;
}
