"""Fixtures that write small untrained models as artifacts, and alter them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdk import catalog
from tests.support.artifacts import write_tiny


@pytest.fixture
def make_artifact(tmp_path: Path) -> Callable[..., Path]:
    """Write a small untrained gridnet below ``parent`` and return its folder."""

    def make(name: str = "tiny", parent: Path = tmp_path) -> Path:
        return write_tiny(parent / name, metrics={"test": {"accuracy": 0.5}})

    return make


@pytest.fixture
def artifact(make_artifact: Callable[..., Path]) -> Path:
    """The folder of a small untrained gridnet, named tiny."""
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
    """Replace a file's content and record its new hash, as a forger would."""

    def forge(folder: Path, path: str, content: bytes) -> None:
        (folder / path).write_bytes(content)
        files = json.loads((folder / "config.json").read_text())["files"]
        files[path] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        edit_config(folder, files=files)

    return forge


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that replaces the folder of the bundled models."""
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.setattr(catalog, "exports_folder", lambda: folder)
    return folder
