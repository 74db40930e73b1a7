// What happened just now, newest first: the durable facts of the groups in view, in plain words. A bounded list.

import { el, say } from './dom.js';
import { clock, factSentence, KINDS, number } from './words.js';

const KEPT = 60;

/** A list in `container`; `onSeq(seq, group)` is told of a message that was chosen. */
export function makeFacts(container, { onSeq }) {
  const list = el('ol', { class: 'facts' });
  const none = el('p', { class: 'muted', text: 'Nothing yet: what is sent, received and deleted appears here.' });
  container.append(el('h2', { text: 'Just now' }), none, list);
  let pending = [];
  let drawing = false;

  function line(fact) {
    if (fact.words) return el('li', { class: 'fact mark-gap' }, el('span', { text: fact.words }));
    const what = factSentence(fact);
    const text = fact.seq
      ? el('button', { type: 'button', class: 'fact-text', text: what, onclick: () => onSeq(fact.seq, fact.group) })
      : el('span', { class: 'fact-text', text: what });
    return el(
      'li',
      { class: `fact mark-${KINDS[fact.kind]?.mark ?? 'plus'} fact-${fact.kind}` },
      el('time', { text: clock(fact.at) }),
      text,
      el('span', { class: 'fact-group', text: fact.group ?? '' }),
    );
  }

  function draw() {
    drawing = false;
    const fresh = pending.slice(-KEPT).reverse();
    pending = [];
    list.prepend(...fresh.map(line));
    while (list.children.length > KEPT) list.lastChild.remove();
    none.hidden = list.children.length > 0;
  }

  function put(entries) {
    pending.push(...entries);
    if (pending.length > 4 * KEPT) pending.splice(0, pending.length - KEPT);
    if (drawing) return;
    drawing = true;
    setTimeout(draw, 150);
  }

  return {
    add(facts, more) {
      put(facts);
      if (more > 0) put([{ words: `and ${number(more)} more that are not listed` }]);
    },
    gap({ from, to }) {
      put([{ words: `what happened between frame ${from} and ${to} is not remembered` }]);
    },
    say: (text) => say(none, text),
  };
}
