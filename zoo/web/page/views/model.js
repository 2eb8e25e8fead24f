// The view of one model: its input on the left, its answer on the right, and the inside of its family below.

import { decodeImage, toRaw } from "../core/image.js";
import { prepare } from "../core/inputs.js";
import { percent } from "../core/math.js";
import { encodeRow, parseNumber } from "../core/table.js";
import { AnswerCard } from "./answer.js";
import { button, h, paintRaw } from "./dom.js";
import { openPanel } from "./panels.js";
import { Pad } from "./pad.js";

/** @typedef {import("../core/model.js").Model} Model */
/** @typedef {import("../core/samples.js").Samples} Samples */
/** @typedef {import("../core/inputs.js").Raw} Raw */
/** @typedef {import("./panels.js").Panel} Panel */
/** @typedef {(work: () => Promise<void>) => Promise<void>} Guard */

export class ModelView {
  /**
   * @param {Model} model
   * @param {Samples | null} samples
   * @param {Guard} guard
   */
  constructor(model, samples, guard) {
    this.model = model;
    this.samples = samples;
    this.guard = guard;
    /** @type {Panel | null} */
    this.panel = null;
    /** @type {(() => Raw) | null} */
    this.waiting = null;
    this.busy = false;
    this.invert = true;
    this.answer = new AnswerCard(model.config.labels);
    this.element = h("div", { className: "grid" }, this.title(), this.inputCard(), this.answer.element);
  }

  /** Show a first answer, then the panel of the family. */
  async start() {
    if (this.samples?.raws.length) this.choose(0);
    await this.settled();
    const panel = await openPanel(this.model, this.samples, this.answer, this.guard);
    if (!panel) return;
    this.panel = panel;
    this.element.append(panel.element);
    if (!this.current) return;
    this.waiting = this.current; // the panel shows it, too
    await this.work();
  }

  async close() {
    this.waiting = null;
    await this.settled();
    this.panel?.close?.();
    await this.model.close();
  }

  redraw() {
    this.panel?.redraw?.();
  }

  /** Wait until no answer is being computed. */
  async settled() {
    while (this.busy) await new Promise((done) => setTimeout(done, 5));
  }

  title() {
    const { name, family, parameters, metrics } = this.model.config;
    const accuracy = metrics.test_accuracy ?? metrics.test?.accuracy;
    const measured = typeof accuracy === "number" ? `, ${percent(accuracy)} of its test set right` : "";
    const about = `${family}, ${parameters.toLocaleString("en")} parameters${measured}`;
    return h("div", { className: "wide" }, h("h1", {}, name), h("p", { className: "soft" }, about));
  }

  inputCard() {
    const card = h(
      "section",
      { className: "card", "aria-labelledby": "input-title" },
      h("h2", { id: "input-title" }, "Input"),
    );
    const { input } = this.model.config;
    if (input.kind === "image") card.append(...this.imageInputs());
    else card.append(...this.tableInputs());
    return card;
  }

  imageInputs() {
    const { input } = this.model.config;
    this.pad = new Pad(() => this.show(() => this.drawing(), null, false));
    this.seen = h("canvas", { className: "seen", role: "img", "aria-label": "The image as the model sees it" });
    this.hint = h("p", { className: "soft small" });
    const upload = h("input", { type: "file", accept: "image/*", className: "unseen", id: "upload" });
    upload.addEventListener("change", () => {
      const file = upload.files?.[0];
      if (file) this.guard(() => this.upload(file));
      upload.value = "";
    });
    const invert = h("input", { type: "checkbox", checked: true, id: "invert" });
    invert.addEventListener("change", () => {
      this.invert = invert.checked;
      if (this.current) this.show(this.current, null, false);
    });
    const parts = [
      h(
        "div",
        { className: "drawing" },
        this.pad.canvas,
        h("div", {}, this.seen, h("p", { className: "soft small" }, "What the model sees")),
      ),
      h(
        "div",
        { className: "buttons" },
        button("Clear", () => this.clear()),
        h("label", { className: "button" }, "Upload an image", upload),
      ),
      this.hint,
    ];
    if (input.polarity) {
      parts.splice(
        2,
        0,
        h("p", { className: "small" }, h("label", {}, invert, ` Invert images that are not ${input.polarity}`)),
      );
    }
    if (this.samples)
      parts.push(h("h3", { className: "small soft" }, `Test images of ${this.samples.data}`), this.strip());
    return parts;
  }

  strip() {
    const { input, labels } = this.model.config;
    const samples = /** @type {Samples} */ (this.samples);
    this.thumbnails = samples.raws.slice(0, samples.test).map((raw, i) => {
      const canvas = h("canvas");
      paintRaw(canvas, raw, input.shape);
      const choose = button("", () => this.choose(i), {
        "aria-label": `Test image ${i + 1}: ${labels[samples.labels[i]]}`,
        "aria-pressed": "false",
      });
      choose.append(canvas);
      return choose;
    });
    return h("div", { className: "strip", role: "group", "aria-label": "Test images" }, ...this.thumbnails);
  }

  tableInputs() {
    const { input } = this.model.config;
    const columns = input.columns ?? input.shape[0];
    const names = Array.isArray(columns)
      ? columns.map((column) => column.name)
      : Array.from({ length: columns }, (_, i) => `feature ${i + 1}`);
    this.cells = names.map((_, i) => {
      const known = Array.isArray(columns) ? columns[i] : null;
      const field = known?.categories
        ? h("select", {}, ...known.categories.map((category) => new Option(category, category)))
        : h("input", { type: "text", inputMode: "decimal" });
      field.value = String(known?.example ?? 0);
      field.addEventListener("input", () => this.guard(async () => this.showRow()));
      return field;
    });
    const cells = this.cells;
    const fields = h("div", { className: "fields" }, ...names.map((name, i) => h("label", {}, name, cells[i])));
    if (!this.samples) return [fields, button("Answer", () => this.guard(async () => this.showRow()))];
    const next = button("Another test row", () => this.choose(Math.floor(Math.random() * (this.samples?.test ?? 1))));
    this.hint = h("p", { className: "soft small" });
    return [fields, h("div", { className: "buttons" }, next), this.hint];
  }

  showRow() {
    const { columns } = this.model.config.input;
    const texts = (this.cells ?? []).map((cell) => cell.value);
    const raw = columns
      ? encodeRow(columns, texts)
      : Float32Array.from(texts, (text, i) => parseNumber(`feature ${i + 1}`, text));
    this.show(() => raw, null);
  }

  clear() {
    this.pad?.clear();
    this.mark(-1);
    this.waiting = null;
    this.answer.clear();
    if (this.hint) this.hint.textContent = "";
  }

  drawing() {
    return /** @type {Pad} */ (this.pad).raw(this.model.config.input);
  }

  /** @param {File} file */
  async upload(file) {
    const picture = await decodeImage(file);
    const raw = toRaw(picture, this.model.config.input);
    this.show(() => raw, `${file.name}, ${picture.width} x ${picture.height} pixels.`);
  }

  /** @param {number} i the number of a test sample */
  choose(i) {
    const samples = /** @type {Samples} */ (this.samples);
    const { input, labels } = this.model.config;
    const raw = samples.raws[i];
    if (this.cells && !input.columns?.some((column) => column.kind === "category")) {
      this.cells.forEach((cell, n) => (cell.value = String(Number(raw[n].toFixed(6)))));
    }
    this.show(() => raw, `Test sample ${i + 1}, a ${labels[samples.labels[i]]}.`);
    this.mark(i);
  }

  /** @param {number} chosen */
  mark(chosen) {
    this.thumbnails?.forEach((one, i) => one.setAttribute("aria-pressed", String(i === chosen)));
  }

  /**
   * Answer an input; while an answer is being computed, only the latest input waits.
   * @param {() => Raw} input
   * @param {string | null} hint
   * @param {boolean} [clearsPad]
   */
  show(input, hint, clearsPad = true) {
    if (clearsPad) this.pad?.preview(input(), this.model.config.input.shape);
    if (this.hint && hint !== null) this.hint.textContent = hint;
    this.mark(-1);
    this.current = input;
    this.waiting = input;
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    await this.guard(async () => {
      while (this.waiting) {
        const raw = this.waiting();
        this.waiting = null;
        await this.compute(raw);
      }
    });
    this.busy = false;
  }

  /** @param {Raw} raw */
  async compute(raw) {
    const { input } = this.model.config;
    const { tensor, inverted } = prepare(input, raw, this.invert);
    const start = performance.now();
    const outputs = await this.model.outputs([tensor], this.panel?.outputs);
    const elapsed = performance.now() - start;
    const answer = this.model.answer(outputs.logits[0], inverted);
    if (this.seen) paintRaw(this.seen, denormalised(tensor, input), input.shape);
    const note = inverted ? " The image was inverted: it is not as the training images." : "";
    this.answer.show(answer.probabilities, `Computed in ${elapsed.toFixed(1)} ms.${note}`);
    await this.panel?.update({ raw, tensor, answer, outputs });
  }
}

/**
 * @param {Float32Array} tensor
 * @param {import("../core/inputs.js").InputSpec} spec
 * @returns {Float32Array} the values in [0, 1] before the normalisation
 */
function denormalised(tensor, { shape, mean, std }) {
  const area = tensor.length / shape[0];
  return tensor.map((value, i) => value * std[Math.floor(i / area)] + mean[Math.floor(i / area)]);
}
