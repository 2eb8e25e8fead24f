"""Run a family's probe on a trained model and store the findings in its artifact."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdk.artifact import FIGURES_FOLDER, HISTORY_FILE, PROBE_FILE, Artifact
from sdk.errors import ArtifactError
from sdk.json_text import parse_json
from sdk.tasks import check_classifier
from zoo.artifacts.card import findings_text
from zoo.artifacts.edit import changing, open_stored
from zoo.artifacts.example import EXAMPLE_NAME
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.target import check_writable
from zoo.families.base import Family
from zoo.families.probing import Findings, ProbeContext
from zoo.families.registry import families_with, get_family, load_hook
from zoo.utils.errors import ProbeError
from zoo.utils.files import write_text
from zoo.utils.progress import Progress, no_progress


def probe_model(name: str, data_dir: Path | None = None, progress: Progress = no_progress) -> tuple[Path, Findings]:
    """Probe a trained model (a name or a folder) and store the findings; return its folder and the findings.

    The numbers go to ``metrics["probe"]``, the text and the captions to probe.md and the card, the figures to
    ``figures/``; they replace those of an earlier probe. Raises ProbeError for a family without a probe, DataError if
    the recipe's data is not available or has other classes, and ExportError if the artifact cannot be written.
    """
    stored = open_stored(name)
    module = stored.module
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
        findings = load_hook(family.probe)(
            ProbeContext(
                module=module,
                config=stored.recipe.model,
                task=data.task,
                data=data,
                seed=stored.recipe.train.seed,
                history=read_history(stored.artifact),
                figures=figures,
                train=stored.recipe.train,
            )
        )
        _check_figures(family, findings, figures)
        config = replace(stored.config, metrics={**stored.config.metrics, "probe": findings.metrics})
        progress("writing the findings")
        with changing(stored, config) as new:
            _remove_figures(new / FIGURES_FOLDER)
            for file in findings.figures:
                (new / FIGURES_FOLDER).mkdir(exist_ok=True)
                shutil.copyfile(figures / file, new / FIGURES_FOLDER / file)
            write_text(new / PROBE_FILE, findings_text(findings))
    return folder, findings


def read_history(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the records of the training rounds; an artifact older than history.json gives none."""
    if HISTORY_FILE not in artifact.config.files:
        return []
    file = artifact.file(HISTORY_FILE)
    try:
        history = parse_json(file.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise ArtifactError(f"{file}: should be a list of objects, one for each round of training")
    return history


def _remove_figures(folder: Path) -> None:
    """Remove the figures of an earlier probe, and leave the picture of training samples."""
    for figure in folder.iterdir() if folder.is_dir() else ():
        if figure.name != EXAMPLE_NAME:
            figure.unlink()


def _check_figures(family: Family, findings: Findings, folder: Path) -> None:
    drawn = {path.name for path in folder.iterdir()}
    if drawn != set(findings.figures):
        raise ProbeError(
            f"the probe of {family.name} drew {sorted(drawn)}, but has captions for {sorted(findings.figures)}"
        )
