// The inside of a Meta-NCA model: the weights of the task network as the rule grows, loses and heals them.

import { UserError } from "../core/errors.js";
import { prepare } from "../core/inputs.js";
import { percent, softmax } from "../core/math.js";
import { OnnxModel } from "../core/onnx.js";
import { Rule, standardiser } from "../networks/nca.js";
import { brush, button, context, diverging, h, isDark, paint } from "./dom.js";

/** @typedef {import("./panels.js").Place} Place */
/** @typedef {import("./panels.js").Shown} Shown */

const CELL = 34;
/** Milliseconds per epoch. */
const FRAME = 140;
/** Size of the accuracy curve, and pixels of its canvas per unit. */
const CURVE = { width: 1000, height: 180, sharpness: 2 };

/** @param {Place} place */
export async function open(place) {
  const { config, artifact } = place.model;
  if (!artifact.lists("rule.onnx")) throw new UserError("The artifact has no rule.onnx.");
  const scaled = standardiser(await place.model.weights());
  const session = await OnnxModel.open(await artifact.file("rule.onnx"), "rule.onnx");
  const rule = new Rule(config.model, session, config.input.shape[0], config.labels.length);
  return new NcaPanel(place, rule, scaled);
}

class NcaPanel {
  /**
   * @param {Place} place
   * @param {Rule} rule
   * @param {(row: Float32Array) => Float32Array} scaled standardises a row
   */
  constructor(place, rule, scaled) {
    this.place = place;
    this.rule = rule;
    this.scaled = scaled;
    /** @type {Promise<void>} what is done to the weights, one after the other */
    this.last = Promise.resolve();
    this.epoch = 0;
    this.seed = 0;
    this.running = false;
    /** @type {Promise<void> | null} */
    this.growing = null;
    /** @type {{epoch: number, accuracy: number}[]} */
    this.history = [];
    this.readRows();
    this.layers = h("div", { className: "row" });
    this.score = h("p", { className: "answer", id: "accuracy", "aria-live": "polite" });
    this.about = h("p", { className: "soft small", id: "epoch" });
    this.curve = h("canvas", {
      className: "drawn",
      width: CURVE.width * CURVE.sharpness,
      height: CURVE.height * CURVE.sharpness,
      role: "img",
      "aria-label": "Accuracy after each epoch",
    });
    this.play = button("Grow", () => this.toggle(), { className: "main" });
    this.element = h(
      "section",
      { className: "card wide", "aria-labelledby": "rule-title" },
      h("h2", { id: "rule-title" }, "The rule grows the weights of a network"),
      h(
        "p",
        { className: "soft small", id: "backend" },
        "Every square is a weight. Each epoch, the rule changes most weights by what is near them; rule.onnx " +
          "computes it by WebAssembly. Click or draw on the weights to delete some, and let the rule heal them.",
      ),
      h(
        "div",
        { className: "buttons" },
        this.play,
        button("One epoch", () => this.step()),
        button("Delete half of the weights", () => this.inTurn(() => this.damageShare(0.5))),
        button("Delete 90 %", () => this.inTurn(() => this.damageShare(0.9))),
        button("Start over", () => this.inTurn(() => this.restart())),
      ),
      this.layers,
      this.score,
      this.about,
      this.curve,
    );
    this.restart(false);
  }

  /** Prepare the rows that the network is tested on, and those that it learns from. */
  readRows() {
    const { samples, model } = this.place;
    const rows = samples ? samples.raws.map((raw) => prepare(model.config.input, raw).tensor) : [];
    const test = samples?.test ?? 0;
    const scaled = rows.map((row) => this.scaled(row));
    this.support = { rows: scaled.slice(test), labels: samples?.labels.slice(test) ?? [] };
    this.test = { rows: scaled.slice(0, test), labels: samples?.labels.slice(0, test) ?? [] };
  }

  /**
   * Do something to the weights once what was begun before has ended: an epoch replaces them all when it ends.
   * @param {() => void | Promise<void>} work
   */
  inTurn(work) {
    this.last = this.last.then(() => this.place.guard(async () => work()));
    return this.last;
  }

  restart(next = true) {
    if (next) this.seed += 1;
    this.rule.begin(this.seed);
    this.epoch = 0;
    this.history = [];
    this.build();
    this.measure();
  }

  build() {
    this.canvases = this.rule.layers.map((layer, i) => this.canvas(layer, i));
    this.layers.replaceChildren(
      ...this.canvases.map((canvas, i) =>
        h("figure", { className: "faces" }, canvas, h("figcaption", {}, `layer ${i + 1}`)),
      ),
    );
    for (const figure of this.layers.children) /** @type {HTMLElement} */ (figure).style.margin = "0";
  }

  /**
   * @param {import("../networks/nca.js").Layer} layer
   * @param {number} number
   */
  canvas({ inputs, outputs }, number) {
    const canvas = h("canvas", {
      role: "img",
      "aria-label": `Weights of layer ${number + 1}, ${inputs} by ${outputs}`,
    });
    const size = `width: ${CELL * outputs}px; height: ${CELL * inputs}px`;
    canvas.style.cssText = `${size}; cursor: crosshair`;
    brush(canvas, ({ x, y }) => {
      const weight = Math.floor(y * inputs) * outputs + Math.floor(x * outputs);
      this.inTurn(() => {
        this.rule.damage(number, (i) => i === weight);
        this.measure();
      });
    });
    return canvas;
  }

  /** @param {number} share */
  damageShare(share) {
    this.rule.layers.forEach((_, layer) => this.rule.damage(layer, () => this.rule.random() < share));
    this.measure();
  }

  /** @returns {Promise<boolean>} false if the epoch failed, and the page says why */
  async step() {
    let done = false;
    await this.inTurn(async () => {
      await this.rule.epoch(this.support?.rows ?? [], this.support?.labels ?? []);
      this.epoch += 1;
      this.measure();
      done = true;
    });
    return done;
  }

  toggle() {
    this.running = !this.running;
    this.play.textContent = this.running ? "Pause" : "Grow";
    if (this.running && !this.growing) this.growing = this.grow();
  }

  /** Run epochs until the visitor pauses. */
  async grow() {
    this.score.setAttribute("aria-live", "off"); // seven announcements a second are none
    while (this.running && this.element.isConnected) {
      if (!(await this.step())) this.running = false;
      await new Promise((done) => setTimeout(done, FRAME));
    }
    this.growing = null;
    this.score.setAttribute("aria-live", "polite");
    this.play.textContent = "Grow";
  }

  measure() {
    const { rows, labels } = /** @type {{rows: Float32Array[], labels: number[]}} */ (this.test);
    const accuracy = rows.length ? this.rule.accuracy(rows, labels) : null;
    if (accuracy !== null) this.history.push({ epoch: this.epoch, accuracy });
    this.score.textContent = accuracy === null ? "" : `${percent(accuracy)} right`;
    const on =
      accuracy === null
        ? "The site has no rows to test it on."
        : `on ${rows.length} test rows of ${this.place.samples?.data}`;
    this.about.textContent =
      `After ${this.epoch} ${this.epoch === 1 ? "epoch" : "epochs"}, ${on}. The model's own network grew for ` +
      `${this.rule.model.epochs}.`;
    this.redraw();
    if (this.shown) this.answer(this.shown);
  }

  /** @param {Shown} shown */
  async update(shown) {
    /** @type {Shown | null} */
    this.shown = shown;
    this.answer(shown, true);
  }

  forget() {
    this.shown = null;
  }

  /**
   * @param {Shown} shown
   * @param {boolean} [stored] whether the network that the artifact stores answers
   */
  answer(shown, stored = this.epoch === 0) {
    if (stored) return this.place.answer.show(shown.answer.probabilities, "By the network that the artifact stores.");
    const sums = this.rule.forward(this.scaled(shown.tensor)).sums.at(-1);
    this.place.answer.show(softmax(/** @type {Float32Array} */ (sums)), "By the network that grows below.");
  }

  redraw() {
    const strongest = Math.max(...this.rule.layers.flatMap(({ weights }) => Array.from(weights, Math.abs)), 1e-3);
    this.rule.layers.forEach(({ inputs, outputs, weights }, i) => {
      const canvas = this.canvases?.[i];
      if (canvas) paint(canvas, outputs, inputs, (w) => diverging(weights[w], strongest));
    });
    this.drawCurve();
  }

  /** Draw the accuracy over the epochs, with lines at 0, 50 and 100 %. */
  drawCurve() {
    const { width, height, sharpness } = CURVE;
    const draw = context(this.curve);
    const epochs = Math.max(this.epoch, 20);
    const x = (/** @type {number} */ epoch) => 50 + (epoch / epochs) * (width - 66);
    const y = (/** @type {number} */ accuracy) => height - 28 - accuracy * (height - 42);
    draw.setTransform(sharpness, 0, 0, sharpness, 0, 0);
    draw.clearRect(0, 0, width, height);
    draw.font = "13px system-ui, sans-serif";
    draw.fillStyle = isDark() ? "#a3adb0" : "#566166";
    draw.strokeStyle = isDark() ? "#343c40" : "#d9d7cf";
    draw.textAlign = "right";
    for (const accuracy of [0, 0.5, 1]) {
      draw.strokeRect(x(0), y(accuracy), x(epochs) - x(0), 0);
      draw.fillText(`${100 * accuracy} %`, x(0) - 6, y(accuracy) + 4);
    }
    draw.fillText(`epoch ${epochs}`, x(epochs), height - 8);
    draw.textAlign = "left";
    draw.fillText("epoch 0", x(0), height - 8);
    draw.strokeStyle = isDark() ? "#5cc8c9" : "#0b6b74";
    draw.lineWidth = 2;
    draw.beginPath();
    for (const { epoch, accuracy } of this.history) draw.lineTo(x(epoch), y(accuracy));
    draw.stroke();
  }

  close() {
    this.running = false;
    this.rule.session.release();
  }
}
