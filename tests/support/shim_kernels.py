"""A pytest plugin: the registered ops run their CUDA bodies on the CPU, on the build with the shim in ZOO_SHIM_KERNELS.

So bindings and bodies are tested whole, from the op's arguments to the kernels, and only the device is missing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch

_spec = importlib.util.spec_from_file_location("sdk._kernels", os.environ["ZOO_SHIM_KERNELS"])
assert _spec is not None
assert _spec.loader is not None
sys.modules["sdk._kernels"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
assert _module.cuda_built

from zoo.kernels.gridnet import checks  # noqa: E402
from zoo.kernels.gridnet import op as gridnet  # noqa: E402
from zoo.kernels.nca import op as nca  # noqa: E402
from zoo.kernels.sparse_linear import op as sparse  # noqa: E402


def _saved_bytes(config: Any, x: torch.Tensor, threads: int) -> int:
    size: int = _module.cuda_saved_bytes(config, checks.CUDA_DTYPES[x.dtype]) if x.shape[0] else 0
    return size


torch.cuda.device = lambda device: nullcontext()  # type: ignore[assignment, misc]
torch.cuda.current_stream = lambda device=None: SimpleNamespace(cuda_stream=0)  # type: ignore[assignment]
gridnet._saved_size = _saved_bytes
gridnet.saved_dtype = checks.saved_dtype = lambda x: torch.uint8
for op in (
    gridnet._evolve, gridnet._evolve_backward, nca._evolve, nca._evolve_backward, sparse._forward, sparse._backward_op,
):  # fmt: skip
    op._backend_fns["cpu"] = op._backend_fns["cuda"]
