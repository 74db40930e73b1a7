// Small line charts of live figures, as SVG of our own. Lines differ by dash and by a word at their end, not by colour
// alone. `nice` and `line` are pure.

import { el, put, say, svg } from './dom.js';
import { compact } from './words.js';

const WIDTH = 360;
const HEIGHT = 110;
const LEFT = 40;
const RIGHT = 112;
const TOP = 10;
const BOTTOM = 96;

/** A round top for an axis that has to reach `most`: 1, 2 or 5 times a power of ten. */
export function nice(most) {
  if (!(most > 1)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= most);
}

/** The path of `values`, the newest at the right edge of `kept` places. */
export function line(values, kept, top, box) {
  const step = (box.right - box.left) / Math.max(1, kept - 1);
  const begin = box.right - (values.length - 1) * step;
  const y = (value) => box.bottom - (Math.min(value, top) / top) * (box.bottom - box.top);
  return values.map((value, i) => `${i === 0 ? 'M' : 'L'}${(begin + i * step).toFixed(1)} ${y(value).toFixed(1)}`).join(' ');
}

/** Puts the words at the lines' ends apart, at least `gap` from each other, in the order of their heights. */
export function apart(heights, gap, top, bottom) {
  const order = heights.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y);
  order.forEach((one, n) => {
    one.y = Math.max(one.y, n === 0 ? top : order[n - 1].y + gap);
  });
  for (let n = order.length - 1; n >= 0; n -= 1) {
    order[n].y = Math.min(order[n].y, n === order.length - 1 ? bottom : order[n + 1].y - gap);
  }
  const found = [];
  for (const { y, i } of order) found[i] = y;
  return found;
}

/** A chart in `container` with `lines` of `{ name }`; `update([values, …])` draws. `kept` is how many values fit. */
export function makeChart(container, { title, lines, kept }) {
  const box = { left: LEFT, right: WIDTH - RIGHT, top: TOP, bottom: BOTTOM };
  const most = svg('text', { class: 'tick', x: LEFT - 6, y: TOP + 5 });
  const none = svg('text', { class: 'tick', x: LEFT - 6, y: BOTTOM + 4, }, '0');
  const frame = svg('path', { class: 'axis', d: `M${LEFT} ${TOP} H${box.right} M${LEFT} ${BOTTOM} H${box.right}` });
  const paths = lines.map((_, i) => svg('path', { class: `line line-${i}` }));
  const words = lines.map((_, i) => svg('text', { class: `end end-${i}`, x: box.right + 8 }));
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' }, frame, most, none, ...paths, ...words);
  container.append(el('figure', { class: 'chart' }, el('figcaption', { text: title }), picture));
  return {
    update(rows) {
      const top = nice(Math.max(0, ...rows.flat()));
      say(most, compact(top));
      const ends = rows.map((values) => values.at(-1) ?? 0);
      const heights = ends.map((value) => BOTTOM - (value / top) * (BOTTOM - TOP) + 4);
      const placed = apart(heights, 17, TOP + 6, BOTTOM + 6);
      rows.forEach((values, i) => {
        put(paths[i], 'd', values.length > 1 ? line(values, kept, top, box) : '');
        say(words[i], `${lines[i].name} ${short(ends[i])}`);
        put(words[i], 'y', placed[i].toFixed(1));
      });
      put(picture, 'aria-label', `${title}: ${lines.map(({ name }, i) => `${name} ${short(ends[i])}`).join(', ')}`);
    },
  };
}

/** A value for a chart or a table: one digit after the point below 10. */
export const short = (value) => (value >= 10 || Number.isInteger(value) ? compact(value) : value.toFixed(1));
