// The arithmetic of Pillow on 8-bit images: compositing, grey, bilinear resampling and the centre crop of the SDK.

import { UserError } from "./errors.js";
import { roundHalfEven } from "./math.js";

/** @typedef {import("./png.js").Picture} Picture */

const RESIZE_LIMIT = 2 ** 16;
const RESIZED_LIMIT = 2 ** 24;
const PRECISION = 2 ** 22;

/**
 * Return an image without transparency, grey (1 channel) or RGB (3).
 * @param {Picture} picture
 * @param {number} channels
 * @returns {Picture}
 */
export function toMode(picture, channels) {
  if (channels !== 1 && channels !== 3) {
    throw new UserError(`Image files give 1 or 3 channels, the model takes ${channels}.`);
  }
  const flat = picture.channels === 4 ? composite(picture, isDark(picture) ? 255 : 0) : picture;
  if (flat.channels === channels) return flat;
  const area = flat.width * flat.height;
  const pixels = new Uint8Array(area * channels);
  for (let i = 0; i < area; i++) {
    if (channels === 1) pixels[i] = luma(flat.pixels, 3 * i);
    else pixels.fill(flat.pixels[i], 3 * i, 3 * i + 3);
  }
  return { ...flat, channels, pixels };
}

/**
 * @param {Uint8Array} pixels
 * @param {number} at
 */
const luma = (pixels, at) => (pixels[at] * 19595 + pixels[at + 1] * 38470 + pixels[at + 2] * 7471 + 0x8000) >> 16;

/**
 * @param {Picture} picture RGBA
 * @returns {boolean} whether it shows something, all of it darker than mid-grey
 */
function isDark(picture) {
  let brightest = 0;
  let darkest = 255;
  const [black, white] = [composite(picture, 0).pixels, composite(picture, 255).pixels];
  for (let i = 0; i < black.length; i += 3) {
    brightest = Math.max(brightest, luma(black, i));
    darkest = Math.min(darkest, luma(white, i));
  }
  return brightest < 128 && darkest < 255;
}

/**
 * @param {Picture} picture RGBA
 * @param {number} grey the background, 0..255
 * @returns {Picture} RGB
 */
function composite(picture, grey) {
  const area = picture.width * picture.height;
  const pixels = new Uint8Array(area * 3);
  for (let i = 0; i < area; i++) {
    const opacity = picture.pixels[4 * i + 3];
    for (let c = 0; c < 3; c++) {
      const sum = (picture.pixels[4 * i + c] * opacity + grey * (255 - opacity)) * 128 + (0x80 << 7);
      pixels[3 * i + c] = opacity ? (((sum >> 8) + sum) >> 8) >> 7 : grey;
    }
  }
  return { ...picture, channels: 3, pixels };
}

/**
 * Resize the shorter side to `shorter` (null: just cover height x width) and crop the centre.
 * @param {Picture} picture
 * @param {number} height
 * @param {number} width
 * @param {number | null} shorter
 * @returns {Picture}
 */
export function fit(picture, height, width, shorter) {
  const [w, h] = [picture.width, picture.height];
  let side = Math.min(w, h);
  if (shorter === null) {
    const byHeight = w * height >= h * width;
    shorter = byHeight ? height : width;
    side = byHeight ? h : w;
  } else if (shorter > RESIZE_LIMIT) {
    throw new UserError(`The model resizes images to ${shorter} pixels; allowed are at most ${RESIZE_LIMIT}.`);
  }
  const size = [Math.max(width, Math.floor((shorter * w) / side)), Math.max(height, Math.floor((shorter * h) / side))];
  const left = roundHalfEven((size[0] - width) / 2);
  const top = roundHalfEven((size[1] - height) / 2);
  if (size[0] * size[1] > Math.max(RESIZED_LIMIT, w * h)) {
    return resizePart(picture, size, [left, top, left + width, top + height]);
  }
  const resized = size[0] === w && size[1] === h ? picture : resize(picture, size, [0, 0, w, h]);
  return crop(resized, left, top, width, height);
}

/**
 * @param {Picture} picture
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @returns {Picture}
 */
function crop(picture, left, top, width, height) {
  const { channels } = picture;
  const pixels = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * picture.width + left) * channels;
    pixels.set(picture.pixels.subarray(start, start + width * channels), y * width * channels);
  }
  return { width, height, channels, pixels };
}

/**
 * Return the part `box` of the picture resized to `size`, computed from the pixels that it depends on.
 * @param {Picture} picture
 * @param {number[]} size
 * @param {number[]} box left, top, right, bottom in the resized picture
 * @returns {Picture}
 */
function resizePart(picture, size, box) {
  const whole = [picture.width, picture.height];
  const start = [0, 0];
  const stop = [0, 0];
  const source = [0, 0, 0, 0];
  for (const axis of [0, 1]) {
    const scale = whole[axis] / size[axis];
    const [low, high] = [box[axis] * scale, box[axis + 2] * scale];
    const reach = Math.max(1, scale) + 1;
    start[axis] = Math.max(0, Math.floor(low - reach));
    stop[axis] = Math.min(whole[axis], Math.ceil(high + reach));
    source[axis] = low - start[axis];
    source[axis + 2] = Math.min(high, stop[axis]) - start[axis];
  }
  const part = crop(picture, start[0], start[1], stop[0] - start[0], stop[1] - start[1]);
  return resize(part, [box[2] - box[0], box[3] - box[1]], source);
}

/**
 * Resample the part `box` of a picture by Pillow's bilinear filter: horizontally, then vertically, rounding each time.
 * @param {Picture} picture
 * @param {number[]} size width, height
 * @param {number[]} box left, top, right, bottom
 * @returns {Picture}
 */
function resize(picture, size, box) {
  let { pixels, width, height } = picture;
  const { channels } = picture;
  if (size[0] !== width || box[0] !== 0 || box[2] !== width) {
    pixels = resample(pixels, [height, width, channels], size[0], box[0], box[2]);
    width = size[0];
  }
  if (size[1] !== height || box[1] !== 0 || box[3] !== height) {
    pixels = resample(pixels, [1, height, width * channels], size[1], box[1], box[3]);
    height = size[1];
  }
  return { width, height, channels, pixels };
}

/**
 * Resample the middle axis.
 * @param {Uint8Array} pixels
 * @param {[number, number, number]} shape
 * @param {number} size
 * @param {number} low
 * @param {number} high
 * @returns {Uint8Array}
 */
function resample(pixels, [outer, length, inner], size, low, high) {
  const scale = Math.fround(high - low) / size;
  const stretch = Math.max(scale, 1);
  const result = new Uint8Array(outer * size * inner);
  for (let i = 0; i < size; i++) {
    const centre = low + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - stretch + 0.5));
    const last = Math.min(length, Math.trunc(centre + stretch + 0.5));
    const taps = Array.from({ length: last - first }, (_, k) => triangle((k + first - centre + 0.5) / stretch));
    const total = taps.reduce((sum, tap) => sum + tap, 0);
    const weights = taps.map((tap) => Math.trunc(0.5 + tap * (total ? 1 / total : 1) * PRECISION));
    for (let o = 0; o < outer; o++) {
      for (let c = 0; c < inner; c++) {
        let sum = PRECISION / 2;
        for (let k = 0; k < weights.length; k++) sum += pixels[(o * length + first + k) * inner + c] * weights[k];
        result[(o * size + i) * inner + c] = Math.min(255, Math.floor(sum / PRECISION));
      }
    }
  }
  return result;
}

/** @param {number} x */
const triangle = (x) => Math.max(0, 1 - Math.abs(x));
