"""``zoo predict`` with a model that copies its input: the error of each copy, and a picture of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.echo import EchoModel
from sdk.errors import InputError
from zoo.cli.inputs import File
from zoo.utils.errors import ExportError
from zoo.utils.files import new_file

_SUFFIX = ".png"


def check_echo_options(model: EchoModel, inputs: Sequence[str], out: Path | None, overwrite: bool) -> None:
    """Raise InputError for a model of a table, and for an ``--out`` that cannot take the copy of one image."""
    if model.input_spec.kind == "table":
        raise InputError(f"{model.name} copies rows of numbers; in Python: sdk.load({model.name!r}).predict([...])")
    if out is None:
        return
    if out.suffix.lower() != _SUFFIX or len(inputs) != 1:
        raise InputError(
            f"--out {out}: {model.name} copies its input; give one image and the name of a {_SUFFIX} file for its copy"
        )
    if model.input_spec.shape[0] not in (1, 3):
        raise InputError(f"--out {out}: found images of {model.input_spec.shape[0]} channels, allowed 1 or 3")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists; replace it with --overwrite")


def measure_copies(model: EchoModel, files: Sequence[File], invert: Invert) -> Iterator[tuple[str, float | InputError]]:
    """Yield each file with the mean squared error of its copy, or with the error of one that cannot be read."""
    for file in files:
        try:
            yield file.name, file.error or float(model.errors(file.name, invert=invert))
        except InputError as error:
            yield file.name, error


def write_copy(model: EchoModel, file: str, out: Path, overwrite: bool, invert: Invert) -> None:
    """Write the copy of an image as a PNG file. Raises InputError and ExportError."""
    from PIL import Image

    copy: NDArray[np.float32] = model.predict(file, invert=invert)
    values = (copy * 255).round().clip(0, 255).astype(np.uint8)
    try:
        with new_file(out, overwrite=overwrite) as temporary:
            picture = Image.fromarray(values[0] if len(values) == 1 else np.moveaxis(values, 0, -1))
            picture.save(temporary, format="png")
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from error
