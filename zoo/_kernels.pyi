"""The compiled module (csrc/bindings.cpp). Addresses are those of contiguous tensors that the caller has checked."""

cuda_built: bool

class StepConfig:
    def __init__(
        self,
        grid: tuple[int, int, int],
        batch: int,
        block: int,
        inner_steps: int,
        gated: bool,
        normalize: bool,
        eps: float,
        activation: int,
    ) -> None: ...

def usable_isas() -> list[str]: ...
def current_isa() -> str: ...
def set_isa(name: str) -> None: ...
def step_forward_float(
    config: StepConfig, weight: int, bias: int, residual_scale: int, x: int, out: int, threads: int, /
) -> None: ...
def step_forward_double(
    config: StepConfig, weight: int, bias: int, residual_scale: int, x: int, out: int, threads: int, /
) -> None: ...
def step_backward_float(
    config: StepConfig,
    weight: int,
    bias: int,
    residual_scale: int,
    x: int,
    grad_out: int,
    grad_weight: int,
    grad_bias: int,
    grad_residual_scale: int,
    grad_x: int,
    threads: int,
    /,
) -> None: ...
def step_backward_double(
    config: StepConfig,
    weight: int,
    bias: int,
    residual_scale: int,
    x: int,
    grad_out: int,
    grad_weight: int,
    grad_bias: int,
    grad_residual_scale: int,
    grad_x: int,
    threads: int,
    /,
) -> None: ...
