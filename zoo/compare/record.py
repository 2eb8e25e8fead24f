"""The measurement of one model, and the file that stores many of them apart from any artifact."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.json_text import parse_json
from zoo.utils.errors import CompareError
from zoo.utils.files import replace_file
from zoo.utils.stats import wilson_interval

FORMAT_VERSION = 1
STORED = Path(__file__).with_name("results.json")
"""The measurements that ship: those of the bundled models and of the classic learners."""


@dataclass(frozen=True)
class Record:
    """One model on the test split of its data set. Unknown facts are None."""

    name: str
    family: str
    baseline: bool
    data: str
    """Name of the data set."""
    test_hash: str
    """Content of the test split: paired tests need the same samples."""
    model_hash: str
    """sha256 of the file that was run, so that results of an older model are not taken for this one's."""
    correct: int
    total: int
    right: str
    """The samples that were answered correctly, one bit each in order, in base64."""
    seeds: int
    accuracy_mean: float | None
    """Over the seeds, for several."""
    accuracy_std: float | None
    """Sample standard deviation over the seeds."""
    parameters: int
    edges: int | None
    multiply_adds: int | None
    samples: int | None
    """Training samples of the data set that the steps saw, repeats included; None for training on other data."""
    cpu_seconds: float | None
    wall_seconds: float | None
    backend: str
    latency_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds of a call, the fastest of several, by batch size."""
    file_bytes: int | None = None
    """Size of the file that was run."""
    date: str = ""

    @property
    def accuracy(self) -> float:
        """The share of correct samples, in [0, 1]."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.total)

    def hits(self) -> NDArray[np.bool_]:
        """Return True for each test sample that was answered correctly: ``[total]``."""
        bits = np.unpackbits(np.frombuffer(base64.b64decode(self.right), np.uint8), count=self.total)
        return bits.astype(bool)


def pack(hits: NDArray[np.bool_]) -> str:
    """Return :attr:`Record.right` of booleans ``[total]``."""
    return base64.b64encode(np.packbits(hits).tobytes()).decode()


@dataclass
class Results:
    """Everything that was measured: records by name, the findings of the robustness suite by name, and the machine."""

    models: dict[str, Record] = field(default_factory=dict)
    robustness: dict[str, dict[str, Any]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)


def read_results(path: Path = STORED) -> Results:
    """Read a file of results; one that does not exist holds none. Raises CompareError for a damaged one."""
    if not path.is_file():
        return Results()
    try:
        tree = parse_json(path.read_bytes())
        if tree["format_version"] != FORMAT_VERSION:
            raise CompareError(
                f"{path}: found format {tree['format_version']}, this version reads {FORMAT_VERSION}; measure again"
            )
        models = {one["name"]: Record(**one) for one in tree["models"]}
        for record in models.values():
            record.hits()
        return Results(models, dict(tree["robustness"]), dict(tree["machine"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CompareError(f"{path}: not a file of results ({error}); delete it to measure again") from None
    except OSError as error:
        raise CompareError(f"cannot read {path}: {error.strerror or error}") from None


def write_results(results: Results, path: Path) -> None:
    """Replace a file of results, atomically; a line per model keeps differences readable. Raises CompareError."""
    models = [json.dumps(asdict(results.models[name])) for name in sorted(results.models)]
    robustness = [f"{json.dumps(name)}: {json.dumps(results.robustness[name])}" for name in sorted(results.robustness)]
    text = (
        f'{{"format_version": {FORMAT_VERSION},\n"machine": {json.dumps(results.machine)},\n"models": [\n'
        + ",\n".join(models)
        + '\n],\n"robustness": {\n'
        + ",\n".join(robustness)
        + "\n}}\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise CompareError(f"cannot write {path}: {error.strerror or error}") from None


def facts(record: Record) -> Mapping[str, Any]:
    """Return the record as plain JSON values, with accuracy and interval and without the bits."""
    values = {one.name: getattr(record, one.name) for one in fields(record) if one.name != "right"}
    return {**values, "accuracy": record.accuracy, "interval_95": list(record.interval)}
