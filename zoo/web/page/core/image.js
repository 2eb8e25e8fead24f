// Decodes image files and brings them to the shape of a model's input, as sdk/images.py does.

import { UserError } from "./errors.js";
import { decodePng, isPlainPng } from "./png.js";
import { fit, toMode } from "./pillow.js";

/** @typedef {import("./png.js").Picture} Picture */
/** @typedef {import("./inputs.js").InputSpec} InputSpec */

/**
 * @param {Blob} file
 * @returns {Promise<Picture>}
 */
export async function decodeImage(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isPlainPng(bytes)) return decodePng(bytes);
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    const name = file instanceof File ? file.name : "The file";
    throw new UserError(`${name} is not an image that this browser reads; use PNG or JPEG.`);
  }
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  return fromImageData(context.getImageData(0, 0, bitmap.width, bitmap.height));
}

/**
 * @param {ImageData} data
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
