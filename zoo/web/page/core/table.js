// The columns of a table: from raw cells to the features of the input spec, as sdk/columns.py encodes them.

import { UserError } from "./errors.js";

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {"number" | "category"} kind
 * @property {string[]} [categories]
 * @property {number | string} [fill] stands in for a missing value
 * @property {number | string} [example]
 */

const LARGEST = 3.4028234663852886e38;

/**
 * @param {any} data
 * @param {number} width
 * @param {string} origin
 * @returns {Column[]}
 */
export function parseColumns(data, width, origin) {
  const good =
    Array.isArray(data) &&
    data.every((column) => {
      const categories = column?.categories;
      if (typeof column?.name !== "string") return false;
      if (column.kind === "number") return true;
      return column.kind === "category" && Array.isArray(categories) && categories.length > 1;
    });
  if (!good) throw new UserError(`${origin}: config.json: the columns of the data are not valid.`);
  const features = data.reduce((/** @type {number} */ sum, /** @type {Column} */ c) => sum + widthOf(c), 0);
  if (features !== width) throw new UserError(`${origin}: columns have ${features} features, the input has ${width}.`);
  return data;
}

/** @param {Column} column */
const widthOf = (column) => column.categories?.length ?? 1;

/**
 * Encode one row, whose cells are texts in the order of the columns.
 * @param {Column[]} columns
 * @param {string[]} cells
 * @returns {Float32Array}
 */
export function encodeRow(columns, cells) {
  return Float32Array.from(columns.flatMap((column, i) => encodeCell(column, cells[i] ?? "")));
}

/**
 * Return the cells of a row: the reverse of `encodeRow`.
 * @param {Column[]} columns
 * @param {ArrayLike<number>} features
 * @returns {string[]}
 */
export function decodeRow(columns, features) {
  let start = 0;
  return columns.map((column) => {
    const own = Array.from({ length: widthOf(column) }, (_, i) => features[start + i]);
    start += own.length;
    return column.categories ? (column.categories[own.indexOf(1)] ?? "") : shortest(own[0]);
  });
}

/**
 * @param {number} value a float32
 * @returns {string} the shortest decimal number that is this float32
 */
function shortest(value) {
  for (let digits = 1; digits < 9; digits++) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value) return text;
  }
  return String(Number(value.toPrecision(9)));
}

/**
 * @param {Column} column
 * @param {string} cell
 * @returns {number[]}
 */
function encodeCell(column, cell) {
  const text = cell.trim();
  const given = text === "" ? column.fill : text;
  if (given === undefined) throw new UserError(`${column.name}: found no value.`);
  if (column.kind === "number") return [parseNumber(column.name, String(given))];
  const categories = /** @type {string[]} */ (column.categories);
  const truth = [...categories].sort().join() === "false,true";
  const found = categories.indexOf(truth ? String(given).toLowerCase() : String(given));
  if (found < 0) throw new UserError(`${column.name}: unknown category ${cell}, allowed ${categories.join(", ")}.`);
  return categories.map((_, i) => (i === found ? 1 : 0));
}

/**
 * Return the number that a text spells, with a decimal point. Raises UserError for anything else.
 * @param {string} name
 * @param {string} text
 * @returns {number}
 */
export function parseNumber(name, text) {
  const number = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : NaN;
  if (!Number.isFinite(number) || Math.abs(number) > LARGEST) {
    throw new UserError(`${name}: found ${text || "nothing"}, allowed a finite number with a decimal point.`);
  }
  return number;
}
