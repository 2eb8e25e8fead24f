from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sdk import InputSpec
from zoo.export import gather_provenance, write_artifact
from zoo.families import get_family
from zoo.families.base import Task
from zoo.families.gridnet import GridnetConfig

SPEC = InputSpec("image", (1, 4, 4), (0.5,), (0.25,))
LABELS = ["zero", "one", "two"]


@pytest.fixture
def make_artifact(tmp_path: Path) -> Callable[..., Path]:
    """Write a small untrained gridnet under ``parent`` and return its folder."""

    def make(name: str = "tiny", parent: Path = tmp_path) -> Path:
        config = GridnetConfig(grid=(4, 4, 4), block=2, outer_steps=4)
        torch.manual_seed(0)
        return write_artifact(
            parent / name,
            name=name,
            module=get_family("gridnet").build(config, Task(SPEC.shape, len(LABELS))),
            model_config=config,
            input_spec=SPEC,
            labels=LABELS,
            metrics={"test": {"accuracy": 0.5}},
            provenance=gather_provenance("seed: 0\n", seed=0, steps=0, wall_seconds=0.0, data={"name": "none"}),
            recipe_yaml="seed: 0\n",
            licence="MIT",
        )

    return make


@pytest.fixture
def artifact(make_artifact: Callable[..., Path]) -> Path:
    return make_artifact()


@pytest.fixture
def edit_config() -> Callable[..., None]:
    """Change fields of an artifact's config.json; a value of ``...`` removes the field."""

    def edit(folder: Path, **changes: Any) -> None:
        data = json.loads((folder / "config.json").read_text())
        data.update(changes)
        data = {key: value for key, value in data.items() if value is not ...}
        (folder / "config.json").write_text(json.dumps(data))

    return edit


@pytest.fixture
def reseal(edit_config: Callable[..., None]) -> Callable[[Path, str, bytes], None]:
    """Replace a file's content and record its new hash: what a forger would do."""

    def forge(folder: Path, path: str, content: bytes) -> None:
        (folder / path).write_bytes(content)
        files = json.loads((folder / "config.json").read_text())["files"]
        files[path] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        edit_config(folder, files=files)

    return forge
