// The pictures of the documentation: of a real broker with a day of a small shop in it, light and dark, and of each lesson of
// the lab where its failure has been predicted and met. No story is judged here.

import { join } from 'node:path';

import { launch, OUT, serve, shut } from './browser.mjs';
import { lab, LONG, SCENARIOS, walk } from './class.mjs';

const endings = [];
const story = { after: (end) => endings.push(end) };
const QUEUE = 'orders.fifo';

/** A queue with one lane of each kind, and some way behind it. */
function fill(broker) {
  broker.run('queue', 'create', 'dead.fifo');
  broker.run('queue', 'create', QUEUE, '--visibility-timeout', '120');
  broker.run('queue', 'create', 'mails.fifo');
  broker.run('queue', 'create', 'reminders.fifo', '--delay', '600');
  broker.run('queue', 'set', QUEUE, '--dead-letter-queue', 'dead.fifo', '--max-receives', '2');
  let order = 0;
  const lines = (n, word) => Array.from({ length: n }, () => `{"order":${(order += 1)},"${word}":"yes"}`);
  broker.send(QUEUE, 'customer-11', ...lines(1, 'poison'));
  broker.run('receive', QUEUE, '--visibility-timeout', '0');
  broker.run('receive', QUEUE, '--visibility-timeout', '0');
  broker.send(QUEUE, 'customer-12', ...lines(6, 'paid'));
  broker.run('receive', QUEUE, '--max', '3', '--delete');
  broker.run('receive', QUEUE, '--max', '1');
  broker.send(QUEUE, 'customer-15', ...lines(5, 'paid'));
  broker.run('receive', QUEUE, '--max', '2');
  broker.send(QUEUE, 'customer-20', ...lines(30, 'paid'));
  broker.send(QUEUE, 'customer-21', ...lines(2, 'paid'));
  broker.send(QUEUE, 'customer-33', ...lines(4, 'paid'));
  broker.run('park', QUEUE, 'customer-33');
  broker.send('mails.fifo', 'welcome', ...lines(9, 'mail'));
  broker.send('reminders.fifo', 'late', ...lines(3, 'due'));
  broker.run('send', QUEUE, '--group', 'customer-21', '--id', 'order-77', 'the same order');
  broker.run('send', QUEUE, '--group', 'customer-21', '--id', 'order-77', 'the same order');
}

async function shoot(broker, scheme) {
  const { page, close } = await launch({ colorScheme: scheme, viewport: { width: 1440, height: 900 } });
  const take = (name) => page.screenshot({ path: join(OUT, `${name}-${scheme}.png`), animations: 'disabled' });
  await page.goto(broker.link);
  await page.getByRole('link', { name: QUEUE }).waitFor();
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  await take('queues');
  await page.getByRole('link', { name: QUEUE }).click();
  await page.getByText('customer-20').first().waitFor();
  broker.send(QUEUE, 'customer-21', 'one more');
  broker.run('receive', QUEUE, '--max', '1', '--delete');
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  await take('lanes');
  await page.locator('.strip .is-in_flight .body').first().click({ force: true });
  await page.getByRole('list', { name: 'its life' }).waitFor();
  await take('life');
  await page.keyboard.press('Escape');
  if (scheme === 'dark') {
    await broker.kill();
    await page.getByText(/^The broker has been away/).waitFor();
    await take('away');
  }
  await close();
}

async function teach(scenario) {
  const link = await lab(story, scenario);
  const { page, close } = await launch({ colorScheme: 'light', viewport: { width: 1440, height: 1000 } });
  const take = (name) => page.screenshot({ path: join(OUT, `lab-${name}.png`), animations: 'disabled' });
  await page.goto(link);
  await page.getByRole('button', { name: '×30' }).click();
  await walk(page, (at) => (/ met \d/.test(at) ? take(scenario) : undefined));
  if (scenario === SCENARIOS.at(-1)) {
    await page.keyboard.press('o');
    await page.waitForFunction(() => /Plain HTTP/.test(document.getElementById('answers').textContent), null, LONG);
    // Tall enough that the proof below covers none of it.
    await page.setViewportSize({ width: 1440, height: 1800 });
    await page.locator('#answers').screenshot({ path: join(OUT, 'lab-answers.png'), animations: 'disabled' });
  }
  await close();
}

const broker = await serve(story);
try {
  fill(broker);
  for (const scheme of ['light', 'dark']) await shoot(broker, scheme);
  for (const scenario of SCENARIOS) await teach(scenario);
} finally {
  for (const end of endings) await end();
  await shut();
}
