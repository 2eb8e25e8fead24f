"""Loads the data of a trained model, and refuses data of other classes or shapes than the model's."""

from __future__ import annotations

from pathlib import Path

from sdk.artifact import ArtifactConfig
from sdk.column_types import listed
from sdk.inputs import InputSpec
from zoo.config.data import DataConfig
from zoo.data import load_data
from zoo.data.split import Data
from zoo.utils.errors import DataError


def load_matching_data(config: DataConfig, model: ArtifactConfig, data_dir: Path | None = None) -> Data:
    """Load the data set of a model's recipe.

    Raises DataError as :func:`zoo.data.load_data` does, and unless the data set has the model's input shape and its
    classes and columns, under the same names and in the same order: numbers would otherwise mean something else.
    """
    data = load_data(config, data_dir)
    if data.labels != list(model.labels):
        raise DataError(f"{_name(config)} does not have the classes of {model.name}: {_difference(data, model)}")
    _check_columns(model, data.input_spec)
    if data.input_spec.shape != model.input.shape:
        raise DataError(
            f"{_name(config)} has inputs of shape {list(data.input_spec.shape)}, {model.name} takes "
            f"{list(model.input.shape)}"
        )
    return data


def _check_columns(config: ArtifactConfig, found: InputSpec) -> None:
    """Raise DataError for a table that now has other columns or categories than the model was trained on."""
    known, columns = config.input.columns, found.columns
    if known is None or columns is None or known.features == columns.features:
        return
    lost = [name for name in known.features if name not in columns.features]
    new = [name for name in columns.features if name not in known.features]
    changes = [f"{what} {listed(names)}" for what, names in (("no", lost), ("new", new)) if names]
    raise DataError(
        f"{config.name}: found other columns than those that it was trained on: "
        f"{' and '.join(changes) or 'another order'}; evaluate it on its own data"
    )


def _name(config: DataConfig) -> str:
    path = getattr(config, "path", None)
    return f"the data set {config.name}" + (f" in {path}" if path else "")


def _difference(data: Data, model: ArtifactConfig) -> str:
    missing = [label for label in model.labels if label not in data.labels]
    unknown = [label for label in data.labels if label not in model.labels]
    parts = [f"it lacks {_few(missing)}"] if missing else []
    parts += [f"it has {_few(unknown)}, which the model does not know"] if unknown else []
    return " and ".join(parts) or f"its order is {_few(data.labels)}, the model's {_few(list(model.labels))}"


def _few(labels: list[str]) -> str:
    return ", ".join(map(repr, labels[:5])) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
