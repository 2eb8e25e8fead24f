// Test samples that are stored in the site: a description in models.json, the numbers in one file.

import { UserError } from "./errors.js";
import { product } from "./math.js";

/** @typedef {import("./inputs.js").Raw} Raw */
/**
 * @typedef {object} SampleEntry
 * @property {string} file path below the site
 * @property {string} data the data set's name
 * @property {"uint8" | "float32"} dtype
 * @property {number[]} shape of one input
 * @property {number[]} labels class numbers of all samples; the test samples come first
 * @property {number} test number of test samples
 */
/** @typedef {{raws: Raw[], labels: number[], test: number, data: string}} Samples */

/**
 * @param {SampleEntry} entry
 * @returns {Promise<Samples>}
 */
export async function loadSamples(entry) {
  const response = await fetch(new URL(`../${entry.file}`, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new UserError("The test samples cannot be downloaded from this site; reload the page.");
  const buffer = await response.arrayBuffer().catch(() => new ArrayBuffer(0));
  const size = product(entry.shape);
  const bytes = size * entry.labels.length * (entry.dtype === "uint8" ? 1 : 4);
  if (buffer.byteLength !== bytes) {
    throw new UserError(
      `The download of the test samples broke off: found ${buffer.byteLength} bytes, expected ${bytes}; reload the page.`,
    );
  }
  const values = entry.dtype === "uint8" ? new Uint8Array(buffer) : new Float32Array(buffer);
  const raws = entry.labels.map((_, i) => values.slice(i * size, (i + 1) * size));
  return { raws, labels: entry.labels, test: entry.test, data: entry.data };
}
