"""A CUDA device that is pretended: its tensors are on the host and say that they are on ``cuda:0``.

Torch's fake tensors have no values, and their backward pass asks a driver. Here everything is computed, so a whole
training runs, with the numbers of the CPU; and what a GPU would refuse or wait for shows without one:

- an op on tensors of the device and of the host raises, as on a GPU (a single number on the host is allowed);
- a copy between host and device from or to memory that is not pinned, and every read of a value or of a size that
  depends on values, is counted in ``waits``, by the line of our sources that asked for it.

Not pretended: streams, memory, speed, autocast, the kernels' CUDA bodies, and other arithmetic. Code of torch in C++
that makes a tensor beside one of the device makes it on the host; ``one_hot`` is the only such call here.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch._dynamo  # which optimizers import, and which must find torch as it is
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.support.paths import ROOT
from tests.support.reads import is_read
from zoo.kernels import runtime

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
waits: Counter[str] = Counter()
"""Counts of the times that the host would have waited for the device, by place: cleared by :func:`pretended_gpu`."""
_PINNED = "_zoo_pinned"
_SOURCES = f"{ROOT}/zoo/"


class Pretended(Tensor):
    """A tensor of the device; ``host`` has its values."""

    host: Tensor
    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    data = property(lambda self: self.detach(), lambda self, new: setattr(self, "host", new.host))  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, host: Tensor, requires_grad: bool = False) -> Pretended:
        made: Pretended = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, host.size(), strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype,
            layout=host.layout, device=CPU, requires_grad=requires_grad,
        )  # fmt: skip
        made.host = host
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretended({self.host!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        name = func._schema.name
        strangers = [t for t in tree_leaves((args, options)) if isinstance(t, Tensor) and not isinstance(t, Pretended)]
        if is_read(func, args) or (name.startswith("aten::index.") and strangers):
            _wait(name)
        elif name == "aten::copy_":
            _count_copy(args[0], args[1], args[2] if len(args) > 2 else options.get("non_blocking", False))
        elif name != "aten::index" and any(t.ndim for t in strangers):
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {name} has some on {CUDA}, some on {CPU}"
            )
        if options.get("device") is not None:
            options["device"] = CPU
        of_host, options = tree_map_only(Pretended, lambda t: t.host, (args, options))
        result = func(*of_host, **options)
        changed = [n for n, given in enumerate(func._schema.arguments) if given.is_write]
        if (
            changed
            and changed[0] < len(args)
            and func._schema.returns
            and func._schema.returns[0].alias_info is not None
        ):
            return args[changed[0]]  # an op in place returns its argument
        return tree_map_only(Tensor, Pretended, result)


class _Calls(TorchFunctionMode):
    """Makes tensors on the device, and moves them there and back, where torch is called from Python."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        first = args[0] if args else None
        if func is Tensor.is_pinned:
            return hasattr(first, _PINNED)
        if func is Tensor.pin_memory:
            return _pin(first)
        if func in (Tensor.to, Tensor.cuda, Tensor.cpu):
            return _move(func, first, list(args[1:]), options)
        if func is F.one_hot and isinstance(first, Pretended):
            return Pretended(func(first.host, *args[1:], **options))
        if isinstance(first, Pretended):
            if name == "new_tensor":
                _wait(name)
                return Pretended(first.host.new_tensor(*args[1:], **options))
            if name == "tolist":
                _wait(name)
                return first.host.tolist()
            if name in ("numpy", "__array__"):
                raise TypeError(f"can't convert {CUDA} device type tensor to numpy")
            if name == "data_ptr":
                return first.host.data_ptr()
        if options.get("device") is None or torch.device(options["device"]).type != "cuda":
            return func(*args, **options)
        if name in ("tensor", "as_tensor"):
            _wait(name)
        return tree_map_only(Tensor, _placed, func(*args, **{**options, "device": CPU}))


def _wait(what: str) -> None:
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.startswith(_SOURCES):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename.removeprefix(f'{ROOT}/')}:{frame.f_lineno}" if frame else "a test"
    waits[f"{what} at {place}"] += 1


def _count_copy(to: Tensor, source: Tensor, non_blocking: bool) -> None:
    """Count a copy between host and device, unless it is queued from or to pinned memory."""
    if isinstance(to, Pretended) != isinstance(source, Pretended):
        of_host = source if isinstance(to, Pretended) else to
        if not (non_blocking and hasattr(of_host, _PINNED)):
            _wait("a copy")


def _pin(tensor: Tensor) -> Tensor:
    pinned = tensor.clone()
    setattr(pinned, _PINNED, True)
    return pinned


def _placed(tensor: Tensor) -> Tensor:
    """Return a new tensor as one of the device."""
    return tensor if isinstance(tensor, Pretended) else Pretended(tensor.detach(), tensor.requires_grad)


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return Pretended(tensor.detach().clone())

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Tensor:
        return _Down.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Any) -> Tensor:
        return tensor.host.clone()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Up.apply(grad)  # type: ignore[no-any-return, no-untyped-call]


def _move(func: Any, tensor: Tensor, rest: list[Any], options: dict[str, Any]) -> Tensor:
    """Do what ``to``, ``cuda`` and ``cpu`` do."""
    target: torch.device | None = {Tensor.cuda: CUDA, Tensor.cpu: CPU}.get(func)
    if target is None and options.get("device") is not None:
        target = torch.device(options.pop("device"))
    elif target is None and rest and isinstance(rest[0], torch.device | str):
        target = torch.device(rest.pop(0))
    elif target is None and rest and isinstance(rest[0], Tensor):
        like = rest.pop(0)
        target, rest = like.device, [like.dtype, *rest]
    non_blocking = options.pop("non_blocking", False) or any(one is True for one in rest[:2])
    rest = [one for one in rest if isinstance(one, torch.dtype)]
    here = isinstance(tensor, Pretended)
    moves = target is not None and (target.type == "cuda") != here
    if moves and not (non_blocking and not here and hasattr(tensor, _PINNED)):
        _wait("a copy")
    if moves:
        tensor = (_Down if here else _Up).apply(tensor)  # type: ignore[no-untyped-call]
    return Tensor.to(tensor, *rest, **options) if rest or options else tensor


class _Stream:
    """A stream, of which the pretended device has one."""

    cuda_stream = 0

    def wait_stream(self, other: _Stream) -> None:
        pass

    def synchronize(self) -> None:
        pass


class _Event:
    """A mark on the host's clock."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        _wait("synchronize")

    def elapsed_time(self, other: _Event) -> float:
        return 1e3 * (other.at - self.at)


_FACTS = SimpleNamespace(
    name="pretended", major=9, minor=0, multi_processor_count=1, total_memory=2**34, L2_cache_size=2**20
)


class _BuiltForCuda:
    """The compiled module, which says that it has CUDA kernels; the device runs those of the CPU."""

    cuda_built = True

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _grouped(group: Callable[..., Any]) -> Callable[..., Any]:
    """Let torch's optimizers find the device of their tensors, for which C++ asks."""

    def grouped(tensors: Any, *args: Any) -> Any:
        found = group(tensors, *args)
        ours = any(isinstance(tensor, Pretended) for column in tensors for tensor in column)
        return {(CUDA, dtype): value for (_, dtype), value in found.items()} if ours else found

    return grouped


def _shares_form(same: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda input, from_: isinstance(input, Pretended) == isinstance(from_, Pretended) and same(input, from_)


@contextlib.contextmanager
def pretended_gpu() -> Iterator[Counter[str]]:
    """Let torch see one CUDA device; yield :data:`waits`, empty."""
    of_cuda: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "current_device": lambda: 0,
        "_lazy_init": lambda: None, "Stream": _Stream, "current_stream": lambda device=None: _Stream(),
        "stream": lambda stream: contextlib.nullcontext(), "synchronize": lambda device=None: _wait("synchronize"),
        "mem_get_info": lambda device=None: (2**34, 2**34), "max_memory_allocated": lambda device=None: 0,
        "manual_seed": lambda seed: None, "manual_seed_all": lambda seed: None, "set_device": lambda device: None,
        "is_bf16_supported": lambda *args, **options: True, "empty_cache": lambda: None,
        "get_device_capability": lambda device=None: (9, 0), "get_device_properties": lambda device=None: _FACTS,
        "Event": _Event,
    }  # fmt: skip
    module = runtime.compiled()
    waits.clear()
    with contextlib.ExitStack() as stack:
        for name, value in of_cuda.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(torch.optim.Optimizer, name):  # the first in newer versions of torch
                stack.enter_context(patch.object(torch.optim.Optimizer, name, lambda self: None))
        for place, name, change in (
            (torch._C, "_group_tensors_by_device_and_dtype", _grouped),
            (torch, "_has_compatible_shallow_copy_type", _shares_form),
        ):
            stack.enter_context(patch.object(place, name, change(getattr(place, name))))
        stack.enter_context(patch.object(Tensor, "record_stream", lambda self, stream: None))
        # A tensor around one of inference mode has no place for torch's count of changes.
        stack.enter_context(patch.object(torch, "inference_mode", lambda mode=True: torch.set_grad_enabled(not mode)))
        stack.enter_context(patch.object(runtime, "compiled", lambda: _BuiltForCuda(module)))
        stack.enter_context(_Calls())
        yield waits
