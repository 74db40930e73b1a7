// The lab as a class drives it: every scenario by clicks, to its verdict, on real processes. A picture of each is kept.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

import { atEnd, AWAY, open, OUT } from './browser.mjs';

const SCENARIOS = ['order', 'retry', 'zombie', 'crash', 'hole'];
/** What the page is told while the broker behind it is away, and deals with. */
const CALM = [AWAY, /502 \(Bad Gateway\)/];
const LONG = { timeout: 90_000 };

/** A lab of its own; the link of its page. */
async function lab(story, scenario) {
  const child = spawn(process.env.LOCKSTEP, ['lab', '--scenario', scenario, '--seed', '7', '--log', 'off'], { stdio: ['ignore', 'pipe', 'inherit'] });
  atEnd(story, () => new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGTERM');
  }));
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /^lab: (\S+)$/.exec(line);
    if (found) return found[1];
  }
  throw new Error('the lab said no link');
}

for (const scenario of SCENARIOS) {
  test(`the scenario ${scenario} is walked through by clicks`, async (story) => {
    const link = await lab(story, scenario);
    const page = await open(story, { calm: CALM });
    await page.goto(link);
    await page.getByRole('button', { name: '×60' }).click();
    let cards = 0;
    let at = '';
    for (;;) {
      // Scenario, step, phase and prediction: what a click has to change.
      await page.waitForFunction((was) => ![was, undefined].includes(document.getElementById('lesson').dataset.at) && !/ runs /.test(document.getElementById('lesson').dataset.at), at, LONG);
      at = await page.evaluate(() => document.getElementById('lesson').dataset.at);
      if (/ over /.test(at)) break;
      const asks = / waits -$/.test(at) && (await page.locator('.choices button').count()) > 0;
      if (asks) cards += 1;
      await page.locator(asks ? '.choices button' : '#next').first().click();
    }
    assert.ok(cards > 0, 'there is a card before a failure');
    assert.match(await page.textContent('#verdict'), /^ok: .*lost 0, duplicated 0, out of order 0$/);
    assert.equal(await page.textContent('#equal'), '= equal');
    await page.screenshot({ path: join(OUT, `lab-${scenario}.png`) });
  });
}

test('keys drive the lab, the other answers stand beside, and a page without the token only looks', async (story) => {
  const link = await lab(story, 'order');
  const page = await open(story, { calm: CALM, colorScheme: 'dark' });
  await page.goto(link);
  await page.waitForFunction(() => /Do it/.test(document.getElementById('next').textContent));
  await page.keyboard.press(' ');
  await page.waitForFunction(() => /Go on/.test(document.getElementById('pause').textContent));
  await page.keyboard.press('?');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  await page.keyboard.press('o');
  await page.waitForFunction(() => /Plain HTTP/.test(document.getElementById('answers').textContent), null, LONG);
  await page.screenshot({ path: join(OUT, 'lab-answers.png'), fullPage: true });
  await page.keyboard.press('4');
  await page.waitForFunction(() => /The crash/.test(document.querySelector('h1').textContent), null, LONG);
  assert.match(page.url(), /\?scenario=crash&seed=7$/);

  const stranger = await open(story, { calm: [...CALM, /403 \(Forbidden\)/] });
  await stranger.goto(link.replace(/#.*/, ''));
  await stranger.waitForFunction(() => /Do it/.test(document.getElementById('next').textContent));
  await stranger.click('#next');
  await stranger.waitForFunction(() => /token/.test(document.getElementById('notice').textContent));
});
