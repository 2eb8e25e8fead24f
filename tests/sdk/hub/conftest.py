from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_fixtures import REPO, _made, _server, client, hub, repo, tiny  # noqa: F401  # fixtures
from tests.support.hub_worker import HubClient


@pytest.fixture
def load(client: HubClient, tmp_path: Path) -> Any:  # noqa: F811
    """Load a model from the Hub, by default into an empty cache."""

    def run(name: str = REPO, options: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        result = client.load(name, options, **{"cache": tmp_path / "cache", **settings})
        assert "error" not in result, result
        return result

    return run


@pytest.fixture
def fails(client: HubClient, tmp_path: Path) -> Any:  # noqa: F811
    """Load a model where that must fail; return the error's class and message, which is one line."""

    def run(name: str = REPO, options: dict[str, Any] | None = None, **settings: Any) -> tuple[str, str]:
        result = client.load(name, options, **{"cache": tmp_path / "cache", **settings})
        assert "error" in result, result
        assert "\n" not in result["message"]
        return result["error"], result["message"]

    return run
