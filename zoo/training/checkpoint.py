"""A run's state in one safetensors file: tensors as tensors, everything else as JSON in the header.

A single file can be replaced atomically: a reader finds either the old checkpoint or the new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoo.training.result import CHECKPOINT_FILE
from zoo.utils.errors import CheckpointError
from zoo.utils.files import replace_file

FORMAT = 1


def save_checkpoint(run_dir: Path, state: dict[str, Any]) -> None:
    """Replace the run's checkpoint with ``state``: nested dicts, lists and tuples of tensors and plain values.

    The file is synced to disk before it takes the place of the previous checkpoint. Raises CheckpointError if it cannot
    be written (the previous checkpoint stays), and TypeError for a value of any other type.
    """
    tensors: dict[str, Tensor] = {}
    tree = _encode(state, tensors)
    path = run_dir / CHECKPOINT_FILE
    data = save(tensors, metadata={"format": str(FORMAT), "state": json.dumps(tree)})
    try:
        replace_file(path, data)  # safetensors' own save_file leaves a file of random name at a kill
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}; {rescue(run_dir)}") from None


def rescue(run_dir: Path) -> str:
    """Say if a checkpoint survives an error, and how to go on."""
    if (run_dir / CHECKPOINT_FILE).is_file():
        return "the previous checkpoint stays; remove the cause and continue with --resume"
    return "no checkpoint exists" + ("" if run_dir.is_dir() else ", as the folder is gone")


def no_checkpoint(run_dir: Path) -> str:
    """Return the words of the error for a folder without a checkpoint."""
    return f"no checkpoint in {run_dir}: nothing to resume or to export; give a run's folder, such as runs/NAME-TIME"


def load_checkpoint(run_dir: Path, name: str = CHECKPOINT_FILE) -> dict[str, Any]:
    """Return the saved state, with tensors on the CPU.

    Raises CheckpointError if the file is missing, damaged or of another format.
    """
    path = run_dir / name
    if not path.is_file():
        raise CheckpointError(no_checkpoint(run_dir))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is not a dict
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None
    found = metadata.get("format")
    if found != str(FORMAT):
        raise CheckpointError(f"{path}: found checkpoint format {found}, this version reads format {FORMAT}")
    try:
        state: dict[str, Any] = _decode(json.loads(metadata["state"]), tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    return state


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` as a JSON tree; tensors move to ``tensors`` and leave their names behind.

    Dicts become lists of pairs: optimizers use integers as keys, and JSON keys are strings.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # Copied, because safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_encode(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"checkpoint: found {type(value).__name__}, expected tensors and plain values only")


def _decode(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_decode(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(_decode(item, tensors) for item in content)
    return {key: _decode(item, tensors) for key, item in content}


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is damaged ({error}); delete it to start again")
