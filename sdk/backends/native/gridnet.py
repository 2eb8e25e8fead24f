"""Gridnets in the compiled kernels: image to logits in one call."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import WEIGHTS_FILE, Artifact
from sdk.backends.native.network import NetworkBackend, address, choice, count, flag, positive, read_model
from sdk.errors import InputError
from sdk.inputs import FloatArray
from sdk.kernels import ACTIVATIONS, compiled
from sdk.validation import check_keys, check_list, check_type, describe
from sdk.weights import TensorSpec, read_weights

_NORM_EPS = 1e-5
"""torch's default, which both LayerNorms have."""
_MOST_ITERATIONS, _LARGEST_PATCH = 100_000, 1024
_DEFAULTS: dict[str, Any] = {
    "inner_steps": 1, "outer_steps": 12, "activation": "silu", "gated": False, "normalize": False, "eps": 1e-5,
    "outer_residual": False, "separate_params": False, "patch": None, "output_layers": 1,
}  # fmt: skip
_OF_TRAINING = {"recompute", "init_scale", "residual_scale", "gate_bias"}


class GridnetBackend(NetworkBackend):
    """Runs a gridnet."""

    network: Any

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of prepared images ``[B, C, H, W]``; raises as :meth:`run` does."""
        return self.run(self.network.logits, x)


class _Facts(NamedTuple):
    """The numbers of config.json that describe the network, checked."""

    grid: tuple[int, ...]
    block: int
    inner_steps: int
    outer_steps: int
    activation: int
    gated: bool
    normalize: bool
    eps: float
    outer_residual: bool
    separate: bool
    patch: int
    """Side of the convolution's kernel; 0 without one."""
    depth: int
    """Faces that the image enters."""
    faces: int
    """Faces that the classes are read from."""


def open_network(artifact: Artifact, threads: int) -> GridnetBackend:
    """Read the weights of a gridnet and prepare it; raises InputError for its config, ArtifactError for its weights."""
    shape, classes = artifact.config.input.shape, artifact.config.outputs
    facts = _read(artifact.config.model, shape)
    corner = _corner(facts, shape)
    file = artifact.file(WEIGHTS_FILE)
    tensors = read_weights(file, _expected(facts, shape, classes))
    if not facts.inner_steps:  # the identity, to which one plain update without weights comes
        facts = facts._replace(inner_steps=1, gated=False, normalize=False)
        shapes = _expected(facts, shape, classes)
        tensors |= {name: np.zeros(shapes[name][1], np.float32) for name in ("weight", "bias", "residual_scale")}
    backend = GridnetBackend(str(file), shape, classes, threads)
    kernels = compiled()
    backend.network = kernels.Gridnet(
        config=kernels.EvolveConfig(
            grid=facts.grid,
            batch=0,
            block=facts.block,
            inner_steps=facts.inner_steps,
            gated=facts.gated,
            normalize=facts.normalize,
            eps=facts.eps,
            activation=facts.activation,
            outer_steps=facts.outer_steps,
            separate=facts.separate and facts.outer_steps > 1,
            norm=True,
            outer_residual=facts.outer_residual,
            norm_eps=_NORM_EPS,
            recompute=1,
        ),
        image=shape,
        patch=facts.patch,
        depth=facts.depth,
        corner=corner,
        faces=facts.faces,
        classes=classes,
        norm_eps=_NORM_EPS,
        tensors=[address(tensors[name]) if name in tensors else 0 for name in _NAMES],
    )
    return backend


_NAMES = (
    "weight", "bias", "residual_scale", "norm.weight", "norm.bias", "grid_init", "patch_embed.weight",
    "patch_embed.bias", "readout_norm.weight", "readout_norm.bias", "readout.weight", "readout.bias",
)  # fmt: skip


def _read(model: dict[str, Any], shape: tuple[int, ...]) -> _Facts:
    """Check the ``model`` section as the family's config does; raises InputError for the first problem."""
    given = _DEFAULTS | read_model(model, {"grid"}, {*_DEFAULTS, *_OF_TRAINING, "block"})
    grid = tuple(count(axis, "grid") for axis in check_list(given["grid"], int, "model.grid"))
    if len(grid) != 3:
        raise InputError(f"model.grid: found {describe(list(grid))}, expected three axes M, N, K")
    common = math.gcd(*grid)
    block = count(given.get("block", max(side for side in range(1, 9) if common % side == 0)), "block")
    if common % block:
        raise InputError(f"model.block {block} must divide every axis of the grid {list(grid)}")
    patch, depth = _patch(given["patch"], shape)
    facts = _Facts(
        grid=grid,
        block=block,
        inner_steps=count(given["inner_steps"], "inner_steps", least=0, most=_MOST_ITERATIONS),
        outer_steps=count(given["outer_steps"], "outer_steps", most=_MOST_ITERATIONS),
        activation=choice(given["activation"], "activation", ACTIVATIONS),
        gated=flag(given["gated"], "gated"),
        normalize=flag(given["normalize"], "normalize"),
        eps=positive(given["eps"], "eps"),
        outer_residual=flag(given["outer_residual"], "outer_residual"),
        separate=flag(given["separate_params"], "separate_params"),
        patch=patch,
        depth=depth,
        faces=count(given["output_layers"], "output_layers", most=grid[2]),
    )
    _check_together(facts, given)
    return facts


def _check_together(facts: _Facts, given: dict[str, Any]) -> None:
    if facts.inner_steps * facts.outer_steps > _MOST_ITERATIONS:
        raise InputError(
            f"model.inner_steps {facts.inner_steps} times outer_steps {facts.outer_steps} should not exceed "
            f"{_MOST_ITERATIONS}"
        )
    if facts.gated and facts.normalize:
        raise InputError("model.normalize is not defined for gated steps; set one of them to false")
    if "recompute" in given:
        count(given["recompute"], "recompute")
    if "init_scale" in given:
        positive(given["init_scale"], "init_scale")
    for name in ("residual_scale", "gate_bias"):
        check_type(given.get(name, 0.0), float, f"model.{name}")


def _patch(patch: object, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the side of the convolution's kernel, 0 without one, and the number of faces that the image enters."""
    if len(shape) != 3:
        raise InputError(f"input: gridnet takes images [C, H, W], found inputs of shape {list(shape)}")
    if patch is None:
        return 0, shape[0]
    given = {"size": 4, "channels": 8} | check_keys(patch, set(), frozenset({"size", "channels"}), "model.patch")
    size = count(given["size"], "patch.size", most=_LARGEST_PATCH)
    if shape[1] % size or shape[2] % size:
        raise InputError(f"model.patch.size {size} must divide the image size {shape[1]}x{shape[2]}")
    return size, count(given["channels"], "patch.channels")


def _corner(facts: _Facts, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the first cell (row, column) of the image, which is centred on the faces."""
    rows, columns = (side // max(1, facts.patch) for side in shape[1:])
    m, n, k = facts.grid
    if rows > m or columns > n or facts.depth > k:
        raise InputError(
            f"model.grid: an image of {facts.depth}x{rows}x{columns} (CxHxW) does not fit the grid {[m, n, k]} (MxNxK)"
        )
    return (m - rows) // 2, (n - columns) // 2


def _expected(facts: _Facts, shape: tuple[int, ...], classes: int) -> dict[str, TensorSpec]:
    """Return the tensors that the weights file must have."""
    grid, sets = facts.grid, facts.outer_steps if facts.separate else 1
    channels = (2,) if facts.gated else ()
    read = (*grid[:2], facts.faces)
    shapes: dict[str, tuple[int, ...]] = {
        "grid_init": grid,
        "weight": (sets, 27, *channels, *grid),
        "bias": (sets, *channels, *grid),
        "norm.weight": grid,
        "norm.bias": grid,
        "readout_norm.weight": read,
        "readout_norm.bias": read,
        "readout.weight": (classes, math.prod(read)),
        "readout.bias": (classes,),
    }
    if not facts.gated:
        shapes["residual_scale"] = (sets, *grid)
    if facts.patch:
        shapes["patch_embed.weight"] = (facts.depth, shape[0], facts.patch, facts.patch)
        shapes["patch_embed.bias"] = (facts.depth,)
    return {name: ("float32", size) for name, size in shapes.items()}
