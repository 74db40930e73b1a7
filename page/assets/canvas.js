// The dots of one lane on a canvas, for windows of more dots than elements are good for. The same functions as strip.js and
// the same shapes, smaller; the selected dot is named by an element inside, for those who hear the page.

import { el, put, say } from './dom.js';
import { centre, DENSE, share } from './shapes.js';
import { dotSentence, number } from './words.js';

const NAMES = ['ready', 'flight', 'behind', 'delayed', 'dead', 'parked', 'ink', 'muted', 'line'];
const COLOUR = { waiting: 'ready', in_flight: 'flight', behind: 'behind', delayed: 'delayed', dead_letter: 'dead', parked: 'parked' };
let made = 0;
let palette = null;

/** Reads the colours of the style sheet anew at the next drawing: the theme changed. */
export function forgetPalette() {
  palette = null;
}

function colours() {
  if (palette) return palette;
  const probe = el('span', { class: 'hidden' });
  document.body.append(probe);
  palette = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    palette[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return palette;
}

/** One dot at x. Hollow for behind, a square with a cross or bars for dead letters and parked, hands for delayed. */
function paint(pen, dot, x, y, barred, now) {
  const colour = colours()[COLOUR[dot.state]];
  const r = DENSE.radius;
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.lineWidth = 1.6;
  pen.beginPath();
  if (dot.state === 'dead_letter' || dot.state === 'parked') {
    const s = dot.state === 'parked' ? 0 : 3;
    pen.rect(x - r + 0.5, y - r + 0.5, 2 * r - 1, 2 * r - 1);
    pen.moveTo(x - (s || 1.5), y - 3);
    pen.lineTo(x + (s || -1.5), y + 3);
    pen.moveTo(x + (s || 1.5), y - 3);
    pen.lineTo(x - (s || -1.5), y + 3);
    pen.stroke();
  } else if (dot.state === 'behind') {
    pen.arc(x, y, r - 1, 0, 2 * Math.PI);
    pen.stroke();
  } else if (dot.state === 'delayed') {
    pen.arc(x, y, r - 0.5, 0, 2 * Math.PI);
    pen.moveTo(x, y - 3);
    pen.lineTo(x, y);
    pen.lineTo(x + 2, y + 1);
    pen.stroke();
  } else {
    const flying = dot.state === 'in_flight';
    pen.arc(x, y, flying ? r - 2 : r, 0, 2 * Math.PI);
    pen.fill();
    if (flying) {
      pen.beginPath();
      pen.lineWidth = 2;
      pen.arc(x, y, r + 1, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * (share(dot, now) ?? 1));
      pen.stroke();
    }
    if (barred) pen.fillRect(x - r - 7, y - 10, 3, 20);
  }
}

/** A strip of the dense look. */
export function makeCanvasStrip() {
  const name = `canvas${(made += 1)}`;
  const spoken = el('span', { id: name, role: 'option' });
  const root = el('canvas', { class: 'strip-picture' }, spoken);
  let known = { lane: null, shown: [], width: 0 };
  let selected = null;

  function draw(now) {
    const { lane, shown } = known;
    if (!lane) return;
    const ratio = window.devicePixelRatio || 1;
    const width = known.width;
    if (root.width !== Math.round(width * ratio)) {
      root.width = Math.round(width * ratio);
      root.height = Math.round(DENSE.height * ratio);
      root.style.width = `${width}px`;
      root.style.height = `${DENSE.height}px`;
    }
    const pen = root.getContext('2d');
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, DENSE.height);
    const first = shown.findIndex((dot) => dot.state === 'in_flight');
    shown.forEach((dot, place) => {
      const x = centre(DENSE, place);
      paint(pen, dot, x, DENSE.middle, place === first, now);
      if (dot.seq !== selected) return;
      pen.strokeStyle = colours().ink;
      pen.lineWidth = 2;
      pen.strokeRect(x - 8, DENSE.middle - 9, 16, 18);
    });
    const rest = lane.depth - shown.length;
    if (rest > 0) {
      pen.fillStyle = colours().muted;
      pen.font = '600 13px system-ui, sans-serif';
      pen.fillText(`+${number(rest)}`, centre(DENSE, shown.length), DENSE.middle + 5);
    }
  }

  return {
    root,
    update(lane, shown, now, width) {
      known = { lane, shown, width };
      draw(now);
    },
    tick(shown, now) {
      draw(now);
    },
    select(seq, now) {
      if (seq === selected) return seq === null ? null : name;
      selected = seq;
      draw(now);
      const dot = known.shown.find((one) => one.seq === seq);
      say(spoken, dot ? dotSentence(dot, known.lane, now) : '');
      put(spoken, 'aria-selected', Boolean(dot));
      return seq === null ? null : name;
    },
    at(event) {
      const place = Math.round((event.offsetX - DENSE.begin) / DENSE.pitch);
      return known.shown[place]?.seq ?? null;
    },
  };
}
