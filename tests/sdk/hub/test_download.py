"""``sdk.load`` of models on the Hub: the files it downloads, refuses and leaves in the cache."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import onnx
import pytest

import sdk
from sdk.artifact import read_config
from tests.support.artifacts import files_of
from tests.support.hub_fixtures import REPO
from tests.support.hub_server import WRITER, HubServer, Repo
from tests.support.hub_worker import HubClient, logits_of
from tests.support.paths import ROOT
from zoo.artifacts.seal import seal

CONTINUES = pytest.mark.skipif(
    int(huggingface_hub.__version__.partition(".")[0]) < 2, reason="this client continues after a timeout alone"
)


def downloads(hub: HubServer) -> list[str]:
    """Return the files that were downloaded: small ones by name, large ones by hash."""
    return sorted(line.split("/")[-1] for line in hub.requests("^GET"))


def test_a_branch_a_tag_and_a_commit_give_the_uploaded_model_bit_for_bit(
    hub: HubServer, repo: Repo, load: Any, tiny: Path, tmp_path: Path
) -> None:
    expected = logits_of(sdk.load(tiny, backend="onnx"))
    first = repo.main
    repo.put({"model.onnx": None, "config.json": b"{}"}, "break main")
    for name, options in ((f"{REPO}@v1", {}), (REPO, {"revision": "v1"}), (f"{REPO}@{first}", {})):
        loaded = load(name, options, cache=tmp_path / f"cache-{name[-2:]}-{len(options)}")
        assert loaded["origin"] == f"{REPO}@{first}"
        assert (loaded["backend"], loaded["logits"]) == ("onnx", expected)
    repo.refs["refs/heads/main"] = first
    assert load(cache=tmp_path / "other")["origin"] == f"{REPO}@{first}"


def test_only_the_files_of_the_backend_are_downloaded_and_only_once(
    hub: HubServer, repo: Repo, load: Any, tiny: Path
) -> None:
    sizes = read_config(tiny).files
    repo.put({"modeling.py": b"raise SystemExit", "model.pkl": b"\x80\x04.", "setup.sh": b"exit 1"})
    load()
    assert downloads(hub) == sorted(["config.json", sizes["model.onnx"].sha256])
    hub.log.clear()
    loaded = load(options={"backend": "torch"})
    assert downloads(hub) == [sizes["model.safetensors"].sha256]
    hub.log.clear()
    assert load(options={"backend": "auto"})["backend"] == "native"
    assert downloads(hub) == []
    hub.log.clear()
    load()
    assert downloads(hub) == []
    hub.log.clear()
    load(loaded["origin"])  # a commit that is in the cache needs no network
    assert hub.log == []


def test_a_branch_is_followed_to_its_new_commit_and_the_old_commit_stays(repo: Repo, load: Any, tiny: Path) -> None:
    first = load()["origin"]
    data = json.loads((tiny / "config.json").read_text())
    repo.put({"config.json": json.dumps({**data, "version": "2.0.0"}).encode()})
    assert load()["origin"] == f"{REPO}@{repo.main}" != first
    assert load(first)["origin"] == first


def test_a_plain_name_is_looked_up_in_the_default_namespace(repo: Repo, load: Any, tmp_path: Path) -> None:
    assert load("tiny", namespace="alice", cwd=tmp_path.parent)["origin"] == f"{REPO}@{repo.main}"
    assert load("tiny@v1", namespace="alice", cwd=tmp_path.parent)["origin"] == f"{REPO}@{repo.main}"


def test_private_and_gated_models_load_with_a_token(hub: HubServer, repo: Repo, load: Any) -> None:
    repo.private = repo.gated = True
    # The server asserts that no other origin gets the token.
    assert load(token=WRITER)["origin"] == f"{REPO}@{repo.main}"


def test_offline_the_cache_is_used_and_a_miss_is_one_line(hub: HubServer, repo: Repo, load: Any, fails: Any) -> None:
    online = load()
    hub.log.clear()
    for name in (REPO, online["origin"]):
        assert load(name, offline=True) == online
    for name, options, missing in (
        ("alice/other", {}, "alice/other@main is not in the cache"),
        (f"{REPO}@v1", {}, "alice/tiny@v1 is not in the cache"),
        (REPO, {"backend": "torch"}, f"model.safetensors of {online['origin']} is not in the cache"),
    ):
        error, message = fails(name, options, offline=True)
        assert error == "HubError"
        assert message.startswith(missing)
        assert message.endswith("and HF_HUB_OFFLINE is set; unset it")
    assert hub.log == []


@pytest.mark.parametrize("fault", [{"status": 503}, {"delay": 3.0}], ids=["unavailable", "slow"])
def test_the_cache_is_used_with_a_warning_when_the_hub_cannot_be_reached(
    hub: HubServer, repo: Repo, load: Any, fails: Any, fault: dict[str, Any]
) -> None:
    online = load()
    hub.fail("^HEAD", **fault)
    [warning] = load()["warnings"]
    assert hub.endpoint in warning
    assert f"using the cached commit {repo.main} of {REPO}@main" in warning
    assert load(online["origin"]) == online  # a commit needs no request
    error, message = fails(f"{REPO}@v1")
    assert error == "HubUnreachableError"
    assert hub.endpoint in message


@CONTINUES
def test_an_interrupted_download_continues(hub: HubServer, repo: Repo, load: Any) -> None:
    hub.fail("^GET /lfs/", cut=True, times=1)
    load()
    assert len(hub.requests("^GET /lfs/")) == 2


@CONTINUES
def test_a_failed_download_leaves_no_partial_file(
    hub: HubServer, repo: Repo, load: Any, fails: Any, tmp_path: Path
) -> None:
    hub.fail("^GET /lfs/", cut=True, times=1)
    hub.fail("^GET /lfs/", status=500)
    error, message = fails()
    assert error == "HubUnreachableError"
    assert "answers 500" in message
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []
    assert list((tmp_path / "cache").rglob("model.onnx")) == []
    hub.faults.clear()
    load()


def test_a_file_altered_in_transit_is_refused_and_removed_from_the_cache(
    hub: HubServer, repo: Repo, load: Any, fails: Any, tmp_path: Path
) -> None:
    hub.fail("^GET /lfs/", alter=lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    error, message = fails()
    assert error == "ArtifactError"
    assert message.startswith(f"{REPO}@{repo.main}: model.onnx was altered or damaged: sha256 ")
    assert message.endswith(", in 2 downloads; load the model again to download it")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.name.startswith("model.onnx")] == []
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []
    hub.faults.clear()
    load()


def test_a_file_damaged_in_the_cache_is_refused_and_downloaded_again(
    repo: Repo, load: Any, fails: Any, tmp_path: Path
) -> None:
    load()
    [cached] = (tmp_path / "cache").rglob("snapshots/*/model.onnx")
    blob = cached.resolve()
    blob.write_bytes(blob.read_bytes()[:-9])
    assert "model.onnx was altered or cut short" in fails(offline=True)[1]
    load()


@pytest.mark.parametrize("request_", ["^GET .*config.json", "^GET /lfs/"])
@pytest.mark.parametrize("alter", [lambda c: bytes([c[0] ^ 1]) + c[1:], lambda c: c.replace(b"1", b"2")])
def test_a_file_damaged_once_on_its_way_is_downloaded_again_at_once(
    hub: HubServer, repo: Repo, load: Any, request_: str, alter: Any
) -> None:
    hub.fail(request_, alter=alter, times=1)
    load()
    assert len(hub.requests(request_)) == 2


def test_a_config_damaged_in_the_cache_is_downloaded_again(
    hub: HubServer, repo: Repo, load: Any, fails: Any, tmp_path: Path
) -> None:
    loaded = load()
    [cached] = (tmp_path / "cache").rglob("snapshots/*/config.json")
    content = cached.read_bytes()
    for damage in (content.replace(b"MIT", b"GPL"), content[:-9], b"", b"{" + content[1:-1] + b"x"):
        cached.resolve().write_bytes(damage)
        error, message = fails(offline=True)
        assert error == "HubError"
        assert message.startswith(f"config.json of {REPO}@main is damaged in the cache")
        assert load(loaded["origin"]) == loaded
        assert cached.read_bytes() == content
        cached.resolve().write_bytes(damage)
        assert load() == loaded
        assert cached.read_bytes() == content


@pytest.mark.parametrize("path", ["config.json", "model.onnx"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Repo-Commit": "../../../../stolen"},
        {"X-Repo-Commit": "main"},
        {"X-Repo-Commit": "A" * 40},
        {"ETag": '"../../../../stolen"', "X-Linked-ETag": '"../../../../stolen"'},
        {"ETag": '"..\\\\..\\\\stolen"', "X-Linked-ETag": '"..\\\\stolen"'},
        {"ETag": '"ABSOLUTE"', "X-Linked-ETag": '"ABSOLUTE"'},
        {"ETag": '".."', "X-Linked-ETag": '".."'},
        {"ETag": '""', "X-Linked-ETag": '""'},
        {"ETag": f'"{"a" * 5000}"', "X-Linked-ETag": f'"{"a" * 5000}"'},
    ],
)
def test_headers_that_are_no_hashes_never_become_paths(
    hub: HubServer, repo: Repo, fails: Any, tmp_path: Path, headers: dict[str, str], path: str
) -> None:
    absolute = str(tmp_path / "absolute")
    before = {found for found in tmp_path.rglob("*") if "cache" not in found.parts}
    hub.fail(rf"(HEAD|GET) .*{path}", headers={key: v.replace("ABSOLUTE", absolute) for key, v in headers.items()})
    error, message = fails()
    assert error == "HubError"
    assert f"{hub.endpoint} does not answer like a Hub" in message
    assert "\n" not in message
    assert {found for found in tmp_path.rglob("*") if "cache" not in found.parts} == before
    assert not [found for found in (tmp_path / "cache").rglob("*") if "stolen" in found.name]


@pytest.mark.parametrize("request_", ["^GET .*config.json", "^GET /lfs/"])
def test_a_server_that_sends_more_than_it_announced_is_cut_off(
    hub: HubServer, repo: Repo, fails: Any, tmp_path: Path, request_: str
) -> None:
    hub.fail(request_, alter=lambda content: content + b"x" * 30_000_000)
    error, message = fails()
    assert (error, "the server sends more than the" in message) == ("ArtifactError", True)
    assert max((path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()), default=0) < 10**6
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []


@pytest.mark.parametrize("revision", ["../../stolen", "..", "a/../../b", "a\\..\\b", "/etc", "a//b"])
def test_a_revision_never_becomes_a_path_out_of_the_cache(fails: Any, revision: str) -> None:
    error, message = fails(options={"revision": revision})
    assert error == "HubError"
    assert message.startswith("revision must name a branch, a tag or a commit, found ")


def test_a_server_that_answers_with_another_commit_than_asked_is_refused(
    hub: HubServer, repo: Repo, fails: Any
) -> None:
    hub.fail("HEAD", headers={"X-Repo-Commit": "0" * 40})
    error, message = fails(f"{REPO}@{repo.main}")
    assert error == "HubError"
    assert f"answers with commit {'0' * 40} for {REPO}@{repo.main}" in message


@pytest.mark.parametrize("content", [b"short", b"x" * 10**7], ids=["truncated", "huge"])
def test_a_file_whose_size_differs_is_not_downloaded(
    hub: HubServer, repo: Repo, fails: Any, tiny: Path, content: bytes
) -> None:
    repo.put({"model.onnx": content})
    error, message = fails()
    expected = (tiny / "model.onnx").stat().st_size
    assert error == "ArtifactError"
    assert f"model.onnx was altered or cut short: {len(content)} bytes on the Hub, expected {expected}" in message
    assert downloads(hub) == ["config.json"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": None}, "no config.json in it, so it is not a cellzoo model"),
        ({"config.json": b'{"model_type": "bert"}'}, "no format_version, so it is not a cellzoo model"),
        ({"config.json": b"{"}, "config.json is not valid JSON"),
        ({"config.json": b'{"format_version": 99}'}, "made by a newer cellzoo (this one reads 1); upgrade with"),
        ({"config.json": b" " * (16 * 2**20 + 1)}, "config.json has 16777217 bytes, more than the 16777216 allowed"),
        ({"model.onnx": None}, "model.onnx is missing"),
    ],
)
def test_a_repo_that_is_not_an_artifact_is_refused(
    repo: Repo, fails: Any, files: dict[str, bytes | None], message: str
) -> None:
    commit = repo.put(files)
    error, found = fails()
    assert error == "ArtifactError"
    assert message in found
    assert REPO in found
    assert commit in found or "@main" in found


@pytest.mark.parametrize("path", ["../../../../stolen", "/etc/passwd", "a/../../b", "..\\b"])
def test_paths_of_a_repo_cannot_leave_its_folder(hub: HubServer, repo: Repo, fails: Any, tiny: Path, path: str) -> None:
    data = json.loads((tiny / "config.json").read_text())
    data["files"][path] = data["files"]["model.onnx"]
    repo.put({"config.json": json.dumps(data).encode()})
    error, message = fails()
    assert error == "ArtifactError"
    assert "is not a path inside the folder" in message
    assert downloads(hub) == ["config.json"]


def test_links_cannot_lead_out_of_the_cache(repo: Repo, load: Any, fails: Any, tmp_path: Path) -> None:
    load()
    [cached] = (tmp_path / "cache").rglob("snapshots/*/model.onnx")
    (tmp_path / "elsewhere").write_bytes(cached.read_bytes())
    os.remove(cached)
    cached.symlink_to(tmp_path / "elsewhere")
    assert "model.onnx is a link that leads out of the folder" in fails(offline=True)[1]
    assert (tmp_path / "elsewhere").is_file()


def test_a_dishonest_header_of_the_weights_is_refused(repo: Repo, fails: Any, tiny: Path) -> None:
    header = json.dumps({"readout.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (tiny / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    seal(tiny, read_config(tiny))
    repo.put(dict(files_of(tiny)))
    error, message = fails(options={"backend": "torch"})
    assert error == "ArtifactError"
    assert "not a valid safetensors file" in message


def test_onnx_weights_in_another_file_are_refused(repo: Repo, fails: Any, tiny: Path) -> None:
    model = onnx.load(tiny / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../../etc/passwd")
    (tiny / "model.onnx").write_bytes(model.SerializeToString())
    seal(tiny, read_config(tiny))
    repo.put(dict(files_of(tiny)))
    error, message = fails()
    assert error == "ArtifactError"
    assert "its weights are in other files, which are never read" in message


def test_a_bundled_model_loads_without_the_hubs_client(client: HubClient, hub: HubServer, tmp_path: Path) -> None:
    code = (
        "import sys, sdk\n"
        "model = sdk.load('gridnet-digits')\n"
        "print('huggingface_hub' in sys.modules, model.origin.startswith('/'))"
    )
    environment = {**client.environment, "ZOO_HUB_NAMESPACE": "alice", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["False", str(os.name != "nt")]
    assert hub.log == []
