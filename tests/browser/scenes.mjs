// Scenes for the stand-in: a queue in which each state of a message can be seen at once. Pictures for design, and tests of
// what a real broker cannot show at one moment.

import { dot, lane, queueOf } from './mock.mjs';

/** One lane of each kind. */
export function everyState() {
  const now = Date.now();
  const held = lane('customer-7', 0, 41, 9, 60, 'w1', 20_000);
  const again = lane('customer-12', 1, 58, 4, 60, 'worker-2', 30_000);
  again.dots[0].receives = 3;
  const batch = lane('customer-15', 2, 70, 6, 60, 'w3', 30_000);
  for (const i of [1, 2]) batch.dots[i] = dot(70 + i, 'in_flight', { holder: 'w3', receives: 1, since: now - 8_000, until: now + 22_000 });
  const free = lane('customer-20', 3, 90, 60, 60);
  const delayed = { group: 'customer-31', place: 4, depth: 3, state: 'delayed', rule: 'O7', until: now + 45_000, dots: [101, 102, 103].map((seq) => dot(seq, 'delayed', { sent: now - 15_000, until: now + 45_000 })) };
  const parked = { group: 'customer-33', place: 5, depth: 5, state: 'parked', rule: 'B7', until: null, dots: [110, 111, 112, 113, 114].map((seq) => dot(seq, 'parked')) };
  const poison = { group: 'customer-40', place: 6, depth: 3, state: 'free', rule: 'Q2', until: null, dots: [dot(120, 'waiting', { receives: 5 }), dot(121, 'waiting'), dot(122, 'waiting')] };
  const dead = { group: 'customer-41', place: 7, depth: 2, state: 'free', rule: 'O1', until: null, dots: [dot(130, 'dead_letter', { receives: 5 }), dot(131, 'dead_letter', { receives: 5 })] };
  const lanes = [held, again, batch, free, delayed, parked, poison, dead];
  const queue = queueOf('orders.fifo', {
    messages: 92, waiting: 79, in_flight: 5, delayed: 3, groups: 8, groups_held: 3, parked: 1, oldest: now - 190_000, sent: 4_182,
    received: 4_120, deleted: 4_092, turned_away: 36, dead_lettered: 2, keys: 4_182, dead_letter_queue: 'dead.fifo',
  });
  return { queue, window: ({ dots }) => ({ lanes: lanes.map((one) => ({ ...one, dots: one.dots.slice(0, dots) })), more: false }) };
}

/** The life of a message that was received in vain once. */
export function life(seq) {
  const begin = Date.now() - 95_000;
  const step = (after, kind, who, text, rule) => ({ at: begin + after, frame: '812', kind, who, text, rule });
  return {
    seq, id: '5f0c9d1e-0b7e-8c43-9d1a-2f6b8a4c7e11', group: 'customer-7', state: 'in_flight', rule: 'O3', complete: true,
    sentence: `message #${seq} of group customer-7 is held: #${seq} is in flight since 8 s, received 2 times, under epoch 2; unless it is deleted or extended it becomes visible again in 12 s`,
    life: [
      step(0, 'sent', 'producer-1', `sent to customer-7 as #${seq}`, 'S12'),
      step(1_240, 'turned_away', 'producer-1', 'sent again with the same deduplication id: turned away', 'S6'),
      step(20_000, 'leased', 'w2', 'received by w2 for 30 s', 'O1'),
      step(50_000, 'lapsed', 'w2', 'w2 did not delete it in time: back in its old place', 'O5'),
      step(87_000, 'leased', 'w1', 'received by w1 for 20 s', 'O2'),
    ],
  };
}
