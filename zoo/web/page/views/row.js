// The cells of a table's row, which a visitor fills in.

import { decodeRow, encodeRow, parseNumber } from "../core/table.js";
import { h } from "./dom.js";

/** @typedef {import("../core/inputs.js").InputSpec} InputSpec */
/** @typedef {import("../core/table.js").Column} Column */

export class RowForm {
  /**
   * @param {InputSpec} spec
   * @param {() => void} changed is called when the visitor changes a cell
   */
  constructor({ columns, shape }, changed) {
    this.columns =
      columns ?? Array.from({ length: shape[0] }, (_, i) => ({ name: `feature ${i + 1}`, kind: "number" }));
    this.named = columns !== null;
    this.cells = this.columns.map((column) => cellOf(/** @type {Column} */ (column)));
    for (const cell of this.cells) cell.addEventListener("input", changed);
    this.element = h(
      "div",
      { className: "fields" },
      ...this.columns.map(({ name }, i) => h("label", {}, name, this.cells[i])),
    );
  }

  /**
   * @returns {Float32Array} the features that the cells spell; raises UserError for a cell that the model does not take
   */
  read() {
    const texts = this.cells.map((cell) => cell.value);
    if (this.named) return encodeRow(/** @type {Column[]} */ (this.columns), texts);
    return Float32Array.from(texts, (text, i) => parseNumber(this.columns[i].name, text));
  }

  /**
   * Show a row.
   * @param {ArrayLike<number>} raw its features
   */
  fill(raw) {
    decodeRow(/** @type {Column[]} */ (this.columns), raw).forEach((text, i) => (this.cells[i].value = text));
  }
}

/**
 * @param {Column} column
 * @returns {HTMLInputElement | HTMLSelectElement} the field of a cell, with the column's example in it
 */
function cellOf({ categories, example, fill }) {
  if (!categories) {
    // No inputMode: the keypads of some phones lack the minus, and the point where decimals have a comma.
    const field = h("input", { type: "text", autocomplete: "off" });
    field.value = String(example ?? 0);
    return field;
  }
  const known = categories.map((category) => new Option(category, category));
  const field = h("select", {}, ...known, ...(fill === undefined ? [] : [new Option("(no value)", "")]));
  field.value = String(example ?? categories[0]);
  return field;
}
