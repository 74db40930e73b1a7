// Conversations as their people see them: bubbles with three ticks, received, on disk, answered.

import { el, put, say } from './dom.js';

function ticksOf(turn) {
  const count = [turn.received, turn.on_disk, turn.answered].filter(Boolean).length;
  return ['✓'.repeat(count), ['waits', 'received', 'on disk, and its producer does not know', 'received, on disk, answered'][count]];
}

export function makeTalk(root) {
  let of = '';
  let people = [];

  function make(conversations) {
    people = conversations.map(({ name, turns }) => {
      const count = el('small');
      const bubbles = turns.map(() => ({ ticks: el('span', { class: 'ticks' }), text: el('span'), again: el('span', { class: 'again' }) }));
      const nodes = bubbles.map(({ ticks, text, again }) => el('li', { class: 'bubble waits' }, ticks, text, ' ', again));
      const list = el('ol', { class: 'bubbles', tabindex: 0, 'aria-label': `what ${name} and the agent say` }, ...nodes);
      return { node: el('article', { class: 'person' }, el('h3', {}, el('span', { class: 'who', text: name }), count), list), list, nodes, bubbles, count, seen: 0 };
    });
    root.replaceChildren(...people.map((person) => person.node));
  }

  return ({ conversations, scenario, seed }) => {
    const key = `${scenario.name} ${seed} ${conversations[0].turns[0].text}`;
    if (key !== of) {
      of = key;
      make(conversations);
    }
    conversations.forEach(({ turns }, who) => {
      const person = people[who];
      let seen = 0;
      turns.forEach((turn, at) => {
        const { ticks, text, again } = person.bubbles[at];
        const [marks, words] = ticksOf(turn);
        say(text, turn.text);
        say(ticks, marks);
        put(ticks, 'title', words);
        const notes = [];
        if (turn.tries > 1) notes.push(`sent ${turn.tries}×${turn.known ? ', known already' : ''}`);
        if (turn.processed > 1) notes.push(`processed ${turn.processed}×`);
        if (turn.committed > 0) notes.push(turn.committed === 1 ? 'published' : `published ${turn.committed}×`);
        if (turn.aside) notes.push('set aside: poison');
        say(again, notes.join(', '));
        put(again, 'class', turn.tries > 1 || turn.processed > 1 || turn.aside ? 'again' : 'again calm');
        const how = ['bubble', turn.sender, turn.received ? '' : 'waits', turn.answered ? 'answered' : '', turn.aside ? 'aside' : ''];
        put(person.nodes[at], 'class', how.filter(Boolean).join(' '));
        if (turn.received) seen += 1;
      });
      say(person.count, `${seen} of ${turns.length}`);
      if (seen !== person.seen) person.list.scrollTop = person.list.scrollHeight;
      person.seen = seen;
    });
  };
}
