// The input spec of an artifact: from raw values to the network's tensor, with the arithmetic of the SDK.

import { UserError } from "./errors.js";
import { product } from "./math.js";
import { applyPolarity } from "./appearance.js";
import { parseColumns } from "./table.js";

/** @typedef {import("./table.js").Column} Column */
/**
 * @typedef {object} InputSpec
 * @property {"image" | "table"} kind
 * @property {number[]} shape [C, H, W] or [features]
 * @property {number[]} mean
 * @property {number[]} std
 * @property {number | null} resize shorter side in pixels before the crop; null: the smallest that covers [H, W]
 * @property {Column[] | null} columns
 * @property {string | null} polarity "light on dark", "dark on light", or null
 */
/** @typedef {Uint8Array | Float32Array} Raw one input: bytes 0..255, or floats in [0, 1] or of a table */

const POLARITIES = ["light on dark", "dark on light"];

/**
 * @param {any} data the section `input` of config.json
 * @param {any} provenance
 * @param {string} origin
 * @returns {InputSpec}
 */
export function parseInput(data, provenance, origin) {
  const fail = (/** @type {string} */ problem) => new UserError(`${origin}: config.json: input ${problem}.`);
  const numbers = (/** @type {unknown} */ list) => Array.isArray(list) && list.every((n) => Number.isFinite(n));
  if (typeof data !== "object" || data === null) throw fail("is missing");
  const { kind, shape, mean, std, resize = null } = data;
  const unknown = Object.keys(data).filter((key) => !["kind", "shape", "mean", "std", "resize"].includes(key));
  if (unknown.length) throw fail(`has the unknown key ${unknown[0]}`);
  if (kind !== "image" && kind !== "table") throw fail("kind must be 'image' or 'table'");
  const axes = kind === "image" ? 3 : 1;
  if (!numbers(shape) || shape.length !== axes || shape.some((/** @type {number} */ n) => n < 1 || n % 1)) {
    throw fail("shape does not fit its kind");
  }
  if (!numbers(mean) || mean.length !== shape[0]) throw fail("mean must have one number per channel or feature");
  if (!numbers(std) || std.length !== shape[0] || std.some((/** @type {number} */ s) => s <= 0)) {
    throw fail("std must have one positive number per channel or feature");
  }
  if (resize !== null && (kind !== "image" || !Number.isInteger(resize) || resize < Math.max(shape[1], shape[2]))) {
    throw fail("resize does not fit its shape");
  }
  const known = provenance?.data ?? {};
  const polarity = kind === "image" ? (known.appearance?.polarity ?? null) : null;
  return {
    kind,
    shape,
    mean,
    std,
    resize,
    columns: kind === "table" && known.columns ? parseColumns(known.columns, shape[0], origin) : null,
    polarity: POLARITIES.includes(polarity) ? polarity : null,
  };
}

/**
 * Return the network's input, float32, and whether the image was inverted because of its polarity.
 * @param {InputSpec} spec
 * @param {Raw} raw one input, channels first
 * @param {boolean} invert whether images of the opposite polarity are inverted
 * @returns {{tensor: Float32Array, inverted: boolean}}
 */
export function prepare(spec, raw, invert = true) {
  const size = product(spec.shape);
  if (raw.length !== size) throw new UserError(`Found ${raw.length} values, the model takes ${size}.`);
  if (!raw.every((value) => Number.isFinite(value))) throw new UserError("The model takes finite numbers only.");
  const adjusted = spec.kind === "image" && invert ? applyPolarity(raw, spec.shape, spec.polarity) : null;
  const values = adjusted ?? raw;
  const tensor = new Float32Array(size);
  const step = size / spec.shape[0];
  for (let i = 0; i < size; i++) {
    const channel = Math.floor(i / step);
    const scaled = values instanceof Uint8Array ? Math.fround(values[i] / 255) : values[i];
    const centred = Math.fround(scaled - Math.fround(spec.mean[channel]));
    tensor[i] = Math.fround(centred / Math.fround(spec.std[channel]));
  }
  return { tensor, inverted: adjusted !== null };
}
