// gridnet by WebGPU: one compute pass per outer step, and nothing is read back before the last.

import { UserError } from "../core/errors.js";
import { product } from "../core/math.js";
import { RESIDUAL_SHADER, THREADS, normShader, stepShader } from "./gridnet-wgsl.js";

/** @typedef {import("./gridnet.js").StepParameters} StepParameters */

const SCRATCH = 4 * THREADS;

/**
 * Return the GPU, or a sentence that says why there is none.
 * @param {number} [buffer] bytes of the largest buffer that is needed
 * @returns {Promise<GPUDevice>}
 */
export async function openDevice(buffer = 0) {
  if (!globalThis.isSecureContext) throw new UserError("WebGPU needs https or localhost.");
  if (!navigator.gpu) throw new UserError("This browser has no WebGPU.");
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) throw new UserError("WebGPU found no graphics adapter.");
  if (buffer > adapter.limits.maxStorageBufferBindingSize || buffer > adapter.limits.maxBufferSize) {
    throw new UserError(`The model needs a buffer of ${(buffer / 2 ** 20).toFixed(0)} MiB, more than WebGPU gives.`);
  }
  try {
    return await adapter.requestDevice({
      requiredLimits: {
        maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
        maxBufferSize: adapter.limits.maxBufferSize,
        maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize,
      },
    });
  } catch (error) {
    throw new UserError(`WebGPU gives no device: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * Do some work on a device; raises UserError for an error of it, which WebGPU would otherwise pass over: what it
 * could not compute reads as zeros.
 * @template T
 * @param {GPUDevice} device
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function checked(device, work) {
  const filters = /** @type {GPUErrorFilter[]} */ (["validation", "out-of-memory", "internal"]);
  for (const filter of filters) device.pushErrorScope(filter);
  const working = work();
  working.catch(() => null); // whoever waits for it below sees why
  const errors = await Promise.all(filters.map(() => device.popErrorScope().catch(() => null)));
  const error = errors.find((one) => one);
  if (!error) return working;
  await working.catch(() => null);
  const reason = error.message.split("\n")[0].replace(/\.$/, "") || "it is out of memory";
  throw new UserError(`WebGPU refuses the kernels: ${reason}.`);
}

export class GridnetGpu {
  /**
   * @param {GPUDevice} device
   * @param {StepParameters} p
   */
  constructor(device, p) {
    this.device = device;
    this.parameters = p;
    this.cells = product(p.grid);
    this.weight = this.upload(p.weight);
    this.bias = this.upload(p.bias);
    this.scale = p.scale ? this.upload(p.scale) : null;
    this.normWeight = this.upload(p.normWeight);
    this.normBias = this.upload(p.normBias);
    this.sets = Array.from({ length: p.sets }, (_, set) => {
      const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
      device.queue.writeBuffer(buffer, 0, new Uint32Array([set, 0, 0, 0]));
      return buffer;
    });
    this.step = this.pipeline(stepShader(p));
    this.norm = this.pipeline(normShader(p));
    this.residual = p.outerResidual ? this.pipeline(RESIDUAL_SHADER) : null;
  }

  /**
   * Return an evolution on the GPU; raises UserError where the kernels cannot run.
   * @param {StepParameters} p
   * @returns {Promise<GridnetGpu>}
   */
  static async open(p) {
    const device = await openDevice(4 * p.weight.length);
    try {
      const shared = 4 * (p.block + 2) ** 3 + (p.normalize ? SCRATCH : 0);
      if (shared > device.limits.maxComputeWorkgroupStorageSize) {
        throw new UserError(`Blocks of ${p.block} cells a side are too large for WebGPU's workgroup memory.`);
      }
      const blocks = product(p.grid) / p.block ** 3;
      if (blocks > device.limits.maxComputeWorkgroupsPerDimension) {
        throw new UserError(`The grid has ${blocks} blocks, more than WebGPU computes in one pass.`);
      }
      return await checked(device, async () => new GridnetGpu(device, p));
    } catch (error) {
      device.destroy();
      throw error;
    }
  }

  /** @param {string} code */
  pipeline(code) {
    const module = this.device.createShaderModule({ code });
    return this.device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  }

  /** @param {Float32Array} values */
  upload(values) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    const buffer = this.device.createBuffer({ size: values.byteLength, usage });
    this.device.queue.writeBuffer(buffer, 0, /** @type {Float32Array<ArrayBuffer>} */ (values));
    return buffer;
  }

  /** @param {number} size bytes */
  state(size) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.device.createBuffer({ size, usage });
  }

  /**
   * Run outer steps `first` to `last` (exclusive) on `batch` grids; raises UserError where the adapter fails.
   * @param {Float32Array} grids [batch, M, N, K]
   * @param {{first?: number, last?: number, trace?: boolean}} [options] `trace`: return the grids after every step
   * @returns {Promise<Float32Array[]>} the grids after each step, or after the last alone
   */
  async evolve(grids, { first = 0, last = this.parameters.outerSteps, trace = false } = {}) {
    return checked(this.device, () => this.compute(grids, first, last, trace));
  }

  /**
   * @param {Float32Array} grids
   * @param {number} first
   * @param {number} last
   * @param {boolean} trace
   * @returns {Promise<Float32Array[]>}
   */
  async compute(grids, first, last, trace) {
    const { device } = this;
    const size = grids.byteLength;
    const batch = grids.length / this.cells;
    const state = this.state(size);
    const moved = this.state(size);
    const normed = this.state(size);
    const kept = trace ? last - first : 1;
    const read = device.createBuffer({ size: size * kept, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(state, 0, /** @type {Float32Array<ArrayBuffer>} */ (grids));
    const encoder = device.createCommandEncoder();
    for (let t = first; t < last; t++) {
      const pass = encoder.beginComputePass();
      if (this.residual) {
        this.encodeNorm(pass, state, normed, batch);
        this.encodeStep(pass, normed, moved, batch, t);
        this.encodeResidual(pass, moved, normed, state, grids.length);
      } else {
        this.encodeStep(pass, state, moved, batch, t);
        this.encodeNorm(pass, moved, state, batch);
      }
      pass.end();
      if (trace) encoder.copyBufferToBuffer(state, 0, read, (t - first) * size, size);
    }
    if (!trace) encoder.copyBufferToBuffer(state, 0, read, 0, size);
    device.queue.submit([encoder.finish()]);
    try {
      await read.mapAsync(GPUMapMode.READ);
      const values = new Float32Array(read.getMappedRange().slice(0));
      return Array.from({ length: kept }, (_, i) => values.slice(i * grids.length, (i + 1) * grids.length));
    } catch {
      throw new UserError("The graphics adapter was lost while it computed.");
    } finally {
      for (const buffer of [state, moved, normed, read]) buffer.destroy();
    }
  }

  /**
   * @param {GPUComputePassEncoder} pass
   * @param {GPUBuffer} before
   * @param {GPUBuffer} after
   * @param {number} batch
   * @param {number} t
   */
  encodeStep(pass, before, after, batch, t) {
    const p = this.parameters;
    const set = this.sets[p.sets > 1 ? t : 0];
    /** @type {[number, GPUBuffer][]} */
    const buffers = [
      [0, this.weight],
      [1, this.bias],
      [3, before],
      [4, after],
      [5, set],
    ];
    if (this.scale) buffers.push([2, this.scale]);
    this.encode(pass, this.step, buffers, product(p.grid.map((size) => size / p.block)), batch);
  }

  /**
   * @param {GPUComputePassEncoder} pass
   * @param {GPUBuffer} before
   * @param {GPUBuffer} after
   * @param {number} batch
   */
  encodeNorm(pass, before, after, batch) {
    this.encode(
      pass,
      this.norm,
      [
        [0, this.normWeight],
        [1, this.normBias],
        [2, before],
        [3, after],
      ],
      batch,
    );
  }

  /**
   * @param {GPUComputePassEncoder} pass
   * @param {GPUBuffer} moved
   * @param {GPUBuffer} normed
   * @param {GPUBuffer} state
   * @param {number} length
   */
  encodeResidual(pass, moved, normed, state, length) {
    const groups = Math.ceil(length / THREADS);
    const columns = Math.min(groups, 65535);
    const pipeline = /** @type {GPUComputePipeline} */ (this.residual);
    this.encode(
      pass,
      pipeline,
      [
        [0, moved],
        [1, normed],
        [2, state],
      ],
      columns,
      Math.ceil(groups / columns),
    );
  }

  /**
   * @param {GPUComputePassEncoder} pass
   * @param {GPUComputePipeline} pipeline
   * @param {[number, GPUBuffer][]} buffers by binding
   * @param {number} x workgroups
   * @param {number} [y]
   */
  encode(pass, pipeline, buffers, x, y = 1) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      this.device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: buffers.map(([binding, buffer]) => ({ binding, resource: { buffer } })),
      }),
    );
    pass.dispatchWorkgroups(x, y);
  }

  /** Free the memory on the GPU. */
  close() {
    this.device.destroy();
  }
}
