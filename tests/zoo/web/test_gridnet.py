"""gridnet in the browser, by WebGPU and in JavaScript: equal to the reference and to the shipped models."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import sdk
from sdk.catalog import bundled_models
from tests.support.browser import SitePage
from tests.support.paths import GOLDEN
from tests.zoo.web.test_answers import entries, raw_samples
from zoo.kernels.gridnet import reference

EVOLVE = """
const {evolve} = await load("networks/gridnet.js");
const {GridnetGpu} = await load("networks/gridnet-gpu.js");
const p = {...given.parameters};
for (const name of ["weight", "bias", "scale", "normWeight", "normBias"]) p[name] &&= Float32Array.from(p[name]);
const gpu = await GridnetGpu.open(p);
const x = Float32Array.from(given.x.flat());
const traced = await gpu.evolve(x, {trace: true});
const [last] = await gpu.evolve(x);
const plain = given.x.map((grid) => Array.from(evolve(p, Float32Array.from(grid)).at(-1)));
gpu.close();
return {gpu: Array.from(last), traced: Array.from(traced.at(-1)), plain, steps: traced.length};
"""
SHIPPED = """
const [{siteSource, readArtifact}, {Model}, {prepare}, {loadSamples}, {Gridnet, evolve}, {GridnetGpu}] =
  await Promise.all(["core/artifact.js", "core/model.js", "core/inputs.js", "core/samples.js", "networks/gridnet.js",
    "networks/gridnet-gpu.js"].map(load));
const model = new Model(await readArtifact(siteSource(given.name), "this site"));
const {config} = model;
const net = new Gridnet(config.model, config.input.shape, await model.weights());
const {raws} = await loadSamples(given.samples);
const starts = raws.slice(0, given.count).map((raw) => net.embed(prepare(config.input, raw).tensor));
const batch = new Float32Array(starts.length * starts[0].length);
starts.forEach((start, i) => batch.set(start, i * start.length));
const gpu = await GridnetGpu.open(net.steps);
const [last] = await gpu.evolve(batch);
gpu.close();
const size = starts[0].length;
return {
  gpu: starts.map((_, i) => net.read(last.slice(i * size, (i + 1) * size))),
  plain: starts.slice(0, 3).map((start) => net.read(evolve(net.steps, start).at(-1))),
};
"""


def parameters(weight: Any, bias: Any, scale: Any, norm: Any, **options: Any) -> dict[str, Any]:
    """Return the argument that the page's kernels take; ``weight [S, 27, ...]``."""
    flat = {"weight": weight, "bias": bias, "scale": scale, "normWeight": norm[0], "normBias": norm[1]}
    values = {name: None if value is None else np.ravel(value).tolist() for name, value in flat.items()}
    return {"grid": list(norm[0].shape), "sets": len(weight), "normEps": 1e-5, "eps": 1e-5, **values, **options}


def expected_grids(given: dict[str, Any], weight: Any, bias: Any, scale: Any, norm: Any, x: Any) -> Any:
    tensors = [torch.from_numpy(np.asarray(value)) for value in (weight, bias)]
    norms = [torch.from_numpy(np.asarray(value)) for value in norm]
    grids = torch.from_numpy(np.asarray(x))
    o = given
    if scale is None:
        return reference.gated_gridnet_evolve(
            *tensors, *norms, grids, o["outerSteps"], o["innerSteps"], o["block"], o["activation"], 1e-5,
            o["outerResidual"],
        ).numpy()  # fmt: skip
    return reference.gridnet_evolve(
        *tensors, torch.from_numpy(np.asarray(scale)), *norms, grids, o["outerSteps"], o["innerSteps"], o["block"],
        1e-5, o["normalize"], o["activation"], 1e-5, o["outerResidual"],
    ).numpy()  # fmt: skip


def check(tab: SitePage, given: dict[str, Any], x: Any, expected: Any, atol: float) -> None:
    found = tab.call(EVOLVE, {"parameters": given, "x": [np.ravel(grid).tolist() for grid in x]})
    assert found["steps"] == given["outerSteps"]
    assert found["traced"] == found["gpu"]
    for way in ("gpu", "plain"):
        np.testing.assert_allclose(np.ravel(found[way]), np.ravel(expected), atol=atol, err_msg=way)


def golden_cases() -> list[str]:
    with np.load(GOLDEN / "gridnet_step.npz") as file:
        return sorted({name.split("/")[0] for name in file})


@pytest.mark.parametrize("case", golden_cases())
def test_a_step_gives_the_golden_vectors(tab: SitePage, case: str) -> None:
    with np.load(GOLDEN / "gridnet_step.npz") as file:
        values = {name.split("/")[1]: file[name] for name in file if name.startswith(f"{case}/")}
    _, kind, _, block, inner, normalize, activation = case.split("_", 6)
    out, x = values["out"], values["x"]
    norm = (np.ones(x.shape[1:]), np.zeros(x.shape[1:]))
    scale = values["residual_scale"][None] if kind == "plain" else None
    given = parameters(
        values["weight"][None], values["bias"][None], scale, norm,
        block=int(block[5:]), innerSteps=int(inner[5:]), normalize=normalize == "norm1", activation=activation,
        gated=kind == "gated", outerSteps=1, outerResidual=False,
    )  # fmt: skip
    flat = out.reshape(len(out), -1)
    normed = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-5)
    check(tab, given, x, normed, atol=1e-4)


CASES = list(product(["silu", "tanh", "relu", "leaky_relu"], [False, True], [False, True]))


@pytest.mark.parametrize(("activation", "gated", "outer_residual"), CASES)
def test_an_evolution_is_that_of_the_reference(
    tab: SitePage, activation: str, gated: bool, outer_residual: bool
) -> None:
    number = CASES.index((activation, gated, outer_residual))
    block, shape = [(4, (8, 4, 12)), (2, (4, 6, 2)), (8, (8, 8, 16)), (1, (3, 4, 5))][number % 4]
    outer, inner, sets = 3, (number + number // 4) % 4, (3 if number % 2 else 1)
    rng = np.random.default_rng(number)
    channels = (2,) if gated else ()
    weight = rng.standard_normal((sets, 27, *channels, *shape)) * 27**-0.5
    bias = rng.standard_normal((sets, *channels, *shape)) * 0.3
    scale = None if gated else rng.standard_normal((sets, *shape))
    norm = (1 + 0.2 * rng.standard_normal(shape), 0.2 * rng.standard_normal(shape))
    x = rng.standard_normal((3, *shape))
    given = parameters(
        weight, bias, scale, norm, block=block, innerSteps=inner, outerSteps=outer, gated=gated,
        normalize=not gated and number % 4 == 0, activation=activation, outerResidual=outer_residual,
    )  # fmt: skip
    check(tab, given, x, expected_grids(given, weight, bias, scale, norm, x), atol=2e-4)


SLOW = pytest.param("gridnet-mnist-gated", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["gridnet-mnist", SLOW, "gridnet-digits"])
def test_shipped_models_give_the_labels_and_logits_of_the_sdk(site: Any, tab: SitePage, name: str) -> None:
    check_shipped(site, tab, name)


@pytest.mark.slow
def test_a_gridnet_with_patches_gives_the_labels_and_logits_of_the_sdk(cifar_site: Any, cifar_tab: SitePage) -> None:
    check_shipped(cifar_site, cifar_tab, "gridnet-cifar10")


def check_shipped(site: Any, tab: SitePage, name: str) -> None:
    count = 16  # a CPU takes 0.2 to 0.4 s for each by WebGPU
    entry = entries(site)[name]
    if entry["samples"] is None:
        pytest.skip(f"the data set of {name} is not on this machine")
    model = sdk.load(str(bundled_models()[name]), backend="onnx")
    logits = model.logits(raw_samples(site, entry)[:count])
    found = tab.call(SHIPPED, {**entry, "count": count})
    assert [model.labels[np.argmax(row)] for row in found["gpu"]] == [model.labels[i] for i in logits.argmax(1)]
    np.testing.assert_allclose(found["gpu"], logits, atol=1e-3)
    np.testing.assert_allclose(found["plain"], logits[:3], atol=1e-3)


def test_blocks_beyond_the_workgroup_memory_are_refused_in_a_sentence(tab: SitePage) -> None:
    assert refusal(tab, (32, 32, 32), 32) == "Blocks of 32 cells a side are too large for WebGPU's workgroup memory."


def test_more_blocks_than_webgpu_dispatches_are_refused_in_a_sentence(tab: SitePage) -> None:
    assert refusal(tab, (64, 64, 32), 1) == "The grid has 131072 blocks, more than WebGPU computes in one pass."


def refusal(tab: SitePage, grid: tuple[int, int, int], block: int) -> str:
    """Return the sentence that refuses a grid, which is not allocated."""
    one = np.zeros((1, 1, 1, 1))
    given = parameters(
        np.zeros((1, 27, 1)), one, one, (one[0], one[0]), block=block, innerSteps=1, outerSteps=1, gated=False,
        normalize=False, activation="relu", outerResidual=False,
    )  # fmt: skip
    body = f"try {{ {EVOLVE} }} catch (error) {{ return [error.constructor.name, error.message]; }}"
    kind, message = tab.call(body, {"parameters": {**given, "grid": grid}, "x": []})
    assert kind == "UserError"
    return str(message)
