"""A loaded model: takes files, images and arrays, gives labels and numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert, Inverter, polarity_of
from sdk.artifact import ArtifactConfig
from sdk.backends import Backend
from sdk.errors import CellzooError, InputError, LoadError, give_warning
from sdk.inputs import FloatArray, InputSpec
from sdk.validation import check_positive, describe

Network: TypeAlias = Callable[[FloatArray], NDArray[np.float32]]
"""Takes prepared inputs ``[B, *shape]``, gives logits ``[B, classes]``."""
Errors: TypeAlias = Literal["raise", "return"]


class Reference(Protocol):
    """A model that can be opened again, also in another process; picklable."""

    def check(self, model: Model) -> None:
        """Raise LoadError if opening again would not give this model."""

    def open(self) -> Model:
        """Open the model again; raises LoadError and ArtifactError."""


class Model:
    """A trained model, loaded by :func:`sdk.load`. Its methods may be called from several threads.

    ``inputs`` is a path, a URL, bytes, a file object, a PIL image, an array, or a batch or list of these, as described
    in :meth:`sdk.inputs.InputSpec.prepare`. ``batch_size`` bounds the number of inputs that are computed, and of files
    that are held in memory, at once.

    ``invert`` is for images. "auto" inverts those that look the opposite way to the training images, such as dark
    strokes on a light background, by the rule of :mod:`sdk.appearance`, and gives an InvertedInputWarning; it does
    nothing for a model whose :attr:`polarity` is None. True inverts all, False none.

    Results of a batch have a list or an axis of inputs, also for a batch of one. The form of ``inputs`` decides, except
    for an array ``[1, H, W]`` of a grey model: it is one image, with an AmbiguousInputWarning, unless ``batch`` says
    True (a batch) or False (one input). With ``batch``, inputs of the other kind are refused.

    Raises InputError for inputs that the model cannot take and for arguments out of range.

    A model can be pickled and copied: the pickle refers to the model's origin, backend and options, and holds no
    weights. The copy opens the model again when it is first used.
    """

    def __init__(self, config: ArtifactConfig, backend: str, runner: Backend) -> None:
        self.config = config
        self.backend = backend
        """The name of the backend that runs it."""
        self.origin = ""
        """The folder or ``user/name@commit`` from which :func:`sdk.load` loaded it."""
        self._runner = runner
        self._reference: Reference | None = None

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.config.labels

    @property
    def input_spec(self) -> InputSpec:
        return self.config.input

    @property
    def polarity(self) -> str | None:
        """Look of the training images: "light on dark", "dark on light", or None if neither is typical of them."""
        return polarity_of(self.config.provenance)

    @property
    def metrics(self) -> dict[str, Any]:
        """The measurements made when the model was trained."""
        return self.config.metrics

    @property
    def module(self) -> Any:
        """The ``torch.nn.Module`` in eval mode; raises LoadError on a backend without one."""
        if self.backend != "torch":
            raise LoadError(f"the {self.backend} backend has no module; load {self.name} with backend='torch'")
        return self._runner.module  # type: ignore[attr-defined]

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        *,
        top_k: None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Literal["raise"] = "raise",
    ) -> str | list[str]: ...

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        *,
        top_k: int | None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Errors = "raise",
    ) -> Any: ...

    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        *,
        top_k: int | None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Errors = "raise",
    ) -> Any:
        """Return the most likely label: a string for one input, a list of strings for a batch.

        With ``top_k``, the answer for an input is a list of its ``top_k`` most likely ``(label, probability)`` pairs,
        the most likely first. With ``errors="return"``, the answer for an item of a list that cannot be used is an
        InputError, and all other items are predicted.
        """
        return self._predict(self._runner.logits, inputs, batch_size, top_k, invert, batch, errors)

    def predict_proba(
        self, inputs: Any, batch_size: int = 64, *, invert: Invert = "auto", batch: bool | None = None
    ) -> NDArray[np.float32]:
        """Return probabilities, which sum to one: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return softmax(self.logits(inputs, batch_size, invert=invert, batch=batch))

    def logits(
        self, inputs: Any, batch_size: int = 64, *, invert: Invert = "auto", batch: bool | None = None
    ) -> NDArray[np.float32]:
        """Return logits, the inputs of the softmax: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._run(self._runner.logits, inputs, batch_size, invert, batch)

    def trace(self, inputs: Any, *, invert: Invert = "auto", batch: bool | None = None) -> Any:
        """Return the network's states step by step, as arrays: a named tuple of the family, for all inputs at once.

        Its ``logits [S, B, classes]``, for one input ``[S, classes]``, are the answers after each step; the last are
        those of :meth:`logits` to 1e-5. docs/guides/see-inside.md lists what each family adds. Raises LoadError on a
        backend that computes no states, and for a network whose steps the zoo does not know.
        """
        raise LoadError(
            f"trace: found a model of family {self.config.family!r}, allowed: cellnet, gridnet, nca, normnet, "
            "snapshots; call the module yourself to see its layers"
        )

    def to_sklearn(self) -> Any:
        """Return the model as a scikit-learn classifier, which predicts but cannot be fitted.

        Its ``X`` is a batch of inputs as described above, or flat rows ``[N, C * H * W]`` for images. Its ``classes_``
        are integers if all labels are written like integers, as a data set's ``y`` would hold them, else strings.
        Raises ImportError without scikit-learn.
        """
        from sdk.estimator import TrainedClassifier

        return TrainedClassifier(self)

    def _predict(
        self,
        network: Network,
        inputs: Any,
        batch_size: int,
        top_k: int | None,
        invert: Invert,
        batch: bool | None,
        errors: Errors,
    ) -> Any:
        """Do as :meth:`predict` with a network."""
        if errors not in ("raise", "return"):
            raise InputError(f"errors: found {describe(errors)}, allowed 'raise' or 'return'")
        if top_k is not None:
            top_k = check_positive(top_k, "top_k")
        failures: dict[int, InputError] | None = {} if errors == "return" else None
        logits = self._run(network, inputs, batch_size, invert, batch, failures)
        if logits.ndim == 1:
            return self._answers(logits[None], top_k)[0]
        answers = self._answers(logits, top_k)
        for number, error in sorted((failures or {}).items()):
            answers.insert(number, error)
        return answers

    def _answers(self, logits: NDArray[np.float32], top_k: int | None) -> list[Any]:
        """Return the answer of :meth:`predict` for each row of logits ``[B, classes]``."""
        if top_k is None:
            return [self.labels[i] for i in logits.argmax(axis=1)]
        probabilities = softmax(logits)
        order = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
        return [[(self.labels[i], float(row[i])) for i in best] for best, row in zip(order, probabilities, strict=True)]

    def _run(
        self,
        network: Network,
        inputs: Any,
        batch_size: int,
        invert: Invert,
        batch: bool | None,
        failures: dict[int, InputError] | None = None,
    ) -> NDArray[np.float32]:
        """Run a network on unprepared inputs: ``[classes]`` for one input, ``[B, classes]`` for a batch.

        With ``failures``, items of a list that cannot be used are left out and recorded there.
        """
        batches, single = self._prepare(inputs, batch_size, invert, batch, failures)
        logits = self._finite(np.concatenate([np.empty((0, self.config.outputs), np.float32), *map(network, batches)]))
        return logits[0] if single else logits

    def _prepare(
        self,
        inputs: Any,
        batch_size: int,
        invert: Invert,
        batch: bool | None,
        failures: dict[int, InputError] | None = None,
    ) -> tuple[Iterator[FloatArray], bool]:
        """Return prepared batches and True if ``inputs`` was one input; warn after the last batch about inversions."""
        batch_size = check_positive(batch_size, "batch_size")
        inverter = Inverter(self.input_spec.kind, self.polarity, invert)
        adjust = inverter if self.input_spec.kind == "image" else None
        batches, single = self.input_spec.batches(inputs, batch_size, adjust, failures, batch)
        return _then_warn(batches, inverter, self.name), single

    def _prepare_all(self, inputs: Any, invert: Invert, batch: bool | None = None) -> tuple[FloatArray, bool]:
        """Return all prepared inputs ``[B, *shape]``, and True if ``inputs`` was one input."""
        batches, single = self._prepare(inputs, 2**62, invert, batch)
        return np.concatenate([np.empty((0, *self.input_spec.shape), np.float32), *batches]), single

    def _finite(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(logits).all():
            raise CellzooError(f"{self.name} gives NaN or infinite logits for these inputs; its weights overflow")
        return logits

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reference is None:
            raise LoadError(f"{self.name} was not loaded by sdk.load, so it cannot be pickled or copied")
        if "_runner" in self.__dict__:
            self._reference.check(self)
        return _open_later, (type(self), self._reference)

    if not TYPE_CHECKING:  # to a type checker, every attribute would exist

        def __getattr__(self, name: str) -> Any:
            """Open a model that was unpickled when an attribute is first needed."""
            reference = self.__dict__.get("_reference")
            if reference is None or "_runner" in self.__dict__ or name.startswith("__"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self.__dict__.update(reference.open().__dict__)
            return getattr(self, name)

    def __repr__(self) -> str:
        if "_runner" not in self.__dict__:
            return f"<{self._reference}, not opened yet>"
        size = f"{self.config.parameters} parameters"
        return f"<{self.name}: {self.config.family}, {size}, {self.backend} backend>"


def _open_later(kind: type[Model], reference: Reference) -> Model:
    """Return a model that opens itself when it is first used."""
    model = kind.__new__(kind)
    model._reference = reference
    return model


def _then_warn(batches: Iterator[FloatArray], inverter: Inverter, name: str) -> Iterator[FloatArray]:
    """Yield the batches that are not empty, and give the warning about inverted images after the last."""
    yield from (batch for batch in batches if len(batch))
    warning = inverter.warning(name)
    if warning is not None:
        give_warning(warning)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities ``[..., classes]`` of logits of the same shape."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities
