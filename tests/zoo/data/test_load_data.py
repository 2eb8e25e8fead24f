from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import get_args

from tests.support.paths import ROOT
from zoo import data
from zoo.config.data import DataConfig


def test_every_data_set_of_a_recipe_has_a_documented_module() -> None:
    configs = get_args(get_args(DataConfig)[0])
    names = [get_args(config.model_fields["name"].annotation)[0] for config in configs]
    assert sorted(names) == sorted(data._MODULES)
    for name in names:
        module = importlib.import_module(data._MODULES[name])
        assert list(inspect.signature(module.load).parameters) == ["config", "folder"]
        for heading in ("Source:", "- Input:", "- Classes:", "- Split:", "- Normalisation:"):
            assert heading in (module.__doc__ or ""), f"{module.__name__} lacks {heading}"


def test_importing_the_package_imports_no_torch_and_no_data_set() -> None:
    code = "import sys, zoo.data; print([m for m in ('torch', 'sklearn', 'torchvision', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr
