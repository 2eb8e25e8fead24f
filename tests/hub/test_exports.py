"""Every trained model that ships goes to a Hub and comes back, to the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.artifact import read_config
from sdk.catalogue import bundled_models
from sdk.models import backends_of
from tests.support.artifacts import files_of
from tests.support.hub_server import WRITER, HubServer
from tests.support.hub_worker import ROOT, HubClient

NAMES = sorted(bundled_models())
OFFLINE = """
import json, sys, sdk
from tests.support.hub_worker import logits_of
models = [sdk.load(name, backend=backend) for name, backend in json.loads(sys.argv[1])]
print(json.dumps([(model.origin, logits_of(model)) for model in models]))
"""


@pytest.mark.parametrize("name", NAMES)
def test_it_is_pushed_pulled_into_an_empty_cache_and_predicts_the_same_bits_offline_too(
    hub: HubServer, client: HubClient, tmp_path: Path, name: str
) -> None:
    folder = bundled_models()[name]
    repo_id, cache = f"alice/{name}", tmp_path / "home" / "hub"
    pushed = client.zoo("push", name, "--repo-id", repo_id, token=WRITER, cache=tmp_path / "pushing")
    assert pushed["code"] == 0, pushed
    assert hub.repos[repo_id].files == files_of(folder)
    origin = f"{repo_id}@{hub.repos[repo_id].main}"
    backends = backends_of(read_config(folder))
    expected = {backend: client.load(str(folder), {"backend": backend})["logits"] for backend in backends}
    for backend in backends:
        pulled = client.load(repo_id, {"backend": backend}, cache=cache)
        assert (pulled["origin"], pulled["logits"]) == (origin, expected[backend])
    hub.log.clear()
    offline = subprocess.run(
        [sys.executable, "-c", OFFLINE, json.dumps([(repo_id, backends[0]), (origin, backends[0])])],
        env={**client.environment, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(offline.stdout) == [[origin, expected[backends[0]]]] * 2
    for backend in backends:
        assert client.load(repo_id, {"backend": backend}, cache=cache, offline=True)["logits"] == expected[backend]
    assert hub.log == []


def test_a_model_on_the_hub_is_evaluated_as_the_one_here(hub: HubServer, client: HubClient, tmp_path: Path) -> None:
    pushed = client.zoo("push", "gridnet-digits", "--repo-id", "alice/digits", token=WRITER, cache=tmp_path / "pushing")
    assert pushed["code"] == 0, pushed
    result = client.zoo("eval", "alice/digits", cache=tmp_path / "cache")
    assert "recorded 355/360: the same" in result["out"], result
