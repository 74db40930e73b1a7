// What the page costs, for those who measure it: `lockstep.figures` in the browser's console. Counts, no samples, so that a
// page may stay open for days.

export const figures = {
  /** Milliseconds from the page's begin to the first lanes; null before. */
  first: null,
  /** Updates drawn, milliseconds they took together and at worst, and the dots of the last one. */
  updates: 0,
  spent: 0,
  worst: 0,
  dots: 0,
  drawn(ms, dots) {
    figures.first ??= performance.now();
    figures.updates += 1;
    figures.spent += ms;
    figures.worst = Math.max(figures.worst, ms);
    figures.dots = dots;
  },
};
