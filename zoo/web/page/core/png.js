// Decodes PNG files to the exact pixels that Pillow gives. A canvas would round colours under transparency.

import { UserError } from "./errors.js";
import { orientationOf, upright } from "./orientation.js";

/** @typedef {{width: number, height: number, channels: 1 | 3 | 4, pixels: Uint8Array}} Picture pixels [H, W, C] */
/**
 * @typedef {object} Header
 * @property {number} width
 * @property {number} height
 * @property {number} depth bits per sample
 * @property {number} colour the PNG colour type
 * @property {number} samples per pixel
 * @property {Uint8Array | null} palette
 * @property {Uint8Array | null} transparency
 */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
const PIXEL_LIMIT = 2 ** 27;

/**
 * @param {Uint8Array} bytes
 * @returns {boolean} whether the file is a PNG
 */
export const isPng = (bytes) => SIGNATURE.every((byte, i) => bytes[i] === byte);

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<Picture>} grey, RGB or RGBA, upright
 */
export async function decodePng(bytes) {
  const { header, interlaced, data, exif } = readChunks(bytes);
  const rows = await inflate(data);
  const { width, height, samples } = header;
  const count = width * height * samples;
  const values = header.depth === 16 ? new Uint16Array(count) : new Uint8Array(count);
  let offset = 0;
  for (const [x0, y0, dx, dy] of interlaced ? PASSES : [[0, 0, 1, 1]]) {
    const columns = Math.ceil((width - x0) / dx);
    const lines = Math.ceil((height - y0) / dy);
    if (columns <= 0 || lines <= 0) continue;
    const stride = Math.ceil((columns * samples * header.depth) / 8);
    if (offset + lines * (stride + 1) > rows.length) throw new UserError("The PNG file is cut short.");
    unfilter(rows, offset, lines, stride, Math.max(1, (samples * header.depth) >> 3));
    for (let line = 0; line < lines; line++) {
      const row = rows.subarray(offset + line * (stride + 1) + 1, offset + (line + 1) * (stride + 1));
      for (let i = 0; i < columns * samples; i++) {
        const pixel = (y0 + line * dy) * width + x0 + Math.floor(i / samples) * dx;
        values[pixel * samples + (i % samples)] = sample(row, i, header.depth);
      }
    }
    offset += lines * (stride + 1);
  }
  return upright(toPicture(header, values), exif ? orientationOf(exif) : 1);
}

/** @param {Uint8Array} bytes */
function* chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { type, body: bytes.subarray(at + 8, at + 8 + length) };
    at += 12 + length;
  }
}

/**
 * Raise UserError for an image that the SDK refuses because of its size.
 * @param {number} width
 * @param {number} height
 */
export function checkPixels(width, height) {
  if (width * height <= PIXEL_LIMIT) return;
  throw new UserError(`The image has more than ${PIXEL_LIMIT.toLocaleString("en")} pixels; make it smaller.`);
}

/** @param {Uint8Array} bytes */
function readChunks(bytes) {
  /** @type {Header | null} */
  let header = null;
  let interlaced = false;
  /** @type {Uint8Array | null} */
  let exif = null;
  /** @type {Uint8Array[]} */
  const data = [];
  for (const { type, body } of chunksOf(bytes)) {
    if (type === "IHDR" && body.length === 13) {
      const view = new DataView(body.buffer, body.byteOffset);
      const colour = /** @type {keyof typeof SAMPLES} */ (body[9]);
      header = {
        width: view.getUint32(0),
        height: view.getUint32(4),
        depth: body[8],
        colour,
        samples: SAMPLES[colour] ?? 0,
        palette: null,
        transparency: null,
      };
      interlaced = body[12] === 1;
    }
    if (header && type === "PLTE") header.palette = body;
    if (header && type === "tRNS") header.transparency = body;
    if (type === "IDAT") data.push(body);
    if (type === "eXIf") exif = body;
  }
  if (!header || !header.samples || !header.width || !header.height || ![1, 2, 4, 8, 16].includes(header.depth)) {
    throw new UserError("The PNG file is damaged: its header is not valid.");
  }
  checkPixels(header.width, header.height);
  if (header.colour === 3 && !header.palette) throw new UserError("The PNG file is damaged: it lacks its palette.");
  return { header, interlaced, data, exif };
}

/**
 * @param {Uint8Array[]} parts
 * @returns {Promise<Uint8Array>}
 */
async function inflate(parts) {
  const stream = new Blob(/** @type {BlobPart[]} */ (parts)).stream().pipeThrough(new DecompressionStream("deflate"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new UserError("The PNG file is damaged: its pixels cannot be decompressed.");
  }
}

/**
 * Undo the filters of all rows in place; every row starts with the number of its filter.
 * @param {Uint8Array} rows
 * @param {number} start
 * @param {number} lines
 * @param {number} stride bytes of a row
 * @param {number} bpp bytes from a sample to that on its left
 */
function unfilter(rows, start, lines, stride, bpp) {
  for (let line = 0; line < lines; line++) {
    const here = start + line * (stride + 1) + 1;
    const filter = rows[here - 1];
    for (let i = 0; i < stride; i++) {
      const left = i >= bpp ? rows[here + i - bpp] : 0;
      const up = line ? rows[here + i - stride - 1] : 0;
      const corner = line && i >= bpp ? rows[here + i - stride - 1 - bpp] : 0;
      if (filter === 1) rows[here + i] += left;
      else if (filter === 2) rows[here + i] += up;
      else if (filter === 3) rows[here + i] += (left + up) >> 1;
      else if (filter === 4) rows[here + i] += paeth(left, up, corner);
      else if (filter !== 0) throw new UserError("The PNG file is damaged: a row has an unknown filter.");
    }
  }
}

/**
 * @param {number} left
 * @param {number} up
 * @param {number} corner
 */
function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/**
 * @param {Uint8Array} row
 * @param {number} i
 * @param {number} depth
 */
function sample(row, i, depth) {
  if (depth === 8) return row[i];
  if (depth === 16) return (row[2 * i] << 8) | row[2 * i + 1];
  const bit = i * depth;
  return (row[bit >> 3] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
}

/**
 * @param {Header} header
 * @param {Uint8Array | Uint16Array} values
 * @returns {Picture}
 */
function toPicture({ width, height, depth, colour, samples, palette, transparency }, values) {
  const area = width * height;
  const alpha = colour === 4 || colour === 6 || transparency !== null;
  const channels = alpha ? 4 : colour === 0 ? 1 : 3;
  const pixels = new Uint8Array(area * channels);
  // Pillow keeps the high byte of 16-bit colours, but scales 16-bit grey without transparency.
  const eight = (/** @type {number} */ value) => {
    if (depth === 16) return channels === 1 ? Math.round(value / 257) : value >> 8;
    return depth === 8 || colour === 3 ? value : (value * 255) / ((1 << depth) - 1);
  };
  const clear =
    transparency && colour !== 3
      ? Array.from({ length: samples }, (_, c) => (transparency[2 * c] << 8) | transparency[2 * c + 1])
      : null;
  // Pillow compares grey of 2 or 4 bits with the transparent value after it has scaled the grey, but not the value.
  const compared = colour === 0 && (depth === 2 || depth === 4) ? eight : (/** @type {number} */ value) => value;
  for (let i = 0; i < area; i++) {
    const own = values.subarray(i * samples, (i + 1) * samples);
    let colours = colour === 0 || colour === 4 ? [own[0], own[0], own[0]] : [own[0], own[1], own[2]];
    let opacity = colour === 4 ? eight(own[1]) : colour === 6 ? eight(own[3]) : 255;
    if (palette) {
      colours = [palette[3 * own[0]], palette[3 * own[0] + 1], palette[3 * own[0] + 2]];
      opacity = transparency?.[own[0]] ?? 255;
    } else if (clear && clear.every((value, c) => value === compared(own[c]))) opacity = 0;
    for (let c = 0; c < Math.min(channels, 3); c++) pixels[i * channels + c] = eight(colours[c]);
    if (alpha) pixels[i * 4 + 3] = opacity;
  }
  return { width, height, channels, pixels };
}
