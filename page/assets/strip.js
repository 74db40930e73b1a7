// The dots of one lane as SVG: up to a few hundred in all lanes together, each an element that can be named and pointed
// at. canvas.js has the same functions for more.

import { put, say, svg } from './dom.js';
import { centre, dress, LARGE, makeDot, tickDot } from './shapes.js';
import { dotSentence } from './words.js';

/** How long a dot that left takes to fade, in milliseconds; as long as in the style sheet. */
const FADE = 300;
let made = 0;

/** A strip; `id` prefixes are unique in the page, for what names the selected dot. */
export function makeSvgStrip() {
  const prefix = `strip${(made += 1)}-`;
  const more = svg('text', { class: 'more', y: LARGE.middle + 5 });
  const stage = svg('g', { transform: `translate(0 ${LARGE.middle})` });
  const root = svg('svg', { class: 'strip-picture', height: LARGE.height, role: 'presentation' }, stage, more);
  const nodes = new Map();

  function update(lane, shown, now) {
    const seen = new Set();
    const first = lane.dots.findIndex((dot) => dot.state === 'in_flight');
    shown.forEach((dot, place) => {
      seen.add(dot.seq);
      let node = nodes.get(dot.seq);
      if (!node) {
        node = makeDot();
        node.id = prefix + dot.seq;
        node.dataset.seq = dot.seq;
        put(node, 'role', 'option');
        node.classList.add('arriving');
        nodes.set(dot.seq, node);
        stage.append(node);
      }
      dress(node, dot, place === first);
      put(node, 'aria-label', dotSentence(dot, lane, now));
      const way = `translate(${centre(LARGE, place)}px, 0)`;
      if (node.style.transform !== way) node.style.transform = way;
      tickDot(node, dot, now);
    });
    for (const [seq, node] of nodes) {
      if (seen.has(seq)) continue;
      nodes.delete(seq);
      node.removeAttribute('id');
      node.removeAttribute('role');
      node.classList.add('leaving');
      setTimeout(() => node.remove(), FADE);
    }
    const rest = lane.depth - shown.length;
    say(more, rest > 0 ? `+${rest} more` : '');
    put(more, 'x', centre(LARGE, shown.length) - 14);
  }

  return {
    root,
    update,
    tick(shown, now) {
      for (const dot of shown) if (dot.until) tickDot(nodes.get(dot.seq), dot, now);
    },
    select(seq) {
      for (const [other, node] of nodes) {
        node.classList.toggle('selected', other === seq);
        put(node, 'aria-selected', other === seq);
      }
      return seq === null ? null : prefix + seq;
    },
    at(event) {
      return event.target.closest?.('.dot:not(.leaving)')?.dataset.seq ?? null;
    },
  };
}
