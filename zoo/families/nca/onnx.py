"""ONNX files of a Meta-NCA: the grown task network as a classifier, and the rule, which grows other networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from zoo.data.task import Task
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import wire
from zoo.families.nca.rule import SIGNAL_GAIN, Rule
from zoo.families.nca.sensing import SIGNALS
from zoo.families.onnx_builder import GraphBuilder

RULE_FILE = "rule.onnx"
_TOLERANCE = 1e-4


def onnx_graph(module: MetaNca, task: Task) -> onnx.ModelProto:
    """Return the task network: ``input [B, features]`` -> ``logits [B, classes]``, matrices with ReLUs between."""
    g = GraphBuilder()
    x = g.op("Div", g.op("Sub", "input", g.weight("shift", module.shift)), g.weight("scale", module.scale))
    if module.config.bias:
        x = g.pad(x, (0, 0), (0, 1), value=1.0)
    weights = module.task_weights
    for number, weight in enumerate(weights):
        x = g.op("MatMul", x, g.weight(f"task_{number}", weight))
        if number + 1 < len(weights):
            x = g.op("Relu", x)
    return g.model("nca", x, task.input_shape, task.num_classes)


def rule_files(module: MetaNca, task: Task) -> dict[str, onnx.ModelProto]:
    """Return ``rule.onnx``, which applies the rule to one layer for one epoch, checked against the module.

    ``weights [inputs, outputs]``, ``states [inputs, outputs, H]`` and ``mask [inputs, outputs]`` (1: the weight
    changes, 0: it does not) -> ``new_weights``, ``new_states``. A rule that senses also takes, over the examples,
    ``before [examples, inputs]`` and ``after [examples, outputs]``, the activations at either end (probabilities at
    the output layer) or the sums before them, and, with a teaching signal, ``errors [examples, outputs]``. Raises
    ValueError when file and module disagree.
    """
    g, config = GraphBuilder(), module.config.rule
    state = g.op("Concat", g.op("Unsqueeze", "weights", g.constant([2])), "states", axis=2)
    perceived = [state, _neighbours(g, state, 0, config.pooling), _neighbours(g, state, 1, config.pooling)]
    if config.senses != "none":
        perceived.append(_signals(g, config.senses == "teaching"))
    changes = _rule(g, module.rule, g.op("Concat", *perceived, axis=2))
    masked = g.op("Mul", changes, g.op("Unsqueeze", "mask", g.constant([2])))
    after = g.op("Add", state, masked)
    channels = module.rule.channels
    new_weights = g.op("Squeeze", g.slice(after, 2, 0, 1), g.constant([2]))
    new_states = g.slice(after, 2, 1, channels) if channels > 1 else "states"
    plane = ("inputs", "outputs")
    model = g.function(
        "nca_rule",
        _inputs(module),
        {"new_weights": (new_weights, plane), "new_states": (new_states, (*plane, channels - 1))},
    )
    _check(model, module)
    return {RULE_FILE: model}


def one_layer(module: MetaNca, given: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
    """Compute the outputs of ``rule.onnx`` with the module: new weights and states from the file's inputs."""
    tensors = {name: torch.from_numpy(value) for name, value in given.items()}
    state = torch.cat([tensors["weights"][..., None], tensors["states"]], -1)[None, None]
    wiring = wire([tensors["weights"].shape])
    signals = []
    if "before" in tensors:
        signals += [tensors["before"].mean(0)[:, None], tensors["after"].mean(0)[None]]
    if "errors" in tensors:
        product = tensors["before"].T @ tensors["errors"] / len(tensors["errors"])
        signals += [tensors["errors"].mean(0)[None], product]
    plane = tensors["weights"].shape
    stacked = torch.stack([signal.expand(plane) for signal in signals], -1)[None, None] if signals else None
    with torch.no_grad():
        fire_mask = tensors["mask"][None, None, None] > 0
        after = module.rule.evolve(state, wiring, fire_mask, stacked)[0, 0]
    return after[..., 0].numpy(), after[..., 1:].numpy()


def _inputs(module: MetaNca) -> dict[str, tuple[int | str, ...]]:
    plane = ("inputs", "outputs")
    shapes: dict[str, tuple[int | str, ...]] = {
        "weights": plane, "states": (*plane, module.rule.channels - 1), "mask": plane,
    }  # fmt: skip
    if module.config.rule.senses != "none":
        shapes |= {"before": ("examples", "inputs"), "after": ("examples", "outputs")}
    if module.config.rule.senses == "teaching":
        shapes["errors"] = ("examples", "outputs")
    return shapes


def _neighbours(g: GraphBuilder, state: str, axis: int, pooling: str) -> str:
    """Reduce the other weights' states along an axis: the sum of all minus the weight's own."""
    others = g.op("Sub", g.sum(state, (axis,)), state)
    if pooling == "sum":
        return others
    count = g.op("Cast", g.op("Gather", g.op("Shape", state), g.constant(axis), axis=0), to=onnx.TensorProto.FLOAT)
    return g.op("Div", others, g.op("Max", g.op("Sub", count, g.scalar(1)), g.scalar(1)))


def _signals(g: GraphBuilder, teaching: bool) -> str:
    """Return signals ``[inputs, outputs, signals]``, averaged over the examples."""
    before, after = g.mean("before", (0,)), g.mean("after", (0,))
    signals = [g.reshape(before, (-1, 1)), g.reshape(after, (1, -1))]
    if teaching:
        count = g.op("Cast", g.op("Gather", g.op("Shape", "before"), g.constant(0), axis=0), to=onnx.TensorProto.FLOAT)
        product = g.op("MatMul", g.transpose("before", (1, 0)), "errors")
        signals += [g.reshape(g.mean("errors", (0,)), (1, -1)), g.op("Div", product, count)]
    plane = g.op("Shape", "weights")
    wide = [g.op("Unsqueeze", g.op("Expand", signal, plane), g.constant([2])) for signal in signals]
    return g.op("Concat", *wide, axis=2)


def _rule(g: GraphBuilder, rule: Rule, x: str) -> str:
    config = rule.config
    if config.senses == "teaching":
        features, start = rule.features, rule.features - SIGNALS["teaching"]
        own, signals = g.slice(x, 2, 0, start), g.slice(x, 2, start, features)
        compressed = g.op("Mul", g.op("Asinh", g.op("Mul", signals, g.scalar(SIGNAL_GAIN))), g.scalar(0.5))
        x = g.op("Concat", own, compressed, axis=2)
    if isinstance(rule.norm, torch.nn.LayerNorm):
        scale, bias = (g.weight(f"norm.{part}", getattr(rule.norm, part)) for part in ("weight", "bias"))
        x = g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=rule.norm.eps)
    for number, layer in enumerate(rule.linears):
        weight = g.transpose(g.weight(f"layers.{number}.weight", layer.weight), (1, 0))
        x = g.op("Add", g.op("MatMul", x, weight), g.weight(f"layers.{number}.bias", layer.bias))
        if number + 1 < len(rule.linears):
            x = g.op("Relu", x) if config.activation == "relu" else g.op("Mul", x, g.op("Sigmoid", x))
    if config.change != "linear":
        x = g.op("Tanh" if config.change == "tanh" else "Sigmoid", x)
    return g.op("Mul", x, g.scalar(config.scale))


def _check(model: onnx.ModelProto, module: MetaNca) -> None:
    """Raise ValueError unless the file computes one epoch of a layer as the module does."""
    onnx.checker.check_model(model, full_check=True)
    noise = np.random.default_rng(0)
    sizes: dict[str, int] = {"inputs": 5, "outputs": 3, "examples": 7}
    given = {
        name: noise.standard_normal([sizes[n] if isinstance(n, str) else n for n in shape]).astype(np.float32)
        for name, shape in _inputs(module).items()
    }
    given["mask"] = (given["mask"] > 0).astype(np.float32)
    expected = one_layer(module, given)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, want, found in zip(("new_weights", "new_states"), expected, session.run(None, given), strict=True):
        gap = float(np.abs(found - want).max(initial=0))
        if not gap <= _TOLERANCE:
            raise ValueError(f"{RULE_FILE}: {name} differs from torch by {gap:g}, allowed {_TOLERANCE:g}")
