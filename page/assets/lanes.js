// The lanes of a queue: one row a group, its messages as dots in order, and why nothing comes out. It draws a model and
// reports what was chosen; it asks nobody. The lab shows the same lanes.

import { forgetPalette, makeCanvasStrip } from './canvas.js';
import { el, put, say } from './dom.js';
import { DENSE, LARGE, legendIcon, room, STATES } from './shapes.js';
import { makeSvgStrip } from './strip.js';
import { dotSentence, laneSentence, many, number } from './words.js';

/** More dots than this, in all lanes together, are drawn on a canvas. */
export const ELEMENTS = 500;
/** How often what moves with time is drawn, in milliseconds. */
const TICK = 250;
const BLANK = { drawn: false };

/**
 * Lanes in `container`. `onDot(dot, lane)` and `onGroup(lane)` are told of a choice; `clock()` is the broker's time in
 * milliseconds. `update(model, changed)` draws: all lanes, or those in the set `changed`. `dense(true)` asks for the small
 * look even where there is room. `destroy()` ends it.
 */
export function makeLanes(container, { onDot = () => {}, onGroup = () => {}, clock = Date.now } = {}) {
  const rows = new Map();
  const body = el('div', { class: 'lanes-body' });
  const readout = el('p', { class: 'readout' });
  const heading = el(
    'div',
    { class: 'lane lanes-heading', 'aria-hidden': 'true' },
    el('span', { text: 'group' }),
    el('span', { class: 'way' }, el('span', { text: '◀ comes out first' }), el('span', { text: 'arrived last' })),
    el('span', { text: 'next, or why not' }),
  );
  const root = el('div', { class: 'lanes' }, heading, body, readout);
  container.append(root);

  let model = null;
  let small = false;
  let canvas = false;
  let width = 600;
  let current = { group: null, seq: null, place: -1 };

  const look = () => (canvas ? DENSE : LARGE);
  const shownOf = (lane) => lane.dots.slice(0, room(look(), width));

  function makeRow(group) {
    const depth = el('span', { class: 'lane-depth' });
    const name = el('span', { class: 'lane-name', text: group });
    const button = el('button', { class: 'lane-group', type: 'button', tabindex: -1 }, name, depth);
    const strip = canvas ? makeCanvasStrip() : makeSvgStrip();
    const box = el('div', { class: 'strip', role: 'listbox', tabindex: -1, 'aria-label': `messages of group ${group}, the first is the next` }, strip.root);
    const why = el('p', { class: 'lane-why' });
    const node = el('div', { class: 'lane', role: 'group', 'aria-label': `group ${group}` }, button, box, why);
    const row = { ...BLANK, group, node, button, depth, strip, box, why, lane: null, shown: [], moves: false };
    button.addEventListener('click', () => choose(row, null, true));
    box.addEventListener('click', (event) => {
      const seq = strip.at(event);
      if (seq !== null) choose(row, seq, true);
    });
    box.addEventListener('pointermove', (event) => {
      const dot = row.shown.find((one) => one.seq === strip.at(event));
      say(readout, dot ? dotSentence(dot, row.lane, clock()) : '');
    });
    box.addEventListener('pointerleave', () => say(readout, ''));
    return row;
  }

  function draw(row, lane, now) {
    row.lane = lane;
    row.shown = shownOf(lane);
    row.moves = lane.until != null || row.shown.some((dot) => dot.until != null);
    put(row.node, 'class', `lane is-${lane.state}`);
    say(row.depth, canvas ? number(lane.depth) : many(lane.depth, 'message'));
    const sentence = laneSentence(lane, now);
    say(row.why, sentence);
    row.strip.update(lane, row.shown, now, width);
  }

  function update(next, changed = null) {
    model = next;
    const now = clock();
    const wanted = small || model.dots > ELEMENTS;
    if (wanted !== canvas) {
      canvas = wanted;
      clear();
    }
    root.classList.toggle('dense', canvas);
    for (const [group, row] of rows) {
      if (model.lanes.has(group)) continue;
      row.node.remove();
      rows.delete(group);
    }
    let after = null;
    for (const group of model.order) {
      let row = rows.get(group);
      const fresh = !row;
      if (fresh) rows.set(group, (row = makeRow(group)));
      const place = after ? after.nextSibling : body.firstChild;
      if (row.node !== place) body.insertBefore(row.node, place);
      after = row.node;
      if (fresh || changed === null || changed.has(group)) draw(row, model.lanes.get(group), now);
    }
    keepCurrent();
  }

  function clear() {
    for (const row of rows.values()) row.node.remove();
    rows.clear();
  }

  /** After an update: the chosen message may have left; the one at its place is chosen then, or the group. */
  function keepCurrent() {
    let row = rows.get(current.group);
    if (!row) {
      row = rows.get(model.order[0]);
      current = { group: row?.group ?? null, seq: null, place: -1 };
    }
    if (!row) return;
    const held = root.contains(document.activeElement) && document.activeElement !== document.body;
    if (current.seq !== null && !row.shown.some((dot) => dot.seq === current.seq)) {
      const dot = row.shown[Math.min(current.place, row.shown.length - 1)];
      current = { ...current, seq: dot?.seq ?? null, place: dot ? row.shown.indexOf(dot) : -1 };
    }
    mark(row, held);
  }

  /** Shows what is chosen; the one stop of the Tab key is there. */
  function mark(row, focus) {
    for (const other of rows.values()) {
      const here = other === row;
      const name = other.strip.select(here ? current.seq : null, clock());
      put(other.box, 'aria-activedescendant', here ? name : null);
      put(other.button, 'tabindex', here && current.seq === null ? 0 : -1);
      put(other.box, 'tabindex', here && current.seq !== null ? 0 : -1);
    }
    if (!focus) return;
    const target = current.seq === null ? row.button : row.box;
    if (document.activeElement !== target) target.focus({ preventScroll: false });
    const dot = row.shown.find((one) => one.seq === current.seq);
    say(readout, dot ? dotSentence(dot, row.lane, clock()) : '');
  }

  function choose(row, seq, open) {
    current = { group: row.group, seq, place: row.shown.findIndex((dot) => dot.seq === seq) };
    mark(row, true);
    if (!open) return;
    if (seq === null) onGroup(row.lane);
    else onDot(row.shown[current.place], row.lane);
  }

  function step(places, lanes) {
    const row = rows.get(current.group);
    if (!row) return;
    if (lanes !== 0) {
      const at = model.order.indexOf(current.group) + lanes;
      const next = rows.get(model.order[Math.min(Math.max(at, 0), model.order.length - 1)]);
      const place = Math.min(current.place, next.shown.length - 1);
      choose(next, place < 0 ? null : next.shown[place].seq, false);
      return;
    }
    const place = Math.min(Math.max(current.place + places, -1), row.shown.length - 1);
    choose(row, place < 0 ? null : row.shown[place].seq, false);
  }

  const KEYS = {
    ArrowRight: () => step(1, 0),
    ArrowLeft: () => step(-1, 0),
    ArrowDown: () => step(0, 1),
    ArrowUp: () => step(0, -1),
    Home: () => step(-Infinity, 0),
    End: () => step(Infinity, 0),
    Enter: () => rows.has(current.group) && choose(rows.get(current.group), current.seq, true),
  };
  root.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  const timer = setInterval(() => {
    const now = clock();
    for (const row of rows.values()) {
      if (!row.moves) continue;
      say(row.why, laneSentence(row.lane, now));
      row.strip.tick(row.shown, now);
    }
  }, TICK);
  const sizes = new ResizeObserver(() => {
    const box = rows.values().next().value?.box;
    if (!box || Math.abs(box.clientWidth - width) < 2) return;
    width = box.clientWidth;
    if (model) update(model);
  });
  sizes.observe(root);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const repaint = () => {
    forgetPalette();
    if (model) update(model);
  };
  scheme.addEventListener('change', repaint);

  return {
    update(next, changed) {
      const empty = rows.size === 0;
      update(next, changed);
      // The first row tells how wide strips are.
      const box = rows.values().next().value?.box;
      if (empty && box && Math.abs(box.clientWidth - width) >= 2) {
        width = box.clientWidth;
        update(next);
      }
    },
    dense(wanted) {
      small = wanted;
      if (model) update(model);
    },
    repaint,
    /** Puts the keyboard where it was: on the chosen message or group. */
    focus() {
      const row = rows.get(current.group);
      if (row) mark(row, true);
    },
    destroy() {
      clearInterval(timer);
      sizes.disconnect();
      scheme.removeEventListener('change', repaint);
      root.remove();
    },
  };
}

/** The legend of the shapes, in words. */
export function makeLegend() {
  const items = STATES.map(([state, words]) => el('li', {}, legendIcon(state), el('span', { text: words })));
  return el('ul', { class: 'legend', 'aria-label': 'what the shapes mean' }, ...items);
}
