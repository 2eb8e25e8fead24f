"""The networks that the page computes itself agree with the SDK: CellNet, normnet, snapshots and Meta-NCA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import sdk
from sdk.catalog import bundled_models
from sdk.snapshots_deltas import VALUES, without_deltas
from tests.support.browser import SitePage
from tests.zoo.web.test_answers import entries, raw_samples

OPEN = """
const [{siteSource, readArtifact}, {Model}, {prepare}, {loadSamples}] = await Promise.all(
  ["core/artifact.js", "core/model.js", "core/inputs.js", "core/samples.js"].map(load));
const model = new Model(await readArtifact(siteSource(given.name), "this site"));
const {config} = model;
const samples = await loadSamples(given.samples);
const tensors = samples.raws.slice(0, given.count).map((raw) => prepare(config.input, raw).tensor);
"""


def sampled(site: Path, name: str, count: int) -> tuple[dict[str, Any], Any]:
    """Return the argument of OPEN, and the raw samples."""
    entry = entries(site)[name]
    if entry["samples"] is None:
        pytest.skip(f"the data set of {name} is not on this machine")
    return {**entry, "count": count}, raw_samples(site, entry)[:count]


@pytest.mark.parametrize("name", ["cellnet-digits", "cellnet-mnist", "cellnet-mnist-clusters", "cellnet-fashion"])
def test_cores_and_logits_of_a_cellnet_are_those_of_the_sdks_trace(site: Path, tab: SitePage, name: str) -> None:
    given, raw = sampled(site, name, 3)
    model: Any = sdk.load(str(bundled_models()[name]), backend="torch")
    steps = model.steps + 3  # further steps without input
    trace = model.trace(raw, steps)
    body = f"""{OPEN} const {{Cellnet}} = await load("networks/cellnet.js");
    const net = new Cellnet(config.model, config.input.shape, await model.weights());
    return tensors.map((tensor) => net.trace(tensor, {steps}).map(({{cores, logits}}) => (
      {{cores: cores.map((core) => Array.from(core)), logits}})));"""
    found = tab.call(body, given)
    for sample, moments in enumerate(found):
        for step, moment in enumerate(moments):
            np.testing.assert_allclose(moment["logits"], trace.logits[step, sample], rtol=1e-3, atol=1e-2)
            for cell, core in enumerate(moment["cores"]):
                np.testing.assert_allclose(core, trace.cores[step, sample, cell, : len(core)], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["normnet-mnist-conv", "normnet-digits", "normnet-mnist-literal"])
def test_a_normnet_gives_the_logits_of_the_sdk_and_can_lose_weights(site: Path, tab: SitePage, name: str) -> None:
    given, raw = sampled(site, name, 5)
    model: Any = sdk.load(str(bundled_models()[name]), backend="torch")
    expected = model.logits(raw)
    body = f"""{OPEN} const {{Normnet}} = await load("networks/normnet.js");
    const net = new Normnet(config.model, config.input.shape, await model.weights());
    const whole = tensors.map((tensor) => Array.from(net.run(tensor)));
    const kept = net.prune(0.3);
    return {{whole, kept, pruned: tensors.map((tensor) => Array.from(net.run(tensor)))}};"""
    found = tab.call(body, given)
    np.testing.assert_allclose(found["whole"], expected, atol=1e-3)
    kept = 0
    with torch.no_grad():
        for layer in [*model.module.convolutions, *model.module.layers]:
            strengths = layer.strengths().abs().flatten()
            weakest = strengths.argsort(stable=True)[: int(0.3 * len(strengths) + 0.5)]
            layer.weight.view(-1)[weakest] = 0
            kept += len(strengths) - len(weakest)
    assert found["kept"] == kept
    np.testing.assert_allclose(found["pruned"], model.logits(raw), atol=1e-3)


@pytest.mark.parametrize("name", ["snapshots-digits", "snapshots-mnist", "snapshots-mnist-literal"])
def test_the_cascade_of_snapshots_is_that_of_the_sdk(site: Path, tab: SitePage, name: str) -> None:
    given, raw = sampled(site, name, 100)
    model: Any = sdk.load(str(bundled_models()[name]), backend="onnx")
    expected = model.progressive(raw)
    body = f"""{OPEN} const {{answerProgressively, readMetrics}} = await load("networks/snapshots.js");
    const {{snapshots, threshold}} = readMetrics(config.metrics);
    const outputs = await model.outputs(tensors, snapshots.map((_, i) => `snapshot_${{i}}`));
    await model.close();
    return tensors.map((_, row) => answerProgressively(snapshots, threshold, config.model.progressive === "mixture",
      snapshots.map((_, i) => outputs[`snapshot_${{i}}`][row])));"""
    found = tab.call(body, given)
    assert [answer["snapshot"] for answer in found] == expected.snapshot.tolist()
    assert [answer["edges"] for answer in found] == expected.edges.tolist()
    sure = expected.probabilities.max(1) > model.threshold
    assert [answer["sure"] for answer in found] == sure.tolist()
    np.testing.assert_allclose([answer["probabilities"] for answer in found], expected.probabilities, atol=1e-4)


@pytest.mark.parametrize("form", ["older", "newer"])
def test_the_edges_of_a_snapshot_are_those_of_the_module(site: Path, tab: SitePage, form: str) -> None:
    given, _ = sampled(site, "snapshots-digits", 1)
    folder = bundled_models()["snapshots-digits"]
    model: Any = sdk.load(str(folder), backend="torch")
    module = model.module
    if form == "newer":  # that of every model trained today
        given["values"] = without_deltas(load_file(folder / "model.safetensors"))[VALUES].tolist()
    body = f"""{OPEN} const {{Edges}} = await load("networks/snapshots.js");
    const weights = await model.weights();
    if (given.values) {{
      for (const part of ["base", "index", "value", "sizes"]) weights.delete(`snapshots.${{part}}`);
      const shape = [given.values.length, given.values[0].length];
      weights.set("snapshots.values", {{shape, data: Float32Array.from(given.values.flat())}});
    }}
    const edges = new Edges(config.model, 64, 10, weights);
    return config.metrics.snapshots.map((_, i) => edges.of(i));"""
    for number, edges in enumerate(tab.call(body, given)):
        snapshot = module.snapshots[number]
        assert len(edges) == snapshot.edges == model.snapshots[number].edges
        assert [edge["source"] for edge in edges] == module.source[: snapshot.edges].tolist()
        np.testing.assert_allclose([edge["weight"] for edge in edges], snapshot.values[: snapshot.edges], rtol=1e-6)


GROW = """
const {OnnxModel} = await load("core/onnx.js");
const {Rule, standardiser} = await load("networks/nca.js");
const session = await OnnxModel.open(await model.artifact.file("rule.onnx"), "rule.onnx");
const rule = new Rule(config.model, session, config.input.shape[0], config.labels.length);
const scaled = standardiser(await model.weights());
const rows = samples.raws.map((raw) => scaled(prepare(config.input, raw).tensor));
const support = [rows.slice(samples.test), samples.labels.slice(samples.test)];
const test = [rows.slice(0, samples.test), samples.labels.slice(0, samples.test)];
"""


@pytest.mark.parametrize(("name", "least"), [("nca-iris", 0.93), ("nca-iris-deep", 0.9), ("nca-learner", 0.93)])
def test_networks_grow_lose_their_weights_and_heal(site: Path, tab: SitePage, name: str, least: float) -> None:
    given, _ = sampled(site, name, 1)
    body = f"""{OPEN} {GROW}
    const found = [];
    for (let seed = 0; seed < 5; seed++) {{
      rule.begin(seed);
      const run = async (epochs) => {{
        for (let i = 0; i < epochs; i++) await rule.epoch(...support);
        return rule.accuracy(...test);
      }};
      const grown = await run(2 * config.model.epochs);
      const deleted = rule.layers.map((_, i) => rule.damage(i, () => rule.random() < 0.5));
      const hurt = rule.accuracy(...test);
      found.push([grown, hurt, await run(2 * config.model.epochs), deleted]);
    }}
    return found;"""
    runs = tab.call(body, given)
    assert np.mean([grown for grown, *_ in runs]) > least
    assert np.mean([healed for _, _, healed, _ in runs]) > least
    assert all(sum(deleted) > 0 for *_, deleted in runs)


@pytest.mark.parametrize("name", ["nca-iris", "nca-iris-deep", "nca-learner", "nca-iris-literal", "nca-iris-sums"])
def test_an_epoch_of_a_rule_is_that_of_the_module(site: Path, tab: SitePage, name: str) -> None:
    given, _ = sampled(site, name, 1)
    body = f"""{OPEN} {GROW}
    rule.model.fraction = 1;
    rule.begin(1);
    const copy = () => rule.layers.map(({{weights, states}}) => [Array.from(weights), Array.from(states)]);
    const before = copy();
    await rule.epoch(...support);
    return {{before, after: copy(), rows: support[0].map((row) => Array.from(row)), labels: support[1]}};"""
    found = tab.call(body, given)
    module: Any = sdk.load(str(bundled_models()[name]), backend="torch").module
    wiring, state = module.begin([module.architecture()])
    fresh = state.clone()
    for layer, (weights, states) in enumerate(found["before"]):
        n, m = module.architecture()[layer : layer + 2]
        state[0, layer, :n, :m, 0] = torch.tensor(weights).view(n, m)
        state[0, layer, :n, :m, 1:] = torch.tensor(states).view(n, m, -1)
        if module.config.rule.senses != "teaching":  # whose last state starts at random
            torch.testing.assert_close(state[0, layer, :n, :m, 1:], fresh[0, layer, :n, :m, 1:])
    support = None
    if module.config.rule.senses != "none":
        from zoo.families.nca.tasks import Examples, make_support_set

        examples = Examples(torch.tensor(found["rows"]), torch.tensor(found["labels"]))
        support = make_support_set([examples], wiring, module.config.bias)
    module.config = module.config.model_copy(update={"fraction": 1.0})
    with torch.no_grad():
        after = module.evolve(state, wiring, 1, support)
    for layer, (weights, _) in enumerate(found["after"]):
        n, m = module.architecture()[layer : layer + 2]
        np.testing.assert_allclose(weights, after[0, layer, :n, :m, 0].flatten(), atol=1e-4)
