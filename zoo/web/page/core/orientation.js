// The orientation that a picture's EXIF data asks for. Browsers turn JPEG files, but not all turn PNG and WebP.

/** @typedef {import("./png.js").Picture} Picture */

const TAG = 0x0112;
const SHORT = 3;
const LONG = 4;

/**
 * @param {Uint8Array} exif EXIF data, with or without the prefix "Exif"
 * @returns {number} 1 to 8, where 1 is upright and above 4 turned by 90 degrees
 */
export function orientationOf(exif) {
  const bytes = text(exif, 0, 4) === "Exif" ? exif.subarray(6) : exif;
  const little = text(bytes, 0, 2) === "II";
  if (bytes.length < 8 || !(little || text(bytes, 0, 2) === "MM")) return 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const start = view.getUint32(4, little);
  if (start + 2 > bytes.length) return 1;
  const count = view.getUint16(start, little);
  for (let at = start + 2; at + 12 <= bytes.length && at < start + 2 + 12 * count; at += 12) {
    if (view.getUint16(at, little) !== TAG) continue;
    const kind = view.getUint16(at + 2, little);
    const found = kind === SHORT ? view.getUint16(at + 8, little) : kind === LONG ? view.getUint32(at + 8, little) : 1;
    return found >= 1 && found <= 8 ? found : 1;
  }
  return 1;
}

/**
 * @param {Picture} picture
 * @param {number} orientation 1 to 8
 * @returns {Picture} upright
 */
export function upright(picture, orientation) {
  if (orientation === 1) return picture;
  const { width: w, height: h, channels } = picture;
  const turned = orientation > 4;
  const [width, height] = turned ? [h, w] : [w, h];
  const [mirrorColumns, mirrorRows] = [[2, 3, 7, 8].includes(orientation), [3, 4, 6, 7].includes(orientation)];
  const pixels = new Uint8Array(picture.pixels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = turned ? [y, x] : [x, y];
      const from = (mirrorRows ? h - 1 - row : row) * w + (mirrorColumns ? w - 1 - column : column);
      for (let c = 0; c < channels; c++) pixels[(y * width + x) * channels + c] = picture.pixels[from * channels + c];
    }
  }
  return { width, height, channels, pixels };
}

/**
 * Take the orientation out of a WebP file, so that every browser decodes the same pixels.
 * @param {Uint8Array<ArrayBuffer>} bytes of any file
 * @returns {{bytes: Uint8Array<ArrayBuffer>, orientation: number}}
 */
export function withoutOrientation(bytes) {
  if (text(bytes, 0, 4) !== "RIFF" || text(bytes, 8, 4) !== "WEBP") return { bytes, orientation: 1 };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true);
    if (text(bytes, at, 4) === "EXIF") {
      const plain = bytes.slice();
      plain.set([0x4e, 0x4f, 0x4e, 0x45], at); // a chunk of another name, which decoders pass over
      return { bytes: plain, orientation: orientationOf(bytes.subarray(at + 8, at + 8 + size)) };
    }
    at += 8 + size + (size & 1);
  }
  return { bytes, orientation: 1 };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} length
 */
const text = (bytes, start, length) => String.fromCharCode(...bytes.subarray(start, start + length));
