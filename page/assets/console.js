// The console's main part: which view is shown, whether the broker is there, whether this visitor may write, the keys that
// work everywhere, and the theme. Views know their own things.

import { address, get, hasWriteToken, setBearer, takeToken } from './api.js';
import { helpDialog, tokenDialog } from './dialogs.js';
import { put, say, typing } from './dom.js';
import { openFeed } from './feed.js';
import { figures } from './figures.js';
import { makeQueues } from './queues.js';
import { openQueue } from './queue.js';
import { span } from './words.js';

const main = document.getElementById('main');
const link = document.getElementById('link');
const rights = document.getElementById('rights');
const broker = document.getElementById('broker');
const notice = document.getElementById('notice');
const noticeText = document.getElementById('notice-text');
const theme = document.getElementById('theme');

let offset = 0;
let known = null;
let view = null;
let state = { is: 'connecting' };

/** What the views share. */
const page = {
  // While the broker is away its time stands still: a lease does not run out meanwhile (H2).
  clock: () => (state.is === 'away' ? state.since : Date.now()) + offset,
  learn: (now) => (offset = now - Date.now()),
  away: () => state.is === 'away',
  mayWrite: () => known !== null && known.writes !== 'off' && hasWriteToken(),
  guard,
  state: tellState,
  notice: tellNotice,
  async restarted() {
    const before = known;
    await learnBroker();
    return before !== null && known !== null && (before.started !== known.started || before.broker !== known.broker);
  },
  keep: (queue, frame) => known && sessionStorage.setItem(`lockstep.frame.${known.broker}.${queue}`, frame),
  resumeOf: (queue) => known && sessionStorage.getItem(`lockstep.frame.${known.broker}.${queue}`),
};

async function learnBroker() {
  try {
    known = await get('broker');
    page.learn(known.now);
    say(broker, `${known.version}, journal ${known.journal}, up ${span(known.now - known.started)}`);
    tellRights();
  } catch (error) {
    if (error.status === 401 || error.status === 403) askToken(error);
  }
}

function askToken(error) {
  if (document.querySelector('dialog')) return;
  tokenDialog(error.message, (token) => {
    setBearer(token);
    learnBroker().then(show);
  });
}

function tellRights() {
  const may = page.mayWrite();
  say(rights, may ? 'may write' : 'read only');
  put(rights, 'class', `chip ${may ? 'is-open' : 'is-closed'}`);
  const why = known.writes === 'off' ? 'The broker was started with --console read-only.' : 'To write, open the link that lockstep serve printed.';
  put(rights, 'title', may ? 'This page may send, redrive and purge.' : why);
  guard(main);
}

/** Buttons that write work only where writing is allowed, and say why not. */
function guard(root) {
  const may = page.mayWrite();
  for (const button of root.querySelectorAll('[data-write]')) {
    button.disabled = !may;
    put(button, 'title', may ? null : rights.title);
  }
}

function tellState(next) {
  state = next;
  document.body.classList.toggle('away', state.is === 'away');
  const words = { connecting: 'connecting', live: 'live', away: 'broker away', refused: 'refused', ended: 'ended' };
  say(link, words[state.is]);
  put(link, 'class', `chip is-${state.is}`);
  if (state.is === 'away') tellAway();
  if (state.is === 'live' && (notice.dataset.kind === 'away' || notice.dataset.kind === 'wrong')) hideNotice();
  if (state.is === 'live' && !known) learnBroker();
  if (state.is === 'refused') {
    tellNotice(state.error.message, 'wrong');
    if (state.error.status === 401 || state.error.status === 403) askToken(state.error);
  }
  if (state.is === 'ended') tellNotice('This queue was deleted.', 'wrong');
}

function tellAway() {
  const wait = Math.max(0, state.next - Date.now());
  tellNotice(`The broker has been away for ${span(Date.now() - state.since)}. What you see was true before. ${wait > 600 ? `Trying again in ${span(wait)}.` : 'Trying again.'}`, 'away');
}

function tellNotice(text, kind) {
  say(noticeText, text);
  notice.dataset.kind = kind;
  notice.hidden = false;
}

function hideNotice() {
  notice.hidden = true;
  notice.dataset.kind = '';
}

function show() {
  view?.destroy();
  if (state.is !== 'away') hideNotice();
  const found = /^#\/queue\/([^/]+)$/.exec(location.hash);
  if (found) {
    const name = decodeURIComponent(found[1]);
    document.title = `${name}: Lockstep`;
    view = openQueue(main, name, page);
  } else {
    document.title = 'Lockstep';
    view = openQueues();
  }
  guard(main);
}

function openQueues() {
  const table = makeQueues(main, { clock: page.clock, onOpen: (name) => (location.hash = `#/queue/${encodeURIComponent(name)}`) });
  let before = null;
  const feed = openFeed({
    url: address('feed'),
    onState: async (next) => {
      if (next.is === 'live' && next.awayFor !== null) before = next.awayFor;
      tellState(next);
    },
    onMessage: async ({ event, data }) => {
      if (event !== 'queues') return;
      if (data.now) page.learn(data.now);
      table.update(data);
      if (before === null) return;
      const [away, messages] = [before, data.queues.reduce((sum, queue) => sum + queue.messages, 0)];
      before = null;
      const again = (await page.restarted()) ? 'The broker was started again and is back' : 'The connection is back';
      tellNotice(`${again} after ${span(away)}, with ${data.queues.length} queues and ${messages} messages.`, 'good');
    },
  });
  return {
    find: table.find,
    back() {
      if (table.find.value === '') return false;
      table.find.value = '';
      table.find.dispatchEvent(new Event('input'));
      return true;
    },
    keys: {},
    repaint() {},
    destroy() {
      feed.close();
      table.destroy();
    },
  };
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape') {
    if (view.back()) event.preventDefault();
    else if (typing(event.target)) event.target.blur();
    else if (!notice.hidden && state.is === 'live') hideNotice();
    else if (location.hash.startsWith('#/queue/')) location.hash = '#/';
    return;
  }
  if (typing(event.target)) return;
  if (event.key === '/') {
    event.preventDefault();
    view.find.focus();
    view.find.select();
  } else if (event.key === '?') helpDialog();
  else view.keys[event.key]?.();
}

const THEMES = ['auto', 'light', 'dark'];

function setTheme(name) {
  if (name === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem('lockstep.theme', name);
  say(theme, `theme: ${name}`);
  view?.repaint();
}

function start() {
  takeToken();
  window.lockstep = { figures };
  setTheme(THEMES.includes(localStorage.getItem('lockstep.theme')) ? localStorage.getItem('lockstep.theme') : 'auto');
  theme.addEventListener('click', () => {
    const now = localStorage.getItem('lockstep.theme');
    setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  });
  document.getElementById('help').addEventListener('click', helpDialog);
  document.getElementById('notice-close').addEventListener('click', hideNotice);
  document.addEventListener('keydown', onKey);
  window.addEventListener('hashchange', () => {
    takeToken();
    show();
  });
  setInterval(() => state.is === 'away' && tellAway(), 1000);
  setInterval(() => state.is === 'live' && learnBroker(), 30_000);
  learnBroker().then(show);
}

start();
