"""The records of a training that an artifact keeps: history.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.artifact import HISTORY_FILE, Artifact
from sdk.errors import ArtifactError
from sdk.json_text import parse_json


def read_history(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the records of the training rounds; an artifact older than history.json gives none."""
    if HISTORY_FILE not in artifact.config.files:
        return []
    return parse_history(artifact.file(HISTORY_FILE))


def parse_history(file: Path) -> list[dict[str, Any]]:
    """Read history.json. Raises ArtifactError for anything but a list of objects."""
    try:
        history = parse_json(file.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise ArtifactError(f"{file}: should be a list of objects, one for each round of training")
    return history
