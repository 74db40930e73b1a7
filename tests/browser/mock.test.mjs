// Stories on a stand-in for the broker: what a real one cannot show at one moment, or only with much work.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atEnd, AWAY, open, picture, until } from './browser.mjs';
import { crowd, dot, lane, queueOf, startMock, TOKEN } from './mock.mjs';
import { everyState, life } from './scenes.mjs';

const QUEUE = 'orders.fifo';

async function scene(story, more = {}, queues = [[QUEUE, everyState()]]) {
  const mock = await startMock({ queues: new Map(queues), message: life, ...more });
  atEnd(story, () => mock.close());
  return mock;
}

test('each state of a lane is said in words', async (story) => {
  const mock = await scene(story);
  const page = await open(story);
  await page.goto(`${mock.url}#/queue/${QUEUE}`);
  const why = (group) => page.getByRole('group', { name: `group ${group}`, exact: true }).locator('.lane-why');
  assert.match(await why('customer-7').innerText(), /^waits for #41: leased by w1, \d+ s left \(O3\)$/);
  assert.match(await why('customer-15').innerText(), /^waits for #70 and 2 more: leased by w3/);
  assert.match(await why('customer-20').innerText(), /^#90 is next, ready now$/);
  assert.match(await why('customer-31').innerText(), /^waits for #101: delayed, \d+ s left \(O7\)$/);
  assert.match(await why('customer-33').innerText(), /^parked/);
  assert.match(await why('customer-40').innerText(), /^#120 was received too often/);
  assert.match(await page.getByRole('option', { name: /^#41, in flight, held by w1/ }).getAttribute('class'), /is-in_flight/);
  await picture(page, 'every-state');
});

test('a purge is asked twice, and needs the queue\'s name', async (story) => {
  const mock = await scene(story);
  const page = await open(story);
  await page.goto(`${mock.url}#token=${TOKEN}`);
  assert.equal(new URL(page.url()).hash, '', 'the token does not stay in the address');
  await page.getByRole('link', { name: QUEUE }).click();
  await page.getByRole('button', { name: 'Purge' }).click();
  const dialog = page.getByRole('dialog', { name: `Purge ${QUEUE}` });
  await dialog.getByRole('button', { name: 'Go on' }).click();
  const go = dialog.getByRole('button', { name: `Purge ${QUEUE}` });
  assert.equal(await go.isDisabled(), true);
  const name = dialog.getByLabel(`Type ${QUEUE} to confirm`);
  await name.fill('orders');
  assert.equal(await go.isDisabled(), true, 'half the name is not the name');
  assert.deepEqual(mock.calls, [], 'nothing was asked yet');
  await name.fill(QUEUE);
  await go.click();
  await dialog.getByText('Purged: 3 messages deleted.').waitFor();
  assert.deepEqual(mock.calls, [{ path: 'purge', body: { queue: QUEUE, confirm: QUEUE } }]);
});

test('a gap is said, and the picture is whole', async (story) => {
  const mock = await scene(story, { gap: true });
  const page = await open(story, { calm: [AWAY] });
  await page.goto(`${mock.url}#/queue/${QUEUE}`);
  await page.getByText('waits for #41').waitFor();
  await mock.away();
  await page.getByText(/^The broker has been away for/).waitFor();
  assert.equal(await page.locator('body').evaluate((body) => body.classList.contains('away')), true);
  await mock.back();
  await page.getByText(/The broker was started again and is back after .* What happened in between is not remembered; the picture is whole\./).waitFor();
  assert.equal(await page.locator('body').evaluate((body) => body.classList.contains('away')), false);
  await page.getByText(/what happened between frame \d+ and \d+ is not remembered/).waitFor();
});

test('facts are told in words, the newest first, and a list of them is bounded', async (story) => {
  const mock = await scene(story);
  const page = await open(story);
  await page.goto(`${mock.url}#/queue/${QUEUE}`);
  await page.getByText('waits for #41').waitFor();
  const fact = (i, kind) => ({ frame: '1', at: Date.now(), kind, queue: QUEUE, seq: String(i), group: 'customer-7', who: 'w1', key: null });
  mock.tell(QUEUE, 'facts', { facts: Array.from({ length: 200 }, (_, i) => fact(i, 'deleted')), more: 5 });
  await page.getByText('and 5 more that are not listed').waitFor();
  mock.tell(QUEUE, 'facts', { facts: [fact(900, 'lapsed')], more: 0 });
  await page.getByText('#900 lease of w1 ran out, back in its place').waitFor();
  assert.ok((await page.locator('.fact').count()) <= 60);
  assert.match(await page.locator('.fact').first().innerText(), /#900/);
});

test('names and texts are text, whatever they hold', async (story) => {
  const evil = '<img src=x onerror="window.struck=1">';
  const one = { queue: queueOf(QUEUE, { messages: 1, groups: 1 }), window: () => ({ lanes: [lane(evil, 0, 1, 2, 60, evil)], more: false }) };
  const mock = await scene(story, { peek: () => [{ seq: '1', id: 'i', group: evil, sent: 0, receives: 0, deduplication_id: evil, text: evil, base64: null, attributes: [{ name: evil, value: evil }] }] }, [[QUEUE, one]]);
  const page = await open(story);
  await page.goto(`${mock.url}#/queue/${QUEUE}`);
  await page.getByRole('button', { name: 'Peek' }).click();
  assert.equal(await page.locator('dialog pre').innerText(), evil);
  mock.tell(QUEUE, 'facts', { facts: [{ frame: '1', at: 0, kind: 'sent', queue: QUEUE, seq: null, group: evil, who: evil, key: evil }], more: 0 });
  await page.locator('.fact').first().waitFor();
  assert.equal(await page.evaluate(() => window.struck), undefined);
  assert.equal(await page.locator('img').count(), 1, 'only the mark of the page');
});

test('100,000 groups: only the window is asked, and drawing keeps up with 20 updates a second', async (story) => {
  const groups = crowd();
  const mock = await scene(story, {}, [['crowd.fifo', groups]]);
  const page = await open(story);
  await page.goto(`${mock.url}#/queue/crowd.fifo`);
  await page.getByText('#2 is next, ready now').waitFor();
  const asked = [...mock.feeds][0].asked;
  assert.ok(Number(asked.get('lanes')) <= 20 && Number(asked.get('dots')) <= 40, String(asked));
  const first = await page.evaluate(() => window.lockstep.figures.first);
  await page.getByRole('button', { name: 'Small dots' }).click();
  await page.locator('canvas').first().waitFor();
  assert.match(await page.locator('.where').innerText(), /of 100\u202f000 groups shown/);
  await page.evaluate(() => Object.assign(window.lockstep.figures, { updates: 0, spent: 0, worst: 0 }));
  const lanes = Number([...mock.feeds][0].asked.get('lanes'));
  for (let i = 0; i < 40; i += 1) {
    const changed = Array.from({ length: lanes }, (_, n) => lane(`group-${String(n).padStart(6, '0')}`, n, n + 1 + i, 60, 60, (n + i) % 5 === 0 ? 'w1' : null));
    mock.tell('crowd.fifo', 'diff', { lanes: changed, gone: [] });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const figures = await until(async () => {
    const found = await page.evaluate(() => ({ ...window.lockstep.figures }));
    return found.updates >= 10 ? found : null;
  }, 'updates');
  const each = figures.spent / figures.updates;
  story.diagnostic(`first lanes after ${Math.round(first)} ms; ${figures.dots} dots: ${each.toFixed(1)} ms an update, ${figures.worst.toFixed(1)} ms at worst, ${figures.updates} drawn of 40`);
  assert.ok(each < 50, `an update takes ${each} ms`);
  await page.getByRole('searchbox', { name: 'find a group' }).fill('group-099990');
  await page.getByRole('button', { name: /group-099990/ }).waitFor();
  await picture(page, 'crowd');
});

test('a queue that is not there yet appears once it is made', async (story) => {
  const mock = await scene(story);
  const page = await open(story, { calm: [/404/] });
  await page.goto(`${mock.url}#/queue/new.fifo`);
  await page.getByText('lockstep queue create new.fifo').first().waitFor();
  mock.queues.set('new.fifo', everyState());
  await page.getByText('waits for #41').waitFor();
});

test('lanes that look the same are not drawn anew, and the chosen message stays chosen', async (story) => {
  const mock = await scene(story);
  const page = await open(story);
  await page.goto(`${mock.url}#/queue/${QUEUE}`);
  await page.getByRole('option', { name: /^#43,/ }).locator('.body').click();
  await page.getByRole('heading', { name: 'Message #43' }).waitFor();
  const next = lane('customer-7', 0, 42, 8, 60, 'w2', 20_000);
  mock.tell(QUEUE, 'diff', { lanes: [next], gone: [] });
  await page.getByText('waits for #42: leased by w2').waitFor();
  assert.equal(await page.getByRole('option', { name: /^#43,/ }).getAttribute('aria-selected'), 'true');
  mock.tell(QUEUE, 'diff', { lanes: [{ ...next, dots: [dot(44, 'waiting')], depth: 1, state: 'free' }], gone: [] });
  await page.getByText('#44 is next, ready now').waitFor();
  assert.equal(await page.getByRole('option', { name: /^#44,/ }).getAttribute('aria-selected'), 'true', 'the one at its place');
});
