// Worker processes: what each has in its hands, its state, and what is published.

import { el, put, say } from './dom.js';

export function makeWorkers(root, act) {
  const list = el('div');
  const refusal = el('p', { class: 'wrong' });
  const published = el('h3');
  const lines = el('ol', { class: 'lines', tabindex: 0, 'aria-label': 'published lines, the newest last' });
  root.append(list, refusal, published, lines);
  let drawn = '';
  let count = -1;

  function worker({ place, pid, state, doing }) {
    const frozen = state === 'stands still';
    const name = place === null ? 'given up' : `worker ${place + 1}`;
    const buttons =
      place === null
        ? []
        : [
            el('button', { type: 'button', class: 'danger', text: 'kill -9', title: 'SIGKILL', onclick: () => act({ action: 'kill-worker', place }) }),
            el('button', { type: 'button', text: 'Freeze', disabled: frozen, title: 'SIGSTOP', onclick: () => act({ action: 'freeze-worker', place }) }),
          ];
    if (frozen) buttons.push(el('button', { type: 'button', text: 'Thaw', title: 'SIGCONT for everyone who stands still', onclick: () => act({ action: 'thaw' }) }));
    const what = doing ? `${frozen ? 'has' : 'works on'} ${doing.conversation}, turn ${doing.turn}` : 'has nothing in its hands';
    const mark = { 'stands still': '❄ stands still', works: '▶ works', waits: '… waits', starts: '↻ starts' }[state] ?? state;
    return el(
      'article',
      { class: `worker ${frozen ? 'frozen' : state}` },
      el('h3', {}, el('span', { text: name }), el('small', { text: pid === null ? '' : `process ${pid}` })),
      el('p', {}, el('strong', { text: mark }), `: ${what}`),
      el('div', { class: 'buttons' }, ...buttons),
    );
  }

  return (state) => {
    const key = JSON.stringify(state.workers);
    if (key !== drawn) {
      drawn = key;
      const held = list.contains(document.activeElement) ? [...list.querySelectorAll('button')].indexOf(document.activeElement) : -1;
      list.replaceChildren(...state.workers.map(worker));
      if (held >= 0) list.querySelectorAll('button')[held]?.focus();
    }
    say(refusal, state.refusal ? `A commit was refused: ${state.refusal}` : '');
    put(refusal, 'hidden', state.refusal ? null : '');
    say(published, `Published: ${state.proof.committed} lines in ${state.commits} files`);
    if (count === state.proof.committed && lines.childElementCount > 0) return;
    count = state.proof.committed;
    lines.replaceChildren(...state.lines.map(({ group, turn, text }) => el('li', {}, el('b', { text: group }), ` ${turn}. ${text}`)));
    lines.scrollTop = lines.scrollHeight;
  };
}
