// Decodes image files and brings them to the shape of a model's input, as sdk/images.py does.

import { UserError } from "./errors.js";
import { upright, withoutOrientation } from "./orientation.js";
import { checkPixels, decodePng, isPng } from "./png.js";
import { fit, toMode } from "./pillow.js";

/** @typedef {import("./png.js").Picture} Picture */
/** @typedef {import("./inputs.js").InputSpec} InputSpec */

/** Most pixels along a side of the canvas that a picture is read with. */
const TILE = 2048;

/**
 * @param {Blob} file
 * @returns {Promise<Picture>}
 */
export async function decodeImage(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isPng(bytes)) return decodePng(bytes);
  const plain = withoutOrientation(bytes);
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([plain.bytes]), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    const name = file instanceof File ? file.name : "The file";
    throw new UserError(`${name} is not an image that this browser reads; use PNG or JPEG.`);
  }
  try {
    checkPixels(bitmap.width, bitmap.height);
    return upright(fromImageData(pixelsOf(bitmap)), plain.orientation);
  } finally {
    bitmap.close();
  }
}

/**
 * Read the pixels in tiles: a canvas as large as a photo stays blank, without an error, in some browsers.
 * @param {ImageBitmap} bitmap
 * @returns {{width: number, height: number, data: Uint8ClampedArray}}
 */
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const data = new Uint8ClampedArray(4 * width * height);
  const canvas = new OffscreenCanvas(Math.min(width, TILE), Math.min(height, TILE));
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      const [w, h] = [Math.min(TILE, width - left), Math.min(TILE, height - top)];
      context.clearRect(0, 0, TILE, TILE);
      context.drawImage(bitmap, -left, -top);
      const tile = context.getImageData(0, 0, w, h).data;
      for (let y = 0; y < h; y++) {
        data.set(tile.subarray(4 * y * w, 4 * (y + 1) * w), 4 * ((top + y) * width + left));
      }
    }
  }
  return { width, height, data };
}

/**
 * @param {{width: number, height: number, data: Uint8ClampedArray}} image RGBA
 * @returns {Picture}
 */
export function fromImageData({ width, height, data }) {
  const opaque = data.every((value, i) => i % 4 !== 3 || value === 255);
  if (!opaque) return { width, height, channels: 4, pixels: new Uint8Array(data) };
  return { width, height, channels: 3, pixels: new Uint8Array(data).filter((_, i) => i % 4 !== 3) };
}

/**
 * @param {Picture} picture
 * @param {InputSpec} spec
 * @returns {Uint8Array} raw values [C, H, W]
 */
export function toRaw(picture, spec) {
  const [channels, height, width] = spec.shape;
  const { pixels } = fit(toMode(picture, channels), height, width, spec.resize);
  const area = height * width;
  const raw = new Uint8Array(channels * area);
  for (let i = 0; i < raw.length; i++) raw[i] = pixels[(i % area) * channels + Math.floor(i / area)];
  return raw;
}
