"""Calls every registered op with every argument made wrong in turn; a program, so that a crash is a failed test.

Prints one line per call that was neither refused with a clear error nor answered as the sound call is.
"""

from __future__ import annotations

import faulthandler
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import zoo.kernels.dense
import zoo.kernels.gridnet
import zoo.kernels.nca
import zoo.kernels.sparse_linear  # noqa: F401 (registers the op)
from zoo.kernels.nca.reference import RuleSpec
from zoo.kernels.sparse_linear.structure import Structure
from zoo.kernels.sparse_network import Network

Call = tuple[str, dict[str, Any]]
NUMBERS = (-(2**63), -1, 0, 3, 2**31, 2**62, float("nan"), float("inf"), -1.0, True, "gelu", None)


def calls() -> Iterator[Call]:
    torch.manual_seed(0)
    for gated in (False, True):
        yield from gridnet_calls(gated)
    yield from nca_calls()
    yield from sparse_calls()
    yield from network_calls()
    yield from dense_calls()


def gridnet_calls(gated: bool) -> Iterator[Call]:
    grid, channels = (2, 4, 6), (2,) if gated else ()
    tensors = {
        "weight": torch.randn(1, 27, *channels, *grid) * 0.1, "bias": torch.randn(1, *channels, *grid),
        "residual_scale": None if gated else torch.randn(1, *grid), "norm_weight": torch.randn(grid),
        "norm_bias": torch.randn(grid), "x": torch.randn(3, *grid),
    }  # fmt: skip
    options = {
        "outer_steps": 2, "inner_steps": 1, "block": 2, "eps": 1e-5, "normalize": not gated, "activation": "silu",
        "norm_eps": 1e-5, "outer_residual": False, "recompute": 1,
    }  # fmt: skip
    yield "gridnet_evolve", {**tensors, **options, "save": True}
    saved = torch.ops.zoo.gridnet_evolve(*tensors.values(), *options.values(), True)[1]
    yield "gridnet_evolve_backward", {**tensors, "saved": saved, "grad_out": torch.randn(3, *grid), **options}


def nca_calls() -> Iterator[Call]:
    spec = RuleSpec((4, 5, 1), norm=True)
    tensors = {
        "signals": torch.randn(2, 2, 3, 4, 1), "fire_mask": torch.rand(3, 2, 2, 3, 4) < 0.5,
        "units": torch.tensor([[3, 3, 4], [2, 3, 1]], dtype=torch.int32), "parameters": torch.randn(spec.parameters),
    }  # fmt: skip
    rule = {
        "widths": [4, 5, 1], "hidden": "silu", "change": "tanh", "scale": 1.0, "pooling": "mean", "norm": True,
        "norm_eps": 1e-5,
    }  # fmt: skip
    state = torch.randn(2, 2, 3, 4, 1)
    yield "nca_evolve", {"state": state, **tensors, **rule, "save": True}
    saved = torch.ops.zoo.nca_evolve(state, *tensors.values(), *rule.values(), True)[1]
    yield "nca_evolve_backward", {
        "saved": saved, **tensors, "grad_out": torch.randn_like(state), **rule, "need_signals": True
    }  # fmt: skip


def sparse_calls() -> Iterator[Call]:
    mask = torch.rand(4, 6) < 0.4
    mask[-1] = True
    rows, columns = mask.nonzero(as_tuple=True)
    structure = Structure.of(4, 6, rows, columns)
    names = ("row_starts", "columns", "column_starts", "rows", "order")
    pattern = dict(zip(names, structure.pattern, strict=True))
    given = {"x": torch.randn(3, 6), "values": torch.randn(structure.entries)}
    yield "sparse_linear", {**given, **pattern}
    yield "sparse_linear_backward", {**given, "grad_y": torch.randn(3, 4), **pattern, "need_x": True}


def network_calls() -> Iterator[Call]:
    source, target = torch.tensor([0, 3, 5, 6, 8]), torch.tensor([6, 7, 10, 9, 10])
    network = Network.of(6, (3, 2), source, target, torch.arange(5))
    structure = dict(zip(("columns", "starts", "sources", "slots"), network.tensors, strict=True))
    given = {"x": torch.randn(3, 6), "weight": torch.randn(5), "bias": torch.randn(5)}
    rest = {"outputs": 2, "function": "tanh"}
    yield "sparse_network", {**given, **structure, **rest}
    saved = torch.ops.zoo.sparse_network(*given.values(), *structure.values(), *rest.values())[1]
    yield "sparse_network_backward", {
        **given, "saved": saved, "grad_y": torch.randn(3, 2), **structure, **rest, "need_x": True,
    }  # fmt: skip


def dense_calls() -> Iterator[Call]:
    x, weight, bias = torch.randn(3, 6), torch.randn(4, 6), torch.randn(4)
    yield "linear", {"x": x, "weight": weight, "bias": bias}
    yield "layer_norm", {"x": x, "weight": torch.randn(6), "bias": torch.randn(6), "eps": 1e-5}
    yield "apply", {"x": x, "function": "tanh"}
    yield "log_mixture", {"logits": torch.randn(2, 3, 4), "weights": torch.tensor([0.25, 0.75])}


def spoiled(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Wrong values of an argument."""
    if isinstance(value, Tensor):
        yield from spoiled_tensors(value)
        yield "None", None
    elif isinstance(value, list):
        for bad in ([], [0], [-1, 5, 1], [4, 2**31, 1], [4, 2**40, 1], [3, 5, 1], [4, 5, 2], [4] * 30, [2**62, 1]):
            yield str(bad), bad
    else:
        for bad in NUMBERS:
            if type(bad) is not type(value) or bad != value:
                yield repr(bad), bad


def spoiled_tensors(value: Tensor) -> Iterator[tuple[str, Tensor]]:
    shape = value.shape
    yield "rank - 1", value[0] if value.ndim else value
    yield "rank 0", value.flatten()[0]
    yield "rank + 1", value[None]
    yield "rank + 1 at the end", value[..., None]
    for axis in range(value.ndim):
        if shape[axis]:
            yield f"axis {axis} shorter", value.narrow(axis, 0, shape[axis] - 1)
        yield f"axis {axis} empty", value.narrow(axis, 0, 0)
        yield f"axis {axis} longer", torch.cat([value, value.narrow(axis, 0, 1)], axis)
    if value.ndim > 1 and len(set(shape)) > 1:
        yield "transposed", value.transpose(int(shape.numel() and 0), value.ndim - 1)
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool, torch.complex64):
        if dtype != value.dtype:
            yield str(dtype), value.to(dtype)
    yield "meta", value.to("meta")
    yield "sparse", value.to_sparse()
    if not value.is_floating_point() and value.dtype != torch.bool:
        for bad in (-1, 7, 2**31 - 1, -(2**31)):
            for place in (0, -1):
                changed = value.clone()
                changed.view(-1)[place] = bad
                yield f"{bad} at {place}", changed
        yield "reversed", value.flip(0)
        yield "zeros", torch.zeros_like(value)


def strided(value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The same values in other strides."""
    yield "every other element", torch.stack([value, torch.zeros_like(value)], -1).select(-1, 0)
    if value.ndim > 1:
        yield "transposed memory", value.transpose(0, -1).contiguous().transpose(0, -1)
    if value.is_floating_point():
        yield "a lazy negation", torch._neg_view(-value)


def run(op: Callable[..., Any], arguments: dict[str, Any]) -> list[Tensor]:
    result = op(*arguments.values())
    return [result] if isinstance(result, Tensor) else list(result)


def same(found: list[Tensor], wanted: list[Tensor], op: str) -> bool:
    pairs = list(zip(found, wanted, strict=True))
    if not op.endswith("backward") and len(pairs) > 1:
        pairs = pairs[:1]  # saved has gaps that nobody reads
    return all(torch.equal(a, b) for a, b in pairs)


def check(name: str, arguments: dict[str, Any], on_meta: bool) -> Iterator[str]:
    op = getattr(torch.ops.zoo, name)
    wanted = run(op, arguments)
    kind_of_call = f"gated {name}" if arguments.get("residual_scale", 0) is None else name
    for argument, value in arguments.items():
        for kind, bad in spoiled(argument, value):
            changed = {**arguments, argument: bad}
            if on_meta and kind != "meta":
                changed = {key: to_meta(item) for key, item in changed.items()}
            label = f"{name}({argument}: {kind}){' on meta' if on_meta else ''}"
            print(label, file=sys.stderr, flush=True)  # the last line names a crash
            try:
                found = run(op, changed)
            except (ValueError, TypeError, NotImplementedError) as error:
                if not str(error):
                    yield f"{label}: an error without a message"
            except RuntimeError as error:  # the dispatcher's own
                if not any(
                    part in str(error) for part in ("Expected a value of type", "expected", "Overflow", "overflow")
                ):
                    yield f"{label}: {type(error).__name__}: {str(error).splitlines()[0]}"
            else:
                values_only = on_meta and isinstance(bad, Tensor) and isinstance(value, Tensor) and (
                    bad.shape == value.shape and bad.dtype == value.dtype
                )  # fmt: skip
                if not values_only and not means_another(kind_of_call, argument, kind, bad, on_meta):
                    yield f"{label}: taken silently, {[list(t.shape) for t in found]}"
        if isinstance(value, Tensor) and not on_meta:
            for kind, other in strided(value):
                if not same(run(op, {**arguments, argument: other}), wanted, name):
                    yield f"{name}({argument}: {kind}): another result"


def means_another(op: str, argument: str, kind: str, bad: Any, on_meta: bool) -> bool:
    """True for a change that gives another sound call, or one whose fault lies in contents that meta tensors lack."""
    number = bad if isinstance(bad, (int, float)) else float("nan")
    if argument in ("save", "normalize", "outer_residual", "norm", "need_signals", "need_x"):
        return not isinstance(bad, str)  # the dispatcher takes anything for a boolean
    if argument in ("eps", "norm_eps", "scale"):
        unread = argument == "eps" and "gated" in op
        smallest = {"scale": -math.inf, "norm_eps": 0 if "nca" in op else 1e-30}.get(argument, 1e-30)
        return unread or smallest <= number < math.inf
    if argument in ("outer_steps", "inner_steps", "block", "recompute"):
        return number >= 1 and (number <= 3 or argument == "recompute") and number == int(number)
    if op.startswith("sparse_network"):
        return means_another_network(argument, kind, bad, on_meta)
    if op == "apply" and argument == "x":
        return kind.startswith(("rank", "axis", "transposed", "meta"))  # it has no shape of its own
    return (
        (argument == "logits" and kind.startswith(("axis 1", "axis 2 shorter", "axis 2 longer")))  # batch, classes
        or (argument == "fire_mask" and kind.startswith("axis 0") and not op.endswith("backward"))  # other epochs
        or (argument == "x" and kind.startswith("axis 0") and not op.endswith("backward"))  # another batch
        or (argument == "units" and isinstance(bad, Tensor) and bad.dtype == torch.int32 and bad.shape == (2, 3))
        or (argument == "pooling" and bad == "sum")
        or (on_meta and argument in ("saved", "row_starts") and kind in ("axis 0 shorter", "axis 0 longer"))
    )


def means_another_network(argument: str, kind: str, bad: Any, on_meta: bool) -> bool:
    """True for other sizes, numbers of outputs, shared weights, and inputs or weights that no edge reads."""
    if argument == "outputs":
        return bool(1 <= bad <= 5)
    lengths = {"x": "axis 1", "weight": "axis 0", "columns": "axis 0"}
    contents = {"x": ("longer",), "weight": ("longer",), "columns": ("shorter",)}
    if argument in lengths and kind.startswith(lengths[argument]):
        return on_meta or kind.endswith(contents[argument])
    return (argument == "slots" and kind in ("reversed", "zeros")) or (
        argument == "x" and kind.startswith(("axis 0", "transposed"))
    )


def to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) and value.layout == torch.strided else value


if __name__ == "__main__":
    faulthandler.enable()
    torch.use_deterministic_algorithms(True)
    problems = [problem for call in calls() for on_meta in (False, True) for problem in check(*call, on_meta)]
    print(*problems, sep="\n")
    print("finished")
