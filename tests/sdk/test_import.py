"""The modules that importing and using sdk loads, seen from a new process."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT


def loaded_modules(code: str, candidates: tuple[str, ...]) -> list[str]:
    """Run code in a new process and return those of the candidates that it imported."""
    code += f"\nimport sys; print(*[name for name in {candidates} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_importing_sdk_and_listing_models_loads_no_torch_no_zoo_and_no_backend() -> None:
    heavy = ("torch", "zoo", "PIL", "onnxruntime", "safetensors", "huggingface_hub", "pydantic")
    assert loaded_modules("import sdk; sdk.list_models()", heavy) == []


def test_preparing_arrays_loads_neither_torch_nor_pil() -> None:
    code = "import numpy as np, sdk; sdk.InputSpec('image', (1, 4, 4), (0.,), (1.,)).prepare(np.zeros((4, 4)))"
    assert loaded_modules(code, ("torch", "PIL")) == []
