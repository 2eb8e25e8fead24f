"""The model card: an artifact's README.md, rendered from the artifact's files by one template for all families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from sdk.appearance import describe_polarity, polarity_of
from sdk.artifact import (
    CARD_FILE,
    EXAMPLE_FILE,
    FIGURES_FOLDER,
    ONNX_FILE,
    PROBE_FILE,
    RECIPE_FILE,
    WEIGHTS_FILE,
    ArtifactConfig,
)
from zoo.artifacts.card_columns import columns_table, example_row
from zoo.data.location import is_hub_id
from zoo.families.probing import Findings
from zoo.families.registry import get_family
from zoo.utils.errors import CardError

MODULE_FAMILY = "module"
"""The family in config.json of a network of the user's own, whose artifact holds an ONNX graph and no weights file."""
NOTES_BEGIN = "<!-- begin: notes, kept by `zoo card` -->"
NOTES_END = "<!-- end: notes -->"
_TEMPLATE = Path(__file__).with_name("card.md.j2")
_CENTRED = 1.25
"""Images are centred if their middle differs from the border this many times as much as the mean of all pixels."""
_PIPELINE_TAGS = {"image": "image-classification", "table": "tabular-classification"}
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
    findings = (folder / PROBE_FILE).read_text(encoding="utf-8").strip() if PROBE_FILE in config.files else ""
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
        findings=findings,
        dataset=_dataset(config),
        results=_results(config.metrics),
        seeds=config.metrics.get("seed_results"),
        onnx=ONNX_FILE in config.files,
        prepared=_prepared(config),
        training=_training(config),
        recipe=(folder / RECIPE_FILE).read_text(encoding="utf-8").strip() if RECIPE_FILE in config.files else None,
        torch=WEIGHTS_FILE in config.files,
        sizes={path: record.size for path, record in sorted(config.files.items()) if path != CARD_FILE},
        notes=f"{NOTES_BEGIN}{notes or chr(10)}{NOTES_END}",
    )
    return f"{str(card).rstrip()}\n"


def read_notes(card: Path) -> str:
    """Return the text between the two markers of a card, line breaks included; empty without markers or card.

    Raises CardError if a marker is missing, repeated or out of place.
    """
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    begins, ends = text.count(NOTES_BEGIN), text.count(NOTES_END)
    if not begins and not ends:
        return ""
    if (begins, ends) != (1, 1) or text.index(NOTES_BEGIN) > text.index(NOTES_END):
        raise CardError(
            f"{card}: found {begins} x {NOTES_BEGIN} and {ends} x {NOTES_END}, expected one of each in this order; "
            "put hand-written notes between them"
        )
    return text.split(NOTES_BEGIN)[1].split(NOTES_END)[0]


def _metadata(config: ArtifactConfig) -> ModelCardData:
    """Return the metadata that the Hub indexes."""
    data, licence = config.provenance.get("data", {}).get("name"), config.licence.lower()
    if "recipe_sha256" not in config.provenance and data not in _HUB_DATASETS:
        data = None  # words of an author, which are no identifier
    dataset = _HUB_DATASETS.get(data, data)
    known = licence in _HUB_LICENCES
    task = _PIPELINE_TAGS[config.input.kind]
    accuracy = config.metrics.get("test_accuracy")
    repo = config.provenance.get("start_from", {}).get("repo")  # a model that is not on the Hub has no identifier there
    result = EvalResult(
        task_type=task, dataset_type=dataset, dataset_name=data, dataset_split="test", metric_type="accuracy",
        metric_name="test accuracy", metric_value=accuracy,
    )  # fmt: skip
    return ModelCardData(
        library_name="cellzoo",
        pipeline_tag=task,
        license=licence if known else "other",
        license_name=None if known else config.licence,
        tags=["cellzoo", config.family, *(["onnx"] if ONNX_FILE in config.files else [])],
        datasets=[dataset] if dataset else None,
        metrics=["accuracy"],
        base_model=repo,
        base_model_relation="finetune" if repo else None,
        model_name=config.name,
        eval_results=[result] if data and accuracy is not None else None,
    )


def _about(config: ArtifactConfig) -> str:
    if config.family != MODULE_FAMILY:
        return get_family(config.family).about.strip()
    return (
        "A network of its author's own, stored as an ONNX graph of standard operators. In torch, it is:\n\n"
        f"```\n{config.model['architecture']}\n```"
    )


def _dataset(config: ArtifactConfig) -> str:
    name: str = config.provenance.get("data", {}).get("name", "its data set")
    if name not in _HUB_DATASETS and not is_hub_id(name):
        return name
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
    border, centre, mean = (found.get(key, 0.0) for key in ("border", "centre", "mean"))
    centred = centre != border and abs(centre - border) >= _CENTRED * abs(mean - border)
    return f"{describe_polarity(polarity)}{', centred' if centred else ''}"


def _prepared(config: ArtifactConfig) -> str:
    values = "pixels in [0, 1]" if config.input.kind == "image" else "features"
    if config.input.columns is not None and config.input.columns.width != len(config.input.columns.columns):
        values = "features (numbers as they are, one feature per category: 1 for the row's own, else 0)"
    return f"{values}, minus the mean {list(config.input.mean)}, divided by {list(config.input.std)}"


def _results(metrics: dict[str, Any]) -> dict[str, str]:
    """Return the rows of the table of results; results that were not measured have no row."""
    rows = {}
    if "test_accuracy" in metrics:
        low, high = metrics["test_interval_95"]
        counts = f"{metrics['test_correct']:,} of {metrics['test_total']:,}"
        rows["test accuracy"] = f"**{metrics['test_accuracy']:.2%}** ({counts})"
        rows["95 % confidence interval (Wilson)"] = f"{low:.2%} to {high:.2%}"
    if "seed_results" in metrics:
        rows[f"mean test accuracy of {metrics['seeds']} seeds"] = f"{metrics['test_accuracy_mean']:.2%}"
        rows["sample standard deviation of the seeds"] = f"{metrics['test_accuracy_std']:.2%}"
    if "test_loss" in metrics:
        rows["test loss (mean cross-entropy)"] = f"{metrics['test_loss']:.4f}"
    if "validation_accuracy" in metrics:
        rows["validation accuracy"] = f"{metrics['validation_accuracy']:.2%}"
    return rows


def _training(config: ArtifactConfig) -> str:
    """Describe the training in one paragraph: steps, seed, time, data, versions, and the command to repeat it."""
    made = config.provenance
    versions = made["versions"]
    if "recipe_sha256" not in made:
        return (
            f"Trained outside the zoo's training loop, and saved by `zoo.save` on {made['date'][:10]} with "
            f"torch {versions['torch']} on {made['platform']['machine']}. Without a recipe, cellzoo cannot repeat it."
        )
    data = made["data"]
    parts = " and ".join(
        f"{data[part]:,} {name}" for part, name in (("train", "training"), ("validation", "validation")) if part in data
    )
    seeds = f" --seeds {config.metrics['seeds']}" if config.metrics.get("seeds", 1) > 1 else ""
    return (
        f"Trained for {made['steps']:,} steps with seed {made['seed']} on {data['name']}"
        f"{f' ({parts} samples)' if parts else ''} in {made['wall_seconds']:,.0f} s, on {made['date'][:10]} with "
        f"torch {versions['torch']} on {made['platform']['machine']}. {_start(made)}To repeat it, save this recipe as "
        f"`{config.name}.yaml` and run `zoo train {config.name}.yaml{seeds}`:"
    )


def _start(made: dict[str, Any]) -> str:
    """Name the trained model that the training started from, in a sentence; nothing for random weights."""
    start = made.get("start_from")
    if start is None:
        return ""
    name = f"`{start['name']}`"
    if "repo" in start:
        page = f"https://huggingface.co/{start['repo']}"
        name = f"[{start['repo']}]({page}) at commit `{start['commit'][:12]}`"
    taken, new = start["taken_parameters"], start["new_parameters"]
    share = f"{taken:,} of its {taken + new:,} parameters" if new else f"all of its {taken:,} parameters"
    return f"It took {share} from {name} (sha256 of the weights: `{start['weights_sha256'][:12]}`) before training. "


def findings_text(findings: Findings) -> str:
    """Return the findings as Markdown: the text, then each figure with its caption."""
    figures = [
        f"![{Path(file).stem}]({FIGURES_FOLDER}/{file})\n\n*{caption}*" for file, caption in findings.figures.items()
    ]
    return "\n\n".join([findings.text.strip(), *figures]) + "\n"
