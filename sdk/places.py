"""The folder of the user's own models, which ``zoo train`` writes to and :func:`sdk.load` reads."""

from __future__ import annotations

import os
from pathlib import Path

MODELS_VARIABLE = "ZOO_MODELS"
"""The environment variable that names the folder of the user's own models."""


def models_folder() -> Path:
    """Return the absolute folder of the user's own models, which may not exist yet.

    It is ``$ZOO_MODELS`` if set, else ``cellzoo/models`` in ``$XDG_DATA_HOME``, else in ``~/.local/share``.
    """
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(os.path.abspath(os.path.expanduser(data))) / "cellzoo" / "models"
