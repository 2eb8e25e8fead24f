"""``zoo push --space`` with the real client against a local Hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.artifacts import files_of
from tests.support.hub_fixtures import _made, _server, client, hub, tiny  # noqa: F401  # fixtures
from tests.support.hub_server import READER, WRITER, HubServer, Repo
from tests.support.hub_worker import HubClient
from zoo.web.site import build_site

SPACE = "alice/zoo"
WRITES = r"^(POST|PUT) "


@pytest.fixture
def own_site(tiny: Path, fake_runtime: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A site of a small model."""
    return build_site([str(tiny)], tmp_path / "site", runtime=fake_runtime, samples=0).folder


@pytest.fixture
def run(client: HubClient, own_site: Path, tmp_path: Path) -> Any:  # noqa: F811
    """Push the site; return the exit code and the lines of output."""

    def push(*options: object, token: str | None = WRITER, folder: Path = own_site) -> tuple[int, list[str]]:
        given = ("push", folder, "--space", "--repo-id", SPACE, *options)
        result = client.zoo(*given, token=token, cache=tmp_path / "cache")
        assert "Traceback" not in result["err"]
        return result["code"], (result["out"] if result["code"] == 0 else result["err"]).splitlines()

    return push


def test_a_first_push_creates_a_static_space_with_the_files_of_the_site(
    hub: HubServer, run: Any, own_site: Path  # noqa: F811
) -> None:  # fmt: skip
    code, lines = run()
    assert code == 0, lines
    assert hub.repos[SPACE].files == files_of(own_site)
    assert "sdk: static" in (own_site / "README.md").read_text()
    assert lines[0] == "created the Space"
    assert lines[1].startswith(f"uploaded {len(files_of(own_site))} files: ")
    assert lines[2:] == [f"commit: {hub.repos[SPACE].main}", f"{hub.endpoint}/spaces/{SPACE}"]


def test_a_push_without_changes_uploads_nothing(hub: HubServer, run: Any) -> None:  # noqa: F811
    run()
    hub.log.clear()
    code, lines = run()
    assert (code, lines[0]) == (0, "nothing to upload: the Space already has these files")
    assert hub.requests(WRITES) == []


def test_a_dry_run_reports_the_push_and_writes_nothing(hub: HubServer, run: Any) -> None:  # noqa: F811
    code, lines = run("--dry-run")
    assert code == 0
    assert lines[0] == "would create the Space"
    assert lines[1].startswith("would upload ")
    assert hub.repos == {}
    assert hub.requests(WRITES) == []


def test_files_that_the_site_lost_are_deleted(hub: HubServer, run: Any, own_site: Path) -> None:  # noqa: F811
    run()
    (own_site / "models/tiny/model.safetensors").unlink()
    assert run()[1][0] == "deleted 1 files: models/tiny/model.safetensors"
    assert hub.repos[SPACE].files == files_of(own_site)


def test_a_space_of_something_else_is_not_overwritten(hub: HubServer, run: Any) -> None:  # noqa: F811
    hub.repos[SPACE] = Repo()
    before = hub.repos[SPACE].put({"app.py": b"print()"})
    code, lines = run()
    assert code == 1
    assert lines[-1] == f"zoo: error: {SPACE} holds no site of cellzoo; it is not overwritten: give another --repo-id"
    assert hub.repos[SPACE].main == before


@pytest.mark.parametrize(
    ("options", "token", "message"),
    [
        ((), None, "needs a token"),
        ((), READER, "403"),
        (("--create-pr",), WRITER, "a Space is built from its branch main"),
        (("--revision", "next"), WRITER, "a Space is built from its branch main"),
    ],
)
def test_a_push_that_cannot_be_made_is_refused_in_a_sentence(
    hub: HubServer, run: Any, options: tuple[str, ...], token: str | None, message: str  # noqa: F811
) -> None:  # fmt: skip
    code, lines = run(*options, token=token)
    assert code in (1, 2)
    assert message in lines[-1]
    assert hub.repos == {}


def test_a_model_is_no_site(hub: HubServer, run: Any, tiny: Path) -> None:  # noqa: F811
    code, lines = run(folder=tiny)
    assert code == 1
    assert "found no site in it; write one with `zoo web NAME..." in lines[-1]


def test_private_is_refused_for_a_public_space(hub: HubServer, run: Any, own_site: Path) -> None:  # noqa: F811
    run()
    assert "exists and is public" in run("--private")[1][-1]
    shutil.rmtree(own_site)
    assert run()[0] == 1
