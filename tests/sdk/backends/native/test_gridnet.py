"""Gridnets in the native backend: the bits of torch in every variant, and configs that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sdk
from sdk import ArtifactError, InputSpec
from sdk.backends.native import gridnet, snapshots
from tests.support.artifacts import SPEC, artifact_arguments
from tests.support.native import check_same_bits, each_isa
from zoo.artifacts.writer import write_artifact
from zoo.families.gridnet.config import GridnetConfig, PatchConfig
from zoo.families.snapshots.config import SnapshotsConfig

COLOUR = InputSpec("image", (3, 4, 6), (0.5,) * 3, (0.25,) * 3)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gated": {"gated": True},
    "normalised": {"normalize": True},
    "identity": {"inner_steps": 0},
    "gated identity": {"inner_steps": 0, "gated": True, "separate_params": True},
    "inner steps": {"inner_steps": 3},
    "normalised inner steps": {"inner_steps": 2, "normalize": True},
    "gated inner steps": {"inner_steps": 2, "gated": True},
    "outer residual": {"outer_residual": True},
    "gated outer residual with parameters per step": {"outer_residual": True, "gated": True, "separate_params": True},
    "parameters per step": {"separate_params": True},
    "normalised with parameters per step": {"separate_params": True, "normalize": True},
    "one step": {"outer_steps": 1},
    "one step with its own parameters": {"outer_steps": 1, "separate_params": True},
    "relu": {"activation": "relu"},
    "leaky relu": {"activation": "leaky_relu"},
    "tanh": {"activation": "tanh", "eps": 0.1, "normalize": True},
    "patches": {"patch": PatchConfig(size=2, channels=3)},
    "all faces read": {"output_layers": 4},
    "patches, all faces, uneven grid": {
        "patch": PatchConfig(size=1, channels=4),
        "output_layers": 3,
        "grid": (6, 10, 4),
        "block": 1,
    },
    "colour": {"grid": (5, 7, 3), "block": 1, "output_layers": 2},
    "colour patches": {"grid": (3, 4, 9), "block": 1, "patch": PatchConfig(size=2, channels=8), "output_layers": 9},
}


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the artifact of a variant, with parameters that all differ."""
    folder = tmp_path_factory.mktemp("variants")

    def write(name: str) -> Path:
        path = folder / name.replace(" ", "-").replace(",", "")
        if path.exists():
            return path
        config = GridnetConfig(**{"grid": (4, 6, 4), "block": 2, "outer_steps": 3, **VARIANTS[name]})
        spec = COLOUR if name.startswith("colour") else SPEC
        arguments = artifact_arguments(config, input_spec=spec, name=path.name)
        with torch.no_grad():
            for parameter in arguments["module"].parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        return write_artifact(path, **arguments)

    return write


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_gridnet_gives_the_bits_of_torch(
    name: str, variants: Callable[[str], Path], threads: int
) -> None:
    folder = variants(name)
    native, other = sdk.load(folder, backend="native", threads=threads), sdk.load(folder, backend="torch")
    for _ in each_isa():
        check_same_bits(native, other)


WRONG: list[tuple[str, Any]] = [
    ("grid", [4, 4]), ("grid", [4, 4, 0]), ("grid", "4x4x4"), ("grid", [2, 2, 4]), ("grid", [8, 4, 4]), ("grid", None),
    ("block", 3), ("block", 0), ("inner_steps", -1), ("inner_steps", 2**70), ("outer_steps", "many"),
    ("outer_steps", 100_001), ("inner_steps", 50_000), ("activation", "gelu"), ("activation", 3), ("gated", 1),
    ("gated", True), ("normalize", None), ("eps", 0), ("eps", -1.0), ("eps", float("inf")), ("outer_residual", 3),
    ("separate_params", True), ("separate_params", []), ("patch", 4), ("patch", {"size": 3}), ("patch", {"side": 2}),
    ("patch", {"size": 2, "channels": 2}), ("patch", {"size": 2, "channels": 10**9}), ("output_layers", 0),
    ("output_layers", 5), ("output_layers", 2), ("recompute", 0), ("init_scale", "wide"), ("init_scale", 0),
    ("residual_scale", None), ("gate_bias", "x"), ("colour", "blue"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}={value}"[:40] for key, value in WRONG])
def test_a_gridnets_config_that_torch_refuses_is_refused(
    artifact: Path, edit_config: Callable[..., None], key: str, value: Any
) -> None:
    model = json.loads((artifact / "config.json").read_text())["model"]
    edit_config(artifact, model={**model, key: value})
    messages = {}
    for backend in ("torch", "native"):
        with pytest.raises(ArtifactError) as caught:
            sdk.load(artifact, backend=backend)
        messages[backend] = str(caught.value)
    assert "config.json" in messages["native"] or "model.safetensors" in messages["native"]
    assert "\n" not in messages["native"]


def test_defaults_are_those_of_the_families_configs() -> None:
    known = GridnetConfig(grid=(8, 8, 4)).model_dump(mode="json")
    assert {**gridnet._DEFAULTS, **dict.fromkeys(gridnet._OF_TRAINING)}.keys() | {
        "family",
        "grid",
        "block",
    } == known.keys()
    assert all(known[key] == value for key, value in gridnet._DEFAULTS.items())
    facts = gridnet._read({"family": "gridnet", "grid": [8, 8, 4]}, (1, 4, 4))
    assert (facts.block, facts.depth, facts.faces) == (known["block"], 1, 1)
    patch = gridnet._read({"family": "gridnet", "grid": [8, 8, 8], "patch": {}}, (1, 4, 4))
    assert (patch.patch, patch.depth) == (PatchConfig().size, PatchConfig().channels)
    stored = SnapshotsConfig().model_dump(mode="json")
    assert {"family", *snapshots._DEFAULTS, *snapshots._OF_TRAINING} == stored.keys()
    assert all(stored[key] == value for key, value in snapshots._DEFAULTS.items())
