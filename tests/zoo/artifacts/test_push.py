"""``zoo push`` with the real client against a local Hub: what it sends, what it refuses, and what a failure leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sdk.artifact import read_config
from tests.support.artifacts import files_of
from tests.support.hub_server import READER, STRANGER, WRITER, HubServer, Repo
from tests.support.hub_worker import HubClient
from zoo.artifacts.writer import seal

REPO = "alice/tiny"
WRITES = r"^(POST|PUT) "


@pytest.fixture
def push(client: HubClient, tiny: Path) -> Any:
    """Push the small model; returns the lines of stdout."""

    def run(*options: object, token: str = WRITER, cache: Path = tiny.parent / "cache") -> list[str]:
        result = client.zoo("push", tiny, "--repo-id", REPO, *options, token=token, cache=cache)
        assert result["code"] == 0, result
        return list(result["out"].splitlines())

    return run


@pytest.fixture
def fails(client: HubClient, tiny: Path) -> Any:
    """Push where that must fail; returns the one line of stderr."""

    def run(*options: object, repo: str = REPO, token: str | None = WRITER) -> str:
        cache = tiny.parent / "cache"
        result = client.zoo("push", tiny, "--repo-id", repo, *options, token=token, cache=cache)
        lines = [line for line in result["err"].splitlines() if line.startswith("zoo: error: ")]
        assert result["code"] == 1, result
        assert len(lines) == 1, result
        assert "Traceback" not in result["err"]
        return str(lines[0])

    return run


def edit(folder: Path, **changes: Any) -> None:
    """Change fields of config.json, which no hash seals."""
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, **changes}))


# What it does


def test_a_push_creates_the_repo_and_makes_one_tagged_commit(hub: HubServer, push: Any, tiny: Path) -> None:
    lines = push()
    repo = hub.repos[REPO]
    assert repo.files == files_of(tiny)
    assert not repo.private
    assert len(repo.commits) == 2  # the one every repo begins with, and ours
    assert repo.messages[repo.main] == "Upload tiny 1.0.0"
    assert repo.refs["refs/tags/v1.0.0"] == repo.main
    assert lines == [
        "created the repo",
        "uploaded config.json, README.md, history.json, model.onnx, model.safetensors, recipe.yaml",
        f"commit: {repo.main}",
        "tag: v1.0.0",
        f"{hub.endpoint}/{REPO}",
    ]


def test_a_push_without_changes_uploads_nothing_and_says_so(hub: HubServer, push: Any) -> None:
    push()
    commit = hub.repos[REPO].main
    hub.log.clear()
    assert push() == [
        "nothing to upload: the repo has these files already",
        f"commit: {commit}",
        "tag: v1.0.0",
        f"{hub.endpoint}/{REPO}",
    ]
    assert hub.requests(WRITES) == []
    assert hub.repos[REPO].main == commit


def test_a_private_repo_is_private_from_the_start(hub: HubServer, push: Any) -> None:
    push("--private")
    assert hub.repos[REPO].private
    assert "nothing to upload" in push("--private")[0]


def test_only_what_changed_is_uploaded_and_the_message_is_ours(hub: HubServer, push: Any, tiny: Path) -> None:
    push()
    card = tiny / "README.md"
    card.write_text(card.read_text() + "\nMore.\n")
    seal(tiny, read_config(tiny))
    hub.log.clear()
    assert push("--message", "Say more")[0] == "uploaded config.json, README.md"
    repo = hub.repos[REPO]
    assert repo.files == files_of(tiny)
    assert repo.messages[repo.main] == "Say more"
    assert hub.requests("^PUT") == []


def test_a_tag_never_moves_and_a_raised_version_makes_another(hub: HubServer, push: Any, tiny: Path) -> None:
    push()
    first = hub.repos[REPO].main
    edit(tiny, licence="Apache-2.0")
    [note] = [line for line in push() if line.startswith("note: ")]
    assert f"v1.0.0 stays at commit {first}" in note
    assert "raise version in config.json" in note
    assert hub.repos[REPO].refs["refs/tags/v1.0.0"] == first != hub.repos[REPO].main
    edit(tiny, version="1.1.0")
    assert "tag: v1.1.0" in push()
    assert hub.repos[REPO].refs["refs/tags/v1.1.0"] == hub.repos[REPO].main


def test_files_the_model_lost_are_deleted_and_those_of_others_stay(hub: HubServer, push: Any, tiny: Path) -> None:
    (tiny / "figures").mkdir()
    (tiny / "figures" / "training.png").write_bytes(b"\x89PNG")
    seal(tiny, read_config(tiny))
    push()
    hub.repos[REPO].put({"LICENSE": b"MIT", "zzz/notes.txt": b"by hand"})
    (tiny / "figures" / "training.png").unlink()
    (tiny / "figures").rmdir()
    seal(tiny, read_config(tiny))
    hub.log.clear()
    lines = push()
    assert "deleted figures/training.png" in lines
    assert hub.repos[REPO].files == {**files_of(tiny), "LICENSE": b"MIT", "zzz/notes.txt": b"by hand"}
    assert len(hub.requests("^GET .*/tree/")) > 1  # the listing has several pages


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(hub: HubServer, push: Any, tiny: Path) -> None:
    assert push("--dry-run") == [
        "would create the repo",
        "would upload config.json, README.md, history.json, model.onnx, model.safetensors, recipe.yaml",
        f"{hub.endpoint}/{REPO}",
    ]
    assert hub.repos == {}
    push()
    edit(tiny, version="2.0.0")
    before = dict(hub.repos[REPO].refs)
    hub.log.clear()
    assert push("--dry-run") == ["would upload config.json", f"{hub.endpoint}/{REPO}"]
    assert hub.requests(WRITES) == []
    assert hub.repos[REPO].refs == before


def test_a_missing_branch_is_made_and_main_stays(hub: HubServer, push: Any, tiny: Path) -> None:
    push()
    main = hub.repos[REPO].main
    edit(tiny, version="2.0.0")
    push("--revision", "next/try")
    refs = hub.repos[REPO].refs
    assert refs["refs/heads/main"] == main
    assert refs["refs/heads/next/try"] == refs["refs/tags/v2.0.0"] != main


def test_a_pull_request_leaves_the_branch_and_is_not_tagged(hub: HubServer, push: Any, tiny: Path) -> None:
    push()
    main = hub.repos[REPO].main
    edit(tiny, version="2.0.0")
    lines = push("--create-pr")
    assert lines[-1] == f"{hub.endpoint}/{REPO}/discussions/1"
    refs = hub.repos[REPO].refs
    assert refs["refs/heads/main"] == main != refs["refs/pr/1"]
    assert "refs/tags/v2.0.0" not in refs


def test_a_commit_that_could_not_be_tagged_is_tagged_by_the_next_push(hub: HubServer, push: Any, fails: Any) -> None:
    hub.fail("^POST .*/tag/", status=500, times=1)
    assert "could not be tagged v1.0.0 (500); push again" in fails()
    assert "tag: v1.0.0" in push()


# What it refuses


@pytest.mark.parametrize("repo", ["tiny", "alice/tiny/x", "al--ice/tiny", "alice/-tiny", "alice/.git"])
def test_what_cannot_be_a_repo_is_refused(hub: HubServer, fails: Any, repo: str) -> None:
    assert repr(repo) in fails(repo=repo)
    assert hub.repos == {}


def test_without_a_token_one_line_says_how_to_get_one(hub: HubServer, fails: Any) -> None:
    assert f"pushing to {hub.endpoint} needs a token: log in with `hf auth login` or set HF_TOKEN" in fails(token=None)
    assert hub.log == []


def test_a_damaged_artifact_is_refused_before_anything_is_sent(hub: HubServer, fails: Any, tiny: Path) -> None:
    content = bytearray((tiny / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tiny / "model.safetensors").write_bytes(content)
    assert "model.safetensors was altered or damaged" in fails()
    assert hub.log == []


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "config.json lists no 'README.md'"),
        ("# tiny\n", "README.md does not begin with metadata for the Hub; `zoo card` makes the model card anew"),
        ("---\nlicense: [mit\n---\n", "README.md is no model card: while parsing"),
        ("---\n- mit\n---\n", "README.md is no model card"),
        ("---\nmodel-index: 3\n---\n", "README.md is no model card"),
    ],
)
def test_a_card_the_hub_cannot_read_is_refused(
    hub: HubServer, fails: Any, tiny: Path, card: str | None, message: str
) -> None:
    (tiny / "README.md").unlink()
    if card is not None:
        (tiny / "README.md").write_text(card)
    seal(tiny, read_config(tiny))
    assert message in fails()
    assert hub.log == []


def test_a_card_changed_by_hand_is_refused_with_the_command_that_seals_it(
    hub: HubServer, fails: Any, tiny: Path
) -> None:
    (tiny / "README.md").write_text((tiny / "README.md").read_text() + "more")
    message = fails()
    assert "README.md was altered" in message
    assert "`zoo card` makes the model card anew and keeps its notes" in message


def test_weights_and_onnx_that_disagree_are_refused(hub: HubServer, fails: Any, tiny: Path) -> None:
    model = onnx.load(tiny / "model.onnx")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "readout.weight")
    changed = numpy_helper.to_array(weights).copy()
    changed[0] += np.arange(changed.shape[1], dtype=np.float32)
    weights.CopyFrom(numpy_helper.from_array(changed, weights.name))
    onnx.save(model, tiny / "model.onnx")
    seal(tiny, read_config(tiny))
    assert "ONNX and torch are apart by" in fails()
    assert hub.log == []


def test_a_model_without_weights_is_refused(hub: HubServer, fails: Any, tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    seal(tiny, read_config(tiny))
    assert "model.safetensors" in fails()
    assert hub.log == []


@pytest.mark.parametrize("config", [b'{"model_type": "bert"}', b'{"format_version": 99}'])
def test_a_repo_that_holds_something_else_is_not_overwritten(hub: HubServer, fails: Any, config: bytes) -> None:
    hub.repos[REPO] = Repo()
    before = hub.repos[REPO].put({"config.json": config})
    message = fails()
    assert "config.json" in message
    assert "it is not overwritten, give another --repo-id" in message
    assert hub.repos[REPO].main == before


def test_private_is_refused_for_a_repo_that_is_public(hub: HubServer, push: Any, fails: Any) -> None:
    push()
    assert "exists and is public" in fails("--private")


def test_a_tag_cannot_be_pushed_to(hub: HubServer, push: Any, fails: Any) -> None:
    push()
    assert "'v1.0.0' is a tag of alice/tiny, which never moves" in fails("--revision", "v1.0.0")


# What the Hub refuses, and what a failure leaves


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_nobody", "answers 401: Invalid credentials in Authorization header; the token is not accepted"),
        (READER, "answers 403: You don't have the rights to write to alice; the token does not allow it"),
        (STRANGER, "answers 403: You don't have the rights to write to alice; the token does not allow it"),
    ],
)
def test_a_token_that_may_not_write_is_told_so(hub: HubServer, fails: Any, token: str, message: str) -> None:
    assert message in fails(token=token)
    assert hub.repos == {}
    hub.repos[REPO] = Repo()
    before = hub.repos[REPO].main
    assert message in fails(token=token)
    assert hub.repos[REPO].main == before


def test_a_repo_that_exists_and_cannot_be_seen_is_named(hub: HubServer, fails: Any) -> None:
    hub.repos[REPO] = Repo(private=True)
    hub.fail(f"^GET /api/models/{REPO}$", status=404)
    assert "404" in fails()
    hub.faults.clear()
    hub.fail("^POST /api/repos/create", status=409)
    assert "alice/tiny exists, and this token cannot see it" in fails(token=STRANGER)


def test_a_commit_of_someone_else_in_the_meantime_is_not_overwritten(hub: HubServer, push: Any, fails: Any) -> None:
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
def test_a_failed_push_leaves_the_old_commit_and_can_be_repeated(
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


def test_large_files_of_a_cut_push_are_not_sent_again(hub: HubServer, push: Any, fails: Any) -> None:
    hub.fail("^POST .*/commit/", cut=True, times=1)
    fails()
    assert len(hub.requests("^PUT")) == 2
    hub.log.clear()
    push()
    assert hub.requests("^PUT") == []
