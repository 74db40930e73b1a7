// A browser without a window for each story, which notes everything that went wrong in it; and real brokers. No story is
// told here.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';

import { chromium } from 'playwright-core';

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const executablePath = process.env.LOCKSTEP_BROWSER ?? '/usr/bin/chromium';

/** Where pictures of what was seen are kept. */
export const OUT = process.env.LOCKSTEP_PICTURES ?? '.';

const endings = new WeakMap();

/** Has `end` run when the story ends, the last that was asked first: a page ends before its broker. */
export function atEnd(story, end) {
  if (!endings.has(story)) {
    endings.set(story, []);
    story.after(async () => {
      for (const one of endings.get(story).reverse()) await one();
    });
  }
  endings.get(story).push(end);
}

let browser = null;
/** Ends the browser: by itself behind the last story, by the caller where there are none. */
export const shut = () => browser?.close();
after(shut);

/** Starts the browser. It now and then dies of itself while it starts, which says nothing of the page: twice more, then it counts. */
async function start(more = 2) {
  try {
    return await chromium.launch({ executablePath, args: FLAGS });
  } catch (error) {
    if (more === 0) throw error;
    return start(more - 1);
  }
}

/** A page with a past of its own, in the one browser of this process, whose profile is new and forgotten; `close()` ends it. */
export async function launch(context = {}) {
  browser ??= await start();
  const window = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...context });
  const page = await window.newPage();
  page.setDefaultTimeout(20_000);
  return { page, close: () => window.close() };
}

/** A page for a story, which ends it, and fails when the page complained. `calm` lists complaints that belong to it. */
export async function open(story, { calm = [], ...context } = {}) {
  const { page, close } = await launch(context);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error.stack ?? error)));
  page.on('console', (message) => message.type() === 'error' && wrong.push(`${message.text()} ${message.location().url}`));
  atEnd(story, async () => {
    await close();
    const real = wrong.filter((text) => !calm.some((known) => known.test(text)));
    assert.deepEqual(real, [], 'the page complained');
  });
  return page;
}

/** What a browser notes when nobody listens; the page deals with it. */
export const AWAY = /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|ERR_NETWORK/;

/** Takes a picture of what the story sees now. */
export const picture = (page, name) => page.screenshot({ path: join(OUT, `${name}.png`), animations: 'disabled' });

/** Waits until `probe` answers something true. */
export async function until(probe, what, deadline = 15_000) {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not seen in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** A real broker with a data directory of its own, which can be killed and started again on the same port. */
export async function serve(story, ...flags) {
  const home = mkdtempSync(join(tmpdir(), 'lockstep-browser-'));
  let child = null;
  let port = 0;
  const broker = { url: '', link: '' };

  async function start() {
    const command = ['serve', '--listen', `127.0.0.1:${port}`, '--data', join(home, 'data'), '--journal', 'segments', ...flags];
    child = spawn(process.env.LOCKSTEP, command, { stdio: ['ignore', 'pipe', 'pipe'], cwd: home });
    const linked = lineOf(child.stderr, /^console: (http\S+)/);
    linked.catch(() => {});
    const found = await lineOf(child.stdout, /^listening on (http\S+)/);
    broker.url = `${found}/`;
    port = new URL(found).port;
    broker.link = flags.includes('--console') ? broker.url : await linked;
  }

  async function stop(signal) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  atEnd(story, async () => {
    await stop('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  });
  await start();
  return Object.assign(broker, {
    start,
    kill: () => stop('SIGKILL'),
    /** Runs a verb against this broker; answers its output. */
    run(...command) {
      return execFileSync(process.env.LOCKSTEP, command, { cwd: home, encoding: 'utf8', env: { ...process.env, LOCKSTEP_ENDPOINT: broker.url } });
    },
    /** Lines as messages of one group. */
    send(queue, group, ...lines) {
      const command = ['send', queue, '--group', group];
      return execFileSync(process.env.LOCKSTEP, command, { cwd: home, input: `${lines.join('\n')}\n`, env: { ...process.env, LOCKSTEP_ENDPOINT: broker.url } });
    },
  });
}

/** The first match in the lines of a stream, which is read on to its end. */
function lineOf(stream, pattern) {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => {
      const found = pattern.exec(line);
      if (found) resolve(found[1]);
    });
    lines.on('close', () => reject(new Error(`the broker ended before it said ${pattern}`)));
  });
}
