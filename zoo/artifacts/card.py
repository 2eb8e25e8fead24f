"""The model card: an artifact's README.md, rendered from the artifact's files by one template for all families."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from sdk.appearance import describe_polarity, polarity_of
from sdk.artifact import (
    CARD_FILE,
    EXAMPLE_FILE,
    FIGURES_FOLDER,
    INPUT_FILE,
    LEARNING_FILE,
    ONNX_FILE,
    PICTURES_FILE,
    PROBE_FILE,
    RECIPE_FILE,
    THUMBNAIL_FILE,
    WEIGHTS_FILE,
    ArtifactConfig,
)
from sdk.tasks import ECHO_BOUND
from sdk.text import printable
from zoo.artifacts.card_columns import columns_table, example_row
from zoo.artifacts.card_facts import example_answer, example_origin, precisions, results, training
from zoo.data.location import is_hub_id
from zoo.families.probing import Findings
from zoo.families.registry import PACKAGE_KEY, get_family
from zoo.families.registry import other_data as other_data_of
from zoo.utils.errors import CardError
from zoo.utils.markdown import block, plain, without_comments

MODULE_FAMILY = "module"
"""The family in config.json of a network of the user's own, whose artifact holds an ONNX graph and no weights file."""
NOTES_BEGIN = "<!-- begin: notes, kept by `zoo card` -->"
NOTES_END = "<!-- end: notes -->"
_TEMPLATE = Path(__file__).with_name("card.md.j2")
_CENTRED = 1.25
"""Images are centred if their middle differs from the border this many times as much as the mean of all pixels."""
_PIPELINE_TAGS = {
    ("classification", "image"): "image-classification",
    ("classification", "table"): "tabular-classification",
    ("echo", "image"): "image-to-image",
    ("echo", "table"): "tabular-regression",
}
_HUB_METRICS = {
    "classification": ("accuracy", "test accuracy", "test_accuracy"),
    "echo": ("mse", "test mean squared error", "test_loss"),
}
# Data sets that have another name on the Hub, and the licences that it knows by identifier.
_HUB_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "iris": "scikit-learn/iris",
}
_HUB_LICENCES = {
    "mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "isc", "mpl-2.0", "unlicense", "wtfpl", "zlib",
}  # fmt: skip


def card_text(folder: Path, config: ArtifactConfig, notes: str = "") -> str:
    """Render the card of the artifact in ``folder``, whose files ``config`` lists, with notes from :func:`read_notes`.

    The text is a function of the files and the notes alone.
    """
    package = config.provenance.get(PACKAGE_KEY)
    other_data = None if config.family == MODULE_FAMILY else other_data_of(config.family, config.model, package)
    findings = "\n\n".join(_text(folder / file).strip() for file in (PICTURES_FILE, PROBE_FILE) if file in config.files)
    card = ModelCard.from_template(
        _metadata(config),
        template_path=str(_TEMPLATE),
        config=config,
        about=_about(config),
        input=_input(config),
        expects=_expects(config),
        columns=columns_table(config),
        row=example_row(config),
        example=EXAMPLE_FILE if EXAMPLE_FILE in config.files else None,
        thumbnail=THUMBNAIL_FILE if THUMBNAIL_FILE in config.files else None,
        learning=LEARNING_FILE if LEARNING_FILE in config.files else None,
        image=INPUT_FILE if INPUT_FILE in config.files else None,
        answer=example_answer(config),
        shown=example_origin(config),
        findings=findings,
        dataset=_dataset(config),
        results=results(config),
        seeds=config.metrics.get("seed_results"),
        onnx=ONNX_FILE in config.files,
        prepared=_prepared(config),
        precisions=precisions(config),
        training=training(config, other_data),
        other_data=other_data,
        started=bool(config.provenance.get("start_from")),
        recipe=block(_text(folder / RECIPE_FILE), "yaml") if RECIPE_FILE in config.files else None,
        torch=WEIGHTS_FILE in config.files,
        files=[
            (plain(path), quote(path), record.size)
            for path, record in sorted(config.files.items())
            if path != CARD_FILE
        ],
        labels=", ".join(plain(label) for label in config.labels[:10]),
        licence=plain(config.licence),
        echo_bound=ECHO_BOUND,
    )
    return f"{without_comments(str(card)).rstrip()}\n\n{NOTES_BEGIN}{notes or chr(10)}{NOTES_END}\n"


def read_notes(card: Path) -> str:
    """Return the text between the two markers of a card, line breaks included; empty without markers or card.

    Raises CardError if the card cannot be read, and if a marker is missing, repeated or out of place.
    """
    text = _text(card) if card.is_file() else ""
    begins, ends = text.count(NOTES_BEGIN), text.count(NOTES_END)
    if not begins and not ends:
        return ""
    if (begins, ends) != (1, 1) or text.index(NOTES_BEGIN) > text.index(NOTES_END):
        raise CardError(
            f"{card}: found {begins} x {NOTES_BEGIN} and {ends} x {NOTES_END}, expected one of each in this order; "
            "put hand-written notes between them"
        )
    return text.split(NOTES_BEGIN)[1].split(NOTES_END)[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: cannot be read: {error}") from None


def _metadata(config: ArtifactConfig) -> ModelCardData:
    """Return the metadata that the Hub indexes."""
    data, dataset = _dataset_names(config)
    licence = config.licence.lower()
    known = licence in _HUB_LICENCES
    task = _PIPELINE_TAGS[config.task, config.input.kind]
    metric, name, key = _HUB_METRICS[config.task]
    value = config.metrics.get(key)
    repo = (config.provenance.get("start_from") or {}).get("repo")  # none for a model that is not on the Hub
    repo = repo if repo and is_hub_id(repo) else None
    result = EvalResult(
        task_type=task, dataset_type=dataset or data, dataset_name=data, dataset_split="test", metric_type=metric,
        metric_name=name, metric_value=value,
    )  # fmt: skip
    return ModelCardData(
        library_name="cellzoo",
        pipeline_tag=task,
        license=licence if known else "other",
        license_name=None if known else printable(" ".join(config.licence.split())),
        tags=["cellzoo", config.family, *(["onnx"] if ONNX_FILE in config.files else [])],
        datasets=[dataset] if dataset else None,
        metrics=[metric],
        base_model=repo,
        base_model_relation="finetune" if repo else None,
        model_name=config.name,
        eval_results=[result] if data and value is not None else None,
    )


def hub_dataset(config: ArtifactConfig) -> str | None:
    """Return the id on the Hub of the data set that a model was trained on; None for data that are elsewhere."""
    return _dataset_names(config)[1]


def _dataset_names(config: ArtifactConfig) -> tuple[Any, str | None]:
    """Return the name of the data set, None for an author's own words, and its id on the Hub, if it is there."""
    data: Any = (config.provenance.get("data") or {}).get("name")
    if "recipe_sha256" not in config.provenance and data not in _HUB_DATASETS:
        data = None  # words of an author, which are no identifier
    if data is not None and not re.fullmatch(r"[\w.-]+", data) and not is_hub_id(data):
        data = None
    dataset: Any = _HUB_DATASETS.get(data, data)
    return data, dataset if dataset is not None and is_hub_id(dataset) else None


def _about(config: ArtifactConfig) -> str:
    if config.family != MODULE_FAMILY:
        return get_family(config.family, config.provenance.get(PACKAGE_KEY)).about.strip()
    return (
        "A network of its author's own, stored as an ONNX graph of standard operators. In torch, it is:\n\n"
        f"{block(str(config.model.get('architecture', '')))}"
    )


def _dataset(config: ArtifactConfig) -> str:
    name: str = (config.provenance.get("data") or {}).get("name") or "its data set"
    if name not in _HUB_DATASETS and not is_hub_id(name):
        return plain(name)
    return f"[{name}](https://huggingface.co/datasets/{_HUB_DATASETS.get(name, name)})"


def _input(config: ArtifactConfig) -> str:
    shape = ", ".join(map(str, config.input.shape))
    if config.input.kind == "image":
        return f"an image `[{shape}]` (channels, height, width)"
    columns = config.input.columns
    if columns is None:
        return f"`{shape}` features"
    return f"a row of {len(columns.columns)} columns ({shape} features)"


def _expects(config: ArtifactConfig) -> str | None:
    """Say what images must look like; None for a model without polarity."""
    polarity = polarity_of(config.provenance)
    if polarity is None:
        return None
    found = config.provenance["data"]["appearance"]
    border, centre, mean = (found.get(key) or 0.0 for key in ("border", "centre", "mean"))
    centred = centre != border and abs(centre - border) >= _CENTRED * abs(mean - border)
    return f"{describe_polarity(polarity)}{', centred' if centred else ''}"


def _prepared(config: ArtifactConfig) -> str:
    values = "pixels in [0, 1]" if config.input.kind == "image" else "features"
    if config.input.columns is not None and config.input.columns.width != len(config.input.columns.columns):
        values = "features (numbers as they are, one feature per category: 1 for the row's own, else 0)"
    return f"{values}, minus the mean {list(config.input.mean)}, divided by {list(config.input.std)}"


def findings_text(findings: Findings) -> str:
    """Return the findings as Markdown: the text, then each figure with its caption."""
    figures = [
        f"![{Path(file).stem}]({FIGURES_FOLDER}/{file})\n\n*{caption}*" for file, caption in findings.figures.items()
    ]
    return "\n\n".join([findings.text.strip(), *figures]) + "\n"
