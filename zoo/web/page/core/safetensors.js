// Reads a safetensors file: an 8-byte length, a JSON header, and the raw numbers of every tensor.

import { UserError } from "./errors.js";
import { product } from "./math.js";

/** @typedef {{shape: number[], data: Float32Array | Int32Array}} Tensor */

/** Bytes of a number, by the types that are read. @type {Record<string, number>} */
const BYTES = { F16: 2, F32: 4, I32: 4 };
const HEADER_LIMIT = 16 * 2 ** 20;

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Map<string, Tensor>} float32 and int32 tensors by name, float16 as float32; others, such as counters, are left out
 */
export function readSafetensors(bytes) {
  const fail = (/** @type {string} */ problem) => new UserError(`model.safetensors is not readable: ${problem}.`);
  if (bytes.length < 8) throw fail("it is too short");
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > Math.min(HEADER_LIMIT, bytes.length - 8)) throw fail("its header is longer than the file");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw fail("its header is not JSON");
  }
  /** @type {Map<string, Tensor>} */
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const {
      dtype,
      shape,
      data_offsets: [start, end],
    } = /** @type {any} */ (entry);
    if (!(dtype in BYTES)) continue;
    if (end - start !== BYTES[dtype] * product(shape) || 8 + length + end > bytes.length) throw fail(`${name} is cut short`);
    const copy = bytes.slice(8 + length + start, 8 + length + end).buffer; // aligned to four bytes
    const data =
      dtype === "I32" ? new Int32Array(copy) : dtype === "F32" ? new Float32Array(copy) : widen(new Uint16Array(copy));
    tensors.set(name, { shape, data });
  }
  return tensors;
}

/**
 * @param {Uint16Array} halves the bits of float16 numbers
 * @returns {Float32Array} the same numbers; float32 holds each of them exactly
 */
function widen(halves) {
  return Float32Array.from(halves, (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
    return sign * (1024 + fraction) * 2 ** (exponent - 25);
  });
}

/**
 * @param {Map<string, Tensor>} tensors
 * @param {string} name
 * @returns {Tensor & {data: Float32Array}}
 */
export function floats(tensors, name) {
  const tensor = tensors.get(name);
  if (!(tensor?.data instanceof Float32Array)) throw new UserError(`model.safetensors has no tensor ${name}.`);
  return /** @type {Tensor & {data: Float32Array}} */ (tensor);
}
