// Stopping: the banner while something is held, and the dialog that holds everything or one occasion.

import { html } from './html.js';
import { send } from './api.js';
import { time, title, words } from './format.js';
import { Dialog, Field, Form, Release, known, useOnce } from './parts.js';

const LENGTHS = [
  ['', 'Until somebody releases it'],
  ['15m', '15 minutes'],
  ['1h', '1 hour'],
  ['4h', '4 hours'],
  ['1d', '1 day'],
];

export const Held = ({ today }) =>
  today.data?.attention.held.map(
    ({ id, occasion, since, author, until, reason }) =>
      html`<div key=${id} class="banner held" role="status">
        <strong>${occasion ? title(occasion) : 'All sending'} is held</strong>
        <span>since ${time(since)} UTC by ${author}${until && `, until ${time(until)} UTC`}: <bdi>${reason}</bdi></span>
        <${Release} id=${id} done=${today.again} />
      </div>`,
  );

export function StopDialog({ close, done }) {
  const occasions = useOnce(() => send('GET', 'occasions')).data?.items || [];
  const act = async ({ reason, occasion, length }) => {
    await send('POST', 'holds', { reason, occasion: occasion || null, ...(length && { for: length }) });
    await known();
    done();
  };
  return html`<${Dialog} title="Stop sending" close=${close}>
    <p>No call to the email service begins later than one second after this, on any node. Nothing is lost: what is due waits, and leaves once when you release it.</p>
    <${Form} act=${act} label="Stop sending" kind="stop" cancel=${close}>
      <${Field} label="Reason" name="reason" required maxlength="300" data-focus hint="Everybody who finds sending held reads it." />
      <${Field} label="What" name="occasion" options=${[['', 'Everything'], ...occasions.map((one) => [one.code, `Only ${words(one.code)}`])]} />
      <${Field} label="For how long" name="length" options=${LENGTHS} />
    <//>
  <//>`;
}
