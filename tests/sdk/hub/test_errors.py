"""The errors of ``sdk.load`` for models that the Hub does not provide."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_server import STRANGER, WRITER, HubServer, Repo
from tests.support.hub_worker import HubClient


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("alice/gone", None, "no model 'alice/gone' on"),
        ("alice/gone", WRITER, "if it is a folder, write './alice/gone'"),
        ("alice/tiny@v9", None, "alice/tiny has no revision 'v9'; give a branch, a tag or a full commit"),
        (f"alice/tiny@{'0' * 40}", None, f"alice/tiny has no revision '{'0' * 40}'"),
        ("alice/private", None, "or it is private and needs another token (log in with `hf auth login`"),
        ("alice/private", STRANGER, "or it is private and needs another token"),
        ("alice/gated", None, "alice/gated is gated: ask for access at http"),
        ("alice/gated", STRANGER, "alice/gated is gated: ask for access at http"),
        ("alice/tiny", "hf_nobody", "answers 401: Invalid credentials in Authorization header"),
        ("alice/ti--ny", None, "'alice/ti--ny' is not a valid name on the Hub"),
    ],
)
def test_a_model_that_the_hub_does_not_provide_is_one_line(
    hub: HubServer, repo: Repo, fails: Any, name: str, token: str | None, message: str
) -> None:
    files = {path: file.content for path, file in repo.commits[repo.main].items()}
    hub.repos["alice/private"], hub.repos["alice/gated"] = Repo(private=True), Repo(gated=True)
    for other in ("alice/private", "alice/gated"):
        hub.repos[other].put(dict(files))
    error, found = fails(name, token=token)
    assert error == "HubError"
    assert message in found


@pytest.mark.parametrize(
    ("status", "message"),
    [(200, "does not answer like a Hub"), (404, "is HF_ENDPOINT a Hub?"), (403, "the token does not allow it")],
)
def test_an_endpoint_that_is_not_a_hub_is_refused(
    hub: HubServer, repo: Repo, fails: Any, status: int, message: str
) -> None:
    hub.fail("^HEAD", status=status)
    error, found = fails()
    assert (error, message in found) == ("HubError", True)


def test_without_a_network_the_error_is_one_line_and_torch_is_not_imported(tmp_path: Path, client: HubClient) -> None:
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
