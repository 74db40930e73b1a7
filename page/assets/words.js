// Says in plain words what the figures mean: times, lanes, dots and facts. Pure: no page, no clock.

/** Milliseconds for people: "12 s", "3 min 20 s", "2 h 5 min". */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 && minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}

/** An age in one unit, for where there is little room: "3 min". */
export const age = (ms) => span(ms).split(' ').slice(0, 2).join(' ');

/** What is left of a lease or a delay, rounded up: 0 s only when it is over. */
export const left = (until, now) => span(Math.ceil(Math.max(0, until - now) / 1000) * 1000);

/** A count with thousands apart, by a narrow no-break space. */
export const number = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, '\u202f');

/** A count of at most four or five characters: 950, 12.4 k, 100 k, 3.2 M. */
export function compact(n) {
  if (n < 10_000) return number(Math.round(n));
  const [value, unit] = n < 999_500 ? [n / 1e3, 'k'] : [n / 1e6, 'M'];
  return `${value < 100 ? Number(value.toFixed(1)) : Math.round(value)} ${unit}`;
}

/** 1 message, 2 messages. */
export const many = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;

const bytes = (n) => (n < 10_000 ? many(n, 'byte') : `${number(Math.round(n / 1024))} KiB`);

const rule = (name) => (name ? ` (${name})` : '');

/** A name that is not longer than there is room for; of a process's random id only what tells it from the next one. */
export function shortName(name, most = 40) {
  const short = name.replace(/-([0-9a-f]{4})[0-9a-f]{28}\b/g, '-$1');
  return short.length > most ? `${short.slice(0, most - 1)}…` : short;
}

/** A holder in a word or two, for under a dot: the worker of a claim, the claim, or the epoch of a receive. */
export function holderName(holder) {
  if (!holder) return 'in flight';
  const worker = /^worker (\S+), claim/.exec(holder);
  const epoch = /^a receive, (epoch \d+)$/.exec(holder);
  return shortName(worker?.[1] ?? epoch?.[1] ?? holder, 16);
}

/** A message's or group's state as people say it. */
export const stateWord = (state) => ({ free: 'ready', behind: 'waits behind another', not_sent: 'not sent yet' })[state] ?? (state ?? '').replaceAll('_', ' ');

/** Why a lane delivers nothing now, or what comes next: one short sentence that is true at `now`. */
export function laneSentence(lane, now) {
  const head = lane.dots[0];
  if (lane.state === 'parked') return `parked: nothing comes out until it is unparked${rule(lane.rule)}`;
  if (!head || lane.state === 'empty') return 'empty';
  if (lane.rule === 'Q2') return `#${head.seq} was received too often: the next receive makes it a dead letter (Q2)`;
  if (lane.rule === 'H10') return `#${head.seq} was received too often, but there is no dead-letter queue any more: it comes again (H10)`;
  if (lane.rule === 'L10') return 'waits: too many messages of the queue are in flight (L10)';
  if (lane.state === 'free') return `#${head.seq} is next, ready now`;
  const blocking = lane.dots.find((dot) => dot.state === 'in_flight' || dot.state === 'delayed');
  const until = lane.until ?? blocking?.until ?? null;
  const time = until === null ? '' : `, ${left(until, now)} left`;
  if (blocking?.state === 'delayed') return `waits for #${blocking.seq}: delayed${time}${rule(lane.rule)}`;
  if (blocking) {
    const by = blocking.holder ? `leased by ${shortName(blocking.holder)}` : 'in flight';
    const others = lane.dots.filter((dot) => dot.state === 'in_flight').length - 1;
    return `waits for #${blocking.seq}${others > 0 ? ` and ${others} more` : ''}: ${by}${time}${rule(lane.rule)}`;
  }
  return lane.sentence ?? lane.state;
}

/** One message, for the line under the pointer and for those who hear the page. */
export function dotSentence(dot, lane, now) {
  const parts = [`#${dot.seq}`];
  const first = lane.dots.find((other) => other.state === 'in_flight' || other.state === 'delayed');
  const time = dot.until === null || dot.until === undefined ? '' : `, ${left(dot.until, now)} left`;
  if (dot.state === 'waiting') parts.push('ready');
  if (dot.state === 'in_flight') parts.push(`in flight${dot.holder ? `, held by ${dot.holder}` : ''}${time}`);
  if (dot.state === 'behind') parts.push(first ? `waits behind #${first.seq}` : 'waits behind an earlier one');
  if (dot.state === 'delayed') parts.push(`delayed${time}`);
  if (dot.state === 'dead_letter') parts.push('a dead letter');
  if (dot.state === 'parked') parts.push('parked with its group');
  if (dot.receives > 0) parts.push(`received ${dot.receives === 1 ? 'once' : `${dot.receives} times`}`);
  parts.push(`sent ${span(now - dot.sent)} ago`, bytes(dot.bytes));
  return parts.join(', ');
}

/** Every kind of fact: a short word, and the shape it is drawn with. */
export const KINDS = {
  sent: { word: 'sent', mark: 'plus' },
  turned_away: { word: 'turned away, it was there already', mark: 'again' },
  delayed: { word: 'delayed', mark: 'clock' },
  elapsed: { word: 'delay over', mark: 'clock' },
  leased: { word: 'received', mark: 'bar' },
  extended: { word: 'lease changed', mark: 'bar' },
  returned: { word: 'given back', mark: 'back' },
  lapsed: { word: 'lease ran out, back in its place', whose: true, mark: 'back' },
  deleted: { word: 'deleted', mark: 'done' },
  committed: { word: 'committed', mark: 'done' },
  fenced: { word: 'late holder refused', mark: 'cross' },
  dead_lettered: { word: 'dead-lettered', mark: 'cross' },
  moved: { word: 'moved', mark: 'plus' },
  expired: { word: 'expired', mark: 'cross' },
  purged: { word: 'purged', mark: 'cross' },
  parked: { word: 'group parked', mark: 'pause' },
  unparked: { word: 'group goes on', mark: 'plus' },
};

/** One fact in a line; what it is about stands beside it. */
export function factSentence(fact) {
  const kind = KINDS[fact.kind];
  const word = kind?.word ?? fact.kind.replaceAll('_', ' ');
  const message = fact.seq === null || fact.seq === undefined ? '' : `#${fact.seq} `;
  const link = kind?.whose ? 'of ' : /^(to|from) /.test(fact.who) ? '' : 'by ';
  const who = fact.who ? ` ${link}${shortName(fact.who)}` : '';
  if (kind?.whose && who) return `${message}${word.replace('lease', `lease${who}`)}`;
  const same = fact.kind === 'turned_away' && fact.key ? ` (same deduplication id ${shortName(fact.key)})` : '';
  return `${message}${word}${who}${same}`;
}

/** The time of day with seconds, in the visitor's zone. */
export function clock(ms, fine = false) {
  const time = new Date(ms);
  const two = (n, digits = 2) => String(n).padStart(digits, '0');
  const seconds = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return fine ? `${seconds}.${two(time.getMilliseconds(), 3)}` : seconds;
}

/** What a broker that came back recovered, from `compared` of the model. */
export function recoverySentence(awayFor, restarted, found, facts, gap) {
  const back = restarted
    ? `The broker was started again and is back after ${span(awayFor)}.`
    : `The connection is back after ${span(awayFor)}.`;
  const what = found.same
    ? `All ${many(found.messages, 'message')} in ${many(found.groups, 'group')} are there, as before.`
    : `${many(found.messages, 'message')} in ${many(found.groups, 'group')} now, ${number(found.before)} before` +
      `${found.missing ? `; ${many(found.missing, 'message')} of this view left meanwhile` : ''}.`;
  const since = gap
    ? 'What happened in between is not remembered; the picture is whole.'
    : facts > 0
      ? `${many(facts, 'fact')} happened in between.`
      : 'Nothing happened in between.';
  return `${back} ${what} ${since}`;
}
