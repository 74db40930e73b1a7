// The panel beside the lanes: the life of one message as a timeline, or why a group delivers nothing. It asks the broker,
// and asks again while what it shows may have changed.

import { get } from './api.js';
import { el, put } from './dom.js';
import { RULES } from './rules.js';
import { clock, KINDS, many, number, span, stateWord } from './words.js';

/** No more often than this is asked again, in milliseconds. */
const PAUSE = 700;

/** A rule's number, with what it says. */
export function ruleChip(rule) {
  if (!rule) return null;
  return el('span', { class: 'rule', title: RULES[rule] ?? 'see docs/contract.md' }, `rule ${rule}`);
}

function ruleLine(rule) {
  if (!rule) return null;
  return el('p', { class: 'rule-line' }, el('strong', { text: rule }), ` ${RULES[rule] ?? 'See docs/contract.md.'}`);
}

function timeline(life) {
  const items = life.map((step, i) => {
    const before = i === 0 ? '' : `+${gap(step.at - life[i - 1].at)}`;
    return el(
      'li',
      { class: `step mark-${KINDS[step.kind]?.mark ?? 'plus'}` },
      el('div', { class: 'step-time' }, el('time', { text: clock(step.at, true) }), el('span', { class: 'muted', text: before })),
      el('div', { class: 'step-what' }, el('span', { class: 'step-text', text: step.text }), step.rule ? ruleChip(step.rule) : null),
    );
  });
  return el('ol', { class: 'timeline', 'aria-label': 'its life' }, ...items);
}

const gap = (ms) => (ms < 1000 ? `${ms} ms` : ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : span(ms));

/** A panel in `container`; `onClose` when it closes, `actions` makes buttons for a message or a group. */
export function makePanel(container, { queue, onClose, actions = () => [] }) {
  const title = el('h2', { tabindex: -1 });
  const close = el('button', { type: 'button', class: 'quiet', text: 'close (Esc)', onclick: () => hide() });
  const body = el('div', { class: 'panel-body' });
  const root = el('section', { class: 'panel', hidden: true }, el('header', {}, title, close), body);
  container.append(root);
  let shown = null;
  let asked = 0;
  let again = null;
  let controller = null;

  async function ask() {
    clearTimeout(again);
    again = null;
    asked = performance.now();
    controller?.abort();
    controller = new AbortController();
    const mine = shown;
    try {
      const path = mine.seq ? 'message' : 'group';
      const found = await get(path, { queue, group: mine.seq ? null : mine.group, seq: mine.seq }, controller.signal);
      if (shown === mine) body.replaceChildren(...(mine.seq ? ofMessage(found) : ofGroup(found)));
    } catch (error) {
      if (shown === mine && error.name !== 'AbortError') {
        body.replaceChildren(el('p', { class: 'wrong', text: error.message }), ...[ruleLine(error.rule)].filter(Boolean));
      }
    }
  }

  function ofMessage(message) {
    return [
      el('p', { class: 'verdict', text: message.sentence }),
      ruleLine(message.rule),
      el('dl', { class: 'facts-of' }, ...pair('group', message.group), ...pair('state', stateWord(message.state)), ...pair('id', message.id)),
      el('h3', { text: 'Its life' }),
      message.complete === false ? el('p', { class: 'muted', text: 'Earlier steps are no longer remembered.' }) : null,
      timeline(message.life ?? []),
      el('div', { class: 'buttons' }, ...actions({ seq: message.seq, group: message.group })),
    ].filter(Boolean);
  }

  function ofGroup(group) {
    return [
      el('p', { class: 'verdict', text: group.sentence }),
      ruleLine(group.rule),
      el('dl', { class: 'facts-of' }, ...pair('depth', many(group.depth ?? 0, 'message')), ...pair('state', stateWord(group.state))),
      el('div', { class: 'buttons' }, ...actions({ seq: null, group: group.group })),
    ].filter(Boolean);
  }

  function show(next, text) {
    shown = next;
    root.hidden = false;
    title.textContent = text;
    put(root, 'aria-label', text);
    body.replaceChildren(el('p', { class: 'muted', text: 'asking the broker …' }));
    ask();
  }

  function hide() {
    if (!shown) return false;
    shown = null;
    clearTimeout(again);
    controller?.abort();
    root.hidden = true;
    onClose();
    return true;
  }

  return {
    message: (seq, group) => show({ seq, group }, `Message #${number(seq)}`),
    group: (group) => show({ seq: null, group }, `Group ${group}`),
    /** What is shown may have changed: of this group, or of all with null. */
    touch(groups) {
      if (!shown || again || (groups && !groups.has(shown.group))) return;
      again = setTimeout(ask, Math.max(0, PAUSE - (performance.now() - asked)));
    },
    hide,
    open: () => shown !== null,
  };
}

const pair = (word, value) => (value ? [el('dt', { text: word }), el('dd', { text: value })] : []);
