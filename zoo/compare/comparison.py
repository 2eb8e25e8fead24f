"""Gathers the measurements of models: stored ones where they are still those of the model, new ones otherwise."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.catalog import bundled_models
from sdk.resolve import open_artifact
from sdk.validation import hint
from zoo.compare import classic
from zoo.compare.measure import Loader, measure_model, model_hash
from zoo.compare.record import STORED, Record, Results, read_results, write_results
from zoo.utils.errors import CompareError
from zoo.utils.progress import Progress, no_progress
from zoo.utils.provenance import versions


@dataclass
class Comparison:
    """The records of a comparison, in the order in which the models were named."""

    records: list[Record] = field(default_factory=list)
    results: Results = field(default_factory=Results)
    measured: list[str] = field(default_factory=list)
    """The models that were measured now."""


def compare_models(
    names: Sequence[str] = (),
    *,
    data: str | None = None,
    measure: bool = False,
    store: Path = STORED,
    save: bool = False,
    data_dir: Path | None = None,
    progress: Progress = no_progress,
) -> Comparison:
    """Return the records of models, of all bundled ones and all classic learners without names.

    A stored record is used if the model's weights are still those that were measured; ``measure`` measures all of them
    again. ``data`` keeps the models of one data set; a path is the user's own data, on which all models are measured.
    ``save`` writes new records to ``store``, except those on the user's own data. Raises CompareError, and the errors
    of a measurement.
    """
    own_data = _own_data(data)
    results = read_results(store)
    stored = {} if measure or own_data else results.models
    loader = Loader(data_dir, own_data)
    found = Comparison(results=results)
    wanted = list(dict.fromkeys(names)) or _everything(results)
    if data is not None and own_data is None:
        wanted = _on(data, wanted, results)
    for name in wanted:
        record = _stored(name, stored)
        if record is None:
            record = _measure(name, loader, progress)
            found.measured.append(record.name)
            results.models[record.name] = record
            results.machine = _machine()
            if save and own_data is None:  # after each, so that an interruption loses one measurement
                write_results(results, store)
        found.records.append(record)
    _check_distinct(found.records)
    return found


def _everything(results: Results) -> list[str]:
    learned = [name for name in results.models if classic.is_classic(name)]
    return [*bundled_models(), *sorted(learned)]


def _own_data(data: str | None) -> str | None:
    """Return ``data`` if it is a path or an id on the Hub rather than the name of a data set with stored results."""
    return data if data is not None and ("/" in data or "." in data or Path(data).exists()) else None


def _on(data: str, names: Sequence[str], results: Results) -> list[str]:
    """Return the models of a data set, by their stored results or, without, by their recipes."""
    known = sorted({record.data for record in results.models.values()})
    if data not in known:
        raise CompareError(
            f"--data: found {data!r}{hint(data, known)}, allowed are a path to data of your own and "
            f"{', '.join(known) or 'no names, as no results are stored'}"
        )
    chosen = [name for name in names if name not in results.models or results.models[name].data == data]
    if not chosen:
        raise CompareError(f"--data {data}: none of the models was trained on it: {', '.join(names)}")
    return chosen


def _stored(name: str, stored: dict[str, Record]) -> Record | None:
    """Return the stored record of a model if it is about the model's weights as they are now."""
    if classic.is_classic(name):
        return stored.get(name)
    config = open_artifact(name, lambda config: []).config
    record = stored.get(config.name)
    return record if record is not None and record.model_hash == model_hash(config) else None


def _measure(name: str, loader: Loader, progress: Progress) -> Record:
    if classic.is_classic(name):
        if loader.path is not None:
            raise CompareError(f"{name}: a classic learner has no trained model to try on {loader.path}; leave it out")
        return classic.measure(name, loader.data_dir, progress)
    return measure_model(name, loader, progress)


def _machine() -> dict[str, Any]:
    """Return the facts about this machine that the latencies depend on."""
    return {"processors": os.cpu_count(), "machine": platform.machine(), "versions": versions()}


def _check_distinct(records: Sequence[Record]) -> None:
    names = [record.name for record in records]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CompareError(f"found several models called {', '.join(twice)}; train them with --name, or rename them")
