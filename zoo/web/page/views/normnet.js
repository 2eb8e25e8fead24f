// The inside of a normnet: the strengths of its weights, and a slider that prunes the weakest.

import { prepare } from "../core/inputs.js";
import { UserError } from "../core/errors.js";
import { agree, argmax, percent, softmax } from "../core/math.js";
import { Normnet } from "../networks/normnet.js";
import { context, h, isDark, slider } from "./dom.js";
import { DISAGREEMENT } from "./panels.js";

/** @typedef {import("./panels.js").Place} Place */
/** @typedef {import("./panels.js").Shown} Shown */

const BINS = 60;
const WIDTH = 300;
const HEIGHT = 120;
const SLICE = 12;
/** Milliseconds of computing between two frames of the page. */

/** @param {Place} place */
export async function open(place) {
  const { config } = place.model;
  return new NormnetPanel(place, new Normnet(config.model, config.input.shape, await place.model.weights()));
}

class NormnetPanel {
  /**
   * @param {Place} place
   * @param {Normnet} net
   */
  constructor(place, net) {
    this.place = place;
    this.net = net;
    const { samples, model } = place;
    this.rows = samples
      ? samples.raws.slice(0, samples.test).map((raw) => prepare(model.config.input, raw).tensor)
      : [];
    this.share = slider(
      "Prune the weakest weights of each layer",
      { min: 0, max: 99, value: 0, id: "prune" },
      (value) => `${value} %`,
      () => this.change(),
    );
    this.score = h("p", { className: "answer", id: "accuracy", "aria-live": "polite" });
    this.about = h("p", { className: "soft small" });
    this.plots = net.names.map((name) =>
      h("canvas", {
        width: WIDTH,
        height: HEIGHT,
        role: "img",
        "aria-label": `Histogram of the strengths of ${name}`,
      }),
    );
    this.run = 0;
    this.compared = false;
    const faces = h(
      "div",
      { className: "faces" },
      ...this.plots.map((plot, i) =>
        h(
          "figure",
          {},
          plot,
          h("figcaption", {}, `${net.names[i]}, ${net.strengths[i].data.length.toLocaleString("en")} weights`),
        ),
      ),
    );
    faces.style.setProperty("--face", "220px");
    this.element = h(
      "section",
      { className: "card wide", "aria-labelledby": "prune-title" },
      h("h2", { id: "prune-title" }, "How strong are the weights?"),
      h(
        "p",
        { className: "soft small", id: "backend" },
        `A weight enters a sum as ${net.model.layer === "norm" ? "tan(W)" : "W"}. JavaScript prunes it.`,
      ),
      this.share.element,
      this.score,
      this.about,
      faces,
    );
    this.change();
  }

  change() {
    const kept = this.net.prune(this.share.value / 100);
    const total = this.net.strengths.reduce((sum, { data }) => sum + data.length, 0);
    this.about.textContent =
      `${kept.toLocaleString("en")} of ${total.toLocaleString("en")} weights remain.` +
      (this.rows.length ? ` Measured on ${this.rows.length} test samples of ${this.place.samples?.data}.` : "");
    this.redraw();
    if (this.shown) this.answer(this.shown);
    this.measure(++this.run);
  }

  /**
   * Measure the accuracy in slices, so that the page stays responsive; a later change ends it.
   * @param {number} run
   */
  async measure(run) {
    const labels = this.place.samples?.labels ?? [];
    let right = 0;
    let pause = performance.now() + SLICE;
    for (const [i, row] of this.rows.entries()) {
      if (argmax(this.net.run(row)) === labels[i]) right += 1;
      if (performance.now() > pause) {
        await new Promise((done) => setTimeout(done));
        if (run !== this.run) return;
        pause = performance.now() + SLICE;
      }
    }
    this.score.textContent = this.rows.length ? `${percent(right / this.rows.length)} right` : "";
  }

  /** @param {Shown} shown */
  async update(shown) {
    /** @type {Shown | null} */
    this.shown = shown;
    this.answer(shown);
    if (this.compared || this.share.value > 0) return;
    this.compared = true; // once is enough: the network stays the same
    if (!agree(softmax(this.net.run(shown.tensor)), shown.answer.probabilities)) throw new UserError(DISAGREEMENT);
  }

  forget() {
    this.shown = null;
  }

  /** @param {Shown} shown */
  answer(shown) {
    if (this.share.value === 0) this.place.answer.show(shown.answer.probabilities, "Computed by WebAssembly.");
    else
      this.place.answer.show(
        softmax(this.net.run(shown.tensor)),
        `By the network without ${this.share.value} % of its weights.`,
      );
  }

  redraw() {
    this.plots.forEach((plot, i) => histogram(plot, this.net.strengths[i].data, this.net.pruned[i].data));
  }

  close() {
    this.run += 1;
  }
}

/**
 * Draw the absolute strengths of all weights, and among them those that remain.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} all
 * @param {Float32Array} kept
 */
function histogram(canvas, all, kept) {
  const sizes = Float32Array.from(all, Math.abs).sort();
  const limit = sizes[Math.floor(0.98 * (sizes.length - 1))] || 1;
  const count = (/** @type {Float32Array} */ values) => {
    const bins = new Float32Array(BINS);
    for (const value of values)
      if (value !== 0) bins[Math.min(BINS - 1, Math.floor((Math.abs(value) / limit) * BINS))] += 1;
    return bins;
  };
  const [whole, rest] = [count(all), count(kept)];
  const top = Math.max(...whole);
  const draw = context(canvas);
  draw.clearRect(0, 0, WIDTH, HEIGHT);
  const dark = isDark();
  for (const [bins, colour] of /** @type {[Float32Array, string][]} */ ([
    [whole, dark ? "#3d474c" : "#dcd9d0"],
    [rest, dark ? "#5cc8c9" : "#0b6b74"],
  ])) {
    draw.fillStyle = colour;
    bins.forEach((n, b) => {
      const tall = (n / top) * (HEIGHT - 4);
      draw.fillRect((b * WIDTH) / BINS, HEIGHT - tall, WIDTH / BINS - 1, tall);
    });
  }
}
