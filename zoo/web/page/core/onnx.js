// Runs ONNX files by onnxruntime-web's WebAssembly, whose files are part of this site.

import { UserError } from "./errors.js";

/** @typedef {{data: Float32Array, shape: number[]}} Values */

const RUNTIME = new URL("../runtime/", import.meta.url);
const THREADS = 4;
/** @type {Promise<any> | null} */
let loading = null;

/** @returns {Promise<any>} the module onnxruntime-web */
function loadRuntime() {
  loading ??= import(new URL("ort.wasm.min.mjs", RUNTIME).href).then((ort) => {
    ort.env.wasm.wasmPaths = RUNTIME.href;
    ort.env.wasm.numThreads = threads();
    return ort;
  });
  return loading;
}

/** @returns {number} threads of WebAssembly: one, unless the host isolates the page from other origins */
export function threads() {
  return globalThis.crossOriginIsolated ? Math.min(THREADS, navigator.hardwareConcurrency || 1) : 1;
}

export class OnnxModel {
  /**
   * @param {any} ort
   * @param {any} session
   */
  constructor(ort, session) {
    this.ort = ort;
    this.session = session;
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  /**
   * @param {Uint8Array} bytes
   * @param {string} name the file, for people
   * @returns {Promise<OnnxModel>}
   */
  static async open(bytes, name) {
    let ort;
    try {
      ort = await loadRuntime();
    } catch (error) {
      loading = null;
      throw new UserError("The WebAssembly runtime cannot be loaded from this site; reload the page.");
    }
    try {
      return new OnnxModel(ort, await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }));
    } catch (error) {
      throw new UserError(`${name} cannot be opened: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @returns {string[]} */
  get outputs() {
    return [...this.session.outputNames];
  }

  /** @returns {string[]} */
  get inputs() {
    return [...this.session.inputNames];
  }

  /**
   * @param {Record<string, Values>} feeds
   * @param {string[]} [outputs] those to compute; all by default
   * @returns {Promise<Record<string, Values>>}
   */
  run(feeds, outputs) {
    const tensors = Object.fromEntries(
      Object.entries(feeds).map(([name, { data, shape }]) => [name, new this.ort.Tensor("float32", data, shape)]),
    );
    const computed = this.last.then(() => this.session.run(tensors, outputs ?? this.outputs)); // one run at a time
    this.last = computed.catch(() => undefined);
    return computed.then((/** @type {Record<string, any>} */ found) =>
      Object.fromEntries(
        Object.entries(found).map(([name, { data, dims }]) => [
          name,
          { data: Float32Array.from(data), shape: [...dims] },
        ]),
      ),
    );
  }

  /** Free the memory of the session. */
  async release() {
    await this.last;
    await this.session.release();
  }
}
