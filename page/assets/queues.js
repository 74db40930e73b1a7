// The page of all queues: a table that keeps itself up to date, with rates that it makes of totals. The feed is the
// caller's; this only draws what it is given.

import { el, put, say, svg } from './dom.js';
import { line, nice, short } from './chart.js';
import { KEPT, makeSeries, rate, rates, sample } from './series.js';
import { age, number } from './words.js';

const COLUMNS = [
  ['Queue', ''],
  ['Messages', 'all that are there'],
  ['In flight', 'received, not yet deleted'],
  ['Groups', 'message groups with messages; held: deliver nothing now'],
  ['Oldest', 'age of the oldest message'],
  ['Sent /s', 'over the last seconds'],
  ['Deleted /s', 'over the last seconds'],
  ['Turned away', 'duplicates that were recognised, since the broker started'],
  ['Dead letters', 'moved to the dead-letter queue, since the broker started'],
];
const SPARK = { left: 1, right: 119, top: 3, bottom: 25 };

/** A table in `container`; `onOpen(name)` is told of a choice. */
export function makeQueues(container, { onOpen, clock }) {
  const known = new Map();
  const rows = new Map();
  const find = el('input', { type: 'search', id: 'find', placeholder: 'find a queue ( / )', 'aria-label': 'find a queue' });
  const head = el('tr', {}, ...COLUMNS.map(([word, title]) => el('th', { scope: 'col', title, text: word })), el('th', { scope: 'col', text: 'Last 2 minutes' }));
  const body = el('tbody');
  const table = el('table', { class: 'queues' }, el('thead', {}, head), body);
  const empty = el('div', { class: 'empty' }, el('h2', { text: 'No queue yet' }), el('p', { text: 'Make one:' }), el('pre', { text: 'lockstep queue create orders.fifo\nseq 3 | lockstep send orders.fifo --group customer-7' }), el('p', { text: 'It appears here at once.' }));
  const sum = el('p', { class: 'muted queues-sum' });
  const root = el('section', { class: 'all-queues' }, el('div', { class: 'bar-of-tools' }, el('h1', { text: 'Queues' }), sum, find), table, empty);
  container.append(root);
  table.hidden = true;
  empty.hidden = true;

  function makeRow(name) {
    const link = el('a', { href: `#/queue/${encodeURIComponent(name)}`, text: name });
    const cells = COLUMNS.slice(1).map(() => el('td'));
    const sent = svg('path', { class: 'line line-0' });
    const gone = svg('path', { class: 'line line-2' });
    const spark = svg('svg', { viewBox: '0 0 120 28', width: 120, height: 28, role: 'img', 'aria-label': 'sent and deleted a second' }, svg('path', { class: 'axis', d: 'M1 25 H119' }), sent, gone);
    const notes = el('span', { class: 'notes' });
    const node = el('tr', {}, el('th', { scope: 'row' }, link, notes), ...cells, el('td', { class: 'spark' }, spark));
    node.addEventListener('click', (event) => event.target !== link && onOpen(name));
    return { node, link, cells, sent, gone, notes };
  }

  function draw() {
    const wanted = find.value.trim().toLowerCase();
    const names = [...known.keys()].filter((name) => name.toLowerCase().includes(wanted)).sort();
    for (const [name, row] of rows) {
      if (known.has(name)) continue;
      row.node.remove();
      rows.delete(name);
    }
    let after = null;
    for (const [name, row] of rows) row.node.hidden = !names.includes(name);
    for (const name of names) {
      if (!rows.has(name)) rows.set(name, makeRow(name));
      const row = rows.get(name);
      const place = after ? after.nextSibling : body.firstChild;
      if (row.node !== place) body.insertBefore(row.node, place);
      after = row.node;
      fill(row, known.get(name));
    }
    table.hidden = known.size === 0;
    empty.hidden = known.size > 0;
    say(sum, known.size === 0 ? '' : `${known.size} in all${wanted ? `, ${names.length} found` : ''}`);
  }

  function fill(row, { queue, series }) {
    const held = queue.groups_held ? `, ${number(queue.groups_held)} held` : '';
    const texts = [
      number(queue.messages),
      number(queue.in_flight),
      `${number(queue.groups)}${held}`,
      queue.oldest === null ? 'none' : age(clock() - queue.oldest),
      short(rate(series, 'sent')),
      short(rate(series, 'deleted')),
      number(queue.turned_away),
      number(queue.dead_lettered),
    ];
    texts.forEach((text, i) => {
      say(row.cells[i], text);
      row.cells[i].classList.toggle('nothing', text === '0' || text === 'none');
    });
    row.cells[2].classList.toggle('has-held', queue.groups_held > 0);
    const notes = [queue.fifo ? null : 'standard: no order', queue.parked ? `${queue.parked} parked` : null, queue.dead_letter_queue ? `dead letters: ${queue.dead_letter_queue}` : null];
    say(row.notes, notes.filter(Boolean).join(', '));
    const [up, down] = [rates(series, 'sent'), rates(series, 'deleted')];
    const top = nice(Math.max(0, ...up, ...down));
    put(row.sent, 'd', up.length > 1 ? line(up, KEPT, top, SPARK) : '');
    put(row.gone, 'd', down.length > 1 ? line(down, KEPT, top, SPARK) : '');
  }

  find.addEventListener('input', draw);
  table.addEventListener('keydown', (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    const links = [...rows.values()].filter((row) => !row.node.hidden).map((row) => row.link);
    links.sort((a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
    links[links.indexOf(document.activeElement) + way]?.focus();
    event.preventDefault();
  });
  const timer = setInterval(() => {
    for (const { queue, series } of known.values()) sample(series, clock(), queue);
    draw();
  }, 1000);

  return {
    find,
    update({ queues, gone = [] }) {
      for (const name of gone) known.delete(name);
      for (const queue of queues) {
        const entry = known.get(queue.name) ?? { series: makeSeries() };
        entry.queue = queue;
        if (!known.has(queue.name)) sample(entry.series, clock(), queue);
        known.set(queue.name, entry);
      }
      draw();
    },
    destroy() {
      clearInterval(timer);
      root.remove();
    },
  };
}
