from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from sdk.resolve import find_model
from tests.support.command import fails


def test_export_fails_if_the_given_data_folder_lacks_the_data(tmp_path: Path) -> None:
    model = tmp_path / "gridnet-images"
    shutil.copytree(find_model("gridnet-digits"), model)
    config = json.loads((model / "config.json").read_text())
    recipe = (model / "recipe.yaml").read_text().replace("name: digits", "name: image_folder")
    (model / "recipe.yaml").write_text(recipe)
    seal = {"sha256": hashlib.sha256(recipe.encode()).hexdigest(), "size": len(recipe.encode())}
    (model / "config.json").write_text(json.dumps({**config, "files": {**config["files"], "recipe.yaml": seal}}))
    out = tmp_path / "model.onnx"
    empty = tmp_path / "empty"
    empty.mkdir()
    line = fails(1, "export", str(model), "--out", str(out), "--data-dir", str(empty))
    assert f"{empty}: found no images in class folders" in line
    assert not out.exists()
