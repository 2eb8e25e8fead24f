// Builds elements, and the pieces that several views share.

/**
 * Create an element with properties, attributes (those with a dash, and `for`, `role`) and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for" || name === "role") element.setAttribute(name, String(value));
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children);
  return element;
}

/**
 * @param {string} text
 * @param {() => void} action
 * @param {Record<string, any>} [properties]
 * @returns {HTMLButtonElement}
 */
export function button(text, action, properties = {}) {
  return h("button", { type: "button", onclick: action, ...properties }, text);
}

/**
 * A labelled slider. `describe` gives the text beside it for a value.
 * @param {string} label
 * @param {{min: number, max: number, step?: number, value: number, id: string}} range
 * @param {(value: number) => string} describe
 * @param {(value: number) => void} changed
 */
export function slider(label, { min, max, step = 1, value, id }, describe, changed) {
  const input = h("input", { type: "range", id, min: String(min), max: String(max), step: String(step) });
  input.value = String(value);
  const output = h("output", { for: id, className: "soft" });
  const show = () => {
    output.textContent = describe(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    show();
    changed(Number(input.value));
  });
  show();
  const element = h("div", { className: "grow" }, h("label", { for: id }, label, " ", output), input);
  return {
    element,
    input,
    /** @param {number} next */
    set(next) {
      input.value = String(next);
      show();
    },
    /** @param {number} next */
    limit(next) {
      input.max = String(next);
      show();
    },
    get value() {
      return Number(input.value);
    },
  };
}

/**
 * A row of buttons that is one stop of the Tab key; the arrow keys, Home and End move between them.
 * @param {string} label
 * @param {HTMLButtonElement[]} buttons
 */
export function strip(label, buttons) {
  const group = h("div", { className: "strip", role: "group", "aria-label": label }, ...buttons);
  const stop = (/** @type {number} */ chosen) => buttons.forEach((one, i) => (one.tabIndex = i === chosen ? 0 : -1));
  stop(0);
  group.addEventListener("focusin", (event) => stop(buttons.indexOf(/** @type {HTMLButtonElement} */ (event.target))));
  group.addEventListener("keydown", (event) => {
    const last = buttons.length - 1;
    const now = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    /** @type {Record<string, number>} */
    const targets = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last };
    if (!(event.key in targets)) return;
    event.preventDefault();
    buttons[Math.min(last, Math.max(0, targets[event.key]))].focus();
  });
  return group;
}

/**
 * Call `stroke` for every place where a pointer draws on a canvas. A finger that moves up or down scrolls the page.
 * @param {HTMLCanvasElement} canvas
 * @param {(place: {x: number, y: number}) => void} stroke takes shares of the width and height, in [0, 1]
 */
export function brush(canvas, stroke) {
  /** @type {number | null} */
  let pointer = null;
  /** @type {PointerEvent | null} a touch of which it is not known yet where it goes */
  let touched = null;
  const draw = (/** @type {PointerEvent} */ { clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    if (x >= 0 && x < 1 && y >= 0 && y < 1) stroke({ x, y });
  };
  canvas.style.touchAction = "pan-y";
  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    if (event.pointerType === "touch") touched = event;
    else draw(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    if (touched && Math.abs(event.clientY - touched.clientY) >= Math.abs(event.clientX - touched.clientX)) return;
    touched = null;
    draw(event);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId !== pointer) return;
      if (touched && end === "pointerup") draw(event);
      pointer = touched = null;
    });
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
export function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
}

/**
 * Paint values on a canvas of width x height cells.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @param {(index: number) => number[]} colour RGB of a cell, 0..255
 */
export function paint(canvas, width, height, colour) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const [red, green, blue] = colour(i);
    image.data.set([red, green, blue, 255], 4 * i);
  }
  context(canvas).putImageData(image, 0, 0);
}

/**
 * A colour for a value around zero: blue below, white at zero on paper or black on a dark page, orange above.
 * @param {number} value
 * @param {number} scale the value of the strongest colour
 * @returns {number[]}
 */
export function diverging(value, scale) {
  const strength = Math.min(1, Math.abs(value) / (scale || 1)) ** 0.7;
  const [from, to] = isDark()
    ? [[20, 24, 26], value > 0 ? [255, 185, 66] : [92, 200, 255]]
    : [[250, 249, 246], value > 0 ? [179, 72, 10] : [10, 84, 150]];
  return from.map((start, i) => start + (to[i] - start) * strength);
}

/** @returns {boolean} whether the page is dark now */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import("../core/inputs.js").Raw} raw [C, H, W]
 * @param {number[]} shape
 */
export function paintRaw(canvas, raw, [channels, height, width]) {
  const area = height * width;
  const scale = raw instanceof Uint8Array ? 1 : 255;
  const last = channels === 3 ? [0, 1, 2] : [0, 0, 0];
  paint(canvas, width, height, (i) => last.map((c) => raw[c * area + i] * scale));
}
