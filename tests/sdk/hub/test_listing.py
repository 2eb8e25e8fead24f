"""Models on the Hub, listed by user and searched by name."""

from __future__ import annotations

import json
from pathlib import Path

from sdk.artifact import read_config
from sdk.backends import backends_of
from tests.support.artifacts import files_of
from tests.support.hub_fixtures import REPO
from tests.support.hub_server import HubServer, Repo
from tests.support.hub_worker import HubClient


def test_the_models_of_a_user_are_listed_and_damaged_ones_are_named(
    hub: HubServer, repo: Repo, client: HubClient, tiny: Path, tmp_path: Path
) -> None:
    hub.repos["alice/broken"] = Repo()
    hub.repos["alice/broken"].put({**files_of(tiny), "config.json": b"{}"})
    hub.repos["alice/other"] = Repo()  # no model of cellzoo
    hub.repos["bob/tiny"] = Repo()
    hub.repos["bob/tiny"].put(dict(files_of(tiny)))
    found = client.list("alice", cache=tmp_path / "cache")
    config = read_config(tiny)
    size = sum(record.size for record in config.files.values())
    assert found["rows"] == [[REPO, config.family, "hub", size, list(backends_of(config))]]
    assert len(found["warnings"]) == 1
    assert "alice/broken" in found["warnings"][0]
    assert client.list("nobody", cache=tmp_path / "cache")["rows"] == []


def test_the_search_finds_models_by_name_and_author(hub: HubServer, repo: Repo, client: HubClient, tiny: Path) -> None:
    hub.repos["bob/large"] = Repo()
    hub.repos["bob/large"].put(dict(files_of(tiny)))
    every = json.loads(client.zoo("search", "--json")["out"])
    assert [entry["name"] for entry in every] == [REPO, "bob/large"]
    assert [entry["name"] for entry in json.loads(client.zoo("search", "lar", "--json")["out"])] == ["bob/large"]
    assert [entry["name"] for entry in json.loads(client.zoo("search", "--author", "alice", "--json")["out"])] == [REPO]
    assert "2026-11-29" in client.zoo("search", "tiny")["out"]
    assert client.zoo("search", "nothing")["out"] == "no models\n"


def test_a_search_that_cannot_be_made_is_one_line(hub: HubServer, client: HubClient) -> None:
    assert client.list("a/b")["message"].startswith("hub: found 'a/b'")
    assert "HF_HUB_OFFLINE" in client.list("alice", offline=True)["message"]
    assert "HF_HUB_OFFLINE" in client.zoo("search", "x", offline=True)["err"]
