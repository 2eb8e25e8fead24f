// The inside of a CellNet: its cores after every step, and the answer that it would give then.

import { UserError } from "../core/errors.js";
import { agree, argmax, percent, softmax } from "../core/math.js";
import { Cellnet } from "../networks/cellnet.js";
import { diverging, h, paint, slider } from "./dom.js";
import { DISAGREEMENT } from "./panels.js";

/** @typedef {import("./panels.js").Place} Place */
/** @typedef {import("./panels.js").Shown} Shown */

const STEPS = 12;
/** Steps that are computed; those after the model's own run without input. */

/** @param {Place} place */
export async function open(place) {
  const { config } = place.model;
  return new CellnetPanel(place, new Cellnet(config.model, config.input.shape, await place.model.weights()));
}

class CellnetPanel {
  /**
   * @param {Place} place
   * @param {Cellnet} net
   */
  constructor(place, net) {
    this.place = place;
    this.net = net;
    this.own = net.model.input_steps;
    this.steps = Math.max(STEPS, this.own);
    /** @type {import("../networks/cellnet.js").Moment[]} */
    this.moments = [];
    this.time = slider(
      "Step",
      { min: 1, max: this.steps, value: this.own, id: "step" },
      (t) => `${t}${t > this.own ? ", without input" : t === this.own ? ", the model's answer" : ""}`,
      () => this.draw(),
    );
    this.canvas = h("canvas", {
      role: "img",
      id: "cores",
      "aria-label": "The cores: a row per cell, a column per value",
    });
    this.canvas.style.width = "100%";
    this.canvas.style.minHeight = `${14 * net.sizes.length}px`;
    this.rows = h("tbody");
    const cells = (/** @type {number} */ count) => (count === 1 ? "cell" : `${count} cells`);
    const { in_cells, out_cells } = net.model;
    const kinds = `Input: the first ${cells(in_cells)}. Output: the last ${cells(out_cells)}.`;
    this.element = h(
      "section",
      { className: "card wide", "aria-labelledby": "cores-title" },
      h("h2", { id: "cores-title" }, "The cells' cores, step by step"),
      h(
        "p",
        { className: "soft small", id: "backend" },
        `${net.sizes.length} cells, ${net.edges.length} connections, computed in JavaScript. ${kinds}`,
      ),
      this.time.element,
      this.canvas,
      h(
        "div",
        { className: "scroll" },
        h(
          "table",
          {},
          h("caption", { className: "unseen" }, "The answer after each step"),
          h(
            "thead",
            {},
            h("tr", {}, ...["Step", "Input", "Answer", "Probability"].map((name) => h("th", { scope: "col" }, name))),
          ),
          this.rows,
        ),
      ),
    );
  }

  /** @param {Shown} shown */
  async update(shown) {
    /** @type {Shown | null} */
    this.shown = shown;
    this.moments = this.net.trace(shown.tensor, this.steps);
    this.draw();
    const own = softmax(this.moments[this.own - 1].logits);
    if (!agree(own, shown.answer.probabilities)) throw new UserError(DISAGREEMENT);
  }

  forget() {
    this.moments = [];
  }

  draw() {
    const now = this.time.value;
    const moment = this.moments[now - 1];
    if (!moment) return;
    const { labels } = this.place.model.config;
    const width = Math.max(...this.net.sizes);
    const all = moment.cores.flatMap((core) => Array.from(core));
    const scale = 2.5 * Math.sqrt(all.reduce((sum, value) => sum + value * value, 0) / all.length);
    paint(this.canvas, width, moment.cores.length, (i) =>
      diverging(moment.cores[Math.floor(i / width)][i % width] ?? 0, scale),
    );
    this.rows.replaceChildren(
      ...this.moments.map(({ logits }, i) => {
        const probabilities = softmax(logits);
        const best = argmax(probabilities);
        const cells = [String(i + 1), i < this.own ? "yes" : "no", labels[best], percent(probabilities[best])];
        return h("tr", { className: i + 1 === now ? "on" : "" }, ...cells.map((text) => h("td", {}, text)));
      }),
    );
    const { probabilities } = /** @type {Shown} */ (this.shown).answer;
    if (now === this.own) this.place.answer.show(probabilities, `Computed by WebAssembly; ${steps(now)}.`);
    else {
      const about = `After ${steps(now)}, computed in JavaScript; the model's own answer takes ${this.own}.`;
      this.place.answer.show(softmax(moment.logits), about);
    }
  }

  redraw() {
    this.draw();
  }
}

/** @param {number} count */
const steps = (count) => (count === 1 ? "1 step" : `${count} steps`);
