"""The model card of an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sdk.artifact import ONNX_FILE, ONNX_INPUT, ONNX_OUTPUT, ArtifactConfig

RECIPE_FILE = "recipe.yaml"
_ONNX_USE = [
    "Without cellzoo, on inputs that are prepared already (the properties of the file say how):",
    "",
    "```python",
    "import onnxruntime",
    "",
    f'session = onnxruntime.InferenceSession("{ONNX_FILE}")',
    f'[logits] = session.run(["{ONNX_OUTPUT}"], {{"{ONNX_INPUT}": inputs}})  # float32 [B, ...] -> [B, classes]',
    "```",
    "",
]


def card_text(config: ArtifactConfig, formats: Sequence[str]) -> str:
    """The README of an artifact: what it is, what was measured, how to load it in each of its formats."""
    axes = "[C, H, W]" if config.input.kind == "image" else "[features]"
    shown = ", ".join(config.labels[:10]) + (", ..." if len(config.labels) > 10 else "")
    rows = [f"| {key} | {value} |" for key, value in _flatten(config.metrics)] or ["| nothing | - |"]
    made = [f"- {key}: {value}" for key, value in _flatten(config.provenance)]
    lines = [
        f"# {config.name}",
        "",
        f"A {config.family} network from the cellzoo model zoo with {config.parameters:,} parameters. "
        f"It takes one {config.input.kind} {list(config.input.shape)} ({axes}) and gives one of "
        f"{len(config.labels)} classes: {shown}.",
        "",
        "## Measured",
        "",
        "| metric | value |",
        "|---|---|",
        *rows,
        "",
        "## Use",
        "",
        "```python",
        "import sdk",
        "",
        f'model = sdk.load("{config.name}")  # or the path of this folder',
        "model.predict(inputs)  # also predict_proba, logits",
        "```",
        "",
        *(_ONNX_USE if "onnx" in formats else []),
        "## Made with",
        "",
        f"The recipe is in [{RECIPE_FILE}]({RECIPE_FILE}).",
        "",
        *made,
        "",
        f"Licence: {config.licence}",
        "",
    ]
    return "\n".join(lines)


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
