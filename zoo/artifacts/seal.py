"""The seal of an artifact: config.json with the size and hash of every other file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from sdk.artifact import CONFIG_FILE, ArtifactConfig, FileRecord, hash_file
from zoo.utils.errors import ExportError
from zoo.utils.files import write_text


def seal(folder: Path, config: ArtifactConfig) -> ArtifactConfig:
    """Write config.json with the size and hash of every other file in the folder, and return the sealed config.

    Raises ExportError if the config holds anything but plain finite JSON values and Unicode text.
    """
    files = {
        path.relative_to(folder).as_posix(): FileRecord(hash_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / CONFIG_FILE
    }
    sealed = replace(config, files=files)
    try:
        text = json.dumps(sealed.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise ExportError(f"{CONFIG_FILE} takes plain finite JSON values only: {error}") from error
    write_text(folder / CONFIG_FILE, text + "\n")
    return sealed
