// What a message looks like in each state: a shape of its own, never colour alone. Drawn as SVG here; canvas.js draws the
// same shapes where there are too many.

import { put, say, svg } from './dom.js';
import { holderName, left } from './words.js';

/** Measures of a strip of dots in pixels: of the large look, which bears numbers, and of the dense one. */
export const LARGE = { pitch: 40, radius: 13, begin: 36, height: 74, middle: 30, more: 106 };
export const DENSE = { pitch: 15, radius: 5, begin: 16, height: 28, middle: 14, more: 66 };

/** The states in the order of the legend, with their words. */
export const STATES = [
  ['waiting', 'ready'],
  ['in_flight', 'in flight, the ring is its time left'],
  ['behind', 'waits behind it'],
  ['delayed', 'delayed'],
  ['dead_letter', 'dead letter'],
  ['parked', 'parked'],
];

/** The centre of dot `place`, counted from the head. */
export const centre = (look, place) => look.begin + place * look.pitch;

/** How many dots a strip of `width` has room for, with the words "+N more" behind them. */
export const room = (look, width) => Math.max(1, Math.floor((width - look.begin - look.more) / look.pitch) + 1);

/** The share of a lease or delay that is left, 0 to 1; null where it has no end. */
export function share(dot, now) {
  if (dot.until === null || dot.until === undefined) return null;
  const begin = dot.since ?? dot.sent;
  return Math.min(1, Math.max(0, (dot.until - now) / Math.max(1, dot.until - begin)));
}

const MARKS = {
  delayed: () => svg('path', { class: 'mark', d: 'M0 -7 V0 L5 3' }),
  dead_letter: () => svg('path', { class: 'mark', d: 'M-5 -5 L5 5 M5 -5 L-5 5' }),
  parked: () => svg('path', { class: 'mark', d: 'M-4 -6 V6 M4 -6 V6' }),
};

const squared = (state) => state === 'dead_letter' || state === 'parked';

/** A dot: a group at its own origin. `dress` fills it. */
export function makeDot() {
  return svg('g', { class: 'dot' });
}

/** Makes a dot look like its message. `barred`: it is the first in flight, which bars the way. */
export function dress(node, dot, barred) {
  const wanted = `${dot.state}${barred ? ' barred' : ''}`;
  if (node.dataset.dressed !== wanted) {
    node.dataset.dressed = wanted;
    put(node, 'class', `dot is-${dot.state}${node.classList.contains('selected') ? ' selected' : ''}`);
    node.replaceChildren(...pieces(dot.state, barred));
  }
  const text = node.querySelector('.no');
  if (text) say(text, dot.seq.length <= 3 ? dot.seq : '');
  const again = node.querySelector('.receives');
  say(again, dot.receives > 1 ? `×${dot.receives}` : '');
}

function pieces(state, barred) {
  const made = [svg('rect', { class: 'halo', x: -20, y: -20, width: 40, height: 40, rx: 9 })];
  if (barred) made.push(svg('rect', { class: 'bar', x: -29, y: -25, width: 7, height: 50, rx: 3.5 }));
  if (squared(state)) made.push(svg('rect', { class: 'body', x: -12, y: -12, width: 24, height: 24, rx: 4 }));
  else made.push(svg('circle', { class: 'body', r: state === 'in_flight' ? 12 : 13 }));
  if (MARKS[state]) made.push(MARKS[state]());
  else made.push(svg('text', { class: 'no', y: 4.5 }));
  if (state === 'in_flight' || state === 'delayed') {
    made.push(svg('circle', { class: 'ring-way', r: 17 }));
    made.push(svg('circle', { class: 'ring', r: 17, pathLength: 100, transform: 'rotate(-90)' }));
  }
  made.push(svg('text', { class: 'receives', x: 15, y: -15 }));
  if (barred) made.push(svg('text', { class: 'holder', x: -30, y: 40 }));
  return made;
}

/** Brings what moves with time to `now`: the ring, and the holder's time left. */
export function tickDot(node, dot, now) {
  const ring = node.querySelector('.ring');
  if (ring) {
    const part = share(dot, now);
    const dashes = part === null ? '4 6' : `${(part * 100).toFixed(1)} 100`;
    if (ring.style.strokeDasharray !== dashes) ring.style.strokeDasharray = dashes;
  }
  const holder = node.querySelector('.holder');
  if (holder) {
    const time = dot.until === null || dot.until === undefined ? '' : `, ${left(dot.until, now)}`;
    say(holder, `${holderName(dot.holder)}${time}`);
  }
}

/** A dot for the legend, in a drawing of its own. */
export function legendIcon(state) {
  const node = makeDot();
  const dot = { seq: '', state, receives: 0, until: 70, since: 0, sent: 0, holder: ' ' };
  dress(node, dot, state === 'in_flight');
  tickDot(node, dot, 25);
  node.querySelector('.holder')?.remove();
  return svg('svg', { viewBox: '-32 -27 54 54', width: 30, height: 30, 'aria-hidden': 'true' }, node);
}
