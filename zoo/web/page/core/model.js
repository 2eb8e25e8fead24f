// A loaded model: raw inputs to logits and labels.

import { UserError } from "./errors.js";
import { argmax, softmax } from "./math.js";
import { OnnxModel } from "./onnx.js";
import { prepare } from "./inputs.js";
import { readSafetensors } from "./safetensors.js";

/** @typedef {import("./artifact.js").Artifact} Artifact */
/** @typedef {import("./inputs.js").Raw} Raw */
/** @typedef {import("./safetensors.js").Tensor} Tensor */
/** @typedef {{logits: number[], probabilities: number[], label: string, inverted: boolean}} Prediction */

export class Model {
  /** @param {Artifact} artifact */
  constructor(artifact) {
    this.artifact = artifact;
    this.config = artifact.config;
    /** @type {Promise<OnnxModel> | null} */
    this.session = null;
    /** @type {Promise<Map<string, Tensor>> | null} */
    this.tensors = null;
  }

  /** @returns {Promise<OnnxModel>} model.onnx, opened once */
  onnx() {
    this.session ??= this.artifact.file("model.onnx").then((bytes) => OnnxModel.open(bytes, "model.onnx"));
    this.session.catch(() => (this.session = null));
    return this.session;
  }

  /** @returns {Promise<Map<string, Tensor>>} the tensors of model.safetensors */
  weights() {
    this.tensors ??= this.artifact.file("model.safetensors").then(readSafetensors);
    this.tensors.catch(() => (this.tensors = null));
    return this.tensors;
  }

  /**
   * Return every output for prepared inputs, one row per input.
   * @param {Float32Array[]} tensors
   * @param {string[]} [outputs]
   * @returns {Promise<Record<string, number[][]>>}
   */
  async outputs(tensors, outputs = ["logits"]) {
    const session = await this.onnx();
    const { shape } = this.config.input;
    const size = tensors[0].length;
    const data = new Float32Array(size * tensors.length);
    tensors.forEach((tensor, i) => data.set(tensor, i * size));
    const found = await session.run({ input: { data, shape: [tensors.length, ...shape] } }, outputs);
    return Object.fromEntries(
      Object.entries(found).map(([name, values]) => {
        const width = values.shape[1];
        return [name, tensors.map((_, i) => Array.from(values.data.subarray(i * width, (i + 1) * width)))];
      }),
    );
  }

  /**
   * @param {Raw[]} raws
   * @param {boolean} [invert]
   * @returns {Promise<Prediction[]>}
   */
  async predict(raws, invert = true) {
    const prepared = raws.map((raw) => prepare(this.config.input, raw, invert));
    const { logits } = await this.outputs(prepared.map(({ tensor }) => tensor));
    return logits.map((row, i) => this.answer(row, prepared[i].inverted));
  }

  /**
   * @param {number[]} logits
   * @param {boolean} inverted
   * @returns {Prediction}
   */
  answer(logits, inverted = false) {
    if (logits.length !== this.config.labels.length) {
      const { name, labels } = this.config;
      throw new UserError(`${name} has ${labels.length} labels and ${logits.length} outputs; they do not fit.`);
    }
    if (!logits.every(Number.isFinite)) {
      throw new UserError(`${this.config.name} gives NaN or infinite logits for this input; its weights overflow.`);
    }
    return { logits, probabilities: softmax(logits), label: this.config.labels[argmax(logits)], inverted };
  }

  /** Free what the model holds. */
  async close() {
    const session = await this.session?.catch(() => null);
    await session?.release();
  }
}
