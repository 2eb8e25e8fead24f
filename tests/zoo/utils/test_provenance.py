from __future__ import annotations

import json
import os
from pathlib import Path

from zoo.utils.provenance import gather_provenance


def test_provenance_holds_versions_but_no_host_or_path() -> None:
    provenance = gather_provenance("seed: 3\n", seed=3, steps=7, wall_seconds=1.26, data={"name": "digits"})
    assert (provenance["seed"], provenance["steps"], provenance["wall_seconds"]) == (3, 7, 1.3)
    assert provenance["versions"].keys() == {"cellzoo", "python", "torch", "numpy"}
    assert provenance["date"].endswith("+00:00")
    text = json.dumps(provenance)
    assert os.uname().nodename not in text
    assert str(Path.home()) not in text
