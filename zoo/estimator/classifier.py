"""A recipe as a scikit-learn classifier."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sdk.errors import InputError
from sdk.inputs import InputSpec
from sdk.turns import Turns
from sdk.validation import describe
from zoo.config.data import AugmentConfig
from zoo.data.sampling import hold_out
from zoo.data.split import ArraySplit, Data
from zoo.estimator.classes import classes_of
from zoo.estimator.rows import check_resolution, single_precision
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train

_BATCH = 256
"""Samples per batch of a prediction, which bounds the memory."""
_MOST_CHANNELS = 4
"""Of images whose channels would be told from their height."""
_USED = ("data__augment", "data__seed", "export__which")
"""Overrides of the sections ``data`` and ``export`` that count, and those below them."""
_training = Turns()
"""The random generators and accelerate's state belong to the process, so one thread trains at a time."""


class ZooClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A recipe's model, trained on ``X`` and ``y`` by the recipe's optimizer, schedule and number of epochs.

    ``overrides`` are keys of the recipe with ``__`` for the dot: ``train__epochs=20``, ``model__hidden=[64]``. They are
    parameters as any others, so searches may vary them: ``{"train__optimizer__lr": [1e-3, 1e-2]}``. The recipe's
    ``data:`` section gives the augmentation of images and the seed of the split, and ``export:`` whether the last or
    the best weights are the model's. Where several threads call ``fit``, they take turns.

    ``X`` is a table ``[N, features]``, which is standardised by its training rows, or images ``[N, H, W]`` or
    ``[N, C, H, W]``, uint8 or floats, which are normalised per channel. With ``input_shape``, ``(C, H, W)``, rows of
    a table are images. Families with a grid or convolutions need images. Predictions take images of the type of
    ``fit``: uint8 again, or numbers of any other type in the same range.

    ``validation_fraction`` of every class is held out, on which some families make choices; where a class has too few
    samples to hold one out, all samples serve as both parts. ``device`` is cpu, cuda, mps or None, the best available.
    ``random_state`` seeds weights, order and split; None takes the recipe's seeds, so that ``fit`` repeats itself.

    After ``fit``: ``classes_``, ``n_features_in_``, ``module_`` (the torch module, on the CPU), ``input_spec_`` and
    ``history_`` (one record per round of training). Raises the errors of scikit-learn for unusable ``X`` and ``y``,
    RecipeError for an unknown recipe or key, and TrainingError for a model that does not fit the data.
    """

    def __init__(
        self,
        recipe: str | Path = "normnet-digits",
        *,
        input_shape: tuple[int, int, int] | None = None,
        validation_fraction: float = 0.1,
        device: str | None = "cpu",
        random_state: int | np.random.RandomState | None = None,
        **overrides: Any,
    ) -> None:
        self.recipe = recipe
        self.input_shape = input_shape
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.__dict__.update(overrides)  # checked by fit, as scikit-learn wants it

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, overrides of the recipe included."""
        return {**super().get_params(deep), **self._overrides()}

    def set_params(self, **params: Any) -> ZooClassifier:
        """Set parameters, overrides of the recipe included, and return the estimator."""
        overrides = {name: value for name, value in params.items() if "__" in name}
        super().set_params(**{name: value for name, value in params.items() if name not in overrides})
        self.__dict__.update(overrides)
        return self

    def fit(self, X: ArrayLike, y: ArrayLike) -> ZooClassifier:  # noqa: N803 (scikit-learn's name)
        """Train the recipe's model on inputs ``X`` and labels ``y [N]`` of any type, and return the estimator."""
        rows, targets = validate_data(self, X, y, dtype=[np.float64, np.float32, np.uint8], allow_nd=True)
        classes, numbers = classes_of(targets)
        inputs, labels = self._inputs(rows), torch.from_numpy(numbers)
        if inputs.ndim == 2:
            check_resolution(rows)
        recipe = self._recipe()
        data = self._data(inputs, labels, [str(label) for label in classes], recipe)
        batch_size = min(recipe.train.batch_size, len(data.train))
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": batch_size})})
        with tempfile.TemporaryDirectory(prefix="cellzoo-") as folder, _training.take(), _kept_random_state():
            result = train(recipe, run_dir=Path(folder) / "run", data=data, device=self.device, progress=False)
        # All at once, so that a fit that fails leaves the one before.
        self.classes_, self.module_ = classes, result.module
        self.input_spec_, self.history_ = data.input_spec, result.history
        self._bytes = inputs.dtype == torch.uint8
        self._unit_range = self._bytes or bool(inputs.min() >= 0 and inputs.max() <= 1)
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the most likely class of each input."""
        numbers = self._logits(X).argmax(1).numpy()
        found: NDArray[Any] = self.classes_[numbers]
        return found

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return probabilities ``[N, classes]``; each row sums to one."""
        probabilities: NDArray[np.float32] = self._logits(X).softmax(1).numpy()
        return probabilities

    def save(self, folder: str | Path, **options: Any) -> Path:
        """Write the trained model as an artifact that ``sdk.load`` opens; ``options`` are those of ``zoo.save``.

        Trained on a DataFrame, the model finds its columns by name, in any order.
        Images must have had values in [0, 1], or uint8, which the SDK expects. Raises ExportError.
        """
        from zoo.artifacts.from_module import save

        check_is_fitted(self)
        if self.input_spec_.kind == "image" and not self._unit_range:
            raise InputError("X: images had values outside [0, 1], which the SDK refuses; scale them before fit")
        spec = self.input_spec_
        parts: dict[str, Any] = {"shape": spec.shape, "mean": spec.mean, "std": spec.std}
        if spec.kind == "table" and hasattr(self, "feature_names_in_"):
            parts["columns"] = list(self.feature_names_in_)
        return save(self.module_, folder, labels=map(str, self.classes_), input=parts, **options)

    def _overrides(self) -> dict[str, Any]:
        known = self._get_param_names()
        return {
            name: value
            for name, value in vars(self).items()
            if name not in known and not name.startswith("_") and not name.endswith("_")
        }

    def _recipe(self) -> Recipe:
        overrides = [_override(name, value) for name, value in self._overrides().items()]
        for name in self._overrides():
            if name.split("__")[0] in ("data", "export") and "__".join(name.split("__")[:2]) not in _USED:
                raise InputError(
                    f"{name}: found a key that does not count here, allowed {', '.join(_USED)}; leave it out"
                )
        if self.random_state is not None:
            overrides.append(f"train.seed={self._seed()}")
        return load_recipe(self.recipe, overrides)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _inputs(self, rows: NDArray[Any]) -> torch.Tensor:
        """Return images ``[N, C, H, W]``, uint8 or float32, or a table ``[N, features]``, float32."""
        if self.input_shape is not None:
            if not _is_shape(self.input_shape):
                raise InputError(f"input_shape: found {describe(self.input_shape)}, expected (C, H, W)")
            width = int(np.prod(self.input_shape))
            if rows.ndim != 2 or rows.shape[1] != width:
                raise InputError(
                    f"X: found shape {list(rows.shape)}, expected [N, {width}] for "
                    f"input_shape {tuple(self.input_shape)}"
                )
            rows = rows.reshape(len(rows), *self.input_shape)
        elif rows.ndim == 3:
            rows = rows[:, None]
        if rows.ndim not in (2, 4):
            raise InputError(f"X: found shape {list(rows.shape)}, expected [N, features], [N, H, W] or [N, C, H, W]")
        if rows.ndim == 4 and rows.shape[1] > _MOST_CHANNELS >= rows.shape[3]:
            raise InputError(
                f"X: found shape {list(rows.shape)}, whose channels seem to be last, expected [N, C, H, W]; pass "
                "X.transpose(0, 3, 1, 2)"
            )
        kept = rows if rows.ndim == 4 and rows.dtype == np.uint8 else single_precision(rows)
        return torch.from_numpy(np.ascontiguousarray(kept))

    def _data(self, inputs: torch.Tensor, labels: torch.Tensor, names: list[str], recipe: Recipe) -> Data:
        rest, held = self._hold_out(labels, recipe.data.seed if self.random_state is None else recipe.train.seed)
        spec = _input_spec(inputs[rest])
        images = spec.kind == "image"
        changes = getattr(recipe.data, "augment", AugmentConfig()) if images else AugmentConfig()
        training = ArraySplit(inputs[rest], labels[rest], spec, changes, workers=0)
        validation = ArraySplit(inputs[held], labels[held], spec, AugmentConfig(), workers=0)
        return Data(training, validation, validation, input_spec=spec, labels=names)

    def _hold_out(self, labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of training and validation samples: all for both if a class is too small to be split."""
        share: Any = self.validation_fraction
        if not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise InputError(f"validation_fraction: found {describe(share)}, expected 0 or more and below 1")
        everything = torch.arange(len(labels))
        sizes = labels.bincount()
        count = max(round(share * len(labels)), len(sizes))
        if not share or int(sizes.min()) < 2 or count > len(labels) - len(sizes):
            return everything, everything
        return hold_out(labels, count, seed, "validation_fraction")

    def _logits(self, X: ArrayLike) -> torch.Tensor:  # noqa: N803
        check_is_fitted(self)
        checked = validate_data(self, X, dtype=[np.float64, np.float32, np.uint8], allow_nd=True, reset=False)
        inputs = self._inputs(checked)
        if inputs.shape[1:] != self.input_spec_.shape:
            raise InputError(
                f"X: found inputs of shape {list(inputs.shape[1:])}, expected {list(self.input_spec_.shape)}, as in fit"
            )
        given = inputs.dtype == torch.uint8
        if inputs.ndim == 4 and given != self._bytes:  # bytes are divided by 255, other numbers are not
            types = {True: "uint8", False: "another type than uint8"}
            raise InputError(f"X: found images of {types[given]}, expected {types[self._bytes]}, as in fit")
        rows = ArraySplit(inputs, torch.zeros(len(inputs)), self.input_spec_, AugmentConfig(), workers=0)
        with torch.inference_mode():
            return torch.cat([self.module_(rows.prepare(part)) for part in torch.split(inputs, _BATCH)])


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 3 and all(isinstance(n, Integral) for n in value)


def _override(name: str, value: Any) -> str:
    """Return a parameter as an override of a recipe's key, ``key.path=value``."""
    if "__" not in name:
        raise InputError(f"unknown parameter {name!r}; keys of the recipe are written as train__epochs")
    try:
        return f"{name.replace('__', '.')}={json.dumps(value, default=_plain)}"
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: found {describe(value)}, expected a plain value: {error}") from None


def _plain(value: Any) -> Any:
    """Return the Python value of a numpy scalar or array."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a number, text, list or dict")


def _input_spec(inputs: torch.Tensor) -> InputSpec:
    """Return the spec of images ``[N, C, H, W]`` or rows ``[N, features]``, normalised by their own statistics."""
    axes = (0, 2, 3) if inputs.ndim == 4 else (0,)
    values = inputs.double().div(255) if inputs.dtype == torch.uint8 else inputs.double()
    mean, spread = values.mean(axes), values.std(axes, correction=0)
    std = torch.where(spread > 1e-6 * (1 + mean.abs()), spread, 1.0)  # a constant feature stays near 0
    return InputSpec(
        kind="image" if inputs.ndim == 4 else "table",
        shape=tuple(inputs.shape[1:]),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """Restore the global random states, which training seeds."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
