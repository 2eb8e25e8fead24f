// The speed of every gridnet of the site: one evolution by WebGPU, beside one by WebAssembly.

import { readArtifact, siteSource } from "../core/artifact.js";
import { UserError } from "../core/errors.js";
import { median, product } from "../core/math.js";
import { Model } from "../core/model.js";
import { threads } from "../core/onnx.js";
import { GridnetGpu } from "../networks/gridnet-gpu.js";
import { Gridnet, evolve } from "../networks/gridnet.js";
import { button, h } from "./dom.js";

/** @typedef {import("../app.js").Entry} Entry */
/** @typedef {import("./model.js").Guard} Guard */

const RUNS = 21;
/** Milliseconds in which the browser compiles what it runs often. */
const WARM_UP = 1000;

/**
 * @param {Entry[]} models
 * @param {Guard} guard
 * @returns {Promise<HTMLElement>}
 */
export async function showBench(models, guard) {
  const grids = models.filter(({ family }) => family === "gridnet");
  const rows = h("tbody");
  const start = button(
    "Measure",
    () =>
      guard(async () => {
        start.disabled = true;
        rows.replaceChildren();
        try {
          for (const { name } of grids) rows.append(await measure(name));
        } finally {
          start.disabled = false;
        }
      }),
    { className: "main", disabled: !grids.length },
  );
  const heads = ["Model", "WebGPU", `WebAssembly, ${threads()} thread${threads() > 1 ? "s" : ""}`, "JavaScript"];
  return h(
    "section",
    { className: "card", "aria-labelledby": "bench-title" },
    h("h1", { id: "bench-title" }, "Speed of the gridnets"),
    h(
      "p",
      { className: "soft" },
      `Milliseconds for one image: the median of ${RUNS} runs after ${WARM_UP / 1000} s of warm-up. WebGPU and ` +
        "JavaScript compute the evolution and read the last grid back; WebAssembly computes the whole of model.onnx.",
    ),
    grids.length ? start : h("p", {}, "This site has no gridnet."),
    h(
      "div",
      { className: "scroll" },
      h(
        "table",
        { id: "bench", "aria-live": "polite" },
        h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
        rows,
      ),
    ),
  );
}

/**
 * @param {string} name
 * @returns {Promise<HTMLElement>} a row of the table
 */
async function measure(name) {
  const model = new Model(await readArtifact(siteSource(name), "this site"));
  const { config } = model;
  const net = new Gridnet(config.model, config.input.shape, await model.weights());
  const image = new Float32Array(product(config.input.shape));
  const grid = net.embed(image);
  const byGpu = await gpuTime(net, grid);
  await model.onnx();
  const byWasm = `${(await time(() => model.outputs([image]))).toFixed(2)} ms`;
  const byScript = `${(await time(async () => evolve(net.steps, grid))).toFixed(2)} ms`;
  await model.close();
  return h("tr", {}, ...[name, byGpu, byWasm, byScript].map((text) => h("td", {}, text)));
}

/**
 * @param {Gridnet} net
 * @param {Float32Array} grid
 * @returns {Promise<string>} the time, or why there is none
 */
async function gpuTime(net, grid) {
  let gpu;
  try {
    gpu = await GridnetGpu.open(net.steps);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
  const opened = gpu;
  const found = await time(() => opened.evolve(grid));
  opened.close();
  return `${found.toFixed(2)} ms`;
}

/**
 * @param {() => Promise<unknown>} work
 * @returns {Promise<number>} milliseconds
 */
async function time(work) {
  const begin = performance.now();
  do await work();
  while (performance.now() - begin < WARM_UP);
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return median(times);
}
