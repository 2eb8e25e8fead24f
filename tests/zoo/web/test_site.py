"""``zoo web``: the files of a site, and what is refused."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sdk.catalog import bundled_models
from sdk.errors import LoadError
from tests.support.command import fails, run
from tests.support.paths import ROOT
from zoo.web import runtime as runtime_module
from zoo.web.runtime import FILES, RuntimeFilesError, find_runtime, runtime_version
from zoo.web.serve import HEADERS, ServeError, address, site_server
from zoo.web.site import SiteError, build_site, is_site

PAGE = ROOT / "zoo" / "web" / "page"


def test_a_site_holds_the_page_the_runtime_and_the_files_of_its_models(fake_runtime: Path, tmp_path: Path) -> None:
    site = build_site(["gridnet-digits", "nca-iris"], tmp_path / "site", runtime=fake_runtime, samples=7)
    index = json.loads((site.folder / "models.json").read_text())
    assert [entry["name"] for entry in index["models"]] == ["gridnet-digits", "nca-iris"] == list(site.models)
    for name, extra in (("gridnet-digits", "figures/example.png"), ("nca-iris", "rule.onnx")):
        for file in ("config.json", "model.onnx", "model.safetensors", extra):
            own = (site.folder / "models" / name / file).read_bytes()
            assert own == (bundled_models()[name] / file).read_bytes()
    for name in FILES:
        assert (site.folder / "runtime" / name).read_bytes() == b"not really"
    digits, iris = (entry["samples"] for entry in index["models"])
    assert (digits["test"], digits["dtype"], digits["shape"]) == (7, "float32", [1, 8, 8])
    assert (iris["test"], len(iris["labels"])) == (7, 7 + 96)  # the rows of the training split come after the test's
    assert (site.folder / digits["file"]).stat().st_size == 7 * 64 * 4
    assert site.size == sum(path.stat().st_size for path in site.folder.rglob("*") if path.is_file())


def test_the_page_without_the_runtime_is_small(fake_runtime: Path, tmp_path: Path) -> None:
    site = build_site(["gridnet-digits"], tmp_path / "site", runtime=fake_runtime, samples=0)
    page = [path for path in site.folder.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg", ".json")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in page) < 100_000


def test_the_page_names_no_other_host_than_the_hub() -> None:
    for path in PAGE.rglob("*"):
        if path.is_file():
            hosts = set(re.findall(r"https?://[\w.-]+", path.read_text()))
            assert hosts <= {"http://www.w3.org"}, path


def test_modules_of_the_page_are_short() -> None:
    assert not [path for path in PAGE.rglob("*.js") if len(path.read_text().splitlines()) >= 300]


def test_an_existing_site_is_replaced_on_demand_and_other_folders_never(fake_runtime: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build_site(["nca-iris"], out, runtime=fake_runtime, samples=0)
    with pytest.raises(SiteError, match="found a site; pass --overwrite"):
        build_site(["gridnet-digits"], out, runtime=fake_runtime, samples=0)
    build_site(["gridnet-digits"], out, runtime=fake_runtime, samples=0, overwrite=True)
    assert sorted(path.name for path in (out / "models").iterdir()) == ["gridnet-digits"]
    (out / ".git").mkdir()  # as of a site that GitHub Pages publishes
    with pytest.raises(SiteError, match=r"found \.git beside the site, which replacing it would delete"):
        build_site(["nca-iris"], out, runtime=fake_runtime, samples=0, overwrite=True)
    assert (out / ".git").is_dir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(SiteError, match="is no site, allowed a new folder or a site"):
        build_site(["nca-iris"], other, runtime=fake_runtime, samples=0, overwrite=True)
    assert (other / "thesis.txt").read_text() == "mine"
    assert not is_site(other)


def test_models_that_cannot_be_shown_are_refused_before_anything_is_written(
    fake_runtime: Path, tmp_path: Path
) -> None:  # fmt: skip
    copy = Path(shutil.copytree(bundled_models()["nca-iris"], tmp_path / "copy"))
    with pytest.raises(SiteError, match="several models named nca-iris"):
        build_site(["nca-iris", str(copy)], tmp_path / "site", runtime=fake_runtime)
    config = json.loads((copy / "config.json").read_text())
    del config["files"]["model.onnx"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(SiteError, match=r"found no model.onnx, which a browser runs"):
        build_site([str(copy)], tmp_path / "site", runtime=fake_runtime)
    config = json.loads((bundled_models()["nca-iris"] / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "name": "bench"}))
    with pytest.raises(SiteError, match="found a model named bench, which is the site's page of speeds"):
        build_site([str(copy)], tmp_path / "site", runtime=fake_runtime)
    with pytest.raises(LoadError, match="gridnet-mnst"):
        build_site(["gridnet-mnst"], tmp_path / "site", runtime=fake_runtime)
    assert not (tmp_path / "site").exists()


def test_samples_that_are_missing_are_said(fake_runtime: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    names = ["gridnet-mnist", "gridnet-cifar10", "nca-iris"]
    build_site(names, tmp_path / "site", runtime=fake_runtime, data_dir=tmp_path / "none", note=notes.append)
    assert [note.split(":")[0] for note in notes] == [
        "the site has no test samples for gridnet-mnist", "the site has no test samples for gridnet-cifar10",
    ]  # fmt: skip
    assert "pass --data-dir or set ZOO_DATA" in notes[0]
    assert not (tmp_path / "none").exists()


def test_the_runtime_is_fetched_once_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def npm(command: list[str], cwd: str, **_: Any) -> Any:
        calls.append(command)
        dist = Path(cwd) / "node_modules" / "onnxruntime-web" / "dist"
        dist.mkdir(parents=True)
        for name in FILES:
            (dist / name).write_text(name)
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(runtime_module.shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(runtime_module.subprocess, "run", npm)
    found = find_runtime()
    assert found == find_runtime() == tmp_path / "cellzoo" / "web" / f"onnxruntime-web-{runtime_version()}"
    assert sorted(path.name for path in found.iterdir()) == sorted(FILES)
    assert len(calls) == 1
    assert "ci" in calls[0]


def test_a_machine_without_npm_is_told_what_to_do(
    tmp_path: Path, fake_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(runtime_module.shutil, "which", lambda _: None)
    with pytest.raises(RuntimeFilesError, match="found no npm; install npm, or pass --runtime FOLDER"):
        find_runtime()
    assert find_runtime(fake_runtime) == fake_runtime
    with pytest.raises(RuntimeFilesError, match=r"found no ort\.wasm\.min\.mjs"):
        find_runtime(tmp_path)


def test_a_failing_npm_leaves_no_half_of_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = type("Done", (), {"returncode": 1, "stderr": "npm error code EOFFLINE\nnpm error a complete log of"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(runtime_module.shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(runtime_module.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeFilesError, match=r"cannot fetch onnxruntime-web .* \(npm error code EOFFLINE\)"):
        find_runtime()
    assert not (tmp_path / "cellzoo").exists()


def test_the_lock_file_pins_every_package_by_its_hash() -> None:
    lock = json.loads((ROOT / "zoo" / "web" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages["node_modules/onnxruntime-web"]["version"] == runtime_version()
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())


def test_a_served_site_isolates_its_page_and_knows_its_types(tmp_path: Path) -> None:
    for name in ("a.mjs", "b.wasm", "c.js"):
        (tmp_path / name).write_text("x")
    with site_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        types = {}
        for name in ("a.mjs", "b.wasm", "c.js"):
            with urllib.request.urlopen(address(server) + name) as answer:
                types[name] = answer.headers["Content-Type"]
                assert {header: answer.headers[header] for header in HEADERS} == HEADERS
        with pytest.raises(ServeError, match=r"cannot be used .* give another, or 0 for any"):
            site_server(tmp_path, server.server_address[1])
        server.shutdown()
    assert types["a.mjs"] == "text/javascript"
    assert types["b.wasm"] == "application/wasm"


def test_the_command_writes_a_site_and_names_the_next_one(fake_runtime: Path, tmp_path: Path) -> None:
    out, runtime = str(tmp_path / "my site"), str(fake_runtime)
    done = run("web", "nca-iris", "--out", out, "--runtime", runtime, "--samples", "3")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "models: nca-iris"
    given = shlex.join(["zoo", "web", "nca-iris", "--out", out, "--samples", "3", "--runtime", runtime])
    assert lines[-1] == f"look at it: {given} --overwrite --serve"
    assert is_site(tmp_path / "my site")
    assert fails(1, "web", "nca-iris", "--out", out, "--runtime", runtime).startswith("zoo: error: --out ")
    assert "NAME" in fails(2, "web")


def test_a_taken_port_is_said_before_a_site_is_built(fake_runtime: Path, tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "site"), "--runtime", str(fake_runtime), "--serve", "--no-browser"]
    with site_server(tmp_path) as server:
        port = server.server_address[1]
        assert fails(1, "web", "nca-iris", *options, "--port", str(port)).startswith(
            f"zoo: error: --port {port}: cannot"
        )
    assert not (tmp_path / "site").exists()
