// What the page computes without a page: the stream's text, the model of lanes, rates, scales and words.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { apart, line, nice } from './assets/chart.js';
import { pause } from './assets/feed.js';
import { applyDiff, applySnapshot, compared, emptyModel, remembered } from './assets/model.js';
import { RULES } from './assets/rules.js';
import { makeSeries, rate, rates, sample } from './assets/series.js';
import { makeParser } from './assets/sse.js';
import { age, compact, dotSentence, factSentence, KINDS, laneSentence, left, number, recoverySentence, shortName, span } from './assets/words.js';

const dot = (seq, state, more = {}) => ({ seq: String(seq), state, until: null, since: null, holder: null, receives: 0, sent: 0, bytes: 5, ...more });
const lane = (group, dots, more = {}) => ({ group, place: 0, depth: dots.length, state: 'free', rule: 'O1', until: null, dots, ...more });

test('the stream is read the same however it is cut', () => {
  const text = 'retry: 5\n: a comment\nid: 7\nevent: diff\ndata: {"a":\ndata: 1}\n\ndata:x\r\n\r\nid: 9\n\nevent: end\ndata: ü\n\n';
  const whole = [
    { event: 'diff', id: '7', data: '{"a":\n1}' },
    { event: 'message', id: '7', data: 'x' },
    { event: 'end', id: '9', data: 'ü' },
  ];
  for (let size = 1; size <= text.length; size += 1) {
    const found = [];
    const parse = makeParser((message) => found.push(message));
    for (let at = 0; at < text.length; at += size) parse(text.slice(at, at + size));
    assert.deepEqual(found, whole, `in pieces of ${size}`);
  }
});

test('a message that is not whole is not told', () => {
  const found = [];
  makeParser((message) => found.push(message))('id: 1\nevent: diff\ndata: {}\n');
  assert.deepEqual(found, []);
});

test('pauses grow, are bounded, and differ from page to page', () => {
  assert.ok(pause(0, 1) <= 200);
  assert.ok(pause(3, 0) >= 800);
  assert.ok(pause(60, 1) <= 4_000);
  assert.notEqual(pause(4, 0.1), pause(4, 0.9));
});

test('a diff replaces whole lanes, takes gone ones away, and keeps the order it is told', () => {
  const model = emptyModel();
  applySnapshot(model, { frame: '5', now: 1, queue: { messages: 3, groups: 2 }, first: 'a', more: true, lanes: [lane('a', [dot(1, 'waiting'), dot(3, 'waiting')]), lane('b', [dot(2, 'waiting')])] });
  assert.deepEqual([model.order, model.dots, model.more], [['a', 'b'], 3, true]);
  const changed = applyDiff(model, { frame: '6', now: 2, lanes: [lane('a', [dot(3, 'waiting')]), lane('c', [dot(4, 'waiting')])], gone: ['b'] });
  assert.deepEqual([...changed].sort(), ['a', 'b', 'c']);
  assert.deepEqual([model.order, model.dots, model.frame], [['a', 'c'], 2, '6']);
  assert.equal(model.queue.messages, 3, 'an absent queue stays as it was');
  applyDiff(model, { frame: '7', now: 3, lanes: [], order: ['c', 'a', 'unknown'] });
  assert.deepEqual(model.order, ['c', 'a']);
});

test('what came back is compared with what was seen', () => {
  const model = emptyModel();
  const queue = { messages: 2, groups: 1 };
  applySnapshot(model, { frame: '5', now: 1, queue, lanes: [lane('a', [dot(1, 'waiting'), dot(2, 'waiting')])] });
  const before = remembered(model);
  assert.equal(compared(before, model).same, true);
  applySnapshot(model, { frame: '6', now: 1, queue: { messages: 1, groups: 1 }, lanes: [lane('a', [dot(2, 'waiting')])] });
  assert.deepEqual(compared(before, model), { messages: 1, groups: 1, missing: 1, same: false, before: 2 });
  const said = recoverySentence(4_000, true, compared(before, model), 1, false);
  assert.equal(said, 'The broker was started again and is back after 4 s. 1 message in 1 group now, 2 before; 1 message of this view left meanwhile. 1 fact happened in between.');
});

test('what a smaller window hides did not leave', () => {
  const model = emptyModel();
  const dots = [1, 2, 3].map((seq) => dot(seq, 'waiting'));
  const queue = { messages: 4, groups: 2 };
  applySnapshot(model, { frame: '5', now: 1, queue, more: false, lanes: [lane('a', dots), lane('b', [dot(4, 'waiting')])] });
  const before = remembered(model);
  applySnapshot(model, { frame: '5', now: 1, queue, more: true, lanes: [lane('a', dots.slice(0, 2), { depth: 3 })] });
  assert.equal(compared(before, model).same, true);
  applySnapshot(model, { frame: '6', now: 1, queue, more: false, lanes: [lane('a', dots.slice(1))] });
  assert.equal(compared(before, model).missing, 2);
});

test('rates come from totals, and a broker that began anew makes none negative', () => {
  const series = makeSeries(4);
  const totals = (sent) => ({ sent, received: 0, deleted: 0, turned_away: 0, messages: 0, waiting: 0, in_flight: 0 });
  [0, 10, 30, 5].forEach((sent, second) => sample(series, second * 1000, totals(sent)));
  assert.deepEqual(rates(series, 'sent'), [10, 20, 5]);
  assert.equal(rate(series, 'sent', 2), 12.5);
  sample(series, 4000, totals(5));
  assert.equal(series.samples.length, 4, 'bounded');
  assert.equal(rate(makeSeries(), 'sent'), 0);
});

test('axes end at round numbers, lines at the right edge, words apart', () => {
  assert.deepEqual([0, 0.3, 1, 3, 7, 11, 4_999, 5_001].map(nice), [1, 1, 1, 5, 10, 20, 5_000, 10_000]);
  const box = { left: 0, right: 100, top: 0, bottom: 10 };
  assert.equal(line([0, 5, 10], 11, 10, box), 'M80.0 10.0 L90.0 5.0 L100.0 0.0');
  const placed = apart([100, 100, 98], 10, 0, 100);
  assert.deepEqual([...placed].sort((a, b) => a - b), [80, 90, 100]);
});

test('times and counts are said as people say them', () => {
  assert.deepEqual([0, 12_000, 119_000, 200_000, 3_600_000, 7_500_000, 260_000_000].map(span), ['0 s', '12 s', '119 s', '3 min 20 s', '1 h', '2 h 5 min', '3 d']);
  assert.equal(age(200_000), '3 min');
  assert.equal(left(1_001, 1_000), '1 s', 'a lease that is not over has time left');
  assert.equal(number(1234567), '1\u202f234\u202f567');
  assert.deepEqual([950, 12_400, 100_000, 3_200_000].map(compact), ['950', '12.4 k', '100 k', '3.2 M']);
});

test('a held lane says whom it waits for, and why', () => {
  const leased = dot(41, 'in_flight', { holder: 'w1', until: 13_000, since: 0, receives: 1 });
  const held = lane('g', [leased, dot(42, 'behind')], { state: 'held', rule: 'O3', until: 13_000 });
  assert.equal(laneSentence(held, 1_000), 'waits for #41: leased by w1, 12 s left (O3)');
  assert.equal(dotSentence(held.dots[1], held, 1_000), '#42, waits behind #41, sent 1 s ago, 5 bytes');
  const batch = lane('g', [leased, { ...leased, seq: '42' }], { state: 'held', rule: 'O3', until: 13_000 });
  assert.equal(laneSentence(batch, 1_000), 'waits for #41 and 1 more: leased by w1, 12 s left (O3)');
  const claim = lane('g', [dot(41, 'in_flight', { holder: 'r/w2' })], { state: 'held', rule: 'B6' });
  assert.equal(laneSentence(claim, 0), 'waits for #41: leased by r/w2 (B6)', 'a claim has no end by time');
  assert.equal(laneSentence(lane('g', [dot(7, 'waiting')]), 0), '#7 is next, ready now');
  assert.equal(laneSentence(lane('g', [dot(7, 'delayed', { until: 5_000 })], { state: 'delayed', rule: 'O7', until: 5_000 }), 0), 'waits for #7: delayed, 5 s left (O7)');
  assert.equal(laneSentence(lane('g', [], { state: 'empty' }), 0), 'empty');
});

test('a worker is told from the next one at its place by four letters, not by thirty-two', () => {
  assert.equal(shortName('worker w1-634a00dd4d4640479c89d16369bd1f02, claim 7'), 'worker w1-634a, claim 7');
  assert.equal(shortName('customer-20', 8), 'custome…');
});

test('every kind of fact has words, and an unknown one is told too', () => {
  const kinds = 'sent turned_away delayed elapsed leased extended returned lapsed deleted committed dead_lettered moved expired purged parked unparked';
  for (const kind of kinds.split(' ')) assert.ok(KINDS[kind], kind);
  assert.equal(factSentence({ kind: 'leased', seq: '4', who: 'w1' }), '#4 received by w1');
  assert.equal(factSentence({ kind: 'lapsed', seq: '4', who: 'w1' }), '#4 lease of w1 ran out, back in its place');
  assert.equal(factSentence({ kind: 'turned_away', seq: '4', who: null, key: 'k' }), '#4 turned away, it was there already (same deduplication id k)');
  assert.equal(factSentence({ kind: 'brand_new', seq: null, who: null }), 'brand new');
});

test('every rule that the page names is in the contract', () => {
  const contract = readFileSync(process.env.LOCKSTEP_CONTRACT, 'utf8');
  for (const rule of Object.keys(RULES)) assert.match(contract, new RegExp(`^\\| ${rule}[ |,(]`, 'm'), rule);
});
