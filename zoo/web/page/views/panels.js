// The inside of a model, by its family. A family without a panel still answers.

import { UserError } from "../core/errors.js";
import { h } from "./dom.js";

/** @typedef {import("../core/model.js").Model} Model */
/** @typedef {import("../core/model.js").Prediction} Prediction */
/** @typedef {import("../core/samples.js").Samples} Samples */
/** @typedef {import("./answer.js").AnswerCard} AnswerCard */
/** @typedef {import("./model.js").Guard} Guard */
/** @typedef {{raw: import("../core/inputs.js").Raw, tensor: Float32Array, answer: Prediction,
 *   outputs: Record<string, number[][]>}} Shown */
/**
 * @typedef {object} Panel
 * @property {HTMLElement} element
 * @property {string[]} [outputs] outputs of model.onnx that the panel needs; by default the logits
 * @property {(shown: Shown) => Promise<void>} update is called with every answer
 * @property {() => void} [forget] is called when the visitor takes the input back
 * @property {() => void} [redraw] is called when the colours of the page change
 * @property {() => void} [close]
 */
/** @typedef {{model: Model, samples: Samples | null, answer: AnswerCard, guard: Guard}} Place */

export const DISAGREEMENT =
  "The page computes this network otherwise than model.onnx does, so the inside below is not that of the model.";

/** @type {Record<string, {file: string}>} */
const PANELS = {
  gridnet: { file: "./gridnet.js" },
  cellnet: { file: "./cellnet.js" },
  nca: { file: "./nca.js" },
  snapshots: { file: "./snapshots.js" },
  normnet: { file: "./normnet.js" },
};

/**
 * @param {Model} model
 * @param {Samples | null} samples
 * @param {AnswerCard} answer
 * @param {Guard} guard
 * @returns {Promise<Panel | null>}
 */
export async function openPanel(model, samples, answer, guard) {
  const known = Object.hasOwn(PANELS, model.config.family) ? PANELS[model.config.family] : null;
  if (!known) return null;
  try {
    const { open } = await import(known.file).catch(() => {
      throw new UserError(`${known.file.slice(2)} cannot be downloaded from this site; reload the page.`);
    });
    return await open({ model, samples, answer, guard });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return {
      element: h(
        "section",
        { className: "card wide" },
        h("p", {}, `The inside of the model is not shown. ${error.message}`),
      ),
      update: async () => {},
    };
  }
}
