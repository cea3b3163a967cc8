// Addresses: each page, with its filters, is in the part after `#`, so it can be sent to a colleague and works behind any prefix.

import { useEvent, useState } from './html.js';

function parse() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, id] = path.split('/');
  return { page: page || 'day', id, query: Object.fromEntries(new URLSearchParams(query)) };
}

// The query of an address. Filters without a value are left out.
export function search(query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : '';
}

// The address of a page.
export const to = (page, id, query = {}) => `#/${page}${id ? `/${id}` : ''}${search(query)}`;

export const go = (...page) => {
  location.hash = to(...page);
};

// Change the filters of the page that is shown, without a step in the history.
export const replace = (...page) => {
  history.replaceState(null, '', to(...page));
  dispatchEvent(new Event('hashchange'));
};

export function useAddress() {
  const [address, set] = useState(parse);
  useEvent('hashchange', () => set(parse()));
  return address;
}
