// The proof table: counted outside of the broker, always in view.

import { el, put, say } from './dom.js';

const ROWS = [
  ['sent', 'sent', 'tries that went out, repeats with them'],
  ['accepted', 'accepted', 'different messages that were answered for'],
  ['turned_away', 'turned away', 'answers that said: known already'],
  ['stored', 'stored', 'different numbers in the queue'],
  ['processed', 'processed', 'messages that a worker went through, each time counted'],
  ['committed', 'committed', 'lines of published files'],
  ['dead_lettered', 'set aside', 'messages that nobody can process'],
  ['on_the_way', 'on the way', 'accepted, and not committed yet'],
  ['lost', 'lost', 'accepted and nowhere'],
  ['duplicated', 'duplicated', 'committed more than once'],
  ['out_of_order', 'out of order', 'committed behind a later one of their conversation'],
];
const FAULTS = ['lost', 'duplicated', 'out_of_order'];

export function makeProof(root, act, toggleAnswers) {
  const cells = new Map();
  const table = el('dl');
  for (const [key, name, title] of ROWS) {
    const value = el('dd', { text: '0' });
    const cell = el('div', { title, 'data-row': key }, el('dt', { text: name }), value);
    cells.set(key, { cell, value });
    table.append(cell);
  }
  const sender = el('code');
  const processor = el('code');
  const equal = el('strong', { id: 'equal' });
  const beside = el('span');
  const told = el('strong', { class: 'told', id: 'verdict', role: 'status' });
  const reports = el('span', { class: 'buttons', hidden: true }, el('a', { href: '/lab/api/report.html', download: '', text: 'report (HTML)' }), el('a', { href: '/lab/api/report.json', text: 'JSON' }));
  const answers = el('button', { type: 'button', class: 'quiet', text: 'The other answers (o)', onclick: () => toggleAnswers() });
  root.append(
    table,
    el('div', { class: 'digests' }, el('span', {}, 'SHA-256 as sent ', sender), el('span', {}, 'as published ', processor), equal, beside, answers, reports),
    told,
  );
  return (state) => {
    const { proof, verdict } = state;
    for (const [key, { cell, value }] of cells) {
      say(value, String(proof[key]));
      if (FAULTS.includes(key)) put(cell, 'class', proof[key] === 0 ? 'zero' : 'wrong');
    }
    say(sender, `${proof.sender_sha256.slice(0, 16)}…`);
    put(sender, 'title', proof.sender_sha256);
    say(processor, `${proof.processor_sha256.slice(0, 16)}…`);
    put(processor, 'title', proof.processor_sha256);
    say(equal, state.equal ? '= equal' : '≠ not equal yet');
    put(equal, 'class', state.equal ? 'good' : 'muted');
    const [accepted, , read] = state.facts.beside;
    say(beside, accepted > 0 ? `beside, ids alone: ${accepted} accepted, ${read} read` : '');
    say(told, state.told ?? (proof.violation ?? ''));
    put(told, 'class', `told ${verdict?.ok ? 'good' : proof.violation || verdict ? 'wrong' : ''}`);
    reports.hidden = !verdict;
  };
}
