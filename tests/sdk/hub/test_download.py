"""``sdk.load`` and ``zoo pull`` of models on the Hub: what is downloaded, what is refused, and what is left behind."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import sdk
from sdk.artifact import read_artifact, read_config
from tests.support.artifacts import files_of
from tests.support.hub_server import STRANGER, WRITER, HubServer, Repo
from tests.support.hub_worker import ROOT, HubClient, logits_of
from zoo.artifacts.writer import seal

REPO = "alice/tiny"


@pytest.fixture
def repo(hub: HubServer, tiny: Path) -> Repo:
    """The small model on the Hub, tagged v1."""
    hub.repos[REPO] = Repo()
    hub.repos[REPO].refs["refs/tags/v1"] = hub.repos[REPO].put(dict(files_of(tiny)))
    return hub.repos[REPO]


@pytest.fixture
def load(client: HubClient, tmp_path: Path) -> Any:
    """Load from the Hub, by default into an empty cache."""

    def run(name: str = REPO, options: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        result = client.load(name, options, **{"cache": tmp_path / "cache", **settings})
        assert "error" not in result, result
        return result

    return run


@pytest.fixture
def fails(client: HubClient, tmp_path: Path) -> Any:
    """Load where that must fail; returns the error's class and message, which is one line."""

    def run(name: str = REPO, options: dict[str, Any] | None = None, **settings: Any) -> tuple[str, str]:
        result = client.load(name, options, **{"cache": tmp_path / "cache", **settings})
        assert "error" in result, result
        assert "\n" not in result["message"]
        return result["error"], result["message"]

    return run


def downloads(hub: HubServer) -> list[str]:
    """The files that were downloaded, by name or, of large ones, by hash."""
    return sorted(line.split("/")[-1] for line in hub.requests("^GET"))


# What is loaded, and what it takes


def test_a_branch_a_tag_and_a_commit_give_the_bits_that_were_put_there(
    hub: HubServer, repo: Repo, load: Any, tiny: Path, tmp_path: Path
) -> None:
    expected = logits_of(sdk.load(tiny))
    first = repo.main
    repo.put({"model.onnx": None, "config.json": b"{}"}, "break main")
    for name, options in ((f"{REPO}@v1", {}), (REPO, {"revision": "v1"}), (f"{REPO}@{first}", {})):
        loaded = load(name, options, cache=tmp_path / f"cache-{name[-2:]}-{len(options)}")
        assert loaded["origin"] == f"{REPO}@{first}"
        assert (loaded["backend"], loaded["logits"]) == ("onnx", expected)
    repo.refs["refs/heads/main"] = first
    assert load(cache=tmp_path / "other")["origin"] == f"{REPO}@{first}"


def test_only_what_the_backend_needs_is_downloaded_and_only_once(
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
    load()
    assert downloads(hub) == []
    hub.log.clear()
    load(loaded["origin"])  # a commit that is in the cache needs no network
    assert hub.log == []


def test_a_moved_branch_is_followed_and_the_old_commit_stays(repo: Repo, load: Any, tiny: Path) -> None:
    first = load()["origin"]
    data = json.loads((tiny / "config.json").read_text())
    repo.put({"config.json": json.dumps({**data, "version": "2.0.0"}).encode()})
    assert load()["origin"] == f"{REPO}@{repo.main}" != first
    assert load(first)["origin"] == first


def test_a_plain_name_is_looked_up_in_the_default_namespace(repo: Repo, load: Any, tmp_path: Path) -> None:
    assert load("tiny", namespace="alice", cwd=tmp_path.parent)["origin"] == f"{REPO}@{repo.main}"
    assert load("tiny@v1", namespace="alice", cwd=tmp_path.parent)["origin"] == f"{REPO}@{repo.main}"


def test_commands_take_models_on_the_hub(client: HubClient, repo: Repo, tmp_path: Path) -> None:
    result = client.zoo("info", REPO, cache=tmp_path / "cache")
    assert result["out"].startswith("tiny 1.0.0\n")
    refused = client.zoo("export", REPO, cache=tmp_path / "cache")
    assert f"get its folder with `zoo pull {REPO}@main --out FOLDER`" in refused["err"]


def test_pull_says_which_commit_it_is(client: HubClient, repo: Repo, tmp_path: Path) -> None:
    result = client.zoo("pull", f"{REPO}@v1", cache=tmp_path / "cache")
    assert result["code"] == 0, result
    lines = dict(line.split(": ") for line in result["out"].splitlines())
    assert lines["model"] == f"{REPO}@{repo.main}"
    assert lines["files"] == "model.onnx"
    assert (Path(lines["folder"]) / "model.onnx").is_file()


def test_pull_writes_a_whole_artifact_to_a_folder(client: HubClient, repo: Repo, tiny: Path, tmp_path: Path) -> None:
    repo.put({"modeling.py": b"raise SystemExit"})
    out = tmp_path / "out" / "tiny"
    result = client.zoo("pull", REPO, "--out", out, cache=tmp_path / "cache")
    assert result["code"] == 0, result
    assert files_of(out) == files_of(tiny)
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert read_artifact(out).config.name == "tiny"
    again = client.zoo("pull", REPO, "--out", out, cache=tmp_path / "cache")
    assert (again["code"], again["err"]) == (1, f"zoo: error: {out} exists; give another folder\n")


def test_pull_takes_only_names_of_models_on_the_hub(client: HubClient, hub: HubServer, tiny: Path) -> None:
    assert "is a local model" in client.zoo("pull", tiny)["err"]
    assert "no model named 'gone'" in client.zoo("pull", "gone")["err"]
    assert hub.log == []


def test_an_altered_file_leaves_no_folder(client: HubClient, repo: Repo, tmp_path: Path) -> None:
    repo.put({"recipe.yaml": b"seed: 1\n"})
    result = client.zoo("pull", REPO, "--out", tmp_path / "out", cache=tmp_path / "cache")
    assert "recipe.yaml was altered or damaged" in result["err"]
    assert not (tmp_path / "out").exists()


# Without the network


def test_the_cache_serves_offline_and_a_miss_is_one_line(hub: HubServer, repo: Repo, load: Any, fails: Any) -> None:
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
def test_when_the_hub_cannot_be_reached_the_cache_is_used_and_it_is_said(
    hub: HubServer, repo: Repo, load: Any, fails: Any, fault: dict[str, Any]
) -> None:
    online = load()
    hub.fail("^HEAD", **fault)
    [warning] = load()["warnings"]
    assert hub.endpoint in warning
    assert f"taking what {REPO}@main last meant, commit {repo.main}" in warning
    assert load(online["origin"]) == online  # a commit does not ask
    error, message = fails(f"{REPO}@v1")
    assert error == "HubUnreachableError"
    assert hub.endpoint in message


def test_no_network_at_all_is_one_line_and_no_torch(tmp_path: Path, client: HubClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code = (
            "import sys, sdk\n"
            "try: sdk.load('alice/tiny')\n"
            "except sdk.HubUnreachableError as error: print(error)\n"
            "print([name for name in ('torch', 'zoo') if name in sys.modules])"
        )
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**client.environment, "HF_ENDPOINT": closed, "HF_HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    message, modules = result.stdout.splitlines()
    assert f"alice/tiny: cannot reach {closed} (ConnectError: " in message
    assert message.endswith("check the network or HF_ENDPOINT")
    assert modules == "[]"


def test_a_download_that_was_cut_goes_on(hub: HubServer, repo: Repo, load: Any) -> None:
    hub.fail("^GET /lfs/", cut=True, times=1)
    load()
    assert len(hub.requests("^GET /lfs/")) == 2


def test_a_download_that_fails_leaves_nothing_half(
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


# Whom the Hub lets in


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("alice/gone", None, "no model 'alice/gone' on"),
        ("alice/gone", WRITER, "a folder is given as './alice/gone'"),
        ("alice/tiny@v9", None, "alice/tiny has no revision 'v9'; give a branch, a tag or a full commit"),
        (f"alice/tiny@{'0' * 40}", None, f"alice/tiny has no revision '{'0' * 40}'"),
        ("alice/private", None, "or a private one that needs another token (log in with `hf auth login`"),
        ("alice/private", STRANGER, "or a private one that needs another token"),
        ("alice/gated", None, "alice/gated is gated: ask for access at http"),
        ("alice/gated", STRANGER, "alice/gated is gated: ask for access at http"),
        ("alice/tiny", "hf_nobody", "answers 401: Invalid credentials in Authorization header"),
        ("alice/ti--ny", None, "'alice/ti--ny' cannot be a model on the Hub"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(
    hub: HubServer, repo: Repo, fails: Any, name: str, token: str | None, message: str
) -> None:
    files = {path: file.content for path, file in repo.commits[repo.main].items()}
    hub.repos["alice/private"], hub.repos["alice/gated"] = Repo(private=True), Repo(gated=True)
    for other in ("alice/private", "alice/gated"):
        hub.repos[other].put(dict(files))
    error, found = fails(name, token=token)
    assert error == "HubError"
    assert message in found


def test_with_a_token_private_and_gated_models_load(hub: HubServer, repo: Repo, load: Any) -> None:
    repo.private = repo.gated = True
    assert load(token=WRITER)["origin"] == f"{REPO}@{repo.main}"  # the server sees that no other origin gets it


@pytest.mark.parametrize(
    ("status", "message"),
    [(200, "does not answer as a Hub does"), (404, "is HF_ENDPOINT a Hub?"), (403, "the token does not allow it")],
)
def test_an_endpoint_that_is_no_hub_is_said_to_be_none(
    hub: HubServer, repo: Repo, fails: Any, status: int, message: str
) -> None:
    hub.fail("^HEAD", status=status)
    error, found = fails()
    assert (error, message in found) == ("HubError", True)


# What a repo may hold


def test_a_file_altered_on_the_way_is_refused_and_forgotten(
    hub: HubServer, repo: Repo, load: Any, fails: Any, tmp_path: Path
) -> None:
    hub.fail("^GET /lfs/", alter=lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    error, message = fails()
    assert error == "ArtifactError"
    assert message.startswith(f"{REPO}@{repo.main}: model.onnx was altered or damaged: sha256 ")
    assert message.endswith("; model.onnx was removed from the cache, loading again downloads it")
    hub.faults.clear()
    load()


def test_a_file_damaged_in_the_cache_is_refused_and_mended(repo: Repo, load: Any, fails: Any, tmp_path: Path) -> None:
    load()
    [cached] = (tmp_path / "cache").rglob("snapshots/*/model.onnx")
    blob = cached.resolve()
    blob.write_bytes(blob.read_bytes()[:-9])
    assert "model.onnx was altered or cut short" in fails(offline=True)[1]
    load()


@pytest.mark.parametrize("content", [b"short", b"x" * 10**7], ids=["truncated", "huge"])
def test_a_file_of_another_size_is_not_even_downloaded(
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
def test_what_is_no_artifact_is_named(repo: Repo, fails: Any, files: dict[str, bytes | None], message: str) -> None:
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


def test_links_in_the_cache_cannot_lead_out_of_it(repo: Repo, load: Any, fails: Any, tmp_path: Path) -> None:
    load()
    [cached] = (tmp_path / "cache").rglob("snapshots/*/model.onnx")
    (tmp_path / "elsewhere").write_bytes(cached.read_bytes())
    os.remove(cached)
    cached.symlink_to(tmp_path / "elsewhere")
    assert "model.onnx is a link that leads out of the folder" in fails(offline=True)[1]
    assert (tmp_path / "elsewhere").is_file()


def test_a_weights_header_that_lies_is_refused(repo: Repo, fails: Any, tiny: Path) -> None:
    header = json.dumps({"readout.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (tiny / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    seal(tiny, read_config(tiny))
    repo.put(dict(files_of(tiny)))
    error, message = fails(options={"backend": "torch"})
    assert error == "ArtifactError"
    assert "not a sound safetensors file" in message


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
    assert "its weights lie in other files, which are not read" in message


def test_the_sdk_alone_asks_the_hub_only_when_it_must(client: HubClient, hub: HubServer, tmp_path: Path) -> None:
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
