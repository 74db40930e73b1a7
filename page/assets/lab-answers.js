// The other answers of the exam question beside ours, each with its own proof table.

import { el } from './dom.js';

const COUNTS = [
  ['sent', 'sent'],
  ['processed', 'processed'],
  ['lost', 'lost'],
  ['duplicated', 'duplicated'],
  ['out_of_order', 'out of order'],
];

export function makeAnswers(root) {
  let drawn = '';
  return (state) => {
    const { answers } = state.aside;
    const ours = state.proof;
    const key = JSON.stringify([answers, ours]);
    if (key === drawn) return;
    drawn = key;
    if (!answers) {
      root.replaceChildren(el('h2', { text: 'The other answers' }), el('p', { text: 'Running them …' }));
      return;
    }
    const cells = (proof, committed) =>
      COUNTS.map(([name]) => {
        const count = name === 'processed' && committed !== undefined ? committed : proof[name];
        const bad = ['lost', 'duplicated', 'out_of_order'].includes(name) && count > 0;
        return el('td', { class: `count ${bad ? 'bad' : ''}`, text: String(count) });
      });
    const head = ['answer', ...COUNTS.map(([, name]) => name), 'good for', 'why not here'];
    const rows = answers.map((answer) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row' }, answer.name, el('br'), el('small', { text: answer.real ? 'run on our broker' : 'simulated' })),
        ...cells(answer.proof),
        el('td', { text: answer.good_for }),
        el('td', { text: answer.falls_short }),
      ),
    );
    const exam = el(
      'tr',
      { class: 'ours' },
      el('th', { scope: 'row' }, 'SQS FIFO, groups and deduplication ids', el('br'), el('small', { text: 'the exam’s answer: this lab, right now; processed counts what is published' })),
      ...cells(ours, ours.committed),
      el('td', { text: 'Messages that must arrive once and in order, group by group.' }),
      el('td', { text: 'It holds: stored until committed, a repeat is turned away, a group goes to one worker at a time. What remains is the five-minute hole (scenario 5).' }),
    );
    root.replaceChildren(
      el('h2', { text: 'The other answers' }),
      el('p', { text: 'The same dialogue meets the same kinds of failure: four answers are lost, the consumer is down for eight messages, and it dies once between processing and saying so.' }),
      el('table', {}, el('thead', {}, el('tr', {}, ...head.map((text) => el('th', { scope: 'col', text })))), el('tbody', {}, exam, ...rows)),
    );
  };
}
