"""The compiled module (csrc/python). Addresses are those of contiguous tensors that the caller has checked."""

from collections.abc import Sequence

bindings: str  # the digest of the sources in csrc/python
cuda_built: bool

class EvolveConfig:
    def __init__(
        self,
        *,
        grid: tuple[int, int, int],
        batch: int,
        block: int,
        inner_steps: int,
        gated: bool,
        normalize: bool,
        eps: float,
        activation: int,
        outer_steps: int,
        separate: bool,
        norm: bool,
        outer_residual: bool,
        norm_eps: float,
        recompute: int,
    ) -> None: ...

def keep_freed_memory() -> None: ...
def usable_isas() -> list[str]: ...
def current_isa() -> str: ...
def set_isa(name: str) -> None: ...
def multiply_adds(rounds: int, threads: int) -> int: ...
def triad(out: int, a: int, b: int, n: int, threads: int) -> None: ...
def linear(shape: Sequence[int], weight: int, bias: int, x: int, y: int, threads: int) -> None: ...
def layer_norm(rows: int, n: int, weight: int, bias: int, eps: float, x: int, y: int, threads: int) -> None: ...
def apply(function: int, n: int, x: int, y: int, threads: int) -> None: ...
def mix(shape: Sequence[int], weights: int, logits: int, y: int, threads: int) -> None: ...

# shape: images, channels, height, width. 0 stands for absent offsets and flips.
def take_images_uint8(
    shape: Sequence[int],
    values: int,
    scales: int,
    size: int,
    indices: int,
    offsets: int,
    flipped: int,
    out: int,
    threads: int,
) -> None: ...
def take_images_float(
    shape: Sequence[int],
    values: int,
    scales: int,
    size: int,
    indices: int,
    offsets: int,
    flipped: int,
    out: int,
    threads: int,
) -> None: ...

class Gridnet:
    def __init__(
        self,
        *,
        config: EvolveConfig,
        image: Sequence[int],
        patch: int,
        depth: int,
        corner: tuple[int, int],
        faces: int,
        classes: int,
        norm_eps: float,
        tensors: Sequence[int],
    ) -> None: ...
    def logits(self, images: int, batch: int, logits: int, threads: int) -> None: ...

class Snapshots:
    def __init__(self, *, widths: Sequence[int], function: int, sweeps: int) -> None: ...
    def add(self, edges: int, source: int, target: int, weight: int, bias: int) -> None: ...
    def logits(self, number: int, x: int, batch: int, out: int, threads: int) -> None: ...
    def mixture(
        self, numbers: Sequence[int], weights: Sequence[float], x: int, batch: int, out: int, threads: int
    ) -> None: ...

def saved_size_float(config: EvolveConfig, threads: int) -> int: ...
def saved_size_double(config: EvolveConfig, threads: int) -> int: ...
def forward_float(
    config: EvolveConfig, inputs: Sequence[int], out: int, saved: int, saved_size: int, threads: int
) -> None: ...
def forward_double(
    config: EvolveConfig, inputs: Sequence[int], out: int, saved: int, saved_size: int, threads: int
) -> None: ...
def backward_float(
    config: EvolveConfig,
    inputs: Sequence[int],
    saved: int,
    saved_size: int,
    grad_out: int,
    grads: Sequence[int],
    threads: int,
) -> None: ...
def backward_double(
    config: EvolveConfig,
    inputs: Sequence[int],
    saved: int,
    saved_size: int,
    grad_out: int,
    grads: Sequence[int],
    threads: int,
) -> None: ...

class NcaConfig:
    def __init__(
        self,
        *,
        shape: Sequence[int],  # networks, layers, rows, columns, channels, signals
        epochs: int,
        widths: Sequence[int],
        hidden: int,
        change: int,
        scale: float,
        mean: bool,
        norm: bool,
        norm_eps: float,
    ) -> None: ...

# inputs: units, parameters, signals, fire_mask; grads: of state, signals, parameters. 0 stands for an absent tensor.
def nca_saved_size(config: NcaConfig) -> int: ...
def nca_forward_float(
    config: NcaConfig, inputs: Sequence[int], state: int, out: int, saved: int, threads: int
) -> None: ...
def nca_forward_double(
    config: NcaConfig, inputs: Sequence[int], state: int, out: int, saved: int, threads: int
) -> None: ...
def nca_backward_float(
    config: NcaConfig, inputs: Sequence[int], saved: int, grad_out: int, grads: Sequence[int], threads: int
) -> None: ...
def nca_backward_double(
    config: NcaConfig, inputs: Sequence[int], saved: int, grad_out: int, grads: Sequence[int], threads: int
) -> None: ...

# shape: rows, columns, entries; pattern: row_starts, columns, column_starts, rows, order. A grad_x of 0 is left out.
def sparse_check(shape: Sequence[int], pattern: Sequence[int]) -> None: ...
def sparse_forward_float(
    shape: Sequence[int], pattern: Sequence[int], values: int, x: int, batch: int, y: int, threads: int
) -> None: ...
def sparse_forward_double(
    shape: Sequence[int], pattern: Sequence[int], values: int, x: int, batch: int, y: int, threads: int
) -> None: ...
def sparse_backward_float(
    shape: Sequence[int],
    pattern: Sequence[int],
    values: int,
    x: int,
    grad_y: int,
    batch: int,
    grad_values: int,
    grad_x: int,
    threads: int,
) -> None: ...
def sparse_backward_double(
    shape: Sequence[int],
    pattern: Sequence[int],
    values: int,
    x: int,
    grad_y: int,
    batch: int,
    grad_values: int,
    grad_x: int,
    threads: int,
) -> None: ...

# Only when cuda_built. Addresses are device memory; dtype is that of csrc/core/cuda/dtype.h.
def cuda_saved_bytes(config: EvolveConfig, dtype: int, /) -> int: ...
def cuda_forward_workspace_bytes(config: EvolveConfig, dtype: int, training: bool, /) -> int: ...
def cuda_backward_workspace_bytes(config: EvolveConfig, dtype: int, /) -> int: ...
def cuda_forward(
    config: EvolveConfig, dtype: int, inputs: Sequence[int], out: int, saved: int, workspace: int, stream: int, /
) -> None: ...
def cuda_sparse_workspace_bytes(shape: Sequence[int], dtype: int, batch: int, /) -> int: ...
def cuda_sparse_forward(
    shape: Sequence[int],
    pattern: Sequence[int],
    dtype: int,
    values: int,
    x: int,
    batch: int,
    y: int,
    workspace: int,
    stream: int,
    /,
) -> None: ...
def cuda_sparse_backward(
    shape: Sequence[int],
    pattern: Sequence[int],
    dtype: int,
    values: int,
    x: int,
    grad_y: int,
    batch: int,
    grad_values: int,
    grad_x: int,
    workspace: int,
    stream: int,
    /,
) -> None: ...
def cuda_nca_forward_workspace_bytes(config: NcaConfig, dtype: int, /) -> int: ...
def cuda_nca_backward_workspace_bytes(config: NcaConfig, dtype: int, /) -> int: ...
def cuda_nca_forward(
    config: NcaConfig,
    dtype: int,
    inputs: Sequence[int],
    state: int,
    out: int,
    saved: int,
    workspace: int,
    stream: int,
    /,
) -> None: ...
def cuda_nca_backward(
    config: NcaConfig,
    dtype: int,
    inputs: Sequence[int],
    saved: int,
    grad_out: int,
    grads: Sequence[int],
    workspace: int,
    stream: int,
    /,
) -> None: ...
def cuda_backward(
    config: EvolveConfig,
    dtype: int,
    inputs: Sequence[int],
    saved: int,
    grad_out: int,
    grads: Sequence[int],
    workspace: int,
    stream: int,
    /,
) -> None: ...
