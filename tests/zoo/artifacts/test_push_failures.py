"""``zoo push`` against a local Hub: what is refused, and what a failure leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.artifacts import files_of
from tests.support.hub_fixtures import REPO
from tests.support.hub_server import READER, STRANGER, HubServer, Repo


@pytest.mark.parametrize("repo", ["tiny", "alice/tiny/x", "al--ice/tiny", "alice/-tiny", "alice/.git"])
def test_an_invalid_repo_id_is_refused(hub: HubServer, fails: Any, repo: str) -> None:
    assert repr(repo) in fails(repo=repo)
    assert hub.repos == {}


def test_a_missing_token_is_reported_with_the_way_to_get_one(hub: HubServer, fails: Any) -> None:
    assert f"pushing to {hub.endpoint} needs a token: log in with `hf auth login` or set HF_TOKEN" in fails(token=None)
    assert hub.log == []


@pytest.mark.parametrize("config", [b'{"model_type": "bert"}', b'{"format_version": 99}'])
def test_a_repo_without_a_cellzoo_model_is_not_overwritten(hub: HubServer, fails: Any, config: bytes) -> None:
    hub.repos[REPO] = Repo()
    before = hub.repos[REPO].put({"config.json": config})
    message = fails()
    assert "config.json" in message
    assert "it is not overwritten: give another --repo-id" in message
    assert hub.repos[REPO].main == before


def test_private_is_refused_for_a_public_repo(hub: HubServer, push: Any, fails: Any) -> None:
    push()
    assert "exists and is public" in fails("--private")


def test_a_tag_cannot_be_pushed_to(hub: HubServer, push: Any, fails: Any) -> None:
    push()
    assert "'v1.0.0' is a tag of alice/tiny, and a tag never moves" in fails("--revision", "v1.0.0")


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_nobody", "answers 401: Invalid credentials in Authorization header; the token is not accepted"),
        (READER, "answers 403: You don't have the rights to write to alice; the token does not allow it"),
        (STRANGER, "answers 403: You don't have the rights to write to alice; the token does not allow it"),
    ],
)
def test_a_token_without_write_access_is_refused(hub: HubServer, fails: Any, token: str, message: str) -> None:
    assert message in fails(token=token)
    assert hub.repos == {}
    hub.repos[REPO] = Repo()
    before = hub.repos[REPO].main
    assert message in fails(token=token)
    assert hub.repos[REPO].main == before


def test_an_existing_repo_that_the_token_cannot_see_is_named(hub: HubServer, fails: Any) -> None:
    hub.repos[REPO] = Repo(private=True)
    hub.fail(f"^GET /api/models/{REPO}$", status=404)
    assert "404" in fails()
    hub.faults.clear()
    hub.fail("^POST /api/repos/create", status=409)
    assert "alice/tiny exists, but this token cannot see it" in fails(token=STRANGER)


def test_a_concurrent_commit_is_not_overwritten(hub: HubServer, push: Any, fails: Any) -> None:
    push()
    hub.repos[REPO].put({"recipe.yaml": b"seed: 1\n"})
    theirs = []

    def commit_meanwhile(body: bytes) -> bytes:
        theirs.append(hub.repos[REPO].put({"LICENSE": b"MIT"}))
        return body

    hub.fail("^POST .*/preupload/", alter=commit_meanwhile, times=1)
    message = fails()
    assert "answers 412: A commit has happened since" in message
    assert "the repo was changed in the meantime, and nothing was written; try again" in message
    assert [hub.repos[REPO].main] == theirs
    assert push()[0] == "uploaded recipe.yaml"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"pattern": "^GET /api/models/", "status": 503}, "answers 503: as the test asked; the Hub has a problem"),
        ({"pattern": "^GET /api/models/", "status": 429}, "too many requests"),
        ({"pattern": "^GET /api/models/", "status": 418}, "is HF_ENDPOINT a Hub?"),
        ({"pattern": "^GET /api/models/", "delay": 3.0, "times": 1}, "cannot reach"),
        ({"pattern": "^POST .*/commit/", "status": 500}, "the Hub has a problem"),
        ({"pattern": "^POST .*/commit/", "cut": True}, "cannot reach"),
        ({"pattern": "^PUT /lfs/", "status": 403}, "the token does not allow it"),
    ],
)
def test_a_failed_push_leaves_the_old_commit_and_can_be_retried(
    hub: HubServer, push: Any, fails: Any, tiny: Path, fault: dict[str, Any], message: str
) -> None:
    hub.repos[REPO] = Repo()
    before = hub.repos[REPO].main
    hub.fail(**fault)
    assert message in fails()
    assert hub.repos[REPO].main == before
    hub.faults.clear()
    assert push()[0].startswith("uploaded config.json")
    assert hub.repos[REPO].files == files_of(tiny)


def test_large_files_of_an_interrupted_push_are_not_sent_again(hub: HubServer, push: Any, fails: Any) -> None:
    hub.fail("^POST .*/commit/", cut=True, times=1)
    fails()
    assert len(hub.requests("^PUT")) == 2
    hub.log.clear()
    push()
    assert hub.requests("^PUT") == []
