// Small numerical helpers.

/**
 * @param {ArrayLike<number>} logits
 * @returns {number[]} probabilities, which sum to one
 */
export function softmax(logits) {
  const top = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (value) => Math.exp(value - top));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/**
 * @param {ArrayLike<number>} values
 * @returns {number} the position of the first largest value
 */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/**
 * @param {number[]} some probabilities
 * @param {number[]} others
 * @param {number} [gap]
 * @returns {boolean} whether two computations of one answer agree but for such a gap; false for NaN
 */
export const agree = (some, others, gap = 0.05) => some.every((value, i) => Math.abs(value - others[i]) <= gap);

/**
 * @param {number[]} shape
 * @returns {number}
 */
export const product = (shape) => shape.reduce((total, size) => total * size, 1);

/**
 * Round half to even, as Python's round and numpy's rint do.
 * @param {number} value
 * @returns {number}
 */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * A generator of numbers in [0, 1) that a seed determines (mulberry32).
 * @param {number} seed
 * @returns {() => number}
 */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * @param {number[]} values
 * @returns {number}
 */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {number} share in [0, 1]
 * @returns {string}
 */
export const percent = (share) => `${(100 * share).toFixed(share > 0.0995 && share < 0.9995 ? 1 : 2)} %`;
