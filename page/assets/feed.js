// Follows the broker: reads the event stream by fetch (so that it can send headers and where it was), and comes back after
// a reload, a lost connection or a killed broker. It knows nothing of what the messages mean.

import { errorOf, readHeaders } from './api.js';
import { makeParser } from './sse.js';

/** The stream says at least a comment every 5 s; longer silence than this is a dead connection. */
const SILENCE = 16_000;
const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 4_000;

/** How long to wait before try `n` (from 0), with `chance` between 0 and 1 so that many pages do not come at once. */
export function pause(n, chance) {
  const most = Math.min(FIRST_PAUSE * 2 ** n, LONGEST_PAUSE);
  return Math.round(most * (0.5 + chance / 2));
}

/**
 * Opens the feed at `url` and keeps it open until `close()`.
 * `onMessage({ event, id, data })` gets parsed data. `onState(state)` gets `{ is: 'connecting' | 'live' | 'away' |
 * 'refused' | 'ended', … }`: `away` has `since` and `next` (instants of this machine), `refused` has `error`.
 * `resume` is the last id that an earlier page saw, or null.
 */
export function openFeed({ url, resume = null, onMessage, onState }) {
  let last = resume;
  let tries = 0;
  let since = null;
  let closed = false;
  let missing = false;
  let abort = new AbortController();
  let wake = () => {};

  function receive({ event, id, data }) {
    if (id) last = id;
    const parsed = JSON.parse(data);
    if (event === 'end' && parsed.why === 'queue deleted') {
      closed = true;
      onState({ is: 'ended', why: parsed.why });
    }
    onMessage({ event, id, data: parsed });
  }

  async function once() {
    abort = new AbortController();
    missing = false;
    let silence = setTimeout(() => abort.abort(), SILENCE);
    try {
      const headers = { ...readHeaders(), accept: 'text/event-stream', ...(last ? { 'last-event-id': last } : {}) };
      const response = await fetch(url, { headers, cache: 'no-store', signal: abort.signal });
      missing = response.status === 404;
      if (!response.ok) {
        const error = await errorOf(response);
        if (response.status < 500) {
          // What is not there yet may come; nothing else gets better by asking again.
          closed = response.status !== 404;
          onState({ is: 'refused', error });
        }
        throw error;
      }
      if (closed) return;
      onState({ is: 'live', awayFor: since === null ? null : Date.now() - since });
      tries = 0;
      since = null;
      const parse = makeParser(receive);
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      while (!closed) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(() => abort.abort(), SILENCE);
        parse(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
  }

  async function run() {
    onState({ is: 'connecting' });
    while (!closed) {
      await once().catch(() => {});
      if (closed) return;
      since ??= Date.now();
      const wait = missing ? LONGEST_PAUSE : pause(tries, Math.random());
      tries += 1;
      if (!missing) onState({ is: 'away', since, next: Date.now() + wait });
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, wait);
      });
    }
  }

  run();
  return {
    close() {
      closed = true;
      abort.abort();
      wake();
    },
    last: () => last,
  };
}
