// A square to draw on. A drawing is centred and scaled as the digits of MNIST are.

import { fromImageData, toRaw } from "../core/image.js";
import { context, h, paintRaw } from "./dom.js";

/** @typedef {import("../core/inputs.js").InputSpec} InputSpec */

const SIDE = 280;
const BRUSH = 21;
const BOX = 20 / 28;
/** The share of the side that a centred drawing fills, that of MNIST's digits. */

export class Pad {
  /**
   * @param {() => void} changed is called after every stroke and while it grows
   * @param {string} otherwise what to do with the keyboard instead
   */
  constructor(changed, otherwise) {
    this.changed = changed;
    this.canvas = h("canvas", {
      className: "pad",
      id: "pad",
      width: SIDE,
      height: SIDE,
      tabIndex: 0,
      role: "img",
      "aria-label": `Drawing area. Draw with mouse, finger or pen; with the keyboard, ${otherwise} instead.`,
    });
    this.ink = false;
    /** @type {{x: number, y: number} | null} */
    this.last = null;
    /** @type {number | null} the pointer that draws; other fingers wait */
    this.pointer = null;
    this.canvas.addEventListener("pointerdown", (event) => this.start(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"])
      this.canvas.addEventListener(end, (event) => this.end(/** @type {PointerEvent} */ (event)));
    this.clear();
  }

  clear() {
    const draw = context(this.canvas);
    draw.fillStyle = "#000";
    draw.fillRect(0, 0, SIDE, SIDE);
    this.ink = false;
  }

  /**
   * Show an image that was not drawn; the next stroke replaces it.
   * @param {import("../core/inputs.js").Raw} raw
   * @param {number[]} shape
   */
  preview(raw, shape) {
    const image = h("canvas");
    paintRaw(image, raw, shape);
    this.clear();
    const draw = context(this.canvas);
    draw.imageSmoothingEnabled = false;
    draw.drawImage(image, 0, 0, SIDE, SIDE);
  }

  /** @param {PointerEvent} event */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  }

  /** @param {PointerEvent} event */
  start(event) {
    if (this.pointer !== null || event.button !== 0) return;
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    if (!this.ink) this.clear();
    this.last = this.place(event);
    this.line(this.last, this.last);
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.last || event.pointerId !== this.pointer) return;
    const next = this.place(event);
    this.line(this.last, next);
    this.last = next;
  }

  /** @param {PointerEvent} event */
  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.last = null;
  }

  /**
   * @param {{x: number, y: number}} from
   * @param {{x: number, y: number}} to
   */
  line(from, to) {
    const draw = context(this.canvas);
    Object.assign(draw, { strokeStyle: "#fff", lineWidth: BRUSH, lineCap: "round", lineJoin: "round" });
    draw.beginPath();
    draw.moveTo(from.x, from.y);
    draw.lineTo(to.x, to.y);
    draw.stroke();
    this.ink = true;
    this.changed();
  }

  /**
   * Return the drawing as the model's raw input: its box scaled to 20 of 28 pixels, its centre of mass in the middle.
   * @param {InputSpec} spec
   * @returns {Uint8Array}
   */
  raw(spec) {
    const image = context(this.canvas).getImageData(0, 0, SIDE, SIDE);
    const box = inkBox(image);
    const centred = h("canvas", { width: SIDE, height: SIDE });
    const draw = context(centred);
    draw.fillStyle = "#000";
    draw.fillRect(0, 0, SIDE, SIDE);
    if (box) {
      const scale = (SIDE * BOX) / Math.max(box.width, box.height);
      draw.setTransform(scale, 0, 0, scale, SIDE / 2 - box.x * scale, SIDE / 2 - box.y * scale);
      draw.imageSmoothingQuality = "high";
      draw.drawImage(this.canvas, 0, 0);
    }
    return toRaw(fromImageData(draw.getImageData(0, 0, SIDE, SIDE)), spec);
  }
}

/**
 * @param {ImageData} image
 * @returns {{width: number, height: number, x: number, y: number} | null} the box of the ink, its centre of mass
 */
function inkBox({ data, width, height }) {
  let [left, right, top, bottom, mass, x, y] = [width, -1, height, -1, 0, 0, 0];
  for (let i = 0; i < width * height; i++) {
    const ink = data[4 * i];
    if (ink < 32) continue;
    const [column, row] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [
      Math.min(left, column),
      Math.max(right, column),
      Math.min(top, row),
      Math.max(bottom, row),
    ];
    [mass, x, y] = [mass + ink, x + ink * column, y + ink * row];
  }
  return mass ? { width: right - left + 1, height: bottom - top + 1, x: x / mass, y: y / mass } : null;
}
