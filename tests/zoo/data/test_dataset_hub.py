from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.datasets import files_below, write_cifar_like
from tests.support.hub_fixtures import _server, client, hub  # noqa: F401  # fixtures
from tests.support.hub_server import WRITER, HubServer, Repo
from tests.support.hub_worker import HubClient
from zoo.data.dataset_hub import DATA_SUFFIXES
from zoo.data.dataset_source import READERS

REPO = "alice/cifar-like"
QUICK = ("-o", "train.epochs=1", "--quiet", "--overwrite")


@pytest.fixture
def repo(hub: HubServer, tmp_path: Path) -> Repo:  # noqa: F811
    """A data set of 10 training and 4 test images per class."""
    hub.repos[REPO] = Repo()
    hub.repos[REPO].put(files_below(write_cifar_like(tmp_path / "made", {"train": 10, "test": 4})))
    return hub.repos[REPO]


@pytest.fixture
def train(client: HubClient, tmp_path: Path) -> Any:  # noqa: F811
    """Train normnet on a data set by its id, with an empty cache of this test."""

    def run(*arguments: str, path: str = REPO, **settings: Any) -> dict[str, Any]:
        places = ("--run-dir", str(tmp_path / f"run{len(list(tmp_path.iterdir()))}"), "--out", str(tmp_path / "out"))
        given = ("train", "normnet-digits", "--data", path, *QUICK, *places, *arguments)
        return client.zoo(*given, **{"cache": tmp_path / "hub", **settings})

    return run


def test_a_data_set_is_downloaded_by_its_id(train: Any, repo: Repo, hub: HubServer) -> None:  # noqa: F811
    result = train()
    assert result["code"] == 0, result["err"]
    assert "normnet-digits-cifar-like: test accuracy" in result["out"]
    assert len(hub.requests(r"GET /lfs/")) == 2


def test_only_data_files_of_the_configuration_are_downloaded(train: Any, repo: Repo, hub: HubServer) -> None:  # noqa: F811
    repo.put({"model.pkl": b"x", "weights.safetensors": b"x", "other/big.parquet": b"x", "notes.txt": b"x"})
    assert train()["code"] == 0
    assert not hub.requests(r"(model\.pkl|weights|other|notes)")


def test_a_downloaded_data_set_needs_no_network(train: Any, repo: Repo, hub: HubServer) -> None:  # noqa: F811
    assert train()["code"] == 0
    hub.log.clear()
    result = train(offline=True)
    assert result["code"] == 0, result["err"]
    assert not hub.requests("dataset")


def test_an_unreachable_hub_is_replaced_by_the_cache(train: Any, repo: Repo, hub: HubServer) -> None:  # noqa: F811
    assert train()["code"] == 0
    hub.fail(".*", status=503)
    result = train()
    assert result["code"] == 0, result["err"]


def test_without_cache_an_unreachable_hub_is_an_error_of_one_line(train: Any, hub: HubServer) -> None:  # noqa: F811
    hub.fail(".*", status=503)
    result = train()
    assert result["code"] == 1
    assert "alice/cifar-like" in result["err"]
    assert "cache" in result["err"]
    assert "a bug" not in result["err"]


def test_a_revision_is_read_and_an_unknown_one_named(train: Any, repo: Repo, hub: HubServer, tmp_path: Path) -> None:  # noqa: F811
    repo.refs["refs/tags/v1"] = repo.main
    repo.put({"plain_text/train-00000-of-00001.parquet": b"damaged"})
    assert train("-o", "data.revision=v1")["code"] == 0
    assert "cannot be read" in train()["err"]
    assert "has no revision 'v9'" in train("-o", "data.revision=v9")["err"]


def test_a_private_data_set_needs_a_token(train: Any, repo: Repo) -> None:
    repo.private = True
    assert "no data set 'alice/cifar-like'" in train()["err"]
    assert train(token=WRITER)["code"] == 0


def test_a_loading_script_is_refused_and_not_downloaded(train: Any, repo: Repo, hub: HubServer) -> None:  # noqa: F811
    repo.put({"cifar-like.py": b"raise SystemExit('executed')"})
    result = train()
    assert result["code"] == 1
    assert "loading script cifar-like.py, which is never executed" in result["err"]
    assert not hub.requests("GET .*cifar-like.py")


@pytest.mark.parametrize("pattern", ["../../secret*", "/etc/passwd", "https://example.org/x.csv", "zip://x::https://y"])
def test_a_card_cannot_name_files_outside_the_repo(train: Any, repo: Repo, pattern: str) -> None:
    repo.put({"README.md": f"---\nconfigs:\n- config_name: a\n  data_files: '{pattern}'\n---\n".encode()})
    result = train()
    assert result["code"] == 1
    assert "allowed are files inside the data set" in result["err"]


def test_every_kind_of_file_that_is_read_is_downloaded() -> None:
    assert set(DATA_SUFFIXES) == set(READERS)
