// CellNet in plain JavaScript, from model.safetensors: the cores and logits after any number of steps.

import { UserError } from "../core/errors.js";
import { floats } from "../core/safetensors.js";

/** @typedef {import("../core/safetensors.js").Tensor} Tensor */
/** @typedef {{shape: number[], data: Float32Array}} Layer */
/** @typedef {{cores: Float32Array[], logits: number[]}} Moment the cores of all cells, and the logits, after a step */

export class Cellnet {
  /**
   * @param {Record<string, any>} model the section `model` of config.json
   * @param {number[]} input the shape of an input
   * @param {Map<string, Tensor>} tensors
   */
  constructor(model, input, tensors) {
    this.model = model;
    this.input = input;
    this.tensors = tensors;
    /** @type {number[]} */
    this.sizes = typeof model.core === "number" ? Array(model.cells).fill(model.core) : model.core;
    this.edges = edgesOf(model.topology, model.cells);
    this.connections = [0, 1, 2].map((i) => this.members(`connections.${i}`));
    this.readout = [0, 1].map((i) => this.members(`readout.${i}`));
    this.feed = this.members("input");
    if (this.connections[0].weight.shape[0] !== this.edges.length) {
      throw new UserError("The weights in model.safetensors do not fit the model's topology.");
    }
  }

  /** @param {string} name */
  members(name) {
    return { weight: floats(this.tensors, `${name}.weight`), bias: floats(this.tensors, `${name}.bias`) };
  }

  /**
   * @param {Float32Array} image prepared
   * @param {number} steps
   * @returns {Moment[]} one per step
   */
  trace(image, steps) {
    const features = this.stem(image);
    const fed = this.sizes.map((_, cell) => (cell < this.model.in_cells ? member(this.feed, cell, features) : null));
    /** @type {Float32Array[]} */
    let cores = this.sizes.map((size) => new Float32Array(size).fill(1));
    const moments = [];
    for (let step = 0; step < steps; step++) {
      cores = this.step(cores, step < this.model.input_steps ? fed : [], step === 0);
      moments.push({ cores, logits: this.read(cores) });
    }
    return moments;
  }

  /**
   * @param {Float32Array[]} cores
   * @param {(Float32Array | null)[]} fed
   * @param {boolean} first
   * @returns {Float32Array[]}
   */
  step(cores, fed, first) {
    const next = cores.map((core, cell) => core.map((value, i) => value + (fed[cell]?.[i] ?? 0)));
    this.edges.forEach(([source, target], edge) => {
      const sent = first ? new Float32Array(cores[source].length) : cores[source];
      const one = relu(member(this.connections[0], edge, sent));
      const two = relu(member(this.connections[1], edge, one));
      const moves = member(this.connections[2], edge, two);
      for (let i = 0; i < next[target].length; i++) next[target][i] += moves[i];
    });
    return next;
  }

  /**
   * @param {Float32Array[]} cores
   * @returns {number[]} logits, the mean over the OutCells
   */
  read(cores) {
    const outs = cores.slice(-this.model.out_cells);
    const each = outs.map((core, i) => member(this.readout[1], i, relu(member(this.readout[0], i, core))));
    return Array.from(each[0], (_, c) => each.reduce((sum, logits) => sum + logits[c], 0) / each.length);
  }

  /**
   * @param {Float32Array} image
   * @returns {Float32Array} the features that the InCells receive
   */
  stem(image) {
    const { stem } = this.model;
    if (!stem) return image;
    const { channels, convolutions = 1, padding = 0, pool = "each", batch_norm: normalised = false } = stem;
    let maps = { data: image, shape: this.input };
    let layer = normalised ? 1 : 0; // the module counts its other layers, too
    channels.forEach((/** @type {number} */ _, /** @type {number} */ stage) => {
      const depth = typeof convolutions === "number" ? convolutions : convolutions[stage];
      for (let number = 0; number < depth; number++) {
        maps = convolve(
          maps,
          floats(this.tensors, `stem.${layer}.weight`),
          this.tensors.get(`stem.${layer}.bias`)?.data ?? null,
          padding,
        );
        layer += 1;
        if (normalised) {
          maps = batchNorm(
            maps,
            ["weight", "bias", "running_mean", "running_var"].map(
              (part) => floats(this.tensors, `stem.${layer}.${part}`).data,
            ),
          );
          layer += 1;
        }
        if (number === depth - 1 && (pool === "each" || stage === channels.length - 1)) {
          maps = maxPool(maps);
          layer += 1;
        }
        maps = { ...maps, data: relu(maps.data) };
        layer += 1;
      }
    });
    return maps.data;
  }
}

/**
 * @param {any} topology
 * @param {number} cells
 * @returns {number[][]} [source, target] of every edge, ordered by target, then source
 */
export function edgesOf(topology, cells) {
  const found = new Set();
  const add = (/** @type {number} */ source, /** @type {number} */ target) => {
    if (source !== target) found.add(target * cells + source);
  };
  const all = Array.from({ length: cells }, (_, cell) => cell);
  if (topology.name === "full") all.forEach((target) => all.forEach((source) => add(source, target)));
  else if (topology.name === "ring") {
    for (const target of all) {
      for (let end = -topology.reach; end <= topology.reach; end++)
        add((((target + end) % cells) + cells) % cells, target);
    }
  } else if (topology.name === "clusters") addClusters(topology, cells, add);
  else if (topology.name === "explicit") topology.edges.forEach((/** @type {number[]} */ [from, to]) => add(from, to));
  else throw new UserError(`This page does not know the topology ${topology.name}.`);
  return [...found].sort((a, b) => a - b).map((edge) => [edge % cells, Math.floor(edge / cells)]);
}

/**
 * @param {{size: number, bridges: number}} topology
 * @param {number} cells
 * @param {(source: number, target: number) => void} add
 */
function addClusters({ size, bridges }, cells, add) {
  for (let start = 0; start < cells; start += size) {
    for (let a = 0; a < size; a++) for (let b = 0; b < size; b++) add(start + a, start + b);
    for (let other = 0; other < cells; other += size) {
      if (other === start) continue;
      for (let bridge = 0; bridge < bridges; bridge++) add(start + size - 1 - bridge, other + bridge);
    }
  }
}

/**
 * One of several linear layers; inputs beyond those given are zero.
 * @param {{weight: Layer, bias: Layer}} layers weight [members, out, in]
 * @param {number} number
 * @param {Float32Array} x
 * @returns {Float32Array}
 */
function member({ weight, bias }, number, x) {
  const [, outs, ins] = weight.shape;
  const result = bias.data.slice(number * outs, (number + 1) * outs);
  for (let o = 0; o < outs; o++) {
    const row = (number * outs + o) * ins;
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += weight.data[row + i] * x[i];
    result[o] += sum;
  }
  return result;
}

/** @param {Float32Array} x */
const relu = (x) => x.map((value) => Math.max(0, value));

/**
 * @param {{data: Float32Array, shape: number[]}} maps [C, H, W]
 * @param {Layer} weight [out, C, size, size]
 * @param {ArrayLike<number> | null} bias
 * @param {number} padding
 * @param {number} [stride]
 * @returns {{data: Float32Array<ArrayBuffer>, shape: number[]}}
 */
export function convolve({ data, shape: [channels, height, width] }, weight, bias, padding, stride = 1) {
  const [outs, , size] = weight.shape;
  const rows = Math.floor((height + 2 * padding - size) / stride) + 1;
  const columns = Math.floor((width + 2 * padding - size) / stride) + 1;
  const result = new Float32Array(outs * rows * columns);
  for (let o = 0; o < outs; o++) {
    const own = result.subarray(o * rows * columns, (o + 1) * rows * columns).fill(bias?.[o] ?? 0);
    for (let c = 0; c < channels; c++) {
      for (let k = 0; k < size * size; k++) {
        const factor = weight.data[(o * channels + c) * size * size + k];
        const [dy, dx] = [Math.floor(k / size) - padding, (k % size) - padding];
        for (let r = Math.max(0, Math.ceil(-dy / stride)); r < rows && r * stride + dy < height; r++) {
          const line = (c * height + r * stride + dy) * width;
          for (let q = Math.max(0, Math.ceil(-dx / stride)); q < columns && q * stride + dx < width; q++) {
            own[r * columns + q] += factor * data[line + q * stride + dx];
          }
        }
      }
    }
  }
  return { data: result, shape: [outs, rows, columns] };
}

/**
 * @param {{data: Float32Array, shape: number[]}} maps
 * @param {number} [side]
 * @returns {{data: Float32Array<ArrayBuffer>, shape: number[]}}
 */
export function maxPool({ data, shape: [channels, height, width] }, side = 2) {
  const [rows, columns] = [Math.floor(height / side), Math.floor(width / side)];
  const result = new Float32Array(channels * rows * columns).fill(-Infinity);
  for (let i = 0; i < result.length; i++) {
    const [c, r, q] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
    for (let k = 0; k < side * side; k++) {
      const place = (c * height + r * side + Math.floor(k / side)) * width + q * side + (k % side);
      result[i] = Math.max(result[i], data[place]);
    }
  }
  return { data: result, shape: [channels, rows, columns] };
}

/**
 * @param {{data: Float32Array, shape: number[]}} maps
 * @param {Float32Array[]} parts weight, bias, mean, variance
 */
function batchNorm({ data, shape }, [weight, bias, mean, variance]) {
  const area = shape[1] * shape[2];
  const changed = data.map((value, i) => {
    const c = Math.floor(i / area);
    return ((value - mean[c]) / Math.sqrt(variance[c] + 1e-5)) * weight[c] + bias[c];
  });
  return { data: changed, shape };
}
