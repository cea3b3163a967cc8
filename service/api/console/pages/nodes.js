// Nodes: every living node with its supervision tree.

import { html } from '../html.js';
import { usePolled } from '../api.js';
import { duration, number, time, words } from '../format.js';
import { Facts, Problem, State, Table, Waiting, field } from '../parts.js';

// Seconds without a heartbeat: two are missing.
const SILENT = 4;

export function Nodes() {
  const { data, error } = usePolled('nodes');
  if (!data) return html`<${Waiting} title="Nodes" error=${error} />`;
  const told = data.items.map(({ tzdata, settings }) => ({ 'zone data': tzdata, ...settings }));
  const differ = Object.keys(Object.assign({}, ...told)).filter((name) => new Set(told.map((one) => one[name])).size > 1);
  return html`<h1>Nodes</h1>
    <${Problem} error=${error} />
    ${differ.map((name) => html`<p key=${name} class="problem">Nodes differ in ${words(name)}: ${told.map((one) => one[name]).join(', ')}</p>`)}
    ${data.ended.map(
      (one) =>
        html`<p key=${one.incarnation} class=${one.died ? 'problem' : 'muted'}>
          ${one.node} ${one.died ? 'died' : 'was stopped'} ${duration(one.endedSeconds)} ago. Other nodes do its work.
        </p>`,
    )}
    <div class="nodes">${data.items.map((one) => html`<${Node} key=${one.node} ...${one} />`)}</div>`;
}

function Node({ node, report, silentSeconds, startedAt, incarnation, tzdata }) {
  const { outages = [], missing = [], lease, clock, circuit, pool, limits, version, actors } = report || {};
  const [kind, text] =
    silentSeconds > SILENT
      ? ['failed', `silent for ${duration(silentSeconds)}`]
      : outages.length || missing.length
        ? ['late', 'works without some servers']
        : ['sent', 'alive'];
  return html`<section class="card">
    <h2>${node}</h2>
    <${State} of=${kind}>${text}<//>
    ${outages.map((one) => html`<p class="problem"><strong>${one.system} is away</strong> for ${duration(one.seconds)}: <bdi>${one.reason}</bdi></p>`)}
    <${Facts}
      of=${{
        Started: `${time(startedAt)} UTC, start ${number(incarnation)}`,
        'Zone data': tzdata,
        Version: version,
        Lease: lease && (lease.held ? `valid, ${duration(lease.secondsLeft)} left` : 'lost: it sends nothing'),
        Clock:
          clock &&
          `${number(Math.round(clock.skewSeconds * 1000), { signDisplay: 'exceptZero' })} ms from the database`,
        Circuit:
          circuit &&
          html`<${State} of=${circuit.state === 'closed' ? 'sent' : 'failed'}>${words(circuit.state)}<//> ${circuit.reason}`,
        Limits:
          limits &&
          Object.entries(limits).map(([name, { value, source }]) => html`<div>${field(name)} ${value} (${source})</div>`),
        Connections: pool && `${number(pool.active)} of ${number(pool.max)} busy, ${number(pool.waiting)} wait`,
      }}
    />
    ${
      report
        ? html`<h3>Supervision tree</h3>
            <${Table} label="Actors of ${node}" kind="tree" head=${['Actor', 'State', 'Mailbox', 'Restarts']} rows=${rows(actors)} />`
        : html`<p class="empty">It has said nothing of itself for some seconds, or Redis is away.</p>`
    }
  </section>`;
}

const rows = ({ name, kind, state, mailbox, restarts, lastError, children }, depth = 0) => [
  [
    name,
    html`<div style=${{ paddingLeft: `${depth * 18}px` }}>
      ${words(name)} <small class="muted">${kind !== 'actor' && kind}</small>
      ${lastError && html`<small class="also error"><bdi>${lastError}</bdi></small>`}
    </div>`,
    html`<${State} of=${state === 'running' ? 'sent' : 'late'}>${words(state)}<//>`,
    mailbox &&
      html`<meter max=${mailbox.capacity} high=${mailbox.capacity * 0.8} value=${mailbox.depth} aria-label="Mailbox"></meter> ${number(mailbox.depth)}/${number(mailbox.capacity)}`,
    restarts,
  ],
  ...children.flatMap((child) => rows(child, depth + 1)),
];
