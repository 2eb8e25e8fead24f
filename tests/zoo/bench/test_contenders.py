from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.support.bench import ISAS, SMALL
from zoo.bench.contenders import COMPILED, EAGER, REFERENCE, check_same, choose_isas, make_calls, ours
from zoo.utils.errors import BenchError

VARIANTS = {
    "step": SMALL,
    "blocks": replace(SMALL, inner=3),
    "normalised": replace(SMALL, inner=2, normalize=True),
    "gated": replace(SMALL, gated=True),
    "gated blocks": replace(SMALL, inner=2, gated=True),
    "evolution": replace(SMALL, outer=3),
    "gated evolution": replace(SMALL, outer=3, inner=2, gated=True),
    "normalised evolution": replace(SMALL, outer=2, normalize=True),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_all_contenders_agree(name: str, training: bool) -> None:
    names = [*map(ours, ISAS), EAGER, REFERENCE]
    calls, skipped = make_calls(replace(VARIANTS[name], training=training), names)
    assert list(calls) == names
    assert not skipped


@pytest.mark.slow
def test_compiled_shifts_agree() -> None:
    calls, skipped = make_calls(replace(SMALL, outer=2, training=True), [COMPILED, EAGER])
    assert COMPILED in calls or skipped[COMPILED].startswith("torch.compile failed: ")


def test_shifts_that_cannot_be_compiled_are_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: Any, **options: Any) -> Any:
        def call(*args: Any) -> Any:
            raise RuntimeError("no working C++ compiler\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    calls, skipped = make_calls(SMALL, [COMPILED, EAGER])
    assert list(calls) == [EAGER]
    assert skipped == {COMPILED: "torch.compile failed: no working C++ compiler"}


@pytest.mark.parametrize("wrong", [1.01, math.nan])
@pytest.mark.parametrize("index", [0, 3])
def test_a_disagreement_is_an_error(wrong: float, index: int) -> None:
    case = replace(SMALL, training=True)
    calls, _ = make_calls(case, [EAGER, REFERENCE])
    right = calls[EAGER]

    def cheat() -> list[torch.Tensor]:
        values = right()
        values[index] = values[index] * wrong
        return values

    what = {0: "the result", 3: "the gradient of argument 2"}[index]
    with pytest.raises(BenchError, match=rf"{what} of eager shifts differs from that of reference by "):
        check_same(case, {**calls, EAGER: cheat})


def test_unusable_instruction_sets_and_a_forced_reference_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_isas([]) == ISAS
    assert choose_isas(["baseline"]) == ["baseline"]
    with pytest.raises(BenchError, match=r"'sse9' cannot be used here; usable: .*baseline"):
        choose_isas(["sse9"])
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    with pytest.raises(BenchError, match="ZOO_KERNELS=reference is set"):
        choose_isas([])
