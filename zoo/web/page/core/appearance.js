// The polarity of images, and the inversion of those of the opposite polarity: the rule of sdk/appearance.py.

import { median, roundHalfEven } from "./math.js";

/** @typedef {import("./inputs.js").Raw} Raw */

const CONTRAST = 0.25;
const DOMINANCE = 2;

/**
 * Return the image inverted and with its background stretched to black or white, or null if it stays as it is.
 * @param {Raw} raw [C, H, W]
 * @param {number[]} shape
 * @param {string | null} polarity that of the model
 * @returns {Raw | null}
 */
export function applyPolarity(raw, shape, polarity) {
  if (!polarity) return null;
  const sign = polarity === "light on dark" ? 1 : -1;
  const grey = brightness(raw, shape);
  const ring = outermost(grey, shape[1], shape[2]);
  const away = ring.filter((value) => (sign > 0 ? value >= CONTRAST : value <= 1 - CONTRAST)).length;
  if (2 * away < ring.length || polarityOf(grey, shape) !== -sign) return null;
  return withBackground(negative(raw), shape, sign);
}

/**
 * @param {Float32Array} grey [H, W] in [0, 1]
 * @param {number[]} shape
 * @returns {number} 1 for light on dark, -1 for dark on light, 0 for neither
 */
export function polarityOf(grey, shape) {
  const border = median(outermost(grey, shape[1], shape[2]));
  const sorted = Float32Array.from(grey).sort();
  const below = border - percentile(sorted, 1);
  const above = percentile(sorted, 99) - border;
  if (above >= CONTRAST && above >= DOMINANCE * below) return 1;
  return below >= CONTRAST && below >= DOMINANCE * above ? -1 : 0;
}

/**
 * @param {Raw} raw
 * @param {number[]} shape
 * @returns {Float32Array} the mean of the channels [H, W], in [0, 1]
 */
export function brightness(raw, [channels, height, width]) {
  const area = height * width;
  const grey = new Float32Array(area);
  const scale = raw instanceof Uint8Array ? 255 : 1;
  for (let i = 0; i < area; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum = Math.fround(sum + raw[c * area + i]);
    grey[i] = Math.fround(Math.fround(sum / channels) / scale);
  }
  return grey;
}

/**
 * @param {Float32Array} grey
 * @param {number} height
 * @param {number} width
 * @returns {number[]} the outermost ring of pixels
 */
function outermost(grey, height, width) {
  const ring = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      // A side of one pixel counts twice, as the SDK concatenates the first and the last row, then two columns.
      const times = y === 0 || y === height - 1 ? (height === 1 ? 2 : 1) : x === 0 || x === width - 1 ? 1 : 0;
      for (let n = 0; n < times * (width === 1 && y > 0 && y < height - 1 ? 2 : 1); n++) ring.push(grey[y * width + x]);
    }
  }
  return ring;
}

/**
 * @param {Float32Array} sorted
 * @param {number} percent
 * @returns {number} interpolated linearly, as by numpy
 */
function percentile(sorted, percent) {
  const place = ((sorted.length - 1) * percent) / 100;
  const low = Math.floor(place);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (next - sorted[low]) * (place - low);
}

/**
 * @param {Raw} raw
 * @returns {Raw}
 */
function negative(raw) {
  return raw instanceof Uint8Array ? raw.map((value) => 255 - value) : raw.map((value) => 1 - value);
}

/**
 * Stretch an image so that its border becomes black (sign 1) or white (sign -1).
 * @param {Raw} raw
 * @param {number[]} shape
 * @param {number} sign
 * @returns {Raw}
 */
function withBackground(raw, shape, sign) {
  const scale = raw instanceof Uint8Array ? 255 : 1;
  const border = Math.fround(median(outermost(brightness(raw, shape), shape[1], shape[2])) * scale);
  return raw.map((value) => {
    const above =
      sign > 0 ? Math.fround(Math.fround(value - border) / Math.fround(scale - border)) : Math.fround(value / border);
    const stretched = Math.min(Math.max(Math.fround(above * scale), 0), scale);
    return scale === 255 ? roundHalfEven(stretched) : stretched;
  });
}
