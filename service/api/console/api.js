// The JSON API: one request, or one that is repeated while its answer is on screen.

import { useEffect, useRef, useState } from './vendor/hooks.mjs';

const BASE = new URL('../', import.meta.url); // behind a proxy with a prefix, too
const KEY = 'heyday.key';
const TIMEOUT = 15_000; // milliseconds for one request
export const EVERY = 2_000; // milliseconds between two looks
const SHARED = 5_000; // milliseconds: the age that an answer may have

export const key = {
  get: () => sessionStorage.getItem(KEY) || '',
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

// An answer that is no success. `status` 0: there was no answer.
export class Refused extends Error {
  constructor(status, detail, problem = {}) {
    super(problem.errors?.length ? `${problem.title}.` : detail); // each wrong field is listed below it
    this.status = status;
    this.errors = problem.errors || [];
    this.requestId = problem.requestId;
    this.role = problem.requiredRole;
  }

  // What the reader can do about it.
  get advice() {
    if (this.status === 0) return 'Check that a node is running and that you can reach it. The console tries again.';
    if (this.status === 401) return 'Sign in with a key that is valid now.';
    if (this.status === 403) return `Ask someone who has a key with the role ${this.role || 'admin'}.`;
    if (this.status === 412) return 'Someone else changed it. Read the new state, then decide again.';
    if (this.status === 429) return 'Wait a few seconds, then try again.';
    if (this.status >= 500) return 'Wait until the server is back. Nodes shows what is away.';
    return '';
  }
}

// Send one request. Returns { status, data, etag }. Raises Refused.
export async function call(path, { method = 'GET', body, etag, headers = {}, signal } = {}) {
  const sent = { Accept: 'application/json', ...headers };
  if (key.get()) sent.Authorization = `Bearer ${key.get()}`;
  if (etag) sent[method === 'GET' ? 'If-None-Match' : 'If-Match'] = etag;
  if (body !== undefined) sent['Content-Type'] ||= 'application/json';
  const limit = AbortSignal.timeout(TIMEOUT);
  let answer;
  let text;
  try {
    answer = await fetch(new URL(path, BASE), {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: 'omit',
      cache: 'no-store',
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, limit.aborted ? 'The node did not answer within 15 seconds.' : 'The node does not answer.');
  }
  const data = text && (answer.headers.get('Content-Type') || '').includes('json') ? JSON.parse(text) : null;
  if (answer.ok || answer.status === 304) return { status: answer.status, data, etag: answer.headers.get('ETag') };
  if (answer.status === 401) dispatchEvent(new Event('signed-out'));
  throw new Refused(answer.status, data?.detail || `The node answered ${answer.status}.`, data || {});
}

export const send = async (method, path, body, more = {}) => (await call(path, { method, body, ...more })).data;

// Times of the last answer and the last failure, over all that is polled: the banner shows them.
export const freshness = { answered: Date.now(), failed: null, paused: 0 };

// Read `path` now and every two seconds while the tab is visible and nothing is being decided: no dialog is open, and the
// page does not ask for quiet. What is shown stays when an answer fails, and changes only when the answer changes.
export function usePolled(path, { every = EVERY, quiet = false } = {}) {
  const [state, set] = useState({ path: null, data: null, error: null });
  const still = useRef(quiet);
  still.current = quiet;
  const again = useRef(() => {});
  useEffect(() => {
    if (!path) return undefined;
    const ending = new AbortController();
    let timer;
    let etag;
    let looking = false;
    let refused = false; // asking again would change nothing
    const look = async (asked) => {
      if (looking) return;
      clearTimeout(timer);
      if (asked || !(refused || document.hidden || still.current || freshness.paused)) {
        looking = true;
        try {
          // After a change of one's own the answer must be new. Else it may be as old as a look, so that many watch for the price of one.
          const headers = asked === 'again' ? {} : { 'Cache-Control': `max-age=${Math.max(every, SHARED) / 1000}` };
          const answer = await call(path, { etag, headers, signal: ending.signal });
          etag = answer.etag;
          refused = false;
          freshness.answered = Date.now();
          freshness.failed = null;
          if (answer.status !== 304) set({ path, data: answer.data, error: null, etag });
          else set((before) => (before.error ? { ...before, error: null } : before));
        } catch (error) {
          if (ending.signal.aborted) return;
          if (!(error instanceof Refused)) throw error;
          refused = error.status >= 400 && error.status < 500 && error.status !== 429;
          if (error.status === 0 || error.status >= 500) freshness.failed ||= Date.now();
          set((before) => ({ path, data: before.path === path ? before.data : null, etag: before.etag, error }));
        } finally {
          looking = false;
        }
      }
      timer = setTimeout(look, every);
    };
    const seen = () => document.hidden || look();
    again.current = () => look('again');
    document.addEventListener('visibilitychange', seen);
    look(true);
    return () => {
      ending.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [path, every]);
  return state.path === path
    ? { ...state, again: () => again.current() }
    : { data: null, error: null, again: () => {} };
}
