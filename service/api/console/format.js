// Numbers, dates and times in the reader's language, by Intl.

export const VIEWER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

// Making a formatter is slow.
const kept = {};

const by = (kind, options) => (kept[JSON.stringify(options)] ||= new Intl[kind](undefined, options));

// In a zone that the browser may not know.
function dates(at, options, timeZone = 'UTC') {
  try {
    return by('DateTimeFormat', { ...options, timeZone }).format(new Date(at));
  } catch {
    return `${dates(at, options)} UTC`;
  }
}

export const number = (value, options = {}) => by('NumberFormat', options).format(value);

// "1 message", "12 messages"
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

const CLOCK = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
const SHORT = { ...CLOCK, day: '2-digit', month: 'short', second: '2-digit' };

export const time = (at, zone) => (at ? dates(at, SHORT, zone) : '–');
export const fullTime = (at, zone) => dates(at, { ...SHORT, year: 'numeric', weekday: 'short' }, zone);
export const clock = (at, zone) => dates(at, CLOCK, zone);
export const day = (at) => dates(at, { dateStyle: 'full' });
export const shortDay = (at) => dates(at, { weekday: 'short', day: 'numeric', month: 'short' });

const UNITS = [
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
  ['millisecond', 0.001],
];

// "4ms", "1.2s", "3m", "2h", "5d"
export function duration(seconds) {
  const [unit, size] = UNITS.find(([, least]) => seconds >= least) || UNITS[4];
  const value = seconds / size;
  return number(value, {
    style: 'unit',
    unit,
    unitDisplay: 'narrow',
    maximumFractionDigits: value < 10 && size >= 1 ? 1 : 0,
  });
}

// Minutes to "+05:30"
export function offset(minutes) {
  const size = new Date(Math.abs(minutes) * 60_000).toISOString().slice(11, 16);
  return `${minutes < 0 ? '−' : '+'}${size}`;
}

export const city = (zone) => words(zone.split('/').pop());
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

// All that count as planned.
export const PLANNED = Object.keys(STATES).filter((state) => state !== 'cancelled').join();

export const redrivable = (state) => ['failed', 'unknown', 'expired'].includes(state);
