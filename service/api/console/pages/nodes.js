// Nodes: every living node with its supervision tree.

import { usePolled } from '../api.js';
import { duration, number, time, words } from '../format.js';
import { html } from '../html.js';
import { Empty, Problem, Table, Waiting } from '../parts.js';

const SILENT = 4; // seconds without a heartbeat: two are missing

export function Nodes() {
  const { data, error } = usePolled('api/v1/nodes');
  if (!data)
    return html`<h1>Nodes</h1>
      <${Waiting} error=${error} />`;
  const releases = new Set(data.items.map((one) => one.tzdata));
  return html`<h1>Nodes</h1>
    <${Problem} error=${error} />
    ${releases.size > 1 && html`<p class="problem">Nodes have different zone data: ${[...releases].join(', ')}. Finish the roll-out.</p>`}
    ${data.ended.map((one) => html`<${Ended} key=${one.incarnation} of=${one} />`)}
    ${data.items.length ? html`<div class="nodes">${data.items.map((one) => html`<${Node} key=${one.node} node=${one} />`)}</div>` : html`<${Empty}>No node is alive.</${Empty}>`}`;
}

function Ended({ of }) {
  const end = of.died ? 'died' : 'was stopped';
  const after = of.died ? '. Other nodes have taken over its work.' : '.';
  return html`<p class=${of.died ? 'problem' : 'muted'}>
    ${`${of.node} ${end} ${duration(of.endedSeconds)} ago${after}`}
  </p>`;
}

function Node({ node }) {
  const { report } = node;
  const silent = node.silentSeconds > SILENT;
  const away = report?.outages || [];
  return html`<section class="card">
    <h2>${node.node}</h2>
    <p class="state ${silent ? 'failed' : away.length || report?.missing.length ? 'late' : 'sent'}">
      ${silent ? `silent for ${duration(node.silentSeconds)}` : away.length || report?.missing.length ? 'works without some servers' : 'alive'}
    </p>
    ${away.map((one) => html`<p class="problem"><strong>${one.system} is away</strong> for ${duration(one.seconds)}: <bdi>${one.reason}</bdi></p>`)}
    <dl class="facts">
      <div>
        <dt>Started</dt>
        <dd>${time(node.startedAt)} UTC, start ${number(node.incarnation)}</dd>
      </div>
      <div>
        <dt>Zone data</dt>
        <dd>${node.tzdata || '–'}</dd>
      </div>
      ${
        report &&
        html`<div>
            <dt>Version</dt>
            <dd>${report.version}</dd>
          </div>
          <div>
            <dt>Lease</dt>
            <dd>
              ${report.lease.held ? `held, ${duration(report.lease.secondsLeft)} left` : 'not held: it sends nothing'}
            </dd>
          </div>
          <div>
            <dt>Clock</dt>
            <dd>
              ${number(Math.round(report.clock.skewSeconds * 1000), { maximumFractionDigits: 0, signDisplay: 'exceptZero' })}${' '}
              ms from the database
            </dd>
          </div>
          <div>
            <dt>Circuit</dt>
            <dd>
              <span class="state ${report.circuit.state === 'closed' ? 'sent' : 'failed'}"
                >${words(report.circuit.state)}</span
              >
              ${report.circuit.reason || ''}
            </dd>
          </div>
          <div>
            <dt>Connections</dt>
            <dd>
              ${number(report.pool.active)} of ${number(report.pool.max)}${' '}
              busy${report.pool.waiting ? `, ${number(report.pool.waiting)} wait` : ''}
            </dd>
          </div>`
      }
    </dl>
    ${
      report
        ? html`<h3>Supervision tree</h3><${Table} label=${`Actors of ${node.node}`} kind="tree" head=${['Actor', 'State', 'Mailbox', ['Restarts', 'number']]}>
      ${flat(report.actors).map(([actor, depth]) => html`<${Actor} key=${actor.name} actor=${actor} depth=${depth} />`)}</${Table}>`
        : html`<${Empty}>It has said nothing of itself for some seconds, or Redis is away.</${Empty}>`
    }
  </section>`;
}

const flat = (actor, depth = 0) => [[actor, depth], ...actor.children.flatMap((child) => flat(child, depth + 1))];

function Actor({ actor, depth }) {
  const box = actor.mailbox;
  return html`<tr>
    <td style=${{ paddingLeft: `${13 + depth * 18}px` }}>
      ${words(actor.name)}${' '}
      <small class="muted">${actor.kind === 'actor' ? '' : actor.kind}</small>
      ${actor.lastError && html`<small class="also error"><bdi>${actor.lastError}</bdi></small>`}
    </td>
    <td><span class="state ${actor.state === 'running' ? 'sent' : 'late'}">${words(actor.state)}</span></td>
    <td>
      ${box && html`<meter min="0" max=${box.capacity} high=${box.capacity * 0.8} value=${box.depth} aria-label="Mailbox"></meter> ${number(box.depth)}/${number(box.capacity)}`}
    </td>
    <td class="number">${actor.restarts ? html`<b>${number(actor.restarts)}</b>` : 0}</td>
  </tr>`;
}
