"""The CUDA kernels of gridnet, run on the CPU through the host shim, against plain torch."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.gridnet_cuda import (
    ACTIVATIONS,
    SUPPORT,
    Evolution,
    GridnetCuda,
    KernelError,
    Step,
    compile_with_shim,
    cuda_sources,
)
from zoo.kernels.gridnet import reference

Grid = tuple[int, int, int]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 5e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""Largest error relative to the largest value of a tensor; bfloat16 has 8 bits of mantissa, float16 has 11."""


@pytest.fixture(scope="session")
def gridnet(tmp_path_factory: pytest.TempPathFactory) -> GridnetCuda:
    sources = [*cuda_sources(), SUPPORT / "gridnet_cuda_api.cpp"]
    library = tmp_path_factory.mktemp("cuda_shim") / "gridnet.so"
    return GridnetCuda(compile_with_shim(library, sources, ["-O1", "-fPIC", "-shared"]))


def step_inputs(step: Step, grid: Grid, batch: int, dtype: torch.dtype) -> list[Tensor | None]:
    """``[weight, bias, residual_scale, x]`` at random."""
    channels = (2,) if step.gated else ()
    torch.manual_seed(batch + sum(grid))
    scale = None if step.gated else torch.randn(grid, dtype=dtype)
    weight = torch.randn(27, *channels, *grid, dtype=dtype) / 27**0.5
    return [weight, torch.randn(*channels, *grid, dtype=dtype), scale, torch.randn(batch, *grid, dtype=dtype)]


def evolution_inputs(step: Step, sets: int, grid: Grid, batch: int, dtype: torch.dtype) -> list[Tensor | None]:
    """``[weight, bias, residual_scale, x, norm_weight, norm_bias]`` at random."""
    parts = [step_inputs(step, grid, batch + i, dtype) for i in range(sets)]
    stacked = [
        None if name[0] is None else torch.stack([t for t in name if t is not None])
        for name in list(zip(*parts, strict=True))[:3]
    ]
    return [*stacked, parts[0][3], torch.randn(grid, dtype=dtype), torch.randn(grid, dtype=dtype)]


def reference_step(step: Step, t: Sequence[Tensor]) -> Tensor:
    s = step
    if s.gated:
        weight, bias, x = t
        return reference.gated_gridnet_step(weight, bias, x, s.inner_steps, s.block, s.activation)
    weight, bias, scale, x = t
    return reference.gridnet_step(weight, bias, scale, x, s.inner_steps, s.block, s.eps, s.normalize, s.activation)


def reference_evolution(e: Evolution, t: Sequence[Tensor]) -> Tensor:
    s = e.step
    if s.gated:
        weight, bias, x, norm_weight, norm_bias = t
        return reference.gated_gridnet_evolve(
            weight, bias, norm_weight, norm_bias, x, e.outer_steps, s.inner_steps, s.block, s.activation,
            e.norm_eps, e.outer_residual,
        )  # fmt: skip
    weight, bias, scale, x, norm_weight, norm_bias = t
    return reference.gridnet_evolve(
        weight, bias, scale, norm_weight, norm_bias, x, e.outer_steps, s.inner_steps, s.block, s.eps,
        s.normalize, s.activation, e.norm_eps, e.outer_residual,
    )  # fmt: skip


def assert_equal(got: Sequence[Tensor | None], want: Sequence[Tensor], dtype: torch.dtype) -> None:
    present = [t for t in got if t is not None]
    for i, (actual, expected) in enumerate(zip(present, want, strict=True)):
        assert actual.shape == expected.shape
        if actual.numel() == 0:
            continue
        error = (actual.to(expected.dtype) - expected).abs().max() / (1 + expected.abs().max())
        assert error <= TOLERANCE[dtype], f"tensor {i} of {len(want)} is off by {error:.2e}"


def check_step(gridnet: GridnetCuda, step: Step, grid: Grid, batch: int, dtype: torch.dtype = torch.float64) -> None:
    """Output and every gradient against autograd through the reference."""
    inputs = step_inputs(step, grid, batch, dtype)
    leaves = _leaves(inputs)
    want = reference_step(step, leaves)
    grad_out = torch.randn_like(want).to(dtype)
    gradients = torch.autograd.grad(want, leaves, grad_out.to(want.dtype))
    got = [gridnet.step(step, inputs), *gridnet.step_backward(step, inputs, grad_out)]
    assert_equal(got, [want, *gradients], dtype)


def check_evolution(
    gridnet: GridnetCuda, e: Evolution, sets: int, grid: Grid, batch: int, dtype: torch.dtype = torch.float64
) -> None:
    """As ``check_step``, in inference too."""
    inputs = evolution_inputs(e.step, sets, grid, batch, dtype)
    leaves = _leaves(inputs)
    want = reference_evolution(e, leaves)
    grad_out = torch.randn_like(want).to(dtype)
    gradients = torch.autograd.grad(want, leaves, grad_out.to(want.dtype))
    inferred, _ = gridnet.evolve(e, inputs, training=False)
    out, saved = gridnet.evolve(e, inputs, training=True)
    got = [inferred, out, *gridnet.evolve_backward(e, inputs, saved, grad_out)]
    assert_equal(got, [want, want, *gradients], dtype)


def _leaves(inputs: Sequence[Tensor | None]) -> list[Tensor]:
    """The reference's inputs; it works in float32 where the storage is narrower."""
    wide = [t.float() if t.dtype.itemsize == 2 else t.clone() for t in inputs if t is not None]
    return [t.requires_grad_() for t in wide]


KINDS = {
    "plain": Step(),
    "gated": Step(gated=True),
    "plain blocks": Step(block=3, inner_steps=2),
    "gated blocks": Step(block=3, inner_steps=2, gated=True),
    "standardised blocks": Step(block=3, inner_steps=2, normalize=True),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)
def test_a_step_and_its_gradients_equal_the_reference(gridnet: GridnetCuda, step: Step, activation: str) -> None:
    check_step(gridnet, replace(step, activation=activation), (3, 6, 9), batch=3)


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)
def test_a_step_is_right_in_every_storage_type_and_batch(
    gridnet: GridnetCuda, step: Step, dtype: torch.dtype, batch: int
) -> None:
    check_step(gridnet, step, (6, 3, 3), batch, dtype)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(
    "grid", [(1, 1, 1), (5, 7, 9), (1, 33, 35), (70, 1, 1), (1, 300, 1), (2, 2, 129), (32, 32, 8)], ids=str
)
def test_tiles_cover_grids_of_any_shape(gridnet: GridnetCuda, grid: Grid, gated: bool) -> None:
    check_step(gridnet, Step(gated=gated), grid, batch=2)


@pytest.mark.parametrize("inner_steps", [1, 2, 3])
@pytest.mark.parametrize(
    ("block", "grid"),
    [
        (1, (2, 3, 4)),
        (2, (4, 2, 2)),
        (3, (3, 6, 9)),
        (5, (5, 10, 5)),
        (6, (6, 6, 12)),
        (8, (8, 8, 8)),
        (9, (9, 9, 18)),
    ],
    ids=str,
)
def test_blocks_of_any_side_are_right_for_any_number_of_inner_steps(
    gridnet: GridnetCuda, block: int, grid: Grid, inner_steps: int
) -> None:
    for gated, normalize in [(False, False), (False, True), (True, False)]:
        step = Step(inner_steps, block, "tanh", gated, normalize)
        check_step(gridnet, step, grid, batch=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("block", "grid"), [(1, (1, 2, 2)), (2, (2, 4, 2)), (4, (4, 4, 8)), (5, (5, 5, 5)), (7, (7, 7, 7)), (8, (8, 16, 8))]
)
def test_cells_that_share_a_thread_are_right_in_blocks_of_any_side(
    gridnet: GridnetCuda, block: int, grid: Grid, dtype: torch.dtype
) -> None:
    for inner_steps, normalize in itertools.product((1, 2, 5), (False, True)):
        check_step(gridnet, Step(inner_steps, block, "tanh", normalize=normalize), grid, 3, dtype)


@pytest.mark.parametrize("cells", [1, 2])
@pytest.mark.parametrize("grid", [(32, 32, 8), (16, 16, 16), (8, 8, 64), (32, 32, 32), (64, 64, 64)], ids=str)
def test_a_warp_reads_a_tile_from_different_banks(gridnet: GridnetCuda, grid: Grid, cells: int) -> None:
    assert gridnet.tile_bank_conflicts(grid, 256, cells) == 1


@pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)
def test_a_part_of_the_batch_holds_many_samples(gridnet: GridnetCuda, step: Step) -> None:
    check_step(gridnet, step, (3, 3, 3), batch=1100)


def test_standardising_a_constant_block_has_the_gradient_of_the_reference(gridnet: GridnetCuda) -> None:
    step = Step(block=2, normalize=True)
    weight, bias, scale, x = step_inputs(step, (2, 2, 2), 1, torch.float64)
    assert x is not None
    inputs = [weight, bias, scale, torch.zeros_like(x)]
    leaves = _leaves(inputs)
    gradients = torch.autograd.grad(reference_step(step, leaves).sum(), leaves)
    assert_equal(gridnet.step_backward(step, inputs, torch.ones_like(x)), gradients, torch.float64)


@pytest.mark.parametrize("outer_residual", [False, True], ids=["norm after", "residual"])
@pytest.mark.parametrize("sets", [1, 3], ids=["shared", "separate"])
@pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)
def test_the_evolution_and_its_gradients_equal_the_reference(
    gridnet: GridnetCuda, step: Step, sets: int, outer_residual: bool
) -> None:
    check_evolution(gridnet, Evolution(step, 3, outer_residual), sets, (3, 6, 9), batch=3)


@pytest.mark.parametrize("batch", [0, 1, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)
def test_the_evolution_is_right_in_every_storage_type_and_batch(
    gridnet: GridnetCuda, step: Step, dtype: torch.dtype, batch: int
) -> None:
    for outer_residual in (False, True):
        check_evolution(gridnet, Evolution(step, 2, outer_residual), 1, (3, 3, 6), batch, dtype)


@pytest.mark.parametrize(("outer_steps", "recompute"), [(1, 1), (1, 4), (5, 1), (5, 2), (5, 3), (5, 5), (5, 7), (6, 3)])
def test_recomputing_between_saved_grids_changes_no_gradient(
    gridnet: GridnetCuda, outer_steps: int, recompute: int
) -> None:
    for outer_residual, sets in itertools.product((False, True), {1, outer_steps}):
        evolution = Evolution(Step(), outer_steps, outer_residual, recompute=recompute)
        check_evolution(gridnet, evolution, sets, (3, 4, 5), batch=2)


def test_a_larger_recompute_interval_saves_less_memory(gridnet: GridnetCuda) -> None:
    inputs = evolution_inputs(Step(), 1, (8, 8, 8), 4, torch.float32)
    saved = [gridnet.saved_bytes(Evolution(Step(), 12, recompute=recompute), inputs) for recompute in (1, 3, 12)]
    state = 4 * 8**3 * 4
    assert [round(count / state) for count in saved] == [12, 4, 1]


MANY_INNER_STEPS = {f"{name}, 5 inner steps": replace(KINDS[name], inner_steps=5) for name in list(KINDS)[2:]}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [*KINDS.values(), *MANY_INNER_STEPS.values()], ids=[*KINDS, *MANY_INNER_STEPS])
def test_the_order_of_threads_makes_no_difference(
    gridnet: GridnetCuda, step: Step, dtype: torch.dtype, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolution = Evolution(step, 2, outer_residual=True)
    inputs = evolution_inputs(step, 1, (6, 3, 9), 3, dtype)
    x = inputs[3]
    assert x is not None

    def run() -> list[Tensor | None]:
        out, saved = gridnet.evolve(evolution, inputs, training=True)
        return [out, *gridnet.evolve_backward(evolution, inputs, saved, torch.ones_like(x))]

    in_order = run()
    monkeypatch.setenv("CUDASHIM_SEED", str(seed))
    for first, second in zip(in_order, run(), strict=True):
        assert (first is None and second is None) or torch.equal(first, second)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("outer_residual", "recompute"), [(False, 1), (True, 2), (False, 3), (True, 5)])
@pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)
def test_all_steps_in_one_launch_give_the_bits_of_a_launch_per_step(
    gridnet: GridnetCuda,
    step: Step,
    outer_residual: bool,
    recompute: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evolution = Evolution(step, 4, outer_residual, recompute=recompute)
    inputs = evolution_inputs(step, 1, (6, 3, 9), 5, dtype)

    def run(resident: int) -> list[Tensor | None]:
        monkeypatch.setenv("CUDASHIM_RESIDENT_CTAS", str(resident))
        inferred, _ = gridnet.evolve(evolution, inputs, training=False)
        out, saved = gridnet.evolve(evolution, inputs, training=True)
        return [inferred, out, saved]

    apart = run(0)
    for resident in (64, 13):  # a CTA for every tile and sample; fewer CTAs, which take more samples each
        for first, second in zip(apart, run(resident), strict=True):
            assert first is not None
            assert second is not None
            assert torch.equal(first.view(torch.uint8), second.view(torch.uint8))


@pytest.mark.parametrize(
    ("step", "grid", "batch"),
    [
        (Step(), (36, 32, 16), 8),
        (Step(), (3, 5, 9), 64),
        (Step(block=8, inner_steps=2), (8, 16, 8), 3),
        (Step(block=8, inner_steps=2, gated=True), (8, 8, 16), 3),
    ],
    ids=["288 groups", "3 warps", "blocks of side 8", "gated blocks of side 8"],
)
def test_the_statistics_do_not_depend_on_the_threads_that_merge_them(
    gridnet: GridnetCuda, step: Step, grid: Grid, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = evolution_inputs(step, 1, grid, batch, torch.float32)
    gridnet.launches()
    together, _ = gridnet.evolve(Evolution(step, 2), inputs, training=False)
    assert gridnet.launches() == 3
    monkeypatch.setenv("CUDASHIM_RESIDENT_CTAS", "0")
    apart, _ = gridnet.evolve(Evolution(step, 2), inputs, training=False)
    assert torch.equal(together, apart)


@pytest.mark.parametrize("outer_residual", [False, True], ids=["norm after", "residual"])
@pytest.mark.parametrize("step", [KINDS["plain"], KINDS["gated blocks"]], ids=["plain", "gated blocks"])
def test_the_launches_of_an_evolution_are_few(
    gridnet: GridnetCuda, step: Step, outer_residual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 5
    evolution = Evolution(step, steps, outer_residual)
    inputs = evolution_inputs(step, 1, (6, 3, 3), 2, torch.float32)
    x = inputs[3]
    assert x is not None

    def forward(resident: int) -> tuple[int, Tensor | None]:
        monkeypatch.setenv("CUDASHIM_RESIDENT_CTAS", str(resident))
        gridnet.launches()
        _, saved = gridnet.evolve(evolution, inputs, training=True)
        return gridnet.launches(), saved

    together, saved = forward(64)
    assert together == 3  # the steps, and the input's moments and statistics or the output's statistics and norm
    assert forward(0)[0] == 2 * steps + 1
    gridnet.evolve_backward(evolution, inputs, saved, x)
    sums_of_parts = 4 if step.gated else 5
    assert gridnet.launches() == 3 * steps + 1 + sums_of_parts


@pytest.mark.parametrize(
    ("resident", "sets", "launches"),
    [(4, 1, 3), (3, 1, 7), (4, 3, 7)],
    ids=["one launch", "too few CTAs for the blocks", "parameters for each step"],
)
def test_steps_share_a_launch_where_the_device_holds_a_cta_for_every_block(
    gridnet: GridnetCuda, resident: int, sets: int, launches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolution = Evolution(KINDS["plain blocks"], 3)
    inputs = evolution_inputs(evolution.step, sets, (3, 6, 6), 2, torch.float64)
    monkeypatch.setenv("CUDASHIM_RESIDENT_CTAS", str(resident))
    gridnet.launches()
    gridnet.evolve(evolution, inputs, training=False)
    assert gridnet.launches() == launches


@pytest.mark.parametrize(
    ("backward", "normalize", "limit", "largest"),
    [
        (False, False, 12_000, 8),
        (False, True, 16_000, 8),
        (True, False, 24_100, 9),
        (True, True, 35_000, 9),
        (True, False, 17_000, 6),  # smaller blocks have two tiles of each kind
    ],
)
def test_a_block_too_large_for_shared_memory_names_the_largest_that_fits(
    gridnet: GridnetCuda,
    backward: bool,
    normalize: bool,
    limit: int,
    largest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDASHIM_SHARED_BYTES", str(limit))

    def run(block: int) -> object:
        step = Step(inner_steps=2, block=block, normalize=normalize)
        inputs = step_inputs(step, (block, block, block), 1, torch.float32)
        x = inputs[3]
        assert x is not None
        return gridnet.step_backward(step, inputs, x) if backward else gridnet.step(step, inputs)

    with pytest.raises(KernelError, match=rf"block is {largest + 1}, .*allows {limit}, a block of at most {largest}"):
        run(largest + 1)
    run(largest)


def test_shared_memory_that_the_kernel_declares_is_not_offered_to_blocks(
    gridnet: GridnetCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(1, 3, 3, 3)
    step = Step(inner_steps=2, block=3)
    inputs = step_inputs(step, (3, 3, 3), 1, torch.float32)
    monkeypatch.setenv("CUDASHIM_SHARED_BYTES", str(5**3 * 12))
    gridnet.step(step, inputs)
    monkeypatch.setenv("CUDASHIM_STATIC_BYTES", "128")
    for run in (lambda: gridnet.step(step, inputs), lambda: gridnet.step_backward(step, inputs, x)):
        with pytest.raises(KernelError, match=r"this device allows 1372, a block of at most [12]$"):
            run()


def test_a_small_launch_leaves_a_kernel_the_shared_memory_that_a_large_one_needs(gridnet: GridnetCuda) -> None:
    for block in (16, 15):  # both beyond 48 KB; the shim refuses to take permission away between two threads' launches
        step = Step(inner_steps=2, block=block)
        assert gridnet.step(step, step_inputs(step, (block, block, block), 1, torch.float32)).isfinite().all()


def test_a_question_that_failed_is_not_the_error_of_the_next_launch(
    gridnet: GridnetCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolution = Evolution(KINDS["plain"], 2)
    inputs = evolution_inputs(evolution.step, 1, (3, 3, 3), 2, torch.float32)
    wanted, _ = gridnet.evolve(evolution, inputs, training=False)
    monkeypatch.setenv("CUDASHIM_RESIDENT_CTAS", "-1")  # the device does not say
    found, _ = gridnet.evolve(evolution, inputs, training=False)
    assert torch.equal(found, wanted)


def test_a_device_that_does_not_answer_is_not_taken_for_one_without_shared_memory(
    gridnet: GridnetCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = KINDS["plain blocks"]
    inputs = step_inputs(step, (3, 3, 3), 1, torch.float32)
    monkeypatch.setenv("CUDASHIM_LOST", "1")
    with pytest.raises(KernelError, match=r"^CUDA kernel block_forward did not start: unspecified launch failure$"):
        gridnet.step(step, inputs)
    monkeypatch.undo()
    assert gridnet.step(step, inputs).isfinite().all()


@pytest.mark.parametrize(
    ("evolution", "message"),
    [
        (Evolution(Step(block=2)), r"block is 2, must divide every axis of the grid 3 x 3 x 3"),
        (Evolution(Step(inner_steps=0)), "inner_steps is 0, must be at least 1"),
        (Evolution(Step(gated=True, normalize=True)), "normalize is not defined for gated steps"),
        (Evolution(Step(), outer_steps=0), "outer_steps is 0, must be at least 1"),
        (Evolution(Step(), recompute=0), "recompute is 0, must be at least 1"),
    ],
)
def test_an_unsupported_problem_is_a_one_line_error(gridnet: GridnetCuda, evolution: Evolution, message: str) -> None:
    inputs = evolution_inputs(evolution.step, 1, (3, 3, 3), 1, torch.float32)
    with pytest.raises(KernelError, match=message):
        gridnet.evolve(evolution, inputs, training=False)


def run_program(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, env=environment, timeout=900, check=False
    )


def test_the_shim_finds_diverged_and_missing_barriers(tmp_path: Path) -> None:
    program = compile_with_shim(tmp_path / "faults", [SUPPORT / "shim_faults.cu"], ["-O1", "-fPIC"])
    diverged = run_program(program, "diverged_barrier")
    assert diverged.returncode != 0
    assert "deadlock in CTA (0,0,0)" in diverged.stderr
    assert run_program(program, "missing_barrier").returncode == 0, "thread order 0, 1, 2 hides it"
    assert run_program(program, "missing_barrier", CUDASHIM_SEED="1").returncode == 1
    absent = run_program(program, "missing_grid_barrier")
    assert absent.returncode != 0
    assert "a CTA waits at a grid barrier that another CTA never reaches" in absent.stderr
    returned = run_program(program, "diverged_grid_barrier")
    assert returned.returncode != 0
    assert "waits at a grid barrier that another thread never reaches" in returned.stderr
    assert run_program(program, "grid_barrier").returncode == 0


@pytest.mark.slow
def test_half_tensors_are_right_in_steps_and_evolutions(tmp_path: Path) -> None:
    sources = [*cuda_sources(), SUPPORT / "gridnet_cuda_api.cpp"]
    flags = ["-O1", "-fPIC", "-shared", "-DCUDASHIM_HALF"]
    half = GridnetCuda(compile_with_shim(tmp_path / "half.so", sources, flags))
    for step in KINDS.values():
        check_step(half, step, (3, 6, 9), 3, torch.float16)
        check_evolution(half, Evolution(step, 3), 1, (3, 6, 9), 3, torch.float16)


SANITIZERS = {
    "thread": ["-O0", "-g", "-fsanitize=thread", "-DCUDASHIM_OSTHREADS"],
    "address": ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "ucontext": ["-O0", "-DCUDASHIM_UCONTEXT"],
}


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_every_kernel_runs_clean_under_a_sanitizer(sanitizer: str, tmp_path: Path) -> None:
    sources = [*cuda_sources(), SUPPORT / "gridnet_cuda_driver.cpp"]
    program = compile_with_shim(tmp_path / "driver", sources, SANITIZERS[sanitizer])
    done = run_program(program)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "76 passes ran" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sanitizer", "fault", "report"),
    [("thread", "missing_barrier", "data race"), ("address", "overrun", "heap-buffer-overflow")],
)
def test_the_sanitizers_see_faults_in_shared_memory(sanitizer: str, fault: str, report: str, tmp_path: Path) -> None:
    program = compile_with_shim(tmp_path / "faults", [SUPPORT / "shim_faults.cu"], SANITIZERS[sanitizer])
    done = run_program(program, fault)
    assert done.returncode != 0
    assert report in done.stderr
