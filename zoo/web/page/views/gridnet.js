// The inside of a gridnet: the faces of the grid after every step, which a visitor can wound.

import { UserError } from "../core/errors.js";
import { agree, softmax } from "../core/math.js";
import { Gridnet, evolve } from "../networks/gridnet.js";
import { GridnetGpu } from "../networks/gridnet-gpu.js";
import { brush, button, diverging, h, paint, slider } from "./dom.js";
import { DISAGREEMENT } from "./panels.js";

/** @typedef {import("./panels.js").Place} Place */
/** @typedef {import("./panels.js").Shown} Shown */

const RADIUS = 2.2;
/** Of the brush that erases cells, in cells. */
const FRAME = 260;
/** Milliseconds per step when the evolution is played. */
const GPU_GAP = 0.005;
/** Between probabilities by WebGPU and by WebAssembly; working adapters stay below a thousandth. */

/** @param {Place} place */
export async function open(place) {
  const { config } = place.model;
  const net = new Gridnet(config.model, config.input.shape, await place.model.weights());
  const { gpu, note } = await openGpu(net);
  return new GridnetPanel(place, net, gpu, note);
}

/** @param {Gridnet} net */
async function openGpu(net) {
  try {
    return { gpu: await GridnetGpu.open(net.steps), note: "" };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { gpu: null, note: error.message };
  }
}

class GridnetPanel {
  /**
   * @param {Place} place
   * @param {Gridnet} net
   * @param {GridnetGpu | null} gpu
   * @param {string} note
   */
  constructor(place, net, gpu, note) {
    this.place = place;
    this.net = net;
    this.gpu = gpu;
    const [M, N, K] = net.steps.grid;
    /** @type {Float32Array[]} */
    this.states = [];
    this.updates = 0;
    this.changed = false;
    this.working = false;
    this.wound = new Uint8Array(M * N);
    this.last = net.steps.outerSteps;
    this.time = slider(
      "Step",
      { min: 0, max: this.last, value: this.last, id: "step" },
      (t) => (t === 0 ? "0: the image has entered" : `${t} of ${this.last}`),
      () => this.draw(),
    );
    this.when = slider(
      "Wound after step",
      { min: 0, max: this.last - 1, value: Math.floor(this.last / 2), id: "wound-step" },
      (t) => `${t}`,
      () => this.again(),
    );
    this.about = h("p", { className: "soft small", id: "backend" }, this.backend(note));
    this.canvases = Array.from({ length: K }, (_, k) => this.face(k));
    const faces = h(
      "div",
      { className: "faces" },
      ...this.canvases.map((canvas, k) => h("figure", {}, canvas, h("figcaption", {}, this.caption(k)))),
    );
    faces.style.setProperty("--face", K > 16 ? "64px" : "110px");
    this.play = button("Play", () => this.animate(), { className: "main" });
    this.verdict = h("p", { id: "verdict", "aria-live": "polite" });
    this.element = h(
      "section",
      { className: "card wide", "aria-labelledby": "grid-title" },
      h("h2", { id: "grid-title" }, "The grid, step by step"),
      this.about,
      h("div", { className: "row" }, this.play, this.time.element),
      faces,
      h("p", { className: "soft small" }, "Draw on a face to erase its cells at that depth and all others there."),
      h(
        "div",
        { className: "row" },
        button("Erase a square", () => this.square()),
        button("Erase the left half", () => this.erase((_, x) => x < N / 2)),
        button("Heal", () => this.heal()),
        this.when.element,
      ),
      this.verdict,
    );
  }

  /** @param {string} note */
  backend(note) {
    if (this.gpu) return "The steps are computed by WebGPU, with kernels of our own; WebAssembly is the fallback.";
    return `The steps are computed in JavaScript and the answer by WebAssembly. ${note}`;
  }

  /** @param {number} k */
  caption(k) {
    const K = this.canvases?.length ?? this.net.steps.grid[2];
    if (k === 0) return "0: input";
    return k === K - 1 ? `${k}: output` : String(k);
  }

  /** @param {number} k */
  face(k) {
    const canvas = h("canvas", { role: "img", "aria-label": `Face ${k} of the grid` });
    const [M, N] = this.net.steps.grid;
    brush(canvas, (at) => this.erase((y, x) => Math.hypot(x + 0.5 - at.x * N, y + 0.5 - at.y * M) < RADIUS));
    return canvas;
  }

  /** @param {(y: number, x: number) => boolean} chosen */
  erase(chosen) {
    const N = this.net.steps.grid[1];
    this.wound.forEach((_, i) => chosen(Math.floor(i / N), i % N) && (this.wound[i] = 1));
    this.again();
  }

  square() {
    const [M, N] = this.net.steps.grid;
    const side = Math.round(M / 4);
    const [top, left] = [Math.floor(Math.random() * (M - side)), Math.floor(Math.random() * (N - side))];
    this.erase((y, x) => y >= top && y < top + side && x >= left && x < left + side);
  }

  heal() {
    this.wound.fill(0);
    this.again();
  }

  /** Compute the evolution again; while one is being computed, further changes wait for its end together. */
  async again() {
    this.changed = true;
    if (this.working) return;
    this.working = true;
    while (this.changed) {
      this.changed = false;
      await new Promise(requestAnimationFrame);
      const shown = this.shown;
      if (shown) await this.place.guard(() => this.update(shown));
    }
    this.working = false;
  }

  /**
   * @param {Shown} shown
   * @returns {Promise<void>}
   */
  async update(shown) {
    /** @type {Shown | null} */
    this.shown = shown;
    const number = ++this.updates;
    const wounded = this.wound.reduce((sum, cell) => sum + cell, 0);
    const cut = wounded ? this.when.value : 0;
    const start = this.net.embed(shown.tensor);
    const before = cut ? await this.run(start, 0, cut) : [];
    const middle = before.at(-1) ?? start;
    const erased = wounded ? this.erased(middle) : middle;
    const after = await this.run(erased, cut, this.last);
    if (number !== this.updates) return; // the input or the wound has changed meanwhile
    const probabilities = softmax(this.net.read(after.at(-1) ?? erased));
    if (!wounded && !agree(probabilities, shown.answer.probabilities, this.gpu ? GPU_GAP : undefined)) {
      return this.doubt(shown);
    }
    // The grid after the step of the wound is shown as it was left: with its cells erased.
    this.states = cut ? [start, ...before.slice(0, -1), erased, ...after] : [erased, ...after];
    this.draw();
    if (wounded) this.tell(probabilities, shown, cut, wounded * this.net.steps.grid[2]);
    else {
      this.verdict.textContent = "";
      if (this.gpu) this.place.answer.show(probabilities, "Computed by WebGPU.");
      else this.place.answer.show(shown.answer.probabilities, "Computed by WebAssembly.");
    }
  }

  /**
   * Compute in JavaScript what WebGPU computed otherwise than WebAssembly; raises UserError if JavaScript does, too.
   * @param {Shown} shown
   */
  doubt(shown) {
    if (!this.gpu) throw new UserError(DISAGREEMENT);
    this.leaveGpu("WebGPU gave other numbers than WebAssembly.");
    return this.update(shown);
  }

  /** @param {string} reason */
  leaveGpu(reason) {
    this.gpu?.close();
    this.gpu = null;
    this.about.textContent = this.backend(reason);
  }

  forget() {
    this.shown = null;
    this.updates += 1;
    this.verdict.textContent = "";
  }

  /**
   * @param {number[]} probabilities
   * @param {Shown} shown
   * @param {number} cut
   * @param {number} cells
   */
  tell(probabilities, shown, cut, cells) {
    const { labels } = this.place.model.config;
    const label = labels[probabilities.indexOf(Math.max(...probabilities))];
    const same = label === shown.answer.label;
    this.place.answer.show(probabilities, `Of the wounded grid. Unhurt, it reads ${shown.answer.label}.`);
    this.verdict.textContent =
      `${cells} cells were erased after step ${cut}, and the grid ` +
      (same ? `still reads ${label}.` : `reads ${label} instead of ${shown.answer.label}.`);
  }

  /**
   * @param {Float32Array} grid
   * @param {number} first
   * @param {number} last
   */
  async run(grid, first, last) {
    if (this.gpu && last > first) {
      try {
        return await this.gpu.evolve(grid, { first, last, trace: true });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        this.leaveGpu(error.message);
      }
    }
    return evolve(this.net.steps, grid, first, last);
  }

  /** @param {Float32Array} grid */
  erased(grid) {
    const depth = this.net.steps.grid[2];
    return grid.map((value, i) => (this.wound[Math.floor(i / depth)] ? 0 : value));
  }

  draw() {
    const state = this.states[this.time.value];
    if (!state) return;
    const [M, N, K] = this.net.steps.grid;
    const strongest = 3 * Math.sqrt(state.reduce((sum, value) => sum + value * value, 0) / state.length);
    this.canvases.forEach((canvas, k) => paint(canvas, N, M, (i) => diverging(state[i * K + k], strongest)));
  }

  redraw() {
    this.draw();
  }

  animate() {
    clearInterval(this.timer);
    this.time.set(0);
    this.draw();
    this.timer = setInterval(() => {
      this.time.set(this.time.value + 1);
      this.draw();
      if (this.time.value >= this.last) clearInterval(this.timer);
    }, FRAME);
  }

  close() {
    clearInterval(this.timer);
    this.gpu?.close();
  }
}
