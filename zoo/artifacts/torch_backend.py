"""The torch backend of the SDK: the family's own module, rebuilt from config.json and the weights."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sdk.artifact import WEIGHTS_FILE, Artifact
from sdk.backends import is_forked_child
from sdk.errors import ArtifactError, CellzooError, LoadError
from sdk.inputs import FloatArray
from sdk.turns import Turns
from sdk.validation import describe
from sdk.weights import TensorSpec, read_weights
from zoo.data.task import Task
from zoo.families.base import Family, FamilyConfig
from zoo.families.building import build_module, fixed_defaults
from zoo.families.registry import PACKAGE_KEY, get_family

_FAILURES = (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""The errors of a module whose config asks for the impossible."""
_SHOWN = 5
"""Most problems of a config that an error lists."""
_BASE_BYTES, _BYTES_PER_BYTE = 64 * 2**20, 16
_BYTES_PER_OPERATION = 4096
_loading = Turns()


class TorchBackend:
    """Runs the module in eval mode; safe to call from several threads as long as no thread trains it.

    In a forked child torch computes on one thread: it waits for ever for the threads of its pool, which only the parent
    has. ``source`` is the weights file, for errors; ``classes`` is the number of logits that the module must give.
    """

    def __init__(self, module: nn.Module, device: torch.device, source: str, classes: int) -> None:
        self.module = module
        self.device = device
        self.source = source
        self.classes = classes
        self._loaded = _versions(module)

    @property
    def changed(self) -> bool:
        """True if weights of the module were changed or replaced after it was loaded."""
        return _versions(self.module) != self._loaded

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of prepared inputs ``[B, *shape]``."""
        return self._run(self.module, x)

    def states(self, network: Callable[[torch.Tensor], Iterable[torch.Tensor]], x: FloatArray) -> list[FloatArray]:
        """Return all tensors that ``network`` makes of prepared inputs ``[B, *shape]``, as float32 arrays."""
        _use_one_thread_after_fork()
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False), self.device:
            return [state.float().cpu().numpy() for state in network(torch.from_numpy(x).to(self.device))]

    @property
    def outputs(self) -> list[str]:
        """The names that :meth:`output` accepts, for families whose module has named outputs."""
        module: Any = self.module
        return list(module.outputs)

    def output(self, name: str, x: FloatArray) -> NDArray[np.float32]:
        """Return the module's ``output(name, x)``, for families whose module has named outputs."""
        module: Any = self.module
        return self._run(lambda inputs: module.output(name, inputs), x)

    def _run(self, network: Callable[[torch.Tensor], torch.Tensor], x: FloatArray) -> NDArray[np.float32]:
        """Return what a network gives for inputs, ``[B, classes]``; raises ArtifactError if it fails or gives another.

        Errors of cellzoo itself pass.
        """
        _use_one_thread_after_fork()
        try:
            with torch.inference_mode():
                output = self._compute(network, x)
        except CellzooError:
            raise
        except _FAILURES as error:
            raise ArtifactError(f"{self.source}: its module fails for {len(x)} inputs: {_reason(error)}") from error
        if output.shape != (len(x), self.classes):
            raise ArtifactError(
                f"{self.source}: its module gives {list(output.shape)} for {len(x)} inputs, "
                f"it must be {[len(x), self.classes]}"
            )
        return output

    def _compute(self, network: Callable[[torch.Tensor], torch.Tensor], x: FloatArray) -> NDArray[np.float32]:
        if _is_unset(self.device):
            return _compute(network, x, self.device)
        with torch.autocast(self.device.type, enabled=False), self.device:
            return _compute(network, x, self.device)


def open_backend(artifact: Artifact, device: str | torch.device | None = None) -> TorchBackend:
    """Build the module and load its weights strictly.

    Raises ArtifactError for an unknown family, a config that the family refuses or weights that do not fit, and
    LoadError for a device that is not available.
    """
    _use_one_thread_after_fork()
    target = _device(device)
    family, config = _family_config(artifact)
    task = Task(artifact.config.input.shape, artifact.config.outputs, artifact.config.task)
    weights = artifact.file(WEIGHTS_FILE)
    with _one_thread(), fixed_defaults():
        module = _load(artifact, family, config, task, weights)
    return TorchBackend(module.eval().to(target), target, str(weights), task.num_classes)


def _load(artifact: Artifact, family: Family, config: FamilyConfig, task: Task, weights: Path) -> nn.Module:
    with torch.random.fork_rng(devices=[]), _Allowance(weights.stat().st_size):
        module = _build(artifact, family, config, task)
    expected = {name: _spec(tensor) for name, tensor in module.state_dict().items()}
    older: Any = getattr(module, "older_tensors", None)  # a module that reads files of an older form says which
    arrays = read_weights(weights, expected, older(expected) if older else None)
    try:
        module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=True)
    except _FAILURES as error:  # raised by a family that checks the values of its tensors
        raise ArtifactError(f"{weights}: {_reason(error)}") from error
    return module


def _is_unset(device: torch.device) -> bool:
    """True if the program around has set neither autocast nor a default device for this thread."""
    return not torch.is_autocast_enabled(device.type) and torch.empty(0).device.type in ("cpu", device.type)


def _compute(
    network: Callable[[torch.Tensor], torch.Tensor], x: FloatArray, device: torch.device
) -> NDArray[np.float32]:
    output: NDArray[np.float32] = network(torch.from_numpy(x).to(device)).float().cpu().numpy()
    return output


_one_thread_since: int | None = None
"""The forked child in which torch was limited to one thread."""


def _use_one_thread_after_fork() -> None:
    global _one_thread_since
    if is_forked_child() and _one_thread_since != os.getpid():
        torch.set_num_threads(1)
        _one_thread_since = os.getpid()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Start no thread of torch's pool, so that a program may load a model and fork then.

    Threads take turns: one that began inside another's turn would restore the single thread, for good.
    """
    with _loading.take():
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _versions(module: nn.Module) -> list[tuple[int, int]]:
    """Return the identity of each tensor of a module and torch's count of its changes in place."""
    return [(tensor.data_ptr(), tensor._version) for tensor in (*module.parameters(), *module.buffers())]


def _device(device: str | torch.device | None) -> torch.device:
    try:
        target = torch.device(device or "cpu")
    except RuntimeError as error:
        raise LoadError(f"device {device!r} cannot be used here: allowed are cpu, cuda, cuda:N and mps") from error
    try:
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise LoadError(f"device {str(device)!r} cannot be used here: {reason}") from error
    return target


def _family_config(artifact: Artifact) -> tuple[Family, FamilyConfig]:
    config = artifact.config
    try:
        family = get_family(config.family, config.provenance.get(PACKAGE_KEY))
        return family, family.config.model_validate(config.model)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = "; ".join(
            f"{'.'.join(map(str, ('model', *e['loc'])))}: {e['msg']}, found {describe(e['input'])}"
            for e in found[:_SHOWN]
        )
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ArtifactError(f"{artifact.folder}: config.json: {problems}{more}") from error
    except ValueError as error:
        raise ArtifactError(f"{artifact.folder}: config.json: {error}") from error


def _build(artifact: Artifact, family: Family, config: FamilyConfig, task: Task) -> nn.Module:
    try:
        return build_module(family, config, task)
    except _FAILURES as error:
        raise ArtifactError(f"{artifact.folder}: config.json: the model cannot be built: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


_TO_THE_END = torch.iinfo(torch.int64).max


class _Allowance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stops the construction of a module that costs out of proportion to its weights file.

    All tensors together may have _BYTES_PER_BYTE times its bytes, and _BASE_BYTES, which leave room for small models;
    each operation counts as _BYTES_PER_OPERATION, so that many tiny tensors are no way around.

    The sizes come from an untrusted config, so each is checked before its tensor exists. (Building on the meta device
    would also work, but its first use spends two seconds on imports.)
    """

    def __init__(self, weights_bytes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights_bytes = weights_bytes
        # Every tensor is created, scaled and copied a few times.
        self.left = _BYTES_PER_BYTE * weights_bytes + _BASE_BYTES

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self._spend(_BYTES_PER_OPERATION + max((_elements(argument) for argument in args), default=0))
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self._spend(result.nbytes)
        return result

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ValueError(f"it is far larger than its weights file ({self.weights_bytes} bytes)")


def _elements(argument: object) -> int:
    """Return the number of elements that an argument of a torch operation requests: a size, or a range's length."""
    if isinstance(argument, (list, tuple)) and all(isinstance(n, int) for n in argument):
        return abs(math.prod(argument))
    if not isinstance(argument, int) or argument == _TO_THE_END:  # of a slice; as a size, torch itself refuses it
        return 0
    return abs(argument)


def _spec(tensor: torch.Tensor) -> TensorSpec:
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
