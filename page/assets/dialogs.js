// The dialogs: look at messages without taking them, send one, bring dead letters back, empty a queue (asked twice), and
// the keys. Each is the browser's own dialog, so that Esc and the Tab key work as anywhere.

import { get, post } from './api.js';
import { el } from './dom.js';
import { clock, many } from './words.js';

/** Opens a dialog with a title; `close()` ends it, and the keyboard goes back to where it was. */
function open(title, ...content) {
  const name = `dialog-title-${Math.random().toString(36).slice(2)}`;
  const box = el('dialog', { 'aria-labelledby': name }, el('h2', { id: name, text: title }), ...content);
  box.addEventListener('close', () => box.remove());
  document.body.append(box);
  box.showModal();
  return { box, close: () => box.close() };
}

let fields = 0;

/** An input with its name above and a hint below, which those hear too who hear the page. */
function field(words, input, hint) {
  const name = `field-${(fields += 1)}`;
  input.id = name;
  if (hint) input.setAttribute('aria-describedby', `${name}-hint`);
  const below = hint ? el('small', { id: `${name}-hint`, text: hint }) : null;
  return el('div', { class: 'field' }, el('label', { for: name, text: words }), input, below);
}

/** Runs a call and says how it went, in the dialog's own line. */
async function tell(out, buttons, call) {
  buttons.forEach((button) => (button.disabled = true));
  out.className = 'outcome';
  out.textContent = 'asking the broker …';
  try {
    out.textContent = await call();
    out.classList.add('good');
    return true;
  } catch (error) {
    out.textContent = error.rule ? `${error.message} (${error.rule})` : error.message;
    out.classList.add('wrong');
    return false;
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

const outcome = () => el('p', { class: 'outcome', role: 'status' });

/** Sends one message, as often as wanted: a repeat with the same deduplication id is turned away, which is the lesson. */
export function sendDialog(queue, group = '') {
  const groupInput = el('input', { value: group, autocomplete: 'off', required: true });
  const id = el('input', { autocomplete: 'off' });
  const text = el('textarea', { rows: 4, required: true });
  const out = outcome();
  const go = el('button', { type: 'submit', class: 'main', text: 'Send' });
  const form = el(
    'form',
    {},
    field('Message group', groupInput),
    field('Deduplication id', id, 'Sent again with the same id, a message is turned away. Empty: the queue makes one of the text, if it is set so.'),
    field('Text', text),
    out,
    el('div', { class: 'buttons' }, go, el('button', { type: 'button', text: 'Close', onclick: () => dialog.close() })),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const body = { queue, group: groupInput.value, text: text.value };
    if (id.value) body.deduplication_id = id.value;
    tell(out, [go], async () => {
      const answer = await post('send', body);
      if (answer.turned_away) return `Turned away: it was there already, as #${answer.seq}. Nothing is stored twice (S6).`;
      return `Accepted as #${answer.seq}.`;
    });
  });
  const dialog = open(`Send to ${queue}`, form);
  (group ? text : groupInput).focus();
}

const PAGE = 10;

/** Looks at the messages of a group, or of a queue, in order; nothing is received. */
export function peekDialog(queue, group = null, from = null) {
  const list = el('ol', { class: 'peeked' });
  const out = outcome();
  const more = el('button', { type: 'button', text: 'Show more' });
  let after = from;
  async function load() {
    await tell(out, [more], async () => {
      const { messages } = await get('peek', { queue, group, after, max: PAGE });
      for (const message of messages) list.append(peeked(message));
      after = messages.at(-1)?.seq ?? after;
      more.hidden = messages.length < PAGE;
      return list.children.length === 0 ? 'There is no message here.' : '';
    });
  }
  more.addEventListener('click', load);
  const dialog = open(
    group ? `Messages of group ${group}` : `Messages of ${queue}`,
    el('p', { class: 'muted', text: 'Looked at, not received: nothing is leased and nothing is counted.' }),
    list,
    out,
    el('div', { class: 'buttons' }, more, el('button', { type: 'button', text: 'Close', onclick: () => dialog.close() })),
  );
  load();
}

function peeked(message) {
  const text = message.text ?? message.base64 ?? '';
  const attributes = (message.attributes ?? []).map((one) => el('li', { text: attribute(one) }));
  return el(
    'li',
    {},
    el('header', {}, el('strong', { text: `#${message.seq}` }), el('span', { text: message.group }), el('span', { class: 'muted', text: `sent ${clock(message.sent)}, received ${message.receives === 1 ? 'once' : `${message.receives} times`}, deduplication id ${message.deduplication_id}` })),
    message.text === null ? el('p', { class: 'muted', text: 'Not text; shown as base64:' }) : null,
    el('pre', { text, tabindex: 0 }),
    attributes.length ? el('ul', { class: 'attributes' }, ...attributes) : null,
  );
}

const attribute = ({ name, type, value }) => `attribute ${name} (${type}): ${value}`;

/** Brings dead letters back, each to its source or all to one queue. */
export function redriveDialog(queue) {
  const to = el('input', { autocomplete: 'off', placeholder: 'each to the queue it came from' });
  const out = outcome();
  const go = el('button', { type: 'submit', class: 'main', text: 'Start the redrive' });
  const form = el(
    'form',
    {},
    el('p', { text: `Brings the messages of ${queue} back, oldest first, as new messages. ${queue} has to be somebody's dead-letter queue.` }),
    field('To', to, 'Empty: each goes to the queue that it came from.'),
    out,
    el('div', { class: 'buttons' }, go, el('button', { type: 'button', text: 'Close', onclick: () => dialog.close() })),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    tell(out, [go], async () => {
      await post('redrive', to.value ? { queue, to: to.value } : { queue });
      return 'The redrive has started.';
    });
  });
  const dialog = open(`Redrive from ${queue}`, form);
}

/** Empties a queue: asked once in words, and once more by its name. */
export function purgeDialog(queue, messages) {
  const stage = el('div');
  const cancel = () => el('button', { type: 'button', text: 'Keep the messages', onclick: () => dialog.close() });
  const first = el('button', { type: 'button', class: 'danger', text: 'Go on', onclick: () => second() });
  stage.append(
    el('p', { text: `All messages of ${queue} would be deleted: ${many(messages, 'message')} now. This cannot be undone. Messages that a claim holds stay (B8).` }),
    el('div', { class: 'buttons' }, cancel(), first),
  );
  function second() {
    const name = el('input', { autocomplete: 'off', spellcheck: 'false' });
    const out = outcome();
    const go = el('button', { type: 'submit', class: 'danger', text: `Purge ${queue}`, disabled: true });
    name.addEventListener('input', () => (go.disabled = name.value !== queue));
    const form = el('form', {}, field(`Type ${queue} to confirm`, name), out, el('div', { class: 'buttons' }, cancel(), go));
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const done = await tell(out, [], async () => {
        const { purged } = await post('purge', { queue, confirm: name.value });
        return `Purged: ${many(purged, 'message')} deleted.`;
      });
      if (!done) return;
      go.remove();
      form.querySelector('.buttons button').textContent = 'Close';
    });
    stage.replaceChildren(form);
    name.focus();
  }
  const dialog = open(`Purge ${queue}`, stage);
}

const KEYS = [
  ['Tab', 'to the next part of the page'],
  ['↑ ↓', 'from lane to lane, or from queue to queue'],
  ['← →', 'from message to message; at the left end is the group'],
  ['Home, End', 'to the group, to the last message shown'],
  ['Enter', 'opens the message, the group or the queue'],
  ['Esc', 'closes, or goes back to the queues'],
  ['/', 'finds a group or a queue'],
  ['[ ]', 'groups before, groups after'],
  ['?', 'these keys'],
];

/** The keys, and how to read a lane. */
export function helpDialog() {
  const rows = KEYS.map(([key, words]) => [el('dt', {}, el('kbd', { text: key })), el('dd', { text: words })]).flat();
  const dialog = open(
    'Keys, and how to read a lane',
    el('dl', { class: 'keys' }, ...rows),
    el('p', { text: 'A lane is one message group. Its messages leave at the left, in the order they arrived. While the first one is in flight a bar stands before it and the others wait: that is what keeps the order (O3). Its ring closes as the lease runs out.' }),
    el('p', { text: 'Only what is durable is shown (H4).' }),
    el('div', { class: 'buttons' }, el('button', { type: 'button', class: 'main', text: 'Close', onclick: () => dialog.close() })),
  );
}

/** Asks for the token of a broker that reads need one for. */
export function tokenDialog(words, onToken) {
  const input = el('input', { type: 'password', autocomplete: 'off', required: true });
  const form = el('form', {}, el('p', { text: words }), field('Token', input), el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'main', text: 'Use it' })));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    dialog.close();
    onToken(input.value);
  });
  const dialog = open('This broker wants a token', form);
}
