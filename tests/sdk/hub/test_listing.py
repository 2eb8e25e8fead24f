"""Models on the Hub, listed by user and searched by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

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


def test_a_model_that_the_token_may_not_read_is_left_out_with_a_warning(
    hub: HubServer, repo: Repo, client: HubClient, tiny: Path, tmp_path: Path
) -> None:
    hub.repos["alice/gated"] = Repo(gated=True)
    hub.repos["alice/gated"].put(dict(files_of(tiny)))
    found = client.list("alice", cache=tmp_path / "cache")
    assert [row[0] for row in found["rows"]] == [REPO]
    assert len(found["warnings"]) == 1
    assert "alice/gated is gated" in found["warnings"][0]


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "odd"},
        [3],
        [{"name": "x"}],
        [{"id": None}],
        "text",
        [{"id": "../x"}],
        [{"id": "alice/x", "tags": 3}],
        [{"id": "alice/x", "lastModified": "soon"}],
    ],
)
def test_an_answer_that_lists_no_models_is_one_line(
    answer: Any, hub: HubServer, client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub._api, "_list", lambda *_: JSONResponse(answer))
    found = client.zoo("search", "x")
    assert found["code"] == 1, found
    assert found["err"].count("\n") == 1
    assert "list of models" in found["err"]
