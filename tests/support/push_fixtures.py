"""``zoo push`` of the small model to the local Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_fixtures import REPO
from tests.support.hub_server import WRITER
from tests.support.hub_worker import HubClient


@pytest.fixture
def push(client: HubClient, tiny: Path) -> Any:
    """Push the small model and return the lines of stdout."""

    def run(*options: object, token: str = WRITER, cache: Path = tiny.parent / "cache") -> list[str]:
        result = client.zoo("push", tiny, "--repo-id", REPO, *options, token=token, cache=cache)
        assert result["code"] == 0, result
        return list(result["out"].splitlines())

    return run


@pytest.fixture
def fails(client: HubClient, tiny: Path) -> Any:
    """Push, expect a failure, and return the single error line."""

    def run(*options: object, repo: str = REPO, token: str | None = WRITER) -> str:
        cache = tiny.parent / "cache"
        result = client.zoo("push", tiny, "--repo-id", repo, *options, token=token, cache=cache)
        lines = [line for line in result["err"].splitlines() if line.startswith("zoo: error: ")]
        assert result["code"] == 1, result
        assert len(lines) == 1, result
        assert "Traceback" not in result["err"]
        return str(lines[0])

    return run
