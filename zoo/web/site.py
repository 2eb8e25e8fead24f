"""Builds the static site: the page, the files of the models that it shows, test samples and onnxruntime-web."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

import sdk
from sdk.artifact import CONFIG_FILE, EXAMPLE_FILE, ONNX_FILE, RECIPE_FILE, WEIGHTS_FILE, Artifact, ArtifactConfig
from sdk.errors import CellzooError
from sdk.resolve import open_artifact
from sdk.tasks import check_classifier
from zoo.utils.files import replacing_folder
from zoo.web import FULL_PRECISION
from zoo.web.runtime import FILES, find_runtime

INDEX_FILE = "models.json"
RULE_FILE = "rule.onnx"
BENCH = "bench"
"""The page ``#bench`` of a site, beside ``#NAME`` for every model."""
_PAGE = Path(__file__).parent / "page"
_MARK = ".nojekyll"
"""Tells GitHub Pages to publish the files as they are, and this builder that a folder is a site of its own."""
Note = Callable[[str], None]


class SiteError(CellzooError):
    """A site that cannot be built from these models, or not in this folder."""


@dataclass(frozen=True)
class Site:
    """A site on disk."""

    folder: Path
    models: tuple[str, ...]
    size: int
    """Bytes of all files."""


def build_site(
    names: Sequence[str],
    out: Path,
    *,
    runtime: Path | None = None,
    samples: int = 100,
    data_dir: Path | None = None,
    precision: str = FULL_PRECISION,
    overwrite: bool = False,
    note: Note = lambda _: None,
) -> Site:
    """Write a site that shows the models ``names`` to the folder ``out``.

    ``runtime`` is a folder with onnxruntime-web; by default npm fetches it once. ``samples`` test inputs of each
    model's data set become part of the site; where the data set or the training side is missing, ``note`` says so, and
    the site has none. ``precision`` is float32, or fp16, which halves the weights that the site stores; the page
    computes in float32 either way. An existing site is replaced with ``overwrite`` only, any other folder never.
    Raises SiteError, RuntimeFilesError, LoadError, ArtifactError and, for weights that fp16 cannot hold, ExportError.
    """
    _check_target(out, overwrite)
    artifacts = [open_artifact(name, _wanted) for name in names]
    for artifact in artifacts:
        check_classifier("zoo web", artifact.config.name, artifact.config.task)
        _check_drawn(artifact.config)
    _check_distinct(artifacts)
    found = find_runtime(runtime)
    with replacing_folder(out, overwrite=True, check=lambda old, _: _check_target(old, overwrite)) as folder:
        shutil.copytree(_PAGE, folder, dirs_exist_ok=True)
        (folder / _MARK).touch()
        _allow_hub(folder / "index.html")
        (folder / "runtime").mkdir()
        for name in FILES:
            shutil.copyfile(found / name, folder / "runtime" / name)
        entries = [_add_model(folder, artifact) for artifact in artifacts]
        if precision != FULL_PRECISION:
            from zoo.web.precision import halve_model  # imports onnx

            for entry in entries:
                halve_model(folder / "models" / entry["name"])
        stored = _store_samples(folder, artifacts, samples, data_dir, note) if samples else {}
        entries = [{**entry, "samples": stored.get(entry["name"])} for entry in entries]
        index = {"cellzoo": sdk.__version__, "hub": constants.ENDPOINT, "models": entries}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=1))
    files = [path for path in out.rglob("*") if path.is_file()]
    return Site(out, tuple(entry["name"] for entry in entries), sum(path.stat().st_size for path in files))


def _allow_hub(page: Path) -> None:
    """Let the page read models from the Hub, and from no other place but its own."""
    origins = f"{constants.ENDPOINT} https://*.hf.co"
    text = page.read_text(encoding="utf-8").replace("blob: HUB;", f"blob: {origins};")
    page.write_text(text, encoding="utf-8")


def is_site(folder: Path) -> bool:
    """Return True for a folder that :func:`build_site` wrote."""
    return (folder / INDEX_FILE).is_file() and (folder / _MARK).is_file()


def _check_target(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_site(out):
        raise SiteError(f"--out {out}: found a file or folder that is no site, allowed a new folder or a site")
    if not overwrite:
        raise SiteError(f"--out {out}: found a site; pass --overwrite to replace it, or give another folder")
    written = {path.name for path in _PAGE.iterdir()} | {INDEX_FILE, _MARK, "models", "runtime", "samples"}
    foreign = sorted({path.name for path in out.iterdir()} - written)
    if foreign:
        raise SiteError(
            f"--out {out}: found {', '.join(foreign[:5])} beside the site, which replacing it would delete; "
            "give another folder, and copy the new site from there"
        )


def _wanted(config: ArtifactConfig) -> list[str]:
    if ONNX_FILE not in config.files:
        raise SiteError(f"{config.name}: found no {ONNX_FILE}, which a browser runs; export it with `zoo export`")
    files = (ONNX_FILE, WEIGHTS_FILE, RULE_FILE, EXAMPLE_FILE, RECIPE_FILE)
    return [file for file in files if file in config.files]


def _check_drawn(config: ArtifactConfig) -> None:
    """Raise SiteError for a network that the page would compute in another form than the model does."""
    if config.family == "normnet" and config.model.get("view") is not None:
        raise SiteError(
            f"{config.name}: found model.view {config.model['view']}, the page computes normnets that see images as "
            "they are; in Python, sdk.load predicts"
        )


def _check_distinct(artifacts: Sequence[Artifact]) -> None:
    names = [artifact.config.name for artifact in artifacts]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SiteError(
            f"found several models named {', '.join(repeated)}, allowed each name once; leave out all but one"
        )
    if BENCH in names:
        raise SiteError(
            f"found a model named {BENCH}, which is the site's page of speeds; give its recipe another name"
        )


def _add_model(folder: Path, artifact: Artifact) -> dict[str, Any]:
    """Copy a model's files, and return its entry in the index."""
    config = artifact.config
    target = folder / "models" / config.name
    for file in (CONFIG_FILE, *sorted(artifact.verified - {RECIPE_FILE})):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.folder / file, target / file)
    return {"name": config.name, "family": config.family}


def _store_samples(
    folder: Path, artifacts: Sequence[Artifact], count: int, data_dir: Path | None, note: Note
) -> dict[str, dict[str, Any]]:
    """Store test samples, and return their descriptions by the models' names; ``note`` says why a model has none."""
    try:
        from zoo.web.samples import SampleStore
    except ModuleNotFoundError as error:
        note(f"the training side is not installed (no {error.name}); the site has no test samples")
        return {}
    store, found = SampleStore(folder, count, data_dir), {}
    for artifact in artifacts:
        name = artifact.config.name
        if RECIPE_FILE not in artifact.verified:
            note(f"{name} has no recipe, which would name its data set; the site has no test samples for it")
            continue
        try:
            found[name] = store.add(artifact)
        except CellzooError as error:
            note(f"the site has no test samples for {name}: {error}")
    return found
