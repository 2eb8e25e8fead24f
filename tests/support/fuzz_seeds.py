"""Small pictures, tables and arrays of all kinds for the fuzzer to start from."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image

from tests.support.fuzz_mutators import HOSTILE_NUMBERS, HOSTILE_TEXTS, hostile_value
from tests.support.tables import ROWS

_MODES = ("L", "RGB", "RGBA", "P", "1", "LA", "I;16", "F", "CMYK", "I")
DATASET_CARD = """---
license: mit
configs:
- config_name: plain
  default: true
  data_files:
  - split: train
    path: plain/train-*.parquet
  - split: test
    path: [a.parquet, b.parquet]
dataset_info: {features: [{name: label, dtype: int64}], splits: [{name: train, num_bytes: 10}]}
---
# Data
"""


def make_picture(name: str, chance: random.Random) -> bytes:
    noise = np.random.default_rng(chance.randrange(100)).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = chance.randrange(1, 9)
    modes = [mode for mode in _MODES if mode not in ("I", "I;16", "F") or name in ("PNG", "TIFF")]
    for mode in chance.sample(modes, len(modes)):
        try:
            converted = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
            converted.save(out, name, exif=exif if name in ("PNG", "JPEG", "WEBP", "TIFF") else None)
            return out.getvalue()
        except (OSError, ValueError, TypeError, KeyError):
            out = io.BytesIO()
    raise AssertionError(f"Pillow writes no {name}")


def make_array(chance: random.Random) -> Any:
    shape = tuple(chance.choice((0, 1, 2, 3, 4, 6, 8, 8, 8)) for _ in range(chance.randrange(6)))
    kind = chance.randrange(9)
    if kind < 4:
        dtype = chance.choice(("u1", "f4", "f8", "f2", "b1", "i8", "c8", "O", "U3", "M8[D]", "S2", ">f4", "V4"))
        array = np.zeros(shape, dtype)
        if dtype in ("f4", "f8", "f2", ">f4") and array.size and chance.random() < 0.5:
            with np.errstate(over="ignore"):
                array.flat[chance.randrange(array.size)] = float(
                    min(max(chance.choice(HOSTILE_NUMBERS), -1e300), 1e300)
                )
        return chance.choice(
            (array, array.T, array[..., ::-1] if array.ndim else array, [array, array], array.tolist())
        )
    if kind == 4:
        return torch.zeros(shape, dtype=chance.choice((torch.float32, torch.bfloat16, torch.uint8, torch.complex64)))
    if kind == 5:
        names = [text for text in HOSTILE_TEXTS if text.isprintable()]
        return pandas.DataFrame({chance.choice(names): [chance.choice(HOSTILE_NUMBERS)] for _ in range(3)})
    if kind == 6:
        return [hostile_value(chance) for _ in range(chance.randrange(5))]
    if kind == 7:
        return chance.choice(
            (object(), len, Path("x.csv"), b"", {1, 2}, range(4), (i for i in range(4)), 3, None, "x", ...)
        )
    return [[hostile_value(chance) for _ in range(4)] for _ in range(chance.randrange(3))]


def make_frame(columns: dict[str, list[Any]]) -> Any:
    try:
        return pandas.DataFrame(columns)
    except (ValueError, OverflowError, pyarrow.ArrowException):  # such cells fit into no frame
        return columns


def make_parquet() -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS * 3), out)
    return out.getvalue()
