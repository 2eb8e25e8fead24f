// gridnet in plain JavaScript: the embedding, the outer steps and the readout, from model.safetensors.
// The steps are the specification in zoo/kernels/gridnet/reference.py; gridnet-gpu.js computes them by WebGPU.

import { UserError } from "../core/errors.js";
import { product } from "../core/math.js";
import { floats } from "../core/safetensors.js";

/** @typedef {import("../core/safetensors.js").Tensor} Tensor */
/**
 * @typedef {object} StepParameters the parameters of all outer steps, as in the module
 * @property {number[]} grid [M, N, K]
 * @property {number} block
 * @property {number} innerSteps
 * @property {number} outerSteps
 * @property {string} activation
 * @property {boolean} gated
 * @property {boolean} normalize
 * @property {number} eps added to the standard deviation of a block
 * @property {boolean} outerResidual
 * @property {number} sets 1 if all steps share their parameters, else outerSteps
 * @property {Float32Array} weight [sets, 27, M, N, K], gated [sets, 27, 2, M, N, K]
 * @property {Float32Array} bias [sets, M, N, K], gated [sets, 2, M, N, K]
 * @property {Float32Array | null} scale residual scales [sets, M, N, K]; null when gated
 * @property {Float32Array} normWeight
 * @property {Float32Array} normBias
 * @property {number} normEps
 */

const NORM_EPS = 1e-5;

/** @type {Record<string, (x: number) => number>} */
const ACTIVATIONS = {
  silu: (x) => x / (1 + Math.exp(-x)),
  relu: (x) => Math.max(0, x),
  leaky_relu: (x) => (x > 0 ? x : 0.01 * x),
  tanh: Math.tanh,
};

export class Gridnet {
  /**
   * @param {Record<string, any>} model the section `model` of config.json
   * @param {number[]} input [C, H, W]
   * @param {Map<string, Tensor>} tensors
   */
  constructor(model, input, tensors) {
    this.steps = stepParameters(model, tensors);
    this.tensors = tensors;
    this.input = input;
    this.patch = model.patch ?? null;
    this.outputLayers = model.output_layers;
    this.start = floats(tensors, "grid_init").data;
  }

  /**
   * @param {Float32Array} image prepared, [C, H, W]
   * @returns {Float32Array} the grid before the first step, [M, N, K]
   */
  embed(image) {
    const grid = this.start.slice();
    const [, n, k] = this.steps.grid;
    const [channels, height, width] = this.patch ? this.patchShape() : this.input;
    const faces = this.patch ? this.patches(image) : image;
    const top = Math.floor((this.steps.grid[0] - height) / 2);
    const left = Math.floor((n - width) / 2);
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) grid[((top + y) * n + left + x) * k + c] = faces[(c * height + y) * width + x];
      }
    }
    return grid;
  }

  patchShape() {
    const { channels, size } = this.patch;
    return [channels, this.input[1] / size, this.input[2] / size];
  }

  /**
   * @param {Float32Array} image
   * @returns {Float32Array} the convolution's output, [channels, rows, columns]
   */
  patches(image) {
    const { size } = this.patch;
    const [channels, rows, columns] = this.patchShape();
    const [depth, height, width] = this.input;
    const weight = floats(this.tensors, "patch_embed.weight").data;
    const bias = floats(this.tensors, "patch_embed.bias").data;
    const faces = new Float32Array(channels * rows * columns);
    for (let i = 0; i < faces.length; i++) {
      const channel = Math.floor(i / (rows * columns));
      const [row, column] = [Math.floor(i / columns) % rows, i % columns];
      let sum = bias[channel];
      for (let c = 0; c < depth; c++) {
        for (let y = 0; y < size; y++) {
          for (let x = 0; x < size; x++) {
            sum +=
              weight[((channel * depth + c) * size + y) * size + x] *
              image[(c * height + row * size + y) * width + column * size + x];
          }
        }
      }
      faces[i] = sum;
    }
    return faces;
  }

  /**
   * @param {Float32Array} grid after the last step
   * @returns {number[]} logits
   */
  read(grid) {
    const depth = this.steps.grid[2];
    const taken = this.outputLayers;
    const faces = grid.filter((_, i) => i % depth >= depth - taken);
    const normed = layerNorm(
      faces,
      floats(this.tensors, "readout_norm.weight").data,
      floats(this.tensors, "readout_norm.bias").data,
      NORM_EPS,
    );
    const weight = floats(this.tensors, "readout.weight").data;
    return Array.from(floats(this.tensors, "readout.bias").data, (bias, row) => {
      let sum = bias;
      for (let i = 0; i < normed.length; i++) sum += weight[row * normed.length + i] * normed[i];
      return sum;
    });
  }
}

/**
 * @param {Record<string, any>} model
 * @param {Map<string, Tensor>} tensors
 * @returns {StepParameters}
 */
function stepParameters(model, tensors) {
  const weight = floats(tensors, "weight");
  const cells = product(model.grid);
  const sets = weight.shape[0];
  if (
    weight.data.length !== sets * 27 * (model.gated ? 2 : 1) * cells ||
    !Object.hasOwn(ACTIVATIONS, model.activation)
  ) {
    throw new UserError("The weights in model.safetensors do not fit the model's config.");
  }
  return {
    grid: model.grid,
    block: model.block,
    innerSteps: model.inner_steps,
    outerSteps: model.outer_steps,
    activation: model.activation,
    gated: model.gated,
    normalize: model.normalize,
    eps: model.eps,
    outerResidual: model.outer_residual,
    sets,
    weight: weight.data,
    bias: floats(tensors, "bias").data,
    scale: model.gated ? null : floats(tensors, "residual_scale").data,
    normWeight: floats(tensors, "norm.weight").data,
    normBias: floats(tensors, "norm.bias").data,
    normEps: NORM_EPS,
  };
}

/**
 * @param {Float32Array} values
 * @param {Float32Array} weight
 * @param {Float32Array} bias
 * @param {number} eps
 * @returns {Float32Array}
 */
export function layerNorm(values, weight, bias, eps) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const factor = 1 / Math.sqrt(variance + eps);
  return values.map((value, i) => (value - mean) * factor * weight[i] + bias[i]);
}

/**
 * Run outer steps `first` to `last` (exclusive) on one grid; return the grid after each.
 * @param {StepParameters} p
 * @param {Float32Array} grid [M, N, K]
 * @param {number} [first]
 * @param {number} [last]
 * @returns {Float32Array[]}
 */
export function evolve(p, grid, first = 0, last = p.outerSteps) {
  const states = [];
  let state = grid;
  for (let t = first; t < last; t++) {
    if (p.outerResidual) {
      const normed = layerNorm(state, p.normWeight, p.normBias, p.normEps);
      const moved = step(p, normed, t);
      state = state.map((value, i) => value + (moved[i] - normed[i]));
    } else {
      state = layerNorm(step(p, state, t), p.normWeight, p.normBias, p.normEps);
    }
    states.push(state);
  }
  return states;
}

/**
 * One outer step without its LayerNorm: `innerSteps` updates of every block, whose neighbours stay fixed meanwhile.
 * @param {StepParameters} p
 * @param {Float32Array} grid
 * @param {number} t
 * @returns {Float32Array}
 */
function step(p, grid, t) {
  const [M, N, K] = p.grid;
  const [side, cells] = [p.block + 2, M * N * K];
  const result = new Float32Array(cells);
  for (let z = 0; z < M; z += p.block) {
    for (let y = 0; y < N; y += p.block) {
      for (let x = 0; x < K; x += p.block) {
        let tile = cutTile(grid, p.grid, [z, y, x], side);
        for (let inner = 0; inner < p.innerSteps; inner++) tile = updateTile(p, tile, [z, y, x], t);
        for (let i = 0; i < p.block ** 3; i++) {
          const [a, b, c] = [Math.floor(i / p.block ** 2), Math.floor(i / p.block) % p.block, i % p.block];
          result[((z + a) * N + y + b) * K + x + c] = tile[((a + 1) * side + b + 1) * side + c + 1];
        }
      }
    }
  }
  return result;
}

/**
 * @param {Float32Array} grid
 * @param {number[]} shape
 * @param {number[]} corner
 * @param {number} side
 * @returns {Float32Array} a block with a shell of neighbours one cell thick, zero outside the grid
 */
function cutTile(grid, [M, N, K], [z, y, x], side) {
  const tile = new Float32Array(side ** 3);
  for (let i = 0; i < tile.length; i++) {
    const [a, b, c] = [z + Math.floor(i / side ** 2) - 1, y + (Math.floor(i / side) % side) - 1, x + (i % side) - 1];
    if (a >= 0 && a < M && b >= 0 && b < N && c >= 0 && c < K) tile[i] = grid[(a * N + b) * K + c];
  }
  return tile;
}

/**
 * @param {StepParameters} p
 * @param {Float32Array} tile
 * @param {number[]} corner
 * @param {number} t
 * @returns {Float32Array}
 */
function updateTile(p, tile, [z, y, x], t) {
  const [, N, K] = p.grid;
  const cells = product(p.grid);
  const [side, channels] = [p.block + 2, p.gated ? 2 : 1];
  const set = p.sets > 1 ? t : 0;
  const act = ACTIVATIONS[p.activation];
  const seen = p.normalize ? standardise(tile, p.eps) : tile;
  const result = tile.slice();
  for (let i = 0; i < p.block ** 3; i++) {
    const [a, b, c] = [Math.floor(i / p.block ** 2), Math.floor(i / p.block) % p.block, i % p.block];
    const cell = ((z + a) * N + y + b) * K + x + c;
    const own = ((a + 1) * side + b + 1) * side + c + 1;
    const sums = [0, 0];
    for (let channel = 0; channel < channels; channel++) {
      sums[channel] = p.bias[(set * channels + channel) * cells + cell];
      for (let offset = 0; offset < 27; offset++) {
        const place =
          ((a + Math.floor(offset / 9)) * side + b + (Math.floor(offset / 3) % 3)) * side + c + (offset % 3);
        sums[channel] += p.weight[((set * 27 + offset) * channels + channel) * cells + cell] * seen[place];
      }
    }
    if (p.scale) result[own] = tile[own] + p.scale[set * cells + cell] * act(sums[0]);
    else {
      const gate = 1 / (1 + Math.exp(-sums[1]));
      result[own] = gate * tile[own] + (1 - gate) * act(sums[0]);
    }
  }
  return result;
}

/**
 * @param {Float32Array} tile
 * @param {number} eps
 */
function standardise(tile, eps) {
  const mean = tile.reduce((sum, value) => sum + value, 0) / tile.length;
  const variance = tile.reduce((sum, value) => sum + (value - mean) ** 2, 0) / tile.length;
  return tile.map((value) => (value - mean) / (Math.sqrt(variance) + eps));
}
