"""A model as a function from batches of a table to batches with predictions, for Ray Data, Spark, Dask and pools."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sdk.answers import Answer, columns_of, to_columns
from sdk.appearance import Invert
from sdk.artifact import CONFIG_FILE
from sdk.column_names import repeated_names
from sdk.errors import InputError
from sdk.loading import load
from sdk.model import Errors, Model
from sdk.resolve import resolve_model
from sdk.tasks import check_classifier
from sdk.turns import Turns
from sdk.validation import check_positive, describe

PICTURE_COLUMNS = ("image", "img", "picture", "bytes", "content", "path", "file", "file_name")
"""Names by which a column of pictures is found, the preferred one first."""
_Key: TypeAlias = "tuple[tuple[str, Any], ...]"
_Content: TypeAlias = "tuple[int, int, int] | None"
_models: dict[_Key, tuple[_Content, Model]] = {}
"""The models of each process, by its id, the folder or the model on the Hub, and the options of :func:`sdk.load`; each
with what tells the folder's content from that of another model. A forked process keeps its parent's, unused: their
threads did not survive the fork, and destroying a model waits for its threads."""
_turns = Turns()


class BatchPredictor:
    """Adds predictions to batches of a table; picklable, and the same in one process or on many machines.

    A batch is a dict of columns (numpy arrays or lists, as of Ray Data's ``map_batches``), a pandas DataFrame, or an
    iterator of DataFrames (Spark's ``mapInPandas``); the result has the same form. It has the columns ``label`` and
    ``probability`` of the most likely class, with ``top_k`` also ``label_2``, ``probability_2`` and so on, and
    ``error``, the reason why a row has no label. With ``errors="raise"``, the first bad row raises InputError. Where
    there is no probability it is NaN; where there is no text it is None in frames, and empty in dicts, whose arrays
    then have one type whatever the rows.

    A model of a table finds its columns by name. For a model of images, ``column`` names the pictures: paths, URLs,
    encoded bytes, arrays of the model's shape, or dicts with ``bytes`` or ``path``. By default it is the only column,
    or the first of PICTURE_COLUMNS that the batch has. For a table without names of columns, ``column`` holds rows
    ``[features]``.

    ``keep`` lists the columns of the batch that go into the result (default: all but the pictures). A name that is
    both kept and predicted is an error; ``prefix`` changes the names of the predicted ones.

    ``model`` and the options from ``backend`` on are those of :func:`sdk.load`. The model is loaded by the first batch,
    once per process, and again by a batch that finds another one in its place; a pickle holds its name, and a folder by
    its absolute path. ``batch_size`` and ``invert`` are those of :meth:`sdk.Model.predict`. Raises InputError for
    arguments out of range and for a batch without the columns that the model needs; the first batch raises as
    :func:`sdk.load` does.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        column: str | None = None,
        *,
        keep: Iterable[str] | None = None,
        prefix: str = "",
        top_k: int = 1,
        batch_size: int = 64,
        invert: Invert = "auto",
        errors: Errors = "return",
        backend: str = "auto",
        device: str | None = None,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        revision: str | None = None,
    ) -> None:
        if not isinstance(model, (str, os.PathLike)):
            raise InputError(f"model: found {describe(model)}, allowed a name, a folder or user/name")
        if errors not in ("raise", "return"):
            raise InputError(f"errors: found {describe(errors)}, allowed 'raise' or 'return'")
        if isinstance(keep, str) or not isinstance(keep, (Iterable, type(None))):
            raise InputError(f"keep: found {describe(keep)}, allowed a list of names")
        if not isinstance(prefix, str):
            raise InputError(f"prefix: found {describe(prefix)}, allowed a string")
        name = os.fspath(model)
        # A worker may have another working directory.
        self.model_name = os.path.abspath(name) if os.path.isfile(os.path.join(name, CONFIG_FILE)) else name
        self.column = column
        self.keep = None if keep is None else tuple(keep)
        self.prefix = prefix
        self.top_k = check_positive(top_k, "top_k")
        self.batch_size = check_positive(batch_size, "batch_size")
        self.invert = invert
        self.errors: Errors = errors
        self._options: dict[str, Any] = {
            "backend": backend,
            "device": device,
            "providers": None if providers is None else tuple(providers),
            "threads": threads,
            "revision": revision,
        }

    @property
    def model(self) -> Model:
        """The model of this process, loaded when it is first needed, and again once its name means another one."""
        found = resolve_model(self.model_name, self._options["revision"])
        place = os.path.abspath(found) if isinstance(found, Path) else str(found)
        key = (("process", os.getpid()), ("place", place), *self._options.items())
        with _turns.take():
            content = _content(place)
            if key not in _models or _models[key][0] != content:
                loaded = load(self.model_name, **self._options)
                check_classifier("BatchPredictor", loaded.name, loaded.config.task)
                _models[key] = content, loaded
            return _models[key][1]

    @property
    def schema(self) -> str:
        """The predicted columns with their types, as Spark writes them; raises as :func:`sdk.load` does."""
        kinds = {str: "string", float: "double"}
        columns = columns_of(self._count(self.model))
        return ", ".join(f"{self.prefix}{name} {kinds[kind]}" for name, kind in columns.items())

    def __call__(self, batch: Any) -> Any:
        """Return a batch with predictions in the form of ``batch``."""
        if isinstance(batch, Iterator):
            return map(self, batch)
        if isinstance(batch, Mapping):
            return self._columns(batch)
        if hasattr(batch, "assign") and hasattr(batch, "columns"):
            kept, found = self._predict(batch, list(batch.columns))
            return batch[kept].assign(**found)
        raise InputError(
            f"batch: found {type(batch).__name__} {describe(batch)}, allowed a dict of columns, a pandas DataFrame or "
            "an iterator of these"
        )

    def __repr__(self) -> str:
        return f"<BatchPredictor of {self.model_name}>"

    def _columns(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        _check_lengths(batch)
        kept, found = self._predict(batch, list(batch))
        texts = {
            name: np.array([value or "" for value in found[name]], np.str_)
            for name in found
            if found[name].dtype == object
        }
        return {**{name: batch[name] for name in kept}, **found, **texts}

    def _predict(self, batch: Any, names: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the names of the kept columns, and the predicted columns."""
        if repeated := repeated_names(names):
            raise InputError(f"batch: found column {repeated} more than once, allowed each name once")
        model = self.model
        count = self._count(model)
        pictures = self._picture_column(names, model)
        kept = self._kept(names, pictures, count)
        inputs = batch if pictures is None else [picture_in(value) for value in batch[pictures]]
        answers: list[Answer] = model.predict(
            inputs, self.batch_size, top_k=count, invert=self.invert, errors=self.errors, batch=True
        )
        columns = to_columns([_unplaced(answer, number) for number, answer in enumerate(answers)], count)
        kinds = columns_of(count)
        return kept, {
            self.prefix + name: np.array(values, np.float64 if kinds[name] is float else object)
            for name, values in columns.items()
        }

    def _count(self, model: Model) -> int:
        return min(self.top_k, len(model.labels))

    def _picture_column(self, names: list[Any], model: Model) -> Any:
        """Return the name of the column of inputs; None for a model of a table that knows its columns."""
        if model.input_spec.columns is not None:
            if self.column is not None:
                raise InputError(
                    f"column: found {describe(self.column)}, allowed None: {model.name} finds its columns by name"
                )
            return None
        return picture_column(names, self.column, "batch", "column=", model.input_spec.kind == "image")

    def _kept(self, names: list[Any], pictures: Any, count: int) -> list[Any]:
        kept = [name for name in names if name != pictures] if self.keep is None else list(self.keep)
        missing = [name for name in kept if name not in names]
        if missing:
            listed = ", ".join(map(str, names))
            raise InputError(f"keep: found {describe(missing[0])}, allowed the batch's columns {listed}")
        twice = sorted(set(kept) & {self.prefix + name for name in columns_of(count)})
        if twice:
            raise InputError(
                f"batch: found a column {describe(twice[0])}, which is also the name of a prediction; set "
                "prefix='predicted_', or keep= without it"
            )
        return kept


def picture_column(names: Sequence[Any], column: str | None, where: str, option: str, known: bool = True) -> Any:
    """Return the name of the column of pictures: ``column``, else the only one, else the first of PICTURE_COLUMNS.

    Unless ``known``, those names mean nothing. Raises InputError, which names ``where`` and the ``option`` to set.
    """
    found = [name for name in PICTURE_COLUMNS if known and name in names]
    chosen = column or (names[0] if len(names) == 1 else next(iter(found), None))
    if chosen is None or chosen not in names:
        listed = ", ".join(map(str, names)) or "none"
        reason = (
            "and none is known as that of the inputs" if chosen is None else f"allowed one named {describe(chosen)}"
        )
        raise InputError(f"{where}: found the columns {listed}, {reason}; set {option}")
    return chosen


def _check_lengths(batch: Mapping[Any, Any]) -> None:
    """Raise InputError unless all columns of a dict are lists or arrays of one length."""
    for name, values in batch.items():
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            found = f"{type(values).__name__} {describe(values)}"
            raise InputError(f"batch: column {describe(name)}: found {found}, allowed a list or an array")
    lengths = sorted({len(values) for values in batch.values()})
    if len(lengths) > 1:
        raise InputError(f"batch: found columns of the lengths {', '.join(map(str, lengths))}, allowed one length")


def _content(folder: str) -> _Content:
    """Return the identity of a folder's config.json, which changes with the model; None for a model on the Hub."""
    try:
        found = os.stat(os.path.join(folder, CONFIG_FILE))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def picture_in(cell: Any) -> Any:
    """Return the picture in a cell: of a dict, as Hub data sets have, its bytes or else its path."""
    if isinstance(cell, Mapping):
        return cell.get("bytes") or cell.get("path")
    return cell


def _unplaced(answer: Answer, number: int) -> Answer:
    """Return an error without the row's number, which is that in the batch and means nothing to the caller."""
    return InputError(str(answer).removeprefix(f"row {number}: ")) if isinstance(answer, InputError) else answer
