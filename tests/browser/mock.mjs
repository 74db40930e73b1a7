// A stand-in for a broker that speaks the console's agreement, for what is hard to bring about with a real one: 100,000
// groups, many changes a second, a gap, a broker that is away. It keeps no rules; scenes say what is there.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const ASSETS = join(dirname(fileURLToPath(import.meta.url)), 'assets');
const TYPES = { '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml' };
const CSP = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

export const TOKEN = 'mock-token';

/** A dot with what is usual. */
export function dot(seq, state, more = {}) {
  return { seq: String(seq), id: `id-${seq}`, state, until: null, since: null, holder: null, receives: 0, sent: Date.now() - 3_000, bytes: 12, ...more };
}

/** A lane of `depth` messages; the first is leased when `holder` is given. */
export function lane(group, place, first, depth, shown, holder = null, lease = 30_000) {
  const now = Date.now();
  const dots = Array.from({ length: Math.min(depth, shown) }, (_, i) => {
    if (!holder) return dot(first + i, 'waiting');
    return i === 0 ? dot(first, 'in_flight', { holder, receives: 1, since: now - 8_000, until: now - 8_000 + lease }) : dot(first + i, 'behind');
  });
  const held = holder ? { state: 'held', rule: 'O3', until: dots[0].until, sentence: 'held' } : { state: 'free', rule: 'O1', until: null };
  return { group, place, depth, ...held, dots };
}

/** What a queue says of itself. */
export function queueOf(name, more = {}) {
  return {
    name, fifo: true, messages: 0, waiting: 0, in_flight: 0, delayed: 0, groups: 0, groups_held: 0, parked: 0, oldest: null,
    sent: 0, received: 0, deleted: 0, turned_away: 0, dead_lettered: 0, keys: 0, dead_letter_queue: null, visibility: 30_000, ...more,
  };
}

/** 100,000 groups with one message each; `lanes` are made only for the window that is asked for. */
export function crowd(groups = 100_000) {
  const name = (i) => `group-${String(i).padStart(6, '0')}`;
  return {
    queue: queueOf('crowd.fifo', { messages: groups, waiting: groups, groups, oldest: Date.now() - 60_000, sent: groups }),
    window({ after, find, lanes, dots }) {
      let from = after ? Number(after.slice(6)) + 1 : 0;
      if (find) from = Number(/\d+/.exec(find)?.[0] ?? groups);
      const found = [];
      for (let i = from; i < groups && found.length < lanes; i += 1) found.push(lane(name(i), i, i + 1, 60, dots, i % 7 === 0 ? 'w1' : null));
      return { lanes: found, more: from + lanes < groups };
    },
  };
}

/** Starts the stand-in on a free port. `scene.queues` is a map of name to `{ queue, window(asked), messages }`. */
export async function startMock(scene) {
  const feeds = new Set();
  const calls = [];
  let frame = 1_000;
  let started = Date.now() - 60_000;
  const json = (response, status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const failure = (response, status, code, rule, message) => json(response, status, { error: { code, rule, message } });

  function tell(feed, event, data) {
    feed.response.write(`id: ${frame}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  function feedOf(request, response, asked) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const feed = { response, asked, name: asked.get('queue') };
    feeds.add(feed);
    request.on('close', () => feeds.delete(feed));
    const since = request.headers['last-event-id'];
    if (since && scene.gap) tell(feed, 'gap', { from: since, to: String(frame) });
    if (feed.name) tell(feed, 'snapshot', snapshot(feed));
    else tell(feed, 'queues', { frame: String(frame), now: Date.now(), queues: [...scene.queues.values()].map((one) => one.queue), gone: [] });
  }

  function snapshot({ name, asked }) {
    const one = scene.queues.get(name);
    const wanted = { after: asked.get('after'), find: asked.get('find'), lanes: Number(asked.get('lanes')), dots: Number(asked.get('dots')) };
    const { lanes, more } = one.window(wanted);
    return { frame: String(frame), now: Date.now(), resumed: false, queue: one.queue, first: lanes[0]?.group ?? null, more, lanes };
  }

  const READS = {
    broker: () => ({ broker: 'mock', started, journal: 'segments', version: '0.1.0', frame: String(frame), now: Date.now(), writes: scene.writes ?? 'token' }),
    message: (asked) => scene.message?.(asked.get('seq')) ?? { seq: asked.get('seq'), id: 'id', group: 'g', state: 'waiting', sentence: 'would be delivered now', rule: 'O1', life: [], complete: true },
    group: (asked) => scene.group?.(asked.get('group')) ?? { group: asked.get('group'), depth: 1, state: 'free', sentence: 'would deliver', rule: 'O1', until: null },
    peek: () => ({ messages: scene.peek?.() ?? [] }),
  };

  async function write(request, response, path) {
    let text = '';
    for await (const piece of request) text += piece;
    calls.push({ path, body: JSON.parse(text) });
    if (request.headers['lockstep-console'] !== TOKEN) return failure(response, 403, 'TOKEN_WANTED', null, 'This write wants the token of the link.');
    const answers = { send: { seq: '41', id: 'id', turned_away: false }, redrive: {}, purge: { purged: 3 } };
    return json(response, 200, answers[path]);
  }

  const beat = setInterval(() => feeds.forEach((feed) => feed.response.write(':\n\n')), 5_000);
  const server = createServer((request, response) => {
    const address = new URL(request.url, 'http://mock');
    const [, first, ...rest] = address.pathname.split('/');
    if (address.pathname === '/' || (first === 'console' && rest[0] !== 'api')) {
      const file = normalize(rest[0] ?? 'index.html');
      response.writeHead(200, { 'content-type': TYPES[extname(file)], 'content-security-policy': CSP, 'cache-control': 'no-cache' });
      return response.end(readFileSync(join(ASSETS, file)));
    }
    const path = rest[1];
    if (request.method === 'POST') return write(request, response, path);
    if (path === 'feed') {
      const name = address.searchParams.get('queue');
      if (name && !scene.queues.has(name)) return failure(response, 404, 'QUEUE_DOES_NOT_EXIST', 'L1', `There is no queue ${name}: lockstep queue create ${name}`);
      return feedOf(request, response, address.searchParams);
    }
    if (READS[path]) return json(response, 200, READS[path](address.searchParams));
    return failure(response, 404, 'NO_SUCH_PATH', null, 'There is nothing here.');
  });

  const listen = (port) => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const cut = () => feeds.forEach((feed) => feed.response.destroy());
  await listen(0);
  const { port } = server.address();
  return {
    url: `http://127.0.0.1:${port}/`,
    calls,
    feeds,
    queues: scene.queues,
    /** Tells all feeds of `name` something. */
    tell(name, event, data) {
      frame += 1;
      for (const feed of feeds) if (feed.name === name) tell(feed, event, { frame: String(frame), now: Date.now(), ...data });
    },
    /** The broker is killed: no connection, nobody listens. */
    async away() {
      cut();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    async back() {
      started = Date.now();
      await listen(port);
    },
    async close() {
      clearInterval(beat);
      cut();
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}
