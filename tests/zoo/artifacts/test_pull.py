from __future__ import annotations

from pathlib import Path

from sdk.artifact import read_artifact
from tests.support.artifacts import files_of
from tests.support.hub_fixtures import REPO
from tests.support.hub_server import HubServer, Repo
from tests.support.hub_worker import HubClient
from tests.support.starting import FAMILIES, make_source


def test_commands_accept_models_on_the_hub(client: HubClient, repo: Repo, tmp_path: Path) -> None:
    result = client.zoo("info", REPO, cache=tmp_path / "cache")
    assert result["out"].startswith("tiny 1.0.0\n")
    refused = client.zoo("export", REPO, cache=tmp_path / "cache")
    assert f"run `zoo pull {REPO}@main --out FOLDER` first" in refused["err"]


def test_pull_prints_the_commit(client: HubClient, repo: Repo, tmp_path: Path) -> None:
    result = client.zoo("pull", f"{REPO}@v1", cache=tmp_path / "cache")
    assert result["code"] == 0, result
    lines = dict(line.split(": ") for line in result["out"].splitlines())
    assert lines["model"] == f"{REPO}@{repo.main}"
    assert lines["files"] == "model.safetensors"
    assert (Path(lines["folder"]) / "model.safetensors").is_file()


def test_pull_writes_the_whole_artifact_to_a_folder(client: HubClient, repo: Repo, tiny: Path, tmp_path: Path) -> None:
    repo.put({"modeling.py": b"raise SystemExit"})
    out = tmp_path / "out" / "tiny"
    result = client.zoo("pull", REPO, "--out", out, cache=tmp_path / "cache")
    assert result["code"] == 0, result
    assert files_of(out) == files_of(tiny)
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert read_artifact(out).config.name == "tiny"
    again = client.zoo("pull", REPO, "--out", out, cache=tmp_path / "cache")
    assert (again["code"], again["err"]) == (1, f"zoo: error: {out} exists; give another folder\n")


def test_pull_accepts_only_models_on_the_hub(client: HubClient, hub: HubServer, tiny: Path) -> None:
    assert "is a local model" in client.zoo("pull", tiny)["err"]
    assert "no model named 'gone'" in client.zoo("pull", "gone")["err"]
    assert hub.log == []


def test_an_altered_file_leaves_no_folder(client: HubClient, repo: Repo, tmp_path: Path) -> None:
    repo.put({"recipe.yaml": b"seed: 1\n"})
    result = client.zoo("pull", REPO, "--out", tmp_path / "out", cache=tmp_path / "cache")
    assert "recipe.yaml was altered or damaged" in result["err"]
    assert not (tmp_path / "out").exists()


def test_a_training_starts_from_a_model_on_the_hub_and_names_its_commit(
    client: HubClient, hub: HubServer, tmp_path: Path
) -> None:
    source = make_source("normnet-digits", tmp_path / "source")
    hub.repos["alice/digits"] = Repo()
    commit = hub.repos["alice/digits"].put(dict(files_of(source)))
    out = tmp_path / "mine"
    overrides = [part for option in FAMILIES["normnet-digits"] for part in ("-o", option)]
    command = ["train", "normnet-digits", "--from", "alice/digits", *overrides, "--out", out, "--quiet"]
    result = client.zoo(*command, "--run-dir", tmp_path / "run", cache=tmp_path / "cache")
    assert result["code"] == 0, result
    made = read_artifact(out).config.provenance["start_from"]
    assert (made["repo"], made["commit"], made["new_parameters"]) == ("alice/digits", commit, 0)
    assert "base_model: alice/digits" in (out / "README.md").read_text()
