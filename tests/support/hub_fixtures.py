"""Fixtures: a local Hub, a process that runs the real client, and a small model to upload and download."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import files_of, write_tiny
from tests.support.hub_server import HubServer, Repo
from tests.support.hub_worker import HubClient

REPO = "alice/tiny"
"""The repo of the fixture ``repo``."""


@pytest.fixture(scope="session")
def _server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def client(_server: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    """A process that runs commands and loads models with the real client."""
    worker = HubClient(_server.endpoint, tmp_path_factory.mktemp("home"))
    yield worker
    worker.close()


@pytest.fixture
def hub(_server: HubServer) -> HubServer:
    """The Hub, empty and without faults."""
    _server.reset()
    return _server


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "tiny"
    return write_tiny(folder, metrics={"test": {"accuracy": 0.5}}, formats=("safetensors", "onnx"))


@pytest.fixture
def tiny(_made: Path, tmp_path: Path) -> Path:
    """The folder of a small untrained model with weights, ONNX and card; the test may change it."""
    return Path(shutil.copytree(_made, tmp_path / "tiny"))


@pytest.fixture
def repo(hub: HubServer, tiny: Path) -> Repo:
    """The small model on the Hub, tagged v1."""
    hub.repos[REPO] = Repo()
    hub.repos[REPO].refs["refs/tags/v1"] = hub.repos[REPO].put(dict(files_of(tiny)))
    return hub.repos[REPO]
