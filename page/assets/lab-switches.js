// The teacher's switches: they strike the real processes, whatever step the lesson is at.

import { el } from './dom.js';

export function makeSwitches(root, act) {
  const button = (text, word, title, how = '') => el('button', { type: 'button', class: how, text, title, onclick: () => act(word) });
  const slow = el('button', { type: 'button', text: 'Slow consumers', title: 'workers take ten times longer', 'aria-pressed': 'false' });
  slow.addEventListener('click', async () => {
    const on = slow.getAttribute('aria-pressed') !== 'true';
    if (await act({ action: 'slow', times: on ? 10 : 1 })) slow.setAttribute('aria-pressed', String(on));
  });
  root.append(
    el('h3', { text: 'Strike' }),
    el(
      'div',
      { class: 'buttons' },
      button('kill -9 the broker', { action: 'kill-broker' }, 'SIGKILL; it is started again after 3 s', 'danger'),
      button('Fill its disk', { action: 'fill-disk' }, 'no file of the broker may grow any more: its next write fails, it ends, and starts again with room', 'danger'),
      button('Lose an answer', { action: 'lose-answers', producer: 0, count: 1 }, 'the next answer to the first producer is lost, and the connection with it'),
      button('Lose five', { action: 'lose-answers', producer: 1, count: 5 }, 'the next five answers to the second producer'),
      slow,
      button('Poison', { action: 'poison', producer: 1 }, 'the next message of the second producer cannot be processed; it is set aside after eight tries'),
      button('Send four more', { action: 'send', count: 2 }, 'two more by each producer'),
    ),
  );
  return (state) => {
    for (const one of root.querySelectorAll('button')) one.disabled = state.phase === 'over';
  };
}
