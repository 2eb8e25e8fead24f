// Speed of every gridnet of the site: one evolution by WebAssembly.

import { readArtifact, siteSource } from "../core/artifact.js";
import { product } from "../core/math.js";
import { Model } from "../core/model.js";
import { h } from "./dom.js";

/**
 * @param {import("../app.js").Entry[]} models
 * @param {import("./model.js").Guard} _guard
 * @returns {Promise<HTMLElement>}
 */
export async function showBench(models, _guard) {
  const rows = [];
  for (const { name } of models) {
    const model = new Model(await readArtifact(siteSource(name), "this site"));
    const tensor = new Float32Array(product(model.config.input.shape));
    await model.outputs([tensor]);
    const start = performance.now();
    for (let i = 0; i < 10; i++) await model.outputs([tensor]);
    rows.push(h("tr", {}, h("td", {}, name), h("td", {}, `${((performance.now() - start) / 10).toFixed(2)} ms`)));
    await model.close();
  }
  return h("section", { className: "card" }, h("h1", {}, "Speed"), h("table", {}, ...rows));
}
