// The WGSL kernels of gridnet: one update of all blocks, and the LayerNorm over the grid.

/** @typedef {import("./gridnet.js").StepParameters} StepParameters */

export const THREADS = 256;

// Exponents are bounded, because WGSL does not define what infinity gives.
/** @type {Record<string, string>} */
const ACTIVATIONS = {
  silu: "x / (1.0 + exp(min(-x, 80.0)))",
  relu: "max(x, 0.0)",
  leaky_relu: "select(0.01 * x, x, x > 0.0)",
  tanh: "tanh(clamp(x, -20.0, 20.0))",
};

/**
 * A sum over a workgroup, which every thread receives. `scratch` holds one number per thread.
 */
const SUM = `
var<workgroup> scratch: array<f32, ${THREADS}>;

fn sum_of_all(own: f32, thread: u32) -> f32 {
  scratch[thread] = own;
  workgroupBarrier();
  for (var half = ${THREADS / 2}u; half > 0u; half >>= 1u) {
    if (thread < half) { scratch[thread] += scratch[thread + half]; }
    workgroupBarrier();
  }
  let total = scratch[0];
  workgroupBarrier();
  return total;
}
`;

/**
 * One workgroup updates one block of one sample, all inner steps in workgroup memory; its shell stays as it was.
 * @param {StepParameters} p
 * @returns {string}
 */
export function stepShader(p) {
  const [M, N, K] = p.grid;
  const side = p.block + 2;
  const tile = side ** 3;
  const core = p.block ** 3;
  const cells = M * N * K;
  const channels = p.gated ? 2 : 1;
  const own = Math.ceil(core / THREADS);
  const statistics = p.normalize
    ? `
    var part = 0.0;
    for (var i = thread; i < ${tile}u; i += ${THREADS}u) { part += tile[i]; }
    let mean = sum_of_all(part, thread) / ${tile}.0;
    part = 0.0;
    for (var i = thread; i < ${tile}u; i += ${THREADS}u) { part += (tile[i] - mean) * (tile[i] - mean); }
    let spread = sqrt(sum_of_all(part, thread) / ${tile}.0) + ${literal(p.eps)};`
    : "";
  const seen = p.normalize ? "(tile[place] - mean) / spread" : "tile[place]";
  const update = p.gated
    ? `let gate = 1.0 / (1.0 + exp(min(-sums[1], 80.0)));
       next[n] = gate * tile[middle] + (1.0 - gate) * activate(sums[0]);`
    : "next[n] = tile[middle] + scale[which * CELLS + cell] * activate(sums[0]);";
  return `
const CELLS = ${cells}u;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
${p.gated ? "" : "@group(0) @binding(2) var<storage, read> scale: array<f32>;"}
@group(0) @binding(3) var<storage, read> before: array<f32>;
@group(0) @binding(4) var<storage, read_write> after: array<f32>;
@group(0) @binding(5) var<uniform> set_number: vec4u;

var<workgroup> tile: array<f32, ${tile}>;
${p.normalize ? SUM : ""}

fn activate(x: f32) -> f32 { return ${ACTIVATIONS[p.activation]}; }

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let which = set_number.x;
  let blocks = vec3u(${M / p.block}u, ${N / p.block}u, ${K / p.block}u);
  let number = vec3u(group.x / (blocks.y * blocks.z), (group.x / blocks.z) % blocks.y, group.x % blocks.z);
  let corner = number * ${p.block}u;
  let sample = group.y * CELLS;
  for (var i = thread; i < ${tile}u; i += ${THREADS}u) {
    let at = vec3i(corner) + vec3i(vec3u(i / ${side * side}u, (i / ${side}u) % ${side}u, i % ${side}u)) - 1;
    let inside = all(at >= vec3i(0)) && all(at < vec3i(${M}, ${N}, ${K}));
    tile[i] = 0.0;
    if (inside) { tile[i] = before[sample + u32((at.x * ${N} + at.y) * ${K} + at.z)]; }
  }
  workgroupBarrier();
  for (var inner = 0u; inner < ${p.innerSteps}u; inner++) {${statistics}
    var next: array<f32, ${own}>;
    for (var n = 0u; n < ${own}u; n++) {
      let i = thread + n * ${THREADS}u;
      if (i >= ${core}u) { break; }
      let at = vec3u(i / ${p.block * p.block}u, (i / ${p.block}u) % ${p.block}u, i % ${p.block}u);
      let cell = ((corner.x + at.x) * ${N}u + corner.y + at.y) * ${K}u + corner.z + at.z;
      let middle = ((at.x + 1u) * ${side}u + at.y + 1u) * ${side}u + at.z + 1u;
      var sums: array<f32, ${channels}>;
      for (var c = 0u; c < ${channels}u; c++) { sums[c] = bias[(which * ${channels}u + c) * CELLS + cell]; }
      for (var offset = 0u; offset < 27u; offset++) {
        let place = ((at.x + offset / 9u) * ${side}u + at.y + (offset / 3u) % 3u) * ${side}u + at.z + offset % 3u;
        let value = ${seen};
        for (var c = 0u; c < ${channels}u; c++) {
          sums[c] += weight[((which * 27u + offset) * ${channels}u + c) * CELLS + cell] * value;
        }
      }
      ${update}
    }
    workgroupBarrier();
    for (var n = 0u; n < ${own}u; n++) {
      let i = thread + n * ${THREADS}u;
      if (i >= ${core}u) { break; }
      let at = vec3u(i / ${p.block * p.block}u, (i / ${p.block}u) % ${p.block}u, i % ${p.block}u) + 1u;
      tile[(at.x * ${side}u + at.y) * ${side}u + at.z] = next[n];
    }
    workgroupBarrier();
  }
  for (var i = thread; i < ${core}u; i += ${THREADS}u) {
    let at = vec3u(i / ${p.block * p.block}u, (i / ${p.block}u) % ${p.block}u, i % ${p.block}u);
    let cell = ((corner.x + at.x) * ${N}u + corner.y + at.y) * ${K}u + corner.z + at.z;
    after[sample + cell] = tile[((at.x + 1u) * ${side}u + at.y + 1u) * ${side}u + at.z + 1u];
  }
}
`;
}

/**
 * One workgroup normalises one sample over its whole grid.
 * @param {StepParameters} p
 * @returns {string}
 */
export function normShader(p) {
  const cells = p.grid[0] * p.grid[1] * p.grid[2];
  return `
const CELLS = ${cells}u;

@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> before: array<f32>;
@group(0) @binding(3) var<storage, read_write> after: array<f32>;
${SUM}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let sample = group.x * CELLS;
  var part = 0.0;
  for (var i = thread; i < CELLS; i += ${THREADS}u) { part += before[sample + i]; }
  let mean = sum_of_all(part, thread) / f32(CELLS);
  part = 0.0;
  for (var i = thread; i < CELLS; i += ${THREADS}u) {
    let gap = before[sample + i] - mean;
    part += gap * gap;
  }
  let factor = inverseSqrt(sum_of_all(part, thread) / f32(CELLS) + ${literal(p.normEps)});
  for (var i = thread; i < CELLS; i += ${THREADS}u) {
    after[sample + i] = (before[sample + i] - mean) * factor * weight[i] + bias[i];
  }
}
`;
}

/** Adds what a step changed to the state before it: `state + (moved - normed)`. */
export const RESIDUAL_SHADER = `
@group(0) @binding(0) var<storage, read> moved: array<f32>;
@group(0) @binding(1) var<storage, read> normed: array<f32>;
@group(0) @binding(2) var<storage, read_write> state: array<f32>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) at: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = at.x + at.y * groups.x * ${THREADS}u;
  if (i < arrayLength(&state)) { state[i] = state[i] + (moved[i] - normed[i]); }
}
`;

/** @param {number} value */
const literal = (value) => `f32(${value.toExponential()})`;
