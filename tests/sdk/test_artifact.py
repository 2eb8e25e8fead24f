from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sdk.artifact
from sdk.artifact import ArtifactConfig, hash_file, read_artifact, read_config
from sdk.errors import ArtifactError

SEAL = {"sha256": "0" * 64, "size": 0}


def test_an_intact_artifact_gives_access_to_its_verified_files(artifact: Path) -> None:
    read = read_artifact(artifact)
    assert read.config.name == "tiny"
    assert read.config.version == "1.0.0"
    assert read.verified == {"README.md", "history.json", "model.safetensors", "recipe.yaml"}
    assert read.file("model.safetensors") == artifact / "model.safetensors"


def test_a_config_is_unchanged_by_json(artifact: Path) -> None:
    config = read_config(artifact)
    assert ArtifactConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_version_is_optional(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, version=...)
    assert read_config(artifact).version == "1.0.0"


def test_only_the_requested_files_are_verified_and_accessible(artifact: Path) -> None:
    (artifact / "README.md").unlink()
    read = read_artifact(artifact, files=["model.safetensors"])
    assert read.file("model.safetensors").is_file()
    with pytest.raises(ArtifactError, match=r"recipe\.yaml is not among the verified files"):
        read.file("recipe.yaml")
    with pytest.raises(ArtifactError, match=r"lists no 'model\.onnx'; it lists README\.md, history\.json, model"):
        read_artifact(artifact, files=["model.onnx"])


def test_hash_file_is_the_sha256_of_the_whole_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "f").write_bytes(content)
    assert hash_file(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_a_flipped_bit_is_detected(artifact: Path) -> None:
    weights = artifact / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors was altered or damaged: sha256 .* expected"):
        read_artifact(artifact)


def test_a_truncated_file_is_detected(artifact: Path) -> None:
    weights = artifact / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"altered or cut short: \d+ bytes, expected \d+"):
        read_artifact(artifact)


def test_a_missing_file_is_detected(artifact: Path) -> None:
    (artifact / "recipe.yaml").unlink()
    with pytest.raises(ArtifactError, match=r"recipe\.yaml is missing"):
        read_artifact(artifact)


@pytest.mark.parametrize("path", ["x" * 300, "é" * 200, "/".join(["y" * 200] * 30)])
def test_a_file_name_that_the_system_does_not_take_is_an_error_of_the_artifact(
    artifact: Path, edit_config: Callable[..., None], path: str
) -> None:
    files = json.loads((artifact / "config.json").read_text())["files"]
    edit_config(artifact, files={**files, path: SEAL})
    with pytest.raises(ArtifactError, match=r"cannot read .*: File name too long|is missing"):
        read_artifact(artifact)


def test_a_file_that_cannot_be_read_is_named(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sdk.artifact, "hash_file", refuse)
    with pytest.raises(ArtifactError, match=r"cannot read model\.safetensors: Permission denied"):
        read_artifact(artifact, files=["model.safetensors"])


def test_a_path_that_is_not_an_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in (
        ("gone", "no such folder"),
        ("file", "not a folder"),
        (".", r"no config\.json in it"),
    ):
        with pytest.raises(ArtifactError, match=message):
            read_artifact(tmp_path / path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"format_version": NaN}', "NaN is not a JSON number"),
        (b"[]", "no format_version, so it is not a cellzoo model"),
        (b'{"model_type": "bert"}', "no format_version, so it is not a cellzoo model"),
        (b'{"format_version": 2}', "made by a newer cellzoo .*upgrade"),
        (b'{"format_version": 0}', "format_version must be 1 to 1, found 0"),
        (b'{"format_version": "1"}', "format_version must be an integer, found '1'"),
        (b'{"format_version": true}', "format_version must be an integer, found True"),
        (b'{"format_version": 1}', r"config\.json lacks 'family', 'files'"),
        (b" " * (16 * 2**20 + 1), "more than the 16777216 allowed"),
    ],
)
def test_an_unreadable_config_is_refused_in_one_line(artifact: Path, content: bytes, message: str) -> None:
    (artifact / "config.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=message) as caught:
        read_artifact(artifact)
    assert "\n" not in str(caught.value)
    assert str(artifact) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "unknown 'colour'; allowed: family, files"),
        ({"labels": ...}, "lacks 'labels'"),
        ({"labels": []}, "labels must name at least one class"),
        ({"labels": ["a", 1, "c"]}, r"labels\[1\] must be a string, found 1"),
        ({"name": "../up"}, r"name must match .*, found '\.\./up'"),
        ({"task": "regression"}, "task must be 'classification' or 'echo', found 'regression'"),
        ({"family": None}, "family must be a string, found None"),
        ({"model": []}, r"model must be an object, found \[\]"),
        ({"parameters": "9"}, "parameters must be an integer, found '9'"),
        ({"parameters": -9}, "parameters must not be negative, found -9"),
        ({"metrics": 0.5}, "metrics must be an object"),
        ({"metrics": {"precisions": {"int8": 1}}}, "metrics precisions 'int8' must be an object"),
        ({"metrics": {"precisions": {"int8": {"bytes": "1"}}}}, "metrics precisions 'int8' bytes must be an integer"),
        ({"licence": 1}, "licence must be a string"),
        ({"version": 1}, "version must be a string"),
        ({"input": {"kind": "image"}}, "input lacks 'mean', 'shape', 'std'"),
        ({"files": {"a": {"sha256": "x", "size": 0}}}, "sha256 must be 64 lower-case hex digits, found 'x'"),
        ({"files": {"a": {**SEAL, "size": -1}}}, "size must not be negative"),
        ({"files": {"a": {**SEAL, "size": 1.5}}}, "size must be an integer"),
        ({"files": {"a": {"size": 1}}}, r"files\['a'\] lacks 'sha256'"),
    ],
)
def test_a_wrong_field_of_the_config_is_named(
    artifact: Path, edit_config: Callable[..., None], changes: dict[str, Any], message: str
) -> None:
    edit_config(artifact, **changes)
    with pytest.raises(ArtifactError, match=message):
        read_artifact(artifact)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "a\\b", "C:x", "a\nb", "config.json", "a/."]
)
def test_file_paths_cannot_leave_the_folder(artifact: Path, edit_config: Callable[..., None], path: str) -> None:
    edit_config(artifact, files={path: SEAL})
    with pytest.raises(ArtifactError, match="is not a path inside the folder"):
        read_artifact(artifact)


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_links_cannot_leave_the_folder_unless_a_wider_root_is_given(artifact: Path, tmp_path: Path, path: str) -> None:
    blob = tmp_path / "blob"
    (artifact / path).rename(blob)
    (artifact / path).symlink_to(blob)
    with pytest.raises(ArtifactError, match=f"{path} is a link that leads out of the folder"):
        read_artifact(artifact)
    assert read_artifact(artifact, within=tmp_path).config.name == "tiny"


def test_a_link_to_a_folder_is_read_as_the_folder(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(artifact)
    assert read_artifact(tmp_path / "link").config.name == "tiny"
