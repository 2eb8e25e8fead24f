"""Small data sets in the layout of the Hub: Parquet files and a README that names the splits."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

datasets.disable_progress_bars()
CLASSES = ["airplane", "cat", "truck"]


def png(pixels: np.ndarray) -> bytes:
    """Encode an image, uint8 ``[H, W]`` or ``[H, W, 3]``."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_cifar_like(folder: Path, splits: dict[str, int], size: int = 8) -> Path:
    """Write colour images in ``img`` and class indices in ``label``; ``splits[name]`` images per class."""
    generator = np.random.default_rng(0)
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    lines = []
    for split, count in splits.items():
        rows: dict[str, list[object]] = {"img": [], "label": []}
        for number in range(count * len(CLASSES)):
            label = number % len(CLASSES)
            pixels = generator.integers(0, 128, (size, size, 3), dtype=np.uint8)
            pixels[..., label] += 100
            rows["img"].append({"bytes": png(pixels), "path": None})
            rows["label"].append(label)
        path = folder / "plain_text" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
        lines.append(f"  - {{split: {split}, path: plain_text/{split}-*}}")
    configs = "\n".join(["configs:", "- config_name: plain_text", "  data_files:", *lines])
    (folder / "README.md").write_text(f"---\n{configs}\n---\nMade for a test.\n")
    return folder


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
