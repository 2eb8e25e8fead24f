// The card with a model's answer: the label and a bar per class.

import { percent } from "../core/math.js";
import { h } from "./dom.js";

const SHOWN = 10;

export class AnswerCard {
  /** @param {string[]} labels */
  constructor(labels) {
    this.labels = labels;
    this.label = h("p", { className: "answer", id: "answer", "aria-live": "polite" }, "–");
    this.about = h("p", { className: "soft small" });
    this.bars = h("div", { className: "bars", role: "list", "aria-label": "Probability of each class" });
    this.element = h(
      "section",
      { className: "card", "aria-labelledby": "answer-title" },
      h("h2", { id: "answer-title" }, "The model's answer"),
      this.label,
      this.about,
      this.bars,
    );
  }

  /**
   * @param {number[]} probabilities
   * @param {string} about
   */
  show(probabilities, about) {
    const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
    const shown = this.labels.length <= SHOWN ? probabilities.map((_, i) => i) : order.slice(0, SHOWN);
    this.label.textContent = this.labels[order[0]];
    this.about.textContent = `${percent(probabilities[order[0]])} sure. ${about}`;
    this.bars.replaceChildren(...shown.flatMap((i) => bar(this.labels[i], probabilities[i], i === order[0])));
  }

  clear() {
    this.label.textContent = "–";
    this.about.textContent = "";
    this.bars.replaceChildren();
  }
}

/**
 * @param {string} label
 * @param {number} probability
 * @param {boolean} best
 * @returns {HTMLElement[]}
 */
function bar(label, probability, best) {
  const fill = h("div", { className: best ? "fill best" : "fill" });
  fill.style.width = `${100 * probability}%`;
  return [
    h(
      "div",
      { className: "label", role: "listitem", title: label, "aria-label": `${label}: ${percent(probability)}` },
      label,
    ),
    h("div", { className: "track", "aria-hidden": "true" }, fill),
    h("div", { className: "soft small", "aria-hidden": "true" }, percent(probability)),
  ];
}
