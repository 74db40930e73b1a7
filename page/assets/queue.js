// The page of one queue: its figures, its lanes, what happened just now, and the panel beside them. It follows the feed of
// the part of the queue that is in view, and moves that part.

import { address } from './api.js';
import { makeChart } from './chart.js';
import { peekDialog, purgeDialog, redriveDialog, sendDialog } from './dialogs.js';
import { el, put, say } from './dom.js';
import { makeFacts } from './facts.js';
import { openFeed } from './feed.js';
import { figures } from './figures.js';
import { makeLanes, makeLegend } from './lanes.js';
import { makePanel } from './life.js';
import { applyDiff, applySnapshot, compared, emptyModel, remembered } from './model.js';
import { KEPT, makeSeries, rates, sample, values } from './series.js';
import { DENSE, LARGE, room } from './shapes.js';
import { age, number, recoverySentence, span } from './words.js';

/** The most lanes and dots that one feed gives. */
const MOST = 200;
const TILES = [
  ['messages', 'messages', (q) => number(q.messages)],
  ['waiting', 'waiting', (q) => number(q.waiting)],
  ['in_flight', 'in flight', (q) => number(q.in_flight)],
  ['delayed', 'delayed', (q) => number(q.delayed)],
  ['groups', 'groups', (q) => number(q.groups)],
  ['held', 'groups held', (q) => number(q.groups_held)],
  ['oldest', 'oldest', (q, now) => (q.oldest === null ? 'none' : age(now - q.oldest))],
  ['again', 'turned away', (q) => number(q.turned_away)],
  ['dead', 'dead-lettered', (q) => number(q.dead_lettered)],
];

/** Shows queue `name` in `container` until `destroy()`. `page` is what all views share: clock, learn, state, notice. */
export function openQueue(container, name, page) {
  const model = emptyModel();
  const series = makeSeries();
  const view = { after: null, find: '', stack: [], dense: false };
  let feed = null;
  let changed = null;
  let drawing = false;
  let before = null;
  let back = null;

  const tiles = TILES.map(([key, words]) => {
    const value = el('dd', { text: '–' });
    return { node: el('div', { class: `tile tile-${key}` }, el('dt', { text: words }), value), value };
  });
  const kind = el('span', { class: 'muted' });
  const button = (text, run, how = '') => el('button', { type: 'button', class: how, text, onclick: run });
  const writes = [
    button('Send', () => sendDialog(name, '')),
    button('Redrive', () => redriveDialog(name)),
    button('Purge', () => purgeDialog(name, model.queue?.messages ?? 0), 'danger'),
  ];
  for (const one of writes) one.dataset.write = '';
  const find = el('input', { type: 'search', id: 'find', placeholder: 'find a group ( / )', 'aria-label': 'find a group' });
  const previous = button('◀ before', () => turn(-1));
  const next = button('after ▶', () => turn(1));
  const where = el('span', { class: 'where' });
  const dense = button('Small dots', () => setDense(!view.dense));
  const empty = el('div', { class: 'empty', hidden: true });
  const stage = el('div', { class: 'stage' });
  const chartBox = el('div', { class: 'charts' });
  const sideBox = el('div', { class: 'side-now' }, chartBox);
  const side = el('aside', { class: 'side', 'aria-label': 'now' }, sideBox);
  const root = el(
    'section',
    { class: 'one-queue' },
    el('div', { class: 'bar-of-tools' }, el('a', { href: '#/', class: 'back', text: 'Queues' }), el('h1', { text: name }), kind, el('div', { class: 'buttons' }, button('Peek', () => peekDialog(name)), ...writes)),
    el('dl', { class: 'tiles' }, ...tiles.map((tile) => tile.node)),
    el('div', { class: 'split' }, el('div', { class: 'main-part' }, el('div', { class: 'bar-of-tools' }, find, previous, next, dense, where), makeLegend(), stage, empty), side),
  );
  container.append(root);

  const chart = makeChart(chartBox, { title: 'messages a second', lines: [{ name: 'sent' }, { name: 'received' }, { name: 'deleted' }], kept: KEPT });
  const depths = makeChart(chartBox, { title: 'messages there', lines: [{ name: 'waiting' }, { name: 'in flight' }], kept: KEPT });
  const facts = makeFacts(sideBox, { onSeq: (seq, group) => panel.message(seq, group) });
  const panel = makePanel(side, {
    queue: name,
    onClose: () => {
      sideBox.hidden = false;
      lanes.focus();
    },
    actions: ({ seq, group }) => [
      button('Look at the text', () => peekDialog(name, group, seq === null ? null : before1(seq))),
      writable(button('Send to this group', () => sendDialog(name, group))),
    ],
  });
  const lanes = makeLanes(stage, {
    clock: page.clock,
    onDot: (dot, lane) => reveal(() => panel.message(dot.seq, lane.group)),
    onGroup: (lane) => reveal(() => panel.group(lane.group)),
  });

  function writable(one) {
    one.dataset.write = '';
    page.guard(el('div', {}, one));
    return one;
  }

  function reveal(show) {
    sideBox.hidden = true;
    show();
  }

  function windowOf() {
    const look = view.dense ? DENSE : LARGE;
    const wide = stage.querySelector('.strip')?.clientWidth ?? Math.max(300, stage.clientWidth * 0.7);
    const high = Math.ceil((window.innerHeight - 260) / look.height);
    return {
      queue: name,
      after: view.after,
      find: view.find,
      lanes: Math.min(MOST, Math.max(view.dense ? 24 : 10, high)),
      dots: Math.min(MOST, room(look, wide) + 4),
    };
  }

  function follow() {
    const resume = feed ? feed.last() : page.resumeOf(name);
    feed?.close();
    feed = openFeed({ url: address('feed', windowOf()), resume, onMessage, onState });
  }

  function onState(state) {
    if (state.is === 'away') before ??= model.frame === null ? null : remembered(model);
    if (state.is === 'live' && state.awayFor !== null && before) back = { awayFor: state.awayFor, facts: 0, gap: false };
    page.state(state);
    if (state.is !== 'refused' || state.error.status !== 404) return;
    stage.hidden = true;
    empty.hidden = false;
    empty.replaceChildren(el('h2', { text: `There is no queue ${name}` }), el('p', { text: 'Make it, and it appears here:' }), el('pre', { text: `lockstep queue create ${name}` }));
  }

  function onMessage({ event, id, data }) {
    if (id) page.keep(name, id);
    if (data.now) page.learn(data.now);
    if (event === 'snapshot') {
      applySnapshot(model, data);
      changed = null;
      if (back) recovered();
      request();
    } else if (event === 'diff') {
      const some = applyDiff(model, data);
      if (!drawing) changed = some;
      else if (changed) some.forEach((group) => changed.add(group));
      request();
    } else if (event === 'facts') {
      if (back) back.facts += data.facts.length + (data.more ?? 0);
      facts.add(data.facts, data.more ?? 0);
    } else if (event === 'gap') {
      if (back) back.gap = true;
      facts.gap(data);
    }
  }

  /** The broker is back: says what it recovered, against what was seen before. */
  async function recovered() {
    const [was, how] = [before, back];
    before = null;
    back = null;
    const found = compared(was, model);
    const restarted = await page.restarted();
    page.notice(recoverySentence(how.awayFor, restarted, found, how.facts, how.gap), found.same ? 'good' : 'news');
  }

  /** Draws once a picture of the screen, however many messages came. */
  function request() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      const begin = performance.now();
      draw(changed);
      figures.drawn(performance.now() - begin, model.dots);
    });
  }

  function draw(some) {
    // Shown before they are drawn: what is hidden has no width.
    const none = model.lanes.size === 0;
    empty.hidden = !none;
    stage.hidden = none;
    if (none) empty.replaceChildren(...nothing());
    lanes.update(model, some);
    panel.touch(some);
    tell();
  }

  function nothing() {
    if (view.find) return [el('h2', { text: `No group has "${view.find}" in its name` }), el('p', { text: 'Esc clears the search.' })];
    return [
      el('h2', { text: 'No message here' }),
      el('p', { text: 'Send one:' }),
      el('pre', { text: `seq 3 | lockstep send ${name} --group customer-7` }),
    ];
  }

  function tell() {
    const { queue } = model;
    if (!queue) return;
    const now = page.clock();
    TILES.forEach(([key, , of], i) => {
      const text = of(queue, now);
      say(tiles[i].value, text);
      tiles[i].node.classList.toggle('nothing', text === '0' || text === 'none');
    });
    const lease = `visibility timeout ${span(queue.visibility)}`;
    say(kind, `${queue.fifo ? 'FIFO' : 'standard: no order is promised'}, ${lease}${queue.dead_letter_queue ? `, dead letters go to ${queue.dead_letter_queue}` : ''}`);
    previous.disabled = view.stack.length === 0;
    next.disabled = !model.more;
    say(where, queue.groups > model.order.length ? `${number(model.order.length)} of ${number(queue.groups)} groups shown` : '');
  }

  function turn(way) {
    if (way > 0) {
      if (!model.more || model.order.length === 0) return;
      view.stack.push(view.after);
      view.after = model.order.at(-1);
    } else {
      if (view.stack.length === 0) return;
      view.after = view.stack.pop();
    }
    follow();
  }

  function setDense(wanted) {
    view.dense = wanted;
    put(dense, 'aria-pressed', wanted);
    lanes.dense(wanted);
    follow();
  }

  let waiting = null;
  function search() {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (find.value === view.find) return;
      Object.assign(view, { find: find.value, after: null, stack: [] });
      follow();
    }, 200);
  }
  find.addEventListener('input', search);
  find.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === 'ArrowDown') lanes.focus();
  });

  let resized = null;
  const onResize = () => {
    clearTimeout(resized);
    resized = setTimeout(follow, 400);
  };
  window.addEventListener('resize', onResize);
  const timer = setInterval(() => {
    if (!model.queue) return;
    if (!page.away()) sample(series, page.clock(), model.queue);
    chart.update([rates(series, 'sent'), rates(series, 'received'), rates(series, 'deleted')]);
    depths.update([values(series, 'waiting'), values(series, 'flying')]);
    tell();
  }, 1000);
  put(dense, 'aria-pressed', false);
  follow();

  return {
    find,
    /** Esc: closes the panel, clears the search; false when there was nothing to close. */
    back() {
      if (panel.hide()) return true;
      if (find.value === '') return false;
      find.value = '';
      search();
      return true;
    },
    keys: { '[': () => turn(-1), ']': () => turn(1) },
    repaint: () => lanes.repaint(),
    destroy() {
      clearInterval(timer);
      clearTimeout(waiting);
      clearTimeout(resized);
      window.removeEventListener('resize', onResize);
      feed.close();
      panel.hide();
      lanes.destroy();
      root.remove();
    },
  };
}

/** The number before `seq`, so that a look after it begins with it. */
const before1 = (seq) => String(BigInt(seq) - 1n);
