// normnet in plain JavaScript, from model.safetensors, with any share of its weights pruned.

import { convolve, maxPool } from "./cellnet.js";
import { UserError } from "../core/errors.js";
import { floats } from "../core/safetensors.js";

/** @typedef {import("../core/safetensors.js").Tensor} Tensor */
/** @typedef {{shape: number[], data: Float32Array}} Strengths tan(W), or W in the controls */

/** @type {Record<string, (x: number) => number>} */
const ACTIVATIONS = { tanh: Math.tanh, sigmoid: (x) => 1 / (1 + Math.exp(-x)), relu: (x) => Math.max(0, x) };

export class Normnet {
  /**
   * @param {Record<string, any>} model the section `model` of config.json
   * @param {number[]} input
   * @param {Map<string, Tensor>} tensors
   */
  constructor(model, input, tensors) {
    if (model.view) throw new UserError(`The page does not show a normnet that sees inputs as ${model.view}.`);
    this.model = model;
    this.input = input;
    this.tensors = tensors;
    const named = (/** @type {string} */ kind, /** @type {number} */ count) =>
      Array.from({ length: count }, (_, i) => `${kind}.${i}`);
    this.names = [...named("convolutions", model.convolutions.length), ...named("layers", model.hidden.length + 1)];
    this.strengths = this.names.map((name) => this.strength(floats(tensors, `${name}.weight`)));
    this.pruned = this.strengths;
  }

  /** @param {Strengths} weight */
  strength({ shape, data }) {
    const { layer, clamp } = this.model;
    if (layer !== "norm") return { shape, data };
    const bound = clamp ?? Infinity;
    return { shape, data: data.map((w) => Math.tan(Math.min(Math.max(w, -bound), bound))) };
  }

  /**
   * Set the weakest weights of every layer to zero.
   * @param {number} share in [0, 1]
   * @returns {number} how many weights remain
   */
  prune(share) {
    this.pruned = this.strengths.map(({ shape, data }) => {
      const order = Array.from(data.keys()).sort((a, b) => Math.abs(data[a]) - Math.abs(data[b]));
      const kept = data.slice();
      for (const i of order.slice(0, Math.round(share * data.length))) kept[i] = 0;
      return { shape, data: kept };
    });
    return this.pruned.reduce((sum, { data }) => sum + data.filter((w) => w !== 0).length, 0);
  }

  /**
   * @param {Float32Array} image prepared
   * @returns {Float32Array} logits
   */
  run(image) {
    const { convolutions } = this.model;
    let maps = { data: /** @type {Float32Array<ArrayBuffer>} */ (image), shape: this.input };
    convolutions.forEach((/** @type {any} */ settings, /** @type {number} */ i) => {
      maps = convolve(maps, this.pruned[i], this.bias(i), settings.padding, settings.stride);
      maps.data = this.activate(maps.data, i, settings.scale);
      if (settings.pool > 1) maps = maxPool(maps, settings.pool);
    });
    let x = maps.data;
    for (let i = convolutions.length; i < this.names.length; i++) {
      const last = i === this.names.length - 1;
      x = this.linear(x, i, last, last ? this.model.scale : this.model.hidden_scale);
    }
    return x;
  }

  /** @param {number} i */
  bias(i) {
    return this.tensors.get(`${this.names[i]}.bias`)?.data ?? null;
  }

  /** @param {number} i */
  fanIn(i) {
    return this.strengths[i].data.length / this.strengths[i].shape[0];
  }

  /**
   * @param {Float32Array<ArrayBuffer>} x
   * @param {number} i
   * @param {boolean} last
   * @param {number} scale
   */
  linear(x, i, last, scale) {
    const {
      shape: [outs, ins],
      data,
    } = this.pruned[i];
    const residual = this.model.residual && !last && ins === outs;
    const bias = this.bias(i);
    const sums = new Float32Array(outs);
    for (let o = 0; o < outs; o++) {
      let sum = 0;
      for (let n = 0; n < ins; n++) sum += data[o * ins + n] * x[n];
      sums[o] = residual ? (0.1 * sum + 0.1 * x[o]) / 2 : sum + (bias?.[o] ?? 0);
    }
    return this.activate(sums, i, scale);
  }

  /**
   * @param {Float32Array<ArrayBuffer>} sums
   * @param {number} i
   * @param {number} scale
   */
  activate(sums, i, scale) {
    const divisor = this.model.layer === "plain" ? 1 : this.fanIn(i);
    const act = ACTIVATIONS[this.model.activation];
    return sums.map((sum) => scale * act(sum / divisor));
  }
}
