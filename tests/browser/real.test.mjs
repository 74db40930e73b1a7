// Stories on a real broker: a class sees order, locks, deduplication and a crash. The command line does what consumers do.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AWAY, open, picture, serve, until } from './browser.mjs';

const QUEUE = 'orders.fifo';
/** Texts that differ from group to group: the command line makes deduplication ids of them. */
const lines = (group, n) => Array.from({ length: n }, (_, i) => `${group}: message ${i + 1}`);
const view = (broker, queue = QUEUE) => `${broker.url}#/queue/${queue}`;
const laneOf = (page, group) => page.getByRole('group', { name: `group ${group}`, exact: true });
const tile = async (page, words) => (await page.locator('.tile', { has: page.getByText(words, { exact: true }) }).locator('dd').innerText()).trim();
const dots = (page, group, state) => laneOf(page, group).locator(`.dot.is-${state}:not(.leaving)`).count();

test('a held group shows who holds it, the message its life, and a delete frees the next', async (story) => {
  const broker = await serve(story);
  const page = await open(story);
  await page.goto(broker.url);
  await page.getByRole('heading', { name: 'No queue yet' }).waitFor();
  broker.run('queue', 'create', QUEUE);
  await page.getByRole('link', { name: QUEUE }).click();
  await page.getByRole('heading', { name: 'No message here' }).waitFor();
  broker.send(QUEUE, 'customer-7', ...lines('customer-7', 5));
  await laneOf(page, 'customer-7').getByText('#1 is next, ready now').waitFor();
  const taken = JSON.parse(broker.run('receive', QUEUE, '--max', '1', '--json').trim());
  await laneOf(page, 'customer-7').getByText(/^waits for #1: leased by a receive, epoch 1, \d+ s left \(O3\)$/).waitFor();
  assert.deepEqual([await dots(page, 'customer-7', 'in_flight'), await dots(page, 'customer-7', 'behind')], [1, 4]);
  assert.equal(await tile(page, 'in flight'), '1');

  await page.getByRole('option', { name: /^#1, in flight/ }).locator('.body').click({ force: true });
  await page.getByRole('heading', { name: 'Message #1' }).waitFor();
  await page.getByRole('list', { name: 'its life' }).getByText(/stored as #1/).waitFor();
  await page.getByRole('list', { name: 'its life' }).getByText(/taken by a receive/).waitFor();
  await page.locator('.rule-line').getByText('O3').waitFor();
  await picture(page, 'held');
  await page.getByRole('button', { name: /^customer-7/ }).click();
  await page.getByText(/^group customer-7 \(5 messages\) delivers nothing: #1 is in flight/).waitFor();
  await page.keyboard.press('Escape');

  broker.run('delete', QUEUE, taken.receipt_handle ?? taken.receipt);
  await laneOf(page, 'customer-7').getByText('#2 is next, ready now').waitFor();
  await page.getByRole('button', { name: '#1 deleted' }).waitFor();
});

test('parked, delayed and dead letters are shown as what they are', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', 'dead.fifo');
  broker.run('queue', 'create', QUEUE);
  broker.run('queue', 'create', 'slow.fifo', '--delay', '600');
  broker.run('queue', 'set', QUEUE, '--dead-letter-queue', 'dead.fifo', '--max-receives', '1');
  broker.send(QUEUE, 'poison', ...lines('poison', 2));
  broker.send(QUEUE, 'wait', ...lines('wait', 2));
  broker.send('slow.fifo', 'later', ...lines('later', 2));
  broker.run('park', QUEUE, 'wait');
  broker.run('receive', QUEUE, '--max', '1', '--visibility-timeout', '0');
  const page = await open(story);
  await page.goto(view(broker));
  await laneOf(page, 'wait').getByText(/^parked: nothing comes out until it is unparked/).waitFor();
  await laneOf(page, 'poison').getByText('#1 was received too often: the next receive makes it a dead letter (Q2)').waitFor();
  broker.run('receive', QUEUE, '--max', '1');
  await page.getByRole('button', { name: /#1 dead-lettered/ }).waitFor();
  await page.goto(view(broker, 'dead.fifo'));
  await laneOf(page, 'poison').getByText('#1 is next, ready now').waitFor();
  assert.equal(await dots(page, 'poison', 'dead_letter'), 1);
  await page.goto(view(broker, 'slow.fifo'));
  await laneOf(page, 'later').getByText(/^waits for #1: delayed, .* left \(O7\)$/).waitFor();
});

test('a text with markup is shown as text', async (story) => {
  const broker = await serve(story);
  const evil = '<img src=x onerror="window.struck=1"><script>window.struck=2</script>';
  broker.run('queue', 'create', QUEUE);
  broker.send(QUEUE, '<b>g</b>', evil);
  const page = await open(story);
  await page.goto(view(broker));
  await laneOf(page, '<b>g</b>').waitFor();
  await page.getByRole('button', { name: 'Peek' }).click();
  await page.locator('dialog pre').waitFor();
  assert.equal(await page.locator('dialog pre').innerText(), evil);
  assert.equal(await page.evaluate(() => window.struck), undefined);
});

test('a killed broker greys the page, and comes back with the same numbers', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  for (const group of ['a', 'b', 'c']) broker.send(QUEUE, group, ...lines(group, 20));
  broker.run('receive', QUEUE, '--max', '2', '--visibility-timeout', '600');
  const page = await open(story, { calm: [AWAY] });
  await page.goto(view(broker));
  await laneOf(page, 'a').getByText(/^waits for #1 and 1 more: leased/).waitFor();
  const before = await page.locator('.lane-depth').allInnerTexts();
  await broker.kill();
  await page.getByText(/^The broker has been away for/).waitFor();
  const faded = () => page.locator('main').evaluate((main) => getComputedStyle(main).opacity < 1);
  assert.equal(await faded(), true);
  await picture(page, 'away');
  await broker.start();
  await page.getByText(/^The broker was started again and is back after .* All 60 messages in 3 groups are there, as before\./).waitFor();
  assert.equal(await faded(), false);
  assert.deepEqual(await page.locator('.lane-depth').allInnerTexts(), before);
  assert.equal(await tile(page, 'messages'), '60');
  await laneOf(page, 'a').getByText(/^waits for #1 and 1 more: leased/).waitFor();
  await picture(page, 'back');
});

test('a reload goes on where it was, and tells what happened meanwhile', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  broker.send(QUEUE, 'a', 'one');
  const page = await open(story);
  await page.goto(view(broker));
  await laneOf(page, 'a').getByText('#1 is next').waitFor();
  await page.goto('about:blank');
  broker.send(QUEUE, 'a', 'two');
  await page.goto(view(broker));
  await page.getByRole('button', { name: '#2 sent' }).waitFor();
});

test('everything is reached by keys', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  broker.send(QUEUE, 'a', ...lines('a', 3));
  broker.send(QUEUE, 'b', ...lines('b', 3));
  const page = await open(story);
  await page.goto(broker.url);
  await page.getByRole('link', { name: QUEUE }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: /^Keys/ }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('/');
  await page.keyboard.type('orders');
  for (let i = 0; i < 3 && !(await page.getByRole('link', { name: QUEUE }).evaluate((link) => link === document.activeElement)); i += 1) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await laneOf(page, 'b').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.press('Enter');
  for (const key of ['ArrowDown', 'ArrowRight', 'ArrowRight', 'Enter']) await page.keyboard.press(key);
  await page.getByRole('heading', { name: 'Message #5' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: 'Message #5' }).waitFor({ state: 'hidden' });
  for (const key of ['ArrowUp', 'Home', 'Enter']) await page.keyboard.press(key);
  await page.getByRole('heading', { name: 'Group a' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: 'Queues' }).waitFor();
});

test('a send with a deduplication id that was there is turned away, and seen so', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  const page = await open(story);
  await page.goto(broker.link);
  await page.getByText('may write').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'the token does not stay in the address');
  await page.getByRole('link', { name: QUEUE }).click();
  await page.getByRole('button', { name: 'Send' }).click();
  const dialog = page.getByRole('dialog', { name: `Send to ${QUEUE}` });
  await dialog.getByLabel('Message group').fill('a');
  await dialog.getByLabel(/^Deduplication id/).fill('order-1');
  await dialog.getByLabel('Text').fill('hello');
  await dialog.getByRole('button', { name: 'Send' }).click();
  await dialog.getByText('Accepted as #1.').waitFor();
  await dialog.getByRole('button', { name: 'Send' }).click();
  await dialog.getByText(/^Turned away: it was there already, as #1/).waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByText(/#1 turned away, it was there already/).waitFor();
  await until(async () => (await tile(page, 'turned away')) === '1', 'one turned away');
  assert.equal(await tile(page, 'messages'), '1');
});

test('a purge is asked twice', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  broker.send(QUEUE, 'a', ...lines('a', 3));
  const page = await open(story);
  await page.goto(`${broker.link}`);
  await page.getByRole('link', { name: QUEUE }).click();
  await page.getByRole('button', { name: 'Purge' }).click();
  const dialog = page.getByRole('dialog', { name: `Purge ${QUEUE}` });
  await dialog.getByText(/3 messages now/).waitFor();
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await dialog.getByLabel(`Type ${QUEUE} to confirm`).fill(QUEUE);
  await dialog.getByRole('button', { name: `Purge ${QUEUE}` }).click();
  await dialog.getByText('Purged: 3 messages deleted.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('heading', { name: 'No message here' }).waitFor();
});

test('a broker for reading alone lets nobody write, and says so', async (story) => {
  const broker = await serve(story, '--console', 'read-only');
  broker.run('queue', 'create', QUEUE);
  const page = await open(story);
  await page.goto(`${broker.url}#token=abcdefgh-abcdefgh`);
  await page.getByText('read only').waitFor();
  await page.getByRole('link', { name: QUEUE }).click();
  for (const name of ['Send', 'Redrive', 'Purge']) assert.equal(await page.getByRole('button', { name }).isDisabled(), true, name);
  assert.match(await page.getByText('read only').getAttribute('title'), /--console read-only/);
});

test('without the link of the broker nobody writes', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  const page = await open(story);
  await page.goto(view(broker));
  await page.getByText('read only').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Purge' }).isDisabled(), true);
  assert.match(await page.getByText('read only').getAttribute('title'), /open the link that lockstep serve printed/);
});

test('what the page costs with 100,000 messages waiting', async (story) => {
  const broker = await serve(story);
  broker.run('queue', 'create', QUEUE);
  for (let i = 0; i < 50; i += 1) {
    const group = `customer-${String(i).padStart(2, '0')}`;
    broker.send(QUEUE, group, ...lines(group, 2_000));
  }
  const page = await open(story);
  await page.goto(view(broker));
  await laneOf(page, 'customer-00').waitFor();
  const first = await page.evaluate(() => window.lockstep.figures.first);
  assert.equal(await tile(page, 'messages'), '100\u202f000');
  await page.evaluate(() => Object.assign(window.lockstep.figures, { updates: 0, spent: 0, worst: 0 }));
  // Changes that come together are one update, so there is another one each time.
  const figures = await until(async () => {
    broker.run('receive', QUEUE, '--max', '10', '--delete');
    const found = await page.evaluate(() => ({ ...window.lockstep.figures }));
    return found.updates >= 5 ? found : null;
  }, 'updates');
  story.diagnostic(`first lanes after ${Math.round(first)} ms; ${figures.dots} dots: ${(figures.spent / figures.updates).toFixed(1)} ms an update, ${figures.worst.toFixed(1)} ms at worst`);
  assert.ok(figures.spent / figures.updates < 50);
  await picture(page, 'backlog');
});
