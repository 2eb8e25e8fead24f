// The inside of a snapshots model: its edges as it grew, and which snapshots an answer needed.

import { argmax, percent, softmax } from "../core/math.js";
import { Edges, answerProgressively, readMetrics } from "../networks/snapshots.js";
import { context, h, isDark, slider } from "./dom.js";

/** @typedef {import("./panels.js").Place} Place */
/** @typedef {import("./panels.js").Shown} Shown */

const WIDTH = 900;
const HEIGHT = 420;
/** Pixels of the canvas per unit of WIDTH and HEIGHT. */
const SHARPNESS = 2;

/** @param {Place} place */
export async function open(place) {
  const { config } = place.model;
  const inputs = config.input.shape.reduce((total, size) => total * size, 1);
  const edges = new Edges(config.model, inputs, config.labels.length, await place.model.weights());
  return new SnapshotsPanel(place, edges);
}

class SnapshotsPanel {
  /**
   * @param {Place} place
   * @param {Edges} edges
   */
  constructor(place, edges) {
    this.place = place;
    this.edges = edges;
    const { config } = place.model;
    const { snapshots, threshold } = readMetrics(config.metrics);
    this.snapshots = snapshots;
    this.threshold = threshold;
    this.mixes = (config.model.progressive ?? "last") === "mixture";
    this.outputs = ["logits", ...snapshots.map((_, i) => `snapshot_${i}`)];
    this.chosen = slider(
      "Snapshot",
      { min: 0, max: snapshots.length - 1, value: snapshots.length - 1, id: "snapshot" },
      (i) => {
        const { phase, epoch, edges: count } = snapshots[i];
        return `${i}: phase ${phase}, epoch ${epoch}, ${count.toLocaleString("en")} edges`;
      },
      () => this.draw(),
    );
    this.canvas = h("canvas", {
      className: "drawn",
      width: WIDTH * SHARPNESS,
      height: HEIGHT * SHARPNESS,
      role: "img",
      id: "edges",
      "aria-label": "The edges of the snapshot, from the image on the left to the classes on the right",
    });
    this.rows = h("tbody");
    this.verdict = h("p", { id: "verdict", "aria-live": "polite" });
    this.element = h(
      "section",
      { className: "card wide", "aria-labelledby": "edges-title" },
      h("h2", { id: "edges-title" }, "The network as it grew"),
      this.chosen.element,
      this.canvas,
      h(
        "p",
        { className: "soft small" },
        "Left the image, then the hidden units, right the classes. Orange edges excite, blue ones inhibit.",
      ),
      this.verdict,
      h(
        "div",
        { className: "scroll" },
        h(
          "table",
          {},
          h("caption", { className: "unseen" }, "The answer of every snapshot"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ...["Snapshot", "Phase", "Edges", "Weight", "Answer", "Probability", "Asked"].map((name) =>
                h("th", { scope: "col" }, name),
              ),
            ),
          ),
          this.rows,
        ),
      ),
    );
    this.draw();
  }

  /** @param {Shown} shown */
  async update(shown) {
    this.shown = shown;
    const { labels } = this.place.model.config;
    const logits = this.snapshots.map((_, i) => shown.outputs[`snapshot_${i}`][0]);
    this.cascade = answerProgressively(this.snapshots, this.threshold, this.mixes, logits);
    const { snapshot, edges, probabilities, asked, sure } = this.cascade;
    const all = this.snapshots.reduce((sum, { cost, weight }) => sum + (weight > 0 ? cost : 0), 0);
    this.verdict.textContent =
      `Asked from coarse to fine, ${sure ? `snapshot ${snapshot} was sure enough` : "no snapshot was sure enough"}: ` +
      `${labels[argmax(probabilities)]}, after ${edges.toLocaleString("en")} edges. The whole ensemble spends ` +
      `${all.toLocaleString("en")}.`;
    this.rows.replaceChildren(
      ...this.snapshots.map((one, i) => {
        const own = softmax(logits[i]);
        const cells = [
          String(i),
          one.phase,
          one.edges.toLocaleString("en"),
          one.weight.toFixed(2),
          labels[argmax(own)],
          percent(Math.max(...own)),
          asked.includes(i) ? "yes" : "no",
        ];
        return h("tr", { className: i === snapshot ? "on" : "" }, ...cells.map((text) => h("td", {}, text)));
      }),
    );
  }

  draw() {
    const draw = context(this.canvas);
    const dark = isDark();
    draw.setTransform(SHARPNESS, 0, 0, SHARPNESS, 0, 0);
    draw.clearRect(0, 0, WIDTH, HEIGHT);
    const edges = this.edges.of(this.chosen.value);
    const spread = Math.sqrt(edges.reduce((sum, { weight }) => sum + weight * weight, 0) / edges.length) || 1;
    const share = Math.min(0.3, 500 / edges.length); // more edges are drawn fainter, or they would hide each other
    for (const { source, target, weight } of edges) {
      const [x0, y0] = this.position(source);
      const [x1, y1] = this.position(target);
      const colour = weight > 0 ? (dark ? "255,185,66" : "179,72,10") : dark ? "92,200,255" : "10,84,150";
      draw.strokeStyle = `rgba(${colour},${Math.min(0.6, (share * Math.abs(weight)) / spread)})`;
      draw.beginPath();
      draw.moveTo(x0, y0);
      draw.lineTo(x1, y1);
      draw.stroke();
    }
    draw.fillStyle = dark ? "#e6e9e8" : "#1b2326";
    draw.font = "15px system-ui, sans-serif";
    const { labels } = this.place.model.config;
    const start = this.edges.widths.slice(0, -1).reduce((sum, width) => sum + width, 0);
    labels.forEach((label, i) => {
      const [x, y] = this.position(start + i);
      draw.fillText(label.slice(0, 12), x + 8, y + 5);
    });
  }

  /** @param {number} unit */
  position(unit) {
    const { layer, place } = this.edges.locate(unit);
    const { shape } = this.place.model.config.input;
    const last = this.edges.widths.length - 1;
    if (layer === 0 && shape.length === 3) {
      const side = 260;
      const [, height, width] = shape;
      const [row, column] = [Math.floor(place / width) % height, place % width];
      return [20 + (column / width) * side, (HEIGHT - side) / 2 + (row / height) * side];
    }
    const left = shape.length === 3 ? 280 : 20;
    return [
      left + ((WIDTH - left - 110) * layer) / last,
      12 + ((HEIGHT - 24) * (place + 0.5)) / this.edges.widths[layer],
    ];
  }

  redraw() {
    this.draw();
  }
}
