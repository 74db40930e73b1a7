// A lesson of the lab as a class goes through it: the lab is started, its cards are answered and its steps clicked.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { atEnd } from './browser.mjs';

export const SCENARIOS = ['order', 'retry', 'zombie', 'crash', 'hole'];
export const LONG = { timeout: 90_000 };

/** A lab of its own; the link of its page. */
export async function lab(story, scenario) {
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

/** Goes through the scenario of a page to its end. `look` is called wherever something waits for a click; it is told how
 * many cards have asked so far, which is the answer. */
export async function walk(page, look = async () => {}) {
  let cards = 0;
  let at = '';
  for (;;) {
    // Scenario, step, phase and prediction: what a click has to change.
    await page.waitForFunction((was) => ![was, undefined].includes(document.getElementById('lesson').dataset.at) && !/ runs /.test(document.getElementById('lesson').dataset.at), at, LONG);
    at = await page.evaluate(() => document.getElementById('lesson').dataset.at);
    await look(at, cards);
    if (/ over /.test(at)) return cards;
    const asks = / waits -$/.test(at) && (await page.locator('.choices button').count()) > 0;
    if (asks) cards += 1;
    await page.locator(asks ? '.choices button' : '#next').first().click();
  }
}
