"""A tree of checkpoints: each improvement is saved with its parent, and a search picks a good one to continue from.

On disk, a tree is one safetensors file per checkpoint and a ``tree.json``. Source: the public brains repository.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdk.errors import CellzooError
from sdk.validation import check_keys, check_list, check_type
from sdk.weights import METADATA
from zoo.utils.files import replacing_folder

FILE = "tree.json"
FORMAT = 1
_FIELDS = {"format", "window", "keep", "observations", "stale", "current", "errors", "checkpoints"}

State = dict[str, Tensor]


class TreeError(CellzooError):
    """A checkpoint tree that is missing, damaged, or lacks the checkpoint that was asked for."""


@dataclass(frozen=True)
class Checkpoint:
    """One improvement. Numbers count from 1 in the order of saving."""

    number: int
    parent: int | None
    """The checkpoint that the weights descend from; None for the initial weights."""
    error: float
    """Mean error over the window, below that of its parent."""
    observation: int
    """Number of errors that the tree had observed."""


class CheckpointTree:
    """Observes one error at a time; a full window whose mean error is below the parent's becomes a checkpoint.

    The parent is the checkpoint that the weights descend from. So each checkpoint is better than its ancestors, and a
    restored one grows a branch of its own, which may stay behind the best of another. The tree holds the records of all
    checkpoints and the weights of ``keep``: the newest, and the best of the others.
    """

    def __init__(self, window: int = 1, keep: int = 16) -> None:
        self.window = _positive("window", window)
        self.keep = _positive("keep", keep)
        self.checkpoints: dict[int, Checkpoint] = {}
        self.current: int | None = None
        """The checkpoint that the weights in use descend from: the parent of the next."""
        self.stale = 0
        """Full windows since the last save or restore."""
        self.observations = 0
        self._errors: list[float] = []
        self._weights: dict[int, State] = {}

    @property
    def best(self) -> Checkpoint | None:
        """The checkpoint with the lowest error, or None."""
        return min(self.checkpoints.values(), key=_rank, default=None)

    @property
    def held(self) -> list[Checkpoint]:
        """The checkpoints whose weights the tree holds, the best first."""
        return sorted((self.checkpoints[number] for number in self._weights), key=_rank)

    def observe(self, error: float, state: Mapping[str, Tensor]) -> Checkpoint | None:
        """Record an error of the weights ``state``; return the checkpoint that they became, or None.

        Raises ValueError for an error that is not finite.
        """
        if not math.isfinite(error):
            raise ValueError(f"error: found {error}, expected a finite number")
        self.observations += 1
        self._errors.append(error)
        if len(self._errors) < self.window:
            return None
        mean = sum(self._errors) / self.window
        self._errors = []
        if self.current is not None and mean >= self.checkpoints[self.current].error:
            self.stale += 1
            return None
        self.stale = 0
        saved = Checkpoint(len(self.checkpoints) + 1, self.current, mean, self.observations)
        self.checkpoints[saved.number] = saved
        self._weights[saved.number] = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        if len(self._weights) > self.keep:
            del self._weights[max((c for c in self.held if c is not saved), key=_rank, default=saved).number]
        self.current = saved.number
        return saved

    def restore(self, number: int) -> State:
        """Return the weights of a checkpoint, which becomes the parent of the next: its error is the one to beat.

        Raises TreeError if the tree does not hold them.
        """
        if number not in self._weights:
            held = ", ".join(str(c.number) for c in self.held) or "none"
            raise TreeError(f"the tree does not hold the weights of checkpoint {number}; it holds those of {held}")
        self.current = number
        self.stale = 0
        self._errors = []
        return {name: tensor.clone() for name, tensor in self._weights[number].items()}

    def search(self, pressure: float, generator: torch.Generator | None = None) -> Checkpoint:
        """Pick the checkpoint of rank r (the best: 0) with a probability proportional to (1 - pressure)^r.

        Pressure 0 picks every checkpoint with the same probability, 1 always picks the best. Raises ValueError for a
        pressure outside [0, 1], TreeError if the tree holds no checkpoint.
        """
        if not 0 <= pressure <= 1:
            raise ValueError(f"pressure: found {pressure}, expected a number in [0, 1]")
        if not self._weights:
            raise TreeError("the tree holds no checkpoint yet; observe errors first")
        chances = (1 - pressure) ** torch.arange(len(self._weights), dtype=torch.float64)
        return self.held[int(torch.multinomial(chances, 1, generator=generator))]

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain JSON values, for the checkpoint of a training run."""
        return {"tree": self._json(), "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the tree whose :meth:`state_dict` this is. Raises TreeError for anything else."""
        try:
            self._read(state["tree"], set(state["weights"]))
        except (KeyError, ValueError) as error:
            raise TreeError(f"not the state of a checkpoint tree: {error}") from None
        self._weights = dict(state["weights"])

    def save(self, folder: str | Path) -> Path:
        """Write ``tree.json`` and ``NUMBER.safetensors``, atomically replacing an older tree in the folder.

        Raises TreeError if the folder holds other files, or cannot be written.
        """
        folder = Path(folder)
        try:
            if folder.exists():
                _check_ours(folder)
            with replacing_folder(folder, overwrite=True, check=lambda old, _: _check_ours(old)) as new:
                for number, state in self._weights.items():
                    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
                    save_file(tensors, new / f"{number}.safetensors", METADATA)
                (new / FILE).write_text(json.dumps(self._json(), indent=2) + "\n", encoding="utf-8")
        except (OSError, SafetensorError) as error:
            raise TreeError(f"cannot write the tree to {folder}: {error}") from None
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> CheckpointTree:
        """Load the tree in a folder. Raises TreeError if it is missing or damaged."""
        folder, tree = Path(folder), cls()
        try:
            weights = {int(path.stem): load_file(path) for path in folder.glob("*.safetensors")}
            tree._read(json.loads((folder / FILE).read_text(encoding="utf-8")), set(weights))
        except FileNotFoundError:
            raise TreeError(f"no checkpoint tree in {folder}: {FILE} is missing") from None
        except (OSError, SafetensorError, ValueError) as error:
            raise TreeError(f"the checkpoint tree in {folder} cannot be read: {error}") from None
        tree._weights = weights
        return tree

    def _json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "window": self.window,
            "keep": self.keep,
            "observations": self.observations,
            "stale": self.stale,
            "current": self.current,
            "errors": list(self._errors),
            "checkpoints": [asdict(checkpoint) for checkpoint in self.checkpoints.values()],
        }

    def _read(self, data: object, weights: set[int]) -> None:
        """Read all fields but the weights from JSON. Raises ValueError if they are not consistent."""
        fields = check_keys(data, _FIELDS, frozenset(), FILE)
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']}, this version reads format {FORMAT}")
        listed = check_list(fields["checkpoints"], dict, "checkpoints")
        records = [_record(item, number) for number, item in enumerate(listed, start=1)]
        self.window = _positive("window", fields["window"])
        self.keep = _positive("keep", fields["keep"])
        self.observations = check_type(fields["observations"], int, "observations")
        self.stale = check_type(fields["stale"], int, "stale")
        self._errors = list(check_list(fields["errors"], float, "errors"))
        self.checkpoints = {record.number: record for record in records}
        self.current = fields["current"]
        count = min(self.keep, len(records))
        if len(weights) != count or not weights <= set(self.checkpoints):
            raise ValueError(
                f"found weights of checkpoints {sorted(weights)}, expected {count} of those up to {len(records)}"
            )
        if self.current is not None and self.current not in self.checkpoints:
            raise ValueError(f"current is {self.current!r}, which is not a checkpoint")


def _rank(checkpoint: Checkpoint) -> tuple[float, int]:
    """The order of checkpoints: by error, the newer of two equal ones first."""
    return checkpoint.error, -checkpoint.number


def _positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: found {value!r}, expected a positive integer")
    return value


def _record(data: object, number: int) -> Checkpoint:
    fields = check_keys(data, {"number", "parent", "error", "observation"}, frozenset(), f"checkpoint {number}")
    if fields["number"] != number or fields["parent"] not in (None, *range(1, number)):
        raise ValueError(f"checkpoint {number} has number {fields['number']!r} and parent {fields['parent']!r}")
    error = check_type(fields["error"], float, f"error of checkpoint {number}")
    return Checkpoint(number, fields["parent"], error, check_type(fields["observation"], int, "observation"))


def _check_ours(folder: Path) -> None:
    foreign = [path.name for path in folder.iterdir() if not _is_ours(path)]
    if foreign:
        raise TreeError(f"{folder} holds files that do not belong to a tree: {', '.join(sorted(foreign))}")


def _is_ours(path: Path) -> bool:
    return path.name == FILE or (path.suffix == ".safetensors" and path.stem.isdigit())
