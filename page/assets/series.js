// Makes rates of totals: a bounded row of samples, one a second. Pure: the caller says what time it is.

/** How many samples are kept: two minutes. */
export const KEPT = 120;

/** Samples of one queue: `at`, the totals, and the depths. */
export function makeSeries(kept = KEPT) {
  return { kept, samples: [] };
}

/** Adds what a queue says at `at`. A total that fell (the broker was started again) counts from 0. */
export function sample(series, at, queue) {
  const { sent, received, deleted, turned_away: again, messages, waiting, in_flight: flying } = queue;
  series.samples.push({ at, sent, received, deleted, again, messages, waiting, flying });
  if (series.samples.length > series.kept) series.samples.shift();
}

/** One value a second between neighbours: the rate of `key`. */
export function rates(series, key) {
  const { samples } = series;
  const found = [];
  for (let i = 1; i < samples.length; i += 1) {
    const grown = samples[i][key] - samples[i - 1][key];
    const seconds = Math.max(1, samples[i].at - samples[i - 1].at) / 1000;
    found.push((grown < 0 ? samples[i][key] : grown) / seconds);
  }
  return found;
}

/** The rate of `key` over the last `n` samples. */
export function rate(series, key, n = 5) {
  const last = rates(series, key).slice(-n);
  return last.length === 0 ? 0 : last.reduce((sum, value) => sum + value, 0) / last.length;
}

/** The values of `key`, as they were. */
export const values = (series, key) => series.samples.map((one) => one[key]);
