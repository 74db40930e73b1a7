// The lab as a class drives it: every scenario by clicks, to its verdict, on real processes. A picture of each is kept.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { AWAY, open, OUT } from './browser.mjs';
import { lab, LONG, SCENARIOS, walk } from './class.mjs';

/** What the page is told while the broker behind it is away, and deals with. */
const CALM = [AWAY, /502 \(Bad Gateway\)/];

for (const scenario of SCENARIOS) {
  test(`the scenario ${scenario} is walked through by clicks`, async (story) => {
    const link = await lab(story, scenario);
    const page = await open(story, { calm: CALM });
    await page.goto(link);
    await page.getByRole('button', { name: '×60' }).click();
    const cards = await walk(page);
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

test('every switch strikes real processes, and the proof holds', async (story) => {
  const link = await lab(story, 'order');
  const page = await open(story, { calm: CALM });
  await page.goto(link);
  await page.getByRole('button', { name: '×60' }).click();
  const strikes = [
    async () => {
      for (const name of ['Poison', 'Lose an answer', 'Lose five', 'Slow consumers', 'Send four more']) await page.getByRole('button', { name }).click();
      await page.getByRole('button', { name: 'Slow consumers', pressed: true }).click();
    },
    async () => {
      await page.getByRole('button', { name: 'Fill its disk' }).click();
      await page.getByText(/life 2/).waitFor(LONG);
    },
  ];
  await walk(page, async (at) => {
    if (/ met /.test(at)) await strikes.shift()?.();
  });
  assert.deepEqual(strikes, [], 'all of them were used');
  assert.match(await page.textContent('#verdict'), /^ok: .*lost 0, duplicated 0, out of order 0$/);
  assert.equal(await page.textContent('#equal'), '= equal');
});
