// The JSON API: one request, or one that is repeated while its answer is on screen. The role of the key decides what is offered;
// the API decides what is done.

import { useEffect, useEvent, useRef, useState } from './html.js';

// Behind a proxy with a prefix, too.
const BASE = new URL('../', import.meta.url);
const KEY = 'heyday.key';
// Milliseconds for one request.
const TIMEOUT = 15_000;
// Milliseconds between two looks.
export const EVERY = 2_000;
// Milliseconds: the age that an answer may have.
const SHARED = 5_000;
const ROLES = ['read', 'write', 'operate', 'admin'];

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
};

// Who asks: name and role of the key.
export const me = {};
export const may = (role) => ROLES.indexOf(me.role) >= ROLES.indexOf(role);

const again = 'Wait a few seconds, then try again.';
const ADVICE = {
  0: 'Check that a node is running and that you can reach it.',
  401: 'Sign in with a key that is valid now.',
  412: 'Someone else changed it. What you typed is still here.',
  429: again,
};

// An answer that is no success. `status` 0: there was no answer.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.errors?.length ? `${problem.title}.` : problem.detail || `The node answered ${status}.`);
    const passes = !status || status === 429 || status >= 500;
    Object.assign(this, { status, passes, errors: problem.errors, requestId: problem.requestId });
    // What the reader can do about it.
    this.advice =
      status === 403
        ? `Ask someone who has a key with the role ${problem.requiredRole || 'admin'}.`
        : ADVICE[status] || (status >= 500 ? `${again} Nodes shows what is away.` : '');
  }
}

// Send one request. Returns { status, data, etag }. Raises Refused.
export async function call(method, path, body, headers, ending) {
  const limit = AbortSignal.timeout(TIMEOUT);
  let answer;
  let text;
  try {
    answer = await fetch(new URL(`api/v1/${path}`, BASE), {
      method,
      headers: {
        Accept: 'application/json',
        ...(key.get() && { Authorization: `Bearer ${key.get()}` }),
        ...(body && { 'Content-Type': `application/${method === 'PATCH' ? 'merge-patch+' : ''}json` }),
        ...headers,
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.any([limit, ending].filter(Boolean)),
      credentials: 'omit',
      cache: 'no-store',
    });
    text = await answer.text();
  } catch (error) {
    if (ending?.aborted) throw error;
    throw new Refused(0, { detail: `The node does not answer${limit.aborted ? ' within 15 seconds' : ''}.` });
  }
  const { ok, status } = answer;
  const data = text && answer.headers.get('Content-Type')?.includes('json') ? JSON.parse(text) : {};
  if (ok || status === 304) return { status, data, etag: answer.headers.get('ETag') };
  if (status === 401) dispatchEvent(new Event('signed-out'));
  throw new Refused(status, data);
}

export const send = async (...request) => (await call(...request)).data;

// Times of the last answer and the last failure, over all that is polled: the banner shows them.
export const freshness = { answered: Date.now(), failed: 0, paused: 0 };

// Read `path` now and every two seconds while the tab is visible and nothing is being decided: no dialog is open, and the
// page does not ask for quiet. What is shown stays when an answer fails, and changes only when the answer changes.
export function usePolled(path, { every = EVERY, quiet } = {}) {
  const [state, set] = useState({});
  const still = useRef();
  // What is not there yet cannot rest.
  still.current = quiet && state.data;
  const look = useRef();
  useEffect(() => {
    if (!path) return undefined;
    const ending = new AbortController();
    let timer;
    let etag;
    let looking;
    // 0: asking again would change nothing.
    let wait = every;
    // After a change of one's own the answer must be new. Else it may be as old as a look, so many watch for the price of one.
    look.current = async (asked, age = Math.max(every, SHARED) / 1000) => {
      // An answer that is under way may be older than the change.
      if (looking) return asked && setTimeout(look.current, 99, asked, age);
      clearTimeout(timer);
      if (asked || !(!wait || document.hidden || still.current || freshness.paused)) {
        looking = true;
        try {
          const headers = { ...(age && { 'Cache-Control': `max-age=${age}` }), ...(etag && { 'If-None-Match': etag }) };
          const answer = await call('GET', path, undefined, headers, ending.signal);
          etag = answer.etag;
          wait = every;
          freshness.answered = Date.now();
          freshness.failed = 0;
          if (answer.status !== 304) set({ path, etag, data: answer.data });
          else set((before) => (before.error ? { ...before, error: null } : before));
        } catch (error) {
          if (ending.signal.aborted) return;
          if (!(error instanceof Refused)) throw error;
          wait = error.passes || error.status === 401 ? EVERY : 0;
          if (error.passes) freshness.failed = Date.now();
          // What is refused, such as one that was erased, is not shown any longer.
          set((before) => ({ ...(wait && before.path === path && before), path, error }));
        } finally {
          looking = false;
        }
      }
      timer = setTimeout(look.current, wait || every);
    };
    look.current(true);
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [path, every]);
  useEvent('visibilitychange', () => look.current?.());
  return { ...(state.path === path && state), again: () => look.current?.(true, 0) };
}
