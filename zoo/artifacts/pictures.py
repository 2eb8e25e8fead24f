"""Draw the states of a trained model, step by step, into its card or into a folder of one's own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import sdk
import sdk.plot
from sdk.artifact import FIGURES_FOLDER, PICTURES_FILE, PROBE_FILE, RECIPE_FILE
from zoo.artifacts.card import findings_text
from zoo.artifacts.edit import Stored, changing, open_stored
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.probe_context import make_context
from zoo.artifacts.target import check_writable
from zoo.data.sampling import Batch
from zoo.data.split import Data
from zoo.families.probing import Findings
from zoo.families.registry import get_family, load_hook
from zoo.utils.errors import ProbeError
from zoo.utils.files import replacing_folder, write_text
from zoo.utils.progress import Progress, no_progress

_SAMPLES = 256  # of the validation split: the first is shown, all of them give means
_FIGURE = re.compile(rf"!\[[^\]]*\]\({FIGURES_FOLDER}/([^)]+)\)")


def draw_pictures(
    name: str,
    out: Path | None = None,
    inputs: Sequence[Path] = (),
    data_dir: Path | None = None,
    progress: Progress = no_progress,
) -> tuple[Path, dict[str, str]]:
    """Draw the states of a model; return the folder of the pictures, and their captions by file name.

    They show the ``inputs``, files, else samples of the validation split of the model's data. With ``out``, a folder
    that does not exist yet, the model stays as it is; else the pictures go into ``figures/`` of the artifact, their
    captions into pictures.md and the card, in place of earlier ones. Raises ProbeError for a model without recipe and
    inputs, and for one that has no pictures, :class:`sdk.plot.PlotError`, DataError and ExportError.
    """
    stored = open_stored(name)
    if out is not None and os.path.lexists(out):
        raise ProbeError(f"{out} exists, allowed a new folder for the pictures; give another --out")
    check_writable(stored.artifact.folder if out is None else out, overwrite=out is None)
    model = sdk.load(stored.artifact.folder, backend="torch")
    data = None if inputs else _data(stored, data_dir, progress)
    progress(f"drawing {stored.config.name}")
    with TemporaryDirectory() as temporary:
        drawn = Path(temporary)
        shown: Any = list(inputs) if data is None else _samples(data)
        captions = sdk.plot.pictures(model, shown, drawn, invert="auto" if data is None else False)
        hook = get_family(stored.config.family).pictures
        if data is not None and hook is not None:
            captions |= load_hook(hook)(make_context(stored, data, drawn))
        if not captions:
            raise ProbeError(
                f"{stored.config.name}: found nothing to draw without its data: its rule grows networks from examples"
            )
        if out is not None:
            with replacing_folder(out, overwrite=False) as folder:
                _copy(captions, drawn, folder)
            return out, captions
        with changing(stored, stored.config) as new:
            for file in figures_of(new / PICTURES_FILE):
                (new / FIGURES_FOLDER / file).unlink(missing_ok=True)
            (new / FIGURES_FOLDER).mkdir(exist_ok=True)
            _copy(captions, drawn, new / FIGURES_FOLDER)
            write_text(new / PICTURES_FILE, findings_text(Findings({}, "", captions)))
            if (new / PROBE_FILE).is_file():
                text = (new / PROBE_FILE).read_text(encoding="utf-8")
                write_text(new / PROBE_FILE, without_figures(text, captions))
    return stored.artifact.folder / FIGURES_FOLDER, captions


def figures_of(file: Path) -> list[str]:
    """Return the names of the figures that a file of findings shows; none for a file that does not exist."""
    return _FIGURE.findall(file.read_text(encoding="utf-8")) if file.is_file() else []


def without_figures(text: str, names: Sequence[str] | dict[str, str]) -> str:
    """Return the text of findings without some figures and their captions, the paragraphs that follow them."""
    kept, skip = [], False
    for paragraph in text.split("\n\n"):
        found = _FIGURE.fullmatch(paragraph.strip())
        if found:
            skip = found[1] in names
        elif skip and not paragraph.strip().startswith("*"):
            skip = False
        if not skip:
            kept.append(paragraph)
        elif not found:
            skip = False
    return "\n\n".join(kept).strip() + "\n"


def _data(stored: Stored, data_dir: Path | None, progress: Progress) -> Data:
    if RECIPE_FILE not in stored.config.files:
        raise ProbeError(
            f"{stored.config.name}: found no recipe, and so no data to show; name inputs with --input FILE"
        )
    progress(f"loading {stored.recipe.data.name}")
    return load_matching_data(stored.recipe.data, stored.config, data_dir)


def _samples(data: Data) -> Any:
    """Return raw validation samples ``[B, *shape]``."""
    count = min(_SAMPLES, len(data.validation))
    return data.validation[Batch(torch.arange(count))][0].numpy()


def _copy(captions: dict[str, str], source: Path, target: Path) -> None:
    for file in captions:
        shutil.copyfile(source / file, target / file)
