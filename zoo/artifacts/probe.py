"""Run a family's probe on a trained model and store the findings in its artifact."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sdk.artifact import CARD_FIGURES, FIGURES_FOLDER, PICTURES_FILE, PROBE_FILE
from sdk.tasks import check_classifier
from zoo.artifacts.card import findings_text
from zoo.artifacts.edit import changing, open_stored
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.pictures import figures_of
from zoo.artifacts.probe_context import make_context
from zoo.artifacts.target import check_writable
from zoo.families.base import Family
from zoo.families.probing import Findings
from zoo.families.registry import families_with, get_family, load_hook
from zoo.utils.errors import ProbeError
from zoo.utils.files import write_text
from zoo.utils.progress import Progress, no_progress


def probe_model(name: str, data_dir: Path | None = None, progress: Progress = no_progress) -> tuple[Path, Findings]:
    """Probe a trained model (a name or a folder) and store the findings; return its folder and the findings.

    The numbers go to ``metrics["probe"]``, the text and the captions to probe.md and the card, the figures to
    ``figures/``; they replace those of an earlier probe, and leave the pictures of :mod:`zoo.artifacts.pictures`.
    Raises ProbeError for a family without a probe, DataError if the recipe's data is not available or has other
    classes, and ExportError if the artifact cannot be written.
    """
    stored = open_stored(name)
    _ = stored.module  # raises for an artifact without weights
    check_classifier("zoo probe", stored.config.name, stored.config.task)
    family = get_family(stored.config.family)
    if family.probe is None:
        probed = ", ".join(families_with("probe")) or "none"
        raise ProbeError(f"{stored.config.name}: family {family.name} has no probe; families that have one: {probed}")
    folder = check_writable(stored.artifact.folder, overwrite=True)
    progress(f"loading {stored.recipe.data.name}")
    data = load_matching_data(stored.recipe.data, stored.config, data_dir)
    progress(f"probing {stored.config.name}, a {family.name}")
    with TemporaryDirectory() as temporary:
        figures = Path(temporary)
        findings = load_hook(family.probe)(make_context(stored, data, figures))
        _check_figures(family, findings, figures)
        config = replace(stored.config, metrics={**stored.config.metrics, "probe": findings.metrics})
        progress("writing the findings")
        with changing(stored, config) as new:
            pictures = figures_of(new / PICTURES_FILE)
            _remove_figures(new / FIGURES_FOLDER, {*CARD_FIGURES, *pictures})
            findings = replace(findings, figures={k: v for k, v in findings.figures.items() if k not in pictures})
            for file in findings.figures:
                (new / FIGURES_FOLDER).mkdir(exist_ok=True)
                shutil.copyfile(figures / file, new / FIGURES_FOLDER / file)
            write_text(new / PROBE_FILE, findings_text(findings))
    return folder, findings


def _remove_figures(folder: Path, kept: set[str]) -> None:
    """Remove the figures of an earlier probe, and leave those of other sources."""
    for figure in folder.iterdir() if folder.is_dir() else ():
        if figure.name not in kept:
            figure.unlink()


def _check_figures(family: Family, findings: Findings, folder: Path) -> None:
    drawn = {path.name for path in folder.iterdir()}
    if drawn != set(findings.figures):
        raise ProbeError(
            f"the probe of {family.name} drew {sorted(drawn)}, but has captions for {sorted(findings.figures)}"
        )
