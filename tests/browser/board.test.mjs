// The board for Grafana asks for what the broker measures, and for nothing else.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const board = JSON.parse(readFileSync(process.env.LOCKSTEP_BOARD, 'utf8'));
const metrics = readFileSync(process.env.LOCKSTEP_METRICS, 'utf8');
const known = new Set([...metrics.matchAll(/^\| `(\w+)`/gm)].map((found) => found[1]));
const queries = board.panels.flatMap((panel) => (panel.targets ?? []).map((target) => [panel.title, target.expr]));

test('every metric of the board is in docs/metrics.md', () => {
  assert.ok(known.size > 30, 'the table is read');
  assert.ok(queries.length > 15, 'the board is read');
  for (const [title, expr] of queries) {
    for (const name of expr.match(/\b(lockstep|process)_\w+/g) ?? []) {
      assert.ok(known.has(name) || known.has(name.replace(/_bucket$/, '')), `${title}: ${name}`);
    }
  }
});

test('every panel asks something, has a unit, and stands beside the others', () => {
  const taken = new Set();
  for (const panel of board.panels.filter(({ type }) => type !== 'row')) {
    assert.ok(panel.targets.length > 0 && panel.fieldConfig.defaults.unit, panel.title);
    const { x, y, w, h } = panel.gridPos;
    assert.ok(x + w <= 24, panel.title);
    for (let i = x; i < x + w; i += 1) {
      for (let j = y; j < y + h; j += 1) {
        assert.ok(!taken.has(`${i},${j}`), `${panel.title} lies on another`);
        taken.add(`${i},${j}`);
      }
    }
  }
});
