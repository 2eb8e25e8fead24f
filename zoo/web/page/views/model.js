// The view of one model: its input on the left, its answer on the right, and the inside of its family below.

import { decodeImage, toRaw } from "../core/image.js";
import { prepare } from "../core/inputs.js";
import { percent } from "../core/math.js";
import { UserError } from "../core/errors.js";
import { AnswerCard } from "./answer.js";
import { button, context, h, paintRaw, strip } from "./dom.js";
import { openPanel } from "./panels.js";
import { Pad } from "./pad.js";
import { RowForm } from "./row.js";

/** @typedef {import("../core/model.js").Model} Model */
/** @typedef {import("../core/samples.js").Samples} Samples */
/** @typedef {import("../core/inputs.js").Raw} Raw */
/** @typedef {import("./panels.js").Panel} Panel */
/** @typedef {(work: () => Promise<void>, keeps?: boolean) => Promise<void>} Guard */

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
    /** @type {(() => Raw) | null} what is answered */
    this.current = null;
    /** @type {(() => Raw) | null} what is to be answered next */
    this.waiting = null;
    this.busy = false;
    this.closed = false;
    this.cleared = 0;
    this.uploads = 0;
    this.invert = true;
    this.answer = new AnswerCard(model.config.labels);
    this.element = h("div", { className: "grid" }, this.title(), this.inputCard(), this.answer.element);
  }

  /** Show a first answer, then the panel of the family. */
  async start() {
    if (this.samples?.raws.length) this.choose(0);
    await this.settled();
    if (this.closed) return;
    // What a panel does on its own must not hide what the visitor was told.
    const panel = await openPanel(this.model, this.samples, this.answer, (work) => this.guard(work, true));
    if (!panel) return;
    if (this.closed) return panel.close?.(); // another model was chosen while the panel was opened
    this.panel = panel;
    this.element.append(panel.element);
    this.again(); // the panel shows the input, too
    await this.settled();
  }

  async close() {
    this.closed = true;
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
    this.pad = new Pad(() => this.draw(), this.samples ? "choose a test image below" : "upload an image");
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
      this.again();
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
    return strip("Test images", this.thumbnails);
  }

  tableInputs() {
    const form = new RowForm(this.model.config.input, () => this.guard(async () => this.showRow()));
    this.form = form;
    if (!this.samples) return [form.element, button("Answer", () => this.guard(async () => this.showRow()))];
    const next = button("Another test row", () => this.choose(Math.floor(Math.random() * (this.samples?.test ?? 1))));
    this.hint = h("p", { className: "soft small" });
    return [form.element, h("div", { className: "buttons" }, next), this.hint];
  }

  showRow() {
    const form = /** @type {RowForm} */ (this.form);
    let raw;
    try {
      raw = form.read();
    } catch (error) {
      this.forget(); // the answer to another row would stand beside cells that the model does not take
      throw error;
    }
    this.answerTo(() => raw, "");
  }

  clear() {
    this.pad?.clear();
    if (this.seen) context(this.seen).clearRect(0, 0, this.seen.width, this.seen.height);
    this.mark(-1);
    this.forget();
  }

  /** Show no answer, not even that which is being computed. */
  forget() {
    this.current = null;
    this.waiting = null;
    this.cleared += 1;
    this.panel?.forget?.();
    this.answer.clear();
    if (this.hint) this.hint.textContent = "";
  }

  draw() {
    const pad = /** @type {Pad} */ (this.pad);
    this.answerTo(() => pad.raw(this.model.config.input), "");
  }

  /**
   * Answer an image file, unless another one was uploaded before it was decoded.
   * @param {File} file
   */
  async upload(file) {
    const { input, name } = this.model.config;
    if (input.kind !== "image") throw new UserError(`${name} takes rows of a table, found the image ${file.name}.`);
    const number = ++this.uploads;
    const picture = await decodeImage(file);
    if (number !== this.uploads) return;
    const raw = toRaw(picture, input);
    this.show(() => raw, `${file.name}, ${picture.width} x ${picture.height} pixels.`);
  }

  /** @param {number} i the number of a test sample */
  choose(i) {
    const samples = /** @type {Samples} */ (this.samples);
    const { labels } = this.model.config;
    const raw = samples.raws[i];
    this.form?.fill(raw);
    this.show(() => raw, `Test sample ${i + 1}, a ${labels[samples.labels[i]]}.`, i);
  }

  /** @param {number} chosen */
  mark(chosen) {
    this.thumbnails?.forEach((one, i) => one.setAttribute("aria-pressed", String(i === chosen)));
  }

  /**
   * Show an input that was not drawn, and answer it.
   * @param {() => Raw} input
   * @param {string} hint
   * @param {number} [sample] the number of the test sample that it is
   */
  show(input, hint, sample = -1) {
    this.pad?.preview(input(), this.model.config.input.shape);
    this.answerTo(input, hint, sample);
  }

  /**
   * Answer an input; while an answer is being computed, only the latest input waits.
   * @param {() => Raw} input
   * @param {string} hint
   * @param {number} [sample]
   */
  answerTo(input, hint, sample = -1) {
    if (this.closed) return;
    if (this.hint) this.hint.textContent = hint;
    this.mark(sample);
    this.current = input;
    this.again();
  }

  /** Answer the current input again. */
  again() {
    this.waiting = this.current;
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.waiting) {
      const input = this.waiting;
      this.waiting = null;
      await this.guard(() => this.compute(input()));
    }
    this.busy = false;
  }

  /** @param {Raw} raw */
  async compute(raw) {
    const { input } = this.model.config;
    const { cleared } = this;
    let tensor, inverted, outputs, answer;
    let start = 0;
    try {
      ({ tensor, inverted } = prepare(input, raw, this.invert));
      start = performance.now();
      outputs = await this.model.outputs([tensor], this.panel?.outputs);
      answer = this.model.answer(outputs.logits[0], inverted);
    } catch (error) {
      this.answer.clear(); // the answer to an earlier input
      throw error;
    }
    const elapsed = performance.now() - start;
    if (cleared !== this.cleared) return;
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
