// The page: chooses a model, opens it from this site, from dropped files or from the Hub, and shows its view.

import { Artifact, filesSource, hubSource, readArtifact, siteSource } from "./core/artifact.js";
import { UserError, sentence } from "./core/errors.js";
import { threads } from "./core/onnx.js";
import { Model } from "./core/model.js";
import { loadSamples } from "./core/samples.js";
import { showBench } from "./views/bench.js";
import { ModelView } from "./views/model.js";

/** @typedef {import("./core/samples.js").SampleEntry} SampleEntry */
/** @typedef {{name: string, family: string, samples: SampleEntry | null}} Entry */
/** @typedef {{cellzoo: string, hub: string, models: Entry[]}} Index */

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const picker = /** @type {HTMLSelectElement} */ (element("model"));
const stage = element("stage");
const THEME = "cellzoo-theme"; // sites of one host share their storage
const THEMES = ["light", "dark"];
/** @type {Index} */
let index = { cellzoo: "", hub: "", models: [] };
/** @type {ModelView | null} */
let view = null;
let opened = 0;

/**
 * @param {string} text
 */
function status(text) {
  element("status").textContent = text;
}

/**
 * Run an action; show what goes wrong in a sentence, in place of an earlier one.
 * @param {() => Promise<void>} action
 * @param {boolean} [keeps] whether an earlier sentence stays, for work that the user did not ask for
 */
async function guarded(action, keeps = false) {
  const problem = element("problem");
  if (!keeps) problem.hidden = true;
  try {
    await action();
  } catch (error) {
    if (!(error instanceof UserError)) console.error(error);
    problem.textContent = sentence(error);
    problem.hidden = false;
  }
}

/**
 * @param {() => Promise<Artifact>} read
 * @param {SampleEntry | null} [entry]
 */
async function open(read, entry) {
  const number = ++opened;
  stage.setAttribute("aria-busy", "true");
  status("Loading…");
  try {
    await show(number, await read(), entry);
  } catch (error) {
    if (number !== opened) return; // what went wrong was a model that nobody waits for
    status("");
    picker.value = view?.model.config.name ?? ""; // so that the other one can be chosen again
    throw error;
  } finally {
    if (number === opened) stage.removeAttribute("aria-busy");
  }
}

/**
 * Show a model, unless another one was chosen since it was opened as number `number`.
 * @param {number} number
 * @param {Artifact} artifact
 * @param {SampleEntry | null} [entry]
 */
async function show(number, artifact, entry) {
  const model = new Model(artifact);
  /** @type {ModelView | null} */
  let shown = null;
  try {
    const [samples] = await Promise.all([entry ? loadSamples(entry) : null, model.onnx()]);
    if (number === opened) await leave();
    if (number === opened) shown = new ModelView(model, samples, guarded);
  } finally {
    if (!shown) await model.close();
  }
  if (!shown) return;
  view = shown;
  stage.replaceChildren(shown.element);
  document.title = `${model.config.name} – cellzoo`;
  await shown.start();
  if (number !== opened) return;
  const count = threads();
  status(
    `${model.config.name} from ${artifact.origin}, files verified by their hashes. Answers are computed by ` +
      `WebAssembly (onnxruntime-web, ${count} thread${count > 1 ? "s" : ""}) in this browser.`,
  );
}

/** Close the model that is shown. */
async function leave() {
  const left = view;
  view = null;
  await left?.close();
}

async function bench() {
  const number = ++opened;
  await leave();
  if (number !== opened) return;
  picker.selectedIndex = -1;
  document.title = "Speed – cellzoo";
  stage.removeAttribute("aria-busy");
  stage.replaceChildren(await showBench(index.models, guarded));
  status("");
}

/** @param {File[]} files */
function openFiles(files) {
  if (!files.length) return;
  picker.selectedIndex = -1;
  guarded(() => open(() => readArtifact(filesSource(files), "your files")));
}

function route() {
  const name = location.hash.slice(1);
  guarded(async () => {
    if (name === "bench") return bench();
    const hub = new URL(location.href).searchParams.get("model");
    if (hub && !name) {
      picker.selectedIndex = -1;
      return open(() => readArtifact(hubSource(hub, index.hub), hub));
    }
    const entry = name ? index.models.find((model) => model.name === name) : index.models[0];
    if (!entry) throw new UserError(`This site has no model ${name}; choose one from the list.`);
    picker.value = entry.name;
    return open(() => readArtifact(siteSource(entry.name), "this site"), entry.samples);
  });
}

/**
 * Return the files of a drop, those inside dropped folders included.
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
async function droppedFiles(transfer) {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const found = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()); // a picture of a page has no entry
  return (await Promise.all(found.map((one) => (one instanceof File ? [one] : one ? filesOf(one) : [])))).flat();
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<File[]>}
 */
async function filesOf(entry) {
  if (entry.isFile) {
    const file = /** @type {File} */ (
      await new Promise((done, failed) => {
        /** @type {FileSystemFileEntry} */ (entry).file(done, failed);
      })
    );
    Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.slice(1) });
    return [file];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {FileSystemEntry[]} */
  const inside = [];
  for (;;) {
    const part = /** @type {FileSystemEntry[]} */ (
      await new Promise((done, failed) => reader.readEntries(done, failed))
    );
    if (!part.length) break;
    inside.push(...part);
  }
  return (await Promise.all(inside.map((one) => filesOf(one)))).flat();
}

function listenToDrops() {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const transfer = event.dataTransfer;
    if (!transfer) return;
    guarded(async () => {
      const files = await droppedFiles(transfer);
      const images = files.length === 1 && files[0].type.startsWith("image/");
      if (images && view) await view.upload(files[0]);
      else openFiles(files);
    });
  });
  for (const id of ["own-folder", "own-files"]) {
    const input = /** @type {HTMLInputElement} */ (element(id));
    input.addEventListener("change", () => {
      openFiles([...(input.files ?? [])]);
      input.value = "";
    });
  }
}

function listenToTheme() {
  const root = document.documentElement;
  try {
    const chosen = localStorage.getItem(THEME) ?? "";
    if (THEMES.includes(chosen)) root.dataset.theme = chosen;
  } catch {
    // A page without storage follows the system.
  }
  element("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem(THEME, root.dataset.theme);
    } catch {
      // The choice lasts until the page is left.
    }
    view?.redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view?.redraw());
}

async function start() {
  stage.replaceChildren(); // what it says where this script does not run
  listenToTheme();
  listenToDrops();
  picker.addEventListener("change", () => {
    history.pushState(null, "", `${location.pathname}#${picker.value}`); // without ?model= of one on the Hub
    route();
  });
  await guarded(async () => {
    const response = await fetch(new URL("models.json", import.meta.url), { cache: "no-cache" }).catch(() => null);
    if (!response?.ok) throw new UserError("models.json of this site cannot be downloaded; reload the page.");
    index = await response.json().catch(() => {
      throw new UserError("models.json of this site is damaged; reload the page, or build the site again.");
    });
    picker.replaceChildren(...index.models.map(({ name }) => new Option(name, name)));
    addEventListener("hashchange", route);
    route();
  });
}

start();
