// The lesson: which step, the card to predict on, what to see, and the controls of time.

import { el, put, say } from './dom.js';

const SPEEDS = [1, 2, 5, 10, 30, 60];

export function makeLesson(root, act) {
  const title = el('h1');
  const steps = el('ol', { class: 'steps' });
  const name = el('h2');
  const see = el('p', { class: 'see' });
  const card = el('div', { class: 'card-place' });
  const left = el('div', { class: 'step' }, el('div', { class: 'titles' }, title, steps), name, see);
  const next = el('button', { type: 'button', class: 'main', id: 'next', onclick: () => act({ action: 'next' }) });
  const pause = el('button', { type: 'button', id: 'pause', onclick: () => act({ action: shown.aside.paused ? 'run' : 'pause' }) });
  const one = el('button', { type: 'button', text: 'One second (s)', onclick: () => act({ action: 'step' }) });
  const speeds = SPEEDS.map((times) =>
    el('button', { type: 'button', text: `×${times}`, onclick: () => act({ action: 'speed', times }) }),
  );
  const seed = el('input', { type: 'number', min: 0, max: 9007199254740991, id: 'seed' });
  const again = el('button', { type: 'button', text: 'Begin anew (r)', onclick: restart });
  const command = el('code', { id: 'command' });
  const time = el('span', { class: 'muted' });
  root.append(
    left,
    el(
      'div',
      { class: 'controls' },
      el('div', { class: 'buttons' }, next),
      el('div', { class: 'buttons' }, time, pause, one, ...speeds),
      el('div', { class: 'buttons' }, el('label', {}, 'seed', seed), again),
      el('small', {}, 'the same in a terminal: ', command),
    ),
    card,
  );
  let shown = null;
  let drawn = '';
  let seedOf = null;

  function restart() {
    act({ action: 'scenario', name: shown.scenario.name, seed: Math.max(0, Math.trunc(Number(seed.value) || 0)) });
  }

  function drawCard(step, at) {
    const predicted = shown.aside.predicted[at];
    const key = JSON.stringify([shown.scenario.name, at, step.card, predicted, shown.phase]);
    if (key === drawn) return;
    drawn = key;
    if (!step.card) return card.replaceChildren();
    const { question, choices, right, answer } = step.card;
    const told = right !== null;
    const buttons = choices.map((text, choice) => {
      const marks = [choice === predicted ? '● your prediction' : '', told && choice === right ? '✓ this is what happens' : ''];
      const mark = marks.filter(Boolean).join(', ');
      return el('button', {
        type: 'button',
        class: told && choice === right ? 'right' : '',
        'aria-pressed': String(choice === predicted),
        disabled: shown.phase !== 'waits',
        text: `${String.fromCharCode(97 + choice)}) ${text}${mark ? ` (${mark})` : ''}`,
        onclick: () => act({ action: 'predict', choice }),
      });
    });
    card.replaceChildren(
      el(
        'div',
        { class: 'card' },
        el('h3', { text: told ? 'The answer' : 'Predict first' }),
        el('p', { class: 'question', text: question }),
        el('div', { class: 'choices' }, ...buttons),
        answer ? el('p', { class: 'answer', text: answer }) : null,
      ),
    );
  }

  return (state) => {
    shown = state;
    const { scenario, step: at, phase, aside } = state;
    const step = scenario.steps[at];
    put(root, 'data-at', `${scenario.name} ${at} ${phase} ${aside.predicted[at] ?? '-'}`);
    say(title, scenario.title);
    if (steps.childElementCount !== scenario.steps.length || steps.dataset.of !== scenario.name) {
      steps.dataset.of = scenario.name;
      steps.replaceChildren(...scenario.steps.map((one, i) => el('li', { text: String(i + 1), title: one.title })));
    }
    [...steps.children].forEach((item, i) => {
      const done = i < at || phase === 'over' || (i === at && phase === 'met');
      put(item, 'class', done ? 'done' : i === at ? 'now' : null);
    });
    say(name, `${at + 1}. ${step.title}`);
    drawCard(step, at);
    say(see, phase === 'over' ? scenario.learnt : phase === 'waits' ? (at === 0 ? 'Begin when everybody sees the page.' : '') : `See: ${step.see}`);
    const waitsForCard = phase === 'waits' && step.card && aside.predicted[at] === null;
    const words = { waits: waitsForCard ? 'Predict, then do it (n)' : 'Do it (n)', runs: 'Under way …', met: 'Next step (n)', over: 'Over' };
    say(next, words[phase]);
    next.disabled = phase === 'runs' || phase === 'over';
    say(pause, aside.paused ? 'Go on (space)' : 'Pause (space)');
    put(pause, 'aria-pressed', String(aside.paused));
    speeds.forEach((button, i) => put(button, 'aria-pressed', String(SPEEDS[i] === aside.times)));
    say(time, `${Math.floor(state.elapsed / 60)} min ${state.elapsed % 60} s`);
    say(command, state.command);
    if (seedOf !== state.seed) seed.value = seedOf = state.seed;
  };
}
