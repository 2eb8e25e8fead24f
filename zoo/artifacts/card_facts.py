"""The parts of a model card on results and training. A fact that an artifact does not record is left out."""

from __future__ import annotations

from typing import Any

from sdk.artifact import INPUT_FILE, ONNX_FP16_FILE, ONNX_INT8_FILE, ArtifactConfig
from sdk.tasks import LOSS_NAMES
from zoo.artifacts.card_columns import literal
from zoo.data.location import is_hub_id
from zoo.utils.markdown import code, plain


def results(config: ArtifactConfig) -> dict[str, str]:
    """Return the rows of the table of results; results that were not measured have no row."""
    metrics, rows = config.metrics, {}
    if recorded(metrics, "test_accuracy"):
        counts = recorded(metrics, "test_correct", "test_total")
        of = f" ({metrics['test_correct']:,} of {metrics['test_total']:,})" if counts else ""
        rows["test accuracy"] = f"**{metrics['test_accuracy']:.2%}**{of}"
    if recorded(metrics, "test_interval_95"):
        low, high = metrics["test_interval_95"]
        rows["95 % confidence interval (Wilson)"] = f"{low:.2%} to {high:.2%}"
    if recorded(metrics, "seed_results", "seeds", "test_accuracy_mean", "test_accuracy_std"):
        rows[f"mean test accuracy of {metrics['seeds']} seeds"] = f"{metrics['test_accuracy_mean']:.2%}"
        rows["sample standard deviation of the seeds"] = f"{metrics['test_accuracy_std']:.2%}"
    if recorded(metrics, "test_loss"):
        rows[f"test loss ({LOSS_NAMES[config.task]})"] = f"{metrics['test_loss']:.4f}"
    if recorded(metrics, "validation_accuracy"):
        rows["validation accuracy"] = f"{metrics['validation_accuracy']:.2%}"
    return rows


def training(config: ArtifactConfig, other_data: str | None = None) -> str:
    """Describe the training in one paragraph: steps, seed, time, data, versions, and the command to repeat it.

    ``other_data`` names the data that the family trained on in place of the recipe's.
    """
    made = config.provenance
    if not recorded(made, "recipe_sha256"):
        return (
            f"Trained outside the zoo's training loop, and saved by `zoo.save`{_when(made)}. "
            "Without a recipe, cellzoo cannot repeat it."
        )
    seeds = f" --seeds {config.metrics['seeds']}" if (config.metrics.get("seeds") or 1) > 1 else ""
    steps = f" for {made['steps']:,} steps" if recorded(made, "steps") else ""
    seed = f" with seed {made['seed']}" if recorded(made, "seed") else ""
    taken = f" in {made['wall_seconds']:,.0f} s" if recorded(made, "wall_seconds") else ""
    return (
        f"Trained{steps}{seed}{_data(made, other_data)}{taken},{_when(made)}. {_start(made)}"
        f"To repeat it, save this recipe as `{config.name}.yaml` and run `zoo train {config.name}.yaml{seeds}`:"
    )


def precisions(config: ArtifactConfig) -> list[dict[str, str]]:
    """Return a row for each file of reduced precision, each with float32's figures of the same run."""
    known = config.metrics.get("precisions") or {}
    files = {"fp16": ONNX_FP16_FILE, "int8": ONNX_INT8_FILE}
    shown = ("bytes", "validation_correct", "milliseconds")
    keys = ("validation_total", *shown, *(f"full_{key}" for key in shown))
    found = []
    for name, file in files.items():
        facts = known.get(name) or {}
        if file in config.files and recorded(facts, *keys) and facts["validation_total"] > 0:
            found.append({"precision": name, "backend": f"onnx-{name}", **_pairs(facts)})
    return found


def _pairs(facts: dict[str, Any]) -> dict[str, str]:
    """Return each figure of a reduced precision with that of float32."""
    total = facts["validation_total"]
    accuracy, before = (facts[key] / total for key in ("validation_correct", "full_validation_correct"))
    return {
        "bytes": f"{facts['bytes']:,} (float32: {facts['full_bytes']:,})",
        "accuracy": f"{accuracy:.2%} (float32: {before:.2%})",
        "milliseconds": f"{facts['milliseconds']:.3g} (float32: {facts['full_milliseconds']:.3g})",
    }


def example_answer(config: ArtifactConfig) -> str:
    """Return a comment of Python with the model's answer to its example; nothing if it has none."""
    found = _example(config)
    return f"  # {literal(found['predicted'])}" if found else ""


def example_origin(config: ArtifactConfig) -> str:
    """Say where the picture of the example is from, and what it is; nothing for a table."""
    found = _example(config)
    if not found or not all(isinstance(found.get(key), str) for key in ("part", "label")):
        return ""
    part, label, predicted = (plain(found[key]) for key in ("part", "label", "predicted"))
    return (
        f"`{INPUT_FILE}`, in this folder, is the first {part} sample, of class {label}; the model gives {predicted} a "
        f"probability of {found['probability']:.1%}."
    )


def _example(config: ArtifactConfig) -> dict[str, Any]:
    """Return the recorded example and its answer; empty if there is none, or one that nobody could have measured."""
    found = config.provenance.get("example")
    if not isinstance(found, dict):
        return {}
    predicted, probability = found.get("predicted"), found.get("probability")
    sane = isinstance(predicted, str) and isinstance(probability, float | int) and 0 <= probability <= 1
    return found if sane else {}


def recorded(facts: dict[str, Any], *keys: str) -> bool:
    """Return True if all of these facts are there."""
    return all(facts.get(key) is not None for key in keys)


def _data(made: dict[str, Any], other_data: str | None) -> str:
    data, trained = made.get("data") or {}, f" on {other_data}" if other_data else ""
    if not recorded(data, "name"):
        return trained
    named = (("train", "training"), ("validation", "validation"))
    parts = " and ".join(f"{data[part]:,} {name}" for part, name in named if recorded(data, part))
    described = f"{plain(data['name'])}{f' ({parts} samples)' if parts else ''}"
    return f"{trained}, for {described}," if other_data else f" on {described}"


def _when(made: dict[str, Any]) -> str:
    """Name the date, the version of torch and the machine."""
    versions, platform = made.get("versions") or {}, made.get("platform") or {}
    date = f" on {plain(made['date'][:10])}" if recorded(made, "date") else ""
    torch = f" with torch {plain(versions['torch'])}" if recorded(versions, "torch") else ""
    machine = f" on {plain(platform['machine'])}" if recorded(platform, "machine") else ""
    return f"{date}{torch}{machine}"


def _start(made: dict[str, Any]) -> str:
    """Name the trained model that the training started from, in a sentence; nothing for random weights."""
    start = made.get("start_from") or {}
    if not recorded(start, "name", "taken_parameters", "new_parameters", "weights_sha256"):
        return ""
    name = code(start["name"])
    if recorded(start, "repo", "commit") and is_hub_id(start["repo"]):
        page = f"https://huggingface.co/{start['repo']}"
        name = f"[{start['repo']}]({page}) at commit {code(start['commit'][:12])}"
    taken, new = start["taken_parameters"], start["new_parameters"]
    share = f"{taken:,} of its {taken + new:,} parameters" if new else f"all of its {taken:,} parameters"
    return (
        f"It took {share} from {name} (sha256 of the weights: {code(start['weights_sha256'][:12])}) before training. "
    )
