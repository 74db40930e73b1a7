// The lab's main part: follows the lab and the broker behind it, says what the teacher says, the keys, the theme. What is
// drawn stands in the parts beside it.

import { errorOf, takeToken } from './api.js';
import { address } from './api.js';
import { el, put, say, typing } from './dom.js';
import { openFeed } from './feed.js';
import { makeLanes } from './lanes.js';
import { applyDiff, applySnapshot, emptyModel } from './model.js';
import { makeAnswers } from './lab-answers.js';
import { makeLesson } from './lab-lesson.js';
import { makeProof } from './lab-proof.js';
import { makeSwitches } from './lab-switches.js';
import { makeTalk } from './lab-talk.js';
import { makeWorkers } from './lab-workers.js';

const QUEUE = 'conversations.fifo';
const $ = (id) => document.getElementById(id);

let state = null;
let lanes = null;
let lanesFeed = null;
let model = emptyModel();
let offset = 0;
let lastBroker = null;

async function act(word) {
  const token = sessionStorage.getItem('lockstep.write');
  const headers = { 'content-type': 'application/json', ...(token ? { 'lockstep-console': token } : {}) };
  try {
    const response = await fetch('/lab/api/do', { method: 'POST', headers, body: JSON.stringify(word) });
    if (!response.ok) throw await errorOf(response);
    notice(null);
    return true;
  } catch (error) {
    notice(error.message);
    return false;
  }
}

function notice(text) {
  $('notice').hidden = !text;
  say($('notice'), text ?? '');
}

const parts = [
  makeLesson($('lesson'), act),
  makeTalk($('talk')),
  makeWorkers($('workers'), act),
  makeSwitches($('switches'), act),
  makeProof($('proof'), act, toggleAnswers),
  makeAnswers($('answers')),
];

const scenarios = new Map();

function drawScenarios() {
  state.scenarios.forEach(({ name, title }, at) => {
    let button = scenarios.get(name);
    if (!button) {
      button = el('button', { type: 'button', text: `${at + 1} ${name}`, title, onclick: () => begin(name) });
      scenarios.set(name, button);
      $('scenarios').append(button);
    }
    put(button, 'aria-pressed', String(name === state.scenario.name));
  });
}

function begin(name, seed = state?.seed ?? 1) {
  return act({ action: 'scenario', name, seed });
}

function toggleAnswers(wanted) {
  const show = wanted ?? $('answers').hidden;
  $('answers').hidden = !show;
  if (show && !state.aside.answers) act({ action: 'answers' });
  if (show) $('answers').scrollIntoView({ block: 'nearest' });
}

function onState({ data }) {
  state = data;
  drawScenarios();
  for (const part of parts) part(state);
  const { number, serves, pid } = state.broker;
  document.body.classList.toggle('away', !serves);
  say($('link'), serves ? `broker serves, life ${number}, process ${pid}` : number === 0 ? 'starting' : 'broker away');
  put($('link'), 'class', `chip ${serves ? 'is-live' : 'is-away'}`);
  if (state.aside.failed) notice(state.aside.failed);
  const key = `${state.scenario.name} ${state.seed} ${state.stage}`;
  if (key !== lastBroker) {
    lastBroker = key;
    followLanes();
    const link = `?scenario=${state.scenario.name}&seed=${state.seed}`;
    if (location.search !== link) history.replaceState(null, '', link);
  }
}

/** Lanes are the broker's own console feed, through the lab. */
function followLanes() {
  lanesFeed?.close();
  lanes?.destroy();
  model = emptyModel();
  lanes = makeLanes($('lanes'), { clock: () => Date.now() + offset });
  lanesFeed = openFeed({
    url: address('feed', { queue: QUEUE, lanes: 12, dots: 40 }),
    onMessage({ event, data }) {
      if (data.now) offset = data.now - Date.now();
      if (event === 'snapshot') {
        applySnapshot(model, data);
        lanes.update(model, null);
      } else if (event === 'diff') lanes.update(model, applyDiff(model, data));
      say($('lanes-note'), model.order.length === 0 ? 'No message waits: everything that came is committed, or nothing came yet.' : '');
    },
    onState(now) {
      if (now.is === 'away') say($('lanes-note'), 'The broker is away. What you see was true before.');
      if (now.is === 'refused') say($('lanes-note'), `The lanes cannot be shown: ${now.error.message}`);
    },
  });
}

function help() {
  const keys = [
    ['n', 'next: the card of a step, then the step'],
    ['a to d', 'predict: choose on the card'],
    ['space', 'pause, go on'],
    ['s', 'one second, then pause'],
    ['1 to 5', 'a scenario, from its beginning'],
    ['r', 'this scenario once more'],
    ['o', 'the other answers'],
    ['?', 'this help'],
  ];
  const dialog = el(
    'dialog',
    {},
    el('h2', { text: 'Keys' }),
    el('dl', { class: 'keys' }, ...keys.flatMap(([key, text]) => [el('dt', {}, el('kbd', { text: key })), el('dd', { text })])),
    el('div', { class: 'buttons' }, el('button', { type: 'button', class: 'main', text: 'Close', onclick: () => dialog.close() })),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target) || document.querySelector('dialog[open]') || !state) return;
  const onButton = event.target instanceof HTMLButtonElement;
  const { key } = event;
  if (key === ' ' && !onButton) act({ action: state.aside.paused ? 'run' : 'pause' });
  else if (key === 'n') act({ action: 'next' });
  else if (key === 's') act({ action: 'step' });
  else if (key === 'r') begin(state.scenario.name);
  else if (key === 'o') toggleAnswers();
  else if (key === '?') help();
  else if (/^[1-5]$/.test(key) && state.scenarios[key - 1]) begin(state.scenarios[key - 1].name);
  else if (/^[a-d]$/.test(key) && state.phase === 'waits' && state.scenario.steps[state.step].card) act({ action: 'predict', choice: key.charCodeAt(0) - 97 });
  else return;
  event.preventDefault();
});

$('help').addEventListener('click', help);
$('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  lanes?.repaint();
});

takeToken();
const wanted = new URLSearchParams(location.search);
let asked = !wanted.has('scenario');
openFeed({
  url: '/lab/api/state',
  onMessage(message) {
    if (!asked) {
      // The link carries a scenario: once, and only if it is another one.
      asked = true;
      const [name, seed] = [wanted.get('scenario'), Number(wanted.get('seed') ?? 1)];
      state = message.data;
      if (name !== state.scenario.name || seed !== state.seed) begin(name, seed);
    }
    onState(message);
  },
  onState(now) {
    if (now.is === 'away') {
      say($('link'), 'the lab has ended');
      put($('link'), 'class', 'chip is-away');
    }
    if (now.is === 'refused') notice(now.error.message);
  },
});
