// Reads an artifact from this site, from dropped files or from the Hub, and verifies every file that it hands out.

import { UserError } from "./errors.js";
import { sha256 } from "./sha256.js";
import { parseInput } from "./inputs.js";

/** @typedef {import("./inputs.js").InputSpec} InputSpec */
/**
 * @typedef {object} Config the content of config.json
 * @property {string} name
 * @property {string} family
 * @property {Record<string, any>} model
 * @property {InputSpec} input
 * @property {string[]} labels
 * @property {number} parameters
 * @property {Record<string, any>} metrics
 * @property {Record<string, any>} provenance
 * @property {Record<string, {sha256: string, size: number}>} files
 */
/** @typedef {(path: string) => Promise<Uint8Array<ArrayBuffer> | null>} Source reads a file; null: there is none */

const FORMAT_VERSION = 1;
const REQUIRED = ["name", "family", "model", "input", "labels", "parameters", "metrics", "provenance", "files"];

export class Artifact {
  /**
   * @param {Config} config
   * @param {Source} source
   * @param {string} origin where it came from, for people
   */
  constructor(config, source, origin) {
    this.config = config;
    this.origin = origin;
    this.source = source;
    /** @type {Map<string, Promise<Uint8Array<ArrayBuffer>>>} */
    this.verified = new Map();
  }

  /**
   * @param {string} path
   * @returns {boolean} whether config.json lists the file
   */
  lists(path) {
    return path in this.config.files;
  }

  /**
   * Return the content of a file whose size and hash are those in config.json.
   * @param {string} path
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  file(path) {
    let found = this.verified.get(path);
    if (!found) {
      found = this.verify(path);
      found.catch(() => this.verified.delete(path)); // a broken download may work the next time
      this.verified.set(path, found);
    }
    return found;
  }

  /** @param {string} path */
  async verify(path) {
    const expected = this.config.files[path];
    if (!expected) throw new UserError(`${this.config.name} has no ${path}.`);
    const bytes = await this.source(path);
    if (!bytes) throw new UserError(`${path} of ${this.config.name} is missing; add it to the other files.`);
    if (bytes.length !== expected.size) {
      throw new UserError(`${path} was altered or cut short: it has ${bytes.length} bytes, expected ${expected.size}.`);
    }
    const found = await sha256(bytes);
    if (found !== expected.sha256) {
      throw new UserError(
        `${path} was altered or damaged: its hash is ${found.slice(0, 12)}…, expected ` +
          `${expected.sha256.slice(0, 12)}….`,
      );
    }
    return bytes;
  }
}

/**
 * @param {Source} source
 * @param {string} origin
 * @returns {Promise<Artifact>}
 */
export async function readArtifact(source, origin) {
  const bytes = await source("config.json");
  if (!bytes) throw new UserError(`${origin}: found no config.json, so it is not a cellzoo model.`);
  let data;
  try {
    data = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new UserError(`${origin}: config.json is not valid JSON.`);
  }
  return new Artifact(parseConfig(data, origin), source, origin);
}

/**
 * @param {any} data
 * @param {string} origin
 * @returns {Config}
 */
export function parseConfig(data, origin) {
  if (typeof data !== "object" || data === null || !Number.isInteger(data.format_version)) {
    throw new UserError(`${origin}: config.json has no format_version, so it is not a cellzoo model.`);
  }
  if (data.format_version > FORMAT_VERSION || data.format_version < 1) {
    throw new UserError(`${origin}: found format_version ${data.format_version}, this page reads ${FORMAT_VERSION}.`);
  }
  for (const key of REQUIRED) {
    if (!(key in data)) throw new UserError(`${origin}: config.json lacks ${key}.`);
  }
  const { labels, files } = data;
  for (const key of ["model", "metrics", "provenance", "files"]) {
    if (typeof data[key] !== "object" || data[key] === null || Array.isArray(data[key])) {
      throw new UserError(`${origin}: config.json: ${key} must be an object.`);
    }
  }
  if (typeof data.name !== "string" || typeof data.family !== "string" || !Number.isInteger(data.parameters)) {
    throw new UserError(`${origin}: config.json: name and family must be texts, and parameters a whole number.`);
  }
  if (!Array.isArray(labels) || !labels.length || labels.some((label) => typeof label !== "string")) {
    throw new UserError(`${origin}: config.json: labels must be a list of names.`);
  }
  if (data.task !== undefined && data.task !== "classification") {
    throw new UserError(`${origin}: config.json: task must be 'classification'.`);
  }
  for (const [path, record] of Object.entries(files)) {
    const { sha256: hash, size } = /** @type {any} */ (record) ?? {};
    const outside = path.split("/").some((part) => ["", ".", ".."].includes(part)) || /[\\:]/.test(path);
    if (outside || !/^[0-9a-f]{64}$/.test(hash) || !Number.isInteger(size) || size < 0) {
      throw new UserError(`${origin}: config.json: the entry of the file ${path} is not valid.`);
    }
  }
  return { ...data, input: parseInput(data.input, data.provenance, origin) };
}

/**
 * Files of a model that is part of this site.
 * @param {string} name
 * @returns {Source}
 */
export function siteSource(name) {
  return urlSource(new URL(`../models/${name}/`, import.meta.url), "this site");
}

/**
 * Files that the user dropped or chose; a folder around them is left out.
 * @param {File[]} files
 * @returns {Source}
 */
export function filesSource(files) {
  const configs = files.filter((file) => file.name === "config.json");
  if (configs.length > 1) {
    throw new UserError(`Found ${configs.length} files config.json; choose the folder or the files of one model.`);
  }
  const root = configs[0]?.webkitRelativePath.replace(/config\.json$/, "") ?? "";
  const byPath = new Map(files.map((file) => [file.webkitRelativePath || file.name, file]));
  return async (path) => {
    const file = byPath.get(root + path) ?? byPath.get(/** @type {string} */ (path.split("/").pop()));
    if (!file) return null;
    return new Uint8Array(
      await file.arrayBuffer().catch(() => {
        throw new UserError(`${path} cannot be read; it was changed or moved after it was chosen.`);
      }),
    );
  };
}

/**
 * Files of a model on the Hub, `user/name` or `user/name@revision`.
 * @param {string} reference
 * @param {string} endpoint
 * @returns {Source}
 */
export function hubSource(reference, endpoint) {
  const match = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@(.+))?$/.exec(reference);
  if (!match) throw new UserError(`?model=${reference}: expected user/name or user/name@revision.`);
  const revision = encodeURIComponent(match[2] ?? "main");
  return urlSource(new URL(`${endpoint}/${match[1]}/resolve/${revision}/`), "the Hub");
}

/**
 * @param {URL} base
 * @param {string} place
 * @returns {Source}
 */
function urlSource(base, place) {
  return async (path) => {
    let response;
    try {
      const url = new URL(path.split("/").map(encodeURIComponent).join("/"), base);
      response = await fetch(url, { cache: "no-cache" }); // an old config.json does not fit a new model.onnx
    } catch {
      throw new UserError(`${path} cannot be downloaded from ${place}; check the connection and try again.`);
    }
    if (response.status === 404 || response.status === 401) return null;
    if (!response.ok) throw new UserError(`${path} cannot be downloaded: ${place} answers ${response.status}.`);
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch {
      throw new UserError(`The download of ${path} from ${place} broke off; try again.`);
    }
  };
}
