"""Check an artifact as its users will find it, before it is shared."""

from __future__ import annotations

from pathlib import Path

import onnx
from huggingface_hub import ModelCard, metadata_load
from yaml import YAMLError

from sdk.artifact import CARD_FILE, ONNX_FILE, WEIGHTS_FILE, Artifact, read_artifact
from sdk.backends import backends_of
from sdk.errors import ArtifactError
from sdk.loading import open_model
from zoo.artifacts.onnx import check_onnx


def check_artifact(folder: Path) -> Artifact:
    """Verify every hash, the card, every backend, and ONNX against torch; return the artifact.

    Raises ArtifactError, and ExportError if ONNX and torch differ.
    """
    check_card(folder)
    artifact = read_artifact(folder)
    models = {backend: open_model(artifact, backend) for backend in backends_of(artifact.config)}
    if "torch" not in models:
        raise ArtifactError(f"{folder}: no {WEIGHTS_FILE}; a shared model needs its weights")
    if "onnx" in models:
        graph = onnx.load_model_from_string(artifact.file(ONNX_FILE).read_bytes())
        check_onnx(graph, models["torch"].module, artifact.config.input)
    return artifact


def check_card(folder: Path) -> None:
    """Raise ArtifactError unless the card is as sealed and the Hub can read its metadata."""
    try:
        card = read_artifact(folder, files=[CARD_FILE]).file(CARD_FILE)
        if metadata_load(card) is None:
            raise ArtifactError(f"{folder}: {CARD_FILE} does not begin with metadata for the Hub")
        ModelCard(card.read_text(encoding="utf-8"))
    except ArtifactError as error:
        raise ArtifactError(f"{error}; `zoo card` renders the model card again and preserves its notes") from error
    except (ValueError, YAMLError) as error:
        raise ArtifactError(f"{folder}: {CARD_FILE} is not a model card: {' '.join(str(error).split())}") from error
