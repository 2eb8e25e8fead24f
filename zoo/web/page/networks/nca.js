// Meta-NCA: grows a task network by the artifact's rule.onnx, which applies the rule to one layer for one epoch.

import { argmax, randomNumbers, softmax } from "../core/math.js";
import { UserError } from "../core/errors.js";
import { floats } from "../core/safetensors.js";

/** @typedef {import("../core/onnx.js").OnnxModel} OnnxModel */
/**
 * @typedef {object} Layer one layer of the task network
 * @property {number} inputs
 * @property {number} outputs
 * @property {Float32Array} weights [inputs, outputs]
 * @property {Float32Array} states [inputs, outputs, H]: position code, memory and feedback of every weight
 */

export class Rule {
  /**
   * @param {Record<string, any>} model the section `model` of config.json
   * @param {OnnxModel} session rule.onnx
   * @param {number} features
   * @param {number} classes
   */
  constructor(model, session, features, classes) {
    this.model = model;
    this.session = session;
    const between = Array(model.layers - 1).fill(model.hidden);
    this.units = [features + (model.bias ? 1 : 0), ...between, classes];
    const [layerBits, numberBits] = codeWidths(model, features, classes);
    this.layerBits = layerBits;
    this.numberBits = numberBits;
    this.random = randomNumbers(0);
    /** @type {Layer[]} */
    this.layers = [];
  }

  /**
   * Start over from the weights before the first epoch.
   * @param {number} seed
   */
  begin(seed) {
    this.random = randomNumbers(seed);
    this.layers = this.units.slice(0, -1).map((inputs, i) => {
      const outputs = this.units[i + 1];
      const weights = Float32Array.from({ length: inputs * outputs }, () => this.startWeight(inputs, outputs));
      const codes = Array.from(weights, (_, w) => this.freshState(i, w, inputs, outputs));
      return { inputs, outputs, weights, states: Float32Array.from(codes.flat()) };
    });
  }

  /**
   * @param {number} inputs
   * @param {number} outputs
   */
  startWeight(inputs, outputs) {
    return this.model.start === "zero" ? 0 : this.xavier(inputs, outputs);
  }

  /**
   * @param {number} inputs
   * @param {number} outputs
   */
  xavier(inputs, outputs) {
    return (this.random() * 2 - 1) * Math.sqrt(6 / (inputs + outputs));
  }

  /**
   * @param {number} layer
   * @param {number} index of the weight in its layer, row by row
   * @param {number} inputs
   * @param {number} outputs
   * @returns {number[]} the hidden state of a weight that has not evolved yet
   */
  freshState(layer, index, inputs, outputs) {
    const { positions, memory, senses } = this.model.rule;
    const codes = positions === "none" ? [] : bits(layer, this.layerBits);
    if (positions === "index") codes.push(...bits(index, this.numberBits));
    if (positions === "units") {
      codes.push(...bits(Math.floor(index / outputs), this.numberBits), ...bits(index % outputs, this.numberBits));
    }
    const feedback = senses === "teaching" ? [this.xavier(inputs, outputs)] : [];
    return [...codes, ...Array(memory).fill(0), ...feedback];
  }

  /**
   * Set weights to zero and their hidden states to those at the start.
   * @param {number} layer
   * @param {(index: number) => boolean} chosen
   * @returns {number} how many weights were deleted
   */
  damage(layer, chosen) {
    const { inputs, outputs, weights, states } = this.layers[layer];
    const width = states.length / weights.length;
    let count = 0;
    for (let i = 0; i < weights.length; i++) {
      if (!chosen(i)) continue;
      weights[i] = 0;
      states.set(this.freshState(layer, i, inputs, outputs), i * width);
      count += 1;
    }
    return count;
  }

  /**
   * Run one epoch: each weight changes with the probability `fraction`.
   * @param {Float32Array[]} examples inputs of the task network, for a rule that senses
   * @param {number[]} targets their classes
   */
  async epoch(examples, targets) {
    const signals = this.model.rule.senses === "none" ? [] : this.sense(examples, targets);
    const next = [];
    for (const [i, { inputs, outputs, weights, states }] of this.layers.entries()) {
      const mask = Float32Array.from(weights, () => (this.random() < this.model.fraction ? 1 : 0));
      const plane = [inputs, outputs];
      const found = await this.session.run({
        weights: { data: weights, shape: plane },
        states: { data: states, shape: [...plane, states.length / weights.length] },
        mask: { data: mask, shape: plane },
        ...signals[i],
      });
      next.push({ inputs, outputs, weights: found.new_weights.data, states: found.new_states.data });
    }
    this.layers = next;
  }

  /**
   * @param {Float32Array} x input of the task network, without the bias
   * @returns {{inputs: Float32Array[], sums: Float32Array[]}} of every layer
   */
  forward(x) {
    let values = this.model.bias ? Float32Array.from([...x, 1]) : x;
    const [inputs, sums] = [/** @type {Float32Array[]} */ ([]), /** @type {Float32Array[]} */ ([])];
    for (const layer of this.layers) {
      const sum = new Float32Array(layer.outputs);
      for (let i = 0; i < layer.inputs; i++) {
        for (let o = 0; o < layer.outputs; o++) sum[o] += values[i] * layer.weights[i * layer.outputs + o];
      }
      inputs.push(values);
      sums.push(sum);
      values = sum.map((value) => Math.max(0, value));
    }
    return { inputs, sums };
  }

  /**
   * @param {Float32Array[]} examples
   * @param {number[]} targets
   * @returns {number} the share of examples that the network classifies as their targets say
   */
  accuracy(examples, targets) {
    const right = examples.filter(
      (x, i) => argmax(/** @type {Float32Array} */ (this.forward(x).sums.at(-1))) === targets[i],
    );
    return right.length / examples.length;
  }

  /**
   * Return the inputs of rule.onnx that come from the data, per layer.
   * @param {Float32Array[]} examples
   * @param {number[]} targets
   * @returns {Record<string, import("../core/onnx.js").Values>[]}
   */
  sense(examples, targets) {
    if (!examples.length) throw new UserError("This rule learns from examples, and the site has none for it.");
    const last = this.layers.length - 1;
    const passes = examples.map((x, e) => {
      const { inputs, sums } = this.forward(x);
      const outputs = softmax(sums[last]);
      if (this.model.rule.senses === "sums") {
        return { inputs: [inputs[0], ...sums.slice(0, -1)], after: sums, errors: [] };
      }
      const after = sums.map((sum, i) => (i === last ? outputs : Array.from(sum, (value) => Math.max(0, value))));
      return { inputs, after, errors: this.errors(sums, outputs, targets[e]) };
    });
    return this.layers.map(({ inputs, outputs }, i) => {
      const stack = (/** @type {ArrayLike<number>[]} */ rows, /** @type {number} */ width) => ({
        data: Float32Array.from(rows.flatMap((row) => Array.from(row))),
        shape: [rows.length, width],
      });
      const found = {
        before: stack(
          passes.map((pass) => pass.inputs[i]),
          inputs,
        ),
        after: stack(
          passes.map((pass) => pass.after[i]),
          outputs,
        ),
      };
      if (this.model.rule.senses !== "teaching") return found;
      return {
        ...found,
        errors: stack(
          passes.map((pass) => pass.errors[i]),
          outputs,
        ),
      };
    });
  }

  /**
   * Return the teaching signals of every layer: target minus output at the end, and before it what the feedback of
   * the connections carries back.
   * @param {Float32Array[]} sums
   * @param {number[]} outputs
   * @param {number} target
   * @returns {number[][]}
   */
  errors(sums, outputs, target) {
    const errors = [outputs.map((value, o) => (o === target ? 1 : 0) - value)];
    for (let i = sums.length - 2; i >= 0; i--) {
      const { outputs: width, states, weights } = this.layers[i + 1];
      const channels = states.length / weights.length;
      const ahead = errors[0];
      errors.unshift(
        Array.from(sums[i], (sum, unit) => {
          if (sum <= 0) return 0;
          return ahead.reduce((total, error, o) => total + error * states[(unit * width + o + 1) * channels - 1], 0);
        }),
      );
    }
    return errors;
  }
}

/**
 * @param {Record<string, any>} model
 * @param {number} features
 * @param {number} classes
 * @returns {number[]} bits of a layer's number, and of a weight's or unit's
 */
function codeWidths(model, features, classes) {
  const layers = Math.max(model.layers, ...model.meta.layers);
  const hidden = layers > 1 ? Math.max(model.hidden, ...model.meta.hidden) : 0;
  const units = [features + (model.bias ? 1 : 0), ...Array(layers - 1).fill(hidden), classes];
  const sizes = model.rule.positions === "index" ? units.slice(0, -1).map((n, i) => n * units[i + 1]) : units;
  const length = (/** @type {number} */ n) => (n > 0 ? Math.floor(Math.log2(n)) + 1 : 0);
  return [length(layers - 1), length(Math.max(...sizes) - 1)];
}

/**
 * @param {number} value
 * @param {number} count
 * @returns {number[]} the lowest bit first
 */
const bits = (value, count) => Array.from({ length: count }, (_, i) => (value >> i) & 1);

/**
 * @param {Map<string, import("../core/safetensors.js").Tensor>} tensors model.safetensors
 * @returns {(row: Float32Array) => Float32Array} standardises a row as the task network that the model stores does
 */
export function standardiser(tensors) {
  const [shift, scale] = ["shift", "scale"].map((name) => floats(tensors, name).data);
  return (row) => row.map((value, i) => (value - shift[i]) / scale[i]);
}
