// What the page knows of one queue: the lanes of its window, brought up to date by snapshots and diffs. Pure: no page, no
// network, no clock.

/** A window that nothing is known of yet. `dots` is how many dots all lanes have together. */
export function emptyModel() {
  return { frame: null, now: 0, queue: null, first: null, more: false, order: [], lanes: new Map(), dots: 0 };
}

const count = (lanes) => [...lanes.values()].reduce((sum, lane) => sum + lane.dots.length, 0);

/** The window as a whole; what was known goes. */
export function applySnapshot(model, snapshot) {
  model.frame = snapshot.frame;
  model.now = snapshot.now;
  model.queue = snapshot.queue;
  model.first = snapshot.first ?? null;
  model.more = Boolean(snapshot.more);
  model.order = snapshot.lanes.map((lane) => lane.group);
  model.lanes = new Map(snapshot.lanes.map((lane) => [lane.group, lane]));
  model.dots = count(model.lanes);
}

/** Changed lanes, whole; gone ones; and the order, where it changed. Answers the groups that look different now. */
export function applyDiff(model, diff) {
  const changed = new Set();
  model.frame = diff.frame;
  model.now = diff.now;
  if (diff.queue) model.queue = diff.queue;
  if (diff.more !== undefined) model.more = Boolean(diff.more);
  for (const group of diff.gone ?? []) {
    if (model.lanes.delete(group)) changed.add(group);
  }
  for (const lane of diff.lanes ?? []) {
    if (!model.lanes.has(lane.group)) model.order.push(lane.group);
    model.lanes.set(lane.group, lane);
    changed.add(lane.group);
  }
  if (diff.order) model.order = diff.order;
  model.order = model.order.filter((group) => model.lanes.has(group));
  model.dots = count(model.lanes);
  return changed;
}

/** What a later comparison needs of a window: its totals and its messages. */
export function remembered(model) {
  const seen = new Map();
  for (const lane of model.lanes.values()) for (const dot of lane.dots) seen.set(dot.seq, lane.group);
  return { frame: model.frame, messages: model.queue?.messages ?? 0, groups: model.queue?.groups ?? 0, seen };
}

/** Whether a message would be shown if it were there: a window that got smaller hides some. */
function isInView(model, seq, group) {
  const lane = model.lanes.get(group);
  if (!lane) return !model.more || group < model.order.at(-1);
  return lane.dots.length === lane.depth || BigInt(seq) < BigInt(lane.dots.at(-1).seq);
}

/** How a window that came back differs from the one before: messages of the window that are gone, and the totals. */
export function compared(before, model) {
  const now = remembered(model);
  const missing = [...before.seen].filter(([seq, group]) => !now.seen.has(seq) && isInView(model, seq, group)).length;
  return {
    messages: now.messages,
    groups: now.groups,
    missing,
    same: missing === 0 && now.messages === before.messages && now.groups === before.groups,
    before: before.messages,
  };
}
