// Addresses: each page, with its filters, is in the part after `#`, so it can be sent to a colleague and works behind any prefix.

import { useEffect, useState } from './vendor/hooks.mjs';

const parse = () => {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page, id] = path.split('/').map(decodeURIComponent);
  return { page: page || 'day', id, query: Object.fromEntries(new URLSearchParams(query)) };
};

// The address of a page. Filters without a value are left out.
export function to(page, id, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const search = new URLSearchParams(given).toString();
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ''}${search ? `?${search}` : ''}`;
}

export const go = (address) => {
  location.hash = address;
};

// Change the filters of the page that is shown, without a step in the history.
export const replace = (address) => {
  history.replaceState(null, '', address);
  dispatchEvent(new HashChangeEvent('hashchange'));
};

export function useAddress() {
  const [address, set] = useState(parse);
  useEffect(() => {
    const changed = () => set(parse());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return address;
}
