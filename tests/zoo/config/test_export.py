from __future__ import annotations

from pathlib import Path

import pytest

from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError

RECIPE = """
model: {family: gridnet, grid: [4, 4, 4], block: 2, outer_steps: 3}
data: {name: digits}
train: {epochs: 1, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}
export: {formats: [safetensors]}
"""


def test_recipes_export_onnx_by_default(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert load_recipe(tmp_path / "r.yaml").export.formats == ("safetensors",)
    assert load_recipe(tmp_path / "r.yaml", ["export={}"]).export.formats == ("safetensors", "onnx")
    for formats, message in (("[onnx]", "should include safetensors"), ("[safetensors, onnx, onnx]", "once")):
        with pytest.raises(RecipeError, match=message):
            load_recipe(tmp_path / "r.yaml", [f"export.formats={formats}"])
