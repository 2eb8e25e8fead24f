"""Loading and predicting leave no file behind, such as a library's telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CODE = """
import sys, numpy as np, sdk
model = sdk.load("bundled:nca-iris", backend=sys.argv[1])
model.predict(np.zeros((2, 4), np.float32))
model.predict([[5.1, 3.5, 1.4, 0.2]])
"""


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_prediction_writes_no_file(tmp_path: Path, backend: str) -> None:
    places = {name: str(tmp_path / name.lower()) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    for place in places.values():
        Path(place).mkdir()
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    environment = {**os.environ, **places, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", CODE, backend], env=environment, cwd=cwd, check=True, capture_output=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
