// Reads a safetensors file: an 8-byte length, a JSON header, and the raw numbers of every tensor.

import { UserError } from "./errors.js";
import { product } from "./math.js";

/** @typedef {{shape: number[], data: Float32Array | Int32Array}} Tensor */

const HEADER_LIMIT = 16 * 2 ** 20;

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Map<string, Tensor>} float32 and int32 tensors by name; others, such as counters, are left out
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
    if (dtype !== "F32" && dtype !== "I32") continue;
    if (end - start !== 4 * product(shape) || 8 + length + end > bytes.length) throw fail(`${name} is cut short`);
    const copy = bytes.slice(8 + length + start, 8 + length + end).buffer; // aligned to four bytes
    tensors.set(name, { shape, data: dtype === "F32" ? new Float32Array(copy) : new Int32Array(copy) });
  }
  return tensors;
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
