"""Answers in the browser: every shipped model gives the SDK's labels and logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk.catalog import bundled_models
from tests.support.browser import SitePage

ANSWER = """
const [{siteSource, readArtifact}, {Model}, {loadSamples}] = await Promise.all(
  ["core/artifact.js", "core/model.js", "core/samples.js"].map(load));
const model = new Model(await readArtifact(siteSource(given.name), "this site"));
const {raws} = await loadSamples(given.samples);
const answers = await model.predict(raws);
await model.close();
return answers.map(({logits, label}) => ({logits, label}));
"""


def entries(site: Path) -> dict[str, Any]:
    return {entry["name"]: entry for entry in json.loads((site / "models.json").read_text())["models"]}


def raw_samples(site: Path, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    samples = entry["samples"]
    values = np.fromfile(site / samples["file"], samples["dtype"])
    return values.reshape(len(samples["labels"]), *samples["shape"])


@pytest.mark.parametrize("name", [name for name in sorted(bundled_models()) if "cifar10" not in name])
def test_labels_and_logits_are_those_of_the_sdk(site: Path, tab: SitePage, name: str) -> None:
    check_answers(site, tab, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sorted(bundled_models()) if "cifar10" in name])
def test_labels_and_logits_of_cifar10_are_those_of_the_sdk(cifar_site: Path, cifar_tab: SitePage, name: str) -> None:
    check_answers(cifar_site, cifar_tab, name)


def check_answers(site: Path, tab: SitePage, name: str) -> None:
    entry = entries(site)[name]
    if entry["samples"] is None:
        pytest.skip(f"the data set of {name} is not on this machine")
    raw = raw_samples(site, entry)
    assert entry["samples"]["test"] == (30 if raw.ndim == 2 else 100)
    model = sdk.load(str(bundled_models()[name]), backend="onnx")
    logits = model.logits(raw)
    found = tab.call(ANSWER, entry)
    assert [answer["label"] for answer in found] == [model.labels[i] for i in logits.argmax(1)]
    np.testing.assert_allclose([answer["logits"] for answer in found], logits, atol=1e-3)


def test_labels_that_do_not_fit_the_outputs_are_said(tab: SitePage) -> None:
    body = """const {Model} = await load("core/model.js");
    const model = new Model({config: {name: "mine", labels: ["a"]}});
    try { return model.answer([1, 2]).label; } catch (error) { return error.message; }"""
    assert tab.call(body) == "mine has 1 labels and 2 outputs; they do not fit."


def test_files_of_the_site_are_never_those_of_an_earlier_one(tab: SitePage) -> None:
    body = """const {siteSource} = await load("core/artifact.js");
    const own = fetch;
    const asked = [];
    globalThis.fetch = (url, options) => { asked.push(options?.cache); return own(url, options); };
    try { await siteSource("nca-iris")("config.json"); } finally { globalThis.fetch = own; }
    return asked;"""
    assert tab.call(body) == ["no-cache"]  # which asks the host whether the file has changed


def test_test_samples_that_are_cut_short_are_said(site: Path, tab: SitePage) -> None:
    entry = entries(site)["nca-iris"]["samples"]
    body = """const {loadSamples} = await load("core/samples.js");
    try { await loadSamples(given); } catch (error) { return error.message; }"""
    message = tab.call(body, {**entry, "labels": [*entry["labels"], 0]})
    assert message.startswith("The download of the test samples broke off: found 2016 bytes, expected 2032")
