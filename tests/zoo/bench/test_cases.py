from __future__ import annotations

from dataclasses import replace

import pytest

from zoo.bench.cases import Case, default_block, standard_cases, sweep_cases


def test_a_step_counts_a_multiply_and_an_add_per_weight() -> None:
    case = Case((32, 32, 32), batch=64, block=8)
    assert case.flops() == 2 * 27 * 32768 * 64
    assert replace(case, training=True).flops() == 3 * case.flops()
    assert replace(case, gated=True).flops() == 2 * case.flops()
    assert replace(case, inner=8, outer=12).flops() == 96 * case.flops()
    assert replace(case, normalize=True).flops() == case.flops()


def test_the_bytes_are_those_of_the_tensors_read_and_written() -> None:
    case = Case((4, 4, 4), batch=10, block=2)
    tensors = sum(tensor.nbytes for tensor in case.tensors())
    grid = 4 * 64 * 10
    assert case.bytes() == tensors + grid  # plus the result
    parameters = tensors - grid
    assert replace(case, training=True).bytes() == 5 * grid + 3 * parameters
    gated = replace(case, gated=True, outer=5)
    parameters = sum(tensor.nbytes for tensor in gated.tensors()) - grid
    assert gated.bytes() == 2 * grid + parameters
    assert replace(gated, training=True).bytes() == (5 + 2 * 4) * grid + 3 * parameters


def test_the_default_block_divides_the_grid() -> None:
    assert [default_block(grid) for grid in ((32, 32, 8), (6, 4, 8), (9, 6, 3), (5, 7, 1))] == [8, 2, 3, 1]


@pytest.mark.parametrize("quick", [False, True])
def test_the_sweep_covers_shapes_batches_and_variants(quick: bool) -> None:
    cases = sweep_cases(quick)
    assert len(cases) == len({(case.name, case.setting) for case in cases})
    assert {case.training for case in cases} == {True, False}
    assert any(case.gated for case in cases)
    assert any(case.normalize for case in cases)
    assert any(case.inner == 8 and case.block == 8 for case in cases)
    assert 1 in {case.batch for case in cases}
    if not quick:
        assert {(32, 32, 32), (32, 32, 8), (16, 16, 16), (64, 64, 64)} == {case.grid for case in cases}
        assert max(case.batch for case in cases) == 256


def test_step_and_evolution_are_measured_forward_and_in_training() -> None:
    names = [case.name for case in standard_cases((32, 32, 32), 64, 12)]
    assert names == [
        "step, forward",
        "step, forward + backward",
        "evolution of 12, forward",
        "evolution of 12, forward + backward",
    ]
