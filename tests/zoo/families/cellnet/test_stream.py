"""A CellNet on a stream."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.layers import CellStream


def stream(**options: object) -> CellStream:
    torch.manual_seed(0)
    return CellStream(5, 3, **{"cells": 4, "core": 6, "hidden": 5, **options})  # type: ignore[arg-type]


def test_steps_one_by_one_equal_the_network_with_the_same_input_throughout() -> None:
    cells, x = stream(), torch.randn(2, 5)
    with torch.no_grad():
        for step in range(1, 5):
            torch.testing.assert_close(cells(x), cells.net(x, step))


def test_cores_persist_until_they_are_reset() -> None:
    cells, x = stream(), torch.randn(2, 5)
    with torch.no_grad():
        first, second = cells(x), cells(x)
        cells.reset()
        assert not torch.equal(first, second)
        torch.testing.assert_close(cells(x), first)
        cells(None)
    with pytest.raises(ValueError, match=r"x: found 3 streams, allowed the 2 of the steps before; call reset\(\)"):
        cells(torch.randn(3, 5))


def test_the_first_step_of_training_needs_input() -> None:
    cells = stream()
    with pytest.raises(ValueError, match="x: found None in the first step"):
        cells.learn(None, None, torch.optim.Adam(cells.parameters()))


def test_the_losses_are_those_of_the_literal_procedure() -> None:
    """Windows of one step: C2 = C1 - dL/dC1, and loss (a) of the next step compares its C1 with C2."""
    cells, twin = stream(), stream()
    frozen = torch.optim.SGD(cells.parameters(), lr=0.0)
    inputs, labels = torch.randn(3, 2, 5), torch.tensor([0, 2])
    steps = [cells.learn(x, labels if t else None, frozen) for t, x in enumerate(inputs)]
    c2: Tensor | None = None
    for t, x in enumerate(inputs):
        logits = twin(x)
        assert twin.cores is not None
        c1 = twin.cores
        a = None if c2 is None else (c1 - c2).square().mean((1, 2))
        b = torch.nn.functional.cross_entropy(logits, labels, reduction="none") if t else None
        parts = (a, b)
        present = [part.sum() for part in parts if part is not None]
        slope = torch.autograd.grad(torch.stack(present).sum(), c1)[0] if present else torch.zeros_like(c1)
        c2 = (c1 - slope).detach()
        twin.cores = c1.detach()
        for found, part in zip((steps[t].loss_a, steps[t].loss_b), parts, strict=True):
            assert found == (None if part is None else pytest.approx(float(part.detach().mean()), rel=1e-5))


def test_a_step_without_training_ends_the_prediction_of_the_one_before() -> None:
    """Loss (a) is about the very next step; two steps later the cores are elsewhere."""
    cells, x, labels = stream(), torch.randn(2, 5), torch.tensor([0, 2])
    optimizer = torch.optim.SGD(cells.parameters(), lr=0.0)
    cells.learn(x, labels, optimizer)
    assert cells.learn(x, labels, optimizer).loss_a is not None
    with torch.no_grad():
        cells(x)
    step = cells.learn(x, labels, optimizer)
    assert (step.loss_a, step.cosine) == (None, None)


def test_a_stream_learns_to_name_what_it_saw_a_step_ago() -> None:
    """Sequences of two steps: the label of the second is the class that the first one showed."""
    cells = stream(truncate=2, loss_a=0.01, core=8, hidden=16)
    optimizer = torch.optim.Adam(cells.parameters(), lr=5e-3)
    noise = torch.Generator().manual_seed(0)
    hits = []
    for _ in range(150):
        cells.reset()
        first, second = torch.randint(3, (2, 32), generator=noise)
        cells.learn(torch.eye(5)[first], None, optimizer)
        step = cells.learn(torch.eye(5)[second], first, optimizer)
        hits.append(float((step.logits.argmax(-1) == first).float().mean()))
    assert sum(hits[-20:]) / 20 > 0.9
