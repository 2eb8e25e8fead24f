from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sdk
from sdk import LoadError
from tests.support.paths import ROOT


def test_a_backend_whose_file_is_missing_is_refused_with_the_available_ones(artifact: Path) -> None:
    for backend, reason in (("onnx", ", which has no model.onnx"), ("tpu", "")):
        with pytest.raises(
            LoadError, match=f"backend '{backend}' cannot run tiny{reason}; available: auto, native, tor"
        ):
            sdk.load(artifact, backend=backend)


def test_an_artifact_without_weights_and_onnx_has_no_backend(artifact: Path, edit_config: Callable[..., None]) -> None:
    edit_config(artifact, files={})
    with pytest.raises(LoadError, match="backend 'auto' cannot run tiny; available: none"):
        sdk.load(artifact)


def test_without_torch_the_error_names_the_package_to_install(artifact: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import sdk\n"
        f"try: sdk.load({str(artifact)!r}, backend='torch')\n"
        "except sdk.LoadError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "needs torch, which is not installed" in result.stdout, result.stderr
    assert "pip install 'cellzoo[train]'" in result.stdout
