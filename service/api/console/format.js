// Numbers, dates and times in the reader's language, by Intl.

export const VIEWER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

const kept = new Map(); // making a formatter is slow

function formatter(kind, options) {
  const name = `${kind.name}${JSON.stringify(options)}`;
  if (!kept.has(name)) kept.set(name, new kind(undefined, options));
  return kept.get(name);
}

const dates = (at, options) => formatter(Intl.DateTimeFormat, options).format(new Date(at));

export const number = (value, options = {}) => formatter(Intl.NumberFormat, options).format(value);

// "1 message", "12 messages"
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

const SHORT = {
  day: '2-digit',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
};

// The formatter's zone for the name of a zone that the browser may not know.
function inZone(at, options, timeZone) {
  try {
    return dates(at, { ...options, timeZone });
  } catch {
    return dates(at, { ...options, timeZone: 'UTC' }) + ' UTC';
  }
}

export const time = (at, zone = 'UTC') => (at ? inZone(at, SHORT, zone) : '–');
export const fullTime = (at, zone = 'UTC') => inZone(at, { ...SHORT, year: 'numeric', weekday: 'short' }, zone);
export const clock = (at, zone = 'UTC') => inZone(at, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, zone);
export const day = (at) => dates(at, { dateStyle: 'full', timeZone: 'UTC' });
export const shortDay = (at) => dates(at, { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' });

// "4ms", "1.2s", "3m", "2h", "5d"
export function duration(seconds) {
  const [value, unit] =
    seconds < 1
      ? [seconds * 1000, 'millisecond']
      : seconds < 60
        ? [seconds, 'second']
        : seconds < 3600
          ? [seconds / 60, 'minute']
          : seconds < 86400
            ? [seconds / 3600, 'hour']
            : [seconds / 86400, 'day'];
  return number(value, {
    style: 'unit',
    unit,
    unitDisplay: 'narrow',
    maximumFractionDigits: value < 10 && unit !== 'millisecond' ? 1 : 0,
  });
}

// Minutes to "+05:30"
export function offset(minutes) {
  const size = Math.abs(minutes);
  const pad = (part) => String(Math.trunc(part)).padStart(2, '0');
  return `${minutes < 0 ? '−' : '+'}${pad(size / 60)}:${pad(size % 60)}`;
}

export const city = (zone) => zone.split('/').pop().replaceAll('_', ' ');
export const words = (name) => name.replaceAll('_', ' ');
export const title = (name) => words(name[0].toUpperCase() + name.slice(1));
export const shortId = (id) => `…${id.slice(-8)}`;

// What the states mean. They are the names in the database, in JSON and in the metrics.
export const STATES = {
  scheduled: 'planned, and not due yet',
  queued: 'due, and waiting for a sender',
  sending: 'a node is sending it',
  retrying: 'an attempt did not succeed, and the next one is due later',
  sent: 'the email service accepted it',
  failed: 'the email service refused it, or all attempts are spent',
  cancelled: 'its user, date or address does not get it any more',
  expired: 'it was too late to send',
  unknown: 'nobody knows whether the email service took it: a person decides',
};

export const REDRIVABLE = ['failed', 'unknown', 'expired'];
