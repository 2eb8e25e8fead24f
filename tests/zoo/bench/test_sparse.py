"""The sparse layer's contenders, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from zoo.bench import sparse
from zoo.bench.sparse import CSR, DENSE, OURS, sparse_lines, sparse_rows
from zoo.utils.errors import BenchError
from zoo.utils.progress import say_nothing
from zoo.utils.stats import Spread


def one_second(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Spread]:
    for call in calls.values():
        call()
    return {name: Spread.of([1.0 if name == OURS else 3.0]) for name in calls}


def test_every_contender_is_timed_forward_and_those_with_gradients_backward() -> None:
    rows = sparse_rows(one_second, "cpu", True, say_nothing)
    assert [(row["pass"], row["contender"]) for row in rows] == [
        ("forward", OURS), ("forward", CSR), ("forward", DENSE),
        ("forward + backward", OURS), ("forward + backward", DENSE),
    ]  # fmt: skip
    assert [line["x dense"] for line in sparse_lines(rows)] == ["3.00", "1.00", "1.00", "3.00", "1.00"]


def test_contenders_that_disagree_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "sparse_linear_reference", lambda x, values, where: x * values.sum() + torch.ones(64))
    with pytest.raises(BenchError, match="sparse layer: ours differs from dense product"):
        sparse_rows(one_second, "cpu", True, say_nothing)
