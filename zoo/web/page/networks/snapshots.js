// The snapshots of a growing network: their edges, from model.safetensors, and the cascade that asks them in turn.

import { UserError } from "../core/errors.js";
import { softmax } from "../core/math.js";
import { floats } from "../core/safetensors.js";

/** @typedef {import("../core/safetensors.js").Tensor} Tensor */
/** @typedef {{phase: string, epoch: number, edges: number, cost: number, weight: number,
 *   validation_accuracy: number}} Snapshot */
/**
 * @typedef {{probabilities: number[], snapshot: number, edges: number, asked: number[], sure: boolean}} Cascade `sure`:
 *   the answer passed the threshold, and did not merely come at the end
 */

const LEAST = 1e-6;
/** Weight of an unweighted snapshot in a mixture: its answer stands until a weighted snapshot runs. */

/**
 * @param {Record<string, any>} metrics
 * @returns {{snapshots: Snapshot[], threshold: number}}
 */
export function readMetrics({ snapshots, progressive_threshold: threshold }) {
  if (!Array.isArray(snapshots) || !snapshots.length || typeof threshold !== "number") {
    throw new UserError("config.json lists no snapshots in its metrics.");
  }
  return { snapshots, threshold };
}

/**
 * Ask the snapshots from coarse to fine until one is sure enough, as the SDK's mode "progressive" does.
 * @param {Snapshot[]} snapshots
 * @param {number} threshold
 * @param {boolean} mixes whether the answer is the mixture of all that ran
 * @param {number[][]} logits of every snapshot
 * @returns {Cascade}
 */
export function answerProgressively(snapshots, threshold, mixes, logits) {
  const last = new Map(snapshots.map(({ phase }, number) => [phase, number]));
  const chosen = new Set(
    [...last.values(), ...snapshots.keys()].filter(
      (number) => last.get(snapshots[number].phase) === number || (mixes && snapshots[number].weight > 0),
    ),
  );
  const asked = [];
  /** @type {number[]} */
  let answer = [];
  let [before, edges, snapshot] = [0, 0, 0];
  for (const number of [...chosen].sort((a, b) => a - b)) {
    const found = softmax(logits[number]);
    const weight = mixes ? Math.max(snapshots[number].weight, LEAST) : 1;
    answer = found.map((value, c) => (before * (answer[c] ?? 0) + weight * value) / (before + weight));
    before = mixes ? before + weight : 0;
    edges += snapshots[number].cost;
    snapshot = number;
    asked.push(number);
    if (Math.max(...answer) > threshold) break;
  }
  return { probabilities: answer, snapshot, edges, asked, sure: Math.max(...answer) > threshold };
}

export class Edges {
  /**
   * @param {Record<string, any>} model the section `model` of config.json
   * @param {number} inputs
   * @param {number} classes
   * @param {Map<string, Tensor>} tensors
   */
  constructor(model, inputs, classes, tensors) {
    this.tensors = tensors;
    this.widths = [inputs, ...model.hidden, classes];
    this.source = this.integers("source");
    this.target = this.integers("target");
    this.facts = this.integers("snapshots.facts");
  }

  /** @param {string} name */
  integers(name) {
    const tensor = this.tensors.get(name);
    if (!(tensor?.data instanceof Int32Array)) throw new UserError(`model.safetensors has no tensor ${name}.`);
    return tensor.data;
  }

  /**
   * @param {number} snapshot
   * @returns {{source: number, target: number, weight: number}[]} the edges that the snapshot has
   */
  of(snapshot) {
    const values = this.valuesOf(snapshot);
    const count = this.facts[3 * snapshot];
    return Array.from({ length: count }, (_, e) => ({
      source: this.source[e],
      target: this.target[e],
      weight: values[e],
    }));
  }

  /**
   * @param {number} snapshot
   * @returns {Float32Array} its weights, and biases behind them
   */
  valuesOf(snapshot) {
    if (this.tensors.has("snapshots.values")) {
      const { shape, data } = floats(this.tensors, "snapshots.values");
      return data.subarray(snapshot * shape[1], (snapshot + 1) * shape[1]);
    }
    // The older form, which sdk/snapshots_deltas.py describes: later snapshots by what differs from the first.
    const values = floats(this.tensors, "snapshots.base").data.slice();
    if (snapshot === 0) return values;
    const size = this.integers("snapshots.sizes")[snapshot - 1];
    const start = (snapshot - 1) * values.length;
    const value = floats(this.tensors, "snapshots.value").data;
    const index = this.integers("snapshots.index").subarray(start, start + size);
    index.forEach((place, i) => (values[place] = value[start + i]));
    return values;
  }

  /**
   * @param {number} unit
   * @returns {{layer: number, place: number}}
   */
  locate(unit) {
    let place = unit;
    for (const [layer, width] of this.widths.entries()) {
      if (place < width) return { layer, place };
      place -= width;
    }
    throw new UserError("model.safetensors has an edge to a unit that the model does not have.");
  }
}
