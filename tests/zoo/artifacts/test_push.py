"""``zoo push`` with the real client against a local Hub: what it uploads, deletes and tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from huggingface_hub import HfApi

from sdk.artifact import read_artifact, read_config
from tests.support.artifacts import files_of, write_tiny
from tests.support.hub_fixtures import REPO
from tests.support.hub_server import HubServer, Repo
from zoo.artifacts.hub_results import RESULTS_FILE as RESULTS
from zoo.artifacts.hub_results import evaluation_results
from zoo.artifacts.seal import seal
from zoo.utils.provenance import gather_provenance

WRITES = r"^(POST|PUT) "


def edit(folder: Path, **changes: Any) -> None:
    """Change fields of config.json, which is itself not hashed."""
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, **changes}))


def test_a_first_push_creates_the_repo_with_one_tagged_commit(hub: HubServer, push: Any, tiny: Path) -> None:
    lines = push()
    repo = hub.repos[REPO]
    assert repo.files == files_of(tiny)
    assert not repo.private
    assert len(repo.commits) == 2  # the initial commit of every repo, and the push
    assert repo.messages[repo.main] == "Upload tiny 1.0.0"
    assert repo.refs["refs/tags/v1.0.0"] == repo.main
    assert lines == [
        "created the repo",
        "uploaded config.json, README.md, history.json, model.onnx, model.safetensors, recipe.yaml",
        f"commit: {repo.main}",
        "tag: v1.0.0",
        f"{hub.endpoint}/{REPO}",
    ]


def test_a_push_without_changes_uploads_nothing(hub: HubServer, push: Any) -> None:
    push()
    commit = hub.repos[REPO].main
    hub.log.clear()
    assert push() == [
        "nothing to upload: the repo already has these files",
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


def test_only_changed_files_are_uploaded_with_the_given_message(hub: HubServer, push: Any, tiny: Path) -> None:
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


def test_a_tag_never_moves_and_a_new_version_gets_a_new_tag(hub: HubServer, push: Any, tiny: Path) -> None:
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


def test_files_the_model_lost_are_deleted_and_foreign_files_stay(hub: HubServer, push: Any, tiny: Path) -> None:
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


def test_a_dry_run_reports_the_push_and_writes_nothing(hub: HubServer, push: Any, tiny: Path) -> None:
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


def test_a_missing_branch_is_created_and_main_stays(hub: HubServer, push: Any, tiny: Path) -> None:
    push()
    main = hub.repos[REPO].main
    edit(tiny, version="2.0.0")
    push("--revision", "next/try")
    refs = hub.repos[REPO].refs
    assert refs["refs/heads/main"] == main
    assert refs["refs/heads/next/try"] == refs["refs/tags/v2.0.0"] != main


def test_a_pull_request_changes_no_branch_and_is_not_tagged(hub: HubServer, push: Any, tiny: Path) -> None:
    push()
    main = hub.repos[REPO].main
    edit(tiny, version="2.0.0")
    lines = push("--create-pr")
    assert lines[-1] == f"{hub.endpoint}/{REPO}/discussions/1"
    refs = hub.repos[REPO].refs
    assert refs["refs/heads/main"] == main != refs["refs/pr/1"]
    assert "refs/tags/v2.0.0" not in refs


def test_the_next_push_adds_a_tag_that_could_not_be_created(hub: HubServer, push: Any, fails: Any) -> None:
    hub.fail("^POST .*/tag/", status=500, times=1)
    assert "could not be tagged v1.0.0 (500); push again" in fails()
    assert "tag: v1.0.0" in push()


BENCHMARK = """
name: MNIST
tasks:
  - {id: digits, config: default, split: test}
  - {id: seen, split: train}
  - {id: skewed, config: skewed, split: test}
"""


def test_the_accuracy_on_a_benchmark_goes_where_the_hub_reads_it_and_leaves_with_it(
    hub: HubServer, push: Any, tiny: Path
) -> None:
    made = gather_provenance("", seed=0, steps=1, wall_seconds=1.0, data={"name": "mnist"})
    edit(tiny, metrics={"test_accuracy": 0.5}, provenance=made)
    push()
    assert RESULTS not in hub.repos[REPO].files  # no such data set
    hub.repos["ylecun/mnist"] = Repo()
    push()
    assert RESULTS not in hub.repos[REPO].files  # no benchmark
    hub.repos["ylecun/mnist"].put({"eval.yaml": BENCHMARK.encode()})
    assert f"would upload {RESULTS}" in push("--dry-run")
    assert f"uploaded {RESULTS}" in push()
    stored = yaml.safe_load(hub.repos[REPO].files[RESULTS])
    assert stored == [{"dataset": {"id": "ylecun/mnist", "task_id": "digits"}, "value": 0.5, "date": made["date"]}]
    if hasattr(huggingface_hub, "parse_eval_result_entries"):  # newer than the oldest client allowed
        [entry] = huggingface_hub.parse_eval_result_entries(stored)
        assert (entry.dataset_id, entry.task_id, entry.value) == ("ylecun/mnist", "digits", 0.5)
    assert push()[0] == "nothing to upload: the repo already has these files"
    edit(tiny, metrics={})
    assert f"deleted {RESULTS}" in push()
    assert hub.repos[REPO].files == files_of(tiny)


@pytest.mark.parametrize(
    "text",
    [
        b"tasks: [{id: a, split: train}]",
        b"tasks: [{id: a, split: test}, {id: b, split: test}]",  # two that fit
        b"tasks: [{id: a, split: test, config: other}]",
        b"tasks: [{id: 3, split: test}, 7, null]",
        b"tasks: {id: a}",
        b"[tasks]",
        b"tasks: [",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"tasks: [{id: a, split: test}]" + b" " * (1 << 20),
    ],
)
def test_a_benchmark_without_a_task_that_fits_gets_no_result(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"recipe_sha256": "", "data": {"name": "mnist"}}
    tested = read_artifact(write_tiny(tmp_path / "a", metrics={"test_accuracy": 0.5}, provenance=made))
    file = tmp_path / "eval.yaml"
    file.write_bytes(text)
    monkeypatch.setattr(HfApi, "hf_hub_download", lambda *_, **__: str(file))
    assert evaluation_results(HfApi(), tested) is None


def test_a_result_names_the_configuration_and_the_split_that_were_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = "data: {name: dataset, path: alice/leaves, config: skewed, splits: {test: held}}"
    made = {"recipe_sha256": "", "data": {"name": "alice/leaves"}}
    changes = {"metrics": {"test_accuracy": 0.5}, "provenance": made, "recipe_yaml": recipe}
    tested = read_artifact(write_tiny(tmp_path / "a", **changes))
    file = tmp_path / "eval.yaml"
    file.write_text("tasks: [{id: a, split: test}, {id: b, split: held}, {id: c, split: held, config: skewed}]")
    monkeypatch.setattr(HfApi, "hf_hub_download", lambda *_, **__: str(file))
    [entry] = yaml.safe_load(evaluation_results(HfApi(), tested) or b"")
    assert entry == {"dataset": {"id": "alice/leaves", "task_id": "c"}, "value": 0.5}
