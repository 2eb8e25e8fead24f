"""Every trained model that ships goes to a Hub and comes back, to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdk.artifact import read_config
from sdk.catalogue import bundled_models
from sdk.models import backends_of
from tests.support.artifacts import files_of
from tests.support.hub_server import WRITER, HubServer
from tests.support.hub_worker import HubClient

NAMES = sorted(bundled_models())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cache lies."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def offline(_server: HubServer, home: Path) -> Iterator[HubClient]:
    """A process that has loaded nothing from the Hub, started with HF_HUB_OFFLINE set and that cache."""
    worker = HubClient(_server.endpoint, home, HF_HUB_OFFLINE="1")
    yield worker
    worker.close()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_pushed_pulled_into_an_empty_cache_and_predicts_the_same_bits_offline_too(
    hub: HubServer, client: HubClient, offline: HubClient, home: Path, tmp_path: Path, name: str
) -> None:
    folder = bundled_models()[name]
    repo_id, cache = f"alice/{name}", home / "hub"
    assert not list(cache.glob(f"models--alice--{name}"))
    pushed = client.zoo("push", name, "--repo-id", repo_id, token=WRITER, cache=tmp_path / "pushing")
    assert pushed["code"] == 0, pushed
    assert hub.repos[repo_id].files == files_of(folder)
    origin = f"{repo_id}@{hub.repos[repo_id].main}"
    backends = backends_of(read_config(folder))
    expected = {backend: client.load(str(folder), {"backend": backend})["logits"] for backend in backends}
    for backend in backends:
        pulled = client.load(repo_id, {"backend": backend}, cache=cache)
        assert (pulled["origin"], pulled["logits"]) == (origin, expected[backend])
    hub.log.clear()
    for revision in (repo_id, origin):
        loaded = offline.load(revision, {"backend": backends[0]})
        assert (loaded["origin"], loaded["logits"]) == (origin, expected[backends[0]])
    for backend in backends:
        assert client.load(repo_id, {"backend": backend}, cache=cache, offline=True)["logits"] == expected[backend]
    assert hub.log == []


def test_a_model_on_the_hub_is_evaluated_as_the_one_here(hub: HubServer, client: HubClient, tmp_path: Path) -> None:
    pushed = client.zoo("push", "gridnet-digits", "--repo-id", "alice/digits", token=WRITER, cache=tmp_path / "pushing")
    assert pushed["code"] == 0, pushed
    result = client.zoo("eval", "alice/digits", cache=tmp_path / "cache")
    assert "recorded 355/360: the same" in result["out"], result
