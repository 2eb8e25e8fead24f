from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.config.data import DigitsConfig
from zoo.data import load_data


@pytest.fixture
def digit_files(tmp_path: Path) -> list[tuple[str, str]]:
    """Write some held-out digits as PNG files and return (path, true label) of each."""
    test = load_data(DigitsConfig(name="digits")).test
    files = []
    for i in range(8):
        image = (test.inputs[i, 0].numpy() * 255).round().astype(np.uint8)  # type: ignore[attr-defined]
        path = tmp_path / f"digit-{i}.png"
        Image.fromarray(image).save(path)
        files.append((str(path), str(int(test.labels[i]))))
    return files
